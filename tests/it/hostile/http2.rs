//! HTTP/2 as nobody should speak it, frame by frame over TLS. Each row hides a call in an exchange that is malformed in one
//! way. The call never reaches the upstream; the stream or the connection ends with the error that RFC 9113 names; the rest
//! of the connection, where it lives on, and everybody else are served.

use super::http2_broken::{broken_frames, broken_streams};
use super::http2_heads::malformed_heads;
use crate::harness::client::Http;
use crate::harness::frames::*;
use crate::harness::gateway::{Rig, Who};
use crate::harness::mcp::LEGACY;
use serde_json::json;

/// What is hidden in every row.
pub(super) const CANARY: &str = "canary-smuggled";

pub(super) const PROTOCOL_ERROR: u32 = 1;
pub(super) const FLOW_CONTROL_ERROR: u32 = 3;
pub(super) const STREAM_CLOSED: u32 = 5;
pub(super) const FRAME_SIZE_ERROR: u32 = 6;
pub(super) const COMPRESSION_ERROR: u32 = 9;

/// How a row has to end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ends {
    /// The stream is reset with this code; the connection goes on.
    Stream(u32),
    /// The connection ends with one of these codes.
    Connection(&'static [u32]),
    /// The request is answered with this status; the connection goes on.
    Answer(u16),
    /// The connection is closed without a word, since no HTTP/2 was spoken.
    Closed,
}
use Ends::{Answer, Closed, Connection, Stream};

/// A call, as the fields of its head and its body.
pub(super) struct Call<'a> {
    pub(super) fields: Vec<(&'a str, &'a str)>,
    pub(super) body: String,
}

impl<'a> Call<'a> {
    /// A good one with this text inside.
    pub(super) fn new(bearer: &'a str, text: &str) -> Self {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "echo", "arguments": {"text": text}}});
        Self {
            fields: vec![
                (":method", "POST"),
                (":scheme", "https"),
                (":authority", "localhost"),
                (":path", "/mcp"),
                ("authorization", bearer),
                ("mcp-protocol-version", LEGACY),
                ("content-type", "application/json"),
                ("accept", "application/json, text/event-stream"),
            ],
            body: call.to_string(),
        }
    }

    /// The same without a field.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(known, _)| *known != name);
        self
    }

    /// The same with one more field at the end.
    pub(super) fn with(mut self, name: &'a str, value: &'a str) -> Self {
        self.fields.push((name, value));
        self
    }

    /// The same with one more field at the beginning.
    pub(super) fn first(mut self, name: &'a str, value: &'a str) -> Self {
        self.fields.insert(0, (name, value));
        self
    }

    /// The same with another value.
    pub(super) fn set(self, name: &'a str, value: &'a str) -> Self {
        let mut this = self;
        for field in &mut this.fields {
            if field.0 == name {
                field.1 = value;
            }
        }
        this
    }

    /// Its head in one frame.
    pub(super) fn head(&self, stream: u32, flags: u8) -> Vec<u8> {
        frame(HEADERS, flags | END_HEADERS, stream, &block(&self.fields))
    }

    /// Its body in one frame.
    pub(super) fn data(&self, stream: u32) -> Vec<u8> {
        frame(DATA, END_STREAM, stream, self.body.as_bytes())
    }

    /// Both.
    pub(super) fn on(&self, stream: u32) -> Vec<u8> {
        [self.head(stream, 0), self.data(stream)].concat()
    }
}

/// What is no HTTP/2 at all. Nothing precedes it.
fn no_http2() -> Vec<(&'static str, Vec<u8>, Ends)> {
    let call =
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\n\r\ncanary-smuggled"
            .to_vec();
    let mut spoilt = PREFACE.to_vec();
    spoilt[20] = b'X';
    vec![
        ("HTTP/1.1 where HTTP/2 was agreed", call, Closed),
        ("a spoilt preface", spoilt, Closed),
        (
            "frames without a preface",
            frame(SETTINGS, 0, 0, &[]).repeat(3),
            Closed,
        ),
    ]
}

async fn rig() -> Rig {
    let rig = Rig::start().await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    rig
}

/// Plays a row and says what was wrong about its end.
async fn play(rig: &Rig, bearer: &str, bytes: &[u8], ends: Ends) -> Result<(), String> {
    let mut peer = match ends {
        Closed => Framed::silent(rig.address, &rig.ca_file).await,
        _ => Framed::open(rig.address, &rig.ca_file).await,
    };
    peer.send(bytes).await;
    let said = |got: &Got| match got.kind {
        GOAWAY => true,
        RST_STREAM | HEADERS => got.stream == 1,
        _ => false,
    };
    let first = loop {
        match peer.next().await {
            Some(got) if said(&got) => break Some(got),
            Some(_) => {}
            None => break None,
        }
    };
    let wrong = |got: &dyn std::fmt::Debug| Err(format!("{ends:?} was due, {got:?} came"));
    match (ends, first) {
        (Closed, None) => return Ok(()),
        (Closed, Some(got)) if got.kind == GOAWAY => return Ok(()),
        (Connection(codes), Some(got)) if got.kind == GOAWAY => {
            peer.rest().await;
            return match codes.contains(&got.code()) {
                true => Ok(()),
                false => wrong(&got),
            };
        }
        (Stream(code), Some(got)) if got.kind == RST_STREAM && got.code() == code => {}
        (Answer(status), Some(got)) if got.kind == HEADERS && got.status() == status => {}
        (_, got) => return wrong(&got),
    }
    // The other streams of the connection know nothing of it.
    peer.send(&Call::new(bearer, "neighbour").on(7)).await;
    loop {
        match peer.next().await {
            Some(got) if got.kind == HEADERS && got.stream == 7 => return Ok(()),
            Some(got) if got.kind == GOAWAY || got.stream == 7 => return wrong(&got),
            Some(_) => {}
            None => return Err("the connection ended".into()),
        }
    }
}

/// Plays rows one by one, each beside a caller who is served.
async fn play_all(rows: Vec<(&'static str, Vec<u8>, Ends)>, rig: &Rig, bearer: &str) {
    let neighbour = rig.caller_by(Http::Two, &Who::new("bob"));
    let mut wrong = Vec::new();
    for (what, bytes, ends) in rows {
        if let Err(said) = play(rig, bearer, &bytes, ends).await {
            wrong.push(format!("{what}: {said}"));
        }
        let served = neighbour.legacy("ping", json!({})).await;
        assert_eq!(served.status, 200, "beside {what}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let seen = rig.upstream.seen();
    assert!(!seen.iter().any(|seen| seen.mentions(CANARY)), "{seen:?}");
}

#[tokio::test]
async fn r045_rfc9113_s8_1_1_malformed_requests_end_their_stream_and_reach_nobody() {
    let rig = rig().await;
    let bearer = format!("Bearer {}", rig.token(&Who::new("alice")));
    let rows = malformed_heads(&bearer);
    assert!(rows.len() >= 60, "{}", rows.len());
    play_all(rows, &rig, &bearer).await;
}

#[tokio::test]
async fn r045_rfc9113_s5_4_broken_frames_end_their_connection_and_reach_nobody() {
    let rig = rig().await;
    let bearer = format!("Bearer {}", rig.token(&Who::new("alice")));
    let rows = broken_frames(&bearer);
    assert!(rows.len() >= 40, "{}", rows.len());
    play_all(rows, &rig, &bearer).await;
}

#[tokio::test]
async fn rfc9113_s5_4_2_what_breaks_one_stream_leaves_the_others_alone() {
    let rig = rig().await;
    let bearer = format!("Bearer {}", rig.token(&Who::new("alice")));
    play_all(broken_streams(&bearer), &rig, &bearer).await;
}

#[tokio::test]
async fn rfc9113_s3_4_whatever_is_no_http2_is_not_answered() {
    let rig = rig().await;
    play_all(no_http2(), &rig, "").await;
}
