//! The wall clock steps: by a minute and a half, by an hour, ahead and back, and out of another century. Tokens are judged by
//! it with 60 seconds of leeway; everything that measures how long something takes goes on as if nothing had happened.

use std::time::Duration;

use sallygate::clock::{Clock, Timestamp};
use sallygate::revocation::Mark;
use serde_json::json;

use crate::harness::client::Http;
use crate::harness::gateway::{Plan, Rig, Who};
use crate::harness::mcp::Mcp;
use crate::harness::upstream::Answer;
use crate::harness::{audit, wait};

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

async fn rig(plan: Plan, at: Timestamp) -> (Rig, Clock) {
    let clock = Clock::manual(at);
    let rig = plan.clock(&clock).start().await;
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}});
    rig.upstream.always(&answer);
    (rig, clock)
}

async fn status(caller: &Mcp) -> u16 {
    caller.call("echo", json!({})).await.status.as_u16()
}

#[tokio::test]
async fn r439_sixty_seconds_of_leeway_both_ways_for_new_tokens_and_remembered_ones() {
    let lifetime = Duration::from_secs(86_400);
    let (rig, clock) = rig(Plan::new(), NOW).await;
    let caller = rig.caller("alice");
    // Made now, by a clock that goes right; ours is set back and forward around it.
    for (back, expected) in [(59, 200), (90, 401), (59, 200)] {
        clock.set_back(SECOND * back);
        assert_eq!(status(&caller).await, expected, "{back} s behind");
        clock.set_forward(SECOND * back);
    }
    clock.set_forward(lifetime);
    for (ahead, expected) in [(59, 200), (90, 401), (59, 200)] {
        clock.set_forward(SECOND * ahead);
        assert_eq!(status(&caller).await, expected, "{ahead} s ahead");
        clock.set_back(SECOND * ahead);
    }
    clock.set_back(lifetime);
    // An hour is no leeway, and back at the right time everything is as before.
    clock.set_back(HOUR);
    assert_eq!(status(&caller).await, 401);
    clock.set_forward(HOUR);
    assert_eq!(status(&caller).await, 200);
}

#[tokio::test]
async fn limits_count_by_a_clock_that_does_not_step() {
    let quotas = "quotas: { users: { alice: { per_minute: 3 } } }";
    let (rig, clock) = rig(Plan::new().quotas(quotas), NOW).await;
    let caller = rig.caller("alice");
    for _ in 0..3 {
        assert_eq!(status(&caller).await, 200);
    }
    assert_eq!(status(&caller).await, 429);
    for (step, ahead) in [
        (SECOND * 50, true),
        (SECOND * 50, false),
        (HOUR, true),
        (HOUR, false),
    ] {
        match ahead {
            true => clock.set_forward(step),
            false => clock.set_back(step),
        }
        let reply = caller.call("echo", json!({})).await;
        assert_eq!(reply.status, 429, "{step:?} {ahead}");
        let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=20).contains(&wait), "{wait}");
    }
    clock.advance(SECOND * 20);
    // A write that was under way seems to have taken 20 seconds, so the trail may refuse until it has ended.
    let served = wait::until("the next request", async || {
        let status = status(&caller).await;
        (status != 503).then_some(status)
    });
    assert_eq!(served.await, 200);
    assert_eq!(status(&caller).await, 429);
}

#[tokio::test]
async fn a_session_outlives_steps_within_its_age_and_ends_by_the_clock_it_was_given() {
    let (rig, clock) = rig(Plan::new(), NOW).await;
    let welcome = json!({"jsonrpc": "2.0", "id": 1, "result": {"protocolVersion": "2025-11-25",
        "capabilities": {}, "serverInfo": {"name": "fake", "version": "0"}}});
    rig.upstream
        .will(Answer::json(&welcome).header("mcp-session-id", "session-1"))
        .will(Answer::status(202));
    let mut caller = rig.caller("alice");
    caller.initialize().await.result();
    let session = caller.session().unwrap().to_owned();
    for (step, ahead) in [(HOUR, true), (HOUR * 2, false), (HOUR, true)] {
        match ahead {
            true => clock.set_forward(step),
            false => clock.set_back(step),
        }
        // A token of the moment; it is the session that is asked about.
        let caller = rig.caller("alice").in_session(&session);
        let reply = caller.legacy("ping", json!({})).await;
        assert_eq!(reply.status, 200, "{step:?} {ahead}");
    }
    clock.set_forward(HOUR * 25);
    let caller = rig.caller("alice").in_session(&session);
    assert_eq!(caller.legacy("ping", json!({})).await.status, 404);
}

#[tokio::test]
async fn what_was_revoked_stays_revoked_and_the_view_of_it_stays_fresh_through_every_step() {
    let (rig, clock) = rig(Plan::new(), NOW).await;
    let who = Who::new("alice");
    let minted = rig.minted(&who);
    let ended = rig.stranger(Http::One);
    let ended = ended.with_token(minted.token.expose());
    assert_eq!(status(&ended).await, 200);
    let mark = Mark::Token(minted.token_id.clone());
    let until = NOW.plus(Duration::from_secs(86_400));
    rig.revocations().revoke(&mark, until).await.unwrap();
    assert_eq!(status(&ended).await, 401);
    for step in [SECOND * 90, HOUR, HOUR * 24 * 3650] {
        clock.set_forward(step);
        assert_eq!(status(&ended).await, 401, "{step:?} ahead");
        // Fresh enough to let others in: its age is no matter of the wall clock.
        assert_eq!(status(&rig.caller("bob")).await, 200, "{step:?} ahead");
        clock.set_back(step);
        let reply = ended.call("echo", json!({})).await;
        assert_eq!(reply.json()["error"]["code"], "token_revoked", "{step:?}");
        assert_eq!(status(&rig.caller("bob")).await, 200, "{step:?} back");
    }
}

#[tokio::test]
async fn a_gateway_that_starts_in_another_century_serves_and_goes_on_when_the_clock_is_right() {
    let (mut rig, clock) = rig(Plan::new(), Timestamp::from_seconds(315_532_800)).await;
    assert_eq!(status(&rig.caller("alice")).await, 200);
    audit::line_of(rig.audit_dir(), |line| line["tool_name"] == "echo").await;
    clock.set_forward(Duration::from_secs(1_474_467_200));
    assert_eq!(status(&rig.caller("alice")).await, 200);
    clock.advance(HOUR);
    assert_eq!(status(&rig.caller("alice")).await, 200);
    assert!(rig.drain().await);
    let calls = audit::lines(rig.audit_dir());
    let years: Vec<_> = calls
        .iter()
        .filter(|line| line["tool_name"] == "echo")
        .map(|line| line["timestamp"].as_str().unwrap()[..4].to_owned())
        .collect();
    assert_eq!(years, ["1980", "2026", "2026"]);
}
