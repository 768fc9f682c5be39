//! A caller over HTTP/1 who closes its sending side behind a request. It may be waiting for the answer, which TLS and TCP both
//! allow (RFC 8446 section 6.1, RFC 9293 section 3.6), or it may be gone: the two look alike. The HTTP library drops the request
//! at once; so the end is kept from it for a moment, in which most answers are given. After that the caller counts as gone, and
//! the upstream is let go.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::activity::Activity;

/// How long the answer to a caller who sends nothing more may take to begin and end.
const MOMENT: Duration = Duration::from_secs(1);

/// Bytes whose end comes later while a request is under way.
#[derive(Debug)]
pub(super) struct Parting<I> {
    io: I,
    activity: Activity,
    ended: Option<Pin<Box<Sleep>>>,
}

impl<I> Parting<I> {
    pub(super) const fn new(io: I, activity: Activity) -> Self {
        Self {
            io,
            activity,
            ended: None,
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Parting<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ended.is_none() {
            let before = into.filled().len();
            ready!(Pin::new(&mut this.io).poll_read(cx, into))?;
            if into.filled().len() > before || into.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        let moment = this.ended.get_or_insert_with(|| Box::pin(sleep(MOMENT)));
        if this.activity.is_idle() {
            return Poll::Ready(Ok(()));
        }
        moment.as_mut().poll(cx).map(Ok)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Parting<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_a_moment_for_a_request_under_way_and_not_longer() {
        let (peer, io) = duplex(64);
        let activity = Activity::default();
        let mut parting = Parting::new(io, activity.clone());
        let under_way = activity.begin();
        drop(peer);
        let began = Instant::now();
        let half = timeout(MOMENT / 2, parting.read(&mut [0; 8])).await;
        assert!(half.is_err(), "the request is under way");
        assert_eq!(parting.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(began.elapsed().as_secs(), MOMENT.as_secs());
        drop(under_way);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_request_the_end_is_the_end() {
        let (peer, io) = duplex(64);
        let activity = Activity::default();
        let mut parting = Parting::new(io, activity.clone());
        drop(activity.begin());
        drop(peer);
        let began = Instant::now();
        assert_eq!(parting.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
