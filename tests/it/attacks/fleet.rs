//! Two gateways on one Redis behave as one: logins begun at the one end at the other, codes and refresh tokens are good
//! once over both, a revocation bites in both, limits are counted over both. A Redis that is away lets nobody in.

use hyper::StatusCode;
use serde_json::json;

use super::town::{Town, of_query, pair};
use crate::harness::client::Http;
use crate::harness::gateway::Plan;
use crate::harness::redis::Redis;
use crate::harness::wait;

async fn fleet(redis: &Redis) -> (Town, Town) {
    let store = format!("store: {{ url: \"{}\" }}", redis.url());
    let plan = |plan: Plan| plan.settings(&store);
    let one = Town::with(plan).await;
    let two = one.twin(plan).await;
    (one, two)
}

/// The status that a call gets, whatever the server behind says.
async fn called(town: &Town, token: &str) -> StatusCode {
    let caller = town.rig.stranger(Http::One).with_token(token);
    caller.modern("tools/list", json!({})).await.status
}

/// A code whose login began at the one gateway and whose consent was given at the other, as a load balancer has it.
async fn crossing(one: &Town, two: &Town) -> String {
    let mut browser = one.browser();
    let (at, page) = one.to_consent(&mut browser, &one.honest()).await;
    let mut there = two.browser();
    there.take_cookies(&browser);
    let back = there.press(&at, &page, "allow").await.outside();
    of_query(&back, "code").unwrap()
}

#[tokio::test]
async fn logins_codes_and_refresh_tokens_are_one_over_two_gateways() {
    let Some(redis) = Redis::start() else { return };
    let (one, two) = fleet(&redis).await;
    let code = crossing(&one, &two).await;
    let (access, refresh) = pair(&one.token(&one.exchange(&code)).await);
    for town in [&one, &two] {
        assert_eq!(town.knock(&access).await, StatusCode::OK);
    }
    // The family moves on at the one, and the old token is a stolen one at the other.
    let (_, second) = pair(&two.token(&two.refreshing(&refresh)).await);
    let (access, third) = pair(&one.token(&one.refreshing(&second)).await);
    let reused = two.token(&two.refreshing(&refresh)).await;
    assert_eq!(reused.json()["error"], "invalid_grant");
    let ended = one.token(&one.refreshing(&third)).await;
    assert_eq!(ended.json()["error"], "invalid_grant");
    wait::until("the revocation to bite at both", async || {
        let out = StatusCode::UNAUTHORIZED;
        (one.knock(&access).await == out && two.knock(&access).await == out).then_some(())
    })
    .await;
    let again = two.token(&two.exchange(&code)).await;
    assert_eq!(
        again.json()["error"],
        "invalid_grant",
        "a code is good once over both"
    );
}

#[tokio::test]
async fn a_code_that_two_gateways_get_at_once_is_good_once() {
    let Some(redis) = Redis::start() else { return };
    let (one, two) = fleet(&redis).await;
    for _ in 0..5 {
        let code = one.code().await;
        let form = one.exchange(&code);
        let (a, b) = tokio::join!(one.token(&form), two.token(&form));
        let good = [&a, &b]
            .iter()
            .filter(|reply| reply.status == StatusCode::OK)
            .count();
        assert!(good <= 1, "{} {}", a.text(), b.text());
    }
}

#[tokio::test]
async fn c13_limits_are_counted_over_two_gateways() {
    let Some(redis) = Redis::start() else { return };
    let store = format!("store: {{ url: \"{}\" }}", redis.url());
    let plan = |plan: Plan| {
        plan.settings(&store)
            .quotas("quotas: { tiers: { free: { per_minute: 10 } } }")
    };
    let one = Town::with(plan).await;
    let two = one.twin(plan).await;
    let (access, _) = one.tokens().await;
    let mut admitted = 0;
    for _ in 0..10 {
        for town in [&one, &two] {
            let status = called(town, &access).await;
            admitted += u32::from(status != StatusCode::TOO_MANY_REQUESTS);
        }
    }
    // Ten at once, and what the passing seconds give back.
    assert!((10..=14).contains(&admitted), "{admitted}");
}

#[tokio::test]
async fn c39_while_redis_is_away_nobody_gets_in_and_it_ends_by_itself() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let (one, _two) = fleet(&redis).await;
    let (access, refresh) = one.tokens().await;
    assert_eq!(one.knock(&access).await, StatusCode::OK);
    redis.kill();
    let away = StatusCode::SERVICE_UNAVAILABLE;
    let refused = one.token(&one.refreshing(&refresh)).await;
    assert_eq!(refused.status, away, "{}", refused.text());
    let reply = one.client.get(&Town::authorize_url(&one.honest())).await;
    assert_eq!(reply.status, away, "{}", reply.text());
    // The view of what was revoked grows too old to be asked.
    wait::until("nobody to be let in", async || {
        (called(&one, &access).await == away).then_some(())
    })
    .await;
    redis.resume();
    wait::until("recovery", async || {
        let status = called(&one, &access).await;
        (status != away && status != StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    pair(&one.token(&one.refreshing(&refresh)).await);
}
