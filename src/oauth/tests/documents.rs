//! Clients whose id is the address of a document.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::host::Host;
use super::rig::*;
use crate::auth::support::Signer;
use crate::oauth::Settings;
use crate::oauth::settings::Documents;
use crate::web::Reply;

const HOUR: Duration = Duration::from_secs(3600);

async fn rig(host: &Host) -> Rig {
    let authority = format!("localhost:{}", host.port);
    let ca = host.ca.path().to_owned();
    let documents = Documents {
        allow_hosts: vec![authority],
        ca_file: Some(ca),
        ..Documents::default()
    };
    Rig::with(|settings: &mut Settings| {
        settings.documents = Some(documents);
        settings.throttle.per_address = 1000;
        settings.throttle.requests = 1000;
    })
    .await
}

fn document(id: &str) -> Value {
    json!({
        "client_id": id,
        "client_name": "Described",
        "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback", WEB],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    })
}

async fn ask(rig: &Rig, id: &str) -> Reply {
    rig.get("/oauth/authorize", &but(&request(), "client_id", Some(id)))
        .await
}

#[tokio::test]
async fn documents_that_do_not_describe_a_client() {
    let host = Host::start(&["localhost"]).await;
    let rig = rig(&host).await;
    let many: Vec<_> = (0..11)
        .map(|n| format!("https://client.test/{n}"))
        .collect();
    for (name, member, value) in [
        ("other-id", "client_id", json!("https://client.test/x")),
        ("no-id", "client_id", Value::Null),
        ("no-name", "client_name", Value::Null),
        ("turned-name", "client_name", json!("a\u{202e}b")),
        ("no-redirects", "redirect_uris", json!([])),
        ("many-redirects", "redirect_uris", json!(many)),
        ("script", "redirect_uris", json!(["javascript:alert(1)"])),
        ("secret", "client_secret", json!("canary")),
        (
            "secret-method",
            "token_endpoint_auth_method",
            json!("client_secret_basic"),
        ),
        (
            "no-keys",
            "token_endpoint_auth_method",
            json!("private_key_jwt"),
        ),
        ("private-keys", "jwks_uri", json!("https://10.0.0.1/keys")),
        (
            "odd-types",
            "redirect_uris",
            json!("https://client.test/cb"),
        ),
    ] {
        let path = format!("/{name}");
        let id = host.url(&path);
        let mut changed = document(&id);
        changed[member] = value;
        host.serve(&path, &changed);
        let reply = ask(&rig, &id).await;
        assert_eq!(reply.status.as_u16(), 400, "{name}");
        assert_eq!(reply.note.refused, Some("invalid_client"), "{name}");
    }
    let twice = host.url("/twice");
    let body = document(&twice)
        .to_string()
        .replacen('{', "{\"client_name\":\"Other\",", 1);
    host.say("/twice", "200 OK\r\ncontent-type: application/json", &body);
    assert_eq!(ask(&rig, &twice).await.status.as_u16(), 400);
    // The document of a whole host speaks for nobody.
    let root = host.url("/");
    host.serve("/", &document(&root));
    assert_eq!(ask(&rig, &root).await.status.as_u16(), 400);
    assert!(!host.asked().iter().any(|head| head.starts_with("GET / ")));
}

#[tokio::test]
async fn a_document_is_not_read_where_documents_are_off() {
    let host = Host::start(&["localhost"]).await;
    let rig = Rig::with(|settings| settings.documents = None).await;
    let id = host.url("/client.json");
    host.serve("/client.json", &document(&id));
    assert_eq!(ask(&rig, &id).await.status.as_u16(), 400);
    assert!(host.asked().is_empty());
}

#[tokio::test]
async fn failures_are_remembered_for_a_moment_and_asking_is_counted() {
    let host = Host::start(&["localhost"]).await;
    let rig = rig(&host).await;
    let id = host.url("/client.json");
    for _ in 0..3 {
        assert_eq!(ask(&rig, &id).await.status.as_u16(), 400);
    }
    assert_eq!(host.asked().len(), 1);
    rig.clock.advance(Duration::from_secs(30));
    host.serve("/client.json", &document(&id));
    assert_eq!(ask(&rig, &id).await.status.as_u16(), 302);
    for n in 0..29 {
        ask(&rig, &host.url(&format!("/{n}"))).await;
    }
    let asked = host.asked().len();
    assert_eq!(ask(&rig, &host.url("/more")).await.status.as_u16(), 429);
    assert_eq!(host.asked().len(), asked);
}

/// Strangers who use up what one host is asked must not sign out the users of the clients that live there.
#[tokio::test]
async fn a_known_client_is_read_again_however_many_strangers_name_its_host() {
    let host = Host::start(&["localhost"]).await;
    let rig = rig(&host).await;
    let id = host.url("/client.json");
    host.serve("/client.json", &document(&id));
    assert_eq!(ask(&rig, &id).await.status.as_u16(), 302);
    rig.clock.advance(MINUTE * 2);
    for n in 0..40_u8 {
        let stranger = host.url(&format!("/{n}"));
        let asked = but(&request(), "client_id", Some(&stranger));
        let mut visit = visit(Method::GET, "/oauth/authorize", &asked);
        visit.address = [192, 0, 2, n].into();
        rig.server.answer(&visit).await;
    }
    assert_eq!(ask(&rig, &id).await.status.as_u16(), 302);
    assert_eq!(host.asked().len(), 1 + 30 + 1);
}

#[tokio::test]
async fn a_document_is_kept_as_long_as_its_server_says_within_bounds() {
    let host = Host::start(&["localhost"]).await;
    let rig = rig(&host).await;
    for (path, control, kept, gone) in [
        ("/short", "max-age=1", 59, 61),
        ("/none", "no-store", 59, 61),
        ("/hour", "max-age=3600", 3599, 3601),
        ("/ages", "max-age=31536000", 86_399, 86_401),
    ] {
        let id = host.url(path);
        let head = format!("200 OK\r\ncontent-type: application/json\r\ncache-control: {control}");
        host.say(path, &head, &document(&id).to_string());
        let asked = || {
            host.asked()
                .iter()
                .filter(|head| head.contains(path))
                .count()
        };
        ask(&rig, &id).await;
        rig.clock.advance(Duration::from_secs(kept));
        ask(&rig, &id).await;
        assert_eq!(asked(), 1, "{control}");
        rig.clock.advance(Duration::from_secs(gone - kept));
        ask(&rig, &id).await;
        assert_eq!(asked(), 2, "{control}");
    }
}

#[tokio::test]
async fn an_outage_of_a_clients_host_signs_nobody_out_but_a_withdrawn_document_does() {
    let host = Host::start(&["localhost"]).await;
    let rig = rig(&host).await;
    let id = host.url("/client.json");
    host.serve("/client.json", &document(&id));
    let params = but(&request(), "client_id", Some(&id));
    let code = rig.code(&params).await;
    let answer = json(
        &rig.token(&but(&exchange(&code), "client_id", Some(&id)))
            .await,
    );
    let mut token = answer["refresh_token"].as_str().unwrap().to_owned();

    host.say("/client.json", "503 Service Unavailable", "");
    for _ in 0..3 {
        rig.clock.advance(HOUR);
        let reply = rig
            .token(&but(&refresh(&token), "client_id", Some(&id)))
            .await;
        token = json(&reply)["refresh_token"].as_str().unwrap().to_owned();
    }
    host.say("/client.json", "404 Not Found", "");
    rig.clock.advance(HOUR);
    let reply = rig
        .token(&but(&refresh(&token), "client_id", Some(&id)))
        .await;
    assert_eq!(error(&reply).1, "invalid_client");
}

#[tokio::test]
async fn a_described_client_signs_its_user_in_and_is_named_with_its_host() {
    let host = Host::start(&["localhost"]).await;
    let rig = rig(&host).await;
    let id = host.url("/client.json");
    host.serve("/client.json", &document(&id));
    // Its document lists both names of the loopback, without a port.
    for uri in [
        "http://localhost:51234/callback",
        "http://127.0.0.1:51234/callback",
        WEB,
    ] {
        let params = but(
            &but(&request(), "client_id", Some(&id)),
            "redirect_uri",
            Some(uri),
        );
        let mut browser = Browser::default();
        let page = browser.sign_in(&rig, &params).await;
        let body = text(&page);
        assert!(
            body.contains("Described") && !body.contains("unverified"),
            "{body}"
        );
        let reply = browser.answer(&rig, &page, "allow").await;
        let code = param(&location(&reply), "code").unwrap();
        let redeem = but(
            &but(&exchange(&code), "client_id", Some(&id)),
            "redirect_uri",
            Some(uri),
        );
        let answer = json(&rig.token(&redeem).await);
        assert_eq!(
            claims(answer["access_token"].as_str().unwrap())["client_id"],
            id
        );
    }
    assert_eq!(host.asked().len(), 1);
}

#[tokio::test]
async fn a_described_client_can_prove_itself_by_keys_at_its_own_address() {
    let host = Host::start(&["localhost"]).await;
    let rig = rig(&host).await;
    let id = host.url("/client.json");
    let mut described = document(&id);
    described["token_endpoint_auth_method"] = json!("private_key_jwt");
    described["jwks_uri"] = json!(host.url("/keys.json"));
    host.serve("/client.json", &described);
    let signer = Signer::es256("c1");
    host.serve("/keys.json", &json!({ "keys": [signer.jwk()] }));
    let code = rig.code(&but(&request(), "client_id", Some(&id))).await;
    let nothing = rig
        .token(&but(&exchange(&code), "client_id", Some(&id)))
        .await;
    assert_eq!(error(&nothing).1, "invalid_client");
    let now = rig.clock.now().seconds();
    let said = json!({"iss": id, "sub": id, "aud": PUBLIC, "exp": now + 60, "jti": "j1"});
    let assertion = signer.token(&said);
    let mut params = but(&exchange(&code), "client_id", Some(&id));
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    params.extend([
        ("client_assertion_type", kind),
        ("client_assertion", &assertion),
    ]);
    assert_eq!(rig.token(&params).await.status.as_u16(), 200);
}
