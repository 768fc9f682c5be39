//! What token endpoints answer, and how credentials look in headers.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::super::answer::{LIFE_MAX, LIFE_UNSTATED, read};
use super::super::*;
use crate::fetch::Answered;

fn answered(status: u16, media: &'static str, body: impl Into<Bytes>) -> Answered {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    Answered {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: body.into(),
    }
}

fn json_answer(body: &Value) -> Answered {
    answered(200, "application/json; charset=utf-8", body.to_string())
}

#[test]
fn rfc6749_s5_1_what_is_no_token_answer_is_refused() {
    let good = r#"{"access_token":"canary-not-a-real-token"}"#;
    for (status, media, body) in [
        (302, "application/json", good.to_owned()),
        (201, "application/json", good.to_owned()),
        (200, "text/html", good.to_owned()),
        (
            200,
            "application/x-www-form-urlencoded",
            "access_token=a".into(),
        ),
        (200, "application/json", String::new()),
        (200, "application/json", "<html>".into()),
        (200, "application/json", "[]".into()),
        (200, "application/json", format!("{good}{good}")),
        (
            200,
            "application/json",
            r#"{"access_token":"a","access_token":"b"}"#.into(),
        ),
    ] {
        let refused = read(&answered(status, media, body.clone()));
        assert!(refused.is_err(), "{status} {media} {body}");
    }
    let long = "x".repeat(16 * 1024 + 1);
    for body in [
        json!({}),
        json!({"access_token": null}),
        json!({"access_token": 5}),
        json!({"access_token": ""}),
        json!({"access_token": "a b"}),
        json!({"access_token": "a\r\nx-admin: 1"}),
        json!({"access_token": "a\u{0}"}),
        json!({"access_token": "é"}),
        json!({"access_token": long}),
        json!({"access_token": "a", "refresh_token": long}),
        json!({"access_token": "a", "token_type": "DPoP"}),
        json!({"access_token": "a", "token_type": "mac"}),
        json!({"access_token": "a", "token_type": "N_A"}),
        json!({"access_token": "a", "issued_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}),
        json!({"access_token": "a", "issued_token_type": "urn:ietf:params:oauth:token-type:saml2"}),
    ] {
        assert!(read(&json_answer(&body)).is_err(), "{body}");
    }
    for body in [
        json!({"access_token": "a"}),
        json!({"access_token": "a", "token_type": "bearer", "more": [1]}),
        json!({"access_token": "a", "issued_token_type": "urn:ietf:params:oauth:token-type:jwt"}),
    ] {
        assert_eq!(read(&json_answer(&body)).unwrap().token.expose(), "a");
    }
}

#[test]
fn an_error_is_repeated_only_in_words_that_are_known() {
    for (body, word) in [
        (
            r#"{"error":"invalid_grant","error_description":"canary"}"#,
            "invalid_grant",
        ),
        (
            r#"{"error":"canary-not-a-real-secret"}"#,
            "without a known error code",
        ),
        ("canary-not-a-real-secret", "without a known error code"),
    ] {
        let error = read(&answered(400, "application/json", body)).unwrap_err();
        assert_eq!(error, EndpointError::Denied { status: 400, word });
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}

#[test]
fn c26_an_unstated_life_is_short_and_a_senseless_one_is_none() {
    let zero = Duration::ZERO;
    for (expires_in, life) in [
        (None, LIFE_UNSTATED),
        (Some(Value::Null), LIFE_UNSTATED),
        (Some(json!(0)), zero),
        (Some(json!(-1)), zero),
        (Some(json!(0.5)), zero),
        (Some(json!("soon")), zero),
        (Some(json!("-60")), zero),
        (Some(json!(true)), zero),
        (Some(json!([3600])), zero),
        (Some(json!({})), zero),
        (Some(json!(u64::MAX)), LIFE_MAX),
        (Some(json!(1e300)), Duration::from_secs(1)),
        (Some(json!("600")), Duration::from_secs(600)),
        (Some(json!(600)), Duration::from_secs(600)),
        (Some(json!(86_400)), LIFE_MAX),
    ] {
        let mut body = json!({"access_token": "a"});
        if let Some(value) = &expires_in {
            body["expires_in"] = value.clone();
        }
        let (_, end) = read(&json_answer(&body)).unwrap().kept();
        assert_eq!(end, life, "{expires_in:?}");
    }
}

#[test]
fn c06_tokens_are_renewed_in_the_last_five_minutes_or_the_last_tenth_of_their_life() {
    for (life, renew) in [(3600, 3300), (600, 540), (60, 54), (0, 0)] {
        let body = json!({"access_token": "a", "expires_in": life});
        let kept = read(&json_answer(&body)).unwrap().kept();
        let wanted = (Duration::from_secs(renew), Duration::from_secs(life));
        assert_eq!(kept, wanted);
    }
}

#[test]
fn c27_the_form_follows_the_prefix_unless_it_is_set() {
    let form = |header: &'static str, scheme| Form {
        header: HeaderName::from_static(header),
        scheme,
    };
    let word = |word: &str| Scheme::Word(word.into());
    for (form, secret, value) in [
        (form("authorization", Scheme::Auto), "pk_1_a", "pk_1_a"),
        (form("authorization", Scheme::Auto), "a.b.c", "Bearer a.b.c"),
        (form("authorization", Scheme::Bare), "a.b.c", "a.b.c"),
        (
            form("authorization", word("Token")),
            "pk_1_a",
            "Token pk_1_a",
        ),
        (form("x-api-key", Scheme::Auto), "a.b.c", "a.b.c"),
        (form("x-api-key", word("Key")), "a.b.c", "Key a.b.c"),
    ] {
        let made = form.value(secret).unwrap();
        assert_eq!(made, value);
        assert!(made.is_sensitive());
    }
    for odd in ["", " ", "a b", "a\r\nb: c", "a\n", "\u{e9}", "a\u{7f}"] {
        assert_eq!(Form::default().value(odd), None, "{odd:?}");
    }
}
