//! Stage 4 over the wire: how much each tier may do, that it is the user who is counted and nothing else, and what a refused
//! caller is told. The clock stands still, so that not a single request is free again before its time.

use std::time::Duration;

use sallygate::clock::{Clock, Timestamp};
use serde_json::{Value, json};

use crate::harness::client::{Client, Http, Reply};
use crate::harness::gateway::{Plan, Rig, Who};
use crate::harness::mcp::{Mcp, set};
use crate::harness::upstream::Answer;
use crate::harness::{audit, wait};

const NOW: i64 = 1_800_000_000;

async fn rig(quotas: &str) -> (Rig, Clock) {
    let clock = Clock::manual(Timestamp::from_seconds(NOW));
    let rig = Plan::new().quotas(quotas).clock(&clock).start().await;
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}});
    rig.upstream.always(&answer);
    (rig, clock)
}

async fn call(caller: &Mcp) -> Reply {
    caller.call_legacy("echo", json!({})).await
}

/// Calls until the limit is reached; answers how many calls were served and the refusal.
async fn exhaust(caller: &Mcp) -> (u32, Reply) {
    for served in 0..2000 {
        let reply = call(caller).await;
        match reply.status.as_u16() {
            200 => {}
            429 => return (served, reply),
            other => panic!("{other} after {served}: {reply:?}"),
        }
    }
    panic!("no limit")
}

fn number(reply: &Reply, name: &str) -> i64 {
    let text = reply
        .header(name)
        .unwrap_or_else(|| panic!("{name} in {reply:?}"));
    text.parse().unwrap()
}

fn refused(reply: &Reply, details: &Value) {
    let id = reply.header("x-request-id").unwrap();
    let error =
        json!({"code": "rate_limited", "message": "Rate limit exceeded", "details": details});
    assert_eq!(reply.json(), json!({"error": error, "request_id": id}));
}

#[tokio::test]
async fn r135_r147_r148_r149_r150_r452_the_free_tier_has_100_a_minute_and_is_told_exactly() {
    let (rig, clock) = rig("quotas: { upgrade_url: \"https://example.com/plans\" }").await;
    let caller = rig.caller("alice");
    let (served, reply) = exhaust(&caller).await;
    assert_eq!(served, 100);
    refused(
        &reply,
        &json!({"limit": 100, "reset_in_seconds": 1, "upgrade_url": "https://example.com/plans"}),
    );
    assert_eq!(number(&reply, "retry-after"), 1);
    assert_eq!(number(&reply, "x-ratelimit-limit"), 100);
    assert_eq!(number(&reply, "x-ratelimit-remaining"), 0);
    assert_eq!(number(&reply, "x-ratelimit-reset"), NOW + 1);
    assert_eq!(rig.upstream.seen().len(), 100);

    clock.advance(Duration::from_secs(1));
    assert_eq!(
        call(&caller).await.status,
        200,
        "when it was told to come back"
    );
    let line = audit::wait_for(rig.audit_dir(), 102).await;
    let limited: Vec<_> = line
        .iter()
        .filter(|line| line["action"] == "rate_limit_exceeded")
        .collect();
    assert_eq!(limited.len(), 1, "{limited:?}");
    assert_eq!(limited[0]["user_id"], "alice");
    assert_eq!(limited[0]["stage"], "quota");
}

#[tokio::test]
async fn r135_r151_r452_premium_has_500_and_the_top_tier_is_offered_no_upgrade() {
    let (rig, _) = rig("quotas: { upgrade_url: \"https://example.com/plans\", tiers: { enterprise: { per_minute: 600 } } }").await;
    for (tier, limit) in [("premium", 500), ("enterprise", 600)] {
        let caller = rig.caller_by(Http::Two, &Who::new(tier).tier(tier));
        let (served, reply) = exhaust(&caller).await;
        assert_eq!(served, limit);
        let details = reply.json()["error"]["details"].take();
        assert_eq!(details["limit"], limit);
        let offered = details.get("upgrade_url").is_some();
        assert_eq!(offered, tier == "premium", "{details}");
    }
}

#[tokio::test]
async fn r133_r165_users_are_counted_apart_and_a_user_everywhere_together() {
    let (rig, _) = rig("quotas: { tiers: { free: { per_minute: 6 } } }").await;
    // Three connections, two versions of HTTP and two tokens are still one user.
    let again = rig.caller_by(Http::Two, &Who::new("alice").scopes(&["mcp:read"]));
    let callers = [rig.caller("alice"), again, rig.caller("alice")];
    for caller in callers.iter().cycle().take(6) {
        assert_eq!(call(caller).await.status, 200);
    }
    for caller in &callers {
        assert_eq!(call(caller).await.status, 429);
    }
    let bob = call(&rig.caller("bob")).await;
    assert_eq!(bob.status, 200);
    assert_eq!(
        number(&bob, "x-ratelimit-remaining"),
        5,
        "alice spent nothing of his"
    );
}

#[tokio::test]
async fn r125_no_header_moves_a_caller_out_of_its_own_count() {
    let (rig, _) = rig("quotas: { tiers: { free: { per_minute: 4 } } }").await;
    let caller = rig.caller("alice");
    for n in 0..8 {
        let mut draft = caller.legacy_draft("ping", json!({}));
        for name in [
            "x-forwarded-for",
            "x-real-ip",
            "x-user-id",
            "x-user",
            "forwarded",
            "x-client-id",
        ] {
            set(&mut draft, name, &format!("10.0.0.{n}"));
        }
        set(&mut draft, "x-tier", "enterprise");
        let reply = caller.send(draft).await;
        assert_eq!(reply.status, if n < 4 { 200 } else { 429 }, "{n}");
    }
}

#[tokio::test]
async fn r144_r145_r146_every_answer_says_where_the_user_stands() {
    let (rig, _) = rig("quotas: { tiers: { free: { per_minute: 60 } } }").await;
    let caller = rig.caller("alice");
    let mut draft = caller.legacy_draft("ping", json!({}));
    set(&mut draft, "content-type", "text/plain");
    let answers = [
        call(&caller).await,
        caller.send(draft).await,
        caller.legacy("ping", json!({})).await,
        caller.legacy("tools/list", json!({})).await,
    ];
    for (spent, reply) in (1..).zip(&answers) {
        assert_eq!(number(reply, "x-ratelimit-limit"), 60);
        assert_eq!(
            number(reply, "x-ratelimit-remaining"),
            60 - spent,
            "{reply:?}"
        );
        let reset = number(reply, "x-ratelimit-reset");
        assert!((NOW..=NOW + 60).contains(&reset), "{reset}");
    }
    let stranger = call(&rig.stranger(Http::One)).await;
    assert_eq!(stranger.header("x-ratelimit-limit"), None);
}

#[tokio::test]
async fn r134_r152_r160_tools_weigh_what_they_are_set_to_and_have_limits_of_their_own() {
    let (rig, _) = rig(
        "quotas: { tiers: { free: { per_minute: 20 } }, tools: { heavy: { weight: 5 }, rare: { per_minute: 2 } } }",
    )
    .await;
    let caller = rig.caller("alice");
    let tool = async |name: &str| caller.call_legacy(name, json!({})).await;
    assert_eq!(number(&tool("heavy").await, "x-ratelimit-remaining"), 15);
    assert_eq!(number(&tool("echo").await, "x-ratelimit-remaining"), 14);
    for status in [200, 200, 429] {
        assert_eq!(tool("rare").await.status, status);
    }
    let rare = tool("rare").await;
    assert_eq!(rare.json()["error"]["details"]["limit"], 2);
    assert_eq!(tool("echo").await.status, 200, "the others are still free");
    assert_eq!(tool("heavy").await.status, 200);
    let over = tool("heavy").await;
    assert_eq!(over.status, 429, "four are left, and it weighs five");
    let seen = rig.upstream.seen().len();
    assert_eq!(seen, 6, "what was refused never travelled");
}

#[tokio::test]
async fn r498_the_sixth_concurrent_call_is_refused_and_a_place_comes_free_with_its_caller() {
    let (rig, _) = rig("quotas: {}").await;
    let caller = rig.caller("alice");
    for _ in 0..5 {
        rig.upstream.will(Answer::hang());
    }
    let hanging: Vec<_> = (0..5)
        .map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move { call(&caller).await })
        })
        .collect();
    rig.upstream.saw(5).await;
    let sixth = call(&caller).await;
    assert_eq!(sixth.status, 429);
    let error = sixth.json()["error"].take();
    assert_eq!(error["message"], "Too many concurrent requests");
    assert_eq!(error["details"]["limit"], 5);
    assert_eq!(number(&sixth, "retry-after"), 1);
    assert_eq!(call(&rig.caller("bob")).await.status, 200);

    for call in hanging {
        call.abort();
    }
    rig.upstream.hangs_no_more().await;
    wait::until("a free place", async || {
        (call(&caller).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn r498_the_cap_on_concurrent_calls_can_be_set() {
    let plan = Plan::new()
        .quotas("quotas: {}")
        .env("MAX_CONCURRENT_REQUESTS", "1");
    let rig = plan.start().await;
    rig.upstream.will(Answer::hang());
    let caller = rig.caller("alice");
    let first = tokio::spawn({
        let caller = caller.clone();
        async move { call(&caller).await }
    });
    rig.upstream.saw(1).await;
    assert_eq!(call(&caller).await.json()["error"]["details"]["limit"], 1);
    first.abort();
}

#[tokio::test]
async fn r136_r497_the_limit_can_be_set_by_a_variable() {
    let clock = Clock::manual(Timestamp::from_seconds(NOW));
    let plan = Plan::new().quotas("quotas: {}").clock(&clock);
    let rig = plan.env("MAX_REQUESTS_PER_MINUTE", "7").start().await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    assert_eq!(exhaust(&rig.caller("alice")).await.0, 7);
}

#[tokio::test]
async fn r213_refusals_are_counted_by_tier_and_by_what_was_exceeded() {
    let (rig, _) = rig("quotas: { tiers: { free: { per_minute: 1 } } }").await;
    let caller = rig.caller("alice");
    exhaust(&caller).await;
    call(&caller).await;
    let url = format!("http://{}/metrics", rig.ops_address);
    let metrics = Client::plain().get(&url).await;
    let line = "sallygate_rate_limited_total{scope=\"rate\",tier=\"free\"} 2";
    assert!(metrics.text().contains(line), "{}", metrics.text());
}
