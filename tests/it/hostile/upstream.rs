//! Upstreams that break off, lie or never end, and what the caller hears: each fault has its answer, its audit line and its
//! count, the next good call is served, and no byte of one answer comes by in another.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::audit;
use crate::harness::client::Reply;
use crate::harness::gateway::{Plan, Rig};
use crate::harness::mcp::{Draft, Mcp};
use crate::harness::saboteur::{Act, Saboteur, answer, ok};
use crate::harness::wait;

/// What no caller may read.
const INSIDES: &str = "canary-not-a-real-secret at /srv/app/index.js:12";
/// A good answer, as far as its body goes.
const GOOD: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;

/// Calls and other requests of both eras.
fn kinds(caller: &Mcp) -> Vec<Draft> {
    let call = json!({"name": "echo", "arguments": {}});
    vec![
        caller.modern_draft("tools/call", call.clone()),
        caller.legacy_draft("tools/call", call),
        caller.modern_draft("prompts/get", json!({"name": "greet"})),
        caller.legacy_draft("tools/list", json!({})),
    ]
}

/// The answer to a fault: its status, a JSON-RPC error for the request with id 1, and the word for it.
fn assert_failed(reply: &Reply, status: u16, code: &str, what: &str) {
    assert_eq!(reply.status, status, "{what}: {reply:?}");
    let body = reply.json();
    assert_eq!(body["jsonrpc"], "2.0", "{what}");
    assert_eq!(body["id"], 1, "{what}");
    assert_eq!(body["error"]["code"], status, "{what}");
    assert_eq!(body["error"]["data"]["code"], code, "{what}: {reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(
        !format!("{reply:?}").contains("canary"),
        "{what}: {reply:?}"
    );
}

async fn before(saboteur: &Saboteur) -> Rig {
    Plan::new()
        .upstream("first_byte_timeout: 1s")
        .upstream("idle_timeout: 1s")
        .upstream("total_timeout: 2s")
        .url(&saboteur.url())
        .start()
        .await
}

/// A call that is served, by an answer of its own.
async fn assert_serves(caller: &Mcp, id: &str, what: &str) {
    let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": {"name": "echo", "arguments": {}}});
    let reply = caller.send(caller.legacy_body(&message)).await;
    assert_eq!(reply.status, 200, "after {what}: {reply:?}");
    assert_eq!(reply.json()["id"], id, "after {what}");
    assert_eq!(reply.result()["served"], id, "after {what}");
}

/// Commits each fault once for every kind of request, and asserts the answer, the line and the count.
async fn commit(faults: Vec<(&str, Act, u16, &'static str)>) {
    let saboteur = Saboteur::start().await;
    let rig = before(&saboteur).await;
    let caller = rig.caller("alice");
    let mut expected: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, (what, act, status, code)) in faults.into_iter().enumerate() {
        for draft in kinds(&caller) {
            saboteur.will(act.clone());
            let reply = caller.send(draft).await;
            assert_failed(&reply, status, code, what);
            *expected.entry(code).or_default() += 1;
        }
        assert_serves(&caller, &format!("after-{number}"), what).await;
    }
    for (code, count) in expected {
        let lines =
            audit::wait_for_those_with(rig.audit_dir(), &format!("\"{code}\""), count).await;
        assert_eq!(lines.len(), count, "{code}");
        let counted =
            format!("sallygate_denials_total{{reason=\"{code}\",stage=\"upstream\"}} {count}");
        let metrics = rig.metrics().await;
        assert!(metrics.contains(&counted), "{counted} in {metrics}");
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

#[tokio::test]
async fn what_breaks_off_before_or_in_its_answer_is_a_502_that_says_so() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":1,\"res".to_vec();
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n"
        .to_vec();
    let chunks = |rest: &[u8]| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        [&head[..], rest].concat()
    };
    commit(vec![
        (
            "reset before the head",
            Act::SayAndReset(vec![]),
            502,
            "upstream_broken",
        ),
        (
            "end before the head",
            Act::SayAndClose(vec![]),
            502,
            "upstream_broken",
        ),
        (
            "half a head",
            Act::SayAndClose(b"HTTP/1.1 200 OK\r\ncontent-ty".to_vec()),
            502,
            "upstream_broken",
        ),
        (
            "end after the head",
            Act::SayAndClose(head),
            502,
            "upstream_body_broken",
        ),
        (
            "truncated in the middle",
            Act::SayAndClose(half.clone()),
            502,
            "upstream_body_broken",
        ),
        (
            "reset in the middle",
            Act::SayAndReset(half),
            502,
            "upstream_body_broken",
        ),
        (
            "a chunk cut",
            Act::SayAndClose(chunks(b"20\r\n{\"jsonrpc\"")),
            502,
            "upstream_body_broken",
        ),
        (
            "no last chunk",
            Act::SayAndClose(chunks(b"1\r\n{\r\n")),
            502,
            "upstream_body_broken",
        ),
        (
            "a chunk without a size",
            Act::SayAndHang(chunks(b"canary\r\n{}\r\n0\r\n\r\n")),
            502,
            "upstream_body_broken",
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_is_no_http_or_too_much_of_it_is_a_502() {
    let long = format!(
        "HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let many: String = (0..500).map(|n| format!("x-{n}: {INSIDES}\r\n")).collect();
    commit(vec![
        (
            "HTTP/0.9",
            Act::SayAndClose(GOOD.into()),
            502,
            "upstream_broken",
        ),
        (
            "another protocol",
            Act::SayAndClose(b"SSH-2.0-canary\r\n".to_vec()),
            502,
            "upstream_broken",
        ),
        (
            "a head of a megabyte",
            Act::SayAndHang(long.into()),
            502,
            "upstream_broken",
        ),
        (
            "500 headers",
            Act::SayAndHang(answer("200 OK", &many, GOOD)),
            502,
            "upstream_broken",
        ),
        (
            "two lengths",
            Act::SayAndHang(answer("200 OK", "content-length: 3\r\n", GOOD)),
            502,
            "upstream_broken",
        ),
        (
            "CR in a header",
            Act::SayAndHang(answer("200 OK", "x: a\rb: c\r\n", GOOD)),
            502,
            "upstream_broken",
        ),
        (
            "NUL in a session id",
            Act::SayAndHang(answer("200 OK", "mcp-session-id: a\0b\r\n", GOOD)),
            502,
            "upstream_broken",
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_leads_elsewhere_asks_for_credentials_or_fails_is_a_502() {
    let html = |status: &str, more: &str| {
        Act::Say(answer(
            status,
            &format!("content-type: text/html\r\n{more}"),
            INSIDES,
        ))
    };
    commit(vec![
        (
            "a redirect",
            html("302 Found", "location: https://elsewhere.test/\r\n"),
            502,
            "upstream_redirect",
        ),
        (
            "401",
            html("401 Unauthorized", "www-authenticate: Basic\r\n"),
            502,
            "upstream_unauthorized",
        ),
        (
            "407",
            html("407 Proxy Authentication Required", ""),
            502,
            "upstream_unauthorized",
        ),
        (
            "500",
            html("500 Internal Server Error", "set-cookie: canary=1\r\n"),
            502,
            "upstream_failed",
        ),
        (
            "503",
            html("503 Service Unavailable", ""),
            502,
            "upstream_failed",
        ),
        (
            "coded",
            Act::Say(answer(
                "200 OK",
                "content-type: application/json\r\ncontent-encoding: gzip\r\n",
                gzip(GOOD),
            )),
            502,
            "upstream_coded",
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_is_no_answer_to_the_request_is_a_502() {
    let say = |body: &str| Act::Say(ok("application/json", body));
    let mut faults = vec![
        (
            "a web page",
            Act::Say(ok("text/html", INSIDES)),
            502,
            "upstream_unreadable",
        ),
        (
            "JSON under another label",
            Act::Say(ok("text/plain", GOOD)),
            502,
            "upstream_unreadable",
        ),
        (
            "no label",
            Act::Say(answer("200 OK", "", GOOD)),
            502,
            "upstream_unreadable",
        ),
        (
            "packed in secret",
            Act::Say(ok("application/json", gzip(GOOD))),
            502,
            "upstream_unreadable",
        ),
        (
            "no body",
            Act::Say(ok("application/json", "")),
            502,
            "upstream_unreadable",
        ),
        (
            "202 with a body",
            Act::Say(answer(
                "202 Accepted",
                "content-type: application/json\r\n",
                GOOD,
            )),
            502,
            "upstream_unreadable",
        ),
        (
            "204",
            Act::Say(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
            502,
            "upstream_unreadable",
        ),
        (
            "204 with a body",
            Act::Say(answer("204 No Content", "", INSIDES)),
            502,
            "upstream_unreadable",
        ),
        (
            "205",
            Act::Say(answer("205 Reset Content", "", "")),
            502,
            "upstream_unreadable",
        ),
    ];
    for body in [
        "canary",
        r#"{"jsonrpc":"1.0","id":1,"result":{"canary":1}}"#,
        r#"{"id":1,"result":{"canary":1}}"#,
        r#"{"jsonrpc":"2.0","result":{"canary":1}}"#,
        r#"{"jsonrpc":"2.0","id":null,"result":{"canary":1}}"#,
        r#"[{"jsonrpc":"2.0","id":1,"result":{"canary":1}}]"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}{"jsonrpc":"2.0","id":1,"result":{"canary":1}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"result":{"canary":1}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"canary"}}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"canary":1}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"canary":1}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{"canary":1}}"#,
    ] {
        faults.push((body, say(body), 502, "upstream_unreadable"));
    }
    for body in [
        r#"{"jsonrpc":"2.0","id":2,"result":{"canary":1}}"#,
        r#"{"jsonrpc":"2.0","id":"1","result":{"canary":1}}"#,
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"canary"}}"#,
    ] {
        faults.push((body, say(body), 502, "upstream_foreign_answer"));
    }
    commit(faults).await;
}

#[tokio::test]
async fn r437_what_hangs_or_drips_is_a_504() {
    let head =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"
            .to_vec();
    let pause = Duration::from_millis(50);
    commit(vec![
        ("nothing", Act::SayAndHang(vec![]), 504, "network_timeout"),
        (
            "half a head",
            Act::SayAndHang(b"HTTP/1.1 200 OK\r\n".to_vec()),
            504,
            "network_timeout",
        ),
        (
            "interim answers without end",
            Act::Flood(vec![], b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n".to_vec()),
            504,
            "network_timeout",
        ),
        (
            "half a body",
            Act::SayAndHang(head.clone()),
            504,
            "upstream_silent",
        ),
        (
            "a body drop by drop",
            Act::Drip(head, b" ".to_vec(), pause),
            504,
            "upstream_silent",
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_a_502_whatever_is_in_the_way() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = nobody.local_addr().unwrap();
    drop(nobody);
    let (hole, _fillers) = black_hole().await;
    for (what, url) in [
        ("refused", format!("http://{gone}/mcp")),
        ("no such name", "http://no-such-host.invalid/mcp".to_owned()),
        ("a black hole", format!("http://{hole}/mcp")),
        ("TLS where none is", format!("https://{gone}/mcp")),
    ] {
        let rig = Plan::new()
            .upstream("connect_timeout: 200ms")
            .url(&url)
            .start()
            .await;
        let caller = rig.caller("alice");
        for draft in kinds(&caller) {
            assert_failed(&caller.send(draft).await, 502, "upstream_unreachable", what);
        }
        audit::wait_for_those_with(rig.audit_dir(), "upstream_unreachable", 4).await;
        let counted =
            "sallygate_upstream_requests_total{outcome=\"unreachable\",route=\"default\"} 4";
        assert!(rig.metrics().await.contains(counted), "{what}");
    }
}

/// An address that takes no connection and refuses none: its queue is full, and nobody empties it.
async fn black_hole() -> (SocketAddr, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut fillers = Vec::new();
    while let Ok(filler) =
        tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
    {
        fillers.push(filler.unwrap());
    }
    // It lives as long as the process, as any hole does.
    std::mem::forget(listener);
    (address, fillers)
}

#[tokio::test]
async fn a_refusal_of_the_upstream_keeps_its_status_and_loses_what_tells_of_its_insides() {
    let saboteur = Saboteur::start().await;
    let rig = before(&saboteur).await;
    let caller = rig.caller("alice");
    for (status, body) in [
        ("400 Bad Request", INSIDES.to_owned()),
        ("404 Not Found", format!("<html>{INSIDES}</html>")),
        ("404 Not Found", json!({"error": INSIDES}).to_string()),
        ("429 Too Many Requests", "x".repeat(100_000)),
        (
            "418 Teapot",
            json!({"jsonrpc": "2.0", "id": 2, "error": {"code": 1, "message": INSIDES}})
                .to_string(),
        ),
        (
            "409 Conflict",
            json!({"jsonrpc": "2.0", "id": 1, "result": {"x": INSIDES}}).to_string(),
        ),
    ] {
        for draft in kinds(&caller) {
            let headers = "content-type: text/html\r\nset-cookie: canary=1\r\n";
            saboteur.will(Act::Say(answer(status, headers, &body)));
            let reply = caller.send(draft).await;
            let expected = status[..3].parse().unwrap();
            assert_failed(&reply, expected, "upstream_refused", status);
        }
        assert_serves(&caller, "next", status).await;
    }
    // Nobody waits for words about a stream or the end of a session.
    for method in [Method::GET, Method::DELETE] {
        saboteur.will(Act::Say(answer(
            "405 Method Not Allowed",
            "content-type: text/html\r\n",
            INSIDES,
        )));
        let reply = caller.send(caller.legacy_bare(method)).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (405, ""));
        assert_eq!(reply.header("content-type"), None);
    }
    saboteur.will(Act::Say(ok("text/html", INSIDES)));
    let reply = caller.send(caller.legacy_bare(Method::GET)).await;
    assert_eq!(
        (reply.status.as_u16(), reply.text().contains("canary")),
        (502, false)
    );
}

#[tokio::test]
async fn the_words_of_the_protocol_pass_also_in_a_refusal() {
    let saboteur = Saboteur::start().await;
    let rig = before(&saboteur).await;
    let caller = rig.caller("alice");
    for id in [json!(1), Value::Null] {
        let body = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32001, "message": "Session not found"}}).to_string();
        for draft in kinds(&caller) {
            saboteur.will(Act::Say(answer(
                "404 Not Found",
                "content-type: application/json\r\n",
                &body,
            )));
            let reply = caller.send(draft).await;
            assert_eq!((reply.status.as_u16(), reply.text()), (404, body.as_str()));
        }
    }
}

#[tokio::test]
async fn bytes_behind_an_answer_never_come_by_in_another() {
    let evil = r#"{"jsonrpc":"2.0","id":"mallory","result":{"content":[],"canary":1}}"#;
    let again = ok("application/json", evil);
    let good = ok("application/json", GOOD);
    let no_content = b"HTTP/1.1 204 No Content\r\n\r\n".to_vec();
    for (what, bytes) in [
        ("more than the length", [good.clone(), b"canary".to_vec()].concat()),
        ("a second answer", [good.clone(), again.clone()].concat()),
        ("an answer in the body of a 204", [no_content, again.clone()].concat()),
        ("an answer behind the last chunk", [
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
            format!("{:x}\r\n{GOOD}\r\n0\r\n\r\n", GOOD.len()).into_bytes(),
            again.clone(),
        ].concat()),
        ("a page with an answer in it", [answer("200 OK", "content-type: text/html\r\n", "x"), again.clone()].concat()),
        ("a failure with an answer behind it", [answer("500 Oh", "", "x"), again].concat()),
    ] {
        let saboteur = Saboteur::start().await;
        let rig = before(&saboteur).await;
        let caller = rig.caller("alice");
        assert_serves(&caller, "first", what).await;
        let used = saboteur.connections();
        saboteur.will(Act::Say(bytes));
        let reply = caller.call("echo", json!({})).await;
        assert!(!reply.text().contains("canary"), "{what}: {reply:?}");
        for number in 0..5 {
            assert_serves(&caller, &format!("n{number}"), what).await;
        }
        assert_eq!(saboteur.connections(), used + 1, "{what}: the connection is dropped");
    }
}

#[tokio::test]
async fn an_answer_that_was_given_up_never_comes_by_in_another() {
    let long = ok("application/json", format!("{{{}", " ".repeat(300_000)));
    let list = ok(
        "application/json",
        json!({"jsonrpc": "2.0", "id": 1, "result":
        {"tools": [], "canary": "x".repeat(300_000)}})
        .to_string(),
    );
    let saboteur = Saboteur::start().await;
    let rig = Plan::new()
        .settings("limits: { list_bytes: 64KiB }")
        .upstream("idle_timeout: 1s")
        .url(&saboteur.url())
        .start()
        .await;
    let caller = rig.caller("alice");
    for _ in 0..5 {
        saboteur.will(Act::Say(list.clone()));
        let reply = caller.modern("tools/list", json!({})).await;
        assert_failed(&reply, 502, "upstream_answer_too_large", "a list");
        assert_serves(&caller, "a", "a list that is too large").await;
        // A caller who leaves in the middle.
        saboteur.will(Act::Say(long.clone()));
        let draft = caller.modern_draft("prompts/get", json!({"name": "greet"}));
        drop(caller.attempt(draft).await.unwrap());
        assert_serves(&caller, "b", "a caller who left").await;
    }
}

#[tokio::test]
async fn rfc9110_s7_6_1_what_belongs_to_the_connection_and_cookies_never_travel() {
    let saboteur = Saboteur::start().await;
    let rig = before(&saboteur).await;
    let caller = rig.caller("alice");
    let headers = "content-type: application/json\r\nset-cookie: canary=1\r\nalt-svc: h3=\":443\"\r\n\
        keep-alive: timeout=5\r\nproxy-connection: keep-alive\r\nconnection: x-canary\r\nx-canary: 1\r\nupgrade: h2c\r\n\
        trailer: x\r\nserver: canary\r\nx-powered-by: canary\r\nlink: <canary>\r\naccess-control-allow-origin: *\r\n\
        strict-transport-security: max-age=0\r\nclear-site-data: \"*\"\r\nlocation: /canary\r\nrefresh: 0\r\n";
    for draft in kinds(&caller) {
        saboteur.will(Act::Say(answer("200 OK", headers, GOOD)));
        let reply = caller.send(draft).await;
        assert_eq!(reply.status, 200);
        for name in [
            "set-cookie",
            "alt-svc",
            "keep-alive",
            "proxy-connection",
            "connection",
            "x-canary",
            "upgrade",
            "trailer",
            "server",
            "x-powered-by",
            "link",
            "access-control-allow-origin",
            "clear-site-data",
            "location",
            "refresh",
        ] {
            assert_eq!(reply.header(name), None, "{name}");
        }
        assert_ne!(reply.header("strict-transport-security"), Some("max-age=0"));
    }
}

#[tokio::test]
async fn odd_but_honest_answers_are_served() {
    let saboteur = Saboteur::start().await;
    let rig = before(&saboteur).await;
    let caller = rig.caller("alice");
    let old = format!("HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{GOOD}");
    let hints = b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n".repeat(50);
    let good = ok("application/json", GOOD);
    for act in [
        Act::SayAndClose(old.into_bytes()),
        Act::Say([hints, good.clone()].concat()),
        Act::Say(ok(
            "Application/JSON; charset=utf-8",
            format!(" \r\n\t{GOOD}\n"),
        )),
        Act::SayAndClose(good),
    ] {
        saboteur.will(act.clone());
        let reply = caller.call("echo", json!({})).await;
        assert_eq!(reply.status, 200, "{act:?}");
        assert_eq!(reply.text().trim(), GOOD);
    }
    // What comes with the status of a message that has no answer is not passed on.
    saboteur.will(Act::Say(answer(
        "202 Accepted",
        "content-type: text/html\r\n",
        INSIDES,
    )));
    let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let reply = caller.send(caller.legacy_body(&note)).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (202, ""));
    assert_serves(&caller, "next", "a notification").await;
    wait::until_true("all to be received", || saboteur.received().len() == 6).await;
}
