//! What a caller sees but may use only with more scopes or other arguments.

use serde_json::json;

use super::{names, result, ruled, tools};
use crate::harness::audit;
use crate::harness::client::Http;
use crate::harness::gateway::{Plan, Who};
use crate::harness::upstream::Answer;

#[tokio::test]
async fn r534_missing_scopes_are_named_all_at_once_and_the_tool_stays_listed() {
    let rig = Plan::new()
        .route("tools: { scopes: { delete_note: [\"mcp:write\", \"notes:delete\"], \"delete_*\": [\"mcp:read\"] } }")
        .start()
        .await;
    let reader = Who::new("alice").scopes(&["mcp:read"]);
    for http in [Http::One, Http::Two] {
        let caller = rig.caller_by(http, &reader);
        for reply in [
            caller.call("delete_note", json!({})).await,
            caller.call_legacy("delete_note", json!({})).await,
        ] {
            assert_eq!(reply.status, 403);
            assert_eq!(reply.json()["error"]["code"], "insufficient_scope");
            let challenge = reply.header("www-authenticate").unwrap();
            assert!(challenge.starts_with("Bearer "), "{challenge}");
            assert!(
                challenge.contains(r#"error="insufficient_scope""#),
                "{challenge}"
            );
            let metadata =
                r#"resource_metadata="https://localhost/.well-known/oauth-protected-resource/mcp""#;
            assert!(challenge.contains(metadata), "{challenge}");
            let scope = challenge.split("scope=\"").nth(1).unwrap();
            let mut scopes: Vec<_> = scope.split('"').next().unwrap().split(' ').collect();
            scopes.sort_unstable();
            assert_eq!(scopes, ["mcp:read", "mcp:write", "notes:delete"]);
        }
    }
    rig.upstream.saw_nothing();
    let caller = rig.caller_by(Http::One, &reader);
    rig.upstream.always(&tools(&["delete_note", "echo"]));
    let list = caller.modern("tools/list", json!({})).await.json();
    assert_eq!(names(&list), ["delete_note", "echo"]);
    rig.upstream.always(&result(&json!({"content": []})));
    caller.call("echo", json!({})).await.result();
    let scopes = ["mcp:read", "mcp:write", "notes:delete"];
    let full = rig.caller_by(Http::One, &Who::new("alice").scopes(&scopes));
    full.call("delete_note", json!({})).await.result();
}

#[tokio::test]
async fn r534_without_the_scopes_of_the_route_nothing_passes() {
    let rig = Plan::new()
        .route("required_scopes: [\"notes:use\"]")
        .start()
        .await;
    let caller = rig.caller("alice");
    for reply in [
        caller.call("echo", json!({})).await,
        caller.modern("tools/list", json!({})).await,
        caller.send(caller.legacy_bare(hyper::Method::GET)).await,
        caller.send(caller.legacy_bare(hyper::Method::DELETE)).await,
    ] {
        assert_eq!(reply.status, 403, "{reply:?}");
        let challenge = reply.header("www-authenticate").unwrap();
        assert!(challenge.contains(r#"scope="notes:use""#), "{challenge}");
    }
    rig.upstream.saw_nothing();
}

#[tokio::test]
async fn r030_rules_over_arguments_list_the_tool_and_judge_each_call() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    for arguments in [
        json!({"a": 10, "b": 1}),
        json!({"b": 1}),
        json!({}),
        json!({"a": "1"}),
        json!({"a": null}),
        json!({"a": [1]}),
    ] {
        for reply in [
            caller.call("add", arguments.clone()).await,
            caller.call_legacy("add", arguments.clone()).await,
        ] {
            assert_eq!(reply.status, 200);
            assert_eq!(reply.error_code(), Some(403), "{arguments}: {reply:?}");
        }
    }
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":10,"a":1}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":1,"A":10}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":1},"Arguments":{"a":10}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":"{\"a\":1}"}}"#,
    ] {
        let reply = caller.send(caller.legacy_text(body)).await;
        assert!(reply.error_code().is_some(), "{body}: {reply:?}");
    }
    rig.upstream.saw_nothing();
    rig.upstream.will(Answer::json(&tools(&["add", "echo"])));
    let list = caller.modern("tools/list", json!({})).await.json();
    assert_eq!(names(&list), ["add", "echo"]);
    rig.upstream.always(&result(&json!({"content": []})));
    caller.call("add", json!({"a": 9, "b": 1})).await.result();
    caller.call_legacy("add", json!({"a": -3})).await.result();
}

#[tokio::test]
async fn r030_refused_calls_stand_in_the_audit_trail_with_the_rule_that_refused() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    caller.call("delete_note", json!({"id": "n1"})).await;
    caller.call("add", json!({"a": 11})).await;
    for (tool, reason) in [("delete_note", "hidden_tool"), ("add", "arguments_refused")] {
        let lines = audit::wait_for_those_with(rig.audit_dir(), reason, 1).await;
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert_eq!(line["tool_name"], tool, "{line}");
        assert_eq!(line["stage"], "policy", "{line}");
        assert_eq!(line["user_id"], "alice", "{line}");
        assert_eq!(line["event_type"], "access_denied", "{line}");
        assert!(line["rule"].is_string(), "{line}");
    }
}
