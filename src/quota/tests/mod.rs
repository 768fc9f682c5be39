//! The limits as a caller meets them, with a clock that stands still until it is moved.

mod equal;
mod props;
#[allow(dead_code, reason = "shared with tests that use all of it")]
#[path = "../../../tests/support/redis.rs"]
mod redis_server;
mod room;
mod shared;

use http::HeaderMap;

use super::*;

fn number(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn user(id: &str, tier: &str) -> Principal {
    Principal::for_tests(id, tier, &[])
}

fn still() -> Clock {
    Clock::manual(Timestamp::from_millis(1_706_436_600_250))
}

fn with_upgrade() -> Settings {
    Settings {
        upgrade_url: Some("https://example.test/checkout".to_owned()),
        ..Settings::default()
    }
}

/// How many of `tries` requests in a row are admitted.
fn admitted(quotas: &Quotas, principal: &Principal, tries: u32) -> u32 {
    (0..tries)
        .map(|_| u32::from(quotas.admit(principal).is_ok()))
        .sum()
}

fn header(write: impl FnOnce(&mut HeaderMap), name: &str) -> Option<i64> {
    let mut headers = HeaderMap::new();
    write(&mut headers);
    headers.get(name)?.to_str().ok()?.parse().ok()
}

#[test]
fn r135_r153_each_tier_is_refused_beyond_its_limit() {
    for (tier, limit) in [
        ("free", 100),
        ("premium", 500),
        ("enterprise", 5000),
        ("unheard-of", 100),
        ("", 100),
    ] {
        let quotas = Quotas::new(&Settings::default(), &still());
        assert_eq!(
            admitted(&quotas, &user("u", tier), limit + 5),
            limit,
            "{tier}"
        );
    }
}

#[test]
fn r157_a_single_user_may_have_a_limit_of_its_own() {
    let settings = Settings {
        users: [("u".to_owned(), UserLimit::per_minute(number(3)))].into(),
        ..Settings::default()
    };
    let quotas = Quotas::new(&settings, &still());
    assert_eq!(admitted(&quotas, &user("u", "enterprise"), 9), 3);
    assert_eq!(admitted(&quotas, &user("v", "free"), 105), 100);
}

#[test]
fn r133_r165_two_users_are_independent() {
    let quotas = Quotas::new(&Settings::default(), &still());
    assert_eq!(admitted(&quotas, &user("a", "free"), 101), 100);
    let other = quotas.admit(&user("b", "free")).unwrap();
    assert_eq!(other.allowance().remaining, 99);
}

#[test]
fn r132_a_full_burst_is_not_granted_again_two_seconds_later() {
    let clock = still();
    let quotas = Quotas::new(&Settings::default(), &clock);
    clock.advance(Duration::from_secs(59));
    assert_eq!(admitted(&quotas, &user("u", "free"), 100), 100);
    clock.advance(Duration::from_secs(2));
    assert_eq!(
        admitted(&quotas, &user("u", "free"), 100),
        3,
        "two seconds of the rate, no more"
    );
}

#[test]
fn r137_r140_after_a_minute_of_rest_the_count_starts_again_at_one() {
    let clock = still();
    let quotas = Quotas::new(&Settings::default(), &clock);
    let principal = user("u", "free");
    assert_eq!(admitted(&quotas, &principal, 100), 100);
    clock.advance(Duration::from_millis(60_001));
    assert_eq!(quotas.admit(&principal).unwrap().allowance().remaining, 99);
    assert_eq!(quotas.counters(principal.user())[0].count, 1);
}

#[test]
fn r141_r150_a_refusal_says_when_to_come_back_and_every_figure_agrees() {
    let clock = still();
    let settings = Settings {
        tiers: [("free".to_owned(), UserLimit::per_minute(number(2)))].into(),
        ..with_upgrade()
    };
    let quotas = Quotas::new(&settings, &clock);
    assert_eq!(admitted(&quotas, &user("u", "free"), 2), 2);
    let refused = quotas.admit(&user("u", "free")).unwrap_err();
    let QuotaError::Rate { allowance, .. } = &refused else {
        panic!("{refused}");
    };
    assert_eq!((allowance.limit, allowance.remaining), (2, 0));
    assert_eq!(allowance.retry_after, Duration::from_secs(30));
    let seconds = i64::try_from(refused.body().error.details.unwrap().reset_in_seconds).unwrap();
    assert_eq!(seconds, 30);
    assert_eq!(header(|it| refused.write(it), "retry-after"), Some(seconds));
    let reset = header(|it| refused.write(it), "x-ratelimit-reset").unwrap();
    assert_eq!(
        reset - clock.now().seconds(),
        seconds + 1,
        "rounded up from a quarter second"
    );
    let again = quotas.admit(&user("u", "free")).unwrap_err();
    assert_eq!(again, refused, "asking again does not move the moment");
    clock.advance(Duration::from_secs(30));
    assert_eq!(admitted(&quotas, &user("u", "free"), 2), 1);
}

#[test]
fn r147_r148_r149_r151_the_body_of_a_refusal_is_exact() {
    let quotas = Quotas::new(&with_upgrade(), &still());
    let _ = admitted(&quotas, &user("u", "free"), 100);
    let refused = quotas.admit(&user("u", "free")).unwrap_err();
    assert_eq!(
        serde_json::to_string(&refused.body()).unwrap(),
        "{\"error\":{\"code\":\"rate_limited\",\"message\":\"Rate limit exceeded\",\"details\":{\"limit\":100,\
         \"reset_in_seconds\":1,\"upgrade_url\":\"https://example.test/checkout\"}}}"
    );
}

#[test]
fn r151_the_highest_tier_is_not_sent_to_the_checkout() {
    for (tier, sent) in [("free", true), ("premium", true), ("enterprise", false)] {
        let quotas = Quotas::new(&with_upgrade(), &still());
        let _ = admitted(&quotas, &user("u", tier), 5000);
        let refused = quotas.admit(&user("u", tier)).unwrap_err();
        let url = refused.body().error.details.unwrap().upgrade_url;
        assert_eq!(url.is_some(), sent, "{tier}");
    }
}

#[test]
fn r144_r145_r146_the_headers_count_down_and_name_a_moment_within_the_minute() {
    let clock = still();
    let quotas = Quotas::new(&Settings::default(), &clock);
    for used in 1..=100 {
        let admission = quotas.admit(&user("u", "free")).unwrap();
        let read = |name| header(|it| admission.allowance().write(it), name).unwrap();
        assert_eq!(read("x-ratelimit-limit"), 100);
        assert_eq!(read("x-ratelimit-remaining"), 100 - used);
        let ahead = read("x-ratelimit-reset") - clock.now().seconds();
        assert!((0..=60).contains(&ahead), "{ahead}");
    }
}

fn with_tools() -> Settings {
    let tool = |weight, per_minute| ToolLimit {
        weight: number(weight),
        per_minute,
    };
    Settings {
        tools: [
            ("export".to_owned(), tool(1, Some(number(2)))),
            ("bulk".to_owned(), tool(10, None)),
            ("huge".to_owned(), tool(1000, None)),
        ]
        .into(),
        ..Settings::default()
    }
}

#[test]
fn r134_c15_actions_are_counted_apart_and_all_of_them_together() {
    let quotas = Quotas::new(&with_tools(), &still());
    let principal = user("u", "free");
    let call = |action: &str| {
        quotas
            .admit(&principal)
            .and_then(|mut it| it.charge(action))
    };
    assert_eq!((call("export"), call("export")), (Ok(()), Ok(())));
    let QuotaError::Rate {
        action, allowance, ..
    } = call("export").unwrap_err()
    else {
        panic!("not a rate");
    };
    assert_eq!((&*action, allowance.limit), ("export", 2));
    assert_eq!(call("other"), Ok(()), "another action is not touched");
    let left = quotas.admit(&principal).unwrap().allowance().remaining;
    assert_eq!(
        left, 95,
        "but every one of the five counted against the total"
    );
}

#[test]
fn r160_a_heavy_tool_counts_as_its_weight() {
    let quotas = Quotas::new(&with_tools(), &still());
    let principal = user("u", "free");
    let mut admission = quotas.admit(&principal).unwrap();
    assert_eq!(admission.charge("bulk"), Ok(()));
    assert_eq!(admission.allowance().remaining, 90);
    let refused = admission.charge("huge").unwrap_err();
    assert_eq!(refused.retry_after_seconds(), 60, "it never fits");
}

#[test]
fn two_tokens_of_different_tiers_share_one_quota() {
    let quotas = Quotas::new(&Settings::default(), &still());
    assert_eq!(admitted(&quotas, &user("u", "free"), 100), 100);
    assert_eq!(admitted(&quotas, &user("u", "premium"), 10), 0);
    assert_eq!(admitted(&quotas, &user("u", "free"), 10), 0);
}

#[test]
fn reloading_the_configuration_gives_nobody_a_fresh_quota() {
    let clock = still();
    let quotas = Quotas::new(&Settings::default(), &clock);
    let held = quotas.admit(&user("u", "free")).unwrap();
    assert_eq!(admitted(&quotas, &user("u", "free"), 100), 99);
    let settings = Settings {
        concurrency: 1,
        ..Settings::default()
    };
    let reloaded = quotas.reconfigured(&settings);
    assert_eq!(admitted(&reloaded, &user("u", "free"), 10), 0);
    clock.advance(Duration::from_secs(60));
    assert_eq!(
        reloaded.admit(&user("u", "free")).unwrap_err(),
        QuotaError::Concurrency { cap: 1 }
    );
    drop(held);
    assert!(reloaded.admit(&user("u", "free")).is_ok());
}

#[test]
fn r139_counters_can_be_looked_at() {
    let clock = still();
    let quotas = Quotas::new(&with_tools(), &clock);
    let principal = user("12345", "free");
    for _ in 0..2 {
        quotas.admit(&principal).unwrap().charge("export").unwrap();
    }
    let counters = quotas.counters(principal.user());
    let seen: Vec<(&str, u32, u32)> = counters
        .iter()
        .map(|it| (it.key.as_str(), it.count, it.limit))
        .collect();
    assert_eq!(
        seen,
        [("rate:12345:default", 2, 100), ("rate:12345:export", 2, 2)]
    );
    assert!(
        counters
            .iter()
            .all(|it| it.reset_at - it.window_start == 60)
    );
    assert_eq!(counters[1].reset_at, clock.now().seconds() + 60);
}
