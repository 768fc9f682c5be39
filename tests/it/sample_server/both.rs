//! What holds in either era: the rims of the server, wrong calls, the lists, progress.

use std::net::SocketAddr;

use sallygate::demo::{Settings, TOOLS};
use sallygate::units::ByteSize;
use serde_json::{Value, json};

use super::{Running, count};
use crate::harness::raw;

/// A raw POST to the endpoint with these header lines.
async fn post_raw(address: SocketAddr, headers: &str, body: &str) -> u16 {
    let length = body.len();
    let head = format!("POST /mcp HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n");
    raw::status(&raw::exchange(address, format!("{head}{headers}\r\n{body}")).await)
}

#[tokio::test]
async fn foreign_origins_hosts_and_media_types_are_refused() {
    let server = Running::start().await;
    const JSON: &str = "Content-Type: application/json\r\n";
    const BOTH: &str = "Accept: application/json, text/event-stream\r\n";
    for (headers, status) in [
        (format!("Host: evil.test\r\n{JSON}{BOTH}"), 403),
        (
            format!("Host: localhost\r\nOrigin: https://evil.test\r\n{JSON}{BOTH}"),
            403,
        ),
        (
            format!("Host: localhost\r\nOrigin: null\r\n{JSON}{BOTH}"),
            403,
        ),
        (format!("Host: localhost.evil.test\r\n{JSON}{BOTH}"), 403),
        (
            format!("Host: localhost\r\nContent-Type: text/plain\r\n{BOTH}"),
            415,
        ),
        (format!("Host: localhost\r\n{BOTH}"), 415),
        (format!("Host: localhost\r\n{JSON}"), 406),
        (
            format!("Host: localhost\r\n{JSON}Accept: application/json\r\n"),
            406,
        ),
        (format!("Host: localhost\r\n{JSON}{BOTH}"), 400),
        (
            format!("Host: [::1]:1\r\nOrigin: http://localhost:1\r\n{JSON}{BOTH}"),
            400,
        ),
    ] {
        assert_eq!(
            post_raw(server.address, &headers, "{").await,
            status,
            "{headers}"
        );
    }
    let other = raw::exchange(
        server.address,
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(raw::status(&other.await), 404);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let settings = Settings {
        max_body: ByteSize::bytes(500),
        ..Settings::default()
    };
    let server = Running::with(settings).await;
    let caller = server.caller();
    let long = caller.call("echo", json!({"text": "x".repeat(500)})).await;
    assert_eq!(long.status, 413);
    assert_eq!(caller.call("echo", json!({"text": "x"})).await.status, 200);
}

#[tokio::test]
async fn mcp_jsonrpc_anything_but_one_message_is_refused() {
    let server = Running::start().await;
    let caller = server.legacy_caller().await;
    for (body, code) in [
        (
            json!([{"jsonrpc": "2.0", "id": 1, "method": "ping"}]),
            -32600,
        ),
        (json!("ping"), -32600),
        (json!({"id": 1, "method": "ping"}), -32600),
        (json!({"jsonrpc": "1.0", "id": 1, "method": "ping"}), -32600),
        (
            json!({"jsonrpc": "2.0", "id": null, "method": "ping"}),
            -32600,
        ),
        (
            json!({"jsonrpc": "2.0", "id": 1.5, "method": "ping"}),
            -32600,
        ),
        (json!({"jsonrpc": "2.0", "id": 1, "method": 5}), -32600),
        (json!({"jsonrpc": "2.0", "id": 1}), -32600),
        (
            json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}),
            -32600,
        ),
        (
            json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "result": {}}),
            -32600,
        ),
    ] {
        let reply = caller.send(caller.legacy_body(&body)).await;
        assert_eq!(
            (reply.status.as_u16(), reply.error_code()),
            (400, Some(code)),
            "{body}"
        );
    }
}

#[tokio::test]
async fn both_eras_refuse_the_same_wrong_calls() {
    let server = Running::start().await;
    let legacy = server.legacy_caller().await;
    let modern = server.caller();
    // Method, params, and the code of the legacy and of the modern era.
    for (method, params, old, new) in [
        ("tools/call", json!({"name": "format_disk"}), -32602, -32602),
        (
            "tools/call",
            json!({"name": "echo", "arguments": []}),
            -32602,
            -32602,
        ),
        ("prompts/get", json!({"name": "nothing"}), -32602, -32602),
        ("prompts/get", json!({"name": "draft_note"}), -32602, -32602),
        (
            "resources/read",
            json!({"uri": "notes://note/n99"}),
            -32002,
            -32602,
        ),
        (
            "resources/read",
            json!({"uri": "file:///etc/passwd"}),
            -32002,
            -32602,
        ),
        ("tools/list", json!({"cursor": ""}), -32602, -32602),
        ("tools/list", json!({"cursor": "from-0"}), -32602, -32602),
        ("tools/list", json!({"cursor": "from-99"}), -32602, -32602),
    ] {
        let said = legacy.legacy(method, params.clone()).await;
        assert_eq!(
            (said.status.as_u16(), said.error_code()),
            (200, Some(old)),
            "{method} {params}"
        );
        let said = modern.modern(method, params.clone()).await;
        assert_eq!(
            (said.status.as_u16(), said.error_code()),
            (200, Some(new)),
            "{method} {params}"
        );
    }
    let unknown = legacy.call_legacy("format_disk", json!({})).await;
    assert_eq!(
        unknown.json()["error"]["message"],
        "Unknown tool: format_disk"
    );
    assert_eq!(
        legacy
            .legacy("logging/setLevel", json!({}))
            .await
            .error_code(),
        Some(-32601)
    );
    let failed = modern.call("read_note", json!({"id": 5})).await.result();
    assert_eq!(failed["isError"], true);
    assert_eq!(failed["resultType"], "complete");
}

#[tokio::test]
async fn both_eras_offer_the_same_and_only_the_modern_one_hints_at_caches() {
    let server = Running::start().await;
    let legacy = server.legacy_caller().await;
    let modern = server.caller();
    for (method, list, length) in [
        ("tools/list", "tools", TOOLS.len()),
        ("prompts/list", "prompts", 2),
        ("resources/list", "resources", 3),
        ("resources/templates/list", "resourceTemplates", 1),
    ] {
        let old = legacy.legacy(method, json!({})).await.result();
        let new = modern.modern(method, json!({})).await.result();
        assert_eq!(old[list], new[list]);
        assert_eq!(old[list].as_array().unwrap().len(), length);
        assert_eq!(old.as_object().unwrap().len(), 1, "nothing but the list");
        let hints = (&new["ttlMs"], &new["cacheScope"], &new["resultType"]);
        assert_eq!(
            hints,
            (&json!(60_000), &json!("public"), &json!("complete"))
        );
    }
    let discovered = modern.modern("server/discover", json!({})).await.result();
    assert_eq!(discovered["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(
        discovered["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "sallygate-sample"
    );
    let note = modern
        .modern("resources/read", json!({"uri": "notes://note/n5"}))
        .await
        .result();
    assert!(
        note["contents"][0]["text"]
            .as_str()
            .unwrap()
            .contains("door")
    );
    assert_eq!(note["ttlMs"], 0);
    let prompt = json!({"name": "summarise_note", "arguments": {"id": "n1"}});
    let prompt = modern.modern("prompts/get", prompt).await.result();
    assert_eq!(prompt["messages"][0]["role"], "user");
    assert_eq!(prompt.get("ttlMs"), None);
    let sum = legacy
        .call_legacy("add", json!({"a": 2, "b": 3}))
        .await
        .result();
    assert_eq!(sum["structuredContent"], json!({"sum": 5}));
    assert_eq!(sum.get("resultType"), None);
}

#[tokio::test]
async fn mcp_pagination_the_pages_together_are_the_list() {
    let settings = Settings {
        page_size: 3,
        ..Settings::default()
    };
    let server = Running::with(settings).await;
    let caller = server.caller();
    let (mut names, mut params, mut pages) = (Vec::new(), json!({}), 0);
    loop {
        let page = caller.modern("tools/list", params).await.result();
        let tools = page["tools"].as_array().unwrap().clone();
        names.extend(
            tools
                .iter()
                .map(|tool| tool["name"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        match page.get("nextCursor") {
            Some(cursor) => params = json!({"cursor": cursor}),
            None => break,
        }
    }
    assert_eq!((names, pages), (TOOLS.map(String::from).to_vec(), 3));
}

#[tokio::test]
async fn mcp_progress_is_reported_where_a_token_was_given() {
    let server = Running::start().await;
    let legacy = server.legacy_caller().await;
    let modern = server.caller();
    let mut with_token = count(3, 0);
    with_token["_meta"] = json!({"progressToken": "p"});
    for draft in [
        legacy.legacy_draft("tools/call", with_token.clone()),
        modern.modern_draft("tools/call", with_token),
    ] {
        let stream = modern.open(draft).await;
        assert_eq!(stream.headers["x-accel-buffering"], "no");
        let messages = stream.messages().await;
        let progress: Vec<_> = messages
            .iter()
            .map(|m| m["params"]["progress"].clone())
            .collect();
        assert_eq!(progress, [json!(1), json!(2), json!(3), Value::Null]);
        assert!(
            messages[..3]
                .iter()
                .all(|m| m["params"]["progressToken"] == "p")
        );
        assert_eq!(messages[3]["id"], 1);
        assert_eq!(messages[3]["result"]["structuredContent"]["counted"], 3);
    }
    let draft = legacy.legacy_draft("tools/call", count(3, 0));
    assert_eq!(legacy.open(draft).await.messages().await.len(), 1);
}
