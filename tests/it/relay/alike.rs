//! A hidden tool and one that does not exist are answered alike, however the upstream says that it has none and however
//! the question was put: same status, same headers, same bytes.

use serde_json::{Value, json};

use super::{HIDDEN, ruled};
use crate::harness::client::{Http, Reply};
use crate::harness::gateway::{Rig, Who};
use crate::harness::mcp::{Draft, Mcp, set};
use crate::harness::upstream::Answer;

/// As long as the hidden name.
const UNKNOWN: &str = "forget_note";

/// Status, headers and body, without what differs between any two answers.
fn shown(reply: &Reply) -> (u16, Vec<(String, String)>, String) {
    let mut headers: Vec<_> = reply
        .headers
        .iter()
        .filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()))
        .filter(|(name, _)| !name.as_str().contains("ratelimit"))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    let body = reply
        .text()
        .replace(HIDDEN, "{name}")
        .replace(UNKNOWN, "{name}");
    (reply.status.as_u16(), headers, body)
}

/// Asks for both and compares. The upstream answers the one that it is asked about with `answer`.
async fn assert_alike(rig: &Rig, caller: &Mcp, answer: Answer, make: &dyn Fn(&Mcp, &str) -> Draft) {
    let hidden = caller.send(make(caller, HIDDEN)).await;
    rig.upstream.will(answer);
    let unknown = caller.send(make(caller, UNKNOWN)).await;
    rig.upstream.will_nothing();
    assert_eq!(shown(&hidden), shown(&unknown));
    assert_eq!(
        hidden.headers.keys().len(),
        unknown.headers.keys().len(),
        "not one header more: {hidden:?} {unknown:?}"
    );
}

/// How servers say that they have no such tool.
fn unknown_answers() -> Vec<Answer> {
    let error = |code: i64, text: &str| json!({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": text}});
    let result = |text: &str| {
        json!({"jsonrpc": "2.0", "id": 1, "result": {"isError": true,
            "content": [{"type": "text", "text": text}]}})
    };
    let bodies = [
        error(-32602, "Unknown tool: forget_note"),
        error(-32602, "MCP error -32602: Tool forget_note not found"),
        error(-32601, "Method not found"),
        result("Unknown tool: forget_note"),
        result("MCP error -32602: Tool forget_note not found"),
    ];
    let sse = |body: &Value, before: &str| {
        Answer::bytes(format!("{before}event: message\ndata: {body}\n\n"))
            .header("content-type", "text/event-stream")
            .header("cache-control", "no-cache, no-transform")
            .header("x-accel-buffering", "no")
    };
    bodies
        .iter()
        .flat_map(|body| {
            [
                Answer::json(body),
                Answer::json(body)
                    .with_status(400)
                    .header("mcp-protocol-version", "2025-11-25")
                    .header("cache-control", "private")
                    .header("retry-after", "1"),
                Answer::json(body).with_status(404),
                sse(body, ""),
                sse(body, "id: 1\ndata:\n\n"),
                sse(body, ": hello\n\n"),
            ]
        })
        .collect()
}

#[tokio::test]
async fn r030_hidden_and_unknown_tools_are_answered_alike_however_the_upstream_says_it() {
    let rig = ruled().start().await;
    let params = |name: &str| json!({"name": name, "arguments": {}});
    for http in [Http::One, Http::Two] {
        let caller = rig.caller_by(http, &Who::new("alice"));
        for answer in unknown_answers() {
            let make = |caller: &Mcp, name: &str| caller.modern_draft("tools/call", params(name));
            assert_alike(&rig, &caller, answer, &make).await;
        }
        for answer in unknown_answers() {
            let make = |caller: &Mcp, name: &str| caller.legacy_draft("tools/call", params(name));
            assert_alike(&rig, &caller, answer, &make).await;
        }
    }
}

#[tokio::test]
async fn r030_a_question_that_is_wrong_in_itself_does_not_tell_hidden_from_unknown() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    let unknown = || {
        let text = "Unknown tool: forget_note";
        Answer::json(
            &json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": text}}),
        )
    };
    for (header, value) in [
        ("mcp-name", "echo"),
        ("mcp-method", "ping"),
        ("mcp-session-id", "never-issued"),
        ("mcp-name", "=?base64?!?="),
        ("mcp-param-region", "eu"),
    ] {
        let params = |name: &str| json!({"name": name, "arguments": {}});
        let modern = |caller: &Mcp, name: &str| {
            let mut draft = caller.modern_draft("tools/call", params(name));
            set(&mut draft, header, value);
            draft
        };
        let legacy = |caller: &Mcp, name: &str| {
            let mut draft = caller.legacy_draft("tools/call", params(name));
            set(&mut draft, header, value);
            draft
        };
        assert_alike(&rig, &caller, unknown(), &modern).await;
        assert_alike(&rig, &caller, unknown(), &legacy).await;
    }
}

#[tokio::test]
async fn r030_the_headers_that_a_hidden_tool_would_need_do_not_show_that_it_exists() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    let list = json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": HIDDEN, "inputSchema":
        {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}}]}});
    rig.upstream.will(Answer::json(&list));
    caller.modern("tools/list", json!({})).await.result();
    for region in [None, Some("us")] {
        let make = |caller: &Mcp, name: &str| {
            let params = json!({"name": name, "arguments": {"region": "eu"}});
            let mut draft = caller.modern_draft("tools/call", params);
            if let Some(region) = region {
                set(&mut draft, "mcp-param-region", region);
            }
            draft
        };
        let text = "Unknown tool: forget_note";
        let unknown =
            json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": text}});
        assert_alike(&rig, &caller, Answer::json(&unknown), &make).await;
    }
}

#[tokio::test]
async fn an_answer_of_the_tool_itself_is_never_taken_for_an_unknown_one() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    for body in [
        json!({"jsonrpc": "2.0", "id": 1, "result": {"isError": true,
            "content": [{"type": "text", "text": "file not found"}]}}),
        json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32602,
            "message": "Invalid arguments for tool echo: path not found"}}),
        json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": "boom", "data": [1]}}),
    ] {
        rig.upstream.will(Answer::json(&body));
        let reply = caller.call("echo", json!({})).await;
        assert_eq!(reply.text(), body.to_string());
    }
}

#[tokio::test]
async fn hidden_prompts_and_resources_are_answered_as_ones_that_the_upstream_does_not_know() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    let said = |code: i64, text: &str| json!({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": text}});
    let sse = |body: &Value| {
        Answer::bytes(format!("data: {body}\n\n")).header("content-type", "text/event-stream")
    };
    for (method, member, hidden, unknown, words) in [
        (
            "prompts/get",
            "name",
            "secret_prompt",
            "absent_prompt",
            vec![
                said(-32602, "MCP error -32602: Prompt absent_prompt not found"),
                said(0, "Unknown prompt: absent_prompt"),
                said(-32601, "Method not found"),
            ],
        ),
        (
            "resources/read",
            "uri",
            "secret://notes",
            "absent://notes",
            vec![
                said(-32002, "Resource not found"),
                said(0, "Unknown resource: absent://notes"),
                said(
                    -32602,
                    "MCP error -32602: Resource absent://notes not found",
                ),
            ],
        ),
    ] {
        for body in &words {
            for form in 0..4 {
                let answer = || match form {
                    0 => Answer::json(body),
                    1 => Answer::json(body).with_status(404),
                    2 => Answer::json(body)
                        .with_status(400)
                        .header("retry-after", "1"),
                    _ => sse(body),
                };
                for modern in [true, false] {
                    let draft = |name: &str| {
                        let params = json!({ member: name });
                        match modern {
                            true => caller.modern_draft(method, params),
                            false => caller.legacy_draft(method, params),
                        }
                    };
                    rig.upstream.will(answer());
                    let known = caller.send(draft(unknown)).await;
                    rig.upstream.will_nothing();
                    let covered = caller.send(draft(hidden)).await;
                    let plain = |reply: &Reply, name: &str| {
                        let (status, headers, body) = shown(reply);
                        (status, headers, body.replace(name, "{name}"))
                    };
                    assert_eq!(
                        plain(&known, unknown),
                        plain(&covered, hidden),
                        "{body} {modern}"
                    );
                }
            }
        }
    }
}
