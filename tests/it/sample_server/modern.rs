//! What the modern era alone asks for: headers that agree with the body, `_meta`, subscriptions, cancellation by leaving.

use hyper::Method;
use sallygate::demo::Settings;
use serde_json::{Value, json};

use super::{Running, count};
use crate::harness::mcp::set;
use crate::harness::sse::Step;
use crate::harness::wait;

#[tokio::test]
async fn mcp_2026_07_28_requests_are_held_to_their_headers() {
    let server = Running::start().await;
    let caller = server.caller();
    let call = json!({"name": "search_notes", "arguments": {"query": "a", "notebook": "garden"}});
    // One header spoilt (`None`: removed), the status and the code.
    for (header, value, status, code) in [
        ("mcp-protocol-version", None, 400, -32020),
        ("mcp-protocol-version", Some("2025-11-25"), 400, -32020),
        ("mcp-protocol-version", Some("2099-01-01"), 400, -32020),
        ("mcp-method", None, 400, -32020),
        ("mcp-method", Some("tools/list"), 400, -32020),
        ("mcp-method", Some("TOOLS/CALL"), 400, -32020),
        ("mcp-name", None, 400, -32020),
        ("mcp-name", Some("echo"), 400, -32020),
        ("mcp-name", Some("=?base64?!!?="), 400, -32020),
        ("mcp-name", Some("=?base64?ZWNobw==?="), 400, -32020),
        ("mcp-param-notebook", None, 400, -32020),
        ("mcp-param-notebook", Some("work"), 400, -32020),
    ] {
        let mut draft = caller.modern_draft("tools/call", call.clone());
        set(&mut draft, "mcp-param-notebook", "garden");
        match value {
            Some(value) => set(&mut draft, header, value),
            None => drop(draft.headers_mut().remove(header)),
        }
        let reply = caller.send(draft).await;
        let got = (reply.status.as_u16(), reply.error_code());
        assert_eq!(got, (status, Some(code)), "{header} {value:?}");
    }
    let mut twice = caller.modern_draft("tools/list", json!({}));
    twice
        .headers_mut()
        .append("mcp-method", "tools/list".parse().unwrap());
    assert_eq!(caller.send(twice).await.error_code(), Some(-32020));
    let mut extra = caller.modern_draft(
        "tools/call",
        json!({"name": "search_notes", "arguments": {"query": "a"}}),
    );
    set(&mut extra, "mcp-param-notebook", "garden");
    assert_eq!(caller.send(extra).await.error_code(), Some(-32020));

    let mut right = caller.modern_draft("tools/call", call);
    set(&mut right, "mcp-name", "=?base64?c2VhcmNoX25vdGVz?=");
    set(&mut right, "mcp-param-notebook", "=?base64?Z2FyZGVu?=");
    set(&mut right, "mcp-param-unknown", "ignored");
    set(&mut right, "mcp-session-id", "ignored");
    let reply = caller.send(right).await;
    assert_eq!(
        reply.result()["structuredContent"]["notes"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(reply.header("mcp-session-id"), None);
}

#[tokio::test]
async fn mcp_2026_07_28_versions_meta_and_methods_are_refused_with_their_codes() {
    let server = Running::start().await;
    let caller = server.caller();
    let meta = |version: Value| {
        json!({"_meta": {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientCapabilities": {}}})
    };
    // Params as they are, the version header, the status and the code.
    for (params, header, status, code) in [
        (meta("2099-01-01".into()), Some("2099-01-01"), 400, -32022),
        (json!({}), Some("2099-01-01"), 400, -32022),
        (meta("2026-07-28".into()), None, 400, -32020),
        (json!({}), Some("2026-07-28"), 400, -32602),
        (meta(json!(5)), Some("2026-07-28"), 400, -32602),
        (
            json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}),
            Some("2026-07-28"),
            400,
            -32602,
        ),
    ] {
        let mut draft = caller.legacy_draft("tools/list", params.clone());
        set(&mut draft, "mcp-method", "tools/list");
        match header {
            Some(header) => set(&mut draft, "mcp-protocol-version", header),
            None => drop(draft.headers_mut().remove("mcp-protocol-version")),
        }
        let reply = caller.send(draft).await;
        assert_eq!(
            (reply.status.as_u16(), reply.error_code()),
            (status, Some(code)),
            "{params}"
        );
        if code == -32022 {
            let data = json!({"supported": ["2026-07-28"], "requested": "2099-01-01"});
            assert_eq!(reply.json()["error"]["data"], data);
        }
    }
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "nonsense",
    ] {
        let reply = caller.modern(method, json!({})).await;
        assert_eq!(
            (reply.status.as_u16(), reply.error_code()),
            (404, Some(-32601)),
            "{method}"
        );
    }
    for method in [Method::GET, Method::DELETE] {
        let mut draft = caller.legacy_bare(method);
        set(&mut draft, "mcp-protocol-version", "2026-07-28");
        let reply = caller.send(draft).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("allow")),
            (405, Some("POST"))
        );
    }
    let mut answer = caller.legacy_body(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    set(&mut answer, "mcp-protocol-version", "2026-07-28");
    assert_eq!(caller.send(answer).await.status, 400);
    let mut note = caller.legacy_body(&json!({"jsonrpc": "2.0", "method": "notifications/x"}));
    set(&mut note, "mcp-protocol-version", "2026-07-28");
    let reply = caller.send(note).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (202, 0));
}

#[tokio::test]
async fn mcp_2026_07_28_a_disconnect_is_a_cancellation() {
    let settings = Settings {
        max_running: 1,
        ..Settings::default()
    };
    let server = Running::with(settings).await;
    let caller = server.caller();
    let stream = caller
        .open(caller.modern_draft("tools/call", count(20, 1_000)))
        .await;
    assert_eq!(
        caller.modern("tools/call", count(1, 0)).await.error_code(),
        Some(503)
    );
    drop(stream);
    wait::until("room for a call after the disconnect", async || {
        let reply = caller.modern("tools/call", count(1, 0)).await;
        (reply.error_code() != Some(503)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn mcp_2026_07_28_subscriptions_are_acknowledged_and_end_with_a_result() {
    let server = Running::start().await;
    let caller = server.caller();
    let bad = caller.modern("subscriptions/listen", json!({})).await;
    assert_eq!(bad.error_code(), Some(-32602));
    let wishes = json!({"notifications": {"toolsListChanged": true,
        "resourceSubscriptions": ["notes://index", "notes://nothing"]}});
    let mut stream = caller
        .open(caller.modern_draft("subscriptions/listen", wishes))
        .await;
    let about = json!({"io.modelcontextprotocol/subscriptionId": 1});
    let first = stream.message().await;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(
        first["params"]["notifications"],
        json!({"resourceSubscriptions": ["notes://index"]})
    );
    assert_eq!(first["params"]["_meta"], about);
    caller
        .call("delete_note", json!({"id": "n1"}))
        .await
        .result();
    let update = stream.message().await;
    assert_eq!(
        update["params"],
        json!({"uri": "notes://index", "_meta": about})
    );

    server.stop.send(()).unwrap();
    let last = stream.message().await;
    assert_eq!(last["id"], 1);
    assert_eq!(last["result"]["resultType"], "complete");
    assert_eq!(
        last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        1
    );
    assert_eq!(stream.step().await, Step::End);
    wait::soon("the server to stop", server.task)
        .await
        .unwrap()
        .unwrap();
}
