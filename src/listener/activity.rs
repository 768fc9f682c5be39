//! Whether a connection is used. HTTP/2 has no idle time of its own: whoever answers PINGs could hold a connection for ever
//! without a single request. So each answer is counted from its request to the end of its body, and a connection that has
//! had none for too long is closed.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::patience;
use super::room::Place;

/// The requests of one connection that are under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Activity(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    under_way: AtomicUsize,
    changed: Notify,
}

impl Activity {
    /// A request has begun; it lasts as long as the value.
    pub(super) fn begin(&self) -> UnderWay {
        self.0.under_way.fetch_add(1, Ordering::AcqRel);
        self.0.changed.notify_one();
        UnderWay(Arc::clone(&self.0))
    }

    /// Whether no request is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.0.under_way.load(Ordering::Acquire) == 0
    }

    /// Resolves when no request has been under way for `limit`.
    pub(super) async fn idle_for(&self, limit: Duration) {
        loop {
            let changed = self.0.changed.notified();
            if self.0.under_way.load(Ordering::Acquire) > 0 {
                changed.await;
            } else if timeout(limit, changed).await.is_err()
                && self.0.under_way.load(Ordering::Acquire) == 0
            {
                return;
            }
        }
    }
}

/// One request under way.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Shared>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}

/// A body that counts as activity, and holds its place in the process, to its end.
#[derive(Debug)]
pub(super) struct Counted<B> {
    body: B,
    /// What is left of a piece of the body that was larger than what is handed over at once.
    rest: Bytes,
    piece_bytes: usize,
    _under_way: UnderWay,
    _place: Option<Place>,
}

impl<B> Counted<B> {
    pub(super) const fn new(body: B, under_way: UnderWay, place: Option<Place>) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            piece_bytes: usize::MAX,
            _under_way: under_way,
            _place: place,
        }
    }

    /// The same in pieces of at most so many bytes, so that the caller's pace is seen and no more than a piece lies in
    /// the HTTP library.
    pub(super) fn in_pieces(mut self, bytes: usize) -> Self {
        self.piece_bytes = bytes;
        self
    }

    /// The part of a piece that is handed over now.
    fn hand(&mut self, mut data: Bytes) -> Bytes {
        if data.len() > self.piece_bytes {
            self.rest = data.split_off(self.piece_bytes);
        }
        patience::handed_over();
        data
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        patience::asked_for_more();
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(Frame::data(self.hand(rest)))));
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map_ok(|frame| frame.map_data(|data| self.hand(data)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_only_while_nothing_is_under_way() {
        let activity = Activity::default();
        let one = activity.begin();
        let two = activity.begin();
        assert!(
            timeout(10 * LIMIT, activity.idle_for(LIMIT)).await.is_err(),
            "two are under way"
        );
        drop(one);
        assert!(
            timeout(10 * LIMIT, activity.idle_for(LIMIT)).await.is_err(),
            "one is under way"
        );
        drop(two);
        assert!(
            timeout(LIMIT - Duration::from_secs(1), activity.idle_for(LIMIT))
                .await
                .is_err(),
            "not long enough"
        );
        assert!(timeout(2 * LIMIT, activity.idle_for(LIMIT)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_request_starts_the_time_again() {
        let activity = Activity::default();
        let waiting = activity.clone();
        let idle = tokio::spawn(async move { waiting.idle_for(LIMIT).await });
        for _ in 0..3 {
            tokio::time::sleep(LIMIT - Duration::from_secs(1)).await;
            drop(activity.begin());
            assert!(!idle.is_finished());
        }
        tokio::time::sleep(LIMIT + Duration::from_secs(1)).await;
        assert!(idle.is_finished());
    }
}
