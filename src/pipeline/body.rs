//! The body of every answer: complete, or relayed as it comes. It carries the [`Trail`] of its request to the very end, so
//! that the audit line is written when the last byte left, or when the caller went away, and exactly once.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::trail::{End, Trail};
use crate::upstream::UpstreamError;

/// A body that is relayed piece by piece.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, UpstreamError>> + Send>>;

/// What the listener sends.
pub struct ReplyBody {
    content: Content,
    trail: Option<Trail>,
    /// What the caller sent and nobody read. HTTP/2 resets a stream whose request body is dropped before the answer is
    /// complete, and the caller would never see the refusal.
    unread: Option<Incoming>,
}

enum Content {
    Full(Bytes),
    Pieces(Pieces),
}

impl ReplyBody {
    /// A body that is known in full.
    pub const fn full(bytes: Bytes) -> Self {
        Self {
            content: Content::Full(bytes),
            trail: None,
            unread: None,
        }
    }

    /// A body that comes piece by piece.
    pub fn pieces(pieces: Pieces) -> Self {
        Self {
            content: Content::Pieces(pieces),
            trail: None,
            unread: None,
        }
    }

    /// Ties the request's trail to this body's end.
    pub fn carry(&mut self, trail: Trail) {
        self.trail = Some(trail);
    }

    /// Keeps what is left of the request's body until this body's end.
    pub fn hold(&mut self, unread: Incoming) {
        self.unread = Some(unread);
    }

    fn close(&mut self, end: End) {
        if let Some(trail) = self.trail.take() {
            trail.finish(end);
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let polled = match &mut self.content {
            Content::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Full(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Content::Pieces(pieces) => pieces.as_mut().poll_next(cx),
        };
        match &polled {
            Poll::Ready(None) => self.close(End::Complete),
            Poll::Ready(Some(Err(error))) => {
                let end = End::Broken(error.reason());
                self.close(end);
            }
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled.map(|item| item.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.content, Content::Full(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Pieces(_) => SizeHint::default(),
        }
    }
}

impl Drop for ReplyBody {
    /// A full body that was handed over is complete, even though nobody asked for its end; a stream that is dropped before
    /// its end means that the caller went away.
    fn drop(&mut self) {
        let end = if self.is_end_stream() {
            End::Complete
        } else {
            End::CallerLeft
        };
        self.close(end);
    }
}
