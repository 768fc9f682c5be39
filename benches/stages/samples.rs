//! What the benches are fed with: a request as clients send it, an answer as servers give it.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request};
use sallygate::mcp::{Limits, Message};
use serde_json::{Value, json};

/// The revision that the requests are of.
pub(crate) const REVISION: &str = "2026-07-28";
/// The Host of the requests.
pub(crate) const HOST: &str = "mcp.example.com";

/// The head of a call with this token.
pub(crate) fn head(token: &str) -> Parts {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/mcp")
        .header("host", HOST)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("user-agent", "bench/1.0")
        .header("mcp-protocol-version", REVISION)
        .header("mcp-method", "tools/call")
        .header("mcp-name", "task_00_read")
        .header("content-length", "300");
    request.body(()).unwrap().into_parts().0
}

/// The headers of a call.
pub(crate) fn headers() -> HeaderMap {
    head("none").headers
}

/// A call of about so many bytes.
pub(crate) fn call(bytes: usize) -> Bytes {
    let mut call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "task_00_read",
        "arguments": {"task_id": "86a1b2c3d", "include_comments": true, "count": 7, "text": ""},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": REVISION,
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    }});
    let rest = bytes.saturating_sub(call.to_string().len());
    call["params"]["arguments"]["text"] = words(rest).into();
    call.to_string().into()
}

/// The same, decoded.
pub(crate) fn message() -> Message {
    Message::decode(call(300), &Limits::default()).unwrap()
}

/// The arguments of the call, as raw JSON.
pub(crate) const ARGUMENTS: &str = r#"{"task_id":"86a1b2c3d","include_comments":true,"count":7}"#;

/// The answer to `tools/list`: fifty tools, of which every fifth deletes something, about 38 kB.
pub(crate) fn list() -> Bytes {
    let tools: Vec<Value> = (0..50).map(tool).collect();
    json!({"jsonrpc": "2.0", "id": 1, "result": {
        "resultType": "complete", "tools": tools, "ttlMs": 60_000, "cacheScope": "private",
    }})
    .to_string()
    .into()
}

fn tool(number: usize) -> Value {
    let verb = if number % 5 == 4 { "delete" } else { "read" };
    let text = |bytes| json!({"type": "string", "description": words(bytes)});
    json!({
        "name": format!("task_{number:02}_{verb}"),
        "description": words(300),
        "inputSchema": {
            "type": "object",
            "properties": {"task_id": text(60), "include_comments": text(60), "page": text(60)},
            "required": ["task_id"],
            "additionalProperties": false,
        },
        "annotations": {"readOnlyHint": verb == "read", "openWorldHint": false},
    })
}

/// One event of a stream, about 200 bytes.
pub(crate) fn event() -> Bytes {
    let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {
        "progressToken": "p1", "progress": 7, "total": 100, "message": words(60),
    }});
    format!("event: message\ndata: {progress}\n\n").into()
}

/// Plain words of so many bytes.
fn words(bytes: usize) -> String {
    let words = "every good gate opens for the right people only and says so ";
    words.chars().cycle().take(bytes).collect()
}
