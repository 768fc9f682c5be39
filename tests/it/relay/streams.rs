//! Event streams: event by event, byte by byte, kept open by comments, and ended when either side lets go.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Method;
use serde_json::{Value, json};

use super::{result, ruled, tools};
use crate::harness::client::Http;
use crate::harness::gateway::{Plan, Rig, Who};
use crate::harness::mcp::{Draft, Mcp};
use crate::harness::sse::{EventStream, Step};
use crate::harness::upstream::{Answer, Feed};
use crate::harness::wait;

fn progress(n: u64) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/progress",
        "params": {"progressToken": "t", "progress": n}})
}

fn call() -> Value {
    json!({"name": "echo", "arguments": {}})
}

fn listen() -> Value {
    json!({"notifications": {"toolsListChanged": true}})
}

/// Everything that may be answered by a stream.
fn streamed(caller: &Mcp) -> Vec<Draft> {
    vec![
        caller.modern_draft("tools/call", call()),
        caller.modern_draft("tools/list", json!({})),
        caller.modern_draft("subscriptions/listen", listen()),
        caller.legacy_draft("tools/call", call()),
        caller.legacy_draft("prompts/get", json!({"name": "greet"})),
        caller.legacy_bare(Method::GET),
    ]
}

/// Lets the upstream answer the next request with a stream.
fn feed(rig: &Rig) -> Feed {
    let (answer, feed) = Answer::sse();
    rig.upstream.will(answer);
    feed
}

/// Opens the stream and feeds it [`progress`] 1.
async fn begun(caller: &Mcp, draft: Draft, feed: &Feed) -> EventStream {
    let first = progress(1);
    tokio::join!(caller.open(draft), feed.event(&first)).0
}

#[tokio::test]
async fn an_event_reaches_the_caller_before_the_next_one_is_sent() {
    let rig = ruled().start().await;
    for http in [Http::One, Http::Two] {
        let caller = rig.caller_by(http, &Who::new("alice"));
        for draft in streamed(&caller) {
            let feed = feed(&rig);
            let first = progress(0);
            let (mut stream, ()) = tokio::join!(caller.open(draft), feed.event(&first));
            assert_eq!(stream.message().await, first);
            for n in 1..20 {
                feed.event(&progress(n)).await;
                assert_eq!(stream.message().await, progress(n));
            }
            feed.end();
            assert_eq!(stream.step().await, Step::End);
        }
    }
}

#[tokio::test]
async fn a_stream_without_lists_passes_byte_for_byte() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    let sent = concat!(
        "\u{feff}: a comment\n\nid: 1/0\ndata:\nretry: 250\n\n",
        "event: message\r\nid:1/1\r\ndata:{\"jsonrpc\":\"2.0\", \"method\":\"notifications/message\",",
        "\"params\":{\"data\":12345678901234567890.0}}\r\n\r\n",
        ": between\nfoo: bar\nid\ndata: {\ndata: \"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"x\":\"\\u00e9\"}}\nevent: message\n\n",
        "data: \n\n:\n\n",
    );
    for draft in streamed(&caller) {
        if draft
            .headers()
            .get("mcp-method")
            .is_some_and(|m| m == "tools/list")
        {
            continue;
        }
        rig.upstream
            .will(Answer::bytes(sent).header("content-type", "text/event-stream; charset=utf-8"));
        let answer = caller.attempt(draft).await.unwrap();
        assert_eq!(
            answer.headers()["content-type"],
            "text/event-stream; charset=utf-8"
        );
        let got = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(got, sent.as_bytes());
    }
}

#[tokio::test]
async fn silence_is_broken_by_comments_between_events_and_never_inside_one() {
    let rig = ruled()
        .keep_alive(Duration::from_millis(20))
        .first_event(Duration::from_millis(1))
        .start()
        .await;
    let caller = rig.caller("alice");
    for draft in streamed(&caller) {
        let feed = feed(&rig);
        let mut stream = caller.open(draft).await;
        let mut comments = 0;
        feed.send("id: 1\ndata: {\"jsonrpc\":\"2.0\",").await;
        while comments < 3 {
            let Step::Event(event) = stream.step().await else {
                panic!("the stream is over")
            };
            assert!(event.data.is_none() && event.id.is_none(), "{event:?}");
            comments += event.comments.len();
        }
        feed.send("\ndata: \"method\":\"notifications/x\"}\n\n")
            .await;
        let message = stream.message().await;
        assert_eq!(
            message,
            json!({"jsonrpc": "2.0", "method": "notifications/x"})
        );
        feed.end();
    }
}

#[tokio::test]
async fn the_head_of_a_call_does_not_wait_long_for_the_first_event() {
    let rig = ruled().first_event(Duration::from_millis(1)).start().await;
    let caller = rig.caller("alice");
    let feed = feed(&rig);
    let mut stream = caller.open(caller.modern_draft("tools/call", call())).await;
    feed.event(&progress(1)).await;
    assert_eq!(stream.message().await, progress(1));
}

#[tokio::test]
async fn mcp_2026_07_28_a_caller_who_leaves_cancels_at_the_upstream() {
    let rig = ruled().start().await;
    for http in [Http::One, Http::Two] {
        let caller = rig.caller_by(http, &Who::new("alice"));
        for draft in streamed(&caller) {
            let feed = feed(&rig);
            let stream = begun(&caller, draft, &feed).await;
            drop(stream);
            feed.abandoned().await;
        }
        rig.upstream.will(Answer::hang());
        let seen = rig.upstream.seen().len();
        let draft = caller.modern_draft("tools/call", call());
        let waiting = tokio::spawn({
            let caller = rig.caller_by(http, &Who::new("alice"));
            async move { caller.attempt(draft).await.map(drop) }
        });
        rig.upstream.saw(seen + 1).await;
        waiting.abort();
        rig.upstream.hangs_no_more().await;
    }
}

#[tokio::test]
async fn legacy_cancellation_and_answers_to_the_servers_questions_pass() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    let feed = feed(&rig);
    let draft = caller.legacy_draft("tools/call", call());
    let question = json!({"jsonrpc": "2.0", "id": "q-1", "method": "elicitation/create",
        "params": {"message": "Sure?", "requestedSchema": {"type": "object"}}});
    let (mut stream, ()) = tokio::join!(caller.open(draft), feed.event(&question));
    assert_eq!(stream.message().await, question);
    for message in [
        json!({"jsonrpc": "2.0", "id": "q-1", "result": {"action": "accept", "content": {}}}),
        json!({"jsonrpc": "2.0", "id": "q-2", "error": {"code": -1, "message": "no"}}),
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}),
    ] {
        rig.upstream.will(Answer::status(202));
        let reply = caller.send(caller.legacy_body(&message)).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (202, ""));
        assert_eq!(rig.upstream.seen().last().unwrap().json(), message);
    }
    feed.event(&result(&json!({"content": []}))).await;
    feed.end();
    assert_eq!(stream.message().await["id"], 1);
    assert_eq!(stream.step().await, Step::End);
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_in_words_in_the_modern_era_and_is_torn_in_the_legacy_one() {
    let rig = ruled().start().await;
    for http in [Http::One, Http::Two] {
        let caller = rig.caller_by(http, &Who::new("alice"));
        for draft in streamed(&caller) {
            let modern = draft.headers().contains_key("mcp-method");
            let feed = feed(&rig);
            let mut stream = begun(&caller, draft, &feed).await;
            assert_eq!(stream.message().await, progress(1));
            feed.send("id: 9\ndata: {\"jsonrpc\":\"2.0\",\"canary\":\"not passed on\"")
                .await;
            feed.tear().await;
            if modern {
                let last = stream.message().await;
                assert_eq!(
                    (&last["id"], &last["error"]["code"]),
                    (&json!(1), &json!(502))
                );
                assert_eq!(stream.step().await, Step::End);
            } else {
                assert_eq!(stream.step().await, Step::Torn);
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_ends_inside_an_event_drops_the_piece() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    for draft in streamed(&caller) {
        let feed = feed(&rig);
        let mut stream = begun(&caller, draft, &feed).await;
        assert_eq!(stream.message().await, progress(1));
        feed.send("id: 9\ndata: {\"jsonrpc\":\"2.0\"}\n").await;
        feed.end();
        assert_eq!(stream.step().await, Step::End);
    }
}

#[tokio::test]
async fn an_answered_request_is_not_answered_again_when_its_stream_breaks_off() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    let feed = feed(&rig);
    let done = result(&json!({"content": []}));
    let draft = caller.modern_draft("tools/call", call());
    let (mut stream, ()) = tokio::join!(caller.open(draft), feed.event(&done));
    assert_eq!(stream.message().await, done);
    feed.tear().await;
    assert_eq!(stream.step().await, Step::Torn);
}

#[tokio::test]
async fn an_event_over_the_limit_ends_the_stream() {
    let rig = ruled()
        .settings("limits: { sse_event_bytes: 64KiB }")
        .start()
        .await;
    let caller = rig.caller("alice");
    for draft in streamed(&caller) {
        let modern = draft.headers().contains_key("mcp-method");
        let feed = feed(&rig);
        let mut stream = begun(&caller, draft, &feed).await;
        assert_eq!(stream.message().await, progress(1));
        feed.send(format!("data: {}", "x".repeat(65 * 1024))).await;
        if modern {
            assert_eq!(stream.message().await["error"]["code"], 502);
            assert_eq!(stream.step().await, Step::End);
        } else {
            assert_eq!(stream.step().await, Step::Torn);
        }
        feed.abandoned().await;
    }
}

#[tokio::test]
async fn a_list_that_cannot_be_read_never_passes_on_a_stream() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    let text = tools(&["delete_note"]).to_string();
    for data in [
        text.replace("\"result\":{", "\"result\":{\"tools\":[],"),
        text.replace("\"name\":", "\"name\":\"echo\",\"name\":"),
        text.replace("\"tools\":[", "\"tools\":[7,"),
        format!("[{text}]"),
        format!("{text} x"),
    ] {
        for draft in [
            caller.modern_draft("tools/list", json!({})),
            caller.legacy_bare(Method::GET),
        ] {
            let modern = draft.headers().contains_key("mcp-method");
            rig.upstream.will(
                Answer::bytes(format!("data: {data}\n\n"))
                    .header("content-type", "text/event-stream"),
            );
            // The connection may break before the head of the answer has left.
            match caller.attempt(draft).await.map(EventStream::of) {
                Ok(mut stream) if modern => {
                    assert_eq!(stream.message().await["error"]["code"], 502, "{data}");
                }
                Ok(mut stream) => assert_eq!(stream.step().await, Step::Torn, "{data}"),
                Err(error) => assert!(!modern, "{data}: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_silent_for_too_long_is_given_up() {
    let rig = ruled().upstream("idle_timeout: 1s").start().await;
    let caller = rig.caller("alice");
    let feed = feed(&rig);
    let mut stream = caller
        .open(caller.modern_draft("subscriptions/listen", listen()))
        .await;
    assert_eq!(stream.message().await["error"]["code"], 504);
    feed.abandoned().await;
}

#[tokio::test]
async fn long_lived_streams_count_as_streams_and_not_as_calls() {
    let rig = Plan::new()
        .quotas("quotas: { concurrency: 1, streams: 1, tiers: { free: { per_minute: 100000 } } }")
        .start()
        .await;
    let caller = rig.caller("alice");
    let modern = || caller.modern_draft("subscriptions/listen", listen());
    let legacy = || caller.legacy_bare(Method::GET);
    for draft in [&modern as &dyn Fn() -> Draft, &legacy] {
        let feed = feed(&rig);
        let mut stream = begun(&caller, draft(), &feed).await;
        stream.message().await;
        assert!(
            rig.metrics().await.contains("sallygate_active_streams 1"),
            "{}",
            rig.metrics().await
        );
        let refused = caller.send(draft()).await;
        assert_eq!(refused.status, 429, "{refused:?}");
        rig.upstream.will(Answer::json(&result(&json!({}))));
        caller.legacy("ping", json!({})).await.result();
        drop(stream);
        feed.abandoned().await;
        wait::until("the stream to be counted no more", async || {
            let metrics = rig.metrics().await;
            metrics.contains("sallygate_active_streams 0").then_some(())
        })
        .await;
    }
}
