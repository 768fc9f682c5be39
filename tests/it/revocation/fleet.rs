//! Two gateways on one Redis: what one ends has ended at the other, and neither serves while it cannot know.

use serde_json::json;

use super::{alice, serves, streams};
use crate::harness::audit;
use crate::harness::client::Http;
use crate::harness::gateway::{Plan, Rig};
use crate::harness::redis::Redis;
use crate::harness::sse::Step;
use crate::harness::wait;

/// A gateway of the fleet.
async fn gateway(redis: &Redis) -> Rig {
    let store = format!("store: {{ url: \"{}\", timeout: 10s }}", redis.url());
    // A look may take long on a busy machine; nobody shall be refused for it.
    Plan::new()
        .settings(&store)
        .settings("revocation: { poll: 50ms, stale_after: 1m }")
        .start()
        .await
}

#[tokio::test]
async fn r119_a_user_who_is_shut_out_at_one_gateway_is_cut_off_at_the_other() {
    let Some(redis) = Redis::start() else { return };
    let (one, two) = (gateway(&redis).await, gateway(&redis).await);
    let there = two.caller_by(Http::Two, &alice());
    let bob = two.caller("bob");
    assert!(serves(&two, &there).await && serves(&two, &bob).await);
    let (draft, _) = streams::streamed(&there).remove(1);
    let (mut stream, feed) = streams::begun(&two, &there, draft).await;

    one.revocations().disable("alice").await.unwrap();
    assert_eq!(stream.message().await["error"]["code"], 401);
    assert_eq!(stream.step().await, Step::End);
    feed.abandoned().await;
    assert!(!serves(&two, &there).await);
    assert!(serves(&two, &bob).await);

    // And one that starts afterwards knows it from the beginning.
    let three = gateway(&redis).await;
    let there = three.caller_by(Http::One, &alice());
    assert!(!serves(&three, &there).await);
}

#[tokio::test]
async fn c39_without_its_store_a_gateway_serves_nobody_and_comes_back_by_itself() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let store = format!("store: {{ url: \"{}\" }}", redis.url());
    let rig = Plan::new()
        .settings(&store)
        .settings("revocation: { poll: 50ms, stale_after: 1s }")
        .start()
        .await;
    let caller = rig.caller_by(Http::One, &alice());
    let status = async || {
        rig.upstream
            .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
        caller.legacy("ping", json!({})).await
    };
    wait::until("the gateway to serve", async || {
        (status().await.status == 200).then_some(())
    })
    .await;
    let (draft, _) = streams::streamed(&caller).remove(1);
    let (mut stream, _feed) = streams::begun(&rig, &caller, draft).await;

    redis.kill();
    assert_eq!(stream.message().await["error"]["code"], 503);
    assert_eq!(stream.step().await, Step::End);
    let refused = wait::until("the gateway to refuse", async || {
        let reply = status().await;
        (reply.status == 503).then_some(reply)
    })
    .await;
    assert_eq!(refused.json()["error"]["code"], "service_unavailable");
    assert!(
        refused
            .header("www-authenticate")
            .is_none_or(|it| !it.contains("error="))
    );
    let lines = audit::wait_for_those_with(rig.audit_dir(), "revocation_unknown", 2).await;
    assert!(
        lines.iter().all(|line| line["stage"] == "auth"),
        "{lines:?}"
    );

    redis.resume();
    wait::until("the gateway to serve again", async || {
        (status().await.status == 200).then_some(())
    })
    .await;
}
