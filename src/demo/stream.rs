//! Answers that take a while: a Server-Sent-Events body that is fed through a short queue, with comments to keep
//! intermediaries awake, and the two things that feed one: the slow count and the changes of resources.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::Sample;
use super::http::Body;
use super::offer::Count;
use super::rpc::{Members, notification};
use super::running::Call;
use super::tools::counted;

/// Messages that wait for a slow reader before the sender has to wait too.
const QUEUE: usize = 16;

/// Where the messages of a stream go in.
pub(super) type Events = mpsc::Sender<Value>;

/// A stream: where messages go in, and the body that they come out of.
pub(super) fn open(keep_alive: Duration) -> (Events, Body) {
    let (events, queue) = mpsc::channel(QUEUE);
    let frames = stream::unfold(queue, move |mut queue| async move {
        let text = match tokio::time::timeout(keep_alive, queue.recv()).await {
            Ok(Some(message)) => format!("event: message\ndata: {message}\n\n"),
            Ok(None) => return None,
            Err(_) => ": keep-alive\n\n".to_owned(),
        };
        let frame: Result<_, Infallible> = Ok(Frame::data(Bytes::from(text)));
        Some((frame, queue))
    });
    (events, StreamBody::new(frames).boxed_unsync())
}

/// What ends a count early, apart from a cancellation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Disconnect {
    /// The caller has lost interest (MCP 2026-07-28, cancellation).
    Cancels,
    /// It says nothing about the call (MCP 2025-11-25, transports).
    MeansNothing,
}

/// Counts on a stream of its own; `finish` turns the result into the closing message. A cancelled call gets no answer.
pub(super) fn count(
    sample: &Sample,
    plan: Count,
    call: Call,
    disconnect: Disconnect,
    finish: impl FnOnce(Members) -> Value + Send + 'static,
) -> Body {
    let (events, body) = open(sample.settings.keep_alive);
    tokio::spawn(async move {
        let counting = async {
            for number in 1..=plan.to {
                tokio::time::sleep(plan.delay).await;
                if let Some(token) = &plan.token {
                    let progress = json!({"progressToken": token, "progress": number,
                        "total": plan.to, "message": format!("counted to {number}")});
                    // Where nobody reads any more, `disconnect` decides.
                    let _ = events
                        .send(notification("notifications/progress", progress))
                        .await;
                }
            }
            let _ = events.send(finish(counted(plan.to).into_result())).await;
        };
        tokio::select! {
            () = counting => {}
            () = call.cancelled() => {}
            () = events.closed(), if disconnect == Disconnect::Cancels => {}
        }
    });
    body
}

/// Feeds `events` with the changes that `update` turns into messages, until the reader leaves, `over` is ready or the
/// server stops. Answers whether it was the server's stop.
pub(super) async fn relay_changes(
    sample: &Sample,
    mut changes: tokio::sync::broadcast::Receiver<Arc<str>>,
    events: &Events,
    update: impl Fn(&str) -> Option<Value>,
    over: impl Future<Output = ()>,
) -> bool {
    let relay = async {
        loop {
            match changes.recv().await {
                Ok(uri) => {
                    if let Some(message) = update(&uri) {
                        let _ = events.send(message).await;
                    }
                }
                // Updates carry no state: a lost one is repaired by the next.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            }
        }
    };
    tokio::select! {
        () = relay => false,
        () = over => false,
        () = events.closed() => false,
        () = sample.stopped() => true,
    }
}
