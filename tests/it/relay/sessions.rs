//! Legacy sessions: the caller holds a sealed id, which opens for its own user on its own route and for nobody else.

use hyper::{Method, StatusCode};
use serde_json::json;

use super::{Sample, result};
use crate::harness::audit;
use crate::harness::gateway::{Plan, Rig, Who};
use crate::harness::mcp::{Draft, Mcp, set};
use crate::harness::upstream::{Answer, FakeUpstream};

/// The id that the fake gives out.
const OWN: &str = "canary-not-a-real-upstream-session";

fn opened() -> Answer {
    let welcome = json!({"protocolVersion": "2025-11-25", "capabilities": {},
        "serverInfo": {"name": "fake", "version": "0"}});
    Answer::json(&result(&welcome)).header("mcp-session-id", OWN)
}

/// A caller with a session at the fake.
async fn in_session(rig: &Rig, user: &str) -> Mcp {
    let mut caller = rig.caller(user);
    rig.upstream.will(opened()).will(Answer::status(202));
    caller.initialize().await.result();
    caller
}

/// Everything that can be done with a session.
fn uses(caller: &Mcp) -> Vec<Draft> {
    vec![
        caller.legacy_draft("tools/call", json!({"name": "echo", "arguments": {}})),
        caller.legacy_draft("tools/list", json!({})),
        caller.legacy_body(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})),
        caller.legacy_body(&json!({"jsonrpc": "2.0", "id": 1, "result": {}})),
        caller.legacy_bare(Method::GET),
        caller.legacy_bare(Method::DELETE),
    ]
}

#[tokio::test]
async fn r013_a_session_id_that_is_not_the_callers_is_unknown_in_every_method() {
    let rig = Plan::new().start().await;
    let alice = in_session(&rig, "alice").await;
    let sealed = alice.session().unwrap().to_owned();
    let before = rig.upstream.seen().len();
    let mut changed = sealed.clone();
    let last = if changed.ends_with('A') { 'B' } else { 'A' };
    changed.pop();
    changed.push(last);
    let forged = [
        (rig.caller("bob"), sealed.clone()),
        (rig.caller("alice"), OWN.to_owned()),
        (rig.caller("alice"), sealed[..sealed.len() - 2].to_owned()),
        (rig.caller("alice"), format!("{sealed}A")),
        (rig.caller("alice"), format!("B{}", &sealed[1..])),
        (rig.caller("alice"), changed),
        (rig.caller("alice"), "0".into()),
        (rig.caller("alice"), "A".repeat(4096)),
    ];
    for (caller, session) in forged {
        let caller = caller.in_session(&session);
        for draft in uses(&caller) {
            let method = draft.method().clone();
            let reply = caller.send(draft).await;
            assert_eq!(reply.status, StatusCode::NOT_FOUND, "{method} {session}");
            assert_eq!(reply.error_code(), Some(404), "{method} {session}");
        }
    }
    assert_eq!(
        rig.upstream.seen().len(),
        before,
        "the upstream heard of none"
    );
    let lines = audit::wait_for_those_with(rig.audit_dir(), "foreign_session", 8 * 6).await;
    assert_eq!(lines.len(), 8 * 6);
    assert!(
        lines.iter().all(|line| line["severity"] == "high"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn r013_a_doubled_or_empty_session_header_is_refused() {
    let rig = Plan::new().start().await;
    let alice = in_session(&rig, "alice").await;
    let before = rig.upstream.seen().len();
    for mut draft in uses(&alice) {
        let own = draft.headers()["mcp-session-id"].clone();
        draft.headers_mut().append("mcp-session-id", own);
        assert_eq!(alice.send(draft).await.status, 404);
    }
    for mut draft in uses(&alice) {
        set(&mut draft, "mcp-session-id", "");
        assert_eq!(alice.send(draft).await.status, 404);
    }
    assert_eq!(rig.upstream.seen().len(), before);
}

#[tokio::test]
async fn r013_a_session_of_one_route_is_unknown_on_another() {
    let (a, b) = (FakeUpstream::start().await, FakeUpstream::start().await);
    let routes = format!(
        "routes:\n  - {{ name: a, path: /a/mcp, upstream: {{ url: \"{}\" }} }}\n  - {{ name: b, path: /b/mcp, upstream: {{ url: \"{}\" }} }}",
        a.url(),
        b.url()
    );
    let rig = Plan::new().routes(&routes).before(a).await;
    let mut at_a = rig.caller_at("/a/mcp", &Who::new("alice"));
    rig.upstream.will(opened()).will(Answer::status(202));
    at_a.initialize().await.result();
    let at_b = rig
        .caller_at("/b/mcp", &Who::new("alice"))
        .in_session(at_a.session().unwrap());
    for draft in uses(&at_b) {
        assert_eq!(at_b.send(draft).await.status, 404);
    }
    b.saw_nothing();
}

#[tokio::test]
async fn r013_the_owner_uses_the_session_with_any_of_its_tokens() {
    let rig = Plan::new().start().await;
    let alice = in_session(&rig, "alice").await;
    let sealed = alice.session().unwrap();
    assert_ne!(sealed, OWN);
    assert!(!sealed.contains("canary"));
    assert!(sealed.bytes().all(|byte| byte.is_ascii_graphic()));
    // The second half of the handshake was already in the session.
    let seen = rig.upstream.seen();
    assert_eq!(seen[0].header("mcp-session-id"), None);
    assert_eq!(seen[1].header("mcp-session-id"), Some(OWN));
    let again = rig
        .caller_by(
            crate::harness::client::Http::Two,
            &Who::new("alice").scopes(&["mcp:read"]),
        )
        .in_session(sealed);
    for draft in uses(&again) {
        rig.upstream.will(match *draft.method() == Method::GET {
            true => Answer::bytes("").header("content-type", "text/event-stream"),
            false => Answer::json(&result(&json!({}))),
        });
        assert_eq!(again.send(draft).await.status, 200);
    }
    for seen in &rig.upstream.seen()[2..] {
        assert_eq!(seen.header("mcp-session-id"), Some(OWN));
        assert!(!seen.mentions(sealed));
    }
}

#[tokio::test]
async fn mcp_2026_07_28_the_modern_era_has_no_sessions() {
    let rig = Plan::new().start().await;
    let caller = rig.caller("alice");
    rig.upstream.always(&result(&json!({"content": []})));
    for session in ["anything", OWN] {
        let mut draft = caller.modern_draft("tools/call", json!({"name": "echo"}));
        set(&mut draft, "mcp-session-id", session);
        caller.send(draft).await.result();
    }
    for seen in rig.upstream.seen() {
        assert_eq!(seen.header("mcp-session-id"), None);
    }
}

#[tokio::test]
async fn only_the_answer_to_initialize_opens_a_session() {
    let rig = Plan::new().start().await;
    let caller = rig.caller("alice");
    for draft in [
        caller.legacy_draft("ping", json!({})),
        caller.modern_draft("tools/list", json!({})),
    ] {
        rig.upstream
            .will(Answer::json(&result(&json!({"tools": []}))).header("mcp-session-id", OWN));
        let reply = caller.send(draft).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("mcp-session-id"), None);
    }
}

#[tokio::test]
async fn an_upstream_session_id_that_is_none_is_refused() {
    let rig = Plan::new().start().await;
    for id in ["a b", "", &"x".repeat(1025), &"x".repeat(2048)] {
        rig.upstream
            .will(Answer::json(&result(&json!({}))).header("mcp-session-id", id));
        let caller = rig.caller("alice");
        let reply = caller
            .legacy("initialize", json!({"protocolVersion": "2025-11-25"}))
            .await;
        assert_eq!(reply.status, 502, "{id}: {reply:?}");
        assert_eq!(reply.error_code(), Some(502));
        assert_eq!(reply.header("mcp-session-id"), None);
    }
}

#[tokio::test]
async fn r013_sessions_work_through_to_the_sample_server() {
    let sample = Sample::start().await;
    let rig = Plan::new().url(&sample.url).start().await;
    let mut alice = rig.caller("alice");
    alice.initialize().await.result();
    alice
        .call_legacy("echo", json!({"text": "hi"}))
        .await
        .result();
    let ended = alice.send(alice.legacy_bare(Method::DELETE)).await;
    assert!(ended.status.is_success(), "{ended:?}");
    let reply = alice.legacy("tools/list", json!({})).await;
    assert_eq!(reply.status, 404, "the upstream's own refusal passes");
}
