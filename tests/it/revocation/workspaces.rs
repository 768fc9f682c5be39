//! Calls that name a workspace: the caller's own pass, and nobody else's does.

use serde_json::{Value, json};

use crate::harness::client::Http;
use crate::harness::gateway::{Plan, Who};
use crate::harness::{audit, mcp::Mcp};

fn done() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}})
}

#[tokio::test]
async fn r169_r170_c28_a_foreign_workspace_is_refused_and_told_about() {
    let rig = Plan::new()
        .route("workspace_arguments: [team_id, workspace_id]")
        .start()
        .await;
    let caller = rig.caller_by(Http::One, &Who::new("12345").team("9001"));
    for arguments in [
        json!({"team_id": "9002"}),
        json!({"workspace_id": 9002}),
        json!({"team_id": "9001", "workspace_id": "9002"}),
        json!({"team_id": ["9001", "9002"]}),
        json!({"filter": {"Team_Id": "9002"}}),
        json!({"team_id": {"id": "9001"}}),
        json!({"team_id": ""}),
    ] {
        for modern in [true, false] {
            let reply = match modern {
                true => caller.call("create_task", arguments.clone()).await,
                false => caller.call_legacy("create_task", arguments.clone()).await,
            };
            assert_eq!(reply.status, 200, "{reply:?}");
            assert_eq!(reply.json()["error"]["code"], 403, "{arguments}: {reply:?}");
        }
    }
    let prompt = json!({"name": "report", "arguments": {"team_id": "9002"}});
    let reply = caller.legacy("prompts/get", prompt).await;
    assert_eq!(reply.json()["error"]["code"], 403, "{reply:?}");
    rig.upstream.saw_nothing();

    let lines = audit::wait_for_those_with(rig.audit_dir(), "foreign_workspace", 15).await;
    assert_eq!(lines.len(), 15);
    for line in lines {
        assert_eq!(line["event_type"], "unauthorized_access", "{line}");
        let action = "unauthorized_workspace_access_attempt";
        assert_eq!(line["action"], action, "{line}");
        assert_eq!(line["severity"], "high", "{line}");
        assert_eq!(line["user_id"], "12345", "{line}");
        assert_eq!(line["team_id"], "9001", "{line}");
        assert_eq!(line["stage"], "policy", "{line}");
    }
}

#[tokio::test]
async fn c28_ones_own_workspace_and_calls_that_name_none_pass() {
    let watched = Plan::new()
        .route("workspace_arguments: [team_id]")
        .start()
        .await;
    let open = Plan::new().start().await;
    let who = Who::new("12345").team("9001");
    for (rig, arguments) in [
        (&watched, json!({"team_id": "9001"})),
        (&watched, json!({"team_id": 9001})),
        (&watched, json!({"team_id": null, "workspace_id": "9002"})),
        (&watched, json!({})),
        (&open, json!({"team_id": "9002"})),
    ] {
        rig.upstream.always(&done());
        let caller: Mcp = rig.caller_by(Http::One, &who);
        let reply = caller.call_legacy("create_task", arguments.clone()).await;
        assert!(reply.json()["result"].is_object(), "{arguments}: {reply:?}");
    }
}
