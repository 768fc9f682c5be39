//! ClickUp, GitHub and the development login, with their own ways of saying yes and no.

use http::header::HOST;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::rig::{NOW, Rig, visit};
use crate::clock::Timestamp;
use crate::login::exchange::ExchangeError;
use crate::login::{LoginError, Next};
use crate::users;
use crate::web::Visit;

fn body(error: &LoginError, visit: &Visit) -> (StatusCode, Value) {
    let reply = error.answer(visit);
    (reply.status, serde_json::from_slice(&reply.body).unwrap())
}

fn clickup(rig: &Rig) {
    rig.fake.serve(
        "/api/v2/oauth/token",
        &json!({"access_token": "canary_not_a_real_1"}),
    );
    let user = json!({"user": {"id": 12345, "username": "john_doe", "email": "user@example.com"}});
    rig.fake.serve("/api/v2/user", &user);
    let teams = json!({"teams": [{"id": "67890", "name": "My Workspace"}, {"id": "2"}]});
    rig.fake.serve("/api/v2/team", &teams);
}

#[tokio::test]
async fn r425_r349_a_user_who_says_no_gets_the_flat_body_of_oauth() {
    let rig = Rig::start().await;
    let away = rig.away("clickup", Next::Session).await;
    let back = away.back("error=access_denied&error_description=<script>");
    let error = rig.desk.finish(&back).await.unwrap_err();
    let (status, body) = body(&error, &back);
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(
        body,
        json!({"error": "access_denied", "error_description": "User denied authorization"})
    );
}

#[tokio::test]
async fn r423_r424_r440_refusals_of_a_provider_become_those_of_oauth() {
    let rig = Rig::start().await;
    let ecode = |code: &str| json!({"err": "canary text", "ECODE": code});
    let error = |code: &str| json!({"error": code, "error_description": "canary text"});
    let cases = [
        (
            "clickup",
            "/api/v2/oauth/token",
            "401 Unauthorized",
            ecode("OAUTH_010"),
            "invalid_client",
        ),
        (
            "clickup",
            "/api/v2/oauth/token",
            "400 Bad Request",
            ecode("OAUTH_007"),
            "invalid_request",
        ),
        (
            "clickup",
            "/api/v2/oauth/token",
            "400 Bad Request",
            ecode("OAUTH_014"),
            "invalid_grant",
        ),
        (
            "github",
            "/access_token",
            "200 OK",
            error("incorrect_client_credentials"),
            "invalid_client",
        ),
        (
            "github",
            "/access_token",
            "200 OK",
            error("bad_verification_code"),
            "invalid_grant",
        ),
        (
            "github",
            "/access_token",
            "200 OK",
            error("redirect_uri_mismatch"),
            "invalid_request",
        ),
        (
            "okta",
            "/token",
            "401 Unauthorized",
            error("invalid_client"),
            "invalid_client",
        ),
        (
            "okta",
            "/token",
            "400 Bad Request",
            error("invalid_grant"),
            "invalid_grant",
        ),
    ];
    for (provider, path, status, answer, wanted) in cases {
        rig.fake.serve_with(path, status, &answer);
        let away = rig.away(provider, Next::Session).await;
        let back = away.back("code=c1");
        let error = rig.desk.finish(&back).await.unwrap_err();
        let (_, body) = body(&error, &back);
        assert_eq!(body["error"], wanted, "{provider} {answer}");
        assert!(!body.to_string().contains("canary"), "{body}");
    }
}

#[tokio::test]
async fn r328_r357_r365_clickup_signs_in_without_pkce_scopes_or_an_end() {
    let rig = Rig::start().await;
    clickup(&rig);
    let away = rig.away("clickup", Next::Session).await;
    assert!(
        away.to
            .as_str()
            .starts_with(&format!("{}/api?", rig.fake.url))
    );
    assert_eq!(away.param("client_id").as_deref(), Some("gw-at-clickup"));
    let redirect = "https://gw.test/auth/callback";
    assert_eq!(away.param("redirect_uri").as_deref(), Some(redirect));
    for absent in ["scope", "code_challenge", "nonce"] {
        assert_eq!(away.param(absent), None, "{absent}");
    }
    let signed_in = rig.desk.finish(&away.back("code=c1")).await.unwrap();
    assert_eq!(signed_in.user.id, "12345");
    assert_eq!(signed_in.user.name.as_deref(), Some("john_doe"));
    let team = signed_in.user.team().unwrap();
    assert_eq!(
        (team.id.as_str(), team.name.as_str()),
        ("67890", "My Workspace")
    );
    let tokens = signed_in.tokens.unwrap();
    assert_eq!(tokens.expires_at, None);
    assert!(tokens.refresh_token.is_none());
    let asked = rig.fake.asked("/api/v2/oauth/token").pop().unwrap();
    assert_eq!(asked.line, "POST /api/v2/oauth/token HTTP/1.1");
    assert_eq!(
        asked.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    for (field, wanted) in [
        ("grant_type", "authorization_code"),
        ("client_id", "gw-at-clickup"),
        ("client_secret", "canary-not-a-real-client-secret"),
        ("code", "c1"),
        ("redirect_uri", redirect),
    ] {
        assert_eq!(asked.field(field).as_deref(), Some(wanted), "{field}");
    }
    let asked = rig.fake.asked("/api/v2/user").pop().unwrap();
    assert_eq!(
        asked.header("authorization"),
        Some("Bearer canary_not_a_real_1")
    );
}

#[tokio::test]
async fn r363_r364_the_form_of_the_seeds_is_taken_as_well() {
    let rig = Rig::start().await;
    clickup(&rig);
    rig.fake.serve(
        "/api/v2/oauth/token",
        &json!({"access_token": "pk_12345_CANARY", "refresh_token": "rt_12345_CANARY",
            "expires_in": 3600, "token_type": "Bearer"}),
    );
    let away = rig.away("clickup", Next::Session).await;
    let signed_in = rig.desk.finish(&away.back("code=c1")).await.unwrap();
    let tokens = signed_in.tokens.unwrap();
    assert_eq!(tokens.expires_at, Some(Timestamp::from_seconds(NOW + 3600)));
    assert!(tokens.refresh_token.is_some());
    let asked = rig.fake.asked("/api/v2/user").pop().unwrap();
    assert_eq!(asked.header("authorization"), Some("pk_12345_CANARY"));
}

#[tokio::test]
async fn a_clickup_whose_user_cannot_be_read_signs_nobody_in() {
    let rig = Rig::start().await;
    clickup(&rig);
    for (path, answer) in [
        ("/api/v2/user", json!({"user": {"id": "12345"}})),
        ("/api/v2/user", json!({"user": {}})),
        ("/api/v2/user", json!([])),
        ("/api/v2/team", json!({"teams": "x"})),
    ] {
        clickup(&rig);
        rig.fake.serve(path, &answer);
        let away = rig.away("clickup", Next::Session).await;
        let refused = rig.desk.finish(&away.back("code=c1")).await;
        assert!(
            matches!(refused, Err(LoginError::Exchange { .. })),
            "{answer}"
        );
    }
    assert!(users::find(&*rig.store, "12345").await.unwrap().is_none());
}

#[tokio::test]
async fn github_names_a_number_a_verified_address_and_organisations() {
    let rig = Rig::with(|settings| {
        let github = settings.providers.iter_mut().find(|p| p.name == "github");
        github.unwrap().scopes = ["read:user", "user:email", "read:org"]
            .map(str::to_owned)
            .to_vec();
    })
    .await;
    rig.fake.serve(
        "/access_token",
        &json!({"access_token": "gho_canary", "token_type": "bearer"}),
    );
    rig.fake.serve(
        "/user",
        &json!({"id": 7, "login": "ann", "email": "public@evil.test"}),
    );
    rig.fake.serve(
        "/user/emails",
        &json!([{"email": "old@example.com", "primary": false, "verified": true},
            {"email": "ann@example.com", "primary": true, "verified": true}]),
    );
    rig.fake
        .serve("/user/orgs?per_page=100", &json!([{"login": "acme"}]));
    let away = rig.away("github", Next::Session).await;
    assert_eq!(away.param("code_challenge_method").as_deref(), Some("S256"));
    let user = rig.desk.finish(&away.back("code=c1")).await.unwrap().user;
    assert_eq!(user.id, "github.7");
    assert_eq!(user.email.as_deref(), Some("ann@example.com"));
    assert_eq!(user.team().unwrap().id, "acme");
    let asked = rig.fake.asked("/access_token").pop().unwrap();
    assert!(asked.field("code_verifier").is_some());
    assert_eq!(asked.header("accept"), Some("application/json"));
    // An address that is not verified is none.
    rig.fake.serve(
        "/user/emails",
        &json!([{"email": "a@b.c", "primary": true, "verified": false}]),
    );
    let away = rig.away("github", Next::Session).await;
    let user = rig.desk.finish(&away.back("code=c1")).await.unwrap().user;
    assert_eq!(user.email, None);
}

#[tokio::test]
async fn a_disabled_user_and_one_who_is_not_let_in_do_not_sign_in() {
    let rig = Rig::with(|settings| {
        for provider in &mut settings.providers {
            provider.allow.users = vec!["12345".into(), "okta.bob".into()];
        }
    })
    .await;
    let refused = rig.login_with(|_| {}).await.unwrap_err();
    assert!(matches!(refused, LoginError::NotAllowed));
    assert!(
        users::find(&*rig.store, "okta.alice")
            .await
            .unwrap()
            .is_none()
    );
    clickup(&rig);
    let now = rig.clock.now();
    users::change(&*rig.store, "12345", now, |user| {
        user.disabled = true;
        Ok(())
    })
    .await
    .unwrap();
    let away = rig.away("clickup", Next::Session).await;
    let back = away.back("code=c1");
    let error = rig.desk.finish(&back).await.unwrap_err();
    let reply = error.answer(&back);
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(reply.note.user.as_deref(), Some("12345"));
    assert_eq!(reply.note.refused, Some("user_disabled"));
}

type Change<'a> = &'a dyn Fn(&mut Visit);

#[tokio::test]
async fn the_development_login_works_on_the_loopback_only() {
    let rig = Rig::start().await;
    let away = rig.away("development", Next::Session).await;
    let page = |change: Change<'_>| {
        let mut visit = away.back("");
        visit.path = "/auth/development".into();
        change(&mut visit);
        visit
    };
    let host = |text: &'static str| {
        move |visit: &mut Visit| drop(visit.headers.insert(HOST, HeaderValue::from_static(text)))
    };
    let elsewhere: [(&str, Change<'_>); 8] = [
        ("address", &|visit| {
            visit.address = "10.0.0.1".parse().unwrap()
        }),
        ("mapped address", &|visit| {
            visit.address = "::ffff:10.0.0.1".parse().unwrap()
        }),
        ("name", &host("gw.test")),
        ("name that begins well", &host("localhost.evil.test")),
        ("name with a user", &host("localhost@evil.test")),
        ("no name", &|visit| drop(visit.headers.remove(HOST))),
        ("proxy", &|visit| {
            drop(
                visit
                    .headers
                    .insert("x-forwarded-for", HeaderValue::from_static("127.0.0.1")),
            );
        }),
        ("proxy of the standard", &|visit| {
            drop(
                visit
                    .headers
                    .insert("forwarded", HeaderValue::from_static("for=127.0.0.1")),
            );
        }),
    ];
    for (name, change) in elsewhere {
        let visit = page(change);
        let refused = rig.desk.development(&visit);
        assert!(matches!(refused, Err(LoginError::NotLocal)), "{name}");
        let begun = rig.desk.begin("development", Next::Session, &visit).await;
        assert!(matches!(begun, Err(LoginError::NotLocal)), "{name}");
        let away = rig.away("development", Next::Session).await;
        let mut back = away.back("code=alice");
        change(&mut back);
        let finished = rig.desk.finish(&back).await;
        assert!(matches!(finished, Err(LoginError::NotLocal)), "{name}");
    }
    assert!(
        rig.desk
            .development(&visit("/auth/development", "state=x"))
            .is_err()
    );
    let reply = rig.desk.development(&page(&|_| {})).unwrap();
    assert!(String::from_utf8_lossy(&reply.body).contains("DEVELOPMENT LOGIN"));
}

#[tokio::test]
async fn the_development_login_takes_a_plain_id_and_a_tier() {
    let rig = Rig::start().await;
    for code in ["a%20b", "a%7Cb", "%C3%A4", &"a".repeat(65), "a%0Ab"] {
        let away = rig.away("development", Next::Session).await;
        let refused = rig.desk.finish(&away.back(&format!("code={code}"))).await;
        assert!(matches!(refused, Err(LoginError::Profile(_))), "{code}");
    }
    let away = rig.away("development", Next::Session).await;
    let signed_in = rig
        .desk
        .finish(&away.back("code=alice&tier=premium"))
        .await
        .unwrap();
    assert_eq!(signed_in.user.id, "development.alice");
    assert_eq!(signed_in.user.tier, "premium");
    assert!(signed_in.tokens.is_none());
}

#[tokio::test]
async fn c19_nobody_becomes_a_clickup_user_by_another_provider() {
    let rig = Rig::start().await;
    let user = rig
        .login_with(|claims| claims["sub"] = "12345".into())
        .await
        .unwrap()
        .user;
    assert_eq!(user.id, "okta.12345");
}

#[tokio::test]
async fn r171_a_key_is_known_by_the_provider_or_good_for_nothing() {
    let rig = Rig::start().await;
    clickup(&rig);
    let key = crate::secret::Secret::new("pk_12345_CANARY".to_owned());
    let (user, teams) = rig.desk.whose("clickup", &key).await.unwrap().unwrap();
    assert_eq!((user.as_str(), teams.len()), ("12345", 2));
    assert!(rig.desk.whose("github", &key).await.unwrap().is_none());
    let refused = json!({"err": "Token invalid", "ECODE": "OAUTH_025"});
    rig.fake
        .serve_with("/api/v2/user", "401 Unauthorized", &refused);
    let error = rig.desk.whose("clickup", &key).await.unwrap_err();
    assert!(matches!(
        error,
        LoginError::Exchange {
            source: ExchangeError::Grant,
            ..
        }
    ));
}
