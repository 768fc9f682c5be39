//! Clients that make themselves known.

use std::time::Duration;

use serde_json::{Value, json};

use super::rig::*;
use crate::audit::event::Event;
use crate::web::Reply;

const DAY: Duration = Duration::from_secs(86_400);

async fn register(rig: &Rig, document: &Value) -> Reply {
    rig.server
        .answer(&json_visit("/oauth/register", document))
        .await
}

fn document() -> Value {
    json!({
        "client_name": "Inspector",
        "redirect_uris": ["http://localhost:6274/oauth/callback"],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "application_type": "native",
        "scope": "mcp:read offline_access",
    })
}

#[tokio::test]
async fn rfc7591_s3_2_2_registrations_that_are_refused() {
    let rig = Rig::with(|settings| {
        if let Some(registration) = &mut settings.registration {
            registration.per_address = 1000;
        }
    })
    .await;
    let many: Vec<_> = (0..11).map(|n| format!("https://c.test/{n}")).collect();
    for (member, value, code) in [
        ("redirect_uris", Value::Null, "invalid_redirect_uri"),
        ("redirect_uris", json!([]), "invalid_redirect_uri"),
        ("redirect_uris", json!(many), "invalid_redirect_uri"),
        (
            "redirect_uris",
            json!("https://c.test/cb"),
            "invalid_client_metadata",
        ),
        ("redirect_uris", json!([1]), "invalid_client_metadata"),
        (
            "redirect_uris",
            json!(["javascript:alert(1)"]),
            "invalid_redirect_uri",
        ),
        (
            "redirect_uris",
            json!(["data:text/html,x"]),
            "invalid_redirect_uri",
        ),
        (
            "redirect_uris",
            json!(["file:///etc/passwd"]),
            "invalid_redirect_uri",
        ),
        (
            "redirect_uris",
            json!(["http://c.test/cb"]),
            "invalid_redirect_uri",
        ),
        (
            "redirect_uris",
            json!(["https://*.c.test/cb"]),
            "invalid_redirect_uri",
        ),
        (
            "redirect_uris",
            json!(["https://c.test/cb#x"]),
            "invalid_redirect_uri",
        ),
        (
            "redirect_uris",
            json!(["https://u:p@c.test/cb"]),
            "invalid_redirect_uri",
        ),
        (
            "redirect_uris",
            json!([WEB, "javascript:x"]),
            "invalid_redirect_uri",
        ),
        (
            "client_name",
            json!("x".repeat(201)),
            "invalid_client_metadata",
        ),
        (
            "client_name",
            json!("a\u{202e}b"),
            "invalid_client_metadata",
        ),
        (
            "client_name",
            json!("a\u{200b}b"),
            "invalid_client_metadata",
        ),
        ("client_name", json!("a\nb"), "invalid_client_metadata"),
        ("client_name", json!(" "), "invalid_client_metadata"),
        ("client_name", json!(5), "invalid_client_metadata"),
        (
            "token_endpoint_auth_method",
            json!("tls_client_auth"),
            "invalid_client_metadata",
        ),
        (
            "token_endpoint_auth_method",
            json!("private_key_jwt"),
            "invalid_client_metadata",
        ),
        (
            "grant_types",
            json!(["client_credentials"]),
            "invalid_client_metadata",
        ),
        (
            "grant_types",
            json!(["implicit"]),
            "invalid_client_metadata",
        ),
        ("grant_types", json!([]), "invalid_client_metadata"),
        (
            "response_types",
            json!(["token"]),
            "invalid_client_metadata",
        ),
        (
            "jwks_uri",
            json!("http://c.test/keys"),
            "invalid_client_metadata",
        ),
        (
            "jwks_uri",
            json!("https://10.0.0.1/keys"),
            "invalid_client_metadata",
        ),
        (
            "jwks_uri",
            json!("https://localhost/keys"),
            "invalid_client_metadata",
        ),
        ("jwks", json!({"keys": []}), "invalid_client_metadata"),
        (
            "jwks",
            json!({"keys": [{"kty": "oct", "k": "AAAA"}]}),
            "invalid_client_metadata",
        ),
        ("jwks", json!("x"), "invalid_client_metadata"),
    ] {
        let mut changed = document();
        changed[member] = value.clone();
        let reply = register(&rig, &changed).await;
        assert_eq!(error(&reply), (400, code.into()), "{member} {value}");
        assert_eq!(reply.note.refused, Some(code), "{member} {value}");
    }
    for odd in [json!([]), json!("x"), Value::Null] {
        assert_eq!(
            error(&register(&rig, &odd).await).1,
            "invalid_client_metadata"
        );
    }
    let form = rig.post("/oauth/register", &[("client_name", "x")]).await;
    assert_eq!(error(&form).1, "invalid_client_metadata");
}

#[tokio::test]
async fn registration_can_be_switched_off() {
    let rig = Rig::with(|settings| settings.registration = None).await;
    let reply = register(&rig, &document()).await;
    assert_eq!(error(&reply), (400, "unauthorized_client".into()));
    let metadata = rig
        .get("/.well-known/oauth-authorization-server", &[])
        .await;
    assert_eq!(json(&metadata).get("registration_endpoint"), None);
}

#[tokio::test]
async fn registrations_are_limited_by_address_and_in_number() {
    let rig = Rig::with(|settings| {
        if let Some(registration) = &mut settings.registration {
            registration.per_address = 2;
            registration.max_clients = 3;
        }
    })
    .await;
    for _ in 0..2 {
        assert_eq!(register(&rig, &document()).await.status.as_u16(), 201);
    }
    let refused = register(&rig, &document()).await;
    assert_eq!(refused.status.as_u16(), 429);
    assert!(refused.headers.contains_key("retry-after"));
    let elsewhere = |last: u8| {
        let mut visit = json_visit("/oauth/register", &document());
        visit.address = [192, 0, 2, last].into();
        visit
    };
    assert_eq!(rig.server.answer(&elsewhere(1)).await.status.as_u16(), 201);
    assert_eq!(rig.server.answer(&elsewhere(2)).await.status.as_u16(), 429);
    // When they are over there is room again.
    rig.clock.advance(DAY * 90);
    assert_eq!(rig.server.answer(&elsewhere(3)).await.status.as_u16(), 201);
}

/// Strangers cannot keep everybody else from registering for as long as registrations live.
#[tokio::test]
async fn registrations_that_nobody_used_make_room_for_others() {
    let rig = Rig::with(|settings| {
        if let Some(registration) = &mut settings.registration {
            registration.max_clients = 3;
        }
    })
    .await;
    let used = json(&register(&rig, &document()).await)["client_id"].clone();
    let used = used.as_str().unwrap();
    let uri = "http://localhost:6274/oauth/callback";
    let of_used = |params: &[(&'static str, &'static str)]| {
        let params = but(params, "redirect_uri", Some(uri));
        but(&params, "client_id", None)
    };
    let mut asked = of_used(&request());
    asked.push(("client_id", used));
    let code = rig.code(&asked).await;
    let redeem = but(&exchange(&code), "redirect_uri", Some(uri));
    let redeem = but(&redeem, "client_id", Some(used));
    assert_eq!(rig.token(&redeem).await.status.as_u16(), 200);
    let unused = json(&register(&rig, &document()).await)["client_id"].clone();
    rig.clock.advance(MINUTE * 30);
    let fresh = json(&register(&rig, &document()).await)["client_id"].clone();
    assert_eq!(register(&rig, &document()).await.status.as_u16(), 429);
    rig.clock.advance(MINUTE * 30);
    assert_eq!(register(&rig, &document()).await.status.as_u16(), 201);
    for (id, there) in [
        (used, true),
        (fresh.as_str().unwrap(), true),
        (unused.as_str().unwrap(), false),
    ] {
        let mut asked = of_used(&request());
        asked.push(("client_id", id));
        let status = rig.get("/oauth/authorize", &asked).await.status;
        assert_eq!(status.is_redirection(), there, "{id}");
    }
}

#[tokio::test]
async fn r021_a_registration_that_is_not_used_ends_and_one_that_is_lives_on() {
    let rig = Rig::with(|settings| settings.throttle.per_address = 1000).await;
    let reply = register(&rig, &document()).await;
    let id = json(&reply)["client_id"].as_str().unwrap().to_owned();
    let uri = "http://localhost:6274/oauth/callback";
    let params = but(
        &but(&request(), "client_id", Some(&id)),
        "redirect_uri",
        Some(uri),
    );
    let code = rig.code(&params).await;
    let redeem = but(
        &but(&exchange(&code), "client_id", Some(&id)),
        "redirect_uri",
        Some(uri),
    );
    let mut token = json(&rig.token(&redeem).await)["refresh_token"].clone();
    for _ in 0..4 {
        rig.clock.advance(DAY * 29);
        let presented = token.as_str().unwrap().to_owned();
        let params = but(&refresh(&presented), "client_id", Some(&id));
        token = json(&rig.token(&params).await)["refresh_token"].clone();
        if token.is_null() {
            break;
        }
    }
    // The grant ended after ninety days; the registration was renewed by its use and is still there.
    assert!(token.is_null());
    let reply = rig.get("/oauth/authorize", &params).await;
    assert_eq!(reply.status.as_u16(), 302);
    rig.clock.advance(DAY * 90);
    let reply = rig.get("/oauth/authorize", &params).await;
    assert_eq!(reply.note.refused, Some("invalid_client"));
    let reply = rig.token(&redeem).await;
    assert_eq!(error(&reply), (401, "invalid_client".into()));
}

#[tokio::test]
async fn rfc7591_s3_2_1_the_answer_says_all_that_was_registered() {
    let rig = Rig::new().await;
    let mut asked = document();
    asked["logo_uri"] = json!("https://127.0.0.1/logo.png");
    asked["client_uri"] = json!("https://inspector.test/");
    asked["policy_uri"] = json!("javascript:alert(1)");
    let device = "urn:ietf:params:oauth:grant-type:device_code";
    asked["grant_types"] = json!(["authorization_code", "refresh_token", device]);
    let reply = register(&rig, &asked).await;
    assert_eq!(reply.status.as_u16(), 201);
    assert_eq!(reply.note.event, Some(Event::ClientRegistered));
    let answer = json(&reply);
    let id = answer["client_id"].as_str().unwrap();
    assert!(id.starts_with("mcp_client_"));
    assert_eq!(
        answer,
        json!({
            "client_id": id,
            "client_id_issued_at": 1_800_000_000,
            "client_name": "Inspector",
            "redirect_uris": ["http://localhost:6274/oauth/callback"],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "application_type": "native",
            "client_uri": "https://inspector.test/",
        })
    );
}

#[tokio::test]
async fn rfc7591_s2_a_client_that_says_nothing_gets_a_secret_which_is_kept_as_a_hash() {
    let rig = Rig::new().await;
    let asked = json!({"redirect_uris": [WEB]});
    let answer = json(&register(&rig, &asked).await);
    assert_eq!(answer["token_endpoint_auth_method"], "client_secret_basic");
    assert_eq!(answer["client_secret_expires_at"], 0);
    let (id, secret) = (
        answer["client_id"].as_str().unwrap(),
        answer["client_secret"].as_str(),
    );
    let secret = secret.unwrap();
    assert!(secret.starts_with("mcp_cs_"));
    let table = crate::store::Table::Client;
    for (_, entry) in rig.store.scan(table, "", None, 10).await.unwrap() {
        assert!(
            !String::from_utf8(entry.value)
                .unwrap()
                .contains(secret.get(7..).unwrap())
        );
    }
    let code = rig.code(&but(&request(), "client_id", Some(id))).await;
    let redeem = but(&exchange(&code), "client_id", Some(id));
    assert_eq!(error(&rig.token(&redeem).await).1, "invalid_client");
    let wrong = but(&redeem, "client_secret", Some("mcp_cs_wrong"));
    assert_eq!(error(&rig.token(&wrong).await).1, "invalid_client");
    let right = but(&redeem, "client_secret", Some(secret));
    assert_eq!(rig.token(&right).await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_client_that_wants_no_refresh_token_gets_none() {
    let rig = Rig::new().await;
    let asked = json!({
        "redirect_uris": [WEB], "token_endpoint_auth_method": "none", "grant_types": ["authorization_code"],
    });
    let answer = json(&register(&rig, &asked).await);
    let id = answer["client_id"].as_str().unwrap();
    let code = rig.code(&but(&request(), "client_id", Some(id))).await;
    let answer = json(
        &rig.token(&but(&exchange(&code), "client_id", Some(id)))
            .await,
    );
    assert!(answer["access_token"].is_string());
    assert_eq!(answer.get("refresh_token"), None);
}

/// Anybody can register any site. Nobody is sent there by us before they have done anything themselves.
#[tokio::test]
async fn rfc9700_s4_11_2_a_refusal_sends_nobody_to_a_site_that_anybody_could_have_registered() {
    let rig = Rig::new().await;
    let site = "https://evil.test/login?x=\"";
    for (uri, is_page) in [
        ("https://evil.test/login?x=1", true),
        ("http://localhost:6274/oauth/callback", false),
        ("com.example.program:/back", false),
    ] {
        let mut registered = document();
        registered["redirect_uris"] = json!([uri]);
        let id = json(&register(&rig, &registered).await)["client_id"].clone();
        let id = id.as_str().unwrap();
        let asked = but(&request(), "redirect_uri", Some(uri));
        let asked = but(&asked, "client_id", Some(id));
        for (name, value) in [
            ("scope", Some("nothing:known")),
            ("prompt", Some("none")),
            ("resource", Some("https://elsewhere.test")),
            ("code_challenge", None),
        ] {
            let reply = rig.get("/oauth/authorize", &but(&asked, name, value)).await;
            let sent = reply.headers.contains_key("location");
            assert_eq!(sent, !is_page, "{uri} {name}");
            assert!(reply.note.refused.is_some());
            if is_page {
                let text = text(&reply);
                assert_eq!(reply.status.as_u16(), 400, "{name}");
                assert!(text.contains("<strong>evil.test</strong>"), "{text}");
                assert!(text.contains("href=\"https://evil.test/login?x=1&amp;error="));
            }
        }
        // Whoever asks rightly is asked to sign in.
        let reply = rig.get("/oauth/authorize", &asked).await;
        assert_eq!(reply.status.as_u16(), 302, "{uri}");
    }
    let mut odd = document();
    odd["redirect_uris"] = json!([site]);
    assert_eq!(register(&rig, &odd).await.status.as_u16(), 400);
}
