//! What a reload leaves as it is: counts, sessions, connections to servers, whose task is whose.

use serde_json::json;

use super::reload::{figure, plan, rig};
use crate::harness::client::Http;
use crate::harness::gateway::{Plan, Rig, Who};
use crate::harness::upstream::Answer;

async fn reloaded(rig: &Rig, old: &str, new: &str) {
    rig.edit(old, new);
    let done = rig.reload().await.unwrap_or_else(|unfit| panic!("{unfit}"));
    assert!(!done.changed.is_empty());
}

#[tokio::test]
async fn nobody_gets_a_fresh_minute_by_a_reload_but_the_new_limit_at_once() {
    let limit =
        |per_minute| format!("quotas: {{ tiers: {{ free: {{ per_minute: {per_minute} }} }} }}");
    let rig = rig(Plan::new().quotas(&limit(3))).await;
    let alice = rig.caller("alice");
    let status = async || alice.legacy("ping", json!({})).await.status.as_u16();
    for expected in [200, 200, 200, 429] {
        assert_eq!(status().await, expected);
    }
    // Another policy, the same quota.
    reloaded(
        &rig,
        "state_dir:",
        "policy: { tools: { disabled: [x] } }\nstate_dir:",
    )
    .await;
    assert_eq!(status().await, 429);
    reloaded(&rig, &limit(3), &limit(40)).await;
    // What was spent stays spent; it comes back as fast as the new limit says.
    let reply = alice.legacy("ping", json!({})).await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("x-ratelimit-limit")),
        (429, Some("40"))
    );
    let wait: u32 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!(wait <= 2, "{wait} s");
}

#[tokio::test]
async fn places_of_calls_that_run_are_still_taken_after_a_reload() {
    let rig = rig(Plan::new().quotas(
        "quotas: { concurrency: 1, tiers: { free: { per_minute: 1000, concurrency: 1 } } }",
    ))
    .await;
    rig.upstream.will(Answer::hang());
    let alice = rig.caller("alice");
    let asking = tokio::spawn({
        let (alice, draft) = (
            alice.clone(),
            alice.modern_draft("tools/call", json!({"name": "one"})),
        );
        async move { alice.attempt(draft).await.map(drop) }
    });
    rig.upstream.saw(1).await;
    reloaded(
        &rig,
        "state_dir:",
        "policy: { tools: { disabled: [x] } }\nstate_dir:",
    )
    .await;
    assert_eq!(
        rig.caller("alice").legacy("ping", json!({})).await.status,
        429
    );
    assert_eq!(
        rig.caller("bob").legacy("ping", json!({})).await.status,
        200
    );
    asking.abort();
    let _ = asking.await;
}

#[tokio::test]
async fn sessions_outlive_a_reload_though_no_key_is_configured() {
    let rig = rig(plan()).await;
    let ready = json!({"jsonrpc": "2.0", "id": 1, "result": {"protocolVersion": "2025-11-25"}});
    rig.upstream
        .will(Answer::json(&ready).header("mcp-session-id", "at-the-server"));
    rig.upstream.will(Answer::status(202));
    let mut alice = rig.caller("alice");
    alice.initialize().await;
    reloaded(&rig, "disabled: [two]", "disabled: [one]").await;
    assert_eq!(alice.legacy("ping", json!({})).await.status, 200);
    let last = rig.upstream.seen().pop().unwrap();
    assert_eq!(last.header("mcp-session-id"), Some("at-the-server"));
}

#[tokio::test]
async fn connections_to_a_server_stay_where_nothing_about_it_changed() {
    let rig = rig(plan()).await;
    let alice = rig.caller_by(Http::Two, &Who::new("alice"));
    alice.legacy("ping", json!({})).await;
    assert_eq!(rig.upstream.connections(), 1);
    for (old, new) in [
        ("[two]", "[one]"),
        ("concurrency: 1000", "concurrency: 999"),
    ] {
        reloaded(&rig, old, new).await;
        alice.legacy("ping", json!({})).await;
    }
    assert_eq!(rig.upstream.connections(), 1);
    reloaded(
        &rig,
        "    upstream:\n",
        "    upstream:\n      connect_timeout: 3s\n",
    )
    .await;
    alice.legacy("ping", json!({})).await;
    assert_eq!(rig.upstream.connections(), 2);
}

#[tokio::test]
async fn a_task_stays_its_owners_and_tokens_keep_their_fingerprints() {
    let rig = rig(plan()).await;
    let task = json!({"jsonrpc": "2.0", "id": 1, "result": {"task": {"taskId": "t-1", "status": "working",
        "createdAt": "2026-11-20T12:00:00Z", "ttl": null}}});
    rig.upstream.will(Answer::json(&task));
    let alice = rig.caller("alice");
    alice.call_legacy("one", json!({})).await;
    reloaded(&rig, "[two]", "[three]").await;
    reloaded(&rig, "kid: proof", "kid: other").await;
    reloaded(&rig, "kid: other", "kid: proof").await;
    let foreign = rig
        .caller("bob")
        .legacy("tasks/get", json!({"taskId": "t-1"}))
        .await;
    assert_eq!(foreign.error_code(), Some(-32602), "{foreign:?}");
    assert_eq!(rig.upstream.seen().len(), 1);
    alice.legacy("ping", json!({})).await;
    let lines = crate::harness::audit::wait_for_those_with(rig.audit_dir(), "\"alice\"", 2).await;
    let prints: Vec<_> = lines
        .iter()
        .map(|line| &line["details"]["fingerprint"])
        .collect();
    assert!(
        prints[0].is_string() && prints.windows(2).all(|two| two[0] == two[1]),
        "{prints:?}"
    );
}

#[tokio::test]
async fn nothing_is_reloaded_where_nothing_has_changed() {
    let rig = rig(plan()).await;
    rig.write(&format!("# a remark\n{}", rig.yaml()));
    let done = rig.reload().await.unwrap();
    assert!(done.changed.is_empty(), "{done:?}");
    assert_eq!(
        figure(&rig, "sallygate_config_reloads_total{result=\"unchanged\"}").await,
        Some(1.0)
    );
}
