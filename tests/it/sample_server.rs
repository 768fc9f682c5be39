//! The sample MCP server on a real socket, in both eras: refusals first. What holds here is what the tests of the gateway
//! may take for granted about an honest upstream.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::Method;
use sallygate::demo::{self, Settings, TOOLS};
use sallygate::units::ByteSize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::harness::client::Client;
use crate::harness::mcp::{Mcp, set};
use crate::harness::raw;
use crate::harness::sse::{Event, Step};
use crate::harness::wait;

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), demo::DemoError>>,
}

impl Running {
    async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(demo::serve(listener, settings, shutdown));
        Self {
            address,
            stop,
            task,
        }
    }

    fn caller(&self) -> Mcp {
        Mcp::at(
            &Client::plain(),
            &format!("http://{}{}", self.address, demo::PATH),
        )
    }

    async fn legacy_caller(&self) -> Mcp {
        let mut caller = self.caller();
        let reply = caller.initialize().await;
        assert_eq!(reply.status, 200);
        caller
    }
}

fn count(to: u64, delay_ms: u64) -> Value {
    json!({"name": "count_slowly", "arguments": {"to": to, "delay_ms": delay_ms}})
}

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
