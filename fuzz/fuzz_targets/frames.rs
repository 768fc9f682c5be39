//! The guard on HTTP/2 frames stops at the same frame in whatever pieces octets come, and where a second count says so; it
//! holds nothing back. The first two bytes say how large the pieces are and how much is read at once; what stands behind a
//! line `---` was sent by the gateway before.
#![no_main]

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use libfuzzer_sys::fuzz_target;
use sallygate::listener::frames::budget::Budget;
use sallygate::listener::frames::{Closing, Guard};
use sallygate_fuzz::parts;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::runtime::{Builder, Runtime};

const STREAMS: u32 = 100;
const BLOCK_BYTES: u32 = 20_000;
const PREFACE: usize = 24;
/// So much of the endless block is read.
const BAIT: usize = 100;

/// Time stands still, or a slow machine would be more lenient than a fast one.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build();
    runtime.expect("a runtime")
});

fuzz_target!(|data: &[u8]| {
    let [piece, room, octets @ ..] = data else {
        return;
    };
    let (came, sent) = parts(octets);
    let expected = second(came, sent);
    let (piece, room) = (usize::from(*piece) + 1, usize::from(*room) + 1);
    for (piece, room) in [(usize::MAX, 16_384), (1, 16_384), (piece, room)] {
        let seen = RUNTIME.block_on(guarded(came, sent, piece, room));
        assert_eq!(seen, expected, "in pieces of {piece}, read by {room}");
    }
});

/// What the library reads, and what is said about the peer.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    read: Vec<u8>,
    reports: Vec<&'static str>,
}

async fn guarded(came: &[u8], sent: &[u8], piece: usize, room: usize) -> Seen {
    let taken = Rc::new(RefCell::new(0));
    let peer = Peer {
        octets: came.to_vec(),
        taken: Rc::clone(&taken),
        piece,
    };
    let mut seen = Seen::default();
    let mut reports = Vec::new();
    let budget = Budget::new(STREAMS, BLOCK_BYTES);
    let mut guard = Guard::new(peer, budget, Closing::default(), |reason| {
        reports.push(reason);
    });
    for piece in sent.chunks(piece) {
        guard.write_all(piece).await.expect("room for all");
    }
    let mut buffer = vec![0; room];
    while seen.read.len() < came.len() + BAIT {
        let count = guard.read(&mut buffer).await.expect("octets");
        if count == 0 {
            break;
        }
        seen.read.extend_from_slice(&buffer[..count]);
        let ahead = taken.borrow().saturating_sub(seen.read.len());
        assert!(ahead < room, "{ahead} octets are held");
    }
    drop(guard);
    seen.read.truncate(came.len() + BAIT);
    seen.reports = reports;
    seen
}

/// The other end: it says what it has to say in pieces, and takes whatever it is told.
struct Peer {
    octets: Vec<u8>,
    taken: Rc<RefCell<usize>>,
    piece: usize,
}

impl AsyncRead for Peer {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut taken = self.taken.borrow_mut();
        let rest = &self.octets[*taken..];
        let here = rest.len().min(self.piece).min(into.remaining());
        into.put_slice(&rest[..here]);
        *taken += here;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A frame as it lies among others: its head, its payload as far as it is there, and where it ends.
struct Frame<'o> {
    kind: u8,
    flags: u8,
    stream: u32,
    length: u32,
    payload: &'o [u8],
    end: usize,
}

fn frames(octets: &[u8], mut at: usize) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    while let Some(&[a, b, c, kind, flags, d, e, f, g]) = octets.get(at..at.saturating_add(9)) {
        let length = u32::from_be_bytes([0, a, b, c]);
        let end = at + 9 + length as usize;
        let payload = &octets[at + 9..end.min(octets.len())];
        // Of these kinds the code is waited for.
        let told = match kind {
            3 => length.min(4),
            7 => length.min(8),
            _ => 0,
        };
        if payload.len() < told as usize {
            break;
        }
        frames.push(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes([d & 0x7f, e, f, g]),
            length,
            payload,
            end,
        });
        at = end;
    }
    frames
}

/// The same by plain counting over everything at once.
fn second(came: &[u8], sent: &[u8]) -> Seen {
    let mut reports = blamed(sent);
    let (mut overhead, mut resets) = (1000, 100);
    let (mut blocks, mut is_acknowledged) = (0, false);
    let (mut block, mut pieces) = (0, 0);
    let most = 8 + BLOCK_BYTES / 16_384;
    for frame in frames(came, PREFACE) {
        let is_open = matches!(frame.kind, 1 | 9) && frame.flags & 4 == 0;
        let open = if is_open { frame.stream } else { 0 };
        match frame.kind {
            // Data is free, and so is the end of a stream.
            0 if frame.length > 0 || frame.flags & 1 == 1 => {}
            1 | 9 => {
                if frame.kind == 1 {
                    (block, pieces) = (0, 0);
                    blocks += 1;
                }
                block += frame.length;
                pieces += 1;
            }
            3 => resets -= 1,
            4 if frame.flags & 1 == 1 => {
                is_acknowledged = true;
                overhead -= 1;
            }
            4 => overhead -= 10,
            _ => overhead -= 1,
        }
        let reason = if overhead < 0 {
            "http2_frame_flood"
        } else if resets < 0 {
            "http2_reset_flood"
        } else if !is_acknowledged && blocks > 100 {
            "http2_settings_ignored"
        } else if block > BLOCK_BYTES || pieces > most {
            "http2_header_flood"
        } else {
            continue;
        };
        reports.push(reason);
        let mut read = came[..frame.end.min(came.len())].to_vec();
        if frame.end <= came.len() {
            let mut kind = if open == 0 { 1 } else { 9 };
            let stream = if open == 0 { 0x7fff_ffff } else { open };
            while read.len() < came.len() + BAIT {
                read.extend([0, 0, 0, kind, 0]);
                read.extend(stream.to_be_bytes());
                kind = 9;
            }
            read.truncate(came.len() + BAIT);
        }
        return Seen { read, reports };
    }
    let read = came.to_vec();
    Seen { read, reports }
}

/// What is said about a peer to whom this was sent: each reset that blames it, and the first farewell that does.
fn blamed(sent: &[u8]) -> Vec<&'static str> {
    let mut reports = Vec::new();
    let mut is_blamed = false;
    for frame in frames(sent, 0) {
        let skipped = match frame.kind {
            3 => 0,
            7 if !is_blamed => 4,
            _ => continue,
        };
        let Some(&[0, 0, 0, code]) = frame.payload.get(skipped..skipped + 4) else {
            continue;
        };
        let reason = match code {
            1 => "http2_protocol_error",
            3 => "http2_flow_control",
            5 => "http2_stream_closed",
            6 => "http2_frame_size",
            7 => "http2_refused_stream",
            9 => "http2_compression",
            11 => "http2_enhance_your_calm",
            _ => continue,
        };
        reports.push(reason);
        is_blamed |= frame.kind == 7;
    }
    reports
}
