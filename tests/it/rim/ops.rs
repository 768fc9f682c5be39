//! The operators' listener: what it answers to whom, that nobody can make it grow, and that it says "not ready" as soon as
//! the gateway drains.

use std::collections::BTreeSet;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request};
use serde_json::json;

use crate::harness::audit;
use crate::harness::client::{Client, Http, Reply};
use crate::harness::gateway::{PUBLIC, Plan, Rig, Who};
use crate::harness::mcp::set;
use crate::harness::upstream::Answer;
use crate::harness::wait;

async fn page(rig: &Rig, path: &str) -> Reply {
    let url = format!("http://{}{path}", rig.ops_address);
    Client::plain().get(&url).await
}

#[tokio::test]
async fn the_pages_of_operators_are_not_at_the_public_door_nor_the_other_way_round() {
    let rig = Rig::start().await;
    for path in ["/metrics", "/healthz", "/readyz"] {
        for http in [Http::One, Http::Two] {
            let reply = rig.client(http).get(&format!("{PUBLIC}{path}")).await;
            assert_eq!(reply.status, 404, "{path}");
        }
    }
    for path in [
        "/mcp",
        "/.well-known/oauth-protected-resource",
        "/",
        "/metrics/",
        "/debug/pprof",
    ] {
        assert_eq!(page(&rig, path).await.status, 404, "{path}");
    }
    for path in ["/metrics", "/healthz", "/readyz", "/health"] {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}{path}", rig.ops_address))
            .body(Full::<Bytes>::default());
        let reply = Client::plain().send(request.unwrap()).await;
        assert_eq!(reply.status, 405, "{path}");
    }
}

#[tokio::test]
async fn r524_health_is_told_to_everybody_and_says_nothing_of_what_lies_behind() {
    let rig = Rig::start().await;
    let public = rig.client(Http::Two).get(&format!("{PUBLIC}/health")).await;
    assert_eq!(
        (public.status.as_u16(), public.text()),
        (200, r#"{"status":"ok"}"#)
    );
    assert_eq!(page(&rig, "/healthz").await.text(), "ok\n");
    assert_eq!(page(&rig, "/readyz").await.text(), "ready\n");
    let health = page(&rig, "/health").await.json();
    assert_eq!(health["status"], "ok");
    assert_eq!(
        health["conditions"],
        json!({"audit": "ok", "revocations": "ok", "keys": "ok", "upstreams": "ok", "serving": "ok"})
    );
    assert_eq!(health["upstream"], json!({"default": "closed"}));
}

#[tokio::test]
async fn a_draining_gateway_is_alive_but_not_ready() {
    let mut rig = Plan::new().start().await;
    let (answer, feed) = Answer::stream("application/json");
    rig.upstream.will(answer);
    let caller = rig.caller("alice");
    let held = tokio::spawn(async move { caller.call_legacy("echo", json!({})).await });
    rig.upstream.saw(1).await;
    let drained = tokio::spawn(rig.drain());
    wait::until("not ready", async || {
        let refused = tokio::net::TcpStream::connect(rig.address).await.is_err();
        refused.then_some(())
    })
    .await;
    let reply = page(&rig, "/readyz").await;
    assert_eq!(
        (reply.status.as_u16(), reply.text()),
        (503, "not ready: serving\n")
    );
    assert_eq!(page(&rig, "/healthz").await.status, 200);

    feed.send(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#)
        .await;
    drop(feed);
    assert_eq!(
        held.await.unwrap().status,
        200,
        "what was in flight has finished"
    );
    assert!(drained.await.unwrap());
}

/// Whatever does not end by itself is cut at the deadline; it has its line nevertheless, and nobody waits for ever.
#[tokio::test]
async fn a_drain_cuts_what_is_left_at_its_deadline_and_loses_no_line() {
    for http in [Http::One, Http::Two] {
        let mut rig = Plan::new()
            .env("SALLYGATE_LISTEN__DRAIN_TIMEOUT", "0s")
            .settings("limits: { connections: 1 }")
            .start()
            .await;
        rig.upstream.will(Answer::hang());
        let caller = rig.caller_by(http, &Who::new("alice"));
        let held = tokio::spawn(async move {
            let draft = caller.legacy_draft("ping", json!({}));
            caller.attempt(draft).await
        });
        rig.upstream.saw(1).await;
        let in_time = wait::soon("the end of the drain", rig.drain()).await;
        assert!(!in_time);
        assert!(held.await.unwrap().is_err());
        let lines = audit::lines(rig.audit_dir());
        let cut = lines.iter().find(|line| line["rpc_method"] == "ping");
        let cut = cut.unwrap_or_else(|| panic!("{http:?}: {lines:#?}"));
        assert_eq!(cut["details"]["ended"], "caller_left");
    }
}

#[tokio::test]
async fn r210_names_that_callers_invent_make_no_labels() {
    let rig = Rig::start().await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}));
    let caller = rig.caller("alice");
    caller.call_legacy("echo", json!({})).await;
    caller.legacy("ping", json!({})).await;
    let before = labels(&rig.metrics().await);
    for n in 0..50 {
        caller
            .call_legacy(&format!("invented-{n}"), json!({}))
            .await;
        caller.legacy(&format!("invented/{n}"), json!({})).await;
        let mut draft = caller.legacy_draft("ping", json!({}));
        *draft.method_mut() = Method::from_bytes(format!("INVENTED{n}").as_bytes()).unwrap();
        caller.send(draft).await;
        let mut draft = caller.legacy_draft("ping", json!({}));
        *draft.uri_mut() = format!("{PUBLIC}/invented/{n}").parse().unwrap();
        caller.send(draft).await;
        let mut draft = caller.legacy_draft("ping", json!({}));
        set(&mut draft, "mcp-protocol-version", &format!("invented-{n}"));
        caller.send(draft).await;
    }
    let text = rig.metrics().await;
    assert!(!text.to_lowercase().contains("invented"), "{text}");
    let more: Vec<_> = labels(&text).difference(&before).cloned().collect();
    assert!(more.len() < 60, "{} more: {more:#?}", more.len());
}

/// The names and labels of all samples.
fn labels(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[tokio::test]
async fn r209_r210_every_stage_request_and_tool_has_its_histogram() {
    let rig = Rig::start().await;
    rig.upstream
        .will(Answer::json(&json!({"jsonrpc": "2.0", "id": 1,
        "result": {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}})));
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}));
    let caller = rig.caller("alice");
    caller.legacy("tools/list", json!({})).await;
    caller.call_legacy("echo", json!({})).await;
    let text = wait::until("the figures of the call", async || {
        let text = rig.metrics().await;
        text.contains("sallygate_tool_calls_total{outcome=\"success\",tool=\"echo\"} 1")
            .then_some(text)
    })
    .await;
    for stage in [
        "limits", "auth", "quota", "read", "policy", "screen", "upstream",
    ] {
        let line = format!("sallygate_stage_duration_seconds_count{{stage=\"{stage}\"}} 2");
        assert!(text.contains(&line), "{line} in {text}");
    }
    for line in [
        "sallygate_request_duration_seconds_count{route=\"default\"} 2",
        "sallygate_upstream_duration_seconds_count{route=\"default\"} 2",
        "sallygate_tool_duration_seconds_count{tool=\"echo\"} 1",
        "sallygate_requests_total{method=\"tools/call\",outcome=\"answered\",route=\"default\"} 1",
        "sallygate_auth_validations_total{result=\"valid\"} 2",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[tokio::test]
async fn r212_failed_credentials_are_counted_by_what_became_of_them() {
    let rig = Rig::start().await;
    rig.stranger(Http::One).legacy("ping", json!({})).await;
    let forged = rig.stranger(Http::One).with_token("a.b.c");
    forged.legacy("ping", json!({})).await;
    let text = rig.metrics().await;
    for line in [
        "sallygate_auth_validations_total{result=\"missing\"} 1",
        "sallygate_auth_validations_total{result=\"malformed\"} 1",
        "sallygate_denials_total{reason=\"missing_credential\",stage=\"auth\"} 1",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[tokio::test]
async fn r075_the_end_of_the_certificate_in_use_is_on_the_metrics_page() {
    let rig = Rig::start().await;
    let page = rig.metrics().await;
    let line = page
        .lines()
        .find(|line| line.starts_with("sallygate_certificate_expiry_timestamp_seconds "));
    let ends: f64 = line.unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let left = ends - sallygate::clock::Clock::system().now().seconds() as f64;
    assert!((0.0..90.0 * 86_400.0).contains(&left), "{left} s left");
}
