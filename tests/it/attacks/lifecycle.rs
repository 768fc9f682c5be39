//! The life of a login: a client with nothing but the URL signs its user in, goes on after its access token has ended, and
//! is cut off when the user is.

use std::path::Path;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use serde_json::{Value, json};

use super::town::{Bend, SEALING, Town, of_query, pair};
use crate::harness::audit;
use crate::harness::client::Http;
use crate::harness::gateway::{KEY, PUBLIC};
use crate::harness::provider::{CLIENT_SECRET, TOKEN};
use crate::harness::redis::Redis;

/// What a client finds out by itself, beginning with a call that is refused (MCP authorization, section discovery).
#[tokio::test]
async fn mcp_authorization_everything_is_found_from_the_url_alone() {
    let town = Town::start().await;
    let stranger = town.rig.stranger(Http::One);
    let refused = stranger.modern("tools/list", json!({})).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let challenge = refused.header("www-authenticate").unwrap();
    let metadata = format!("{PUBLIC}/.well-known/oauth-protected-resource/mcp");
    assert!(challenge.contains(&metadata), "{challenge}");
    let resource = town.client.get(&metadata).await.json();
    assert_eq!(resource["authorization_servers"], json!([PUBLIC]));
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/mcp",
        "/mcp/.well-known/openid-configuration",
    ] {
        let server = town.client.get(&format!("{PUBLIC}{path}")).await;
        assert_eq!(server.status, StatusCode::OK, "{path}");
        let server = server.json();
        assert_eq!(server["issuer"], PUBLIC, "{path}");
        assert_eq!(server["code_challenge_methods_supported"], json!(["S256"]));
        for flag in [
            "authorization_response_iss_parameter_supported",
            "client_id_metadata_document_supported",
        ] {
            assert_eq!(server[flag], true, "{path} {flag}");
        }
        for endpoint in [
            "authorization_endpoint",
            "token_endpoint",
            "registration_endpoint",
            "revocation_endpoint",
            "introspection_endpoint",
            "jwks_uri",
        ] {
            let address = server[endpoint].as_str().unwrap_or_default();
            let ours = format!("{PUBLIC}/oauth/");
            assert!(address.starts_with(&ours), "{path} {endpoint}: {address}");
        }
    }
}

#[tokio::test]
async fn c04_c55_a_login_outlives_its_access_tokens() {
    let town = Town::start().await;
    let back = town.agreed(&mut town.browser(), &town.honest()).await;
    let said = |name| of_query(&back, name);
    assert_eq!(said("state").as_deref(), Some("state-of-the-client"));
    assert_eq!(said("iss").as_deref(), Some(PUBLIC));
    let code = said("code").unwrap();
    assert!(code.starts_with("mcp_ac_"), "{code}");
    let answer = town.token(&town.exchange(&code)).await;
    let body = answer.json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 3600);
    for scope in ["mcp:read", "mcp:write"] {
        let granted = body["scope"].as_str().unwrap();
        assert!(granted.split(' ').any(|one| one == scope), "{granted}");
    }
    let (first, mut refresh) = pair(&answer);
    assert!(refresh.starts_with("mcp_rt_"), "{refresh}");
    assert_eq!(town.knock(&first).await, StatusCode::OK);
    for _ in 0..5 {
        let (access, next) = pair(&town.token(&town.refreshing(&refresh)).await);
        assert_eq!(town.knock(&access).await, StatusCode::OK);
        assert_ne!(next, refresh);
        refresh = next;
    }
}

/// A client whose answer was lost asks again at once, and gets the same successor.
#[tokio::test]
async fn a_lost_answer_to_a_refresh_costs_nobody_the_login() {
    let town = Town::start().await;
    let (_, refresh) = town.tokens().await;
    let form = town.refreshing(&refresh);
    let (one, two) = tokio::join!(town.token(&form), town.token(&form));
    let ((_, a), (access, b)) = (pair(&one), pair(&two));
    assert_eq!(a, b, "one family has one successor");
    assert_eq!(town.knock(&access).await, StatusCode::OK);
    pair(&town.token(&town.refreshing(&b)).await);
}

/// Acceptance of the vault: nothing that is secret is anywhere in the clear.
#[tokio::test]
async fn r004_nothing_secret_is_left_in_the_store_the_trail_or_the_metrics() {
    let town = Town::start().await;
    leaves_nothing(&town, None).await;
}

#[tokio::test]
async fn r004_nothing_secret_is_left_in_a_redis() {
    let Some(redis) = Redis::start() else { return };
    let store = format!("store: {{ url: \"{}\" }}", redis.url());
    let town = Town::with(|plan| plan.settings(&store)).await;
    leaves_nothing(&town, Some(redis.folder())).await;
}

/// A login with all that comes after it leaves no secret in any folder or figure. `besides` is where the store is, if not in
/// the state folder.
async fn leaves_nothing(town: &Town, besides: Option<&Path>) {
    let mut asked = town.honest();
    asked.set("state", "canary-not-a-real-state");
    let code = town.code_for(&asked).await;
    let (access, refresh) = pair(&town.token(&town.exchange(&code)).await);
    let (_, next) = pair(&town.token(&town.refreshing(&refresh)).await);
    let session: Value = town.session().await.json();
    let mut secrets = vec![code, access, refresh, next];
    secrets.extend([CLIENT_SECRET, KEY, SEALING].map(str::to_owned));
    for name in ["access_token", "refresh_token", "token"] {
        secrets.extend(session[name].as_str().map(str::to_owned));
    }
    assert!(secrets.len() > 7, "{session}");
    let bearer = session["access_token"]
        .as_str()
        .or(session["token"].as_str());
    secrets.push(left_key(town, bearer.unwrap()).await);
    secrets.push(client_secret(town).await);
    secrets.push(format!("{TOKEN}12345"));
    let metrics = town.rig.metrics().await;
    let state = town.rig.config.state_dir.as_path();
    for secret in &secrets {
        assert!(
            !metrics.contains(secret.as_str()),
            "{secret} in the metrics"
        );
        // The end of a token gives it away as well as the whole.
        for part in [secret.as_str(), &secret[secret.len().saturating_sub(20)..]] {
            for folder in std::iter::once(state).chain(besides) {
                assert!(!audit::files(folder).is_empty(), "nothing in {folder:?}");
                let found = audit::files_with(folder, part);
                assert!(found.is_empty(), "{part} in {found:?}");
            }
        }
    }
}

/// A key of the user's own, left at the gateway.
async fn left_key(town: &Town, bearer: &str) -> String {
    // The provider takes any number of zeros, which make it another text than the token of the login.
    let key = format!("{TOKEN}00012345");
    let request = Request::post(format!("{PUBLIC}/auth/api-key"))
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {bearer}"))
        .body(Full::new(Bytes::from(
            json!({ "api_key": key }).to_string(),
        )));
    let kept = town.client.send(request.unwrap()).await;
    assert_eq!(kept.status, StatusCode::OK, "{}", kept.text());
    key
}

/// The secret of a client that registers with one.
async fn client_secret(town: &Town) -> String {
    let metadata = json!({"client_name": "Keeps a secret", "redirect_uris": ["https://app.example/cb"],
        "token_endpoint_auth_method": "client_secret_basic"});
    let registered = town.register(&metadata).await;
    assert_eq!(
        registered.status,
        StatusCode::CREATED,
        "{}",
        registered.text()
    );
    let secret = registered.json()["client_secret"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(secret.starts_with("mcp_cs_"), "{secret}");
    secret
}
