//! The harness itself is held to what it promises: a fake that lies would prove nothing about the gateway.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Version};
use sallygate::devcert;
use serde_json::json;

use crate::harness::audit;
use crate::harness::client::{Client, Http};
use crate::harness::mcp::Mcp;
use crate::harness::raw::{self, Connection};
use crate::harness::sse::{EventStream, Step};
use crate::harness::tokens;
use crate::harness::upstream::{Answer, FakeUpstream};
use crate::harness::wait;

fn post(url: &str, body: &str) -> Request<Full<Bytes>> {
    let request = Request::post(url).header("x-mark", "canary-not-a-real-header");
    request.body(Full::from(body.to_owned())).unwrap()
}

#[tokio::test]
async fn the_fake_answers_by_script_and_remembers_every_request() {
    let upstream = FakeUpstream::start().await;
    let client = Client::plain();
    upstream.saw_nothing();
    upstream
        .will(Answer::json(&json!({"n": 1})).header("x-one", "1"))
        .will(Answer::status(429))
        .will(Answer::redirect("http://elsewhere.test/"));
    let url = format!("{}?q=1", upstream.url());
    let first = client.send(post(&url, "{}")).await;
    assert_eq!(first.json(), json!({"n": 1}));
    assert_eq!(first.header("x-one"), Some("1"));
    let seen = upstream.only_request();
    assert_eq!(seen.path, "/mcp?q=1");
    assert_eq!(seen.json(), json!({}));
    assert_eq!(seen.header("x-mark"), Some("canary-not-a-real-header"));
    assert!(seen.mentions("not-a-real-header") && !seen.mentions("another"));
    assert_eq!(client.get(&url).await.status, 429);
    let redirect = client.get(&url).await;
    assert_eq!(redirect.header("location"), Some("http://elsewhere.test/"));
    assert_eq!(client.get(&url).await.text(), "the script is used up");
    upstream.always(&json!(true));
    assert_eq!(client.get(&url).await.json(), json!(true));
    upstream.saw(5).await;
    assert_eq!(upstream.connections(), 1, "the client keeps its connection");
}

#[tokio::test]
async fn the_mcp_caller_sends_what_each_era_asks_for() {
    let upstream = FakeUpstream::start().await;
    upstream.always(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    let caller = Mcp::at(&Client::plain(), &upstream.url()).with_token("canary-not-a-real-token");
    caller.call("echo", json!({"text": "hi"})).await.result();
    let modern = upstream.only_request();
    assert_eq!(modern.method, "POST");
    assert_eq!(
        modern.header("authorization"),
        Some("Bearer canary-not-a-real-token")
    );
    assert_eq!(modern.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(modern.header("mcp-method"), Some("tools/call"));
    assert_eq!(modern.header("mcp-name"), Some("echo"));
    assert_eq!(modern.json()["params"]["arguments"], json!({"text": "hi"}));
    assert_eq!(caller.session(), None);

    let caller = caller.in_session("canary-not-a-real-session");
    assert_eq!(caller.session(), Some("canary-not-a-real-session"));
    caller.legacy("ping", json!({})).await.result();
    let legacy = upstream.seen().remove(1);
    assert_eq!(
        legacy.header("mcp-session-id"),
        Some("canary-not-a-real-session")
    );
    assert_eq!(legacy.header("mcp-method"), None);
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {}});
    assert_eq!(legacy.json(), ping);
}

#[tokio::test]
async fn a_fed_stream_flows_ends_and_tears_as_told() {
    let upstream = FakeUpstream::start().await;
    let client = Client::plain();
    let (answer, feed) = Answer::sse();
    upstream.will(answer);
    let mut stream = client.open(post(&upstream.url(), "")).await;
    feed.event(&json!({"n": 1})).await;
    assert_eq!(stream.message().await, json!({"n": 1}));
    feed.send("data: half").await;
    feed.send(" an event\r\n\r\n").await;
    let Step::Event(event) = stream.step().await else {
        panic!("an event was sent")
    };
    assert_eq!(event.data.as_deref(), Some("half an event"));
    feed.end();
    assert_eq!(stream.step().await, Step::End);

    let (answer, feed) = Answer::sse();
    upstream.will(answer);
    let mut stream = client.open(post(&upstream.url(), "")).await;
    feed.tear().await;
    assert_eq!(stream.step().await, Step::Torn);

    let (answer, feed) = Answer::sse();
    upstream.will(answer);
    let stream: EventStream = client.open(post(&upstream.url(), "")).await;
    drop(stream);
    feed.abandoned().await;
}

#[tokio::test]
async fn a_hanging_answer_lasts_until_the_caller_leaves() {
    let upstream = FakeUpstream::start().await;
    upstream.will(Answer::hang());
    let mut caller = Connection::open(upstream.address()).await;
    caller
        .send("GET /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    upstream.saw(1).await;
    drop(caller);
    upstream.hangs_no_more().await;
}

#[tokio::test]
async fn tls_clients_speak_the_version_they_are_told_and_trust_one_authority() {
    let home = tempfile::tempdir().unwrap();
    let ours = devcert::ensure(&home.path().join("ours"), &[]).unwrap();
    let other = devcert::ensure(&home.path().join("other"), &[]).unwrap();
    let upstream = FakeUpstream::start_tls(&ours.cert_file, &ours.key_file).await;
    upstream.always(&json!({}));
    for (http, version) in [(Http::One, Version::HTTP_11), (Http::Two, Version::HTTP_2)] {
        let stranger = Client::trusting(&other.ca_file, http);
        assert!(stranger.attempt(post(&upstream.url(), "")).await.is_err());
        let client = Client::trusting(&ours.ca_file, http);
        assert_eq!(
            client.send(post(&upstream.url(), "")).await.version,
            version
        );
    }
    let request = "GET /raw HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = raw::exchange_tls(upstream.address(), &ours.ca_file, request).await;
    assert_eq!(raw::status(&answer), 200);
    assert_eq!(upstream.seen().last().unwrap().path, "/raw");
}

#[tokio::test]
async fn raw_bytes_are_sent_as_they_are() {
    let upstream = FakeUpstream::start().await;
    let answer = raw::exchange(upstream.address(), "NONSENSE\r\n\r\n").await;
    assert_eq!(raw::status(&answer), 400);
    upstream.saw_nothing();
    upstream.always(&json!(1));
    let mut connection = Connection::open(upstream.address()).await;
    connection
        .send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
        .await;
    connection.send("}").await;
    let head = connection.read_to("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(connection.read_to("1").await, "1");
    assert_eq!(upstream.only_request().body, "{}");
}

#[tokio::test]
async fn audit_lines_are_read_from_plain_and_compressed_files() {
    let home = tempfile::tempdir().unwrap();
    let plain = home.path().join("sub").join("2.jsonl");
    std::fs::create_dir(plain.parent().unwrap()).unwrap();
    std::fs::write(&plain, "{\"n\":2}\n{\"n\":3}\n{\"half").unwrap();
    let compressed = std::fs::File::create(home.path().join("1.jsonl.gz")).unwrap();
    let mut gz = flate2::write::GzEncoder::new(compressed, flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, b"{\"n\":1,\"c\":\"canary-not-a-real-token\"}\n").unwrap();
    gz.finish().unwrap();
    let lines = audit::wait_for(home.path(), 3).await;
    let numbers: Vec<_> = lines
        .iter()
        .map(|line| line["n"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [1, 2, 3]);
    let found = audit::files_with(home.path(), "canary-not-a-real-token");
    assert_eq!(found, [home.path().join("1.jsonl.gz")]);
    assert!(audit::files_with(home.path(), "another canary").is_empty());
}

#[test]
fn forged_tokens_verify_with_their_own_key_alone() {
    let claims = json!({"sub": "1", "exp": 4_102_444_800_u64});
    let token = tokens::signed(&json!({"alg": "HS256", "typ": "JWT"}), &claims, tokens::KEY);
    let verify = |key| {
        let key = jsonwebtoken::DecodingKey::from_secret(key);
        let rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
        jsonwebtoken::decode::<serde_json::Value>(&token, &key, &rules)
    };
    assert!(verify(b"another key that is long enough for it").is_err());
    assert_eq!(verify(tokens::KEY).unwrap().claims, claims);
    let unsigned = tokens::unsigned(&json!({"alg": "none"}), &claims);
    assert_eq!(unsigned.split('.').count(), 2);
}

#[tokio::test]
async fn conditions_are_waited_for() {
    let mut asked = 0;
    wait::until_true("the third question", || {
        asked += 1;
        asked == 3
    })
    .await;
    assert_eq!(asked, 3);
}
