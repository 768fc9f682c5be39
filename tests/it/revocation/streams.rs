//! Open streams of whoever may no longer act: every kind ends, whether or not the upstream has more to say, and nobody
//! else's does.

use hyper::Method;
use sallygate::revocation::Mark;
use serde_json::{Value, json};

use super::{alice, tomorrow};
use crate::harness::audit;
use crate::harness::client::Http;
use crate::harness::gateway::{Rig, Who};
use crate::harness::mcp::{Draft, Mcp};
use crate::harness::sse::{EventStream, Step};
use crate::harness::upstream::{Answer, Feed};

fn progress(n: u64) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/progress",
        "params": {"progressToken": "t", "progress": n}})
}

/// Everything that may be answered by a stream, and whether somebody waits for its response.
pub(super) fn streamed(caller: &Mcp) -> Vec<(Draft, bool)> {
    let call = json!({"name": "echo", "arguments": {}});
    let listen = json!({"notifications": {"toolsListChanged": true}});
    vec![
        (caller.modern_draft("tools/call", call.clone()), true),
        (caller.modern_draft("subscriptions/listen", listen), true),
        (caller.legacy_draft("tools/call", call), true),
        (caller.legacy_bare(Method::GET), false),
    ]
}

/// Opens the stream; one event has come through it.
pub(super) async fn begun(rig: &Rig, caller: &Mcp, draft: Draft) -> (EventStream, Feed) {
    let (answer, feed) = Answer::sse();
    rig.upstream.will(answer);
    let first = progress(0);
    let (mut stream, ()) = tokio::join!(caller.open(draft), feed.event(&first));
    assert_eq!(stream.message().await, first);
    (stream, feed)
}

#[tokio::test]
async fn every_open_stream_of_a_disabled_user_ends_and_nobody_elses() {
    let rig = Rig::start().await;
    let bob = rig.caller("bob");
    for http in [Http::One, Http::Two] {
        let count = streamed(&bob).len();
        for kind in 0..count {
            let user = format!("user-{http:?}-{kind}");
            let caller = rig.caller_by(http, &Who::new(&user));
            let (draft, is_waited_for) = streamed(&caller).remove(kind);
            let (mut stream, feed) = begun(&rig, &caller, draft).await;
            let (draft, _) = streamed(&bob).remove(kind);
            let (mut others, others_feed) = begun(&rig, &bob, draft).await;

            rig.revocations().disable(&user).await.unwrap();
            if is_waited_for {
                let told = stream.message().await;
                assert_eq!(told["error"]["code"], 401, "{told}");
                assert_eq!(told["error"]["message"], "JWT token has been revoked");
            }
            assert_eq!(stream.step().await, Step::End);
            // The upstream is let go too.
            feed.abandoned().await;

            others_feed.event(&progress(1)).await;
            assert_eq!(others.message().await, progress(1));
            let line = audit::line_of(rig.audit_dir(), |line| line["user_id"] == user).await;
            assert_eq!(line["reason"], "revoked", "{line}");
            assert_eq!(line["stage"], "auth", "{line}");
            assert_eq!(line["details"]["ended"], "user_disabled", "{line}");
            assert_eq!(line["status"], "error", "{line}");
        }
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_token_its_session_its_client_and_its_user() {
    for by in ["token", "session", "client", "user"] {
        let rig = Rig::start().await;
        let minted = rig.minted(&alice());
        let caller = rig.stranger(Http::Two).with_token(minted.token.expose());
        let (draft, _) = streamed(&caller).remove(1);
        let (mut stream, feed) = begun(&rig, &caller, draft).await;
        let other = Mark::Session("sid-of-nobody".into());
        rig.revocations().revoke(&other, tomorrow()).await.unwrap();
        feed.event(&progress(1)).await;
        assert_eq!(stream.message().await, progress(1), "{by}");
        let mark = match by {
            "token" => Mark::Token(minted.token_id),
            "session" => Mark::Session("sid-alice".into()),
            "client" => Mark::Client("client-1".into()),
            _ => Mark::User("alice".into()),
        };
        rig.revocations().revoke(&mark, tomorrow()).await.unwrap();
        assert_eq!(stream.message().await["error"]["code"], 401, "{by}");
        assert_eq!(stream.step().await, Step::End, "{by}");
    }
}

/// Short events, and such as do not fill a piece evenly: something of them is always left for the next.
#[tokio::test]
async fn an_upstream_that_never_pauses_cannot_outrun_a_revocation() {
    for padding in [0, 5_000] {
        outrun(&"x".repeat(padding)).await;
    }
}

async fn outrun(padding: &str) {
    let rig = Rig::start().await;
    let caller = rig.caller("alice");
    let (draft, _) = streamed(&caller).remove(1);
    let (mut stream, feed) = begun(&rig, &caller, draft).await;
    let chatter = async {
        for n in 1.. {
            tokio::select! {
                biased;
                () = feed.abandoned() => return,
                () = feed.send(format!("data: {}\n:{padding}\n\n", progress(n))) => {}
            }
        }
    };
    let reader = async {
        for _ in 0..10 {
            stream.message().await;
        }
        rig.revocations().disable("alice").await.unwrap();
        loop {
            match stream.step().await {
                Step::Event(_) => {}
                over => return over,
            }
        }
    };
    let ((), over) = tokio::join!(chatter, reader);
    assert_eq!(over, Step::End);
}
