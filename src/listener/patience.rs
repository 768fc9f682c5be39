//! How long an answer over HTTP/2 waits for its caller to take it. In HTTP/1 whoever takes nothing blocks its connection, and
//! the write deadline of the socket sees it. In HTTP/2 a caller may leave the window of one stream shut and go on to talk on
//! others, so each answer needs patience of its own. An answer that waits for the upstream is not meant.
//!
//! The body of an answer is handed over in small pieces, and the next one is asked for when the caller has made room for the
//! one before. So "handed over and nothing asked for since" is the state that may not last. It is known where the body is
//! polled and acted upon where the whole answer is polled, which lie above each other in one task; a thread-local cell carries
//! it up. The timer is made when an answer waits for the first time, which most never do.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};

thread_local! {
    static HANDED: Cell<Handed> = const { Cell::new(Handed::Nothing) };
}

/// What the answer that is being polled on this thread has in the hands of the HTTP library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handed {
    /// Nothing that the caller could take.
    Nothing,
    /// A piece, handed over before this poll.
    Before,
    /// A piece, handed over in this poll.
    Now,
}

/// A body handed over a piece.
pub(super) fn handed_over() {
    HANDED.set(Handed::Now);
}

/// A body was asked for more: the caller has room for the piece before.
pub(super) fn asked_for_more() {
    HANDED.set(Handed::Nothing);
}

/// Runs the answers of one HTTP/2 connection and drops those that nobody takes, which resets their streams.
#[derive(Clone, Debug)]
pub(super) struct Patient<F> {
    limit: Duration,
    lost: F,
}

impl<F> Patient<F> {
    /// Waits so long for an answer to be taken, and calls `lost` when it was not.
    pub(super) const fn new(limit: Duration, lost: F) -> Self {
        Self { limit, lost }
    }
}

impl<A, F> Executor<A> for Patient<F>
where
    A: Future<Output = ()> + Send + 'static,
    F: Fn() + Clone + Send + Sync + 'static,
{
    fn execute(&self, answer: A) {
        tokio::spawn(Waiting {
            answer,
            handed: Handed::Nothing,
            timer: None,
            limit: self.limit,
            lost: self.lost.clone(),
        });
    }
}

pin_project! {
    /// One answer.
    struct Waiting<A, F> {
        #[pin]
        answer: A,
        handed: Handed,
        timer: Option<Pin<Box<Sleep>>>,
        limit: Duration,
        lost: F,
    }
}

impl<A: Future<Output = ()>, F: Fn()> Future for Waiting<A, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let before = match *this.handed {
            Handed::Nothing => Handed::Nothing,
            Handed::Before | Handed::Now => Handed::Before,
        };
        HANDED.set(before);
        let polled = this.answer.poll(cx);
        *this.handed = HANDED.get();
        if polled.is_ready() || *this.handed == Handed::Nothing {
            return polled;
        }
        let limit = *this.limit;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        if *this.handed == Handed::Now {
            timer.as_mut().reset(Instant::now() + limit);
        }
        if timer.as_mut().poll(cx).is_ready() {
            (this.lost)();
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// An answer that does what it is told, and knows whether it was dropped.
    enum Act {
        Hand,
        Ask,
    }

    struct Stage {
        acts: mpsc::UnboundedSender<Act>,
        lost: Arc<AtomicUsize>,
    }

    fn stage() -> Stage {
        let (acts, mut told) = mpsc::unbounded_channel();
        let lost = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&lost);
        Patient::new(LIMIT, move || {
            count.fetch_add(1, Ordering::SeqCst);
        })
        .execute(poll_fn(move |cx| {
            loop {
                match std::task::ready!(told.poll_recv(cx)) {
                    Some(Act::Hand) => handed_over(),
                    Some(Act::Ask) => asked_for_more(),
                    None => return Poll::Ready(()),
                }
            }
        }));
        Stage { acts, lost }
    }

    async fn is_dropped(stage: &Stage, within: Duration) -> bool {
        timeout(within, stage.acts.closed()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn r045_an_answer_that_nobody_takes_is_dropped() {
        let stage = stage();
        stage.acts.send(Act::Hand).unwrap();
        assert!(!is_dropped(&stage, LIMIT - Duration::from_secs(1)).await);
        assert!(is_dropped(&stage, Duration::from_secs(2)).await);
        assert_eq!(stage.lost.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_waits_for_the_upstream_may_wait() {
        let stage = stage();
        assert!(
            !is_dropped(&stage, 10 * LIMIT).await,
            "before its first piece"
        );
        stage.acts.send(Act::Hand).unwrap();
        assert!(!is_dropped(&stage, LIMIT / 2).await);
        stage.acts.send(Act::Ask).unwrap();
        assert!(
            !is_dropped(&stage, 10 * LIMIT).await,
            "what was handed over is taken"
        );
        assert_eq!(stage.lost.load(Ordering::SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn each_piece_has_its_own_time() {
        let stage = stage();
        for _ in 0..5 {
            stage.acts.send(Act::Ask).unwrap();
            stage.acts.send(Act::Hand).unwrap();
            assert!(!is_dropped(&stage, LIMIT - Duration::from_secs(1)).await);
        }
        assert!(is_dropped(&stage, Duration::from_secs(2)).await);
    }
}
