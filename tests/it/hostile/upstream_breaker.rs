//! A server that fails again and again is left alone, and everybody hears of it: callers at once, operators by log, metric and
//! probe, and the server comes back with the first request that it serves.

use std::time::Duration;

use sallygate::clock::{Clock, Timestamp};
use serde_json::json;

use crate::harness::audit;
use crate::harness::client::{Client, Reply};
use crate::harness::gateway::{Plan, Rig, Who};
use crate::harness::upstream::{Answer, FakeUpstream};
use crate::harness::wait;

const BREAKER: &str = "breaker: { failures: 3, window: 30s, wait: 1s }";

/// A clock that the test moves, at a time when tokens can be valid.
fn clock() -> Clock {
    Clock::manual(Timestamp::from_seconds(1_800_000_000))
}

async fn page(rig: &Rig, path: &str) -> Reply {
    let url = format!("http://{}{path}", rig.ops_address);
    Client::plain().get(&url).await
}

async fn state(rig: &Rig) -> String {
    let metrics = rig.metrics().await;
    let series = "sallygate_upstream_state{route=\"default\"} ";
    let value = metrics.lines().find_map(|line| line.strip_prefix(series));
    value.unwrap_or_else(|| panic!("{metrics}")).to_owned()
}

/// Fails for two users in turn, so often that the breaker opens.
async fn open(rig: &Rig) {
    for user in ["alice", "bob", "alice"] {
        rig.upstream.will(Answer::status(500));
        let reply = rig.caller(user).call("echo", json!({})).await;
        assert_eq!(reply.status, 502);
    }
}

fn good() -> Answer {
    Answer::json(&json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}))
}

#[tokio::test]
async fn an_open_breaker_answers_at_once_and_says_when_to_come_back() {
    let clock = clock();
    let rig = Plan::new().clock(&clock).upstream(BREAKER).start().await;
    assert_eq!(state(&rig).await, "0");
    open(&rig).await;
    assert_eq!(state(&rig).await, "2");
    let before = rig.upstream.seen().len();
    for user in ["alice", "carol"] {
        let caller = rig.caller(user);
        for draft in [
            caller.modern_draft("tools/call", json!({"name": "echo", "arguments": {}})),
            caller.legacy_draft("tools/list", json!({})),
        ] {
            let reply = caller.send(draft).await;
            assert_eq!(reply.status, 503, "{reply:?}");
            let body = reply.json();
            assert_eq!((&body["jsonrpc"], &body["id"]), (&json!("2.0"), &json!(1)));
            assert_eq!(body["error"]["code"], 503);
            assert_eq!(body["error"]["data"]["code"], "upstream_unavailable");
            let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=2).contains(&wait), "{wait}");
        }
    }
    assert_eq!(rig.upstream.seen().len(), before, "nothing was sent");
    let lines = audit::wait_for_those_with(rig.audit_dir(), "upstream_unavailable", 4).await;
    assert_eq!(lines.len(), 4);
    let counted = "sallygate_denials_total{reason=\"upstream_unavailable\",stage=\"upstream\"} 4";
    let metrics = rig.metrics().await;
    assert!(metrics.contains(counted), "{metrics}");
    let failed = "sallygate_upstream_requests_total{outcome=\"server_error\",route=\"default\"} 3";
    assert!(metrics.contains(failed), "{metrics}");
}

#[tokio::test]
async fn after_the_wait_one_request_tries_and_its_success_closes_the_breaker() {
    let clock = clock();
    let rig = Plan::new().clock(&clock).upstream(BREAKER).start().await;
    open(&rig).await;
    let caller = rig.caller("carol");
    assert_eq!(caller.call("echo", json!({})).await.status, 503);
    clock.advance(Duration::from_millis(1300));
    let before = rig.upstream.seen().len();
    let (answer, feed) = Answer::stream("application/json");
    rig.upstream.will(answer);
    let trial = tokio::spawn({
        let caller = caller.clone();
        async move { caller.call("echo", json!({})).await }
    });
    rig.upstream.saw(before + 1).await;
    assert_eq!(state(&rig).await, "1");
    for _ in 0..3 {
        assert_eq!(rig.caller("dave").call("echo", json!({})).await.status, 503);
    }
    assert_eq!(rig.upstream.seen().len(), before + 1, "one trial at a time");
    feed.send(json!({"jsonrpc": "2.0", "id": 1, "result": {}}).to_string())
        .await;
    feed.end();
    assert_eq!(trial.await.unwrap().status, 200);
    assert_eq!(state(&rig).await, "0");
    rig.upstream.will(good());
    assert_eq!(rig.caller("dave").call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn a_trial_that_fails_lengthens_the_wait_and_one_that_is_left_makes_room_for_the_next() {
    let clock = clock();
    let rig = Plan::new().clock(&clock).upstream(BREAKER).start().await;
    open(&rig).await;
    clock.advance(Duration::from_millis(1300));
    rig.upstream.will(Answer::status(503));
    let caller = rig.caller("alice");
    assert_eq!(caller.call("echo", json!({})).await.status, 502);
    assert_eq!(state(&rig).await, "2");
    clock.advance(Duration::from_millis(1300));
    assert_eq!(caller.call("echo", json!({})).await.status, 503);
    clock.advance(Duration::from_millis(1300));
    rig.upstream.will(Answer::hang());
    let before = rig.upstream.seen().len();
    let leaving = tokio::spawn({
        let caller = caller.clone();
        async move { caller.call("echo", json!({})).await }
    });
    rig.upstream.saw(before + 1).await;
    leaving.abort();
    rig.upstream.hangs_no_more().await;
    rig.upstream.will(good());
    wait::until("a second trial", async || {
        let reply = rig.caller("bob").call("echo", json!({})).await;
        (reply.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_user_cannot_close_the_door_for_the_others() {
    let rig = Plan::new().upstream(BREAKER).start().await;
    let mallory = rig.caller("mallory");
    for _ in 0..20 {
        rig.upstream.will(Answer::status(500));
        assert_eq!(mallory.call("echo", json!({})).await.status, 502);
    }
    rig.upstream.will(good());
    assert_eq!(
        rig.caller("alice").call("echo", json!({})).await.status,
        200
    );
    assert_eq!(state(&rig).await, "0");
}

#[tokio::test]
async fn answers_of_a_server_that_is_up_do_not_open_it() {
    let rig = Plan::new().upstream(BREAKER).start().await;
    for number in 0..20 {
        let answer = match number % 4 {
            0 => Answer::status(404),
            1 => Answer::bytes("<html>").header("content-type", "text/html"),
            2 => Answer::redirect("https://elsewhere.test/"),
            _ => Answer::json(
                &json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": "no"}}),
            ),
        };
        rig.upstream.will(answer);
        rig.caller(["alice", "bob"][number % 2])
            .call("echo", json!({}))
            .await;
    }
    assert_eq!(state(&rig).await, "0");
    rig.upstream.will(good());
    assert_eq!(
        rig.caller("alice").call("echo", json!({})).await.status,
        200
    );
}

#[tokio::test]
async fn a_gateway_whose_only_server_is_left_alone_is_not_ready_until_a_trial_is_due() {
    let clock = clock();
    let rig = Plan::new().clock(&clock).upstream(BREAKER).start().await;
    assert_eq!(page(&rig, "/readyz").await.text(), "ready\n");
    open(&rig).await;
    let probe = page(&rig, "/readyz").await;
    assert_eq!(probe.status, 503);
    assert_eq!(
        probe.text(),
        "not ready: upstreams\nupstream default: open\n"
    );
    let health = page(&rig, "/health").await.json();
    assert_eq!(health["upstream"]["default"], "open");
    assert_eq!(
        health["conditions"]["upstreams"],
        "left alone after failures: default"
    );
    clock.advance(Duration::from_millis(1300));
    let probe = page(&rig, "/readyz").await;
    assert_eq!(
        (probe.status.as_u16(), probe.text()),
        (200, "ready\nupstream default: half-open\n")
    );
}

#[tokio::test]
async fn one_route_of_several_that_is_left_alone_leaves_the_gateway_ready_and_is_listed() {
    let clock = clock();
    let well = FakeUpstream::start().await;
    well.always(&json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}));
    let ill = FakeUpstream::start().await;
    let routes = format!(
        "routes:\n  - {{ name: ill, path: /ill, upstream: {{ url: {}, {BREAKER} }} }}\n  - {{ name: well, path: /well, upstream: {{ url: {}, {BREAKER} }} }}",
        ill.url(),
        well.url(),
    );
    let rig = Plan::new().clock(&clock).routes(&routes).start().await;
    for user in ["alice", "bob", "alice"] {
        let reply = rig
            .caller_at("/ill", &Who::new(user))
            .call("echo", json!({}))
            .await;
        assert_eq!(reply.status, 502);
    }
    let caller = rig.caller_at("/ill", &Who::new("alice"));
    assert_eq!(caller.call("echo", json!({})).await.status, 503);
    let caller = rig.caller_at("/well", &Who::new("alice"));
    assert_eq!(caller.call("echo", json!({})).await.status, 200);
    let probe = page(&rig, "/readyz").await;
    assert_eq!(
        (probe.status.as_u16(), probe.text()),
        (200, "ready\nupstream ill: open\n")
    );
}

#[tokio::test]
async fn who_looks_after_a_server_finds_it_down_before_a_caller_does_and_up_again_after() {
    let socket_dir = tempfile::tempdir().unwrap();
    let socket = socket_dir.path().join("server.sock");
    let url = format!("unix:{}:/mcp", socket.display());
    let rig = Plan::new()
        .upstream("breaker: { wait: 1m }")
        .upstream("health: { path: /up, every: 1s }")
        .url(&url)
        .start()
        .await;
    wait::until("the breaker to open", async || {
        (state(&rig).await == "2").then_some(())
    })
    .await;
    assert_eq!(
        rig.caller("alice").call("echo", json!({})).await.status,
        503
    );
    // It comes up, and long before the wait is over a request may try it.
    let upstream = FakeUpstream::start_unix(&socket).await;
    upstream.always(&json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}));
    wait::until("the server to be back", async || {
        let probe = page(&rig, "/readyz").await;
        probe.text().contains("half-open").then_some(())
    })
    .await;
    assert_eq!(
        rig.caller("alice").call("echo", json!({})).await.status,
        200
    );
    assert_eq!(state(&rig).await, "0");
    let asked = upstream.seen();
    assert!(
        asked
            .iter()
            .any(|seen| seen.path == "/up" && seen.body.is_empty()),
        "{asked:?}"
    );
    assert!(
        asked
            .iter()
            .all(|seen| seen.header("authorization").is_none())
    );
}
