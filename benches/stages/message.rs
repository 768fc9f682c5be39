//! The message: reading it, comparing it with its headers, filtering lists, and cutting streams into events.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use sallygate::mcp::sse::Reader;
use sallygate::mcp::{self, Era, Filtered, Limits, Message, ToolHeaders};
use sallygate::policy::{Ask, Bounds, Policies};

use crate::auth::anybody;
use crate::decide;
use crate::samples::{call, event, headers, list, message};

/// Events that arrive in one piece.
const EVENTS: usize = 100;

/// Decoding strictly.
pub(crate) fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mcp");
    for (name, bytes) in [("decode 300 B", 300), ("decode 64 kB", 64 * 1024)] {
        let body = call(bytes);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bench| {
            bench.iter(|| Message::decode(black_box(body.clone()), &Limits::default()).unwrap());
        });
    }
    group.finish();
}

/// Whether headers and body say the same.
pub(crate) fn agreement(criterion: &mut Criterion) {
    let (headers, message, tools) = (headers(), message(), ToolHeaders::default());
    criterion.bench_function("mcp/header and body agree", |bench| {
        bench.iter(|| {
            let era = Era::of(black_box(&headers), &message).unwrap();
            mcp::agree(&headers, &message, era, &tools).unwrap()
        });
    });
}

/// Taking ten of fifty tools out of a list of 38 kB.
pub(crate) fn lists(criterion: &mut Criterion) {
    let (body, principal) = (list(), anybody());
    let filter = |policies: &Policies| {
        let filtered = mcp::lists::filter(
            black_box(&body),
            &mut |item| {
                let name = &item.name;
                let ask = Ask::Tool {
                    name,
                    arguments: None,
                };
                policies.lists(&principal, ask)
            },
            true,
        );
        match filtered.unwrap() {
            Filtered::Rewritten { hidden: 10, body } => body,
            other => panic!("{other:?}"),
        }
    };
    let remembering = decide::lists(Bounds::default());
    criterion.bench_function("mcp/filter 50 tools, verdicts remembered", |bench| {
        bench.iter(|| filter(&remembering));
    });
    let forgetting = decide::lists(Bounds {
        remembered_name_bytes: 0,
        ..Bounds::default()
    });
    criterion.bench_function("mcp/filter 50 tools, each judged", |bench| {
        bench.iter(|| filter(&forgetting));
    });
}

/// Reading events one by one.
pub(crate) fn events(criterion: &mut Criterion) {
    let piece = event();
    let mut group = criterion.benchmark_group("mcp");
    group.throughput(Throughput::Elements(1));
    group.bench_function("an event, alone in its piece", |bench| {
        let mut reader = Reader::default();
        bench.iter(|| {
            reader.feed(black_box(&piece));
            reader.next_event().unwrap().unwrap()
        });
    });
    let pieces = piece.repeat(EVENTS);
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("100 events in one piece", |bench| {
        bench.iter(|| {
            let mut reader = Reader::default();
            reader.feed(black_box(&pieces));
            (0..EVENTS).for_each(|_| drop(reader.next_event().unwrap().unwrap()));
        });
    });
    group.finish();
}
