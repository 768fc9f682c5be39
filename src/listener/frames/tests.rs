//! Floods in pieces of every size, and what is said about what was sent.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::budget::Abuse;
use super::*;

type Reports = Vec<&'static str>;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![a, b, c, kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// What was reported.
type Heard = std::sync::mpsc::Receiver<&'static str>;
/// Where it is reported.
type Say = Box<dyn FnMut(&'static str)>;

fn guarded() -> (DuplexStream, Guard<DuplexStream, Say>, Heard, Closing) {
    let (peer, io) = duplex(1 << 20);
    let (say, heard) = std::sync::mpsc::channel();
    let closing = Closing::default();
    let budget = Budget::new(100, 80 * 1024);
    let say: Say = Box::new(move |reason| say.send(reason).unwrap());
    let guard = Guard::new(io, budget, closing.clone(), say);
    (peer, guard, heard, closing)
}

fn reports(heard: &Heard) -> Reports {
    heard.try_iter().collect()
}

/// Reads so much of what the library would read.
async fn read(guard: &mut (impl AsyncRead + Unpin), count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    guard.read_exact(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test(start_paused = true)]
async fn after_a_flood_the_library_reads_a_block_without_end() {
    for piece in [1, 7, 9, 17, 4096] {
        let (mut peer, mut guard, heard, _) = guarded();
        let mut sent = vec![b'p'; PREFACE];
        let ping = frame(kind::PING, 0, 0, &[1; 8]);
        for _ in 0..1500 {
            sent.extend(&ping);
        }
        peer.write_all(&sent).await.unwrap();
        // The frame that was one too many passes; the one after it does not.
        let whole = PREFACE + 1001 * ping.len();
        let mut seen = Vec::new();
        while seen.len() < whole {
            let count = piece.min(whole - seen.len());
            seen.extend(read(&mut guard, count).await);
        }
        assert_eq!(seen, sent[..whole]);
        assert_eq!(reports(&heard), [Abuse::Overhead.reason()]);
        let mut block = frame(kind::HEADERS, 0, LAST_STREAM, b"");
        for _ in 0..2000 {
            block.extend(frame(kind::CONTINUATION, 0, LAST_STREAM, b""));
        }
        assert_eq!(
            read(&mut guard, block.len()).await,
            block,
            "pieces of {piece}"
        );
        assert!(reports(&heard).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_block_of_the_peers_own_is_gone_on_with() {
    let (mut peer, mut guard, heard, _) = guarded();
    let mut sent = vec![b'p'; PREFACE];
    sent.extend(frame(kind::HEADERS, 0, 5, b"abc"));
    for _ in 0..20 {
        sent.extend(frame(kind::CONTINUATION, 0, 5, b""));
    }
    peer.write_all(&sent).await.unwrap();
    let passed = read(&mut guard, PREFACE + 12 + 13 * HEAD).await;
    assert_eq!(passed, sent[..passed.len()]);
    assert_eq!(reports(&heard), [Abuse::Block.reason()]);
    let next = frame(kind::CONTINUATION, 0, 5, b"");
    assert_eq!(read(&mut guard, next.len()).await, next);
}

#[tokio::test(start_paused = true)]
async fn what_the_library_refuses_is_reported_with_its_code() {
    let (_peer, mut guard, heard, _) = guarded();
    for (bytes, said) in [
        (
            frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 1]),
            vec!["http2_protocol_error"],
        ),
        (
            frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 7]),
            vec!["http2_refused_stream"],
        ),
        (frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 0]), vec![]),
        (frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8]), vec![]),
        (frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]), vec![]),
        (
            frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 3]),
            vec!["http2_flow_control"],
        ),
        (frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 3]), vec![]),
    ] {
        guard.write_all(&bytes).await.unwrap();
        assert_eq!(reports(&heard), said, "{bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rfc9113_s6_8_a_connection_that_is_closed_in_order_says_farewell_once() {
    let (mut peer, mut guard, _heard, closing) = guarded();
    let mut sent = vec![b'p'; PREFACE];
    sent.extend(frame(kind::HEADERS, flag::END_HEADERS, 7, b"abc"));
    peer.write_all(&sent).await.unwrap();
    read(&mut guard, sent.len()).await;
    closing.close();
    let end = guard.read(&mut [0; 64]).await.unwrap();
    assert_eq!(end, 0, "as if the peer had closed");
    guard.shutdown().await.unwrap();
    guard.shutdown().await.unwrap();
    drop(guard);
    let mut said = Vec::new();
    peer.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 7, 0, 0, 0, 0]));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_was_sent_away_is_heard_out_for_a_moment() {
    let (mut peer, mut guard, _heard, _) = guarded();
    let blame = frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 1]);
    guard.write_all(&blame).await.unwrap();
    peer.write_all(&[0; 100_000]).await.unwrap();
    let began = tokio::time::Instant::now();
    guard.shutdown().await.unwrap();
    assert_eq!(began.elapsed().as_secs(), LINGER_TIME.as_secs());
    let (guard_alone, fresh) = (guard, guarded());
    drop(guard_alone);
    let (peer, mut guard, ..) = fresh;
    guard.write_all(&blame).await.unwrap();
    drop(peer);
    let began = tokio::time::Instant::now();
    let _ = guard.shutdown().await;
    assert_eq!(
        began.elapsed().as_millis(),
        0,
        "whoever left is not waited for"
    );
}
