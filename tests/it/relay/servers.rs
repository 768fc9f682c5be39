//! Servers behind the gateway: how they are reached, and what the caller learns when they fail: whose fault it is, and
//! nothing of their insides.

use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use hyper::{Method, Version};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{result, ruled, tools};
use crate::harness::audit;
use crate::harness::client::Reply;
use crate::harness::gateway::{Plan, Rig};
use crate::harness::mcp::{Draft, Mcp};
use crate::harness::upstream::{Answer, FakeUpstream};

/// What no caller may read.
const INSIDES: &str = "canary-not-a-real-secret at /srv/app/index.js:12";

fn kinds(caller: &Mcp) -> Vec<Draft> {
    let params = json!({"name": "echo", "arguments": {}});
    vec![
        caller.modern_draft("tools/call", params.clone()),
        caller.modern_draft("tools/list", json!({})),
        caller.legacy_draft("tools/call", params),
        caller.legacy_draft("prompts/get", json!({"name": "greet"})),
    ]
}

/// A JSON-RPC error of the gateway for the request with id 1.
fn assert_failed(reply: &Reply, status: u16, what: &str) {
    assert_eq!(reply.status, status, "{what}: {reply:?}");
    let body = reply.json();
    assert_eq!(body["jsonrpc"], "2.0", "{what}");
    assert_eq!(body["id"], 1, "{what}");
    assert_eq!(body["error"]["code"], status, "{what}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(
        !format!("{reply:?}").contains("canary"),
        "{what}: {reply:?}"
    );
}

/// A good request still passes.
async fn assert_healthy(rig: &Rig, caller: &Mcp) {
    rig.upstream
        .will(Answer::json(&result(&json!({"content": []}))));
    caller.call("echo", json!({})).await.result();
}

/// Certificates for a test: an authority, a server and a client.
struct Certificates {
    ca: PathBuf,
    server: (PathBuf, PathBuf),
    client: (PathBuf, PathBuf),
}

impl Certificates {
    fn make(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca = write(
            dir,
            &format!("{name}-ca.pem"),
            &params.self_signed(&key).unwrap().pem(),
        );
        let issuer = Issuer::new(params, key);
        let leaf = |kind: &str, usage: ExtendedKeyUsagePurpose| {
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.extended_key_usages = vec![usage];
            let key = KeyPair::generate().unwrap();
            let cert = params.signed_by(&key, &issuer).unwrap();
            (
                write(dir, &format!("{name}-{kind}.pem"), &cert.pem()),
                write(dir, &format!("{name}-{kind}-key.pem"), &key.serialize_pem()),
            )
        };
        Self {
            ca,
            server: leaf("server", ExtendedKeyUsagePurpose::ServerAuth),
            client: leaf("client", ExtendedKeyUsagePurpose::ClientAuth),
        }
    }
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    path
}

/// A server that answers whatever it is asked with these bytes and hangs up. It ends with the value.
struct Blunt {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Blunt {
    async fn start(bytes: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut read = vec![0; 16 * 1024];
                if !bytes.is_empty() {
                    let _ = stream.read(&mut read).await;
                    let _ = stream.write_all(bytes).await;
                    let _ = stream.shutdown().await;
                    // Until the other side has hung up as well, so that nothing is lost to a reset.
                    while stream.read(&mut read).await.is_ok_and(|read| read > 0) {}
                }
            }
        });
        Self { address, task }
    }

    fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}

impl Drop for Blunt {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn r583_an_upstream_whose_certificate_does_not_verify_is_not_spoken_to() {
    let dir = tempfile::tempdir().unwrap();
    let good = Certificates::make(dir.path(), "good");
    let wrong = Certificates::make(dir.path(), "wrong");
    let ca = wrong.ca.display().to_string();
    for plan in [Plan::new().upstream(&format!("ca_file: {ca}")), Plan::new()] {
        let upstream = FakeUpstream::start_tls(&good.server.0, &good.server.1).await;
        let rig = plan.before(upstream).await;
        let caller = rig.caller("alice");
        for draft in kinds(&caller) {
            assert_failed(&caller.send(draft).await, 502, "a foreign authority");
        }
        rig.upstream.saw_nothing();
    }
    // The name counts as well: the certificate is for localhost and not for its address.
    let plan = Plan::new();
    let made = Certificates::make(plan.dir(), "good");
    let upstream = FakeUpstream::start_tls(&made.server.0, &made.server.1).await;
    let url = upstream.url().replace("localhost", "127.0.0.1");
    let plan = plan.upstream(&format!("ca_file: {}", made.ca.display()));
    let rig = plan.url(&url).before(upstream).await;
    let reply = rig.caller("alice").call("echo", json!({})).await;
    assert_failed(&reply, 502, "another name");
    rig.upstream.saw_nothing();
}

#[tokio::test]
async fn a_server_with_a_private_authority_is_reached_over_http2() {
    let plan = Plan::new();
    let made = Certificates::make(plan.dir(), "good");
    let upstream = FakeUpstream::start_tls(&made.server.0, &made.server.1).await;
    let plan = plan.upstream(&format!("ca_file: {}", made.ca.display()));
    let rig = plan.before(upstream).await;
    let caller = rig.caller("alice");
    rig.upstream.always(&result(&json!({})));
    for draft in kinds(&caller) {
        assert_eq!(caller.send(draft).await.status, 200);
    }
    for seen in rig.upstream.seen() {
        assert_eq!(seen.version, Version::HTTP_2);
        assert_eq!(seen.header("authorization"), None);
    }
    assert_eq!(rig.upstream.connections(), 1, "connections are shared");
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_gets_the_configured_one_or_no_request() {
    for shows in [false, true] {
        let mut plan = Plan::new();
        let made = Certificates::make(plan.dir(), "good");
        let upstream = FakeUpstream::start_mutual(&made.server.0, &made.server.1, &made.ca).await;
        plan = plan.upstream(&format!("ca_file: {}", made.ca.display()));
        if shows {
            plan = plan
                .upstream(&format!("client_cert_file: {}", made.client.0.display()))
                .upstream(&format!("client_key_file: {}", made.client.1.display()));
        }
        let rig = plan.before(upstream).await;
        let caller = rig.caller("alice");
        rig.upstream.always(&result(&json!({})));
        let reply = caller.call("echo", json!({})).await;
        if shows {
            reply.result();
            rig.upstream.only_request();
        } else {
            assert_failed(&reply, 502, "no certificate");
            rig.upstream.saw_nothing();
        }
    }
}

#[tokio::test]
async fn a_server_behind_a_unix_socket_is_reached() {
    let plan = Plan::new();
    let socket = plan.dir().join("server.sock");
    let url = format!("unix:{}:/behind/mcp", socket.display());
    let gone = format!("unix:{}:/mcp", plan.dir().join("gone.sock").display());
    let upstream = FakeUpstream::start_unix(&socket).await;
    let rig = plan.url(&url).before(upstream).await;
    let caller = rig.caller("alice");
    rig.upstream.always(&tools(&["echo"]));
    caller.modern("tools/list", json!({})).await.result();
    let seen = rig.upstream.only_request();
    assert_eq!(
        (seen.path.as_str(), seen.header("host")),
        ("/behind/mcp", Some("localhost"))
    );
    let rig = Plan::new().url(&gone).start().await;
    let reply = rig.caller("alice").call("echo", json!({})).await;
    assert_failed(&reply, 502, "no socket");
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_said_to_be_unreachable() {
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    for url in [
        format!("http://127.0.0.1:{port}/mcp"),
        format!("https://127.0.0.1:{port}/mcp"),
        "http://no-such-host.invalid/mcp".to_owned(),
    ] {
        let rig = ruled().url(&url).start().await;
        let caller = rig.caller("alice");
        for draft in kinds(&caller) {
            let reply = caller.send(draft).await;
            assert_failed(&reply, 502, &url);
            assert!(!reply.text().contains(&port.to_string()), "{reply:?}");
            assert!(!reply.text().contains("invalid"), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn r434_r437_an_upstream_that_does_not_answer_in_time_is_a_network_timeout() {
    let rig = ruled().upstream("first_byte_timeout: 1s").start().await;
    let caller = rig.caller("alice");
    let drafts = kinds(&caller);
    let count = drafts.len();
    let asked = drafts.into_iter().map(|draft| {
        rig.upstream.will(Answer::hang());
        let caller = caller.clone();
        tokio::spawn(async move { caller.send(draft).await })
    });
    for reply in asked.collect::<Vec<_>>() {
        let reply = reply.await.unwrap();
        assert_failed(&reply, 504, "a server that hangs");
        assert_eq!(reply.json()["error"]["data"]["code"], "network_timeout");
    }
    rig.upstream.hangs_no_more().await;
    assert_healthy(&rig, &caller).await;
    let timeouts = audit::wait_for_those_with(rig.audit_dir(), "network_timeout", count).await;
    assert_eq!(timeouts.len(), count);
    let metrics = rig.metrics().await;
    let counted = format!(
        "sallygate_upstream_requests_total{{outcome=\"timeout\",route=\"default\"}} {count}"
    );
    assert!(metrics.contains(&counted), "{metrics}");
}

#[tokio::test]
async fn an_answer_that_falls_silent_is_given_up() {
    let rig = ruled().upstream("idle_timeout: 1s").start().await;
    let caller = rig.caller("alice");
    let asked: Vec<_> = [
        caller.modern_draft("tools/call", json!({"name": "echo"})),
        caller.modern_draft("tools/list", json!({})),
    ]
    .into_iter()
    .map(|draft| {
        let (answer, feed) = Answer::stream("application/json");
        rig.upstream.will(answer);
        let caller = caller.clone();
        (tokio::spawn(async move { caller.send(draft).await }), feed)
    })
    .collect();
    for (_, feed) in &asked {
        feed.send("{\"jsonrpc\":").await;
    }
    for (reply, feed) in asked {
        assert_failed(&reply.await.unwrap(), 504, "silence");
        feed.abandoned().await;
    }
}

#[tokio::test]
async fn an_upstream_that_speaks_no_http_or_breaks_off_is_a_502() {
    for bytes in [
        &b""[..],
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: appl",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"jsonrpc\"",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"jso",
        b"HTTP/1.1 200 OK\r\nmcp-session-id: a\x01b\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ] {
        let blunt = Blunt::start(bytes).await;
        let rig = ruled().url(&blunt.url()).start().await;
        let caller = rig.caller("alice");
        for draft in [
            caller.modern_draft("tools/call", json!({"name": "echo"})),
            caller.legacy_draft("tools/list", json!({})),
        ] {
            let what = String::from_utf8_lossy(bytes);
            assert_failed(&caller.send(draft).await, 502, &what);
        }
    }
}

#[tokio::test]
async fn a_long_answer_that_is_torn_is_not_passed_on_as_whole() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    let (answer, feed) = Answer::stream("application/json");
    rig.upstream.will(answer);
    let draft = caller.modern_draft("tools/call", json!({"name": "echo"}));
    let (answer, ()) = tokio::join!(
        caller.attempt(draft),
        feed.send(format!("{{{}", " ".repeat(5000)))
    );
    feed.tear().await;
    let body = http_body_util::BodyExt::collect(answer.unwrap().into_body()).await;
    assert!(body.is_err());
    assert_healthy(&rig, &caller).await;
}

#[tokio::test]
async fn a_redirect_is_never_followed_nor_passed_on() {
    let rig = ruled().start().await;
    let elsewhere = FakeUpstream::start().await;
    let caller = rig.caller("alice");
    for status in [300, 301, 302, 303, 304, 305, 307, 308] {
        for draft in kinds(&caller) {
            rig.upstream
                .will(Answer::redirect(&elsewhere.url()).with_status(status));
            let reply = caller.send(draft).await;
            assert_failed(&reply, 502, "a redirect");
            assert_eq!(reply.header("location"), None);
            assert!(!reply.text().contains(&elsewhere.url()));
        }
    }
    elsewhere.saw_nothing();
    assert_healthy(&rig, &caller).await;
}

#[tokio::test]
async fn r509_a_failing_upstream_shows_nothing_of_its_insides() {
    let rig = ruled()
        .upstream("headers: { X-Api-Key: canary-not-a-real-api-key }")
        .start()
        .await;
    let caller = rig.caller("alice");
    for status in [401, 407, 500, 501, 502, 503, 504, 599] {
        for draft in kinds(&caller) {
            rig.upstream.will(
                Answer::bytes(format!("Error: {INSIDES}"))
                    .with_status(status)
                    .header("content-type", "text/html")
                    .header("www-authenticate", &format!("Bearer realm=\"{INSIDES}\""))
                    .header("proxy-authenticate", INSIDES)
                    .header("x-debug", INSIDES),
            );
            let reply = caller.send(draft).await;
            assert_failed(&reply, 502, "a failure");
            assert_eq!(reply.header("www-authenticate"), None);
        }
        let (answer, feed) = Answer::sse();
        rig.upstream.will(answer.with_status(status));
        let reply = caller.call("echo", json!({})).await;
        assert_failed(&reply, 502, "a failing stream");
        feed.abandoned().await;
    }
    assert_healthy(&rig, &caller).await;
}

#[tokio::test]
async fn a_coded_answer_is_refused_because_nobody_looked_inside() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    for coding in ["gzip", "br", "identity", "x-unknown"] {
        for mut draft in kinds(&caller) {
            crate::harness::mcp::set(&mut draft, "accept-encoding", "gzip, br");
            rig.upstream
                .will(Answer::json(&tools(&["delete_note"])).header("content-encoding", coding));
            assert_failed(&caller.send(draft).await, 502, coding);
        }
    }
    for seen in rig.upstream.seen() {
        assert_eq!(seen.header("accept-encoding"), None);
    }
}

#[tokio::test]
async fn a_list_that_is_too_large_to_look_at_is_not_passed_on() {
    let rig = ruled()
        .settings("limits: { list_bytes: 64KiB }")
        .start()
        .await;
    let caller = rig.caller("alice");
    let mut list = tools(&["echo", "delete_note"]);
    list["result"]["filler"] = "x".repeat(70 * 1024).into();
    for _ in 0..2 {
        rig.upstream.will(Answer::json(&list));
        let reply = caller.modern("tools/list", json!({})).await;
        assert_failed(&reply, 502, "declared");
    }
    let (answer, feed) = Answer::stream("application/json");
    rig.upstream.will(answer);
    let text = list.to_string();
    let asked = caller.modern("tools/list", json!({}));
    let (reply, ()) = tokio::join!(asked, feed.send(text));
    assert_failed(&reply, 502, "in pieces");
    feed.abandoned().await;
    // The same size is no matter for an answer that is not looked at.
    rig.upstream.will(Answer::json(&list));
    assert_eq!(
        caller
            .modern("prompts/get", json!({"name": "greet"}))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn failures_give_their_place_back() {
    let rig = Plan::new()
        .quotas("quotas: { concurrency: 1, streams: 1, tiers: { free: { per_minute: 100000 } } }")
        .start()
        .await;
    let caller = rig.caller("alice");
    for _ in 0..5 {
        rig.upstream.will(Answer::status(500));
        assert_eq!(caller.call("echo", json!({})).await.status, 502);
        rig.upstream.will(Answer::status(500));
        let get = caller.send(caller.legacy_bare(Method::GET)).await;
        assert_eq!(get.status, 502);
        assert_healthy(&rig, &caller).await;
    }
}
