//! HTTP/2 as nobody should speak it, frame by frame over TLS. Each row hides a call in an exchange that is malformed in one
//! way. The call never reaches the upstream; the stream or the connection ends with the error that RFC 9113 names; the rest
//! of the connection, where it lives on, and everybody else are served.

use crate::harness::client::Http;
use crate::harness::frames::*;
use crate::harness::gateway::{Rig, Who};
use crate::harness::mcp::LEGACY;
use serde_json::json;

/// What is hidden in every row.
const CANARY: &str = "canary-smuggled";

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;

/// How a row has to end.
#[derive(Clone, Copy, Debug)]
enum Ends {
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
    fn first(mut self, name: &'a str, value: &'a str) -> Self {
        self.fields.insert(0, (name, value));
        self
    }

    /// The same with another value.
    fn set(self, name: &'a str, value: &'a str) -> Self {
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

/// Requests that are malformed (RFC 9113 section 8.1.1), each alone on stream 1.
fn malformed_heads(bearer: &str) -> Vec<(&'static str, Vec<u8>, Ends)> {
    let call = || Call::new(bearer, CANARY);
    let raw = |name: &[u8], value: &[u8]| {
        let block = [block(&call().fields), field(name, value)].concat();
        [frame(HEADERS, END_HEADERS, 1, &block), call().data(1)].concat()
    };
    let long = call().body.len() + 1;
    let (long, short) = (long.to_string(), (long - 2).to_string());
    let exact = call().body.len().to_string();
    let broken = Connection(&[PROTOCOL_ERROR, COMPRESSION_ERROR]);
    let mut rows = vec![
        (
            "no :method",
            call().without(":method").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "no :scheme",
            call().without(":scheme").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "no :path",
            call().without(":path").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "an empty :path",
            call().set(":path", "").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "two :method",
            call().first(":method", "GET").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "two equal :method",
            call().first(":method", "POST").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "two :path",
            call().first(":path", "/health").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "two :scheme",
            call().first(":scheme", "https").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "two :authority",
            call().first(":authority", "localhost").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "a pseudo-header behind a field",
            call().without(":path").with(":path", "/mcp").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "an unknown pseudo-header",
            call().first(":smuggle", "1").on(1),
            broken,
        ),
        (
            ":status in a request",
            call().first(":status", "200").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "connection",
            call().with("connection", "close").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "connection that hides authorization",
            call().with("connection", "authorization").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "transfer-encoding",
            call().with("transfer-encoding", "chunked").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "upgrade",
            call().with("upgrade", "websocket").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "keep-alive",
            call().with("keep-alive", "timeout=5").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "proxy-connection",
            call().with("proxy-connection", "keep-alive").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "te other than trailers",
            call().with("te", "gzip").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "te with more than trailers",
            call().with("te", "trailers, deflate").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "more announced than sent",
            call().with("content-length", &long).on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "less announced than sent",
            call().with("content-length", &short).on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "a length that is no number",
            call().with("content-length", "0x10").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "a length with a sign",
            call().with("content-length", "+10").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "an empty length",
            call().with("content-length", "").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "two lengths that disagree",
            call()
                .with("content-length", &exact)
                .with("content-length", "1")
                .on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "two lengths that agree",
            call()
                .with("content-length", &exact)
                .with("content-length", &exact)
                .on(1),
            Answer(400),
        ),
        (
            "a length and no body",
            call().with("content-length", &exact).head(1, END_STREAM),
            Stream(PROTOCOL_ERROR),
        ),
        (
            ":protocol without CONNECT",
            call().first(":protocol", "websocket").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "extended CONNECT",
            call()
                .set(":method", "CONNECT")
                .first(":protocol", "websocket")
                .on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "CONNECT with :path",
            call().set(":method", "CONNECT").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "CONNECT",
            call()
                .set(":method", "CONNECT")
                .without(":path")
                .without(":scheme")
                .on(1),
            Answer(404),
        ),
        (
            "a method that is no token",
            call().set(":method", "PO ST").on(1),
            broken,
        ),
        (
            "an authority with a space",
            call().set(":authority", "local host").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "an authority with a path",
            call().set(":authority", "localhost/mcp").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "an authority with user information",
            call().set(":authority", "a@localhost").on(1),
            Answer(421),
        ),
        (
            "a foreign authority",
            call().set(":authority", "evil.test").on(1),
            Answer(421),
        ),
        (
            "host that differs from :authority",
            call().with("host", "evil.test").on(1),
            Answer(400),
        ),
        (
            "two hosts",
            call()
                .without(":authority")
                .with("host", "localhost")
                .with("host", "localhost")
                .on(1),
            Answer(400),
        ),
        (
            "neither host nor :authority",
            call().without(":authority").on(1),
            Answer(400),
        ),
        (
            "a scheme that is not spoken",
            call().set(":scheme", "http").on(1),
            Answer(400),
        ),
        (
            "a scheme that is no web",
            call().set(":scheme", "ftp").on(1),
            Answer(400),
        ),
        (
            "a scheme that is no word",
            call().set(":scheme", "ht tp").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "a path without a slash",
            call().set(":path", "mcp").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "a whole URL for a path",
            call().set(":path", "https://localhost/mcp").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "a star for a path",
            call().set(":path", "*").on(1),
            Answer(404),
        ),
        (
            "a path with a space",
            call().set(":path", "/mcp x").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "a path with a line break",
            call().set(":path", "/mcp\r\nx: y").on(1),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "a value with space before it",
            call().with("x-padded", " 1").on(1),
            Answer(400),
        ),
        (
            "a value with a tab behind it",
            call().with("x-padded", "1\t").on(1),
            Answer(400),
        ),
        (
            "two authorizations",
            call().with("authorization", bearer).on(1),
            Answer(400),
        ),
        (
            "a coded body",
            call().with("content-encoding", "gzip").on(1),
            Answer(415),
        ),
    ];
    let many = (0..120).fold(call(), |call, _| call.with("x-many", "1"));
    rows.push(("more fields than are read", many.on(1), Answer(431)));
    let octets: [(&str, &[u8], &[u8]); 12] = [
        ("an upper-case name", b"X-Upper", b"1"),
        (
            "a security field in upper case",
            b"Authorization",
            b"Bearer x",
        ),
        ("a name with a space", b"x y", b"1"),
        ("a name with a colon", b"x:y", b"1"),
        ("an empty name", b"", b"1"),
        ("a name with NUL", b"x\0y", b"1"),
        ("a name with a line break", b"x\r\ny", b"1"),
        ("a name beyond ASCII", b"x\xffy", b"1"),
        ("a value with CR", b"x-break", b"1\r2"),
        ("a value with LF", b"x-break", b"1\ny: 2"),
        ("a value with NUL", b"x-break", b"1\x002"),
        ("a value with DEL", b"x-break", b"1\x7f2"),
    ];
    rows.extend(octets.map(|(what, name, value)| (what, raw(name, value), broken)));
    rows
}

/// Frames that are out of place or out of shape (RFC 9113 sections 4 to 6, RFC 7541).
fn broken_frames(bearer: &str) -> Vec<(&'static str, Vec<u8>, Ends)> {
    let call = Call::new(bearer, CANARY);
    let (head, body) = (block(&call.fields), call.body.as_bytes());
    let half = head.len() / 2;
    let protocol = Connection(&[PROTOCOL_ERROR]);
    let size = Connection(&[PROTOCOL_ERROR, FRAME_SIZE_ERROR]);
    let flow = Connection(&[FLOW_CONTROL_ERROR, PROTOCOL_ERROR]);
    let coding = Connection(&[COMPRESSION_ERROR, PROTOCOL_ERROR]);
    let coded = |broken: &[u8]| {
        let block = [&head, broken].concat();
        [frame(HEADERS, END_HEADERS, 1, &block), call.data(1)].concat()
    };
    let opening = frame(HEADERS, 0, 1, &head[..half]);
    let finishing = |stream| frame(CONTINUATION, END_HEADERS, stream, &head[half..]);
    let ping = frame(PING, 0, 0, &[0; 8]);
    let wide = frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes());
    let padded = |kind, pad: u8, inside: &[u8]| {
        let flags = PADDED | END_HEADERS | END_STREAM;
        frame(kind, flags, 1, &[&[pad], inside].concat())
    };
    vec![
        (
            "DATA on stream 0",
            [frame(DATA, 0, 0, body), call.on(1)].concat(),
            protocol,
        ),
        ("HEADERS on stream 0", call.on(0), protocol),
        ("a stream of the server's", call.on(2), protocol),
        (
            "a stream that was skipped",
            [
                frame(
                    HEADERS,
                    END_HEADERS | END_STREAM,
                    5,
                    &block(&[(":method", "GET")]),
                ),
                call.on(3),
            ]
            .concat(),
            protocol,
        ),
        (
            "DATA on an idle stream",
            [frame(DATA, 0, 1, body), call.on(1)].concat(),
            protocol,
        ),
        (
            "DATA behind the end of its stream",
            [call.head(1, END_STREAM), call.data(1)].concat(),
            Connection(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        (
            "a head behind the end of its stream",
            [call.head(1, END_STREAM), call.head(1, END_STREAM)].concat(),
            Connection(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        (
            "SETTINGS that are not whole",
            [frame(SETTINGS, 0, 0, &[0; 5]), call.on(1)].concat(),
            size,
        ),
        (
            "an acknowledgement with content",
            [frame(SETTINGS, ACK, 0, &setting(4, 1)), call.on(1)].concat(),
            size,
        ),
        (
            "SETTINGS on a stream",
            [frame(SETTINGS, 0, 1, &[]), call.on(1)].concat(),
            protocol,
        ),
        (
            "a window beyond its bound",
            [frame(SETTINGS, 0, 0, &setting(4, 0x8000_0000)), call.on(1)].concat(),
            flow,
        ),
        (
            "frames smaller than they may be",
            [frame(SETTINGS, 0, 0, &setting(5, 1)), call.on(1)].concat(),
            protocol,
        ),
        (
            "frames larger than they may be",
            [frame(SETTINGS, 0, 0, &setting(5, 0x0100_0000)), call.on(1)].concat(),
            protocol,
        ),
        (
            "a push that is neither on nor off",
            [frame(SETTINGS, 0, 0, &setting(2, 2)), call.on(1)].concat(),
            protocol,
        ),
        (
            "two acknowledgements",
            [
                frame(SETTINGS, ACK, 0, &[]),
                frame(SETTINGS, ACK, 0, &[]),
                call.on(1),
            ]
            .concat(),
            protocol,
        ),
        (
            "a short PING",
            [frame(PING, 0, 0, &[0; 7]), call.on(1)].concat(),
            size,
        ),
        (
            "a PING on a stream",
            [frame(PING, 0, 1, &[0; 8]), call.on(1)].concat(),
            protocol,
        ),
        (
            "a window that does not grow",
            [frame(WINDOW_UPDATE, 0, 0, &[0; 4]), call.on(1)].concat(),
            protocol,
        ),
        (
            "a short WINDOW_UPDATE",
            [frame(WINDOW_UPDATE, 0, 0, &[0; 3]), call.on(1)].concat(),
            size,
        ),
        (
            "a window that overflows",
            [wide.clone(), wide, call.on(1)].concat(),
            flow,
        ),
        (
            "RST_STREAM on an idle stream",
            [frame(RST_STREAM, 0, 1, &[0; 4]), call.on(1)].concat(),
            protocol,
        ),
        (
            "RST_STREAM on stream 0",
            [frame(RST_STREAM, 0, 0, &[0; 4]), call.on(1)].concat(),
            protocol,
        ),
        (
            "a short RST_STREAM",
            [
                call.head(1, 0),
                frame(RST_STREAM, 0, 1, &[0; 3]),
                call.data(1),
            ]
            .concat(),
            size,
        ),
        (
            "PRIORITY on stream 0",
            [frame(PRIORITY, 0, 0, &[0, 0, 0, 1, 1]), call.on(1)].concat(),
            protocol,
        ),
        (
            "CONTINUATION of nothing",
            [finishing(1), call.on(1)].concat(),
            protocol,
        ),
        (
            "CONTINUATION of a whole block",
            [call.head(1, 0), finishing(1), call.data(1)].concat(),
            protocol,
        ),
        (
            "a frame within a block",
            [opening.clone(), ping, finishing(1), call.data(1)].concat(),
            protocol,
        ),
        (
            "CONTINUATION of another stream",
            [opening.clone(), finishing(3), call.data(1)].concat(),
            protocol,
        ),
        (
            "another head within a block",
            [opening.clone(), call.on(3)].concat(),
            protocol,
        ),
        (
            "an unknown frame within a block",
            [opening, frame(0xfa, 0, 0, &[]), finishing(1), call.data(1)].concat(),
            protocol,
        ),
        (
            "a push from a client",
            [
                frame(
                    PUSH_PROMISE,
                    END_HEADERS,
                    1,
                    &[&[0, 0, 0, 2], &head[..]].concat(),
                ),
                call.on(1),
            ]
            .concat(),
            protocol,
        ),
        (
            "GOAWAY on a stream",
            [frame(GOAWAY, 0, 1, &[0; 8]), call.on(1)].concat(),
            protocol,
        ),
        (
            "a frame over the size",
            frame(
                HEADERS,
                END_HEADERS,
                1,
                &[&head[..], &field(b"x-big", &[b'x'; 17_000])].concat(),
            ),
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        (
            "a head of padding alone",
            padded(HEADERS, 200, &head[..50]),
            protocol,
        ),
        (
            "a body of padding alone",
            [call.head(1, 0), padded(DATA, 200, &body[..50])].concat(),
            protocol,
        ),
        ("an index that is nowhere", coded(&[0xff, 0x40]), coding),
        ("the index 0", coded(&[0x80]), coding),
        (
            "a text longer than its block",
            coded(&[0x00, 0x7f, 0x20, b'x']),
            coding,
        ),
        (
            "a number without end",
            coded(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            coding,
        ),
        (
            "a table larger than allowed",
            frame(
                HEADERS,
                END_HEADERS,
                1,
                &[&integer(0x20, 5, 1 << 20)[..], &head].concat(),
            ),
            coding,
        ),
        (
            "a table resized in the middle",
            coded(&integer(0x20, 5, 0)),
            coding,
        ),
        (
            "a text that Huffman did not write",
            coded(&[0x00, 0x84, 0xff, 0xff, 0xff, 0xff, 0x01, b'x']),
            coding,
        ),
    ]
}

/// What breaks one stream of many.
fn broken_streams(bearer: &str) -> Vec<(&'static str, Vec<u8>, Ends)> {
    let call = Call::new(bearer, CANARY);
    let widen = |by: u32| frame(WINDOW_UPDATE, 0, 1, &by.to_be_bytes());
    let own = [&[0, 0, 0, 1, 1][..], &block(&call.fields)].concat();
    let trailers = |fields| frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields));
    let unended = frame(DATA, 0, 1, call.body.as_bytes());
    vec![
        (
            "a stream's window that does not grow",
            [call.head(1, 0), widen(0), call.data(1)].concat(),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "a stream's window that overflows",
            [call.head(1, 0), widen(0x7fff_ffff), call.data(1)].concat(),
            Stream(FLOW_CONTROL_ERROR),
        ),
        (
            "a stream that depends on itself",
            [
                frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, &own),
                call.data(1),
            ]
            .concat(),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "PRIORITY of a stream to itself",
            [
                call.head(1, 0),
                frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 1]),
                call.data(1),
            ]
            .concat(),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "trailers",
            [
                call.head(1, 0),
                unended.clone(),
                trailers(&[("x-digest", "1")]),
            ]
            .concat(),
            Answer(400),
        ),
        (
            "trailers with a pseudo-header",
            [
                call.head(1, 0),
                unended.clone(),
                trailers(&[(":path", "/health")]),
            ]
            .concat(),
            Answer(400),
        ),
        (
            "trailers that do not end the stream",
            [
                call.head(1, 0),
                unended.clone(),
                frame(HEADERS, END_HEADERS, 1, &block(&[("x", "y")])),
                call.data(1),
            ]
            .concat(),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "trailers with a connection's field",
            [
                call.head(1, 0),
                unended,
                trailers(&[("connection", "close")]),
            ]
            .concat(),
            Stream(PROTOCOL_ERROR),
        ),
        (
            "more than a stream's window holds",
            [
                call.head(1, 0),
                frame(DATA, 0, 1, &[b' '; 16_384]).repeat(9),
            ]
            .concat(),
            Connection(&[FLOW_CONTROL_ERROR]),
        ),
    ]
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
