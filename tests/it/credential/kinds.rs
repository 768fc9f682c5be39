//! The kinds that need no user's credential: static, client credentials, and exchange by the gateway's own word.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{call, form, never_asked, never_saw, result, token, upstream_saw};
use crate::harness::audit;
use crate::harness::client::Http;
use crate::harness::gateway::{Plan, Who};
use crate::harness::upstream::{Answer, FakeUpstream};

fn endpoint(server: &FakeUpstream) -> String {
    format!(
        "token_url: {}, client_id: gateway, client_secret: \"${{GATEWAY}}\"",
        server.url()
    )
}

fn plan(credential: &str) -> Plan {
    Plan::new()
        .env("GATEWAY", "gateway-not-a-real-secret")
        .upstream(&format!("credential: {{{credential}}}"))
}

#[tokio::test]
async fn a_static_credential_stands_in_for_the_clients_own() {
    for (placed, header, value) in [
        ("", "authorization", "Bearer gateway-not-a-real-secret"),
        (
            ", scheme: none",
            "authorization",
            "gateway-not-a-real-secret",
        ),
        (
            ", header: X-Api-Key",
            "x-api-key",
            "gateway-not-a-real-secret",
        ),
    ] {
        let rig = plan(&format!("kind: static, value: \"${{GATEWAY}}\"{placed}"))
            .start()
            .await;
        rig.upstream.always(&result());
        let clients = rig.token(&Who::new("alice"));
        let caller = rig.stranger(Http::One).with_token(&clients);
        assert_eq!(call(&caller).await.status, 200);
        let seen = upstream_saw(&rig, &[&clients]);
        assert_eq!(seen[0].header(header), Some(value), "{placed}");
        assert_eq!(
            seen[0].header("authorization").is_some(),
            header == "authorization"
        );
    }
}

#[tokio::test]
async fn a_static_credential_that_is_refused_is_the_operators_trouble_and_is_not_retried() {
    let rig = plan("kind: static, value: \"${GATEWAY}\"").start().await;
    rig.upstream
        .will(Answer::status(401).header("www-authenticate", "Bearer realm=\"inside\""));
    let reply = call(&rig.caller("alice")).await;
    assert_eq!(reply.status, 502);
    assert_eq!(
        reply.json()["error"]["data"],
        json!({"code": "upstream_unauthorized"})
    );
    assert_eq!(reply.header("www-authenticate"), None);
    assert_eq!(rig.upstream.seen().len(), 1);
}

#[tokio::test]
async fn without_a_token_of_the_token_endpoint_nothing_reaches_the_upstream() {
    let elsewhere = FakeUpstream::start().await;
    for (answer, reason, status) in [
        (Answer::status(500), "upstream_token_refused", 502),
        (
            Answer::bytes("<html>").header("content-type", "text/html"),
            "upstream_token_refused",
            502,
        ),
        (
            Answer::json(&json!({"error": "invalid_client"})).with_status(401),
            "upstream_token_refused",
            502,
        ),
        (
            Answer::json(&json!({"access_token": "x".repeat(70_000)})),
            "upstream_token_refused",
            502,
        ),
        (
            Answer::redirect(&elsewhere.url()),
            "upstream_token_refused",
            502,
        ),
        (Answer::hang(), "upstream_token_timeout", 504),
    ] {
        let server = FakeUpstream::start().await;
        server.will(answer);
        let rig = plan(&format!(
            "kind: client_credentials, timeout: 1s, {}",
            endpoint(&server)
        ))
        .start()
        .await;
        let reply = call(&rig.caller("alice")).await;
        assert_eq!(reply.status, status);
        let error = &reply.json()["error"];
        assert_eq!(
            (&error["code"], &error["data"]["code"]),
            (&status.into(), &reason.into())
        );
        rig.upstream.saw_nothing();
        let line = audit::line_of(rig.audit_dir(), |line| line["tool_name"] == "echo").await;
        assert_eq!(line["reason"], reason, "{line}");
    }
    never_asked(&elsewhere);
}

#[tokio::test]
async fn rfc6749_s4_4_the_gateways_own_token_is_fetched_once_and_again_when_it_is_refused() {
    let server = FakeUpstream::start().await;
    server
        .will(Answer::json(&token("one", 3600)))
        .will(Answer::json(&token("two", 3600)));
    let credential = format!(
        "kind: client_credentials, scope: a b, {}",
        endpoint(&server)
    );
    let rig = plan(&credential).start().await;
    rig.upstream.always(&result());
    let clients = [rig.token(&Who::new("alice")), rig.token(&Who::new("bob"))];
    for token in &clients {
        let caller = rig.stranger(Http::Two).with_token(token);
        assert_eq!(call(&caller).await.status, 200);
    }
    assert_eq!(server.seen().len(), 1);
    rig.upstream.will(Answer::status(401));
    assert_eq!(
        call(&rig.caller("alice")).await.status,
        200,
        "one more attempt, with a fresh token"
    );
    rig.upstream
        .will(Answer::status(401))
        .will(Answer::status(401));
    let server_answers = Answer::json(&token("three", 3600));
    server.will(server_answers);
    let reply = call(&rig.caller("alice")).await;
    assert_eq!(reply.status, 502, "and not a third");
    let seen = upstream_saw(&rig, &[&clients[0], &clients[1]]);
    let shown: Vec<_> = seen
        .iter()
        .map(|one| one.header("authorization").unwrap())
        .collect();
    assert_eq!(
        shown,
        [
            "Bearer one",
            "Bearer one",
            "Bearer one",
            "Bearer two",
            "Bearer two",
            "Bearer three"
        ]
    );
    let asked = server.seen();
    never_saw(&asked, &[&clients[0], &clients[1]]);
    let form = form(&asked[0]);
    assert_eq!(
        (&*form["grant_type"], &*form["scope"]),
        ("client_credentials", "a b")
    );
}

#[tokio::test]
async fn rfc8693_a_token_is_exchanged_for_each_user_by_the_gateways_word() {
    let server = FakeUpstream::start().await;
    server
        .will(Answer::json(&token("for-alice", 3600)))
        .will(Answer::json(&token("for-bob", 3600)));
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let credential = format!(
        "kind: token_exchange, subject: assertion, key_file: key.pem, key_id: k1, audience: api, {}",
        endpoint(&server)
    );
    let rig = plan(&credential).file("key.pem", &key).start().await;
    rig.upstream.always(&result());
    let clients = [rig.token(&Who::new("alice")), rig.token(&Who::new("bob"))];
    for token in clients.iter().chain(&clients) {
        let caller = rig.stranger(Http::One).with_token(token);
        assert_eq!(call(&caller).await.status, 200);
    }
    let seen = upstream_saw(&rig, &[&clients[0], &clients[1]]);
    let shown: Vec<_> = seen
        .iter()
        .map(|one| one.header("authorization").unwrap())
        .collect();
    assert_eq!(
        shown,
        [
            "Bearer for-alice",
            "Bearer for-bob",
            "Bearer for-alice",
            "Bearer for-bob"
        ]
    );
    let asked = server.seen();
    never_saw(&asked, &[&clients[0], &clients[1]]);
    for (asked, user) in asked.iter().zip(["user_alice", "user_bob"]) {
        let form = form(asked);
        let part = form["subject_token"].split('.').nth(1).unwrap().to_owned();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        assert_eq!(claims["sub"], user);
        assert_eq!(claims["iss"], "https://localhost");
    }
}
