//! An OpenID provider, and everything that is not its good statement about this user, for us, at this login.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::rig::{ACCESS_TOKEN, NOW, Rig, part};
use crate::auth::AuthError;
use crate::auth::support::Signer;
use crate::login::exchange::ExchangeError;
use crate::login::{LoginError, Next};

fn id_token_refused(result: Result<crate::login::SignedIn, LoginError>) -> AuthError {
    match result {
        Err(LoginError::IdToken(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn oidc_core_s3_1_3_7_an_id_token_that_is_not_for_this_login_is_refused() {
    let rig = Rig::start().await;
    let other = &rig.other.url;
    let cases: Vec<(&str, Value, AuthError)> = vec![
        ("iss", json!(other), AuthError::WrongIssuer),
        (
            "iss",
            json!(format!("{}/", rig.fake.url)),
            AuthError::WrongIssuer,
        ),
        ("aud", json!("gw-at-other"), AuthError::WrongAudience),
        ("aud", json!([]), AuthError::WrongAudience),
        ("aud", json!(["gw-at-okta", "x"]), AuthError::WrongAudience),
        ("azp", json!("x"), AuthError::WrongAudience),
        ("aud", Value::Null, AuthError::InvalidClaim("aud")),
        ("nonce", json!("n"), AuthError::InvalidClaim("nonce")),
        ("nonce", json!(1), AuthError::InvalidClaim("nonce")),
        ("iat", json!(NOW + 120), AuthError::NotYetValid),
        ("nbf", json!(NOW + 120), AuthError::NotYetValid),
        ("at_hash", json!("AAAA"), AuthError::InvalidClaim("at_hash")),
        ("sub", json!(1), AuthError::InvalidClaim("sub")),
    ];
    for (claim, value, wanted) in cases {
        let result = rig.login_with(|claims| claims[claim] = value.clone()).await;
        assert_eq!(id_token_refused(result), wanted, "{claim} {value}");
    }
    for absent in ["nonce", "iat", "exp", "sub", "aud", "iss"] {
        let result = rig
            .login_with(|claims| drop(claims.as_object_mut().unwrap().remove(absent)))
            .await;
        assert_eq!(id_token_refused(result), AuthError::MissingClaim(absent));
    }
    let expired = rig
        .login_with(|claims| claims["exp"] = (NOW - 61).into())
        .await;
    assert!(matches!(
        id_token_refused(expired),
        AuthError::Expired { .. }
    ));
}

#[tokio::test]
async fn an_id_token_without_a_good_signature_is_refused() {
    let rig = Rig::start().await;
    let secret = b"canary-not-a-real-client-secret";
    let by_secret = Signer::hs256("k1", secret);
    let stranger = Signer::es256("k1");
    let unknown = Signer::es256("k9");
    let cases: [(&str, AuthError); 7] = [
        ("none", AuthError::WrongAlgorithm),
        ("hs256", AuthError::WrongAlgorithm),
        ("public key as secret", AuthError::WrongAlgorithm),
        ("stranger", AuthError::InvalidSignature),
        ("unknown", AuthError::UnknownKey),
        ("access token", AuthError::InvalidHeader("typ")),
        ("two parts", AuthError::Malformed("empty part")),
    ];
    for (name, wanted) in cases {
        let away = rig.away("okta", Next::Session).await;
        let claims = rig.claims(&away);
        let token = match name {
            "none" => format!("{}.{}.AAAA", part(&json!({"alg": "none"})), part(&claims)),
            "hs256" => by_secret.token(&claims),
            "public key as secret" => {
                let forms = rig.signer.public_forms();
                Signer::hs256("k1", &forms[0]).token(&claims)
            }
            "stranger" => stranger.token(&claims),
            "unknown" => unknown.token(&claims),
            "access token" => {
                let header = json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"});
                rig.signer.sign(&header.to_string(), &claims.to_string())
            }
            _ => format!("{}.{}.", part(&rig.signer.header()), part(&claims)),
        };
        rig.hand_out(&token);
        let result = rig.desk.finish(&away.back("code=c1")).await;
        assert_eq!(id_token_refused(result), wanted, "{name}");
    }
}

#[tokio::test]
async fn an_answer_without_an_id_token_is_no_login() {
    let rig = Rig::start().await;
    let away = rig.away("okta", Next::Session).await;
    rig.fake
        .serve("/token", &json!({"access_token": ACCESS_TOKEN}));
    let result = rig.desk.finish(&away.back("code=c1")).await;
    assert!(matches!(result, Err(LoginError::Profile(_))), "{result:?}");
}

#[tokio::test]
async fn rfc9207_s2_4_an_answer_of_another_issuer_is_refused() {
    let rig = Rig::start().await;
    let mixed = format!("code=c1&iss={}", rig.other.url);
    for provider in ["okta", "clickup", "github"] {
        let away = rig.away(provider, Next::Session).await;
        let result = rig.desk.finish(&away.back(&mixed)).await;
        assert!(matches!(result, Err(LoginError::OtherIssuer)), "{provider}");
    }
    assert!(rig.fake.asked("/token").is_empty(), "the code went nowhere");
    // Also an error is believed only when it comes from the one who was asked.
    let away = rig.away("okta", Next::Session).await;
    let mixed = format!("error=access_denied&iss={}", rig.other.url);
    let result = rig.desk.finish(&away.back(&mixed)).await;
    assert!(matches!(result, Err(LoginError::OtherIssuer)));
}

#[tokio::test]
async fn rfc9207_s2_4_a_provider_that_always_names_itself_must_do_so() {
    let rig = Rig::start().await;
    let promise = json!({"authorization_response_iss_parameter_supported": true});
    rig.publish(&rig.fake, promise);
    let away = rig.away("okta", Next::Session).await;
    let result = rig.desk.finish(&away.back("code=c1")).await;
    assert!(matches!(result, Err(LoginError::OtherIssuer)));
    let away = rig.away("okta", Next::Session).await;
    rig.hand_out(&rig.signer.token(&rig.claims(&away)));
    let good = format!("code=c1&iss={}", rig.fake.url);
    assert!(rig.desk.finish(&away.back(&good)).await.is_ok());
}

#[tokio::test]
async fn the_code_of_one_provider_never_goes_to_another() {
    let rig = Rig::start().await;
    let away = rig.away("other", Next::Session).await;
    let result = rig.desk.finish(&away.back("code=c1")).await;
    assert!(matches!(result, Err(LoginError::Exchange { .. })));
    assert_eq!(rig.other.asked("/token").len(), 1);
    assert!(rig.fake.asked("/token").is_empty());
}

#[tokio::test]
async fn oidc_core_s5_3_2_userinfo_about_somebody_else_is_refused() {
    let rig = Rig::start().await;
    let endpoint = format!("{}/userinfo", rig.fake.url);
    rig.publish(&rig.fake, json!({ "userinfo_endpoint": endpoint }));
    for said in [
        json!({"sub": "bob", "email": "alice@example.com"}),
        json!({"email": "alice@example.com"}),
        json!({"sub": 1}),
        json!([]),
    ] {
        rig.fake.serve("/userinfo", &said);
        let result = rig.login_with(|_| {}).await;
        assert!(matches!(result, Err(LoginError::Profile(_))), "{said}");
    }
    let said = json!({"sub": "alice", "email": "alice@example.com", "email_verified": true,
        "preferred_username": "al", "nonce": "x", "aud": "x"});
    rig.fake.serve("/userinfo", &said);
    let user = rig.login_with(|_| {}).await.unwrap().user;
    assert_eq!(user.id, "okta.alice");
    assert_eq!(user.email.as_deref(), Some("alice@example.com"));
    assert_eq!(user.name.as_deref(), Some("al"));
    let asked = rig.fake.asked("/userinfo").pop().unwrap();
    let wanted = format!("Bearer {ACCESS_TOKEN}");
    assert_eq!(asked.header("authorization"), Some(wanted.as_str()));
}

#[tokio::test]
async fn an_address_is_not_verified_by_another_document_than_its_own() {
    let rig = Rig::with(|settings| {
        for provider in &mut settings.providers {
            provider.allow.email_domains = vec!["example.com".into()];
        }
    })
    .await;
    let endpoint = format!("{}/userinfo", rig.fake.url);
    rig.publish(&rig.fake, json!({ "userinfo_endpoint": endpoint }));
    rig.fake.serve(
        "/userinfo",
        &json!({"sub": "alice", "email_verified": true}),
    );
    let result = rig
        .login_with(|claims| claims["email"] = "alice@example.com".into())
        .await;
    assert!(matches!(result, Err(LoginError::NotAllowed)));
}

#[tokio::test]
async fn hostile_answers_of_a_token_endpoint_end_in_a_refusal() {
    let rig = Rig::start().await;
    let huge = "x".repeat(300 * 1024);
    let json = "content-type: application/json";
    let cases = [
        (
            "huge",
            format!("HTTP/1.1 200 OK\r\n{json}\r\n\r\n{{\"access_token\":\"{huge}\"}}"),
        ),
        ("slow", String::new()),
        (
            "page",
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>".into(),
        ),
        (
            "redirect",
            format!(
                "HTTP/1.1 307 Temporary Redirect\r\nlocation: {}/token\r\ncontent-length: 0\r\n\r\n",
                rig.other.url
            ),
        ),
        (
            "cut",
            format!("HTTP/1.1 200 OK\r\n{json}\r\ncontent-length: 90\r\n\r\n{{\"access_token\":"),
        ),
        (
            "nothing",
            "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".into(),
        ),
        ("no http", "SSH-2.0-OpenSSH_9.2\r\n\r\n".into()),
    ];
    for (name, answer) in cases {
        let away = rig.away("okta", Next::Session).await;
        rig.fake.answer_raw("/token", &answer);
        let back = away.back("code=c1");
        let result = rig.desk.finish(&back).await;
        let Err(error @ LoginError::Exchange { .. }) = result else {
            panic!("{name}: {result:?}");
        };
        let reply = error.answer(&back);
        let wanted = match name {
            "slow" => (StatusCode::GATEWAY_TIMEOUT, "network_timeout"),
            _ => (StatusCode::BAD_GATEWAY, "provider_error"),
        };
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(reply.status, wanted.0, "{name}");
        assert_eq!(body["error"]["code"], wanted.1, "{name}");
    }
    assert!(
        rig.other.asked("/token").is_empty(),
        "no redirect is followed"
    );
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_asked_once_in_a_while() {
    let rig = Rig::start().await;
    let path = "/.well-known/openid-configuration";
    rig.fake
        .answer_raw(path, "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
    for _ in 0..5 {
        let refused = rig.begin("okta", Next::Session, None).await;
        assert!(matches!(refused, Err(LoginError::Exchange { .. })));
    }
    assert_eq!(rig.fake.asked(path).len(), 1);
    rig.clock.advance(std::time::Duration::from_secs(3));
    rig.publish(&rig.fake, json!({}));
    assert!(rig.begin("okta", Next::Session, None).await.is_ok());
}

#[tokio::test]
async fn metadata_that_was_good_outlives_an_outage() {
    let rig = Rig::start().await;
    rig.begin("okta", Next::Session, None).await.unwrap();
    rig.clock.advance(std::time::Duration::from_secs(3601));
    let path = "/.well-known/openid-configuration";
    rig.fake
        .serve(path, &json!({"issuer": "https://evil.test"}));
    assert!(rig.begin("okta", Next::Session, None).await.is_ok());
    rig.clock.advance(std::time::Duration::from_secs(86_400));
    assert!(rig.begin("okta", Next::Session, None).await.is_err());
}

#[tokio::test]
async fn a_whole_login_uses_pkce_and_proves_who_we_are() {
    let rig = Rig::start().await;
    let away = rig.away("okta", Next::Authorize("p1".into())).await;
    let redirect = "https://gw.test/auth/callback";
    for (name, wanted) in [
        ("response_type", "code"),
        ("client_id", "gw-at-okta"),
        ("redirect_uri", redirect),
        ("scope", "openid profile email"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(away.param(name).as_deref(), Some(wanted), "{name}");
    }
    let mut claims = rig.claims(&away);
    let half = &Sha256::digest(ACCESS_TOKEN)[..16];
    claims["at_hash"] = URL_SAFE_NO_PAD.encode(half).into();
    claims["aud"] = json!(["gw-at-okta", "api"]);
    claims["azp"] = "gw-at-okta".into();
    rig.hand_out(&rig.signer.token(&claims));
    let signed_in = rig.desk.finish(&away.back("code=c1")).await.unwrap();
    assert_eq!(signed_in.user.id, "okta.alice");
    assert_eq!(signed_in.next, Next::Authorize("p1".into()));
    assert!(
        signed_in
            .tokens
            .unwrap()
            .access_token
            .ct_eq(ACCESS_TOKEN.as_bytes())
    );
    let asked = rig.fake.asked("/token").pop().unwrap();
    assert_eq!(
        asked.field("grant_type").as_deref(),
        Some("authorization_code")
    );
    assert_eq!(asked.field("redirect_uri").as_deref(), Some(redirect));
    let basic = asked.header("authorization").unwrap();
    assert!(basic.starts_with("Basic ") && asked.field("client_secret").is_none());
    // RFC 7636 section 4.6: the challenge is the hash of the verifier.
    let verifier = asked.field("code_verifier").unwrap();
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
    assert_eq!(away.param("code_challenge"), Some(challenge));
}

#[tokio::test]
async fn a_provider_that_wants_the_secret_in_the_body_gets_it_there() {
    let rig = Rig::start().await;
    let methods = json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]});
    rig.publish(&rig.fake, methods);
    rig.login_with(|_| {}).await.unwrap();
    let asked = rig.fake.asked("/token").pop().unwrap();
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(
        asked.field("client_secret").as_deref(),
        Some("canary-not-a-real-client-secret")
    );
}

#[tokio::test]
async fn r414_a_refresh_token_is_exchanged_for_new_tokens() {
    let rig = Rig::start().await;
    let old = crate::secret::Secret::new("canary-not-a-real-old".to_owned());
    let refused = json!({"error": "invalid_grant"});
    rig.fake.serve_with("/token", "400 Bad Request", &refused);
    let error = rig.desk.renew("okta", &old).await.unwrap_err();
    assert!(matches!(
        error,
        LoginError::Exchange {
            source: ExchangeError::Grant,
            ..
        }
    ));
    rig.fake
        .serve("/token", &json!({"access_token": "canary-not-a-real-new"}));
    let renewed = rig.desk.renew("okta", &old).await.unwrap();
    assert!(renewed.access_token.ct_eq(b"canary-not-a-real-new"));
    assert_eq!(renewed.expires_at, None);
    let asked = rig.fake.asked("/token").pop().unwrap();
    assert_eq!(asked.field("grant_type").as_deref(), Some("refresh_token"));
    assert_eq!(
        asked.field("refresh_token").as_deref(),
        Some("canary-not-a-real-old")
    );
}
