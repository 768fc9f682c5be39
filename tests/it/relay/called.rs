//! A tool that is hidden cannot be called, by no spelling.

use serde_json::json;

use crate::harness::gateway::Plan;

#[tokio::test]
async fn r027_r030_a_disabled_tool_is_refused() {
    let rig = Plan::new()
        .env("DISABLED_TOOLS", "delete_note")
        .start()
        .await;
    let caller = rig.caller("alice");
    let reply = caller.call("delete_note", json!({})).await;
    assert_eq!(reply.error_code(), Some(-32602), "{reply:?}");
    rig.upstream.saw_nothing();
}
