//! Users' own credentials: missing, over, refused, renewed by many at once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::super::*;
use super::rig::{NOW, Shelf, TokenServer, alice, clock, shown, shown_instead};

const OLD: &str = "canary-not-a-real-old-token";
const NEW: &str = "canary-not-a-real-new-token";
const REFRESH: &str = "canary-not-a-real-refresh-token";

fn per_user(renewal: Option<&TokenServer>) -> Settings {
    Settings::new(Kind::PerUser(PerUser {
        provider: "okta".into(),
        sign_in: Some("https://gw.test/auth/login?provider=okta".into()),
        renewal: renewal.map(TokenServer::settings),
    }))
}

fn over(shelf: &Arc<Shelf>, renewal: Option<&TokenServer>, clock: &Clock) -> Arc<Credentials> {
    let keys: Arc<dyn Keys> = shelf.clone();
    Arc::new(Credentials::new(&per_user(renewal), Some(keys), clock).unwrap())
}

fn saved(access: &str, refresh: Option<&str>, expires_at: Option<i64>) -> String {
    let mut saved = json!({"access_token": access});
    if let Some(refresh) = refresh {
        saved["refresh_token"] = refresh.into();
    }
    if let Some(end) = expires_at {
        saved["expires_at"] = end.into();
    }
    saved.to_string()
}

fn reason(result: Result<(String, Shown), CredentialError>) -> (&'static str, u16) {
    let error = result.unwrap_err();
    (error.reason(), error.status().as_u16())
}

#[test]
fn users_credentials_without_a_vault_are_a_mistake_of_the_operator() {
    let made = Credentials::new(&per_user(None), None, &clock());
    assert!(matches!(made, Err(PrepareError::NoKeys(provider)) if provider == "okta"));
}

#[tokio::test]
async fn a_user_without_a_usable_credential_hears_where_to_sign_in() {
    let shelf = Arc::new(Shelf::default());
    let credentials = over(&shelf, None, &clock());
    let missing = shown(&credentials, &alice()).await.unwrap_err();
    assert_eq!(missing.status(), StatusCode::FORBIDDEN);
    let words = missing.public();
    assert!(
        words.contains("https://gw.test/auth/login?provider=okta"),
        "{words}"
    );
    for (name, value, why) in [
        ("okta/token", "no json", "upstream_credential_unusable"),
        (
            "okta/token",
            r#"{"refresh_token":"a"}"#,
            "upstream_credential_unusable",
        ),
        (
            "okta/token",
            &saved("a\r\nb", None, None),
            "upstream_credential_unusable",
        ),
        (
            "okta/token",
            &saved(OLD, None, Some(NOW)),
            "upstream_credential_expired",
        ),
        (
            "okta/token",
            &saved(OLD, Some(REFRESH), Some(NOW)),
            "upstream_credential_expired",
        ),
        ("okta/api_key", "two words", "upstream_credential_unusable"),
        ("okta/api_key", "", "upstream_credential_unusable"),
    ] {
        shelf.put("alice", name, value);
        assert_eq!(
            reason(shown(&credentials, &alice()).await),
            (why, 403),
            "{value}"
        );
    }
    let bob = Principal::for_tests("bob", "free", &[]);
    assert_eq!(
        reason(shown(&credentials, &bob).await).0,
        "upstream_credential_missing"
    );
}

#[tokio::test]
async fn where_credentials_cannot_be_read_nothing_is_concluded() {
    let shelf = Arc::new(Shelf::default());
    shelf.put("alice", "okta/api_key", OLD);
    shelf.broken.store(true, Ordering::SeqCst);
    let credentials = over(&shelf, None, &clock());
    let refused = reason(shown(&credentials, &alice()).await);
    assert_eq!(refused, ("upstream_credential_unavailable", 503));
}

#[tokio::test]
async fn an_api_key_goes_before_a_token_and_each_user_has_their_own() {
    let shelf = Arc::new(Shelf::default());
    let credentials = over(&shelf, None, &clock());
    shelf.put("alice", "okta/token", &saved(OLD, None, None));
    shelf.put("bob", "okta/api_key", "pk_canary_not_real");
    assert_eq!(
        shown(&credentials, &alice()).await.unwrap().0,
        format!("Bearer {OLD}")
    );
    shelf.put("alice", "okta/api_key", NEW);
    assert_eq!(
        shown(&credentials, &alice()).await.unwrap().0,
        format!("Bearer {NEW}")
    );
    let bob = Principal::for_tests("bob", "free", &[]);
    assert_eq!(
        shown(&credentials, &bob).await.unwrap().0,
        "pk_canary_not_real"
    );
}

#[tokio::test]
async fn a_refused_credential_is_not_shown_again_until_it_is_another_or_a_while_has_passed() {
    let clock = clock();
    let shelf = Arc::new(Shelf::default());
    let credentials = over(&shelf, None, &clock);
    shelf.put("alice", "okta/api_key", OLD);
    let (_, first) = shown(&credentials, &alice()).await.unwrap();
    let rejected = ("upstream_credential_rejected", 403);
    assert_eq!(
        reason(shown_instead(&credentials, &alice(), first).await),
        rejected
    );
    assert_eq!(reason(shown(&credentials, &alice()).await), rejected);
    shelf.put("alice", "okta/api_key", NEW);
    assert!(shown(&credentials, &alice()).await.is_ok());
    shelf.put("alice", "okta/api_key", OLD);
    assert_eq!(reason(shown(&credentials, &alice()).await), rejected);
    clock.advance(Duration::from_secs(61));
    assert!(shown(&credentials, &alice()).await.is_ok());
}

#[tokio::test]
async fn rfc6749_s6_a_token_that_is_over_is_renewed_once_for_all_who_wait() {
    let (clock, server, shelf) = (
        clock(),
        TokenServer::start().await,
        Arc::new(Shelf::default()),
    );
    shelf.put(
        "alice",
        "okta/token",
        &saved(OLD, Some(REFRESH), Some(NOW + 10)),
    );
    shelf.remember();
    server.will_give(NEW).hold().await;
    let credentials = over(&shelf, Some(&server), &clock);
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let credentials = Arc::clone(&credentials);
            tokio::spawn(async move { shown(&credentials, &alice()).await })
        })
        .collect();
    server.wait_for(1).await;
    server.release();
    for one in waiting {
        assert_eq!(one.await.unwrap().unwrap().0, format!("Bearer {NEW}"));
    }
    // Also those who still see what was kept before.
    assert_eq!(
        shown(&credentials, &alice()).await.unwrap().0,
        format!("Bearer {NEW}")
    );
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].form["grant_type"], "refresh_token");
    assert_eq!(asked[0].form["refresh_token"], REFRESH);
    let kept = shelf.json("alice", "okta/token");
    assert_eq!(
        (&kept["access_token"], &kept["refresh_token"]),
        (&NEW.into(), &REFRESH.into())
    );
    assert_eq!(kept["expires_at"], NOW + 3600);
}

#[tokio::test]
async fn c26_a_renewed_token_whose_life_is_not_stated_is_kept_without_one() {
    let (clock, server, shelf) = (
        clock(),
        TokenServer::start().await,
        Arc::new(Shelf::default()),
    );
    shelf.put("alice", "okta/token", &saved(OLD, Some(REFRESH), Some(NOW)));
    server.will(200, &json!({"access_token": NEW, "refresh_token": "r2"}));
    let credentials = over(&shelf, Some(&server), &clock);
    shown(&credentials, &alice()).await.unwrap();
    let kept = shelf.json("alice", "okta/token");
    assert_eq!(
        (&kept["expires_at"], &kept["refresh_token"]),
        (&Value::Null, &"r2".into())
    );
}

#[tokio::test]
async fn a_renewal_is_kept_although_its_caller_has_gone() {
    let (clock, server, shelf) = (
        clock(),
        TokenServer::start().await,
        Arc::new(Shelf::default()),
    );
    shelf.put("alice", "okta/token", &saved(OLD, Some(REFRESH), Some(NOW)));
    server.will_give(NEW).hold().await;
    let credentials = over(&shelf, Some(&server), &clock);
    let (leaving, user) = (Arc::clone(&credentials), alice());
    let caller = tokio::spawn(async move { shown(&leaving, &user).await });
    server.wait_for(1).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    server.release();
    // Whoever comes next waits for that renewal.
    assert_eq!(
        shown(&credentials, &alice()).await.unwrap().0,
        format!("Bearer {NEW}")
    );
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn what_the_user_signed_in_with_meanwhile_is_not_overwritten() {
    let (clock, server, shelf) = (
        clock(),
        TokenServer::start().await,
        Arc::new(Shelf::default()),
    );
    shelf.put("alice", "okta/token", &saved(OLD, Some(REFRESH), Some(NOW)));
    server
        .will_give("canary-not-a-real-late-token")
        .hold()
        .await;
    let credentials = over(&shelf, Some(&server), &clock);
    let renewing = Arc::clone(&credentials);
    let caller = tokio::spawn(async move { shown(&renewing, &alice()).await });
    server.wait_for(1).await;
    shelf.put("alice", "okta/token", &saved(NEW, None, None));
    server.release();
    assert_eq!(caller.await.unwrap().unwrap().0, format!("Bearer {NEW}"));
    assert_eq!(shelf.json("alice", "okta/token")["access_token"], NEW);
}

#[tokio::test]
async fn what_another_gateway_renewed_is_used() {
    let (clock, server, shelf) = (
        clock(),
        TokenServer::start().await,
        Arc::new(Shelf::default()),
    );
    shelf.put("alice", "okta/token", &saved(OLD, Some(REFRESH), Some(NOW)));
    shelf.remember();
    // It was renewed before we look again.
    shelf.put(
        "alice",
        "okta/token",
        &saved(NEW, Some("r2"), Some(NOW + 3600)),
    );
    let credentials = over(&shelf, Some(&server), &clock);
    assert_eq!(
        shown(&credentials, &alice()).await.unwrap().0,
        format!("Bearer {NEW}")
    );
    assert_eq!(server.asked().len(), 0);
    // It is renewed while we ask, so that our refresh token is used up.
    let bob = || Principal::for_tests("bob", "free", &[]);
    shelf.put("bob", "okta/token", &saved(OLD, Some(REFRESH), Some(NOW)));
    server
        .will(400, &json!({"error": "invalid_grant"}))
        .hold()
        .await;
    let renewing = Arc::clone(&credentials);
    let caller = tokio::spawn(async move { shown(&renewing, &bob()).await });
    server.wait_for(1).await;
    shelf.put(
        "bob",
        "okta/token",
        &saved(NEW, Some("r2"), Some(NOW + 3600)),
    );
    server.release();
    assert_eq!(caller.await.unwrap().unwrap().0, format!("Bearer {NEW}"));
}

#[tokio::test]
async fn a_refresh_token_that_is_over_sends_the_user_to_sign_in_and_is_not_offered_again() {
    let (clock, server, shelf) = (
        clock(),
        TokenServer::start().await,
        Arc::new(Shelf::default()),
    );
    shelf.put("alice", "okta/token", &saved(OLD, Some(REFRESH), Some(NOW)));
    server.will(400, &json!({"error": "invalid_grant"}));
    let credentials = over(&shelf, Some(&server), &clock);
    for _ in 0..3 {
        let refused = reason(shown(&credentials, &alice()).await);
        assert_eq!(refused, ("upstream_credential_expired", 403));
        clock.advance(Duration::from_secs(5));
    }
    assert_eq!(server.asked().len(), 1);
    shelf.put("alice", "okta/token", &saved(NEW, None, None));
    assert!(shown(&credentials, &alice()).await.is_ok());
}

#[tokio::test]
async fn a_token_endpoint_in_trouble_is_asked_once_and_what_is_still_good_is_used() {
    let (clock, server, shelf) = (
        clock(),
        TokenServer::start().await,
        Arc::new(Shelf::default()),
    );
    shelf.put(
        "alice",
        "okta/token",
        &saved(OLD, Some(REFRESH), Some(NOW + 20)),
    );
    let credentials = over(&shelf, Some(&server), &clock);
    for _ in 0..3 {
        assert_eq!(
            shown(&credentials, &alice()).await.unwrap().0,
            format!("Bearer {OLD}")
        );
    }
    assert_eq!(server.asked().len(), 1);
    clock.advance(Duration::from_secs(20));
    for _ in 0..3 {
        let refused = reason(shown(&credentials, &alice()).await);
        assert_eq!(refused, ("upstream_token_refused", 502));
    }
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_store_that_fails_for_a_moment_does_not_lose_a_renewed_token() {
    let (clock, server, shelf) = (
        clock(),
        TokenServer::start().await,
        Arc::new(Shelf::default()),
    );
    shelf.put("alice", "okta/token", &saved(OLD, Some(REFRESH), Some(NOW)));
    shelf.failing.store(2, Ordering::SeqCst);
    server.will_give(NEW);
    let credentials = over(&shelf, Some(&server), &clock);
    shown(&credentials, &alice()).await.unwrap();
    assert_eq!(shelf.json("alice", "okta/token")["access_token"], NEW);
}

#[tokio::test]
async fn a_refused_token_is_renewed_before_its_end_and_a_renewed_one_is_believed_to_be_refused() {
    let (clock, server, shelf) = (
        clock(),
        TokenServer::start().await,
        Arc::new(Shelf::default()),
    );
    shelf.put("alice", "okta/token", &saved(OLD, Some(REFRESH), None));
    server.will_give(NEW);
    let credentials = over(&shelf, Some(&server), &clock);
    let (_, first) = shown(&credentials, &alice()).await.unwrap();
    let (value, second) = shown_instead(&credentials, &alice(), first).await.unwrap();
    assert_eq!(value, format!("Bearer {NEW}"));
    let error = credentials.refused(&alice(), second);
    assert_eq!(error.reason(), "upstream_credential_rejected");
    let refused = reason(shown(&credentials, &alice()).await);
    assert_eq!(refused, ("upstream_credential_rejected", 403));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn nothing_shows_a_credential_but_its_header() {
    let (clock, server, shelf) = (
        clock(),
        TokenServer::start().await,
        Arc::new(Shelf::default()),
    );
    shelf.put("alice", "okta/token", &saved(OLD, Some(REFRESH), Some(NOW)));
    server
        .will_give(NEW)
        .will(400, &json!({"error": REFRESH, "error_description": NEW}));
    let credentials = over(&shelf, Some(&server), &clock);
    let mut headers = HeaderMap::new();
    credentials.apply(&alice(), &mut headers).await.unwrap();
    let (_, first) = shown(&credentials, &alice()).await.unwrap();
    let error = shown_instead(&credentials, &alice(), first)
        .await
        .unwrap_err();
    let everything = format!(
        "{credentials:?} {shelf:?} {headers:?} {first:?} {error:?} {error} {}",
        error.public()
    );
    assert!(!everything.contains("canary"), "{everything}");
}

#[tokio::test]
async fn a_token_out_of_the_vault_is_renewed_and_kept_there() {
    let (clock, server) = (clock(), TokenServer::start().await);
    let (settings, trail) = (
        crate::vault::Settings::default(),
        crate::audit::Sink::discard(clock.clone()),
    );
    let store = Arc::new(crate::store::Memory::new(clock.clone()));
    let vault = crate::vault::Vault::open(store, &settings, clock.clone(), trail)
        .await
        .unwrap();
    let vault = Arc::new(vault);
    let kept = Secret::new(saved(OLD, Some(REFRESH), Some(NOW)));
    vault.seal("alice", "okta/token", kept, None).await.unwrap();
    server.will_give(NEW);
    let keys: Arc<dyn Keys> = vault.clone();
    let credentials = Credentials::new(&per_user(Some(&server)), Some(keys), &clock).unwrap();
    for _ in 0..2 {
        assert_eq!(
            shown(&credentials, &alice()).await.unwrap().0,
            format!("Bearer {NEW}")
        );
    }
    assert_eq!(server.asked().len(), 1);
    let kept = vault
        .open_secret("alice", "okta/token")
        .await
        .unwrap()
        .unwrap();
    assert!(kept.expose().contains(NEW) && kept.expose().contains(REFRESH));
}
