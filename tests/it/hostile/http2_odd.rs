//! HTTP/2 that is unusual and well-formed. Each of these calls is served, and reaches the upstream as it was meant.

use serde_json::json;

use super::http2::Call;
use crate::harness::frames::*;
use crate::harness::gateway::{Rig, Who};

fn exchanges(bearer: &str) -> Vec<(&'static str, Vec<u8>)> {
    let call = Call::new(bearer, "odd");
    let (head, body) = (block(&call.fields), call.body.as_bytes());
    let exact = body.len().to_string();
    let (first, rest) = head.split_at(head.len() / 2);
    let opening = frame(HEADERS, 0, 1, first);
    let closing = |block: &[u8]| frame(CONTINUATION, END_HEADERS, 1, block);
    let letters: Vec<u8> = rest[..5]
        .iter()
        .flat_map(|byte| frame(CONTINUATION, 0, 1, &[*byte]))
        .collect();
    let bytewise: Vec<u8> = body
        .iter()
        .flat_map(|byte| frame(DATA, 0, 1, &[*byte]))
        .collect();
    let padded = |kind, flags, inside: &[u8]| {
        let whole = [&[9], inside, &[0; 9]].concat();
        frame(kind, flags | PADDED, 1, &whole)
    };
    let weighed = [&[0x80, 0, 0, 0, 200][..], &head].concat();
    let crumbs = Call::new(bearer, "odd")
        .with("cookie", "a=1")
        .with("cookie", "b=2");
    // `:method: POST`, `:scheme: https` and `:path` by their places in the static table, `localhost` in Huffman's code.
    let indexed = [
        &[0x83, 0x87, 0x04, 0x04][..],
        b"/mcp",
        &[0x41, 0x86, 0xa0, 0xe4, 0x1d, 0x13, 0x9d, 0x09],
        &block(&call.fields[4..]),
    ];
    vec![
        ("as it should be", call.on(1)),
        (
            "a block in two frames",
            [opening.clone(), closing(rest), call.data(1)].concat(),
        ),
        (
            "a block in frames of one octet",
            [opening.clone(), letters, closing(&rest[5..]), call.data(1)].concat(),
        ),
        (
            "a block that ends with an empty frame",
            [frame(HEADERS, 0, 1, &head), closing(&[]), call.data(1)].concat(),
        ),
        (
            "a padded head",
            [padded(HEADERS, END_HEADERS, &head), call.data(1)].concat(),
        ),
        (
            "a padded body",
            [call.head(1, 0), padded(DATA, END_STREAM, body)].concat(),
        ),
        (
            "a head with a priority",
            [
                frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, &weighed),
                call.data(1),
            ]
            .concat(),
        ),
        (
            "a body octet by octet",
            [call.head(1, 0), bytewise, frame(DATA, END_STREAM, 1, &[])].concat(),
        ),
        (
            "empty frames within a body",
            [
                call.head(1, 0),
                frame(DATA, 0, 1, &[]).repeat(20),
                call.data(1),
            ]
            .concat(),
        ),
        (
            "te: trailers",
            Call::new(bearer, "odd").with("te", "trailers").on(1),
        ),
        ("a cookie in crumbs", crumbs.on(1)),
        (
            "the length of the body",
            Call::new(bearer, "odd")
                .with("content-length", &exact)
                .on(1),
        ),
        (
            "host beside an equal :authority",
            Call::new(bearer, "odd").with("host", "localhost").on(1),
        ),
        (
            "host instead of :authority",
            Call::new(bearer, "odd")
                .without(":authority")
                .with("host", "localhost")
                .on(1),
        ),
        (
            "an empty value",
            Call::new(bearer, "odd").with("x-empty", "").on(1),
        ),
        (
            "unknown frames",
            [
                frame(0xfa, 0xff, 0, b"?"),
                call.head(1, 0),
                frame(0x10, 0, 1, b"u=1"),
                call.data(1),
            ]
            .concat(),
        ),
        (
            "an unknown setting",
            [frame(SETTINGS, 0, 0, &setting(0xfafa, 7)), call.on(1)].concat(),
        ),
        (
            "a table of no size",
            [
                frame(HEADERS, END_HEADERS, 1, &[&[0x20], &head[..]].concat()),
                call.data(1),
            ]
            .concat(),
        ),
        (
            "names and values by index and in Huffman's code",
            [
                frame(HEADERS, END_HEADERS, 1, &indexed.concat()),
                call.data(1),
            ]
            .concat(),
        ),
        (
            "PRIORITY of a stream that nobody opened",
            [frame(PRIORITY, 0, 99, &[0, 0, 0, 3, 1]), call.on(1)].concat(),
        ),
        (
            "windows that grow",
            [
                frame(WINDOW_UPDATE, 0, 0, &[0, 1, 0, 0]),
                call.head(1, 0),
                frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
                call.data(1),
            ]
            .concat(),
        ),
        (
            "a PING within a request",
            [
                call.head(1, 0),
                frame(PING, 0, 0, b"12345678"),
                call.data(1),
            ]
            .concat(),
        ),
        (
            "an answer to a PING that nobody sent",
            [frame(PING, ACK, 0, b"12345678"), call.on(1)].concat(),
        ),
    ]
}

#[tokio::test]
async fn well_formed_oddities_are_served() {
    let rig = Rig::start().await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    let bearer = format!("Bearer {}", rig.token(&Who::new("alice")));
    let exchanges = exchanges(&bearer);
    assert!(exchanges.len() >= 20);
    for (count, (what, bytes)) in exchanges.into_iter().enumerate() {
        let mut peer = Framed::open(rig.address, &rig.ca_file).await;
        peer.send(&bytes).await;
        let head = peer
            .until(what, |got| {
                [HEADERS, GOAWAY, RST_STREAM].contains(&got.kind)
            })
            .await;
        assert_eq!(head.kind, HEADERS, "{what}: {head:?}");
        assert_eq!(head.status(), 200, "{what}");
        let seen = rig.upstream.seen();
        assert_eq!(seen.len(), count + 1, "{what}");
        assert_eq!(
            seen[count].json()["params"]["arguments"]["text"],
            "odd",
            "{what}"
        );
    }
}

#[tokio::test]
async fn rfc9113_s5_1_1_streams_may_be_skipped_and_are_answered_by_their_number() {
    let rig = Rig::start().await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    let bearer = format!("Bearer {}", rig.token(&Who::new("alice")));
    let mut peer = Framed::open(rig.address, &rig.ca_file).await;
    for stream in [1, 101, 0x7fff_ffff] {
        peer.send(&Call::new(&bearer, "odd").on(stream)).await;
        let head = peer.until("an answer", |got| got.kind == HEADERS).await;
        assert_eq!(head.stream, stream);
        peer.until("its end", |got| {
            got.kind == DATA && got.flags & END_STREAM != 0
        })
        .await;
    }
}

#[tokio::test]
async fn rfc9113_s6_9_an_answer_is_taken_octet_by_octet() {
    let rig = Rig::start().await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {"text": "0123456789"}}));
    let bearer = format!("Bearer {}", rig.token(&Who::new("alice")));
    let mut peer = Framed::with_settings(rig.address, &rig.ca_file, &setting(4, 0)).await;
    peer.send(&Call::new(&bearer, "odd").on(1)).await;
    peer.until("an answer", |got| got.kind == HEADERS).await;
    let mut body = Vec::new();
    loop {
        peer.send(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])).await;
        let data = peer
            .until("an octet", |got| got.kind == DATA || got.kind == GOAWAY)
            .await;
        assert_eq!(data.kind, DATA);
        assert!(data.payload.len() <= 1, "more than there is room for");
        body.extend(&data.payload);
        if data.flags & END_STREAM != 0 {
            break;
        }
    }
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["result"]["text"], "0123456789");
}
