//! HTTP/2 that is well-formed and too much: frames that ask for work and carry nothing, requests that are cancelled as soon
//! as they are made, heads without end. Each connection ends with GOAWAY, a metric and a line in the trail; a caller beside it
//! is served meanwhile, and nobody's memory grows.

use serde_json::{Value, json};

use super::http2::Call;
use crate::harness::audit;
use crate::harness::client::Http;
use crate::harness::frames::*;
use crate::harness::gateway::{Plan, Rig, Who};

const PROTOCOL_ERROR: u32 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;

async fn rig() -> Rig {
    let rig = Rig::start().await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    rig
}

fn acknowledged() -> Vec<u8> {
    frame(SETTINGS, ACK, 0, &[])
}

/// Each flood, the reason that is noted for it, and the code with which it ends.
fn floods(bearer: &str) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let call = Call::new(bearer, "canary-flood");
    let many = |count, one: &[u8]| [acknowledged(), one.repeat(count)].concat();
    let each = |count: u32, one: &dyn Fn(u32) -> Vec<u8>| {
        let streams = (0..count).flat_map(|n| one(2 * n + 1));
        acknowledged()
            .into_iter()
            .chain(streams)
            .collect::<Vec<u8>>()
    };
    let cancelled = |stream| {
        [
            call.head(stream, 0),
            frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
        ]
        .concat()
    };
    let spoilt = |stream| {
        let wide = 0x7fff_ffff_u32.to_be_bytes();
        [call.head(stream, 0), frame(WINDOW_UPDATE, 0, stream, &wide)].concat()
    };
    let opening = frame(HEADERS, 0, 1, &block(&call.fields));
    let within = [call.head(1, 0), frame(DATA, 0, 1, &[]).repeat(3000)].concat();
    let entry = [
        &[0x40, 6][..],
        b"x-bomb",
        &integer(0, 7, 4000),
        &[b'x'; 4000],
    ]
    .concat();
    let bomb = [block(&call.fields), entry, vec![0xbe; 12_000]].concat();
    let large: Vec<u8> = (0..40)
        .flat_map(|n| field(format!("x-{n}").as_bytes(), &[b'x'; 15_000]))
        .collect();
    let blocks = |block: &[u8]| {
        let mut frames = acknowledged();
        let mut pieces = block.chunks(16_384).peekable();
        let mut kind = HEADERS;
        while let Some(piece) = pieces.next() {
            let flags = if pieces.peek().is_none() {
                END_HEADERS
            } else {
                0
            };
            frames.extend(frame(kind, flags, 1, piece));
            kind = CONTINUATION;
        }
        frames
    };
    vec![
        (
            "PING",
            many(3000, &frame(PING, 0, 0, &[7; 8])),
            "http2_frame_flood",
        ),
        (
            "answers to PING",
            many(3000, &frame(PING, ACK, 0, &[7; 8])),
            "http2_frame_flood",
        ),
        (
            "SETTINGS",
            many(3000, &frame(SETTINGS, 0, 0, &setting(4, 70_000))),
            "http2_frame_flood",
        ),
        (
            "PRIORITY",
            many(3000, &frame(PRIORITY, 0, 7, &[0, 0, 0, 3, 1])),
            "http2_frame_flood",
        ),
        (
            "PRIORITY_UPDATE",
            many(3000, &frame(0x10, 0, 0, &[0, 0, 0, 7, b'u'])),
            "http2_frame_flood",
        ),
        (
            "WINDOW_UPDATE",
            many(3000, &frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
            "http2_frame_flood",
        ),
        (
            "unknown frames",
            many(3000, &frame(0xfa, 0, 0, &[0; 100])),
            "http2_frame_flood",
        ),
        ("empty DATA", [acknowledged(), within].concat(), "http2_"),
        (
            "CVE-2023-44487: requests that are cancelled",
            each(2000, &cancelled),
            "http2_",
        ),
        (
            "CVE-2025-8671: requests that make us reset",
            each(200, &spoilt),
            "http2_enhance_your_calm",
        ),
        (
            "CVE-2024-27316: CONTINUATION of nothing",
            [
                acknowledged(),
                opening.clone(),
                frame(CONTINUATION, 0, 1, &[]).repeat(3000),
            ]
            .concat(),
            "http2_",
        ),
        (
            "the same before our settings are acknowledged",
            [
                opening,
                frame(CONTINUATION, 0, 1, &field(b"x", b"y")).repeat(3000),
            ]
            .concat(),
            "http2_header_flood",
        ),
        (
            "a head of 600 kB",
            blocks(&[block(&call.fields), large].concat()),
            "http2_",
        ),
        (
            "CVE-2016-6581: a small head that decodes to 48 MB",
            blocks(&bomb),
            "http2_enhance_your_calm",
        ),
        (
            "requests under settings that are ignored",
            each(200, &|stream| call.on(stream)).split_off(9),
            "http2_settings_ignored",
        ),
    ]
}

#[tokio::test]
async fn r045_rfc9113_s10_5_every_flood_ends_its_connection_with_goaway() {
    let rig = rig().await;
    let bearer = format!("Bearer {}", rig.token(&Who::new("alice")));
    let neighbour = rig.caller_by(Http::Two, &Who::new("bob"));
    for (what, bytes, reason) in floods(&bearer) {
        let noted = |line: &Value| line.to_string().contains(reason);
        let before = audit::lines(rig.audit_dir())
            .iter()
            .filter(|line| noted(line))
            .count();
        let mut peer = Framed::open(rig.address, &rig.ca_file).await;
        peer.send(&bytes).await;
        let end = peer
            .until(what, |got| got.kind == GOAWAY && got.code() != 0)
            .await;
        assert!(
            [ENHANCE_YOUR_CALM, PROTOCOL_ERROR].contains(&end.code()),
            "{what}: {}",
            end.code()
        );
        peer.rest().await;
        let served = neighbour.legacy("ping", json!({})).await;
        assert_eq!(served.status, 200, "beside {what}");
        let lines = audit::wait_for_those_with(rig.audit_dir(), reason, before + 1).await;
        assert!(
            lines
                .iter()
                .all(|line| line["event_type"] == "request_refused"),
            "{what}: {lines:?}"
        );
        let counted = format!("sallygate_denials_total{{reason=\"{reason}");
        assert!(rig.metrics().await.contains(&counted), "{what}");
    }
}

#[tokio::test]
async fn rfc9113_s5_1_2_streams_over_the_bound_are_refused_and_the_others_served() {
    let rig = Plan::new()
        .settings("limits: { concurrent_streams: 4 }")
        .start()
        .await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    let bearer = format!("Bearer {}", rig.token(&Who::new("alice")));
    let call = Call::new(&bearer, "many");
    let mut peer = Framed::open(rig.address, &rig.ca_file).await;
    let heads = [1, 3, 5, 7, 9].map(|stream| call.head(stream, 0)).concat();
    peer.send(&heads).await;
    let refused = peer.until("a refusal", |got| got.kind == RST_STREAM).await;
    assert_eq!((refused.stream, refused.code()), (9, 7), "REFUSED_STREAM");
    for stream in [1, 3, 5, 7] {
        peer.send(&call.data(stream)).await;
        peer.until("an answer", |got| {
            got.kind == HEADERS && got.stream == stream
        })
        .await;
    }
    assert_eq!(rig.upstream.seen().len(), 4);
}

#[tokio::test]
async fn a_client_that_works_hard_is_no_flood() {
    let rig = rig().await;
    let bearer = format!("Bearer {}", rig.token(&Who::new("alice")));
    let call = Call::new(&bearer, "busy");
    let mut peer = Framed::open(rig.address, &rig.ca_file).await;
    peer.send(&acknowledged()).await;
    // Each call with the frames that a talkative client adds: pings, windows, a priority.
    let extra = [
        frame(PING, 0, 0, &[1; 8]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 99]),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]),
    ]
    .concat();
    for stream in (1..1001).step_by(2) {
        peer.send(&[call.on(stream), extra.clone()].concat()).await;
        let end = peer
            .until("an answer", |got| {
                got.kind == GOAWAY || got.stream == stream && got.flags & END_STREAM != 0
            })
            .await;
        assert_eq!(end.kind, DATA);
    }
}
