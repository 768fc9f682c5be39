//! Tokens from a token endpoint: for the gateway itself and by exchange.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::super::*;
use super::rig::{NOW, Shelf, TokenServer, alice, clock, secret, shown, shown_instead};
use crate::units::ByteSize;

fn bob() -> Principal {
    Principal::for_tests("bob", "free", &[])
}

fn wish() -> Wish {
    Wish {
        audience: Some("api".into()),
        resource: Some("https://api.test/mcp".into()),
        scope: Some("a b".into()),
    }
}

fn own(endpoint: EndpointSettings, clock: &Clock) -> Arc<Credentials> {
    let kind = Kind::ClientCredentials {
        endpoint,
        wish: wish(),
    };
    Arc::new(Credentials::new(&Settings::new(kind), None, clock).unwrap())
}

fn exchange(
    server: &TokenServer,
    shelf: &Arc<Shelf>,
    clock: &Clock,
    most_users: usize,
) -> Arc<Credentials> {
    let kind = Kind::Exchange {
        endpoint: server.settings(),
        subject: Subject::Stored(PerUser {
            provider: "okta".into(),
            sign_in: None,
            renewal: None,
        }),
        wish: wish(),
    };
    let settings = Settings {
        most_users,
        ..Settings::new(kind)
    };
    let keys: Arc<dyn Keys> = shelf.clone();
    Arc::new(Credentials::new(&settings, Some(keys), clock).unwrap())
}

fn key_file(folder: &tempfile::TempDir) -> KeySettings {
    let file = folder.path().join("key.pem");
    std::fs::write(&file, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    KeySettings {
        file,
        id: Some("k1".into()),
    }
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn what_cannot_work_is_refused_at_the_start() {
    let proof = || ClientAuth::Post(secret("canary-not-a-real-secret"));
    for url in [
        "http://as.test/token",
        "ftp://127.0.0.1/",
        "https://u@as.test/",
        "token",
    ] {
        let kind = Kind::ClientCredentials {
            endpoint: EndpointSettings::new(url, "gw", proof()),
            wish: Wish::default(),
        };
        let made = Credentials::new(&Settings::new(kind), None, &clock());
        assert!(matches!(made, Err(PrepareError::Address(_))), "{url}");
    }
    let two_lines = Kind::Static(secret("canary-not-a-real\r\nkey: x"));
    let made = Credentials::new(&Settings::new(two_lines), None, &clock());
    assert!(matches!(made, Err(PrepareError::Value(_))));
}

#[tokio::test]
async fn a_static_credential_that_is_refused_has_no_second() {
    let kind = Kind::Static(secret("canary-not-a-real-key"));
    let credentials = Credentials::new(&Settings::new(kind), None, &clock()).unwrap();
    let (value, first) = shown(&credentials, &alice()).await.unwrap();
    assert_eq!(value, "Bearer canary-not-a-real-key");
    let refused = shown_instead(&credentials, &alice(), first).await;
    assert_eq!(refused.unwrap_err().reason(), "upstream_unauthorized");
}

#[tokio::test]
async fn hostile_token_endpoints_give_no_token_and_cost_one_question() {
    let clock = clock();
    let huge = format!(
        "HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 9999999\r\n\r\n{}",
        "x".repeat(99_999)
    );
    let elsewhere = TokenServer::start().await;
    let redirect = format!(
        "HTTP/1.1 307 X\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
        elsewhere.url
    );
    let html = "HTTP/1.1 200 X\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>";
    for (answer, why) in [
        (huge.as_str(), EndpointError::TooLarge),
        (html, EndpointError::Unreadable("it is no JSON")),
        (
            &redirect,
            EndpointError::Denied {
                status: 307,
                word: "without a known error code",
            },
        ),
        ("no http", EndpointError::Unreachable),
        ("", EndpointError::Unreachable),
    ] {
        let server = TokenServer::start().await;
        server.will_raw(answer);
        let credentials = own(server.settings(), &clock);
        for _ in 0..3 {
            let error = shown(&credentials, &alice()).await.unwrap_err();
            assert!(
                matches!(error, CredentialError::Endpoint(found) if found == why),
                "{error}"
            );
        }
        assert_eq!(server.asked().len(), 1, "{why}");
    }
    assert_eq!(elsewhere.asked().len(), 0, "redirections are not followed");
}

#[tokio::test]
async fn a_token_endpoint_that_never_answers_is_given_up() {
    let server = TokenServer::start().await;
    server.hold().await;
    let settings = EndpointSettings {
        timeout: Duration::from_millis(50),
        max_size: ByteSize::kib(1),
        ..server.settings()
    };
    let error = shown(&own(settings, &clock()), &alice()).await.unwrap_err();
    assert_eq!(
        (error.reason(), error.status().as_u16()),
        ("upstream_token_timeout", 504)
    );
}

#[tokio::test]
async fn rfc6749_s4_4_one_token_serves_everybody_until_shortly_before_its_end() {
    let (clock, server) = (clock(), TokenServer::start().await);
    server.will_give("one").will_give("two").hold().await;
    let credentials = own(server.settings(), &clock);
    let waiting: Vec<_> = (0..50)
        .map(|n| {
            let credentials = Arc::clone(&credentials);
            let user = Principal::for_tests(&format!("u{n}"), "free", &[]);
            tokio::spawn(async move { shown(&credentials, &user).await })
        })
        .collect();
    server.wait_for(1).await;
    server.release();
    for one in waiting {
        assert_eq!(one.await.unwrap().unwrap().0, "Bearer one");
    }
    clock.advance(Duration::from_secs(3299));
    assert_eq!(shown(&credentials, &alice()).await.unwrap().0, "Bearer one");
    assert_eq!(server.asked().len(), 1);
    clock.advance(Duration::from_secs(1));
    assert_eq!(shown(&credentials, &alice()).await.unwrap().0, "Bearer two");
    let form = &server.asked()[1].form;
    for (name, value) in [
        ("grant_type", "client_credentials"),
        ("audience", "api"),
        ("resource", "https://api.test/mcp"),
        ("scope", "a b"),
    ] {
        assert_eq!(form[name], value);
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_used_to_its_end_and_not_longer() {
    let (clock, server) = (clock(), TokenServer::start().await);
    server.will_give("one");
    let credentials = own(server.settings(), &clock);
    shown(&credentials, &alice()).await.unwrap();
    clock.advance(Duration::from_secs(3400));
    for _ in 0..3 {
        assert_eq!(shown(&credentials, &alice()).await.unwrap().0, "Bearer one");
    }
    assert_eq!(
        server.asked().len(),
        2,
        "a failure is remembered for a moment"
    );
    clock.advance(Duration::from_secs(200));
    let error = shown(&credentials, &alice()).await.unwrap_err();
    assert_eq!(error.reason(), "upstream_token_refused");
}

#[tokio::test]
async fn a_token_without_a_life_is_used_once() {
    let server = TokenServer::start().await;
    for token in ["one", "two"] {
        server.will(200, &json!({"access_token": token, "expires_in": 0}));
    }
    let credentials = own(server.settings(), &clock());
    for token in ["one", "two"] {
        assert_eq!(
            shown(&credentials, &alice()).await.unwrap().0,
            format!("Bearer {token}")
        );
    }
}

#[tokio::test]
async fn a_refused_token_is_fetched_anew_once_and_then_believed() {
    let (clock, server) = (clock(), TokenServer::start().await);
    server.will_give("one").will_give("two").will_give("two");
    let credentials = own(server.settings(), &clock);
    let (_, first) = shown(&credentials, &alice()).await.unwrap();
    let (value, second) = shown_instead(&credentials, &alice(), first).await.unwrap();
    assert_eq!(value, "Bearer two");
    // Others who were refused with the first do not fetch a third.
    assert_eq!(
        shown_instead(&credentials, &bob(), first).await.unwrap().0,
        "Bearer two"
    );
    // An endpoint that gives the same token again has no other.
    let same = shown_instead(&credentials, &alice(), second)
        .await
        .unwrap_err();
    assert_eq!(
        (same.reason(), same.status().as_u16()),
        ("upstream_unauthorized", 502)
    );
    assert_eq!(
        shown(&credentials, &alice()).await.unwrap_err().reason(),
        "upstream_unauthorized"
    );
    assert_eq!(server.asked().len(), 3, "no loop");
    clock.advance(Duration::from_secs(3));
    server.will_give("four");
    assert_eq!(
        shown(&credentials, &alice()).await.unwrap().0,
        "Bearer four"
    );
}

#[tokio::test]
async fn rfc8693_s2_1_a_users_own_credential_is_exchanged_for_that_user_alone() {
    let (clock, server, shelf) = (
        clock(),
        TokenServer::start().await,
        Arc::new(Shelf::default()),
    );
    shelf.put(
        "alice",
        "okta/token",
        r#"{"access_token":"canary-of-alice"}"#,
    );
    shelf.put("bob", "okta/api_key", "canary-of-bob");
    server
        .will_give("for-alice")
        .will_give("for-bob")
        .will_give("for-alice-2");
    let credentials = exchange(&server, &shelf, &clock, SLOTS_MAX);
    for _ in 0..2 {
        assert_eq!(
            shown(&credentials, &alice()).await.unwrap().0,
            "Bearer for-alice"
        );
        assert_eq!(
            shown(&credentials, &bob()).await.unwrap().0,
            "Bearer for-bob"
        );
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    for (asked, subject) in asked.iter().zip(["canary-of-alice", "canary-of-bob"]) {
        for (name, value) in [
            (
                "grant_type",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ),
            ("subject_token", subject),
            (
                "subject_token_type",
                "urn:ietf:params:oauth:token-type:access_token",
            ),
            (
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:access_token",
            ),
            ("audience", "api"),
        ] {
            assert_eq!(asked.form[name], value);
        }
        assert!(
            !format!("{asked:?}").contains("client-token"),
            "never the client's own"
        );
    }
    // What was exchanged ends with what it was exchanged for.
    shelf.put("alice", "okta/api_key", "canary-of-alice-2");
    assert_eq!(
        shown(&credentials, &alice()).await.unwrap().0,
        "Bearer for-alice-2"
    );
    shelf.remove("bob", "okta/api_key");
    let missing = shown(&credentials, &bob()).await.unwrap_err();
    assert_eq!(missing.reason(), "upstream_credential_missing");
}

#[tokio::test]
async fn rfc8693_s2_2_2_a_subject_that_is_over_is_the_users_to_renew_and_is_not_offered_again() {
    let (clock, server, shelf) = (
        clock(),
        TokenServer::start().await,
        Arc::new(Shelf::default()),
    );
    shelf.put("alice", "okta/api_key", "canary-of-alice");
    server.will(400, &json!({"error": "invalid_grant"}));
    let credentials = exchange(&server, &shelf, &clock, SLOTS_MAX);
    for _ in 0..3 {
        let error = shown(&credentials, &alice()).await.unwrap_err();
        assert_eq!(
            (error.reason(), error.status().as_u16()),
            ("upstream_credential_expired", 403)
        );
    }
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn tokens_of_so_many_users_are_held_and_no_more() {
    let (clock, server, shelf) = (
        clock(),
        TokenServer::start().await,
        Arc::new(Shelf::default()),
    );
    let credentials = exchange(&server, &shelf, &clock, 2);
    for n in 0..5 {
        let user = format!("u{n}");
        shelf.put(&user, "okta/api_key", &user);
        server.will_give(&user);
        let user = Principal::for_tests(&user, "free", &[]);
        shown(&credentials, &user).await.unwrap();
        assert!(credentials.held() <= 2);
    }
    // Those that are being fetched are not pushed out.
    server.hold().await;
    let waiting: Vec<_> = ["alice", "bob"]
        .map(|user| {
            shelf.put(user, "okta/api_key", user);
            server.will_give(user);
            let credentials = Arc::clone(&credentials);
            tokio::spawn(async move {
                shown(&credentials, &Principal::for_tests(user, "free", &[])).await
            })
        })
        .into();
    server.wait_for(7).await;
    let user = Principal::for_tests("u1", "free", &[]);
    let busy = shown(&credentials, &user).await.unwrap_err();
    assert_eq!(
        (busy.reason(), busy.status().as_u16()),
        ("upstream_credential_busy", 503)
    );
    server.release();
    for one in waiting {
        assert!(one.await.unwrap().is_ok());
    }
    clock.advance(Duration::from_secs(3600));
    credentials.sweep();
    assert_eq!(credentials.held(), 0);
}

#[tokio::test]
async fn rfc8693_the_gateways_own_word_names_the_user_and_lives_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, server) = (clock(), TokenServer::start().await);
    server.will_give("for-alice").will_give("for-bob");
    let kind = Kind::Exchange {
        endpoint: server.settings(),
        subject: Subject::Asserted {
            issuer: "https://gw.test".into(),
            key: key_file(&folder),
        },
        wish: Wish::default(),
    };
    let credentials = Credentials::new(&Settings::new(kind), None, &clock).unwrap();
    for _ in 0..2 {
        assert_eq!(
            shown(&credentials, &alice()).await.unwrap().0,
            "Bearer for-alice"
        );
        assert_eq!(
            shown(&credentials, &bob()).await.unwrap().0,
            "Bearer for-bob"
        );
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(
        asked[0].form["subject_token_type"],
        "urn:ietf:params:oauth:token-type:jwt"
    );
    let claims = claims(&asked[0].form["subject_token"]);
    assert_eq!(
        (&claims["iss"], &claims["sub"]),
        (&"https://gw.test".into(), &"user_alice".into())
    );
    assert_eq!(
        (&claims["aud"], &claims["exp"]),
        (&server.url.as_str().into(), &(NOW + 60).into())
    );
}

#[tokio::test]
async fn rfc6749_s2_3_1_each_way_to_prove_who_the_gateway_is() {
    let folder = tempfile::tempdir().unwrap();
    let odd = || secret("s:e/c+r%t");
    for way in ["none", "basic", "post", "signed"] {
        let server = TokenServer::start().await;
        server.will_give("one");
        let client_auth = match way {
            "none" => ClientAuth::None,
            "basic" => ClientAuth::Basic(odd()),
            "post" => ClientAuth::Post(odd()),
            _ => ClientAuth::Signed(key_file(&folder)),
        };
        let settings = EndpointSettings::new(&server.url, "gate:way", client_auth);
        shown(&own(settings, &clock()), &alice()).await.unwrap();
        let asked = &server.asked()[0];
        let basic = STANDARD
            .encode("gate%3Away:s%3Ae%2Fc%2Br%25t")
            .to_lowercase();
        assert_eq!(
            asked
                .head
                .contains(&format!("authorization: basic {basic}")),
            way == "basic"
        );
        assert_eq!(asked.form.contains_key("client_id"), way != "basic");
        let in_form = asked.form.get("client_secret").map(String::as_str);
        assert_eq!(in_form, (way == "post").then_some("s:e/c+r%t"));
        let assertion = asked
            .form
            .get("client_assertion")
            .map(|token| claims(token));
        assert_eq!(assertion.is_some(), way == "signed");
        if let Some(claims) = assertion {
            assert_eq!(
                (&claims["iss"], &claims["sub"]),
                (&"gate:way".into(), &"gate:way".into())
            );
            assert_eq!(claims["aud"], server.url);
        }
    }
}

#[tokio::test]
async fn nothing_shows_what_a_token_endpoint_gave() {
    let server = TokenServer::start().await;
    server.will_give("canary-not-a-real-token");
    let credentials = own(server.settings(), &clock());
    let (_, first) = shown(&credentials, &alice()).await.unwrap();
    server.will(401, &json!({"error": "canary-not-a-real-client-secret"}));
    let error = shown_instead(&credentials, &alice(), first)
        .await
        .unwrap_err();
    let everything = format!(
        "{credentials:?} {first:?} {error:?} {error} {}",
        error.public()
    );
    assert!(!everything.contains("canary"), "{everything}");
    // The Basic value is encoded, and still a secret.
    assert!(
        !everything.contains(&STANDARD.encode("gateway:cana")),
        "{everything}"
    );
}
