//! More work than there is room for: what is admitted goes on, what is too much is turned away at once, and the room
//! returns when an answer has ended, not when it has begun.

use http_body_util::BodyExt;
use hyper::Method;
use serde_json::json;

use super::http2::Call;
use crate::harness::client::{Http, Reply};
use crate::harness::frames::{Framed, HEADERS, setting};
use crate::harness::gateway::{Plan, Rig, Who};
use crate::harness::mcp::Mcp;
use crate::harness::provider::FakeClickUp;
use crate::harness::raw::{self, Connection};
use crate::harness::sse::Step;
use crate::harness::upstream::Answer;
use crate::harness::{audit, wait};

async fn rig(limits: &str) -> Rig {
    let rig = Plan::new()
        .settings(&format!("limits: {{ {limits} }}"))
        .start()
        .await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    rig
}

async fn ping(caller: &Mcp) -> Reply {
    caller.legacy("ping", json!({})).await
}

fn turned_away(reply: &Reply) {
    assert_eq!(reply.status, 503, "{reply:?}");
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(reply.json()["error"]["code"], "overloaded");
    assert!(reply.header("x-request-id").is_some());
}

/// Waits until a call is served again.
async fn served_again(caller: &Mcp) {
    wait::until("room", async || {
        (ping(caller).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn r045_past_the_bound_new_work_is_shed_at_once_and_admitted_work_is_finished() {
    for http in [Http::One, Http::Two] {
        let rig = rig("requests: 2").await;
        let caller = rig.caller_by(http, &Who::new("alice"));
        let mut held = Vec::new();
        for _ in 0..2 {
            let (answer, feed) = Answer::stream("application/json");
            rig.upstream.will(answer);
            let call = caller.legacy_draft("ping", json!({}));
            let (response, ()) = tokio::join!(
                caller.attempt(call),
                feed.send(r#"{"jsonrpc":"2.0","id":1,"#)
            );
            held.push((response.unwrap(), feed));
        }
        // Their heads are out, yet they are still being worked on.
        for _ in 0..3 {
            turned_away(&ping(&caller).await);
        }
        assert_eq!(rig.upstream.seen().len(), 2, "nobody waited for a place");
        let (first, feed) = held.remove(0);
        assert_eq!(first.status(), 200);
        feed.send(r#""result":{}}"#).await;
        feed.end();
        let body = wait::soon("the answer", first.into_body().collect()).await;
        assert_eq!(
            body.unwrap().to_bytes(),
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#
        );
        served_again(&caller).await;
        let (second, feed) = held.remove(0);
        feed.send(r#""result":{}}"#).await;
        feed.end();
        assert!(second.into_body().collect().await.is_ok());

        let lines = audit::wait_for_those_with(rig.audit_dir(), "\"overloaded\"", 3).await;
        assert!(
            lines
                .iter()
                .all(|line| line["event_type"] == "request_refused"),
            "{lines:?}"
        );
        let counted = "sallygate_denials_total{reason=\"overloaded\",stage=\"limits\"} ";
        let metrics = rig.metrics().await;
        let count = metrics.lines().find_map(|line| line.strip_prefix(counted));
        assert!(count.unwrap().parse::<u32>().unwrap() >= 3);
    }
}

#[tokio::test]
async fn a_caller_who_leaves_gives_the_room_back() {
    let rig = rig("requests: 1").await;
    let caller = rig.caller("alice");
    let (answer, feed) = Answer::stream("application/json");
    rig.upstream.will(answer);
    let call = caller.legacy_draft("ping", json!({}));
    let (held, ()) = tokio::join!(caller.attempt(call), feed.send("{"));
    let other = rig.caller("bob");
    turned_away(&ping(&other).await);
    drop(held);
    feed.abandoned().await;
    served_again(&other).await;
}

#[tokio::test]
async fn streams_take_no_room_of_calls_and_have_a_bound_of_their_own() {
    for http in [Http::One, Http::Two] {
        let rig = rig("requests: 1, streams: 2").await;
        let caller = rig.caller_by(http, &Who::new("alice"));
        let mut open = Vec::new();
        for _ in 0..2 {
            let (answer, feed) = Answer::sse();
            rig.upstream.will(answer);
            let note = json!({"jsonrpc": "2.0", "method": "notifications/message"});
            let listen = caller.open(caller.legacy_bare(Method::GET));
            let (stream, ()) = tokio::join!(listen, feed.event(&note));
            open.push((stream, feed));
        }
        served_again(&caller).await;
        let before = rig.upstream.seen().len();
        let third = caller.send(caller.legacy_bare(Method::GET)).await;
        turned_away(&third);
        assert_eq!(
            rig.upstream.seen().len(),
            before,
            "it was never opened behind"
        );
        let (mut stream, feed) = open.remove(0);
        assert!(matches!(stream.step().await, Step::Event(_)));
        feed.end();
        assert_eq!(stream.step().await, Step::End);
        drop(stream);
        wait::until("a stream's room", async || {
            let (answer, _feed) = Answer::sse();
            rig.upstream.will(answer);
            let response = caller.attempt(caller.legacy_bare(Method::GET)).await.ok()?;
            rig.upstream.will_nothing();
            (response.status() == 200).then_some(())
        })
        .await;
        assert_eq!(ping(&caller).await.status, 200);
    }
}

#[tokio::test]
async fn whoever_leaves_refusals_unread_takes_no_room() {
    let rig = rig("requests: 2").await;
    let shut = setting(4, 0);
    let mut peer = Framed::with_settings(rig.address, &rig.ca_file, &shut).await;
    for stream in (1..21).step_by(2) {
        peer.send(&Call::new("Bearer canary-not-a-real-token", "").on(stream))
            .await;
        let refused = peer
            .until("a refusal", |got| {
                got.kind == HEADERS && got.stream == stream
            })
            .await;
        if stream == 1 {
            assert_eq!(refused.status(), 401);
        }
    }
    assert_eq!(ping(&rig.caller("alice")).await.status, 200);
}

#[tokio::test]
async fn strangers_who_are_slow_at_the_authorization_server_take_no_room_of_calls() {
    let clickup = FakeClickUp::start().await;
    let login = format!("login: {{ providers: [ {} ] }}", clickup.settings());
    let rig = Plan::new()
        .settings(&login)
        .settings("limits: { requests: 1 }")
        .env(
            "ENCRYPTION_KEY",
            "canary-not-a-real-sealing-key-0a1b2c3d4e5f",
        )
        .start()
        .await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    let begin = |length: usize| {
        format!(
            "POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {length}\r\n\r\ngrant_type="
        )
    };
    let mut slow = Connection::open_tls(rig.address, &rig.ca_file).await;
    slow.send(begin(100)).await;
    let next = async || {
        let mut next = Connection::open_tls(rig.address, &rig.ca_file).await;
        next.send(begin(11)).await;
        raw::status(next.read_to("\r\n\r\n").await.as_bytes())
    };
    wait::until("the visits to be full", async || {
        (next().await == 503).then_some(())
    })
    .await;
    assert_eq!(ping(&rig.caller("alice")).await.status, 200);
    drop(slow);
    wait::until("a visit's room", async || {
        (next().await == 400).then_some(())
    })
    .await;
}
