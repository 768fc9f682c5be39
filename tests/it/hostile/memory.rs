//! Crowds: as many users, sessions, tools, methods and paths as strangers care to invent. What is remembered of them has a
//! bound, and so has what metrics tell apart.

use sallygate::clock::{Clock, Timestamp};
use serde_json::json;

use crate::harness::client::Http;
use crate::harness::gateway::{PUBLIC, Plan, Rig, Who};
use crate::harness::mcp::{Mcp, set};

async fn rig() -> Rig {
    let rig = Plan::new().start().await;
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}});
    rig.upstream.always(&answer);
    rig
}

/// The metrics without their figures.
fn series(metrics: &str) -> Vec<String> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    let mut series: Vec<_> = lines
        .filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()))
        .collect();
    series.sort();
    series
}

#[tokio::test]
async fn r209_no_name_that_callers_invent_becomes_a_label() {
    let rig = rig().await;
    let caller = rig.caller("alice");
    let once = async |number: usize| {
        let name = format!("invented-{number}-{}", "x".repeat(200));
        caller.call(&name, json!({})).await;
        caller.legacy(&format!("{name}/list"), json!({})).await;
        let client = rig.client(Http::One);
        client.get(&format!("{PUBLIC}/{name}")).await;
        let mut draft = caller.modern_draft("tools/list", json!({}));
        set(&mut draft, "user-agent", &"agent ".repeat(300 + number));
        caller.send(draft).await;
        let user = rig.caller_by(Http::One, &Who::new(&name).tier(&name));
        user.call("echo", json!({})).await;
    };
    once(0).await;
    let before = series(&rig.metrics().await);
    for number in 1..60 {
        once(number).await;
    }
    let after = rig.metrics().await;
    assert!(!after.contains("invented"), "{after}");
    assert_eq!(series(&after), before);
}

#[tokio::test]
async fn users_beyond_the_table_are_refused_and_those_in_it_are_served() {
    let quotas = "quotas: { max_keys: 1000 }";
    // Time stands still, so nobody's request is forgotten.
    let clock = Clock::manual(Timestamp::from_seconds(1_790_000_000));
    let rig = Plan::new().quotas(quotas).clock(&clock).start().await;
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}});
    rig.upstream.always(&answer);
    let client = rig.client(Http::Two);
    let ask = async |user: &str| {
        let token = rig.token(&Who::new(user));
        let caller = Mcp::at(&client, &format!("{PUBLIC}/mcp"));
        caller.with_token(&token).legacy("ping", json!({})).await
    };
    for number in 0..1000 {
        let reply = ask(&format!("user-{number}")).await;
        assert_eq!(reply.status, 200, "{number}");
    }
    let refused = ask("one-too-many").await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert_eq!(ask("user-7").await.status, 200);
}
