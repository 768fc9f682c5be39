//! Peers that take their time: each phase of a connection has a deadline of its own, after which nothing of the peer is left,
//! and whoever calls beside them is served. The deadlines are set short; that they come at all is what is seen.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::http2::Call;
use crate::harness::client::Http;
use crate::harness::frames::*;
use crate::harness::gateway::{Plan, Rig, Who};
use crate::harness::mcp::LEGACY;
use crate::harness::piecemeal::Piecemeal;
use crate::harness::raw::{Connection, status};
use crate::harness::upstream::Answer;
use crate::harness::{audit, wait};

async fn rig(limits: &str) -> Rig {
    let rig = Plan::new()
        .settings(&format!(
            "limits: {{ head_timeout: 1s, body_timeout: 1s, write_timeout: 1s, {limits} }}"
        ))
        .listen("tls: { handshake_timeout: 1s }")
        .start()
        .await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    rig
}

async fn served_beside(rig: &Rig) {
    let caller = rig.caller_by(Http::Two, &Who::new("bob"));
    assert_eq!(caller.legacy("ping", json!({})).await.status, 200);
}

async fn served_again(rig: &Rig) {
    let caller = rig.caller("bob");
    wait::until("room", async || {
        (caller.legacy("ping", json!({})).await.status == 200).then_some(())
    })
    .await;
}

/// Writes these bytes one by one, and waits until the other side has closed.
async fn drip(address: SocketAddr, bytes: &[u8]) {
    let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    let bytes = bytes.to_vec();
    let dripping = tokio::spawn(async move {
        for byte in bytes {
            if write.write_all(&[byte]).await.is_err() {
                break;
            }
            // The slowness that the test is about.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        write
    });
    let mut said = Vec::new();
    let _ = wait::soon("the connection to be closed", read.read_to_end(&mut said)).await;
    dripping.abort();
}

fn head(token: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nMCP-Protocol-Version: {LEGACY}\r\n\
         Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
    )
}

fn call_by_http1(token: &str) -> String {
    let body = Call::new("", "slow").body;
    format!(
        "{}Content-Length: {}\r\n\r\n{body}",
        head(token),
        body.len()
    )
}

#[tokio::test]
async fn r045_a_handshake_that_never_ends_is_dropped() {
    let rig = rig("").await;
    // A record that announces 512 bytes of a ClientHello.
    let hello = [&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &[7; 400]].concat();
    tokio::join!(drip(rig.address, &[]), drip(rig.address, &hello));
    served_beside(&rig).await;
    let failed = "sallygate_tls_handshakes_total{result=\"failed\"} 2";
    wait::until("the count", async || {
        rig.metrics().await.contains(failed).then_some(())
    })
    .await;
    rig.upstream.only_request();
}

#[tokio::test]
async fn r045_a_slow_head_ends_its_connection_over_both_http() {
    let rig = rig("").await;
    let token = rig.token(&Who::new("alice"));
    let mut one = Connection::open_tls(rig.address, &rig.ca_file).await;
    one.send(&head(&token)).await;
    let block = block(&Call::new("", "slow").fields);
    let mut two = Framed::open(rig.address, &rig.ca_file).await;
    two.send(&frame(HEADERS, 0, 1, &block)).await;
    let mut silent = Framed::silent(rig.address, &rig.ca_file).await;
    let mut torn = Framed::open(rig.address, &rig.ca_file).await;
    torn.send(&frame(HEADERS, END_HEADERS, 1, &block)[..40])
        .await;
    served_beside(&rig).await;
    tokio::join!(one.rest(), two.rest(), silent.rest(), torn.rest());
    rig.upstream.only_request();
}

#[tokio::test]
async fn an_unfinished_frame_ends_a_connection_although_it_has_a_stream() {
    let rig = rig("").await;
    let (answer, feed) = Answer::sse();
    rig.upstream.will(answer);
    let bearer = format!("Bearer {}", rig.token(&Who::new("alice")));
    let mut listen = Call::new(&bearer, "");
    listen.fields[0].1 = "GET";
    let mut peer = Framed::open(rig.address, &rig.ca_file).await;
    peer.send(&listen.head(1, END_STREAM)).await;
    let note = json!({"jsonrpc": "2.0", "method": "notifications/message"});
    let (head, ()) = tokio::join!(
        peer.until("the stream", |got| got.kind == HEADERS),
        feed.event(&note)
    );
    assert_eq!(head.status(), 200);
    // Whoever is in the middle of a frame cannot answer a PING.
    peer.send(&frame(DATA, 0, 3, &[0; 100])[..20]).await;
    peer.rest().await;
    feed.abandoned().await;
}

#[tokio::test]
async fn rfc9113_s9_1_an_idle_connection_is_told_that_it_ends() {
    let rig = rig("").await;
    let bearer = format!("Bearer {}", rig.token(&Who::new("alice")));
    let mut peer = Framed::open(rig.address, &rig.ca_file).await;
    peer.send(&frame(SETTINGS, ACK, 0, &[])).await;
    peer.send(&Call::new(&bearer, "once").on(5)).await;
    let all = peer.rest().await;
    let last = all.last().unwrap();
    assert_eq!((last.kind, last.code()), (GOAWAY, 0), "{all:?}");
    assert_eq!(last.payload[..4], [0, 0, 0, 5], "what was heard");
    let mut one = Connection::open_tls(rig.address, &rig.ca_file).await;
    one.send(call_by_http1(&rig.token(&Who::new("alice"))))
        .await;
    assert_eq!(status(&one.rest().await), 200);
}

#[tokio::test]
async fn r045_a_slow_body_is_answered_408_over_both_http() {
    let rig = rig("").await;
    for http in [Http::One, Http::Two] {
        let begun = Piecemeal {
            token: &rig.token(&Who::new("alice")),
            declared: Some(100),
            pieces: vec![r#"{"jsonrpc""#.into()],
            ends: false,
        };
        let (status, _) = begun.post(&rig, http).await;
        assert_eq!(status, 408);
    }
    rig.upstream.saw_nothing();
    served_beside(&rig).await;
}

/// An answer that fits no buffer.
fn large() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "result": {"text": "x".repeat(24 << 20)}})
}

/// Waits for the line of a request whose answer was cut.
async fn cut(rig: &Rig) {
    let line = audit::line_of(rig.audit_dir(), |line| {
        line["details"]["ended"] == "caller_left"
    })
    .await;
    assert_eq!(line["user_id"], "alice", "{line}");
}

#[tokio::test]
async fn r045_whoever_takes_nothing_of_an_answer_loses_it_over_http1() {
    let rig = rig("requests: 1").await;
    rig.upstream.will(Answer::json(&large()));
    let mut reader = Connection::open_tls(rig.address, &rig.ca_file).await;
    reader
        .send(call_by_http1(&rig.token(&Who::new("alice"))))
        .await;
    reader.read_to("HTTP/1.1 200 OK").await;
    cut(&rig).await;
    served_again(&rig).await;
    drop(reader);
}

#[tokio::test]
async fn r045_whoever_takes_nothing_of_an_answer_loses_it_over_http2() {
    let rig = rig("requests: 1").await;
    let bearer = format!("Bearer {}", rig.token(&Who::new("alice")));
    rig.upstream.will(Answer::json(&large()));
    let widest = setting(4, 0x7fff_ffff);
    let mut reader = Framed::with_settings(rig.address, &rig.ca_file, &widest).await;
    reader
        .send(&frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]))
        .await;
    reader.send(&Call::new(&bearer, "large").on(1)).await;
    reader.until("the answer", |got| got.kind == HEADERS).await;
    cut(&rig).await;
    served_again(&rig).await;
    drop(reader);
}

#[tokio::test]
async fn r045_a_window_that_stays_shut_ends_its_stream_and_not_the_connection() {
    for window in [0, 1] {
        let rig = rig("requests: 1").await;
        let bearer = format!("Bearer {}", rig.token(&Who::new("alice")));
        rig.upstream.will(Answer::json(&large()));
        let shut = setting(4, window);
        let mut reader = Framed::with_settings(rig.address, &rig.ca_file, &shut).await;
        reader.send(&frame(SETTINGS, ACK, 0, &[])).await;
        reader.send(&Call::new(&bearer, "shut").on(1)).await;
        // It answers every PING and is as alive as can be.
        let reset = loop {
            let got = reader.next().await.expect("the connection goes on");
            match got.kind {
                PING if got.flags & ACK == 0 => {
                    reader.send(&frame(PING, ACK, 0, &got.payload)).await
                }
                RST_STREAM => break got,
                _ => assert_ne!(got.kind, GOAWAY),
            }
        };
        assert_eq!((reset.stream, reset.code()), (1, 8), "CANCEL");
        cut(&rig).await;
        served_again(&rig).await;
        reader.send(&Call::new(&bearer, "next").on(3)).await;
        reader
            .until("an answer", |got| got.kind == HEADERS && got.stream == 3)
            .await;
        let counted = "sallygate_denials_total{reason=\"answer_unread\",stage=\"limits\"} 1";
        assert!(rig.metrics().await.contains(counted));
    }
}

#[tokio::test]
async fn a_stream_that_waits_for_its_upstream_is_not_cut() {
    let rig = rig("").await;
    let (answer, feed) = Answer::sse();
    rig.upstream.will(answer);
    let caller = rig.caller_by(Http::Two, &Who::new("alice"));
    let note = json!({"jsonrpc": "2.0", "method": "notifications/message"});
    let listen = caller.open(caller.legacy_bare(hyper::Method::GET));
    let (mut stream, ()) = tokio::join!(listen, feed.event(&note));
    assert_eq!(stream.message().await, note);
    // Three times as long as any deadline.
    tokio::time::sleep(Duration::from_secs(3)).await;
    feed.event(&note).await;
    assert_eq!(stream.message().await, note);
}

#[tokio::test]
async fn rfc8446_s6_1_whoever_closes_its_side_behind_a_request_is_still_answered() {
    let rig = rig("").await;
    let token = rig.token(&Who::new("alice"));
    let mut caller = Connection::open_tls(rig.address, &rig.ca_file).await;
    caller.send(call_by_http1(&token)).await;
    caller.finish().await;
    let answer = String::from_utf8(caller.rest().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with(r#""result":{}}"#), "{answer}");
}

#[tokio::test]
async fn whoever_left_behind_a_request_holds_its_upstream_for_a_moment_only() {
    let rig = rig("requests: 1").await;
    rig.upstream.will(Answer::hang());
    let mut caller = Connection::open_tls(rig.address, &rig.ca_file).await;
    caller
        .send(call_by_http1(&rig.token(&Who::new("alice"))))
        .await;
    rig.upstream.saw(1).await;
    drop(caller);
    rig.upstream.hangs_no_more().await;
    served_again(&rig).await;
}

#[tokio::test]
async fn r045_a_reader_of_one_byte_at_a_time_is_dropped() {
    let rig = rig("requests: 1").await;
    rig.upstream.will(Answer::json(&large()));
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    let stream = socket.connect(rig.address).await.unwrap();
    let mut reader = Connection::tls_over(stream, &rig.ca_file).await;
    reader
        .send(call_by_http1(&rig.token(&Who::new("alice"))))
        .await;
    let taking = tokio::spawn(async move {
        while reader.take_one().await {
            // The slowness that the test is about.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    cut(&rig).await;
    served_again(&rig).await;
    taking.abort();
}
