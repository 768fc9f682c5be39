//! Clients that act for themselves.

use http::Method;
use serde_json::{Value, json};

use super::rig::*;
use crate::web::Reply;

const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn credentials() -> Vec<(&'static str, &'static str)> {
    vec![("grant_type", "client_credentials")]
}

async fn assert_as(rig: &Rig, assertion: &str) -> Reply {
    let mut params = credentials();
    params.extend([
        ("client_assertion_type", KIND),
        ("client_assertion", assertion),
    ]);
    rig.token(&params).await
}

#[tokio::test]
async fn only_clients_that_the_operator_made_machines_act_for_themselves() {
    let rig = Rig::new().await;
    for id in ["web", "unproven"] {
        let reply = rig
            .token(&[("grant_type", "client_credentials"), ("client_id", id)])
            .await;
        assert_eq!(error(&reply), (400, "unauthorized_client".into()), "{id}");
    }
    let reply = rig
        .basic("/oauth/token", "confidential", &credentials())
        .await;
    assert_eq!(error(&reply).1, "unauthorized_client");
    for (field, value, code) in [
        ("scope", "mcp:write", "invalid_scope"),
        ("scope", "admin", "invalid_scope"),
        ("resource", "https://evil.test/mcp", "invalid_target"),
    ] {
        let params = but(&credentials(), field, Some(value));
        let reply = rig.basic("/oauth/token", "machine", &params).await;
        assert_eq!(error(&reply).1, code, "{value}");
    }
}

#[tokio::test]
async fn rfc7523_s3_assertions_that_prove_nothing() {
    let rig = Rig::with(|settings| settings.throttle.per_address = 1000).await;
    let now = rig.clock.now().seconds();
    let good = json!({
        "iss": "signer", "sub": "signer", "aud": "https://gw.test/oauth/token", "exp": now + 60, "jti": "j1",
    });
    for (name, member, value) in [
        ("another issuer", "iss", json!("machine")),
        ("no issuer", "iss", Value::Null),
        ("another subject", "sub", json!("machine")),
        ("no audience", "aud", Value::Null),
        ("another audience", "aud", json!("https://evil.test")),
        (
            "a longer audience",
            "aud",
            json!("https://gw.test/oauth/token/"),
        ),
        (
            "another audience too",
            "aud",
            json!(["https://gw.test", "https://evil.test"]),
        ),
        ("empty audience", "aud", json!([])),
        ("no end", "exp", Value::Null),
        ("expired", "exp", json!(now - 31)),
        ("a long life", "exp", json!(now + 331)),
        ("text for an end", "exp", json!("soon")),
        ("not yet", "nbf", json!(now + 31)),
        ("from the future", "iat", json!(now + 31)),
        ("no id", "jti", Value::Null),
        ("empty id", "jti", json!("")),
        ("number for an id", "jti", json!(1)),
        ("long id", "jti", json!("x".repeat(257))),
    ] {
        let mut said = good.clone();
        said[member] = value;
        let reply = assert_as(&rig, &rig.signer.token(&said)).await;
        assert_eq!(error(&reply), (401, "invalid_client".into()), "{name}");
    }
    let stranger = crate::auth::support::Signer::es256("m1");
    assert_eq!(
        error(&assert_as(&rig, &stranger.token(&good)).await).1,
        "invalid_client"
    );
    let none = format!(
        "{}.{}.",
        crate::auth::support::b64(br#"{"alg":"none"}"#),
        crate::auth::support::b64(good.to_string().as_bytes())
    );
    for odd in [none.as_str(), "", "a.b.c", "a.b", &"x".repeat(20_000)] {
        let reply = assert_as(&rig, odd).await;
        assert!(matches!(reply.status.as_u16(), 400 | 401), "{odd}");
    }
    // A secret does not stand in for a key.
    let reply = rig.basic("/oauth/token", "signer", &credentials()).await;
    assert_eq!(error(&reply).1, "invalid_client");
}

#[tokio::test]
async fn rfc7523_s3_an_assertion_is_heard_once() {
    let rig = Rig::new().await;
    let now = rig.clock.now().seconds();
    for audience in [json!(PUBLIC), json!(["https://gw.test/oauth/token"])] {
        let said = json!({
            "iss": "signer", "sub": "signer", "aud": audience, "exp": now + 60, "jti": audience.to_string(),
        });
        let assertion = rig.signer.token(&said);
        assert_eq!(assert_as(&rig, &assertion).await.status.as_u16(), 200);
        assert_eq!(
            error(&assert_as(&rig, &assertion).await).1,
            "invalid_client"
        );
    }
}

#[tokio::test]
async fn a_machine_gets_a_token_of_its_own_and_no_refresh_token() {
    let rig = Rig::new().await;
    let reply = rig.basic("/oauth/token", "machine", &credentials()).await;
    let answer = json(&reply);
    assert_eq!(answer.get("refresh_token"), None);
    assert_eq!(answer["scope"], "mcp:read task:write user:read team:read");
    let said = claims(answer["access_token"].as_str().unwrap());
    assert_eq!(said["sub"], "user_~client.machine");
    assert_eq!(
        (&said["tier"], &said["team_id"]),
        (&"premium".into(), &"67890".into())
    );
    assert_eq!(said["aud"], json!([MCP]));
    assert!(
        rig.is_good(answer["access_token"].as_str().unwrap(), MCP)
            .await
    );

    rig.revocations.disable("~client.machine").await.unwrap();
    let reply = rig.basic("/oauth/token", "machine", &credentials()).await;
    assert_eq!(error(&reply).1, "unauthorized_client");
}

#[tokio::test]
async fn rfc6749_s2_3_1_id_and_secret_are_form_encoded_before_they_are_joined() {
    let rig = Rig::with(|settings| {
        for client in &mut settings.clients {
            if client.client_id == "machine" {
                client.client_id = "ma:chine+1".into();
            }
        }
    })
    .await;
    let visit = visit(Method::POST, "/oauth/token", &credentials());
    let reply = rig
        .server
        .answer(&with_basic(visit, "ma%3Achine%2B1", SECRET))
        .await;
    assert_eq!(reply.status.as_u16(), 200);
}
