//! Attacks on `/oauth/register` (RFC 7591).

use hyper::StatusCode;
use serde_json::{Value, json};

use super::town::Town;

#[tokio::test]
async fn rfc7591_s3_2_2_metadata_that_could_hurt_somebody_is_refused() {
    let town = Town::start().await;
    let long = format!("https://app.test/{}", "a".repeat(4096));
    let many: Vec<String> = (0..100).map(|n| format!("https://app.test/{n}")).collect();
    let redirect = |uri: &str| json!({"redirect_uris": [uri]});
    let with = |name: &str, value: Value| {
        let mut metadata = json!({"redirect_uris": ["https://app.test/callback"]});
        metadata[name] = value;
        metadata
    };
    let rows = [
        (
            "no redirect",
            json!({"client_name": "x"}),
            "invalid_redirect_uri",
        ),
        (
            "empty list",
            json!({"redirect_uris": []}),
            "invalid_redirect_uri",
        ),
        (
            "javascript",
            redirect("javascript:alert(1)"),
            "invalid_redirect_uri",
        ),
        (
            "JavaScript",
            redirect("JavaScript:alert(1)"),
            "invalid_redirect_uri",
        ),
        ("data", redirect("data:text/html,x"), "invalid_redirect_uri"),
        ("vbscript", redirect("vbscript:x"), "invalid_redirect_uri"),
        (
            "file",
            redirect("file:///etc/passwd"),
            "invalid_redirect_uri",
        ),
        ("about", redirect("about:blank"), "invalid_redirect_uri"),
        (
            "blob",
            redirect("blob:https://app.test/1"),
            "invalid_redirect_uri",
        ),
        (
            "http off loopback",
            redirect("http://app.test/callback"),
            "invalid_redirect_uri",
        ),
        (
            "loopback in name only",
            redirect("http://localhost.evil.test/"),
            "invalid_redirect_uri",
        ),
        (
            "wildcard",
            redirect("https://*.app.test/callback"),
            "invalid_redirect_uri",
        ),
        (
            "fragment",
            redirect("https://app.test/callback#x"),
            "invalid_redirect_uri",
        ),
        (
            "user info",
            redirect("https://app.test@evil.test/callback"),
            "invalid_redirect_uri",
        ),
        ("relative", redirect("/callback"), "invalid_redirect_uri"),
        (
            "line break",
            redirect("https://app.test/\r\nx: y"),
            "invalid_redirect_uri",
        ),
        ("too long", redirect(&long), "invalid_redirect_uri"),
        (
            "too many",
            json!({"redirect_uris": many}),
            "invalid_redirect_uri",
        ),
        (
            "a name with a line break",
            with("client_name", json!("Claude\nby Anthropic")),
            "invalid_client_metadata",
        ),
        (
            "a name that runs backwards",
            with("client_name", json!("\u{202e}edualC")),
            "invalid_client_metadata",
        ),
        (
            "a name without end",
            with("client_name", json!("x".repeat(10_000))),
            "invalid_client_metadata",
        ),
        (
            "keys at a private address",
            with("jwks_uri", json!("https://169.254.169.254/keys")),
            "invalid_client_metadata",
        ),
        (
            "keys without TLS",
            with("jwks_uri", json!("http://app.test/keys")),
            "invalid_client_metadata",
        ),
        (
            "password grant",
            with("grant_types", json!(["password"])),
            "invalid_client_metadata",
        ),
        (
            "a machine of its own making",
            with("grant_types", json!(["client_credentials"])),
            "invalid_client_metadata",
        ),
        (
            "implicit",
            with("response_types", json!(["token"])),
            "invalid_client_metadata",
        ),
        (
            "unknown proof",
            with("token_endpoint_auth_method", json!("tls_client_auth")),
            "invalid_client_metadata",
        ),
    ];
    for (name, metadata, error) in rows {
        let reply = town.register(&metadata).await;
        assert_eq!(
            reply.status,
            StatusCode::BAD_REQUEST,
            "{name}: {}",
            reply.text()
        );
        assert_eq!(reply.json()["error"], error, "{name}: {}", reply.text());
        town.told(name, &reply).await;
    }
}

#[tokio::test]
async fn a_private_logo_is_never_shown_or_fetched() {
    let town = Town::start().await;
    let reply = town
        .register(
            &json!({"client_name": "Logo", "redirect_uris": ["https://app.test/callback"],
            "logo_uri": "http://127.0.0.1:1/logo.png", "client_uri": "javascript:alert(1)"}),
        )
        .await;
    if reply.status == StatusCode::CREATED {
        let text = reply.text();
        assert!(
            !text.contains("127.0.0.1:1") && !text.contains("javascript"),
            "{text}"
        );
    } else {
        assert_eq!(reply.json()["error"], "invalid_client_metadata");
    }
}

#[tokio::test]
async fn registrations_without_end_are_throttled() {
    let town = Town::start().await;
    let metadata = json!({"client_name": "x", "redirect_uris": ["https://app.test/callback"]});
    for _ in 0..500 {
        let reply = town.register(&metadata).await;
        if reply.status == StatusCode::TOO_MANY_REQUESTS {
            town.told("registration flood", &reply).await;
            return;
        }
        assert_eq!(reply.status, StatusCode::CREATED);
    }
    panic!("500 registrations without an end");
}

#[tokio::test]
async fn a_body_that_is_no_json_or_huge_registers_nobody() {
    let town = Town::start().await;
    let form = super::town::fields(&[("redirect_uris", "https://app.test/callback")]);
    let reply = town.post("/oauth/register", &form).await;
    assert!(reply.status.is_client_error(), "{}", reply.text());
    town.told("a form", &reply).await;
    let huge = json!({"redirect_uris": ["https://app.test/callback"], "x": "y".repeat(100_000)});
    let reply = town.register(&huge).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    town.told("a huge body", &reply).await;
}

#[tokio::test]
async fn where_registration_is_off_there_is_no_such_endpoint() {
    use crate::harness::client::Http;
    use crate::harness::gateway::{PUBLIC, Plan};
    use crate::harness::provider::FakeClickUp;
    let clickup = FakeClickUp::start().await;
    let rig = Plan::new()
        .settings(&format!(
            "login: {{ providers: [ {} ] }}",
            clickup.settings()
        ))
        .settings("oauth: { registration: { enabled: false } }")
        .env(
            "ENCRYPTION_KEY",
            "canary-not-a-real-sealing-key-0a1b2c3d4e5f",
        )
        .start()
        .await;
    let client = rig.client(Http::One);
    let metadata = client
        .get(&format!("{PUBLIC}/.well-known/oauth-authorization-server"))
        .await;
    assert_eq!(metadata.json().get("registration_endpoint"), None);
    let request = hyper::Request::post(format!("{PUBLIC}/oauth/register"))
        .header("content-type", "application/json")
        .body(http_body_util::Full::from(
            "{\"redirect_uris\":[\"https://app.test/\"]}",
        ))
        .unwrap();
    let reply = client.send(request).await;
    assert!(reply.status.is_client_error(), "{}", reply.status);
    assert!(!reply.text().contains("client_id"), "{}", reply.text());
}
