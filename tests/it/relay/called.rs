//! What is hidden cannot be called, in no spelling, header or encoding, and the upstream never hears of the attempt.

use serde_json::{Value, json};

use super::{HIDDEN, Sample, ruled};
use crate::harness::client::{Http, Reply};
use crate::harness::gateway::Who;
use crate::harness::mcp::{Draft, MODERN, Mcp, set};

/// The name in the sentinel form of the modern era.
const ENCODED: &str = "=?base64?ZGVsZXRlX25vdGU=?=";

fn meta() -> Value {
    json!({"io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {}})
}

/// No result, and nothing that says that the tool exists.
fn refused(reply: &Reply, what: &str) {
    let status = reply.status.as_u16();
    assert!(
        matches!(status, 200 | 202 | 400 | 404 | 415),
        "{what}: {reply:?}"
    );
    if status == 202 {
        assert!(reply.body.is_empty(), "{what}: {reply:?}");
    } else {
        assert!(reply.json().get("error").is_some(), "{what}: {reply:?}");
        assert!(reply.json().get("result").is_none(), "{what}: {reply:?}");
    }
}

#[tokio::test]
async fn r030_no_spelling_of_a_legacy_body_reaches_the_upstream_with_a_hidden_tool() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_note"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\u0064elete\u005Fnote"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools\/call","params":{"name":"delete_note"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"\u0074ools/call","params":{"\u006eame":"delete_note"}}"#,
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"delete_note"}}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"delete_note"}}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"tools/call","params":{"name":"delete_note"}}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{"name":"delete_note"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","name":"delete_note"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_note","name":"echo"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","Name":"delete_note"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"},"Params":{"name":"delete_note"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"},"param\u017f":{"name":"delete_note"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","METHOD":"tools/call","params":{"name":"delete_note"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method\u0000":"tools/call","params":{"name":"delete_note"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"delete_note"}}"#,
        r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_note"}}]"#,
        r#"[[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_note"}}]]"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["delete_note",{}]}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":["delete_note"]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":["tools/call"],"params":{"name":"delete_note"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_note","task":{"ttl":60000}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_note","arguments":{"a":1},"_meta":{"progressToken":1}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_note","inputResponses":{"q":{"action":"accept"}},"requestState":"s"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"method":"tools/call","params":{"name":"delete_note"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_note"}}"#,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\"}}\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"delete_note\"}}",
        "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"delete_note\"}}",
        r#"{"jsonrpc":"2.0","id":1,"method":"Tools/Call","params":{"name":"delete_note"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call ","params":{"name":"delete_note"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call\u0000","params":{"name":"delete_note"}}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"tools/call","params":{"name":"delete_note"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"delete_note"}}"#,
        r#"{'jsonrpc':'2.0','id':1,'method':'tools/call','params':{'name':'delete_note'}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo",/*"*/"name":"delete_note"/*"*/}}"#,
    ] {
        refused(&caller.send(caller.legacy_text(body)).await, body);
        rig.upstream.saw_nothing();
    }
}

#[tokio::test]
async fn r030_no_header_makes_a_hidden_tool_callable() {
    let rig = ruled().start().await;
    for http in [Http::One, Http::Two] {
        let caller = rig.caller_by(http, &Who::new("alice"));
        for draft in lying(&caller) {
            let what = format!("{draft:?}");
            refused(&caller.send(draft).await, &what);
            rig.upstream.saw_nothing();
        }
    }
}

/// Calls of the hidden tool whose headers claim something else, or claim it in other forms.
fn lying(caller: &Mcp) -> Vec<Draft> {
    let hidden = json!({"name": HIDDEN, "arguments": {}});
    let mut drafts = vec![
        caller.modern_draft("tools/call", hidden.clone()),
        caller.legacy_draft("tools/call", hidden.clone()),
    ];
    for (header, value) in [
        ("mcp-name", "echo"),
        ("mcp-name", ENCODED),
        ("mcp-name", "=?base64?ZWNobw==?="),
        ("mcp-method", "tools/list"),
        ("mcp-method", "ping"),
        ("mcp-protocol-version", "2025-11-25"),
        ("mcp-protocol-version", "2099-01-01"),
        ("mcp-session-id", "anything"),
        ("content-type", "application/json; charset=utf-16"),
        ("content-type", "text/plain"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-encoding", "gzip"),
        ("x-http-method-override", "GET"),
        ("x-original-url", "/health"),
        ("accept", "*/*"),
    ] {
        for mut draft in [
            caller.modern_draft("tools/call", hidden.clone()),
            caller.legacy_draft("tools/call", hidden.clone()),
        ] {
            set(&mut draft, header, value);
            drafts.push(draft);
        }
    }
    // An honest body with a header that names the hidden tool: an upstream that believes headers would run it.
    let honest = json!({"name": "echo", "arguments": {}});
    for name in [HIDDEN, ENCODED] {
        for mut draft in [
            caller.modern_draft("tools/call", honest.clone()),
            caller.legacy_draft("tools/call", honest.clone()),
        ] {
            set(&mut draft, "mcp-name", name);
            drafts.push(draft);
        }
    }
    let mut doubled = caller.modern_draft("tools/call", honest.clone());
    doubled
        .headers_mut()
        .append("mcp-name", HIDDEN.parse().unwrap());
    drafts.push(doubled);
    let mut called = caller.modern_draft("tools/list", json!({}));
    set(&mut called, "mcp-method", "tools/call");
    drafts.push(called);
    let mut unnamed = caller.modern_draft("tools/call", hidden);
    unnamed.headers_mut().remove("mcp-name");
    drafts.push(unnamed);
    drafts
}

#[tokio::test]
async fn r030_hidden_prompts_and_resources_cannot_be_used_by_any_method() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    let listen = |uris: Value| json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": uris}});
    for (method, params) in [
        ("prompts/get", json!({"name": "secret_prompt"})),
        ("resources/read", json!({"uri": "secret:1"})),
        ("resources/subscribe", json!({"uri": "secret:1"})),
        ("resources/unsubscribe", json!({"uri": "secret:1"})),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "secret_prompt"}, "argument": {"name": "a", "value": ""}}),
        ),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/resource", "uri": "secret:{id}"}, "argument": {"name": "a", "value": ""}}),
        ),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "greet", "Name": "secret_prompt"}, "argument": {"name": "a", "value": ""}}),
        ),
        ("subscriptions/listen", listen(json!(["secret:1"]))),
        (
            "subscriptions/listen",
            listen(json!(["notes:1", "secret:1"])),
        ),
        ("subscriptions/listen", listen(json!("secret:1"))),
        ("subscriptions/listen", listen(json!([["secret:1"]]))),
        ("sampling/createMessage", json!({})),
        ("elicitation/create", json!({})),
        ("roots/list", json!({})),
        ("tools/invoke", json!({"name": HIDDEN})),
        ("admin/reset", json!({})),
    ] {
        let what = format!("{method} {params}");
        for legacy in [true, false] {
            let draft = if legacy {
                caller.legacy_draft(method, params.clone())
            } else {
                caller.modern_draft(method, params.clone())
            };
            let reply = caller.send(draft).await;
            refused(&reply, &what);
            rig.upstream.saw_nothing();
        }
        let mut body = json!({"jsonrpc": "2.0", "method": method, "params": params});
        body["params"]["_meta"] = meta();
        let mut nameless = caller.modern_text(method, None, &body.to_string());
        nameless.headers_mut().remove("mcp-method");
        refused(&caller.send(nameless).await, &what);
        rig.upstream.saw_nothing();
    }
}

#[tokio::test]
async fn r030_a_hidden_tool_of_the_sample_server_stays_undone() {
    let sample = Sample::start().await;
    let rig = ruled().url(&sample.url).start().await;
    let mut caller = rig.caller("alice");
    caller.initialize().await.result();
    let arguments = json!({"id": "n1"});
    for reply in [
        caller.call(HIDDEN, arguments.clone()).await,
        caller.call_legacy(HIDDEN, arguments).await,
    ] {
        assert_eq!(
            reply.json()["error"]["message"],
            "Unknown tool: delete_note"
        );
    }
    let note = caller.call("read_note", json!({"id": "n1"})).await.result();
    assert_eq!(note["isError"], false, "the note is still there");
}
