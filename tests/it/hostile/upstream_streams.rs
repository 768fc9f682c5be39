//! Streams that break off, never end, or say what is not for this caller.

use std::time::Duration;

use hyper::Method;
use serde_json::json;

use crate::harness::audit;
use crate::harness::gateway::{Plan, Rig};
use crate::harness::mcp::Mcp;
use crate::harness::saboteur::{Act, Saboteur};
use crate::harness::sse::{EventStream, Step};
use crate::harness::upstream::Answer;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
const NOTE: &str =
    "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n";

async fn before(saboteur: &Saboteur) -> Rig {
    Plan::new()
        .settings("limits: { sse_event_bytes: 64KiB }")
        .upstream("idle_timeout: 1s")
        .upstream("total_timeout: 1s")
        .url(&saboteur.url())
        .first_event(Duration::from_millis(1))
        .start()
        .await
}

async fn assert_serves(caller: &Mcp, what: &str) {
    let reply = caller.call("echo", json!({})).await;
    assert_eq!(reply.status, 200, "after {what}: {reply:?}");
    assert_eq!(reply.result()["served"], 1, "after {what}");
}

/// What a modern caller hears in the end: the error in the stream, or in the answer if it failed before its first event.
async fn last_words(caller: &Mcp, what: &str) -> u64 {
    let draft = caller.modern_draft("tools/call", json!({"name": "echo"}));
    let answer = caller.attempt(draft).await.unwrap();
    let status = answer.status().as_u16();
    if status != 200 {
        return status.into();
    }
    let messages = EventStream::of(answer).messages().await;
    let last = messages.last().unwrap_or_else(|| panic!("{what}"));
    assert_eq!(last["id"], 1, "{what}: {last}");
    assert!(
        !format!("{messages:?}").contains("canary"),
        "{what}: {messages:?}"
    );
    last["error"]["code"].as_u64().unwrap()
}

#[tokio::test]
async fn a_stream_that_fails_ends_in_words_for_a_modern_caller_and_is_torn_for_a_legacy_one() {
    let saboteur = Saboteur::start().await;
    let rig = before(&saboteur).await;
    let caller = rig.caller("alice");
    let with = |rest: &str| format!("{HEAD}{NOTE}{rest}").into_bytes();
    let pause = Duration::from_millis(20);
    for (what, act, code, reason) in [
        (
            "truncated in an event",
            Act::SayAndReset(with("data: {\"canary\"")),
            502,
            "upstream_body_broken",
        ),
        (
            "a line without end",
            Act::Flood(with("data: "), vec![b'x'; 4096]),
            502,
            "upstream_answer_too_large",
        ),
        (
            "an event without end",
            Act::Flood(with(""), b"data: canary\n".repeat(100)),
            502,
            "upstream_answer_too_large",
        ),
        (
            "silence in an event",
            Act::SayAndHang(with("data: {\"canary")),
            504,
            "upstream_silent",
        ),
        (
            "an event drop by drop",
            Act::Drip(with("data: "), b"x".to_vec(), pause),
            504,
            "upstream_silent",
        ),
        (
            "another's answer",
            Act::SayAndHang(with(
                "data: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"canary\":1}}\n\n",
            )),
            502,
            "upstream_foreign_answer",
        ),
        (
            "no JSON",
            Act::SayAndHang(with("data: canary\n\n")),
            502,
            "upstream_unreadable",
        ),
        (
            "a question in the modern era",
            Act::SayAndHang(with(
                "data: {\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"canary\"}\n\n",
            )),
            502,
            "upstream_unreadable",
        ),
    ] {
        saboteur.will(act.clone());
        assert_eq!(last_words(&caller, what).await, code, "{what}");
        let before = audit::wait_for_those_with(rig.audit_dir(), reason, 1)
            .await
            .len();
        assert_serves(&caller, what).await;
        if what.contains("modern") {
            continue;
        }
        saboteur.will(act);
        let draft = caller.legacy_draft("tools/call", json!({"name": "echo"}));
        // Where the failure is quicker than the head, the answer is the error itself.
        match caller.attempt(draft).await {
            Ok(answer) if answer.status() == 200 => {
                let mut stream = EventStream::of(answer);
                loop {
                    match stream.step().await {
                        Step::Event(event) => assert!(!format!("{event:?}").contains("canary")),
                        Step::Torn => break,
                        Step::End => panic!("{what}: it ended as if it were whole"),
                    }
                }
            }
            Ok(answer) => assert_eq!(u64::from(answer.status().as_u16()), code, "{what}"),
            Err(_) => {}
        }
        audit::wait_for_those_with(rig.audit_dir(), reason, before + 1).await;
        assert_serves(&caller, what).await;
    }
}

#[tokio::test]
async fn ids_of_events_that_no_client_could_send_back_are_left_out() {
    let rig = Plan::new().start().await;
    let caller = rig.caller("alice");
    let data = json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}).to_string();
    for (id, kept) in [
        ("7", true),
        ("caf\u{e9}/1", true),
        ("a\u{1}b", false),
        ("a\0b", false),
        ("a\tb", false),
        ("\u{7f}", false),
    ]
    .map(|(id, kept)| (id.to_owned(), kept))
    .into_iter()
    .chain([("x".repeat(1024), true), ("x".repeat(1025), false)])
    {
        let body = format!("event: message\nid: {id}\ndata: {data}\n\n");
        rig.upstream
            .will(Answer::bytes(body).header("content-type", "text/event-stream"));
        let mut stream = caller
            .open(caller.legacy_draft("tools/call", json!({"name": "echo"})))
            .await;
        let Step::Event(event) = stream.step().await else {
            panic!("no event")
        };
        assert_eq!(event.id, kept.then(|| id.clone()), "{id:?}");
        assert_eq!(event.data.as_deref(), Some(data.as_str()), "{id:?}");
        assert_eq!(event.event.as_deref(), Some("message"), "{id:?}");
        assert_eq!(stream.step().await, Step::End);
    }
}

#[tokio::test]
async fn what_the_server_tells_of_a_task_only_its_owner_hears() {
    let rig = Plan::new().start().await;
    let (alice, bob) = (rig.caller("alice"), rig.caller("bob"));
    let created = json!({"jsonrpc": "2.0", "id": 1, "result": {"task": {"taskId": "t-canary", "status": "working"}}});
    rig.upstream.will(Answer::json(&created));
    alice.call_legacy("echo", json!({})).await.result();
    let status = json!({"jsonrpc": "2.0", "method": "notifications/tasks/status",
        "params": {"taskId": "t-canary", "status": "completed"}});
    let related = json!({"jsonrpc": "2.0", "method": "notifications/message", "params":
        {"_meta": {"io.modelcontextprotocol/related-task": {"taskId": "t-canary"}}, "data": "x"}});
    let other =
        json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "y"}});
    for (caller, is_owner) in [(&alice, true), (&bob, false)] {
        let (answer, feed) = Answer::sse();
        rig.upstream.will(answer);
        let opening = caller.open(caller.legacy_bare(Method::GET));
        let feeding = async {
            for message in [&status, &related, &other] {
                feed.event(message).await;
            }
        };
        let (mut stream, ()) = tokio::join!(opening, feeding);
        if is_owner {
            assert_eq!(stream.message().await, status);
            assert_eq!(stream.message().await, related);
        }
        assert_eq!(stream.message().await, other);
    }
}
