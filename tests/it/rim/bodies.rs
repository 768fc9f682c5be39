//! The body of a request: how it must be labelled, how large and slow it may be, and what it must not hold. Every refusal is
//! an answer that the caller really gets, over both HTTPs, and the process goes on.

use bytes::Bytes;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::harness::client::{Http, Reply};
use crate::harness::gateway::{Plan, Rig, Who};
use crate::harness::mcp::{Draft, Mcp, set};
use crate::harness::piecemeal::Piecemeal;
use crate::harness::raw;

const MIB: usize = 1024 * 1024;

async fn rig() -> Rig {
    before(Plan::new()).await
}

async fn before(plan: Plan) -> Rig {
    let rig = plan.start().await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    rig
}

fn ping(caller: &Mcp) -> Draft {
    caller.legacy_draft("ping", json!({}))
}

/// The gateway still serves, and what was refused before never travelled.
async fn goes_on(rig: &Rig) {
    let caller = rig.caller("somebody-else");
    assert_eq!(caller.send(ping(&caller)).await.status, 200);
    rig.upstream.only_request();
}

/// A call of exactly this many bytes.
fn of_size(size: usize) -> Bytes {
    let call = |text: &str| {
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "echo", "arguments": {"text": text}}})
        .to_string()
    };
    let frame = call("").len();
    let body = call(&"x".repeat(size - frame));
    assert_eq!(body.len(), size);
    body.into()
}

#[tokio::test]
async fn r389_other_media_types_than_json_are_answered_415() {
    let rig = rig().await;
    for http in [Http::One, Http::Two] {
        let caller = rig.caller_by(http, &Who::new("alice"));
        for media in [
            None,
            Some("text/plain"),
            Some("text/json"),
            Some("application/json-rpc"),
            Some("application/json, text/plain"),
            Some("application/json; charset=utf-16"),
            Some("application/json; boundary=x"),
            Some("application/x-www-form-urlencoded"),
            Some("multipart/form-data; boundary=x"),
        ] {
            let mut draft = ping(&caller);
            draft.headers_mut().remove("content-type");
            if let Some(media) = media {
                set(&mut draft, "content-type", media);
            }
            let refused = caller.send(draft).await;
            assert_eq!(refused.status, 415, "{media:?}");
            refusal(
                &refused,
                "unsupported_media_type",
                "Content-Type must be application/json",
            );
        }
        let mut twice = ping(&caller);
        let second = "application/json".parse().unwrap();
        twice.headers_mut().append("content-type", second);
        assert_eq!(caller.send(twice).await.status, 415, "two labels");
    }
    goes_on(&rig).await;
    let caller = rig.caller("alice");
    for media in [
        "application/json; charset=utf-8",
        "Application/JSON;charset=\"UTF-8\"",
    ] {
        let mut draft = ping(&caller);
        set(&mut draft, "content-type", media);
        assert_eq!(caller.send(draft).await.status, 200, "{media}");
    }
}

#[tokio::test]
async fn a_coded_body_is_answered_415_whatever_the_coding() {
    let rig = rig().await;
    let caller = rig.caller("alice");
    for coding in [
        "gzip",
        "br",
        "deflate",
        "zstd",
        "identity",
        "",
        "gzip, gzip",
    ] {
        let mut draft = ping(&caller);
        set(&mut draft, "content-encoding", coding);
        let refused = caller.send(draft).await;
        assert_eq!(refused.status, 415, "{coding}");
        assert_eq!(
            refused.json()["error"]["code"],
            "unsupported_content_encoding"
        );
        assert_eq!(refused.header("accept-encoding"), Some("identity"));
    }
    goes_on(&rig).await;
}

fn refusal(reply: &Reply, code: &str, message: &str) {
    let id = reply.header("x-request-id").unwrap();
    assert_eq!(
        reply.json(),
        json!({"error": {"code": code, "message": message}, "request_id": id})
    );
}

#[tokio::test]
async fn r501_one_byte_more_than_1_mib_is_answered_413_declared_or_not_over_both_https() {
    let rig = rig().await;
    let token = rig.token(&Who::new("alice"));
    for http in [Http::One, Http::Two] {
        for declared in [true, false] {
            for size in [MIB + 1, MIB * 3 / 2] {
                let body = of_size(size);
                let pieces = body.chunks(16 * 1024).map(Bytes::copy_from_slice).collect();
                let sent = Piecemeal {
                    token: &token,
                    declared: declared.then_some(size),
                    pieces,
                    ends: true,
                };
                let (status, body) = sent.post(&rig, http).await;
                let what = format!("{http:?}, declared {declared}, {size}");
                assert_eq!(status, 413, "{what}: {body}");
                assert_eq!(body["error"]["code"], "payload_too_large", "{what}");
            }
        }
    }
    goes_on(&rig).await;
}

/// A simple client sends everything before it reads. Were the connection closed on what it is still sending, the refusal
/// would be lost with it.
#[tokio::test]
async fn r501_a_caller_that_reads_only_after_sending_gets_its_413() {
    let rig = rig().await;
    let token = rig.token(&Who::new("alice"));
    let body = of_size(MIB * 19 / 10);
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         MCP-Protocol-Version: 2025-11-25\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), &body].concat();
    let said = raw::exchange_tls(rig.address, &rig.ca_file, request).await;
    assert_eq!(raw::status(&said), 413);
    assert!(String::from_utf8_lossy(&said).contains("payload_too_large"));
    rig.upstream.saw_nothing();
}

#[tokio::test]
async fn r501_exactly_1_mib_is_served_declared_or_not_over_both_https() {
    let rig = rig().await;
    let token = rig.token(&Who::new("alice"));
    for http in [Http::One, Http::Two] {
        for declared in [true, false] {
            let body = of_size(MIB);
            let sent = Piecemeal {
                token: &token,
                declared: declared.then_some(MIB),
                pieces: body.chunks(64 * 1024).map(Bytes::copy_from_slice).collect(),
                ends: true,
            };
            assert_eq!(sent.post(&rig, http).await.0, 200, "{http:?} {declared}");
            assert_eq!(rig.upstream.seen().pop().unwrap().body, body);
        }
    }
}

#[tokio::test]
async fn r501_the_bound_can_be_set() {
    let rig = before(Plan::new().env("MAX_PAYLOAD_SIZE", "4096")).await;
    let caller = rig.caller("alice");
    for (size, status) in [(4097, 413), (4096, 200)] {
        let mut draft = ping(&caller);
        *draft.body_mut() = Full::new(of_size(size));
        assert_eq!(caller.send(draft).await.status, status, "{size}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_408_over_both_https() {
    let rig = before(Plan::new().settings("limits: { body_timeout: 1s }")).await;
    let token = rig.token(&Who::new("alice"));
    let slow = |http| {
        let sent = Piecemeal {
            token: &token,
            declared: (http == Http::One).then_some(100),
            pieces: vec![Bytes::from_static(b"{\"jsonrpc\":")],
            ends: false,
        };
        sent.post(&rig, http)
    };
    let (one, two) = tokio::join!(slow(Http::One), slow(Http::Two));
    for (status, body) in [one, two] {
        assert_eq!(status, 408, "{body}");
        assert_eq!(body["error"]["code"], "request_timeout");
    }
    goes_on(&rig).await;
}

#[tokio::test]
async fn a_body_that_is_no_single_message_is_a_clear_error() {
    let rig = rig().await;
    let caller = rig.caller("alice");
    let deep = |open: &str, close: &str, levels: usize| {
        let (open, close) = (open.repeat(levels), close.repeat(levels));
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{{\"a\":{open}1{close}}}}}"
        )
    };
    let good = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let bodies: Vec<(&str, Vec<u8>, i64)> = vec![
        ("nothing", vec![], -32700),
        ("blanks", b" \r\n\t".to_vec(), -32700),
        ("100k arrays", deep("[", "]", 100_000).into(), -32600),
        ("100k objects", deep("{\"a\":", "}", 100_000).into(), -32600),
        (
            "100k arrays without end",
            "[".repeat(100_000).into(),
            -32600,
        ),
        ("a batch", format!("[{good}]").into(), -32600),
        ("an empty batch", b"[]".to_vec(), -32600),
        ("a text", b"\"ping\"".to_vec(), -32600),
        ("null", b"null".to_vec(), -32600),
        (
            "two methods",
            br#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}"#.to_vec(),
            -32600,
        ),
        (
            "two methods, one escaped",
            br#"{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"x"}"#.to_vec(),
            -32600,
        ),
        (
            "a byte order mark",
            [b"\xef\xbb\xbf", good.as_bytes()].concat(),
            -32700,
        ),
        (
            "UTF-16",
            good.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            -32700,
        ),
        (
            "invalid UTF-8",
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\xff\"}".to_vec(),
            -32700,
        ),
        (
            "an overlong form",
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xc0\xaf\"}".to_vec(),
            -32700,
        ),
        ("two documents", format!("{good}{good}").into(), -32700),
        ("two lines", format!("{good}\n{good}").into(), -32700),
        ("half a document", good.as_bytes()[..20].to_vec(), -32700),
        ("a comment", format!("/* */{good}").into(), -32700),
        (
            "a trailing comma",
            br#"{"jsonrpc":"2.0","id":1,"method":"ping",}"#.to_vec(),
            -32700,
        ),
        (
            "NaN",
            br#"{"jsonrpc":"2.0","id":NaN,"method":"ping"}"#.to_vec(),
            -32700,
        ),
        (
            "another version",
            br#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#.to_vec(),
            -32600,
        ),
        (
            "no version",
            br#"{"id":1,"method":"ping"}"#.to_vec(),
            -32600,
        ),
    ];
    for (what, body, code) in bodies {
        let mut draft = ping(&caller);
        *draft.body_mut() = Full::from(body);
        let reply = caller.send(draft).await;
        assert_eq!(reply.status, 400, "{what}: {reply:?}");
        let said = reply.json();
        assert_eq!(said["error"]["code"], code, "{what}: {said}");
        assert_eq!(said["jsonrpc"], "2.0", "{what}");
        let words = said["error"]["message"].as_str().unwrap();
        assert!(words.len() > 10 && words.len() < 200, "{what}: {words}");
    }
    goes_on(&rig).await;
}

/// Whoever waits for `100 Continue` before the body hears a refusal at once, and is not asked for a body that nobody wants.
#[tokio::test]
async fn rfc9110_s10_1_1_a_refused_caller_is_not_asked_for_its_body() {
    let rig = rig().await;
    let good = rig.token(&Who::new("alice"));
    let head = |token: &str| {
        format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             MCP-Protocol-Version: 2025-11-25\r\nContent-Length: 40\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    let mut refused = raw::Connection::open_tls(rig.address, &rig.ca_file).await;
    refused.send(head("a.b.c")).await;
    let said = refused.read_to("\"request_id\"").await;
    assert!(said.starts_with("HTTP/1.1 401 "), "{said}");

    let mut served = raw::Connection::open_tls(rig.address, &rig.ca_file).await;
    served.send(head(&good)).await;
    served.read_to("HTTP/1.1 100 Continue\r\n\r\n").await;
    let call: Value = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_eq!(call.to_string().len(), 40);
    served.send(call.to_string()).await;
    let said = served.read_to("\"result\"").await;
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
}
