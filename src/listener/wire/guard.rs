//! The thin rim around the [`Follower`]: a stream that reads from another one only what may be read. Writing is untouched;
//! closing after a fault takes its time, so that the answer is not lost in a reset.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::{Fault, Follower, Rules};

/// What the parser gets in place of a refused head. No caller can send it: asterisk-form is refused.
const MARK: &[u8] = b"OPTIONS * HTTP/1.1\r\nconnection: close\r\n\r\n";

/// The target of the mark.
const MARKED: &str = "*";

/// A refused peer that is still sending gets so much more time to read its answer, and may send so much more meanwhile.
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 2 * 1024 * 1024;

/// What was found on a connection, for whoever answers on it.
#[derive(Clone, Debug, Default)]
pub struct Findings(Arc<OnceLock<Fault>>);

impl Findings {
    /// The fault that this request stands for, if it is no request but a mark.
    pub fn of<B>(&self, request: &Request<B>) -> Option<Fault> {
        (request.uri().path() == MARKED).then(|| self.0.get().copied().unwrap_or(Fault::Target))
    }
}

/// A stream that is read through the guard.
#[derive(Debug)]
pub struct Guard<I> {
    io: I,
    follower: Follower,
    findings: Findings,
    /// How much of the mark was read.
    marked: usize,
    lingering: Option<Lingering>,
}

#[derive(Debug)]
struct Lingering {
    until: Pin<Box<Sleep>>,
    left: usize,
}

impl<I> Guard<I> {
    /// Guards a stream, and says where to look for what was found.
    pub fn new(io: I, rules: Rules) -> (Self, Findings) {
        let findings = Findings::default();
        let guard = Self {
            io,
            follower: Follower::new(rules),
            findings: findings.clone(),
            marked: 0,
            lingering: None,
        };
        (guard, findings)
    }

    /// Hands on what is there already: settled octets, and behind them what tells the reader of a fault.
    fn ready(&mut self, buf: &mut ReadBuf<'_>) -> Option<Poll<io::Result<()>>> {
        let settled = self.follower.settled();
        if !settled.is_empty() {
            let read = put(settled, buf);
            self.follower.release(read);
            return Some(Poll::Ready(Ok(())));
        }
        let fault = self.follower.fault()?;
        let _ = self.findings.0.set(fault);
        if fault.is_in_body() {
            return Some(Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                fault,
            ))));
        }
        let rest = MARK.get(self.marked..).unwrap_or_default();
        if rest.is_empty() {
            // Nothing more will ever come; the answer ends the connection, or the peer's going does.
            return Some(Poll::Pending);
        }
        self.marked = self.marked.saturating_add(put(rest, buf));
        Some(Poll::Ready(Ok(())))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Guard<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Nothing read into no room at all is not the end of the stream.
        while buf.remaining() > 0 {
            if let Some(ready) = self.ready(buf) {
                return ready;
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
            let fresh = buf.filled().get(before..).unwrap_or_default();
            if fresh.is_empty() {
                self.follower.end();
                if self.follower.fault().is_some() {
                    continue;
                }
                return Poll::Ready(Ok(()));
            }
            let passed = self.follower.take(fresh);
            buf.set_filled(before.saturating_add(passed));
            if passed > 0 {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            if self.follower.fault().is_none() {
                return Poll::Ready(Ok(()));
            }
            self.lingering = Some(Lingering {
                until: Box::pin(sleep(LINGER_TIME)),
                left: LINGER_BYTES,
            });
        }
        let Self { io, lingering, .. } = &mut *self;
        match lingering {
            Some(lingering) => lingering.poll(io, cx).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

impl Lingering {
    /// Reads and forgets. A socket that is closed while something lies unread in it resets the connection, and with it the
    /// answer that the peer has not read yet (RFC 9112 section 9.6).
    fn poll<I: AsyncRead + Unpin>(&mut self, io: &mut I, cx: &mut Context<'_>) -> Poll<()> {
        let mut forgotten = [0_u8; 4096];
        while self.left > 0 && self.until.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut forgotten);
            match ready!(Pin::new(&mut *io).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {
                    self.left = self.left.saturating_sub(buf.filled().len());
                }
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

/// As much as there is room for.
fn put(octets: &[u8], buf: &mut ReadBuf<'_>) -> usize {
    let fits = octets.len().min(buf.remaining());
    buf.put_slice(octets.get(..fits).unwrap_or_default());
    fits
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const GOOD: &[u8] = b"POST /mcp HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 3\r\n\r\nabc";
    const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

    fn guarded(room: usize) -> (DuplexStream, Guard<DuplexStream>, Findings) {
        let (peer, io) = duplex(room);
        let rules = Rules {
            head_bytes: 4096,
            field_count: 10,
            is_encrypted: true,
        };
        let (guard, findings) = Guard::new(io, rules);
        (peer, guard, findings)
    }

    /// What can be read before the guard waits for more, so many octets at a time.
    async fn read_at_most(guard: &mut Guard<DuplexStream>, room: usize) -> Vec<u8> {
        let mut all = Vec::new();
        let mut piece = vec![0; room];
        loop {
            let reading = guard.read(&mut piece);
            // Everything is there already, so whoever has to wait would wait for ever.
            match tokio::time::timeout(Duration::from_secs(1), reading).await {
                Ok(read) => all.extend_from_slice(&piece[..read.unwrap()]),
                Err(_) => return all,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_head_is_replaced_whole_by_the_mark_however_little_is_read_at_once() {
        for room in [1, 7, 8192] {
            for cut in [0, 10, GOOD.len(), GOOD.len() + 5] {
                let (mut peer, mut guard, findings) = guarded(8192);
                let all = [GOOD, GOOD, b"GET / HTTP/1.1\nHost: gw.test\r\n\r\n", GOOD].concat();
                peer.write_all(&all[..cut]).await.unwrap();
                let mut read = read_at_most(&mut guard, room).await;
                peer.write_all(&all[cut..]).await.unwrap();
                read.extend(read_at_most(&mut guard, room).await);
                assert_eq!(read, [GOOD, GOOD, MARK].concat(), "{room} {cut}");
                let mark = Request::options("*").body(()).unwrap();
                assert_eq!(findings.of(&mark), Some(Fault::LineEnd));
                assert_eq!(findings.of(&Request::new(())), None, "a request is no mark");
            }
        }
    }

    #[tokio::test]
    async fn a_fault_in_a_body_breaks_the_body_off_and_names_itself() {
        let (mut peer, mut guard, _) = guarded(8192);
        peer.write_all(&[CHUNKED, b"3\r\nabc\r\n1;x\r\na\r\n"].concat())
            .await
            .unwrap();
        let mut read = Vec::new();
        let error = guard.read_to_end(&mut read).await.unwrap_err();
        let fault = error.get_ref().and_then(|fault| fault.downcast_ref());
        assert_eq!(fault, Some(&Fault::ChunkExtension));
        assert_eq!(read, [CHUNKED, b"3\r\nabc\r\n1"].concat());
        assert!(guard.read(&mut [0; 8]).await.is_err(), "for good");
    }

    #[tokio::test]
    async fn the_end_of_the_stream_is_an_end_unless_a_head_breaks_off() {
        for (sent, read) in [
            (GOOD, GOOD.to_vec()),
            (b"", Vec::new()),
            (b"\r\n", Vec::new()),
        ] {
            let (mut peer, mut guard, _) = guarded(8192);
            peer.write_all(sent).await.unwrap();
            peer.shutdown().await.unwrap();
            let mut all = Vec::new();
            guard.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, read);
        }
        let (mut peer, mut guard, findings) = guarded(8192);
        peer.write_all(b"GET / HT").await.unwrap();
        peer.shutdown().await.unwrap();
        let mut mark = vec![0; MARK.len()];
        guard.read_exact(&mut mark).await.unwrap();
        assert_eq!(mark, MARK);
        let mark = Request::options("*").body(()).unwrap();
        assert_eq!(findings.of(&mark), Some(Fault::Truncated));
    }

    #[tokio::test(start_paused = true)]
    async fn rfc9112_s9_6_a_refused_peer_is_heard_out_for_a_bounded_time_and_length() {
        let refused = async || {
            let (mut peer, mut guard, _) = guarded(8192);
            peer.write_all(b" GET").await.unwrap();
            let mut mark = vec![0; MARK.len()];
            guard.read_exact(&mut mark).await.unwrap();
            (peer, guard)
        };
        let began = tokio::time::Instant::now();
        let (silent, mut guard) = refused().await;
        guard.shutdown().await.unwrap();
        assert_eq!(began.elapsed(), LINGER_TIME, "one who is silent");
        drop(silent);

        let began = tokio::time::Instant::now();
        let (gone, mut guard) = refused().await;
        drop(gone);
        guard.shutdown().await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO, "one who has gone");

        let (mut endless, mut guard) = refused().await;
        let sending = tokio::spawn(async move {
            let mut sent = 0;
            while let Ok(more) = endless.write(&[b'a'; 4096]).await {
                sent += more;
            }
            sent
        });
        guard.shutdown().await.unwrap();
        drop(guard);
        let sent = sending.await.unwrap();
        assert!(
            (LINGER_BYTES..LINGER_BYTES + 16_384).contains(&sent),
            "one who never stops: {sent}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_good_connection_is_closed_at_once() {
        let (mut peer, mut guard, _) = guarded(8192);
        peer.write_all(GOOD).await.unwrap();
        let began = tokio::time::Instant::now();
        guard.read_exact(&mut vec![0; GOOD.len()]).await.unwrap();
        guard.shutdown().await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
