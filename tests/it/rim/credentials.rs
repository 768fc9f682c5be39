//! Stage 3 over the wire: every way to come without a good token, the exact body and challenge of each refusal, and the
//! documents that tell where tokens come from.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request};
use serde_json::{Value, json};

use crate::harness::audit;
use crate::harness::client::{Http, Reply};
use crate::harness::gateway::{KEY, PUBLIC, Rig, Who};
use crate::harness::mcp::{Draft, Mcp, set};
use crate::harness::signer::{Signer, b64};
use crate::harness::tokens;

const METADATA: &str = "https://localhost/.well-known/oauth-protected-resource/mcp";

fn now() -> i64 {
    sallygate::clock::Clock::system().now().seconds()
}

fn claims() -> Value {
    json!({"iss": PUBLIC, "sub": "user_alice", "aud": format!("{PUBLIC}/mcp"), "exp": now() + 3600,
        "iat": now(), "nbf": now(), "jti": "jti_1", "team_id": "1", "tier": "free"})
}

fn header() -> Value {
    json!({"alg": "HS256", "typ": "JWT", "kid": "proof"})
}

/// A token whose header and claims were changed before it was signed with the right key.
fn changed(change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let (mut header, mut claims) = (header(), claims());
    change(&mut header, &mut claims);
    tokens::signed(&header, &claims, KEY.as_bytes())
}

fn without(claim: &'static str) -> String {
    changed(|_, claims| {
        claims.as_object_mut().unwrap().remove(claim);
    })
}

async fn ping(caller: &Mcp) -> Reply {
    caller.legacy("ping", json!({})).await
}

/// The refusal has exactly this body and challenge, and was written down as nobody's.
fn refused(reply: &Reply, status: u16, error: &Value, challenge_error: Option<&str>) {
    assert_eq!(reply.status, status, "{reply:?}");
    let id = reply.header("x-request-id").unwrap();
    assert_eq!(reply.json(), json!({"error": error, "request_id": id}));
    let challenge = reply.header("www-authenticate").unwrap();
    assert!(
        challenge.starts_with(&format!("Bearer resource_metadata=\"{METADATA}\"")),
        "{challenge}"
    );
    assert!(
        challenge.ends_with("scope=\"mcp:read mcp:write\""),
        "{challenge}"
    );
    match challenge_error {
        Some(code) => assert!(
            challenge.contains(&format!("error=\"{code}\"")),
            "{challenge}"
        ),
        None => assert!(!challenge.contains("error="), "{challenge}"),
    }
}

#[tokio::test]
async fn rfc9728_s5_1_nobody_is_challenged_without_an_error() {
    let rig = Rig::start().await;
    let error = json!({"code": "unauthorized", "message": "Authentication required"});
    for http in [Http::One, Http::Two] {
        let caller = rig.stranger(http);
        refused(&ping(&caller).await, 401, &error, None);
        for scheme in ["Basic YTpi", "DPoP a.b.c", "Digest username=\"a\""] {
            let mut draft = caller.legacy_draft("ping", json!({}));
            set(&mut draft, "authorization", scheme);
            refused(&caller.send(draft).await, 401, &error, None);
        }
    }
    rig.upstream.saw_nothing();
    let lines = audit::wait_for(rig.audit_dir(), 8).await;
    assert!(lines.iter().all(|line| line["user_id"].is_null()));
}

#[tokio::test]
async fn r427_an_altered_token_is_an_invalid_signature() {
    let rig = Rig::start().await;
    let token = rig.token(&Who::new("alice"));
    let (content, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = content.split_once('.').unwrap();
    let other = tokens::signed(
        &self::header(),
        &claims(),
        b"canary-not-a-real-key-that-is-another",
    );
    let promoted = changed(|_, claims| claims["tier"] = "enterprise".into());
    let promoted = promoted.split('.').nth(1).unwrap().to_owned();
    let error = json!({"code": "invalid_token", "message": "JWT token is invalid",
        "details": {"reason": "invalid_signature"}});
    for (what, forged) in [
        ("another key", other.clone()),
        (
            "another's signature",
            format!("{content}.{}", other.rsplit('.').next().unwrap()),
        ),
        ("a better tier", format!("{header}.{promoted}.{signature}")),
        (
            "another payload",
            format!("{header}.{payload}.{}", b64(&[7; 32])),
        ),
    ] {
        let caller = rig.stranger(Http::Two).with_token(&forged);
        let reply = ping(&caller).await;
        refused(&reply, 401, &error, Some("invalid_token"));
        assert_ne!(forged, token, "{what}");
    }
    rig.upstream.saw_nothing();
}

#[tokio::test]
async fn r428_an_expired_token_says_since_when() {
    let rig = Rig::start().await;
    let expired = changed(|_, claims| {
        claims["iat"] = 1_730_110_000.into();
        claims["nbf"] = 1_730_110_000.into();
        claims["exp"] = 1_730_116_800.into();
    });
    let error = json!({"code": "token_expired", "message": "JWT token has expired",
        "details": {"expired_at": "2024-10-28T12:00:00Z"}});
    let caller = rig.stranger(Http::One).with_token(&expired);
    refused(&ping(&caller).await, 401, &error, Some("invalid_token"));
}

#[tokio::test]
async fn r439_clocks_may_differ_by_a_minute_and_no_more() {
    let rig = Rig::start().await;
    let expired = |ago: i64| changed(|_, claims| claims["exp"] = (now() - ago).into());
    let early = |ahead: i64| changed(|_, claims| claims["nbf"] = (now() + ahead).into());
    for (token, status) in [
        (expired(62), 401),
        (early(120), 401),
        (expired(30), 200),
        (early(30), 200),
    ] {
        let caller = rig.stranger(Http::One).with_token(&token);
        rig.upstream
            .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
        assert_eq!(ping(&caller).await.status, status);
    }
}

#[tokio::test]
async fn r429_r430_r431_what_is_no_token_is_malformed() {
    let rig = Rig::start().await;
    let token = rig.token(&Who::new("alice"));
    let (content, signature) = token.rsplit_once('.').unwrap();
    let (head, payload) = content.split_once('.').unwrap();
    let error = json!({"code": "token_malformed", "message": "JWT token format is invalid"});
    for malformed in [
        "x".into(),
        ".".into(),
        "..".into(),
        content.to_owned(),
        format!("{content}."),
        format!("{token}."),
        format!("{token}.{signature}"),
        format!("{token}="),
        format!("{head}.{payload}+.{signature}"),
        format!("{head}./{payload}.{signature}"),
        format!("{head}.{payload}.{signature}\u{a1}"),
        format!("{}.{payload}.{signature}", b64(b"[]")),
        format!("{}.{payload}.{signature}", b64(b"{")),
        format!("{head}.{}.{signature}", b64(b"null")),
        "a".repeat(9 * 1024),
        format!("{content}.{}", "A".repeat(9 * 1024)),
    ] {
        let caller = rig.stranger(Http::One);
        let mut draft = caller.legacy_draft("ping", json!({}));
        let value =
            hyper::header::HeaderValue::from_bytes(format!("Bearer {malformed}").as_bytes());
        draft.headers_mut().insert("authorization", value.unwrap());
        refused(
            &caller.send(draft).await,
            401,
            &error,
            Some("invalid_token"),
        );
    }
    for spaced in [
        format!("{content} .{signature}"),
        format!("{head}.{payload}\t.{signature}"),
    ] {
        let caller = rig.stranger(Http::One);
        let mut draft = caller.legacy_draft("ping", json!({}));
        set(&mut draft, "authorization", &format!("Bearer {spaced}"));
        let reply = caller.send(draft).await;
        assert_eq!(
            reply.json()["error"]["code"],
            "token_malformed",
            "{reply:?}"
        );
    }
    rig.upstream.saw_nothing();
}

#[tokio::test]
async fn forged_headers_and_claims_are_refused_with_their_reason() {
    let rig = Rig::start().await;
    let none = |alg: &str| {
        let header = json!({"alg": alg, "typ": "JWT", "kid": "proof"});
        let unsigned = tokens::unsigned(&header, &claims());
        format!("{unsigned}.{}", b64(b"x"))
    };
    let rsa = Signer::rs256("proof");
    let signed_by_rsa = rsa.token(&claims());
    for (token, reason) in [
        (none("none"), "wrong_algorithm"),
        (none("None"), "wrong_algorithm"),
        (none(""), "wrong_algorithm"),
        (none("HS512"), "wrong_algorithm"),
        (signed_by_rsa, "wrong_algorithm"),
        (
            changed(|header, _| header["kid"] = "other".into()),
            "unknown_key",
        ),
        (
            changed(|header, _| header["kid"] = "../../dev/null".into()),
            "unknown_key",
        ),
        (
            changed(|header, _| header["kid"] = "proof' OR '1'='1".into()),
            "unknown_key",
        ),
        (
            changed(|header, _| header["kid"] = json!(["proof"])),
            "invalid_header",
        ),
        (
            changed(|header, _| header["kid"] = "k".repeat(3000).into()),
            "invalid_header",
        ),
        (
            changed(|header, _| header["crit"] = json!(["exp"])),
            "invalid_header",
        ),
        (
            changed(|header, _| header["b64"] = false.into()),
            "invalid_header",
        ),
        (
            changed(|header, _| header["zip"] = "DEF".into()),
            "invalid_header",
        ),
        (
            changed(|_, claims| claims["iss"] = "https://evil.test".into()),
            "wrong_issuer",
        ),
        (
            changed(|_, claims| claims["iss"] = format!("{PUBLIC}/").into()),
            "wrong_issuer",
        ),
        (
            changed(|_, claims| claims["aud"] = "https://localhost/other".into()),
            "wrong_audience",
        ),
        (
            changed(|_, claims| claims["aud"] = "https://evil.test/mcp".into()),
            "wrong_audience",
        ),
        (
            changed(|_, claims| claims["aud"] = PUBLIC.into()),
            "wrong_audience",
        ),
        (
            changed(|_, claims| claims["nbf"] = (now() + 3600).into()),
            "not_yet_valid",
        ),
        (
            changed(|_, claims| claims["iat"] = (now() + 3600).into()),
            "not_yet_valid",
        ),
        (
            changed(|_, claims| claims["exp"] = "soon".into()),
            "invalid_claim",
        ),
        (
            changed(|_, claims| claims["sub"] = "".into()),
            "invalid_claim",
        ),
        (without("exp"), "missing_claim"),
        (without("sub"), "missing_claim"),
        (without("aud"), "missing_claim"),
        (without("team_id"), "missing_claim"),
    ] {
        let caller = rig.stranger(Http::Two).with_token(&token);
        let reply = ping(&caller).await;
        assert_eq!(reply.status, 401, "{reason}");
        let error = &reply.json()["error"];
        assert_eq!(error["code"], "invalid_token", "{reason}: {error}");
        assert_eq!(error["details"]["reason"], reason, "{error}");
    }
    rig.upstream.saw_nothing();
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    let caller = rig.stranger(Http::Two).with_token(&changed(|_, _| {}));
    assert_eq!(ping(&caller).await.status, 200, "only the change was wrong");
}

/// A key that comes with the token is the caller's own word: it is neither used nor fetched.
#[tokio::test]
async fn a_key_that_a_token_brings_or_names_is_not_used() {
    let rig = Rig::start().await;
    let own = b"canary-not-a-real-key-that-the-caller-has-made";
    let place = rig.upstream.url();
    for (member, value) in [
        (
            "jwk",
            json!({"kty": "oct", "k": b64(own), "kid": "proof", "alg": "HS256"}),
        ),
        ("jku", json!(place)),
        ("x5u", json!(place)),
        ("x5c", json!([b64(own)])),
    ] {
        let mut header = header();
        header[member] = value;
        let token = tokens::signed(&header, &claims(), own);
        let caller = rig.stranger(Http::One).with_token(&token);
        let reply = ping(&caller).await;
        let error = &reply.json()["error"];
        assert_eq!(reply.status, 401, "{member}");
        assert_eq!(error["details"]["reason"], "invalid_signature", "{member}");
    }
    assert_eq!(rig.upstream.connections(), 0);
}

fn bare(uri: &str, method: Method) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(uri);
    request.body(Full::default()).unwrap()
}

#[tokio::test]
async fn r400_r447_a_token_anywhere_but_in_its_header_is_refused_even_if_it_is_good() {
    let rig = Rig::start().await;
    let token = rig.token(&Who::new("alice"));
    let error = json!({"code": "invalid_request",
        "message": "Send exactly one credential, in the Authorization header of the request"});
    for query in [
        format!("access_token={token}"),
        format!("x=1&access_token={token}"),
        format!("%61ccess_token={token}"),
    ] {
        for with_header in [false, true] {
            let caller = rig.stranger(Http::One);
            let mut draft: Draft = caller.legacy_draft("ping", json!({}));
            *draft.uri_mut() = format!("{PUBLIC}/mcp?{query}").parse().unwrap();
            if with_header {
                set(&mut draft, "authorization", &format!("Bearer {token}"));
            }
            let reply = caller.send(draft).await;
            refused(&reply, 400, &error, Some("invalid_request"));
        }
    }
    let caller = rig.caller("alice");
    let mut twice = caller.legacy_draft("ping", json!({}));
    let second = format!("Bearer {token}").parse().unwrap();
    twice.headers_mut().append("authorization", second);
    refused(
        &caller.send(twice).await,
        400,
        &error,
        Some("invalid_request"),
    );
    let mut listed = caller.legacy_draft("ping", json!({}));
    set(
        &mut listed,
        "authorization",
        &format!("Bearer {token}, Bearer {token}"),
    );
    let reply = caller.send(listed).await;
    assert!([400, 401].contains(&reply.status.as_u16()), "{reply:?}");
    let cookie = rig.stranger(Http::One);
    let mut draft = cookie.legacy_draft("ping", json!({}));
    set(&mut draft, "cookie", &format!("access_token={token}"));
    assert_eq!(cookie.send(draft).await.status, 401);
    rig.upstream.saw_nothing();
}

#[tokio::test]
async fn rfc9728_s3_metadata_is_at_both_places_for_everybody_and_for_get_alone() {
    let rig = Rig::start().await;
    let places = [
        format!("{PUBLIC}/.well-known/oauth-protected-resource"),
        METADATA.to_owned(),
    ];
    for http in [Http::One, Http::Two] {
        let client = rig.client(http);
        for place in &places {
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                let reply = client.send(bare(place, method)).await;
                assert_eq!(reply.status, 405, "{reply:?}");
                assert_eq!(reply.header("allow"), Some("GET"));
            }
            let reply = client.get(place).await;
            assert_eq!(reply.status, 200);
            assert_eq!(reply.header("content-type"), Some("application/json"));
            assert_eq!(
                reply.json(),
                json!({"resource": format!("{PUBLIC}/mcp"), "authorization_servers": [PUBLIC],
                    "scopes_supported": ["mcp:read", "mcp:write"],
                    "bearer_methods_supported": ["header"], "resource_name": "default"})
            );
        }
        for other in ["/x", "/mcp/", "mcp", "/mcp/x"] {
            let reply = client.get(&format!("{}{other}", places[0])).await;
            assert_eq!(reply.status, 404, "{other}");
        }
    }
}

#[tokio::test]
async fn r125_what_a_caller_says_about_itself_beside_its_token_counts_for_nothing() {
    let rig = Rig::start().await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}));
    let caller = rig.caller("alice");
    let params = json!({"name": "echo", "arguments": {}, "user_id": "user_root", "tier": "enterprise",
        "_meta": {"user_id": "user_root", "tier": "enterprise"}});
    let mut draft = caller.legacy_draft("tools/call", params);
    for name in [
        "x-user",
        "x-user-id",
        "x-tier",
        "x-team-id",
        "x-forwarded-user",
        "remote-user",
    ] {
        set(&mut draft, name, "user_root");
    }
    assert_eq!(caller.send(draft).await.status, 200);
    let line = audit::line_of(rig.audit_dir(), |line| line["tool_name"] == "echo").await;
    assert_eq!(line["user_id"], "alice");
    assert_eq!(line["team_id"], "team-1");
    assert_eq!(line["details"]["tier"], "free");
    let seen = rig.upstream.only_request();
    let spoofed = seen.headers.iter().find(|(_, value)| *value == "user_root");
    assert_eq!(spoofed, None);
}
