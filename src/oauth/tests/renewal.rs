//! `/oauth/token`: refresh tokens.

use std::time::Duration;

use super::rig::*;
use crate::audit::event::Event;
use crate::users::{self, User};

#[tokio::test]
async fn r618_r620_a_public_client_refreshes_and_its_old_token_is_no_good() {
    let rig = Rig::new().await;
    let first = rig.tokens().await;
    let token = first["refresh_token"].as_str().unwrap();
    rig.clock.advance(MINUTE * 61);
    let reply = rig.token(&refresh(token)).await;
    let second = json(&reply);
    assert_eq!(reply.note.event, Some(Event::TokenRefreshed));
    let successor = second["refresh_token"].as_str().unwrap();
    assert_ne!(token, successor);
    let access = second["access_token"].as_str().unwrap();
    assert!(rig.is_good(access, MCP).await);
    // The answer was lost: the same successor once more.
    let again = json(&rig.token(&refresh(token)).await);
    assert_eq!(again["refresh_token"], second["refresh_token"]);

    rig.clock.advance(Duration::from_secs(11));
    let reused = rig.token(&refresh(token)).await;
    assert_eq!(error(&reused), (400, "invalid_grant".into()));
    assert_eq!(reused.note.action, Some("refresh_token_reused"));
    assert_eq!(reused.note.user.as_deref(), Some("dev.12345"));
    assert_eq!(
        error(&rig.token(&refresh(successor)).await).1,
        "invalid_grant"
    );
    assert!(!rig.is_good(access, MCP).await);
}

#[tokio::test]
async fn a_refresh_gives_no_more_than_was_allowed_and_a_refused_one_uses_nothing_up() {
    let rig = Rig::new().await;
    let tokens = rig.tokens().await;
    let token = tokens["refresh_token"].as_str().unwrap();
    for (field, value, code) in [
        ("scope", "mcp:read task:write", "invalid_scope"),
        ("scope", "admin", "invalid_scope"),
        ("resource", OTHER, "invalid_target"),
        ("resource", "https://evil.test", "invalid_target"),
        ("client_id", "two", "invalid_grant"),
        ("client_id", "nope", "invalid_client"),
    ] {
        let reply = rig.token(&but(&refresh(token), field, Some(value))).await;
        assert_eq!(error(&reply).1, code, "{field} {value}");
    }
    let missing = rig
        .token(&but(&refresh(token), "refresh_token", None))
        .await;
    assert_eq!(error(&missing).1, "invalid_request");
    let less = but(&refresh(token), "scope", Some("user:read"));
    let answer = json(&rig.token(&less).await);
    assert_eq!(answer["scope"], "user:read");
    // What was narrowed once can be widened again up to what was allowed (RFC 6749 section 6).
    let next = answer["refresh_token"].as_str().unwrap();
    let answer = json(&rig.token(&refresh(next)).await);
    assert_eq!(answer["scope"], "mcp:read user:read team:read");
}

#[tokio::test]
async fn a_login_through_a_provider_that_the_operator_removed_ends() {
    let rig = Rig::new().await;
    let tokens = rig.tokens().await;
    let token = tokens["refresh_token"].as_str().unwrap();
    let access = tokens["access_token"].as_str().unwrap();
    let now = rig.clock.now();
    let gone = |user: &mut User| {
        user.provider = "removed".into();
        Ok(())
    };
    users::change(&*rig.store, "dev.12345", now, gone)
        .await
        .unwrap();
    let reply = rig.token(&refresh(token)).await;
    assert_eq!(error(&reply), (400, "invalid_grant".into()));
    assert_eq!(reply.note.user.as_deref(), Some("dev.12345"));
    assert!(!rig.is_good(access, MCP).await);
}
