//! Users' own credentials: each sees the upstream with theirs, and hears what to do when there is none.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Shelf, call, form, never_saw, result, token, upstream_saw};
use crate::harness::audit;
use crate::harness::client::{Http, Reply};
use crate::harness::gateway::{Plan, Rig, Who};
use crate::harness::upstream::{Answer, FakeUpstream};
use crate::harness::wait::until;

const SIGN_IN: &str = "https://localhost/auth/login?provider=clickup";

async fn rig(shelf: &Arc<Shelf>, more: &str) -> Rig {
    Plan::new()
        .env("GATEWAY", "gateway-not-a-real-secret")
        .upstream(&format!("credential: {{provider: clickup, {more}}}"))
        .keys(Arc::clone(shelf) as _)
        .start()
        .await
}

/// The caller learns what to do, and is not sent to sign in at the gateway, which would change nothing.
fn told(reply: &Reply, reason: &str) {
    assert_eq!(reply.status, 403, "{reply:?}");
    assert_eq!(reply.header("www-authenticate"), None);
    let body = reply.json();
    assert_eq!((&body["jsonrpc"], &body["id"]), (&"2.0".into(), &1.into()));
    let error = &body["error"];
    assert_eq!(
        error["code"], 403,
        "outside of what is reserved, and not the retired -32042"
    );
    assert!(
        error["message"].as_str().unwrap().contains(SIGN_IN),
        "{error}"
    );
    let data = json!({"code": reason, "provider": "clickup", "login_url": SIGN_IN});
    assert_eq!(error["data"], data);
}

#[tokio::test]
async fn a_user_without_a_credential_hears_where_to_sign_in_and_nothing_is_sent() {
    let shelf = Arc::new(Shelf::default());
    shelf.put("bob", "clickup/api_key", "pk_not_real_of_bob");
    let rig = rig(&shelf, "kind: per_user").await;
    let caller = rig.caller("alice");
    told(&call(&caller).await, "upstream_credential_missing");
    told(
        &caller.legacy("tools/list", json!({})).await,
        "upstream_credential_missing",
    );
    shelf.put("alice", "clickup/token", "no token at all");
    told(&call(&caller).await, "upstream_credential_unusable");
    shelf.put(
        "alice",
        "clickup/token",
        r#"{"access_token": "a", "expires_at": 1}"#,
    );
    told(&call(&caller).await, "upstream_credential_expired");
    rig.upstream.saw_nothing();
    let lines = audit::wait_for_those_with(rig.audit_dir(), "upstream_credential", 4).await;
    for line in &lines {
        assert_eq!(
            (&line["user_id"], &line["stage"]),
            (&"alice".into(), &"upstream".into()),
            "{line}"
        );
    }
}

#[tokio::test]
async fn where_credentials_cannot_be_read_no_request_goes_out_without() {
    let shelf = Arc::new(Shelf::default());
    shelf.put("alice", "clickup/api_key", "pk_not_real_of_alice");
    let rig = rig(&shelf, "kind: per_user").await;
    shelf.break_down();
    let reply = call(&rig.caller("alice")).await;
    assert_eq!(reply.status, 503);
    assert_eq!(
        reply.json()["error"]["data"],
        json!({"code": "upstream_credential_unavailable"})
    );
    assert!(!reply.text().contains("disk"), "{reply:?}");
    rig.upstream.saw_nothing();
}

#[tokio::test]
async fn r077_c27_each_user_is_shown_with_their_own_personal_tokens_bare_and_others_as_bearer() {
    let shelf = Arc::new(Shelf::default());
    shelf.put("alice", "clickup/api_key", "pk_not_real_of_alice");
    shelf.put(
        "bob",
        "clickup/token",
        r#"{"access_token": "not-real-of-bob"}"#,
    );
    let rig = rig(&shelf, "kind: per_user").await;
    rig.upstream.always(&result());
    let clients = [rig.token(&Who::new("alice")), rig.token(&Who::new("bob"))];
    for token in &clients {
        let caller = rig.stranger(Http::Two).with_token(token);
        assert_eq!(call(&caller).await.status, 200);
    }
    let seen = upstream_saw(&rig, &[&clients[0], &clients[1]]);
    assert_eq!(
        seen[0].header("authorization"),
        Some("pk_not_real_of_alice")
    );
    assert_eq!(
        seen[1].header("authorization"),
        Some("Bearer not-real-of-bob")
    );
}

#[tokio::test]
async fn a_credential_that_the_upstream_refuses_is_shown_to_it_once() {
    let shelf = Arc::new(Shelf::default());
    shelf.put("alice", "clickup/api_key", "pk_not_real_old");
    let rig = rig(&shelf, "kind: per_user").await;
    rig.upstream
        .will(Answer::status(401).header("www-authenticate", "Bearer realm=\"inside\""));
    rig.upstream.always(&result());
    for _ in 0..3 {
        told(
            &call(&rig.caller("alice")).await,
            "upstream_credential_rejected",
        );
    }
    assert_eq!(rig.upstream.seen().len(), 1, "no loop");
    shelf.put("alice", "clickup/api_key", "pk_not_real_new");
    assert_eq!(call(&rig.caller("alice")).await.status, 200);
}

#[tokio::test]
async fn a_user_is_not_sent_away_when_their_token_is_over_but_can_be_renewed() {
    let (shelf, server) = (Arc::new(Shelf::default()), FakeUpstream::start().await);
    let saved =
        json!({"access_token": "old", "refresh_token": "not-real-refresh", "expires_at": 1});
    shelf.put("alice", "clickup/token", &saved.to_string());
    server.will(Answer::json(&token("new", 3600)));
    let endpoint = format!(
        "kind: per_user, token_url: {}, client_id: gw, client_secret: \"${{GATEWAY}}\"",
        server.url()
    );
    let rig = rig(&shelf, &endpoint).await;
    rig.upstream.always(&result());
    let clients = rig.token(&Who::new("alice"));
    let caller = rig.stranger(Http::Two).with_token(&clients);
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move { call(&caller).await.status })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!(server.seen().len(), 1);
    assert_eq!(form(&server.seen()[0])["refresh_token"], "not-real-refresh");
    never_saw(&server.seen(), &[&clients]);
    for seen in upstream_saw(&rig, &[&clients]) {
        assert_eq!(seen.header("authorization"), Some("Bearer new"));
    }
}

#[tokio::test]
async fn rfc8693_s2_1_a_stored_credential_is_exchanged_and_its_end_is_told_to_the_user() {
    let (shelf, server) = (Arc::new(Shelf::default()), FakeUpstream::start().await);
    shelf.put("alice", "clickup/api_key", "pk_not_real_of_alice");
    server.will(Answer::json(&token("for-alice", 3600)));
    let credential = format!(
        "kind: token_exchange, token_url: {}, client_id: gw, client_auth: none, resource: https://api.test/mcp",
        server.url()
    );
    let rig = rig(&shelf, &credential).await;
    rig.upstream.always(&result());
    let clients = [rig.token(&Who::new("alice")), rig.token(&Who::new("bob"))];
    for _ in 0..2 {
        let caller = rig.stranger(Http::One).with_token(&clients[0]);
        assert_eq!(call(&caller).await.status, 200);
    }
    let bob = rig.stranger(Http::One).with_token(&clients[1]);
    told(&call(&bob).await, "upstream_credential_missing");
    for seen in upstream_saw(&rig, &[&clients[0], "pk_not_real_of_alice"]) {
        assert_eq!(seen.header("authorization"), Some("Bearer for-alice"));
    }
    let asked = server.seen();
    never_saw(&asked, &[&clients[0]]);
    let form = form(&asked[0]);
    assert_eq!(
        (&*form["subject_token"], &*form["client_id"]),
        ("pk_not_real_of_alice", "gw")
    );
    shelf.put("bob", "clickup/api_key", "pk_not_real_of_bob");
    let over: Value = json!({"error": "invalid_grant"});
    server.will(Answer::json(&over).with_status(400));
    told(&call(&bob).await, "upstream_credential_expired");
    told(&call(&bob).await, "upstream_credential_expired");
    assert_eq!(server.seen().len(), 2);
}

/// A token that was fetched for a user may be good for hours; it is not kept for one who was signed out.
#[tokio::test]
async fn what_was_fetched_for_a_user_is_dropped_when_they_are_signed_out() {
    let (shelf, server) = (Arc::new(Shelf::default()), FakeUpstream::start().await);
    shelf.put("alice", "clickup/api_key", "pk_not_real_of_alice");
    server
        .will(Answer::json(&token("first", 3600)))
        .will(Answer::json(&token("second", 3600)));
    let credential = format!(
        "kind: token_exchange, token_url: {}, client_id: gw, client_auth: none, resource: https://api.test/mcp",
        server.url()
    );
    let rig = rig(&shelf, &credential).await;
    rig.upstream.always(&result());
    for (generation, shown) in [(0, "Bearer first"), (1, "Bearer second")] {
        let who = Who::new("alice").signed_in("sid-alice", "client-1", generation);
        let caller = rig.caller_by(Http::One, &who);
        until(shown, async || {
            assert_eq!(call(&caller).await.status, 200);
            let seen = rig.upstream.seen();
            let last = seen.last().unwrap().header("authorization");
            (last == Some(shown)).then_some(())
        })
        .await;
        rig.revocations().bump_generation("alice").await.unwrap();
    }
    assert_eq!(server.seen().len(), 2);
}
