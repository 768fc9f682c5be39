//! What the legacy era alone asks for: sessions, the handshake, the GET stream, cancellation by message.

use std::time::Duration;

use hyper::Method;
use sallygate::demo::Settings;
use serde_json::{Value, json};

use super::{Running, count};
use crate::harness::mcp::set;
use crate::harness::sse::{Event, Step};
use crate::harness::wait;

#[tokio::test]
async fn mcp_2025_11_25_sessions_are_demanded_and_end() {
    let server = Running::start().await;
    let stranger = server.caller();
    assert_eq!(stranger.legacy("ping", json!({})).await.status, 400);
    let invented = stranger
        .clone()
        .in_session("00000000000000000000000000000000");
    assert_eq!(invented.legacy("ping", json!({})).await.status, 404);

    let caller = server.legacy_caller().await;
    assert_eq!(caller.legacy("ping", json!({})).await.result(), json!({}));
    let mut bad = caller.legacy_draft("ping", json!({}));
    set(&mut bad, "mcp-protocol-version", "2025-03-26");
    assert_eq!(caller.send(bad).await.status, 400);
    let mut silent = caller.legacy_draft("ping", json!({}));
    silent.headers_mut().remove("mcp-protocol-version");
    assert_eq!(caller.send(silent).await.status, 200);

    assert_eq!(
        caller.send(caller.legacy_bare(Method::DELETE)).await.status,
        204
    );
    assert_eq!(caller.legacy("ping", json!({})).await.status, 404);
    assert_eq!(
        caller.send(caller.legacy_bare(Method::DELETE)).await.status,
        404
    );
    assert_eq!(
        caller.send(caller.legacy_bare(Method::PUT)).await.status,
        405
    );
}

#[tokio::test]
async fn mcp_2025_11_25_the_revision_is_negotiated() {
    let server = Running::start().await;
    let caller = server.caller();
    for (asked, given) in [
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2025-03-26", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let params = json!({"protocolVersion": asked, "capabilities": {}, "clientInfo": {}});
        let reply = caller.legacy("initialize", params).await;
        assert_eq!(reply.result()["protocolVersion"], given);
        assert_eq!(reply.header("mcp-session-id").unwrap().len(), 32);
    }
    let bad = caller.legacy("initialize", json!({})).await;
    assert_eq!(bad.error_code(), Some(-32602));
    assert_eq!(bad.header("mcp-session-id"), None);
}

#[tokio::test]
async fn mcp_2025_11_25_a_cancelled_call_gets_no_answer_and_a_disconnect_cancels_nothing() {
    let settings = Settings {
        max_running: 1,
        ..Settings::default()
    };
    let server = Running::with(settings).await;
    let caller = server.legacy_caller().await;
    let cancel = caller.legacy_body(&json!({"jsonrpc": "2.0",
        "method": "notifications/cancelled", "params": {"requestId": 1}}));

    let stream = caller
        .open(caller.legacy_draft("tools/call", count(20, 1_000)))
        .await;
    assert_eq!(
        caller.legacy("tools/call", count(1, 0)).await.error_code(),
        Some(503)
    );
    assert_eq!(caller.send(cancel.clone()).await.status, 202);
    assert_eq!(stream.messages().await, Vec::<Value>::new());

    drop(
        caller
            .open(caller.legacy_draft("tools/call", count(20, 1_000)))
            .await,
    );
    assert_eq!(
        caller.legacy("tools/call", count(1, 0)).await.error_code(),
        Some(503)
    );
    assert_eq!(caller.send(cancel).await.status, 202);
    wait::until("room for a call after the cancellation", async || {
        let reply = caller.legacy("tools/call", count(1, 0)).await;
        (reply.error_code() != Some(503)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn mcp_2025_11_25_changes_travel_on_the_one_get_stream() {
    let settings = Settings {
        keep_alive: Duration::from_millis(5),
        ..Settings::default()
    };
    let server = Running::with(settings).await;
    let caller = server.legacy_caller().await;
    let mut stream = caller.open(caller.legacy_bare(Method::GET)).await;
    let second = caller.send(caller.legacy_bare(Method::GET)).await;
    assert_eq!(second.status, 409);
    let Step::Event(Event {
        comments,
        data: None,
        ..
    }) = stream.step().await
    else {
        panic!("a quiet stream sends comments")
    };
    assert_eq!(comments, ["keep-alive"]);

    let index = json!({"uri": "notes://index"});
    let nothing = json!({"uri": "notes://nothing"});
    assert_eq!(
        caller
            .legacy("resources/subscribe", nothing)
            .await
            .error_code(),
        Some(-32002)
    );
    caller
        .legacy("resources/subscribe", index.clone())
        .await
        .result();
    caller
        .call_legacy("delete_note", json!({"id": "n1"}))
        .await
        .result();
    let update = stream.message().await;
    assert_eq!(update["method"], "notifications/resources/updated");
    assert_eq!(update["params"], index);
    caller.legacy("resources/unsubscribe", index).await.result();
    caller
        .call_legacy("delete_note", json!({"id": "n2"}))
        .await
        .result();
    let note = json!({"uri": "notes://note/n3"});
    caller
        .legacy("resources/subscribe", note.clone())
        .await
        .result();
    caller
        .call_legacy("delete_note", json!({"id": "n3"}))
        .await
        .result();
    assert_eq!(
        stream.message().await["params"],
        note,
        "n2 was not subscribed"
    );

    assert_eq!(
        caller.send(caller.legacy_bare(Method::DELETE)).await.status,
        204
    );
    assert_eq!(
        stream.messages().await,
        Vec::<Value>::new(),
        "the stream ends with its session"
    );
}
