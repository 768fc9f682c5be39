//! Who somebody is, is said by the token and by nothing else: on every route, by every method, in every request, whatever
//! the body and the headers claim; and what one user does changes nothing for another.

use hyper::Method;
use serde_json::{Value, json};

use crate::harness::audit;
use crate::harness::client::Http;
use crate::harness::gateway::{KEY, PUBLIC, Plan, Rig, Who};
use crate::harness::mcp::{Mcp, set};
use crate::harness::tokens;
use crate::harness::upstream::Answer;

const TWO_ROUTES: &str = "routes:
  - { name: default, path: /mcp, upstream: { url: \"http://127.0.0.1:1/mcp\" } }
  - { name: other, path: /other/mcp, upstream: { url: \"http://127.0.0.1:1/mcp\" } }";

fn claims(path: &str) -> Value {
    let now = sallygate::clock::Clock::system().now().seconds();
    json!({"iss": PUBLIC, "sub": "user_alice", "aud": format!("{PUBLIC}{path}"), "exp": now + 3600, "iat": now,
        "jti": "jti_1", "team_id": "1", "tier": "free"})
}

/// Tokens for this path of which each lacks something, and why it is refused.
fn bad_tokens(path: &str) -> Vec<(String, &'static str)> {
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": "proof"});
    let without = |claim: &str| {
        let mut claims = claims(path);
        claims.as_object_mut().unwrap().remove(claim);
        tokens::signed(&header, &claims, KEY.as_bytes())
    };
    let forged = tokens::signed(
        &header,
        &claims(path),
        b"another key that is long enough too",
    );
    vec![
        (without("sub"), "missing_claim"),
        (without("team_id"), "missing_claim"),
        (forged, "invalid_signature"),
    ]
}

#[tokio::test]
async fn r037_r122_r123_r385_every_route_and_method_asks_for_a_whole_token_every_time() {
    let rig = Plan::new().routes(TWO_ROUTES).start().await;
    for path in ["/mcp", "/other/mcp"] {
        let at = Mcp::at(&rig.client(Http::One), &format!("{PUBLIC}{path}"));
        let good = at
            .clone()
            .with_token(&rig.token(&Who::new("alice").of(path)));
        for method in [Method::POST, Method::GET, Method::DELETE] {
            let draft = |caller: &Mcp| match method {
                Method::POST => caller.legacy_draft("ping", json!({})),
                _ => caller.legacy_bare(method.clone()),
            };
            // A good request just before does not help a bad one on the same connection.
            assert_ne!(good.send(draft(&good)).await.status, 401, "{method} {path}");
            let nobody = at.send(draft(&at)).await;
            assert_eq!(nobody.status, 401, "{method} {path}");
            assert!(
                nobody
                    .header("www-authenticate")
                    .unwrap()
                    .starts_with("Bearer ")
            );
            for (token, reason) in bad_tokens(path) {
                let caller = at.clone().with_token(&token);
                let refused = caller.send(draft(&caller)).await;
                assert_eq!(refused.status, 401, "{method} {path} {reason}");
                assert_eq!(refused.json()["error"]["details"]["reason"], reason);
                assert!(refused.header("www-authenticate").is_some());
            }
        }
    }
}

#[tokio::test]
async fn r163_r450_users_named_in_bodies_and_headers_are_nobody() {
    let rig = Rig::start().await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}));
    let alice = rig.caller("alice");
    let arguments =
        json!({"user_id": "bob", "sub": "user_bob", "tier": "enterprise", "team_id": "9"});
    let mut draft = alice.modern_draft(
        "tools/call",
        json!({"name": "echo", "arguments": arguments}),
    );
    for (name, value) in [
        ("x-user-id", "bob"),
        ("x-forwarded-user", "bob"),
        ("x-tier", "enterprise"),
    ] {
        set(&mut draft, name, value);
    }
    assert_eq!(alice.send(draft).await.status, 200);
    let line = audit::line_of(rig.audit_dir(), |line| line["tool_name"] == "echo").await;
    assert_eq!(
        (&line["user_id"], &line["details"]["tier"]),
        (&json!("alice"), &json!("free"))
    );
    assert_eq!(line["team_id"], "team-1");
    for name in ["x-user-id", "x-forwarded-user", "x-tier"] {
        assert_eq!(rig.upstream.only_request().header(name), None);
    }
}

#[tokio::test]
async fn r012_r449_what_is_remembered_of_one_user_is_not_shown_to_another() {
    let rules = "policy: { tiers: { free: { tools: { disabled: [secret_tool] } } } }";
    let rig = Plan::new().settings(rules).start().await;
    let tools =
        json!([{"name": "echo", "inputSchema": {}}, {"name": "secret_tool", "inputSchema": {}}]);
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}}));
    let premium = rig.caller_by(Http::Two, &Who::new("paula").tier("premium"));
    let free = rig.caller_by(Http::Two, &Who::new("fred"));
    // Each is asked first once, and both again when everything about both is remembered.
    let (premium, free) = ((premium, true), (free, false));
    for pair in [[&premium, &free], [&free, &premium], [&premium, &free]] {
        for (caller, sees) in pair {
            let list = caller.legacy("tools/list", json!({})).await;
            assert_eq!(list.text().contains("secret_tool"), *sees);
        }
    }
}

#[tokio::test]
async fn r193_a_call_is_written_down_with_its_time_and_its_outcome() {
    let rig = Rig::start().await;
    let alice = rig.caller("alice");
    let answer =
        |result: Value| Answer::json(&json!({"jsonrpc": "2.0", "id": 1, "result": result}));
    rig.upstream
        .will(answer(json!({"content": [], "isError": true})));
    alice.call("fails", json!({})).await;
    rig.upstream.will(answer(json!({"content": []})));
    alice.call("works", json!({})).await;
    for (tool, status) in [("fails", "error"), ("works", "success")] {
        let line = audit::line_of(rig.audit_dir(), |line| line["tool_name"] == tool).await;
        assert_eq!(
            (&line["status"], &line["event_type"]),
            (&json!(status), &json!("tool_invocation"))
        );
        assert!(line["duration_ms"].as_u64().unwrap() > 0);
    }
}

#[tokio::test]
async fn r451_r457_r458_r536_every_attempt_leaves_its_line_with_the_reason() {
    let rig = Rig::start().await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    let stranger = rig.stranger(Http::One);
    let mut reasons = vec!["missing_credential"];
    stranger.legacy("ping", json!({})).await;
    for (token, reason) in bad_tokens("/mcp") {
        stranger
            .clone()
            .with_token(&token)
            .legacy("ping", json!({}))
            .await;
        reasons.push(reason);
    }
    rig.caller("alice").legacy("ping", json!({})).await;
    let line = |line: &Value| line["rpc_method"] == "ping";
    audit::line_of(rig.audit_dir(), line).await;
    let lines = audit::lines(rig.audit_dir());
    let failures: Vec<_> = lines
        .iter()
        .filter(|line| line["event_type"] == "auth_failure")
        .collect();
    let found: Vec<_> = failures
        .iter()
        .map(|line| line["reason"].as_str().unwrap())
        .collect();
    assert_eq!(found, reasons, "one line an attempt, in order");
    assert!(
        failures
            .iter()
            .all(|line| line["severity"] == "medium" && line["user_id"].is_null())
    );
}
