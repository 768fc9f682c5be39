//! A task belongs to the user whose call created it. The server behind the gateway cannot tell users apart.

use serde_json::{Value, json};

use crate::harness::audit;
use crate::harness::gateway::Rig;
use crate::harness::upstream::Answer;

fn answer(result: &Value) -> Answer {
    Answer::json(&json!({"jsonrpc": "2.0", "id": 1, "result": result}))
}

#[tokio::test]
async fn r013_r167_r197_another_users_task_does_not_exist() {
    let rig = Rig::start().await;
    let (alice, bob) = (rig.caller("alice"), rig.caller("bob"));
    let created = json!({"task": {"taskId": "canary-task-1", "status": "working"}});
    rig.upstream.will(answer(&created));
    let call = json!({"name": "slow", "arguments": {}, "task": {}});
    assert_eq!(alice.legacy("tools/call", call).await.status, 200);
    let so_far = rig.upstream.seen().len();

    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        let refused = bob.legacy(method, json!({"taskId": "canary-task-1"})).await;
        assert_eq!(
            (refused.status.as_u16(), refused.error_code()),
            (200, Some(-32602)),
            "{method}"
        );
    }
    assert_eq!(
        rig.upstream.seen().len(),
        so_far,
        "the upstream hears nothing of it"
    );
    let line = |line: &Value| {
        line["event_type"] == "unauthorized_access" && line["rpc_method"] == "tasks/get"
    };
    assert_eq!(
        audit::line_of(rig.audit_dir(), line).await["user_id"],
        "bob"
    );

    rig.upstream.will(answer(
        &json!({"taskId": "canary-task-1", "status": "completed"}),
    ));
    let got = alice
        .legacy("tasks/get", json!({"taskId": "canary-task-1"}))
        .await;
    assert_eq!(got.result()["status"], "completed");
}

#[tokio::test]
async fn r167_a_list_of_tasks_shows_nobody_the_tasks_of_others() {
    let rig = Rig::start().await;
    let (alice, bob) = (rig.caller("alice"), rig.caller("bob"));
    rig.upstream.will(answer(
        &json!({"task": {"taskId": "of-alice", "status": "working"}}),
    ));
    alice
        .legacy(
            "tools/call",
            json!({"name": "slow", "arguments": {}, "task": {}}),
        )
        .await;
    let tasks = json!([{"taskId": "of-alice", "status": "working"}, {"taskId": "of-nobody", "status": "working"}]);
    for (caller, sees) in [(&bob, false), (&alice, true)] {
        rig.upstream
            .will(answer(&json!({"tasks": tasks, "nextCursor": "n"})));
        let list = caller.legacy("tasks/list", json!({})).await;
        assert_eq!(list.text().contains("of-alice"), sees);
        assert!(list.text().contains("of-nobody"));
        assert_eq!(list.result()["nextCursor"], "n");
    }
}
