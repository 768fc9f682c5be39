//! A guard on the frames of an HTTP/2 connection, between TLS and the HTTP library.
//!
//! - **Protects** from floods of frames that the library answers one by one without counting them (RFC 9113 section 10.5).
//! - **Assumes** that the library refuses what is malformed, and sees in what it sends that it did.
//! - **Hands on** the bytes as they are.
//! - **Refuses** by changing what the library reads next: instead of the peer's frames it gets a header block without an
//!   end, which it answers as it answers any: with GOAWAY and ENHANCE_YOUR_CALM, and with the end of every stream. So there is
//!   one way in which connections end, and requests that were under way leave their lines.

pub mod budget;
pub mod walker;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use budget::Budget;
use walker::{Frame, HEAD, Walker, flag, kind};

/// The octets with which every client begins (RFC 9113 section 3.4).
const PREFACE: usize = 24;
/// A peer that was told to go may still be sending. So much is read and forgotten, for so long, since a connection that is
/// closed with unread bytes is reset, and the reset may overtake what the peer was told.
const LINGER_BYTES: usize = 256 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);
/// The stream of the block that ends a connection: the last that a client could open.
const LAST_STREAM: u32 = 0x7fff_ffff;

/// Ends a connection in order when it is told to, as if the peer had closed it.
#[derive(Clone, Debug, Default)]
pub struct Closing(Arc<AtomicBool>);

impl Closing {
    /// Closes. The connection has to be polled afterwards.
    pub fn close(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The guarded bytes of a connection. `R` hears the reason of everything that was refused.
#[derive(Debug)]
pub struct Guard<I, R> {
    io: I,
    input: Walker,
    output: Walker,
    budget: Budget,
    report: R,
    closing: Closing,
    /// The peer was found to misbehave; at the end of its frame the bait begins.
    is_tripped: bool,
    bait: Bait,
    /// The highest stream that the peer opened.
    last_stream: u32,
    farewell: Farewell,
    lingering: Option<(usize, Pin<Box<Sleep>>)>,
}

/// Whether the peer was told that the connection ends.
#[derive(Debug, PartialEq, Eq)]
enum Farewell {
    Unsaid,
    /// Ours is being written, from this octet on.
    Saying([u8; HEAD + 8], usize),
    Said,
    /// The peer was told that it misbehaves.
    Blamed,
}

impl<I, R: FnMut(&'static str)> Guard<I, R> {
    /// Guards a connection before its first byte.
    pub fn new(io: I, budget: Budget, closing: Closing, report: R) -> Self {
        Self {
            io,
            input: Walker::before(PREFACE),
            output: Walker::before(0),
            budget,
            report,
            closing,
            is_tripped: false,
            bait: Bait::default(),
            last_stream: 0,
            farewell: Farewell::Unsaid,
            lingering: None,
        }
    }

    /// Looks at what came, and answers how much of it may be handed on.
    fn look(&mut self, fresh: &[u8]) -> usize {
        let mut rest = fresh;
        while !self.is_tripped {
            let Some(frame) = self.input.next(&mut rest) else {
                return fresh.len();
            };
            self.bait.follow(&frame);
            if frame.kind == kind::HEADERS {
                self.last_stream = self.last_stream.max(frame.stream);
            }
            if let Err(abuse) = self.budget.incoming(&frame) {
                self.is_tripped = true;
                (self.report)(abuse.reason());
            }
        }
        self.input.finish(&mut rest);
        fresh.len() - rest.len()
    }

    /// Looks at what was sent.
    fn sent(&mut self, mut bytes: &[u8]) {
        while let Some(frame) = self.output.next(&mut bytes) {
            self.budget.outgoing(&frame);
            match frame.kind {
                kind::GOAWAY => self.went_away(frame.code),
                kind::RST_STREAM if !self.is_tripped => self.refused(frame.code),
                _ => {}
            }
        }
    }

    fn went_away(&mut self, code: u32) {
        let is_first = self.farewell != Farewell::Blamed;
        match blame(code) {
            Some(reason) if is_first => {
                self.farewell = Farewell::Blamed;
                if !self.is_tripped {
                    (self.report)(reason);
                }
            }
            Some(_) => {}
            None if is_first => self.farewell = Farewell::Said,
            None => {}
        }
    }

    fn refused(&mut self, code: u32) {
        if let Some(reason) = blame(code) {
            (self.report)(reason);
        }
    }
}

/// The reason by which a peer's fault is known; nothing for codes that blame nobody (RFC 9113 section 7).
const fn blame(code: u32) -> Option<&'static str> {
    Some(match code {
        1 => "http2_protocol_error",
        3 => "http2_flow_control",
        5 => "http2_stream_closed",
        6 => "http2_frame_size",
        7 => "http2_refused_stream",
        9 => "http2_compression",
        11 => "http2_enhance_your_calm",
        _ => return None,
    })
}

impl<I: AsyncRead + Unpin, R: FnMut(&'static str) + Unpin> AsyncRead for Guard<I, R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.is_tripped && this.input.at_boundary() {
            this.bait.fill(into);
            return Poll::Ready(Ok(()));
        }
        if this.closing.is_told() {
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, into))?;
        let fresh = into.filled().get(before..).unwrap_or_default();
        if !fresh.is_empty() {
            let kept = this.look(fresh);
            into.set_filled(before + kept);
            if kept == 0 {
                // Nothing would mean the end.
                this.bait.fill(into);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<I, R> AsyncWrite for Guard<I, R>
where
    I: AsyncRead + AsyncWrite + Unpin,
    R: FnMut(&'static str) + Unpin,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.sent(bytes.get(..count).unwrap_or_default());
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, pieces))?;
        let mut left = count;
        for piece in pieces {
            let here = left.min(piece.len());
            self.sent(piece.get(..here).unwrap_or_default());
            left -= here;
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.poll_farewell(cx))?;
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        }
        if this.farewell != Farewell::Blamed {
            return Poll::Ready(Ok(()));
        }
        this.poll_linger(cx)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin, R> Guard<I, R> {
    /// Tells the peer up to which stream it was heard (RFC 9113 section 6.8), where the library did not: a client then knows that
    /// what it sent at the same moment may be sent again.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.farewell == Farewell::Unsaid && self.output.at_boundary() && !self.is_tripped {
            let mut frame = [0; HEAD + 8];
            let head = [0, 0, 8, kind::GOAWAY, 0, 0, 0, 0, 0];
            let octets = head.into_iter().chain(self.last_stream.to_be_bytes());
            for (place, octet) in frame.iter_mut().zip(octets) {
                *place = octet;
            }
            self.farewell = Farewell::Saying(frame, 0);
        }
        while let Farewell::Saying(frame, at) = &mut self.farewell {
            let rest = frame.get(*at..).unwrap_or_default();
            if rest.is_empty() {
                self.farewell = Farewell::Said;
            } else {
                *at += ready!(Pin::new(&mut self.io).poll_write(cx, rest))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let fresh = || (LINGER_BYTES, Box::pin(sleep(LINGER_TIME)));
        let (left, until) = self.lingering.get_or_insert_with(fresh);
        let mut room = [0; 4096];
        while *left > 0 && until.as_mut().poll(cx).is_pending() {
            let mut read = ReadBuf::new(&mut room);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => {
                    *left = left.saturating_sub(read.filled().len());
                }
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// A header block without an end. Where the peer's own block is open it goes on with that, or the library would complain about
/// the order of frames instead.
#[derive(Debug, Default)]
struct Bait {
    /// The stream of the open block, 0 without one.
    open: u32,
    /// Octets of the frame that is being handed out.
    rest: Vec<u8>,
}

impl Bait {
    /// Keeps in mind whether a block of the peer's is open.
    const fn follow(&mut self, frame: &Frame) {
        match frame.kind {
            kind::HEADERS | kind::CONTINUATION if frame.flags & flag::END_HEADERS == 0 => {
                self.open = frame.stream;
            }
            _ => self.open = 0,
        }
    }

    fn fill(&mut self, into: &mut ReadBuf<'_>) {
        while into.remaining() > 0 {
            if self.rest.is_empty() {
                let kind = match self.open {
                    0 => kind::HEADERS,
                    _ => kind::CONTINUATION,
                };
                self.open = if self.open == 0 {
                    LAST_STREAM
                } else {
                    self.open
                };
                let [a, b, c, d] = self.open.to_be_bytes();
                self.rest = vec![0, 0, 0, kind, 0, a, b, c, d];
            }
            let here = self.rest.len().min(into.remaining());
            into.put_slice(self.rest.get(..here).unwrap_or_default());
            self.rest.drain(..here);
        }
    }
}

#[cfg(test)]
mod tests;
