//! A session from its beginning to its end, as a program sees it.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::attacks::town::Town;
use crate::harness::audit;
use crate::harness::client::Reply;
use crate::harness::gateway::PUBLIC;
use crate::harness::provider::{CLIENT_SECRET, TOKEN};

/// Token and refresh token of a new session.
async fn signed_in(town: &Town) -> (String, String) {
    let reply = town.session().await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let body = reply.json();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    (text("token"), text("refresh_token"))
}

async fn call(town: &Town, method: Method, path: &str, token: &str) -> Reply {
    send(town, method, path, token, None).await
}

async fn send(town: &Town, method: Method, path: &str, token: &str, body: Option<&str>) -> Reply {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{PUBLIC}{path}"))
        .header("authorization", format!("Bearer {token}"));
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = Full::new(Bytes::from(body.unwrap_or_default().to_owned()));
    town.client.send(request.body(body).unwrap()).await
}

#[tokio::test]
async fn r328_r385_r408_r462_a_session_begins_is_renewed_and_ends() {
    let town = Town::start().await;
    let (first, refresh_token) = signed_in(&town).await;
    assert_eq!(town.knock(&first).await, StatusCode::OK);
    let renewed = call(&town, Method::POST, "/auth/refresh", &first).await;
    assert_eq!(renewed.status, StatusCode::OK, "{}", renewed.text());
    let second = renewed.json()["token"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    let me = call(&town, Method::GET, "/auth/me", &second).await.json();
    assert_eq!(me["user"]["team"]["name"], "Acme");
    let left = call(&town, Method::POST, "/auth/logout", &second).await;
    assert_eq!(left.status, StatusCode::NO_CONTENT);
    // The whole session has ended, with every token of it, at once.
    for token in [&first, &second] {
        assert_eq!(town.knock(token).await, StatusCode::UNAUTHORIZED);
    }
    let refused = call(&town, Method::POST, "/auth/refresh", &refresh_token).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.json()["error"]["code"], "refresh_failed");
    let again = call(&town, Method::DELETE, "/auth/logout", &second).await;
    assert_eq!(again.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn two_sessions_of_a_user_end_one_by_one() {
    let town = Town::start().await;
    let (one, _) = signed_in(&town).await;
    let (two, _) = signed_in(&town).await;
    call(&town, Method::POST, "/auth/logout", &one).await;
    assert_eq!(town.knock(&one).await, StatusCode::UNAUTHORIZED);
    assert_eq!(town.knock(&two).await, StatusCode::OK);
}

#[tokio::test]
async fn r187_r191_every_step_leaves_its_line_and_no_line_a_secret() {
    let town = Town::start().await;
    let (token, refresh_token) = signed_in(&town).await;
    call(&town, Method::POST, "/auth/refresh", &token).await;
    call(&town, Method::POST, "/auth/logout", &token).await;
    let dir = town.rig.audit_dir();
    for (event, user) in [
        ("oauth_login_initiated", Value::Null),
        ("oauth_callback", json!("12345")),
        ("token_issued", json!("12345")),
        ("token_refreshed", json!("12345")),
        ("logout", json!("12345")),
    ] {
        let line = audit::line_of(dir, |line| line["event_type"] == event).await;
        assert_eq!(line["status"], "success", "{line}");
        assert_eq!(line["user_id"], user, "{line}");
        assert!(!line["path"].as_str().unwrap_or_default().contains('?'));
    }
    let secrets = [
        token.as_str(),
        &refresh_token,
        TOKEN,
        CLIENT_SECRET,
        "CODE1",
    ];
    for secret in secrets {
        let found = audit::files_with(dir, secret);
        assert!(found.is_empty(), "{secret} in {found:?}");
    }
    let metrics = town.rig.metrics().await;
    for secret in secrets {
        assert!(!metrics.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn r366_r401_nothing_on_disk_holds_a_token() {
    let town = Town::start().await;
    let (token, refresh_token) = signed_in(&town).await;
    let state_dir = town.rig.config.state_dir.clone();
    for secret in [token.as_str(), &refresh_token, TOKEN, CLIENT_SECRET] {
        let found = audit::files_with(&state_dir, secret);
        assert!(found.is_empty(), "{secret} in {found:?}");
    }
    assert!(
        !audit::files(&state_dir).is_empty(),
        "there is something to look at"
    );
}

#[tokio::test]
async fn r167_r171_a_key_is_kept_for_its_owner_and_shown_to_nobody() {
    let town = Town::start().await;
    let (token, _) = signed_in(&town).await;
    let path = "/auth/api-key";
    let own = format!("{TOKEN}12345");
    let foreign = format!("{TOKEN}678");
    for (body, status) in [
        (json!({ "api_key": foreign }), StatusCode::FORBIDDEN),
        (
            json!({ "api_key": "pk_unknown_to_it" }),
            StatusCode::BAD_REQUEST,
        ),
        (
            json!({ "api_key": "x".repeat(70_000) }),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
        (json!({ "api_key": own }), StatusCode::OK),
    ] {
        let reply = send(&town, Method::PUT, path, &token, Some(&body.to_string())).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        assert!(!reply.text().contains(TOKEN), "{}", reply.text());
    }
    let listed = call(&town, Method::GET, path, &token).await.json();
    assert_eq!(listed["api_keys"][0]["value"], "[REDACTED]");
    let removed = call(&town, Method::DELETE, path, &token).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    let listed = call(&town, Method::GET, path, &token).await.json();
    assert_eq!(listed["api_keys"], json!([]));
}

#[tokio::test]
async fn whoever_is_refused_at_the_account_is_told_and_written_down() {
    let town = Town::start().await;
    for (method, path, token, status) in [
        (Method::GET, "/auth/me", "x", StatusCode::UNAUTHORIZED),
        (
            Method::POST,
            "/auth/refresh",
            "mcp_rt_x",
            StatusCode::UNAUTHORIZED,
        ),
        (
            Method::POST,
            "/auth/logout",
            "x.y.z",
            StatusCode::UNAUTHORIZED,
        ),
        (
            Method::GET,
            "/auth/refresh",
            "x",
            StatusCode::METHOD_NOT_ALLOWED,
        ),
    ] {
        let reply = call(&town, method, path, token).await;
        assert_eq!(reply.status, status, "{path}");
        let body = reply.json();
        assert!(body["error"]["code"].is_string(), "{body}");
        assert_eq!(body["request_id"].as_str(), reply.header("x-request-id"));
        town.told(path, &reply).await;
    }
}
