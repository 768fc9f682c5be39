//! Whoever comes back must be the browser that was sent away, once, in time, and with what it was sent away for.

use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderValue, StatusCode};

use super::rig::{Away, Rig, visit};
use crate::audit::event::{Event, Severity};
use crate::login::error::StateFault;
use crate::login::{LoginError, Next};
use crate::web::Visit;

async fn fault(rig: &Rig, visit: &Visit) -> StateFault {
    match rig.desk.finish(visit).await {
        Err(error @ LoginError::State(fault)) => {
            let reply = error.answer(visit);
            assert_eq!(reply.status, StatusCode::BAD_REQUEST);
            let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(body["error"]["code"], "invalid_state");
            assert_eq!(
                body["error"]["message"],
                "State parameter validation failed"
            );
            fault
        }
        other => panic!("{other:?}"),
    }
}

fn with_cookie(mut visit: Visit, cookie: Option<&str>) -> Visit {
    visit.headers.remove(COOKIE);
    if let Some(cookie) = cookie {
        let cookie = HeaderValue::from_str(cookie).unwrap();
        visit.headers.insert(COOKIE, cookie);
    }
    visit
}

#[tokio::test]
async fn r351_r426_r463_an_unknown_altered_or_truncated_state_is_refused() {
    let rig = Rig::start().await;
    let away = rig.away("development", Next::Session).await;
    let of = |state: &str| {
        let back = visit("/auth/callback", &format!("state={state}&code=alice"));
        with_cookie(back, Some(&away.cookie))
    };
    assert_eq!(
        fault(
            &rig,
            &with_cookie(visit("/auth/callback", "code=alice"), Some(&away.cookie))
        )
        .await,
        StateFault::Missing
    );
    let (cut, _) = away.state.split_at(away.state.len() - 1);
    let (_, rest) = away.state.split_at(64);
    let other_nonce = format!("{}{rest}", "0".repeat(64));
    for state in [
        cut,
        &other_nonce,
        "a.b.c",
        "x",
        &"0".repeat(64),
        &"a".repeat(5000),
    ] {
        assert_eq!(
            fault(&rig, &of(state)).await,
            StateFault::Altered,
            "{state}"
        );
    }
    // None of that has spent the good one.
    assert!(rig.desk.finish(&of(&away.state)).await.is_ok());
}

#[tokio::test]
async fn r018_r426_a_foreign_browser_is_refused_and_spends_nothing() {
    let rig = Rig::start().await;
    let victim = rig.away("development", Next::Session).await;
    let attacker = rig.away("development", Next::Session).await;
    for cookie in [None, Some(attacker.cookie.as_str())] {
        let back = with_cookie(victim.back("code=alice"), cookie);
        assert_eq!(fault(&rig, &back).await, StateFault::OtherBrowser);
        let note = LoginError::State(StateFault::OtherBrowser)
            .answer(&back)
            .note;
        assert_eq!(note.event, Some(Event::SuspiciousActivity));
        assert_eq!(note.severity, Some(Severity::High));
    }
    let twice = format!("{0}; {0}", victim.cookie);
    let back = with_cookie(victim.back("code=alice"), Some(&twice));
    assert_eq!(fault(&rig, &back).await, StateFault::OtherBrowser);
    assert!(rig.desk.finish(&victim.back("code=alice")).await.is_ok());
}

#[tokio::test]
async fn r354_a_state_is_good_once_even_for_many_at_a_time() {
    let rig = Rig::start().await;
    let away = rig.away("development", Next::Session).await;
    let back = away.back("code=alice");
    let all = (0..16).map(|_| rig.desk.finish(&back));
    let results = futures_util::future::join_all(all).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(fault(&rig, &back).await, StateFault::Spent);
}

#[tokio::test]
async fn c01_r352_a_state_ends_after_300_seconds() {
    let rig = Rig::start().await;
    let late = rig.away("development", Next::Session).await;
    rig.clock.advance(Duration::from_secs(299));
    let in_time = rig.away("development", Next::Session).await;
    rig.clock.advance(Duration::from_secs(1));
    assert_eq!(
        fault(&rig, &late.back("code=alice")).await,
        StateFault::Spent
    );
    assert!(rig.desk.finish(&in_time.back("code=alice")).await.is_ok());
}

#[tokio::test]
async fn r353_a_missing_code_is_refused_and_burns_the_state() {
    let rig = Rig::start().await;
    for params in ["", "code=", &format!("code={}", "c".repeat(5000))] {
        let away = rig.away("development", Next::Session).await;
        let refused = rig.desk.finish(&away.back(params)).await;
        assert!(matches!(refused, Err(LoginError::NoCode)), "{params}");
        assert_eq!(
            fault(&rig, &away.back("code=alice")).await,
            StateFault::Spent
        );
    }
}

#[tokio::test]
async fn r356_parameters_that_are_there_twice_are_refused() {
    let rig = Rig::start().await;
    let away = rig.away("development", Next::Session).await;
    for more in [
        format!("code=alice&state={}", away.state),
        "code=alice&code=bob".to_owned(),
        "code=alice&iss=a&iss=b".to_owned(),
    ] {
        let refused = rig.desk.finish(&away.back(&more)).await;
        assert!(matches!(refused, Err(LoginError::Parameters(_))), "{more}");
    }
}

#[tokio::test]
async fn one_address_may_begin_so_many_logins_and_no_more() {
    let rig = Rig::with(|settings| settings.attempts_per_address = 3).await;
    for _ in 0..3 {
        rig.begin("development", Next::Session, None).await.unwrap();
    }
    let refused = rig.begin("development", Next::Session, None).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, LoginError::TooMany { .. }));
    let reply = error.answer(&visit("/auth/login", ""));
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.headers["retry-after"], "300");
    rig.clock.advance(Duration::from_secs(300));
    assert!(rig.begin("development", Next::Session, None).await.is_ok());
}

#[tokio::test]
async fn r334_r335_r338_a_login_begins_with_302_and_a_record_that_holds_no_secret() {
    let rig = Rig::start().await;
    let reply = rig
        .begin("okta", Next::Authorize("p1".into()), None)
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::FOUND);
    assert_eq!(reply.note.event, Some(Event::LoginInitiated));
    assert_eq!(reply.note.user, None);
    let away = super::rig::away(&reply);
    let nonce = away.state.split('.').next().unwrap();
    let kept = rig
        .store
        .scan(crate::store::Table::Login, "", None, 10)
        .await
        .unwrap();
    assert_eq!(kept.len(), 1);
    let dump = format!(
        "{} {}",
        kept[0].0,
        String::from_utf8_lossy(&kept[0].1.value)
    );
    let cookie = away.cookie.split_once('=').unwrap().1;
    for secret in [nonce, cookie, &away.param("nonce").unwrap()] {
        assert!(!dump.contains(secret), "{dump}");
    }
}

#[tokio::test]
async fn two_windows_of_one_browser_can_sign_in_at_a_time() {
    let rig = Rig::start().await;
    let one = rig.away("development", Next::Session).await;
    let reply = rig
        .begin("development", Next::Session, Some(&one.cookie))
        .await;
    let two: Away = super::rig::away(&reply.unwrap());
    assert_eq!(one.cookie, two.cookie);
    assert!(rig.desk.finish(&one.back("code=alice")).await.is_ok());
    assert!(rig.desk.finish(&two.back("code=bob")).await.is_ok());
}
