//! Frames that are out of place or out of shape, and how each has to end.

use super::http2::Ends::{self, Answer, Connection, Stream};
use super::http2::{
    CANARY, COMPRESSION_ERROR, Call, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR,
    STREAM_CLOSED,
};
use crate::harness::frames::*;

/// Frames that are out of place or out of shape (RFC 9113 sections 4 to 6, RFC 7541).
pub(super) fn broken_frames(bearer: &str) -> Vec<(&'static str, Vec<u8>, Ends)> {
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
pub(super) fn broken_streams(bearer: &str) -> Vec<(&'static str, Vec<u8>, Ends)> {
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
