//! Revocation and introspection: what becomes of a token, and what it is worth.

use std::sync::Arc;

use serde_json::json;

use super::rig::*;
use crate::audit::event::Event;
use crate::clock::Clock;
use crate::revocation::Revocations;

#[tokio::test]
async fn rfc7009_s2_1_a_client_ends_its_own_tokens_only() {
    let rig = Rig::new().await;
    let tokens = rig.tokens().await;
    let access = tokens["access_token"].as_str().unwrap();
    let token = tokens["refresh_token"].as_str().unwrap();
    for presented in [access, token] {
        let reply = rig.post("/oauth/revoke", &[("token", presented)]).await;
        assert_eq!(error(&reply), (401, "invalid_client".into()));
        let reply = rig
            .post(
                "/oauth/revoke",
                &[("token", presented), ("client_id", "nope")],
            )
            .await;
        assert_eq!(error(&reply), (401, "invalid_client".into()));
        let params = [("token", presented), ("client_id", "confidential")];
        assert_eq!(
            rig.post("/oauth/revoke", &params).await.status.as_u16(),
            401
        );
        // Another client is answered as if the token were not known.
        let reply = rig
            .basic("/oauth/revoke", "confidential", &[("token", presented)])
            .await;
        assert_eq!(reply.status.as_u16(), 200);
    }
    assert!(rig.is_good(access, MCP).await);
    assert_eq!(rig.token(&refresh(token)).await.status.as_u16(), 200);
    let missing = rig.post("/oauth/revoke", &[("client_id", "web")]).await;
    assert_eq!(error(&missing).1, "invalid_request");
}

#[tokio::test]
async fn r628_rfc7009_s2_2_a_token_that_is_not_known_is_answered_as_if_it_were_gone() {
    let rig = Rig::new().await;
    for token in ["x", "mcp_rt_x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
        let params = [
            ("token", token),
            ("client_id", "web"),
            ("token_type_hint", "odd"),
        ];
        let reply = rig.post("/oauth/revoke", &params).await;
        assert_eq!(reply.status.as_u16(), 200, "{token}");
        assert!(reply.body.is_empty());
    }
}

#[tokio::test]
async fn r560_a_refresh_token_takes_its_grant_along_and_an_access_token_goes_alone() {
    let rig = Rig::new().await;
    let tokens = rig.tokens().await;
    let access = tokens["access_token"].as_str().unwrap();
    let token = tokens["refresh_token"].as_str().unwrap();
    let reply = rig
        .post("/oauth/revoke", &[("token", access), ("client_id", "web")])
        .await;
    assert_eq!(reply.note.event, Some(Event::TokenRevoked));
    assert_eq!(reply.note.user.as_deref(), Some("dev.12345"));
    assert!(!rig.is_good(access, MCP).await);
    let answer = json(&rig.token(&refresh(token)).await);
    let access = answer["access_token"].as_str().unwrap();
    let successor = answer["refresh_token"].as_str().unwrap();
    assert!(rig.is_good(access, MCP).await);
    // Also by an older token of the family: it is the client's wish that counts.
    rig.post("/oauth/revoke", &[("token", token), ("client_id", "web")])
        .await;
    assert!(!rig.is_good(access, MCP).await);
    assert_eq!(
        error(&rig.token(&refresh(successor)).await).1,
        "invalid_grant"
    );
}

#[tokio::test]
async fn rfc7662_s2_1_strangers_learn_nothing() {
    let rig = Rig::new().await;
    let tokens = rig.tokens().await;
    let token = tokens["access_token"].as_str().unwrap();
    for id in ["web", "nobody", "nope"] {
        let reply = rig
            .post("/oauth/introspect", &[("token", token), ("client_id", id)])
            .await;
        assert_eq!(error(&reply), (401, "invalid_client".into()), "{id}");
    }
    assert_eq!(
        rig.post("/oauth/introspect", &[("token", token)])
            .await
            .status
            .as_u16(),
        401
    );
    for id in ["confidential", "machine"] {
        let reply = rig
            .basic("/oauth/introspect", id, &[("token", token)])
            .await;
        assert_eq!(error(&reply), (401, "invalid_client".into()), "{id}");
        assert!(!text(&reply).contains("active"));
    }
    assert_eq!(
        rig.get("/oauth/introspect", &[("token", token)])
            .await
            .status
            .as_u16(),
        405
    );
}

#[tokio::test]
async fn rfc7662_s2_2_tokens_that_are_no_good_are_inactive_and_nothing_else() {
    let rig = Rig::new().await;
    let tokens = rig.tokens().await;
    let (access, token) = (
        tokens["access_token"].as_str().unwrap(),
        tokens["refresh_token"].as_str(),
    );
    let token = token.unwrap();
    rig.token(&refresh(token)).await;
    let expired = {
        let tokens = rig.tokens().await;
        tokens["access_token"].as_str().unwrap().to_owned()
    };
    rig.clock.advance(MINUTE * 62);
    let inactive = json!({"active": false});
    for token in [access, token, &expired, "x", "mcp_rt_x", "a.b.c"] {
        let reply = rig
            .basic("/oauth/introspect", "checker", &[("token", token)])
            .await;
        assert_eq!(json(&reply), inactive, "{token}");
    }
}

#[tokio::test]
async fn rfc7662_s2_2_a_good_token_is_described() {
    let rig = Rig::new().await;
    let tokens = rig.tokens().await;
    let access = tokens["access_token"].as_str().unwrap();
    let said = claims(access);
    let reply = rig
        .basic("/oauth/introspect", "checker", &[("token", access)])
        .await;
    let answer = json(&reply);
    for (member, value) in [
        ("active", json!(true)),
        ("client_id", json!("web")),
        ("sub", json!("user_dev.12345")),
        ("iss", json!(PUBLIC)),
        ("exp", said["exp"].clone()),
        ("jti", said["jti"].clone()),
        ("sid", said["sid"].clone()),
        ("aud", json!([MCP])),
        ("token_type", json!("Bearer")),
    ] {
        assert_eq!(answer[member], value, "{member}");
    }
    let token = tokens["refresh_token"].as_str().unwrap();
    let reply = rig
        .basic("/oauth/introspect", "checker", &[("token", token)])
        .await;
    assert_eq!(json(&reply)["active"], true);
    assert_eq!(json(&reply)["token_type"], "refresh_token");
    rig.revocations.disable("dev.12345").await.unwrap();
    for token in [access, token] {
        let reply = rig
            .basic("/oauth/introspect", "checker", &[("token", token)])
            .await;
        assert_eq!(json(&reply), json!({"active": false}));
    }
}

#[tokio::test]
async fn c39_while_nobody_knows_what_was_revoked_nothing_is_said_about_a_token() {
    let rig = Rig::new().await;
    let tokens = rig.tokens().await;
    let access = tokens["access_token"].as_str().unwrap();
    let settings = crate::revocation::Settings::default();
    let never_read = Revocations::new(Arc::clone(&rig.store), settings, Clock::system());
    let server = rig.with_view(never_read.view());
    let params = [("token", access), ("client_id", "web")];
    let visit = visit(http::Method::POST, "/oauth/revoke", &params);
    let reply = server.answer(&visit).await;
    assert_eq!(error(&reply), (503, "temporarily_unavailable".into()));
}
