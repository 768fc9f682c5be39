//! What the server says about itself, and who may read what.

use http::{Method, StatusCode};
use serde_json::json;

use super::rig::*;

#[tokio::test]
async fn rfc8414_s3_the_document_is_where_clients_of_every_route_look() {
    let rig = Rig::new().await;
    let wanted = json(
        &rig.get("/.well-known/oauth-authorization-server", &[])
            .await,
    );
    for path in [
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/oauth-authorization-server/other/mcp",
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/mcp",
        "/mcp/.well-known/openid-configuration",
        "/other/mcp/.well-known/openid-configuration",
    ] {
        assert!(rig.server.serves(path), "{path}");
        let reply = rig.get(path, &[]).await;
        assert_eq!(json(&reply), wanted, "{path}");
    }
    for path in [
        "/.well-known/oauth-authorization-server/",
        "/.well-known/oauth-authorization-server/nope",
        "/nope/.well-known/openid-configuration",
        "/mcp/.well-known/oauth-authorization-server",
        "/oauth",
        "/oauth/token/",
        "/mcp",
    ] {
        assert!(!rig.server.serves(path), "{path}");
    }
}

#[tokio::test]
async fn rfc8414_s2_the_document_says_what_is_true() {
    let rig = Rig::new().await;
    let document = json(
        &rig.get("/.well-known/oauth-authorization-server", &[])
            .await,
    );
    for (member, value) in [
        ("issuer", json!(PUBLIC)),
        (
            "authorization_endpoint",
            json!("https://gw.test/oauth/authorize"),
        ),
        ("token_endpoint", json!("https://gw.test/oauth/token")),
        (
            "registration_endpoint",
            json!("https://gw.test/oauth/register"),
        ),
        ("revocation_endpoint", json!("https://gw.test/oauth/revoke")),
        (
            "introspection_endpoint",
            json!("https://gw.test/oauth/introspect"),
        ),
        ("jwks_uri", json!("https://gw.test/oauth/jwks")),
        ("response_types_supported", json!(["code"])),
        ("response_modes_supported", json!(["query"])),
        ("code_challenge_methods_supported", json!(["S256"])),
        (
            "authorization_response_iss_parameter_supported",
            json!(true),
        ),
        ("client_id_metadata_document_supported", json!(true)),
        (
            "token_endpoint_auth_methods_supported",
            json!([
                "none",
                "client_secret_basic",
                "client_secret_post",
                "private_key_jwt"
            ]),
        ),
        ("id_token_signing_alg_values_supported", json!([])),
    ] {
        assert_eq!(document[member], value, "{member}");
    }
    let scopes = document["scopes_supported"].as_array().unwrap();
    assert!(scopes.contains(&json!("user:read")) && !scopes.contains(&json!("offline_access")));
    let keys = rig.get("/oauth/jwks", &[]).await;
    assert_eq!(json(&keys), json!({"keys": []}));
}

/// Which pages may read an answer is decided in one place for the whole gateway, and never here (C44).
#[tokio::test]
async fn c44_no_answer_names_an_origin_by_itself() {
    let rig = Rig::new().await;
    for path in [
        "/.well-known/oauth-authorization-server",
        "/oauth/token",
        "/oauth/register",
        "/oauth/revoke",
        "/oauth/jwks",
        "/oauth/authorize",
        "/oauth/login",
        "/oauth/consent",
        "/oauth/introspect",
    ] {
        for method in [Method::OPTIONS, Method::DELETE] {
            let reply = rig.server.answer(&visit(method, path, &[])).await;
            assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert!(reply.headers.contains_key("allow"), "{path}");
            let named = |name: &http::HeaderName| name.as_str().starts_with("access-control-");
            assert!(!reply.headers.keys().any(named), "{path}");
        }
    }
}
