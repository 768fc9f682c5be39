//! Renewing a session: by whom, until when, how often, and with the provider's consent.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::rig::{Rig, Session, called, claims, json_of, resource};
use crate::audit::event::Event;
use crate::auth::Grant;
use crate::clock::Timestamp;
use crate::login::tests::rig::NOW;
use crate::secret::Secret;
use crate::web::Reply;

async fn refresh(rig: &Rig, token: &str) -> Reply {
    rig.call(Method::POST, "/auth/refresh", token).await
}

fn reason(reply: &Reply) -> String {
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{:?}", reply.body);
    assert!(reply.headers.contains_key("www-authenticate"), "R411");
    let body = json_of(reply);
    assert_eq!(body["error"]["code"], "refresh_failed");
    let message = "Unable to refresh token. Please re-authenticate.";
    assert_eq!(body["error"]["message"], message);
    body["error"]["details"]["reason"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn r405_r412_r418_whoever_holds_no_good_token_gets_no_other() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    let (head, signature) = session.token.rsplit_once('.').unwrap();
    let altered = format!("{head}.{}", signature.chars().rev().collect::<String>());
    for (token, code) in [
        ("", "unauthorized"),
        ("x", "token_malformed"),
        ("mcp_ac_x", "token_malformed"),
        (altered.as_str(), "invalid_token"),
    ] {
        let reply = refresh(&rig, token).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{token}");
        assert!(reply.headers.contains_key("www-authenticate"));
        let found = json_of(&reply)["error"]["code"].clone();
        assert!(
            found == code || found == "token_malformed",
            "{token}: {found}"
        );
    }
    for token in ["mcp_rt_x", "mcp_rt_"] {
        assert_eq!(reason(&refresh(&rig, token).await), "refresh_token_invalid");
    }
}

#[tokio::test]
async fn c05_a_token_that_expired_too_long_ago_is_refused() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    rig.clock.advance(Duration::from_secs(86_400 + 60 + 300));
    let reply = refresh(&rig, &session.token).await;
    assert_eq!(reason(&reply), "refresh_token_expired");
}

#[tokio::test]
async fn c05_r407_a_token_that_has_just_expired_is_good_once() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    rig.clock.advance(Duration::from_secs(86_400 + 299));
    let all = (0..8).map(|_| refresh(&rig, &session.token));
    let replies = futures_util::future::join_all(all).await;
    let (good, refused): (Vec<_>, Vec<_>) = replies
        .iter()
        .partition(|reply| reply.status == StatusCode::OK);
    assert_eq!((good.len(), refused.len()), (1, 7));
    for reply in refused {
        assert_eq!(reason(reply), "token_already_refreshed");
    }
    // For everything else it has ended.
    let reply = rig.call(Method::GET, "/auth/me", &session.token).await;
    assert_eq!(json_of(&reply)["error"]["code"], "token_expired");
}

#[tokio::test]
async fn a_clients_token_never_becomes_a_session() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    let of_client = |client: Option<&str>, session: Option<String>| {
        let minted = rig.mint.mint(&Grant {
            user: "12345".into(),
            team: "67890".into(),
            tier: "free".into(),
            scopes: vec!["mcp:read".into()],
            audiences: vec![resource()],
            client: client.map(str::to_owned),
            session,
            generation: Some(0),
            ..Grant::default()
        });
        minted.unwrap().token
    };
    let sid = session.claims()["sid"].as_str().unwrap().to_owned();
    let token = of_client(Some("reports"), Some(sid));
    assert_eq!(
        reason(&refresh(&rig, token.expose()).await),
        "token_of_client"
    );
    let new = crate::grants::New {
        user: "12345".into(),
        client: Some("reports".into()),
        ..crate::grants::New::default()
    };
    let (grant, client_refresh) = rig.grants.open(new).await.unwrap();
    let token = of_client(None, Some(grant.id));
    assert_eq!(
        reason(&refresh(&rig, token.expose()).await),
        "refresh_token_invalid"
    );
    let reply = refresh(&rig, client_refresh.expose()).await;
    assert_eq!(reason(&reply), "refresh_token_invalid");
    let by_hand = of_client(None, None);
    assert_eq!(
        reason(&refresh(&rig, by_hand.expose()).await),
        "refresh_token_invalid"
    );
}

#[tokio::test]
async fn r128_a_refresh_token_that_comes_again_ends_the_session() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    let next = Session::of(&refresh(&rig, &session.refresh_token).await);
    rig.clock.advance(Duration::from_secs(11));
    let reply = refresh(&rig, &session.refresh_token).await;
    assert_eq!(reason(&reply), "refresh_token_reused");
    assert_eq!(reply.note.event, Some(Event::SuspiciousActivity));
    assert_eq!(reply.note.user.as_deref(), Some("12345"));
    assert_eq!(
        reason(&refresh(&rig, &next.refresh_token).await),
        "refresh_token_invalid"
    );
    let reply = refresh(&rig, &next.token).await;
    assert_eq!(json_of(&reply)["error"]["code"], "token_revoked");
}

#[tokio::test]
async fn a_user_who_was_shut_out_renews_nothing() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    rig.revocations.disable("12345").await.unwrap();
    assert_eq!(
        reason(&refresh(&rig, &session.refresh_token).await),
        "session_revoked"
    );
    let reply = refresh(&rig, &session.token).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn c53_a_session_ends_whatever_is_renewed() {
    let rig = Rig::start().await;
    let mut token = rig.sign_in().await.token;
    for _ in 0..30 {
        rig.clock.advance(Duration::from_secs(86_000));
        let reply = refresh(&rig, &token).await;
        assert_eq!(reply.status, StatusCode::OK);
        token = json_of(&reply)["token"].as_str().unwrap().to_owned();
    }
    rig.clock.advance(Duration::from_secs(15_000));
    assert_eq!(
        reason(&refresh(&rig, &token).await),
        "refresh_token_expired"
    );
}

#[tokio::test]
async fn an_address_that_guesses_has_to_wait() {
    let rig = Rig::start().await;
    for _ in 0..30 {
        let reply = refresh(&rig, "mcp_rt_x").await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    }
    let session_paths = [("/auth/refresh", Method::POST), ("/auth/me", Method::GET)];
    for (path, method) in session_paths {
        let reply = rig.call(method, path, "mcp_rt_x").await;
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(reply.headers["retry-after"], "60");
        assert_eq!(reply.note.event, Some(Event::RateLimited));
    }
    let mut elsewhere = called(Method::POST, "/auth/refresh", "mcp_rt_x");
    elsewhere.address = "192.0.2.1".parse().unwrap();
    let reply = rig.account.answer(&elsewhere).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    rig.clock.advance(Duration::from_secs(61));
    assert_eq!(
        refresh(&rig, "mcp_rt_x").await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn two_credentials_at_a_time_are_refused() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    let body = json!({"refresh_token": session.refresh_token});
    let token = &session.refresh_token;
    let reply = rig.send(Method::POST, "/auth/refresh", token, &body).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    for body in [json!([]), json!({"refresh_token": 1})] {
        let reply = rig.send(Method::POST, "/auth/refresh", "", &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn r408_r416_a_valid_token_is_exchanged_for_a_new_one() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    rig.clock.advance(Duration::from_secs(3600));
    let reply = refresh(&rig, &session.token).await;
    let mut body = json_of(&reply);
    let new = claims(body["token"].as_str().unwrap());
    body["token"] = json!("T");
    assert_eq!(
        body,
        json!({"token": "T", "expires_in": 86400, "token_type": "Bearer"})
    );
    let old = session.claims();
    assert_ne!(new["jti"], old["jti"]);
    assert_eq!(new["sid"], old["sid"]);
    assert_eq!(new["exp"], json!(NOW + 3600 + 86_400));
    // R190: one line with the old and the new id.
    assert_eq!(reply.note.event, Some(Event::TokenRefreshed));
    assert_eq!(reply.note.token_id.as_deref(), new["jti"].as_str());
    let replaced = ("replaced_token_id", old["jti"].clone());
    assert!(reply.note.details.contains(&replaced));
}

#[tokio::test]
async fn c05_the_refresh_token_works_from_the_body_and_from_the_header() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    let body = json!({"refresh_token": session.refresh_token});
    let reply = rig.send(Method::POST, "/auth/refresh", "", &body).await;
    let next = Session::of(&reply);
    let next = Session::of(&refresh(&rig, &next.refresh_token).await);
    assert_eq!(next.claims()["sid"], session.claims()["sid"]);
}

fn ending_tokens() -> Value {
    json!({"access_token": "canary_not_a_real_one", "refresh_token": "canary_not_a_real_r1",
        "expires_in": 3600})
}

#[tokio::test]
async fn r417_a_provider_that_refuses_ends_the_session() {
    let rig = Rig::start().await;
    rig.serve_clickup(&ending_tokens());
    let session = rig.sign_in().await;
    rig.clock.advance(Duration::from_secs(3590));
    let refused = json!({"error": "invalid_grant"});
    rig.fake
        .serve_with("/api/v2/oauth/token", "400 Bad Request", &refused);
    assert_eq!(
        reason(&refresh(&rig, &session.token).await),
        "upstream_refused"
    );
    let reply = refresh(&rig, &session.token).await;
    assert_eq!(json_of(&reply)["error"]["code"], "token_revoked");
    assert!(rig.vault.list("12345").await.unwrap().is_empty());
}

#[tokio::test]
async fn r434_a_provider_that_does_not_answer_ends_nothing() {
    let rig = Rig::start().await;
    rig.serve_clickup(&ending_tokens());
    let session = rig.sign_in().await;
    rig.fake.answer_raw("/api/v2/oauth/token", "");
    // What is still good for a while is used to its end.
    rig.clock.advance(Duration::from_secs(3500));
    assert_eq!(refresh(&rig, &session.token).await.status, StatusCode::OK);
    rig.clock.advance(Duration::from_secs(200));
    let reply = refresh(&rig, &session.token).await;
    assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(json_of(&reply)["error"]["code"], "network_timeout");
    // The refresh token was not used up for nothing, however long the outage lasts.
    let reply = refresh(&rig, &session.refresh_token).await;
    assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT);
    rig.clock.advance(Duration::from_secs(60));
    rig.serve_clickup(&ending_tokens());
    let reply = refresh(&rig, &session.refresh_token).await;
    assert_eq!(reply.status, StatusCode::OK);
}

#[tokio::test]
async fn r414_r415_r419_many_refreshes_ask_the_provider_once() {
    let rig = Rig::start().await;
    rig.serve_clickup(&ending_tokens());
    let session = rig.sign_in().await;
    rig.clock.advance(Duration::from_secs(3590));
    rig.serve_clickup(&json!({"access_token": "canary_not_a_real_two", "expires_in": 3600}));
    let all = (0..20).map(|_| refresh(&rig, &session.token));
    for reply in futures_util::future::join_all(all).await {
        assert_eq!(reply.status, StatusCode::OK);
    }
    let asked = rig.fake.asked("/api/v2/oauth/token");
    let renewals: Vec<_> = asked
        .iter()
        .filter(|asked| asked.field("grant_type").as_deref() == Some("refresh_token"))
        .collect();
    assert_eq!(renewals.len(), 1);
    assert_eq!(
        renewals[0].field("refresh_token").as_deref(),
        Some("canary_not_a_real_r1")
    );
    let kept = rig
        .vault
        .open_secret("12345", "clickup/token")
        .await
        .unwrap()
        .unwrap();
    let kept: Value = serde_json::from_str(kept.expose()).unwrap();
    let end = Timestamp::from_seconds(NOW + 3590 + 3600).seconds();
    assert_eq!(
        kept,
        json!({"access_token": "canary_not_a_real_two", "refresh_token": "canary_not_a_real_r1",
            "expires_at": end, "issued_at": NOW + 3590})
    );
}

#[tokio::test]
async fn a_token_of_unknown_life_is_never_renewed() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    rig.clock.advance(Duration::from_secs(86_000));
    assert_eq!(refresh(&rig, &session.token).await.status, StatusCode::OK);
    assert_eq!(rig.fake.asked("/api/v2/oauth/token").len(), 1);
    let other = Secret::new("x".to_owned());
    rig.vault
        .seal("12345", "clickup/token", other, None)
        .await
        .unwrap();
    assert_eq!(refresh(&rig, &session.token).await.status, StatusCode::OK);
}

/// The one exchange of a token that has just expired is not used up for nothing either.
#[tokio::test]
async fn an_outage_uses_up_no_expired_token() {
    let rig = Rig::start().await;
    rig.serve_clickup(&ending_tokens());
    let session = rig.sign_in().await;
    rig.clock.advance(Duration::from_secs(86_400 + 100));
    rig.fake.answer_raw("/api/v2/oauth/token", "");
    let reply = refresh(&rig, &session.token).await;
    assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT);
    rig.serve_clickup(&ending_tokens());
    assert_eq!(refresh(&rig, &session.token).await.status, StatusCode::OK);
    let again = refresh(&rig, &session.token).await;
    assert_eq!(reason(&again), "token_already_refreshed");
}

/// A refresh whose renewal is under way while something else writes the user's upstream token.
async fn overtaken(rig: &Rig, session: &Session, by: &Value) -> Reply {
    const PATH: &str = "/api/v2/oauth/token";
    let before = rig.fake.asked(PATH).len();
    rig.fake.hold(Some(PATH));
    let other = async {
        while rig.fake.asked(PATH).len() == before {
            tokio::task::yield_now().await;
        }
        let text = Secret::new(by.to_string());
        let sealed = rig.vault.seal("12345", "clickup/token", text, None);
        sealed.await.unwrap();
        rig.fake.hold(None);
    };
    let (reply, ()) = tokio::join!(refresh(rig, &session.token), other);
    reply
}

async fn patient() -> Rig {
    let settings = crate::account::Settings {
        scopes: vec!["mcp:read".into(), "mcp:write".into()],
        ..crate::account::Settings::default()
    };
    let change = |desk: &mut crate::login::Settings| desk.timeout = Duration::from_secs(60);
    let rig = Rig::with(settings, change).await;
    rig.serve_clickup(&ending_tokens());
    rig
}

async fn kept(rig: &Rig) -> Value {
    let kept = rig.vault.open_secret("12345", "clickup/token").await;
    serde_json::from_str(kept.unwrap().unwrap().expose()).unwrap()
}

#[tokio::test]
async fn a_renewal_that_another_gateway_won_ends_no_session() {
    let rig = patient().await;
    let session = rig.sign_in().await;
    rig.clock.advance(Duration::from_secs(3590));
    let refused = json!({"error": "invalid_grant"});
    rig.fake
        .serve_with("/api/v2/oauth/token", "400 Bad Request", &refused);
    let theirs = json!({"access_token": "canary_not_a_real_two", "refresh_token": "canary_not_a_real_r2",
        "expires_at": NOW + 7200, "issued_at": NOW + 3590});
    let reply = overtaken(&rig, &session, &theirs).await;
    assert_eq!(reply.status, StatusCode::OK, "{:?}", reply.body);
    assert_eq!(kept(&rig).await, theirs);
    let reply = rig.call(Method::GET, "/auth/me", &session.token).await;
    assert_eq!(reply.status, StatusCode::OK);
}

#[tokio::test]
async fn a_renewal_never_overwrites_what_a_login_has_brought_meanwhile() {
    let rig = patient().await;
    let session = rig.sign_in().await;
    rig.clock.advance(Duration::from_secs(3590));
    let theirs = json!({"access_token": "canary_not_a_real_two", "refresh_token": "canary_not_a_real_r2",
        "expires_at": NOW + 7200, "issued_at": NOW + 3590});
    let reply = overtaken(&rig, &session, &theirs).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(kept(&rig).await, theirs);
}
