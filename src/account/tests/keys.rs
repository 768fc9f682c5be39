//! Users' own keys: they go in and never come out.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::rig::{Rig, json_of, resource, text_of};
use crate::audit::event::Event;
use crate::auth::Grant;

const KEY: &str = "pk_12345_CANARY_NOT_A_REAL_KEY";

#[tokio::test]
async fn keys_are_refused_without_a_token_or_in_another_shape() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    let path = "/auth/api-key";
    let good = json!({"api_key": KEY});
    for method in [Method::PUT, Method::POST] {
        let reply = rig.send(method, path, "", &good).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    }
    let odd = [
        json!({}),
        json!({"api_key": 1}),
        json!({"api_key": "short"}),
        json!({"api_key": "has a blank in it"}),
        json!({"api_key": "line\nbreak_in_it"}),
        json!({"api_key": "k".repeat(4097)}),
        json!({"api_key": KEY, "provider": "nobody"}),
        json!({"api_key": KEY, "provider": "clickup/../okta"}),
        json!({"api_key": KEY, "user": "678"}),
        json!([KEY]),
    ];
    for body in odd {
        let reply = rig.send(Method::PUT, path, &session.token, &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(!text_of(&reply).contains("CANARY"));
    }
    let reply = rig.call(Method::PUT, path, &session.token).await;
    assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let names: Vec<String> = rig
        .vault
        .list("12345")
        .await
        .unwrap()
        .into_iter()
        .map(|stored| stored.name)
        .collect();
    assert_eq!(names, ["clickup/token"]);
}

#[tokio::test]
async fn r171_a_key_of_somebody_else_or_of_nobody_is_refused() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    let body = json!({"api_key": KEY});
    let other = json!({"user": {"id": 999, "username": "mallory"}});
    rig.fake.serve("/api/v2/user", &other);
    let reply = rig
        .send(Method::PUT, "/auth/api-key", &session.token, &body)
        .await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(reply.note.event, Some(Event::UnauthorizedAccess));
    let refused = json!({"err": "Token invalid", "ECODE": "OAUTH_025"});
    rig.fake
        .serve_with("/api/v2/user", "401 Unauthorized", &refused);
    let reply = rig
        .send(Method::PUT, "/auth/api-key", &session.token, &body)
        .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    rig.fake.answer_raw("/api/v2/user", "");
    let reply = rig
        .send(Method::PUT, "/auth/api-key", &session.token, &body)
        .await;
    assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn r066_r069_r085_r200_a_key_goes_in_and_only_its_being_there_comes_out() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    let path = "/auth/api-key";
    let body = json!({"api_key": KEY, "provider": "clickup"});
    let reply = rig.send(Method::PUT, path, &session.token, &body).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.note.event, Some(Event::KeyRotated));
    let shown = json_of(&reply)["api_key"].clone();
    assert_eq!(shown["value"], "[REDACTED]");
    assert_eq!(shown["encrypted"], true);
    for name in ["algorithm", "key_version", "created_at"] {
        assert!(!shown[name].as_str().unwrap().is_empty(), "{name}");
    }
    let note = format!("{:?}", reply.note);
    assert!(note.contains("key_") && !note.contains("CANARY"), "{note}");
    let listed = rig.call(Method::GET, path, &session.token).await;
    assert_eq!(json_of(&listed)["api_keys"], json!([shown]));
    for place in [text_of(&reply), text_of(&listed), &rig.dump().await] {
        assert!(!place.contains("CANARY"), "{place}");
    }
    let kept = rig
        .vault
        .open_secret("12345", "clickup/api_key")
        .await
        .unwrap();
    assert_eq!(kept.unwrap().expose(), KEY);
    for _ in 0..2 {
        let reply = rig.call(Method::DELETE, path, &session.token).await;
        assert_eq!(reply.status, StatusCode::NO_CONTENT);
    }
    let listed = rig.call(Method::GET, path, &session.token).await;
    assert_eq!(json_of(&listed)["api_keys"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn r167_nobody_sees_or_removes_the_keys_of_another() {
    let rig = Rig::start().await;
    let one = rig.sign_in().await;
    let path = "/auth/api-key";
    rig.send(Method::PUT, path, &one.token, &json!({"api_key": KEY}))
        .await;
    let user = json!({"user": {"id": 678, "username": "bob"}});
    rig.fake.serve("/api/v2/user", &user);
    let two = rig.sign_in().await;
    let listed = rig.call(Method::GET, path, &two.token).await;
    assert_eq!(json_of(&listed)["api_keys"], Value::Array(Vec::new()));
    rig.call(Method::DELETE, path, &two.token).await;
    rig.call(Method::DELETE, "/auth/logout", &two.token).await;
    let kept = rig
        .vault
        .open_secret("12345", "clickup/api_key")
        .await
        .unwrap();
    assert!(kept.is_some());
}

/// A client that may read on a user's behalf must not choose whose key the gateway shows for that user.
#[tokio::test]
async fn a_clients_token_sees_changes_and_removes_no_key() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    let path = "/auth/api-key";
    let body = json!({"api_key": KEY});
    rig.send(Method::PUT, path, &session.token, &body).await;
    for (user, sid) in [
        ("12345", session.claims()["sid"].as_str()),
        ("~client.machine", None),
    ] {
        let minted = rig.mint.mint(&Grant {
            user: user.into(),
            team: "67890".into(),
            tier: "free".into(),
            scopes: vec!["mcp:read".into()],
            audiences: vec![resource()],
            client: Some("reports".into()),
            session: sid.map(str::to_owned),
            generation: Some(0),
            ..Grant::default()
        });
        let token = minted.unwrap().token;
        let other = json!({"api_key": "pk_999_CANARY_NOT_A_REAL_KEY"});
        for (method, body) in [
            (Method::GET, Value::Null),
            (Method::PUT, other.clone()),
            (Method::POST, other),
            (Method::DELETE, Value::Null),
        ] {
            let reply = rig.send(method.clone(), path, token.expose(), &body).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{user} {method}");
            assert_eq!(reply.note.refused, Some("token_of_client"));
            assert_eq!(reply.note.user.as_deref(), Some(user));
            assert_eq!(reply.note.event, Some(Event::UnauthorizedAccess));
        }
    }
    let kept = rig.vault.open_secret("12345", "clickup/api_key").await;
    assert_eq!(kept.unwrap().unwrap().expose(), KEY);
}
