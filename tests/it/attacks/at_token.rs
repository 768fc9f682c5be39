//! Attacks on `/oauth/token`, `/oauth/revoke` and `/oauth/introspect`.

use hyper::StatusCode;
use serde_json::Value;

use super::town::{Bend, Fields, REDIRECT, Town, fields, knock, pair};
use crate::harness::gateway::PUBLIC;
use crate::harness::mcp::Mcp;

type Row = (&'static str, fn(&mut Fields), StatusCode, &'static str);

const BAD: StatusCode = StatusCode::BAD_REQUEST;

#[tokio::test]
async fn rfc6749_s5_2_bent_exchanges_are_refused_with_their_error() {
    let town = Town::start().await;
    let rows: &[Row] = &[
        (
            "wrong verifier",
            |f| f.set("code_verifier", &"x".repeat(43)),
            BAD,
            "invalid_grant",
        ),
        (
            "no verifier",
            |f| f.without("code_verifier"),
            BAD,
            "invalid_request",
        ),
        (
            "short verifier",
            |f| f.set("code_verifier", "short"),
            BAD,
            "invalid_request",
        ),
        (
            "long verifier",
            |f| f.set("code_verifier", &"x".repeat(129)),
            BAD,
            "invalid_request",
        ),
        (
            "verifier with odd characters",
            |f| f.set("code_verifier", &"!".repeat(43)),
            BAD,
            "invalid_request",
        ),
        (
            "the challenge as verifier",
            |f| {
                f.set(
                    "code_verifier",
                    &super::town::challenge(super::town::VERIFIER),
                )
            },
            BAD,
            "invalid_grant",
        ),
        (
            "another redirect",
            |f| f.set("redirect_uri", "http://127.0.0.1:7777/other"),
            BAD,
            "invalid_grant",
        ),
        (
            "another port",
            |f| f.set("redirect_uri", "http://127.0.0.1:7778/callback"),
            BAD,
            "invalid_grant",
        ),
        (
            "no redirect",
            |f| f.without("redirect_uri"),
            BAD,
            "invalid_grant",
        ),
        (
            "another resource",
            |f| f.set("resource", "https://evil.test/mcp"),
            BAD,
            "invalid_target",
        ),
        (
            "made-up code",
            |f| f.set("code", "mcp_ac_madeup"),
            BAD,
            "invalid_grant",
        ),
        ("no code", |f| f.without("code"), BAD, "invalid_request"),
        (
            "two codes",
            |f| f.again("code", "b"),
            BAD,
            "invalid_request",
        ),
        (
            "no grant type",
            |f| f.without("grant_type"),
            BAD,
            "invalid_request",
        ),
        (
            "password grant",
            |f| f.set("grant_type", "password"),
            BAD,
            "unsupported_grant_type",
        ),
        (
            "assertion grant",
            |f| f.set("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            BAD,
            "unsupported_grant_type",
        ),
        (
            "no client",
            |f| f.without("client_id"),
            StatusCode::UNAUTHORIZED,
            "invalid_client",
        ),
        (
            "unknown client",
            |f| f.set("client_id", "mcp_client_nobody"),
            StatusCode::UNAUTHORIZED,
            "invalid_client",
        ),
        (
            "a machine's grant for a public client",
            |f| f.set("grant_type", "client_credentials"),
            BAD,
            "unauthorized_client",
        ),
    ];
    for (name, bend, status, error) in rows {
        let code = town.code().await;
        let mut form = town.exchange(&code);
        bend(&mut form);
        let reply = town.token(&form).await;
        assert_eq!(reply.status, *status, "{name}: {}", reply.text());
        assert_eq!(reply.json()["error"], *error, "{name}");
        // RFC 6749 section 5.1: no cache keeps what a token endpoint says.
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{name}");
        town.told(name, &reply).await;
    }
}

#[tokio::test]
async fn rfc6749_s10_5_a_code_that_comes_again_ends_what_it_gave() {
    let town = Town::start().await;
    let code = town.code().await;
    let (access, refresh) = pair(&town.token(&town.exchange(&code)).await);
    assert_eq!(town.knock(&access).await, StatusCode::OK);
    let again = town.token(&town.exchange(&code)).await;
    assert_eq!(
        (again.status, &again.json()["error"]),
        (BAD, &Value::from("invalid_grant"))
    );
    town.told("replayed code", &again).await;
    assert_eq!(town.knock(&access).await, StatusCode::UNAUTHORIZED);
    let refreshed = town.token(&town.refreshing(&refresh)).await;
    assert_eq!(refreshed.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn rfc9700_s4_5_a_code_that_another_client_stole_is_worth_nothing() {
    let town = Town::start().await;
    let thief = town.registered(&[REDIRECT]).await;
    let code = town.code().await;
    let mut form = town.exchange(&code);
    form.set("client_id", &thief);
    let reply = town.token(&form).await;
    assert_eq!(reply.json()["error"], "invalid_grant");
    town.told("code injection", &reply).await;
}

#[tokio::test]
async fn rfc9700_s4_14_2_a_refresh_token_that_comes_again_ends_its_family() {
    let town = Town::start().await;
    let (_, first) = town.tokens().await;
    let (access, second) = pair(&town.token(&town.refreshing(&first)).await);
    // Whoever uses the second one proves that the first answer arrived: from now on the first is a stolen one.
    let (_, third) = pair(&town.token(&town.refreshing(&second)).await);
    let reused = town.token(&town.refreshing(&first)).await;
    assert_eq!(reused.json()["error"], "invalid_grant");
    let line = town.told("reused refresh token", &reused).await;
    assert!(line.to_string().contains("reuse"), "{line}");
    let latest = town.token(&town.refreshing(&third)).await;
    assert_eq!(latest.json()["error"], "invalid_grant");
    assert_eq!(town.knock(&access).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn bent_refreshes_are_refused_with_their_error() {
    let town = Town::start().await;
    let thief = town.registered(&[REDIRECT]).await;
    let narrow = {
        let mut asked = town.honest();
        asked.set("scope", "mcp:read");
        asked
    };
    let code = town.code_for(&narrow).await;
    let (access, refresh) = pair(&town.token(&town.exchange(&code)).await);
    for (name, bend, error) in [
        (
            "a scope more",
            Box::new(|f: &mut Fields| f.set("scope", "mcp:read mcp:write"))
                as Box<dyn Fn(&mut Fields)>,
            "invalid_scope",
        ),
        (
            "another client",
            Box::new(|f| f.set("client_id", &thief)),
            "invalid_grant",
        ),
        (
            "another resource",
            Box::new(|f| f.set("resource", "https://evil.test/mcp")),
            "invalid_target",
        ),
        (
            "an access token for a refresh token",
            Box::new(|f| f.set("refresh_token", &access)),
            "invalid_grant",
        ),
        (
            "one letter changed",
            Box::new(|f| {
                f.set(
                    "refresh_token",
                    &format!("{}A", &refresh[..refresh.len() - 1]),
                )
            }),
            "invalid_grant",
        ),
        (
            "no token",
            Box::new(|f| f.without("refresh_token")),
            "invalid_request",
        ),
    ] {
        let mut form = town.refreshing(&refresh);
        bend(&mut form);
        let reply = town.token(&form).await;
        assert_eq!(
            (reply.status, &reply.json()["error"]),
            (BAD, &Value::from(error)),
            "{name}"
        );
        town.told(name, &reply).await;
    }
    // None of that ended the honest client's login.
    let fresh = town.token(&town.refreshing(&refresh)).await;
    let granted = fresh.json()["scope"].as_str().unwrap().to_owned();
    assert!(!granted.contains("mcp:write"), "{granted}");
}

#[tokio::test]
async fn rfc8707_s2_a_token_for_one_resource_opens_no_other() {
    let town = Town::with(|plan| {
        plan.routes(
            "routes:
  - { name: one, path: /mcp, upstream: { url: http://127.0.0.1:1/mcp } }
  - { name: two, path: /two/mcp, upstream: { url: http://127.0.0.1:1/mcp } }",
        )
    })
    .await;
    let (access, _) = town.tokens().await;
    let url = format!("{PUBLIC}/two/mcp");
    let there = Mcp::at(&town.client, &url).with_token(&access);
    assert_eq!(knock(&there).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn guessing_at_the_token_endpoint_is_throttled() {
    let town = Town::start().await;
    let mut last = None;
    for guess in 0..200 {
        let mut form = town.exchange(&format!("mcp_ac_guess{guess}"));
        form.set("client_id", &town.client_id);
        let reply = town.token(&form).await;
        if reply.status == StatusCode::TOO_MANY_REQUESTS {
            assert!(reply.header("retry-after").is_some());
            last = Some(reply);
            break;
        }
        assert_eq!(reply.json()["error"], "invalid_grant");
    }
    let throttled = last.expect("200 guesses without an end");
    town.told("brute force", &throttled).await;
}

#[tokio::test]
async fn rfc7662_s2_1_strangers_learn_nothing_about_tokens() {
    let town = Town::start().await;
    let (access, _) = town.tokens().await;
    for (name, headers) in [
        ("nobody", vec![]),
        (
            "a made-up client",
            vec![("authorization", "Basic bm9ib2R5OmNhbmFyeQ==")],
        ),
        (
            "the token itself",
            vec![("authorization", "Bearer canary-not-a-real-token")],
        ),
    ] {
        let form = fields(&[("token", &access)]);
        let reply = town.post_with("/oauth/introspect", &form, &headers).await;
        assert_eq!(
            reply.status,
            StatusCode::UNAUTHORIZED,
            "{name}: {}",
            reply.text()
        );
        assert!(!reply.text().contains("active"), "{name}");
        town.told(name, &reply).await;
    }
}

#[tokio::test]
async fn rfc7009_s2_1_a_client_ends_its_own_tokens_and_nobody_elses() {
    let town = Town::start().await;
    let thief = town.registered(&[REDIRECT]).await;
    let (access, refresh) = town.tokens().await;
    let foreign = fields(&[("token", refresh.as_str()), ("client_id", &thief)]);
    let reply = town.post("/oauth/revoke", &foreign).await;
    assert!(matches!(
        reply.status,
        StatusCode::OK | StatusCode::BAD_REQUEST
    ));
    assert_eq!(
        town.knock(&access).await,
        StatusCode::OK,
        "the thief ended it"
    );
    let own = fields(&[("token", refresh.as_str()), ("client_id", &town.client_id)]);
    assert_eq!(
        town.post("/oauth/revoke", &own).await.status,
        StatusCode::OK
    );
    assert_eq!(town.knock(&access).await, StatusCode::UNAUTHORIZED);
    let refreshed = town.token(&town.refreshing(&refresh)).await;
    assert_eq!(refreshed.json()["error"], "invalid_grant");
}
