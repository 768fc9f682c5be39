//! Requests whose heads are malformed, each of them in one way, and how each has to end.

use super::http2::Ends::{self, Answer, Connection, Stream};
use super::http2::{CANARY, COMPRESSION_ERROR, Call, PROTOCOL_ERROR};
use crate::harness::frames::*;

/// Requests that are malformed (RFC 9113 section 8.1.1), each alone on stream 1.
pub(super) fn malformed_heads(bearer: &str) -> Vec<(&'static str, Vec<u8>, Ends)> {
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
