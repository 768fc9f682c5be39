//! The order to stop: calls in flight finish, streams without an end of their own end between two events, and nobody new
//! is let in.

use hyper::Method;
use serde_json::json;
use tokio::net::TcpStream;

use super::{result, ruled};
use crate::harness::client::{Client, Http};
use crate::harness::gateway::{PUBLIC, Who};
use crate::harness::mcp::Mcp;
use crate::harness::sse::Step;
use crate::harness::upstream::Answer;
use crate::harness::wait;

#[tokio::test]
async fn a_drain_lets_calls_finish_and_ends_open_streams_between_events() {
    for http in [Http::One, Http::Two] {
        let mut rig = ruled().start().await;
        // Each over a connection of its own.
        let made = ["alice", "bob", "carol"].map(|user| rig.token(&Who::new(user)));
        let (address, ca_file) = (rig.address, rig.ca_file.clone());
        let caller = |who: usize| {
            let client = Client::toward(address, &ca_file, http);
            Mcp::at(&client, &format!("{PUBLIC}/mcp")).with_token(&made[who])
        };
        let note =
            json!({"jsonrpc": "2.0", "method": "notifications/x", "params": {"text": "so far"}});
        let call = json!({"name": "echo", "arguments": {}});
        let mut open = Vec::new();
        for draft in [
            caller(0).legacy_bare(Method::GET),
            caller(0).modern_draft(
                "subscriptions/listen",
                json!({"notifications": {"toolsListChanged": true}}),
            ),
            caller(0).modern_draft("tools/call", call.clone()),
            caller(0).legacy_draft("tools/call", call.clone()),
        ] {
            let (answer, feed) = Answer::sse();
            rig.upstream.will(answer);
            let client = caller(0);
            let (mut stream, ()) = tokio::join!(client.open(draft), feed.event(&note));
            assert_eq!(stream.message().await, note);
            open.push((stream, feed));
        }
        let (answer, slow) = Answer::stream("application/json");
        rig.upstream.will(answer);
        let asking = tokio::spawn({
            let caller = caller(1);
            async move { caller.call("echo", json!({})).await }
        });
        rig.upstream.saw(5).await;
        let stopped = tokio::spawn(rig.drain());

        let mut calls = open.split_off(2);
        for (mut stream, feed) in open {
            assert_eq!(stream.step().await, Step::End, "{http:?}");
            feed.abandoned().await;
        }
        let done = result(&json!({"content": []}));
        let late = tokio::spawn({
            let caller = caller(2);
            let draft = caller.legacy_draft("ping", json!({}));
            async move { caller.attempt(draft).await.map(drop) }
        });
        for (stream, feed) in &mut calls {
            feed.event(&note).await;
            assert_eq!(stream.message().await, note);
            feed.event(&done).await;
            assert_eq!(stream.message().await, done);
        }
        for (mut stream, feed) in calls {
            feed.end();
            assert_eq!(stream.step().await, Step::End);
        }
        slow.send(done.to_string()).await;
        slow.end();
        let reply = wait::soon("the slow call", asking).await.unwrap();
        assert_eq!(reply.json(), done);
        assert!(wait::soon("the drain", stopped).await.unwrap(), "{http:?}");
        let late = wait::soon("the late caller", late).await.unwrap();
        assert!(late.is_err(), "nobody new is served");
        assert_eq!(rig.upstream.seen().len(), 5);
        assert!(TcpStream::connect(rig.address).await.is_err());
    }
}

#[tokio::test]
async fn a_drain_does_not_wait_for_ever() {
    let mut rig = ruled().listen("drain_timeout: 0s").start().await;
    rig.upstream.will(Answer::hang());
    let caller = rig.caller("alice");
    let asking = tokio::spawn(async move {
        let draft = caller.modern_draft("tools/call", json!({"name": "echo"}));
        caller.attempt(draft).await.map(drop)
    });
    rig.upstream.saw(1).await;
    assert!(!wait::soon("the drain", rig.drain()).await);
    asking.abort();
}
