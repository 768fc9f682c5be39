//! Signing out, and what is left afterwards.

use http::{Method, StatusCode};
use serde_json::json;

use super::rig::{Rig, json_of, resource, text_of};
use crate::audit::event::Event;
use crate::auth::Grant;
use crate::grants::New;

#[tokio::test]
async fn whoever_holds_no_token_signs_nobody_out() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    for token in ["", "x", "mcp_rt_x"] {
        let reply = rig.call(Method::POST, "/auth/logout", token).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{token}");
    }
    let reply = rig.call(Method::GET, "/auth/me", &session.token).await;
    assert_eq!(reply.status, StatusCode::OK);
}

#[tokio::test]
async fn c10_r103_r462_both_verbs_sign_out_and_the_second_time_is_as_the_first() {
    for method in [Method::POST, Method::DELETE] {
        let rig = Rig::start().await;
        let session = rig.sign_in().await;
        for _ in 0..2 {
            let reply = rig
                .call(method.clone(), "/auth/logout", &session.token)
                .await;
            assert_eq!(reply.status, StatusCode::NO_CONTENT, "{method}");
            assert!(reply.body.is_empty());
            assert_eq!(reply.note.event, Some(Event::Logout));
        }
    }
}

#[tokio::test]
async fn r104_r105_r130_r560_after_a_logout_nothing_is_left() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    assert_eq!(rig.vault.list("12345").await.unwrap().len(), 1, "R097");
    let reply = rig
        .call(Method::DELETE, "/auth/logout", &session.token)
        .await;
    assert_eq!(reply.note.user.as_deref(), Some("12345"));
    assert_eq!(
        reply.note.token_id.as_deref(),
        session.claims()["jti"].as_str()
    );
    for (method, path) in [
        (Method::GET, "/auth/me"),
        (Method::POST, "/auth/refresh"),
        (Method::GET, "/auth/api-key"),
    ] {
        let reply = rig.call(method, path, &session.token).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        assert_eq!(json_of(&reply)["error"]["code"], "token_revoked");
    }
    let reply = rig
        .call(Method::POST, "/auth/refresh", &session.refresh_token)
        .await;
    assert_eq!(json_of(&reply)["error"]["code"], "refresh_failed");
    assert!(rig.vault.list("12345").await.unwrap().is_empty());
    assert!(rig.grants.of_user("12345").await.unwrap().is_empty());
}

#[tokio::test]
async fn whoever_holds_something_for_a_user_hears_that_they_left() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    let mut gone = rig.revocations.gone();
    rig.call(Method::POST, "/auth/logout", "x").await;
    assert!(gone.try_recv().is_err());
    rig.call(Method::POST, "/auth/logout", &session.token).await;
    assert_eq!(&*gone.try_recv().unwrap(), "12345");
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_own_grant_only() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    let new = New {
        user: "12345".into(),
        client: Some("reports".into()),
        ..New::default()
    };
    let (grant, _) = rig.grants.open(new).await.unwrap();
    let minted = rig.mint.mint(&Grant {
        user: "12345".into(),
        team: "67890".into(),
        tier: "free".into(),
        audiences: vec![resource()],
        client: Some("reports".into()),
        session: Some(grant.id.clone()),
        generation: Some(0),
        ..Grant::default()
    });
    let token = minted.unwrap().token;
    let reply = rig.call(Method::POST, "/auth/logout", token.expose()).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    assert!(rig.grants.find(&grant.id).await.unwrap().is_none());
    assert_eq!(rig.vault.list("12345").await.unwrap().len(), 1);
    let reply = rig.call(Method::GET, "/auth/me", &session.token).await;
    assert_eq!(reply.status, StatusCode::OK);
}

#[tokio::test]
async fn me_says_who_is_asking_and_no_secret() {
    let rig = Rig::start().await;
    assert_eq!(
        rig.call(Method::GET, "/auth/me", "").await.status,
        StatusCode::UNAUTHORIZED
    );
    let session = rig.sign_in().await;
    let reply = rig.call(Method::GET, "/auth/me", &session.token).await;
    let body = json_of(&reply);
    assert_eq!(body["user"]["id"], "12345");
    assert_eq!(
        body["user"]["team"],
        json!({"id": "67890", "name": "My Workspace"})
    );
    assert_eq!(body["tier"], "free");
    assert_eq!(body["scopes"], json!(["mcp:read", "mcp:write"]));
    assert_eq!(body["credentials"][0]["provider"], "clickup");
    assert_eq!(body["credentials"][0]["value"], "[REDACTED]");
    assert!(!text_of(&reply).contains("CANARY"));
}
