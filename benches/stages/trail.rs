//! What is written down about a request: its audit line, its figures, and what is taken out of both.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use sallygate::audit::{self, ChainKey, Event, Record, Sink};
use sallygate::clock::{Clock, Timestamp};
use sallygate::redact;
use sallygate::secret::Secret;
use sallygate::stage::Stage;
use sallygate::telemetry::metrics::Method;
use sallygate::telemetry::{Metrics, RequestOutcome, ToolOutcome, UpstreamOutcome};
use serde_json::json;
use tokio::runtime::Builder;

use crate::signer::secret;

/// Lines that are written before the writer is waited for.
const LINES: usize = 1000;

/// A line, as the request pays for it and as the writer does.
pub(crate) fn audit(criterion: &mut Criterion) {
    let clock = Clock::system();
    let nowhere = Sink::discard(clock.clone());
    criterion.bench_function("audit/reserve, record, hand over", |bench| {
        bench.iter(|| {
            let slot = nowhere.reserve().unwrap();
            slot.write(black_box(record(clock.now())));
        });
    });
    let folder = tempfile::tempdir().unwrap();
    let settings = audit::Settings {
        directory: folder.path().join("trail"),
        ..audit::Settings::default()
    };
    let key = ChainKey::new(Secret::new(secret(3))).unwrap();
    let sink = Sink::open(&settings, key, clock.clone()).unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("audit");
    group.throughput(Throughput::Elements(LINES as u64));
    group.bench_function("1000 lines, chained and in their file", |bench| {
        bench.iter(|| {
            for _ in 0..LINES {
                sink.reserve().unwrap().write(record(clock.now()));
            }
            assert!(runtime.block_on(sink.flush()));
        });
    });
    group.finish();
    assert!(runtime.block_on(sink.close()));
}

fn record(at: Timestamp) -> Record {
    let mut record = Record::new(Event::ToolInvocation, at, "req_0123456789abcdef");
    record
        .user("bench|user_12345")
        .team("9001")
        .token_id("tok_00000000")
        .tool("task_00_read")
        .method("POST")
        .path("/mcp")
        .address([127, 0, 0, 1].into())
        .user_agent("bench/1.0")
        .route("default")
        .rpc_method("tools/call")
        .rule("allow-all")
        .detail("task_id", "86a1b2c3d")
        .finished(at, Duration::from_micros(700));
    record
}

/// Taking secrets out of a log line that has none, one that has one, and out of arguments.
pub(crate) fn redact(criterion: &mut Criterion) {
    let plain =
        "upstream answered 200 in 12 ms for task_00_read of bench|user_12345 on route default";
    criterion.bench_function("redact/line without a secret", |bench| {
        bench.iter(|| redact::text(black_box(plain)));
    });
    let leaking =
        "refused Authorization: Bearer canary-not-a-real-token-0123456789abcdef0123456789abcdef";
    criterion.bench_function("redact/line with a secret", |bench| {
        bench.iter(|| redact::text(black_box(leaking)));
    });
    let arguments = json!({"task_id": "86a1b2c3d", "password": "canary-not-a-real-password",
        "note": "call me at noon", "count": 7});
    criterion.bench_function("redact/arguments", |bench| {
        bench.iter(|| redact::json(black_box(&arguments)));
    });
}

/// Counting a call that was answered.
pub(crate) fn metrics(criterion: &mut Criterion) {
    let metrics = Metrics::new().unwrap();
    metrics.learn_tools(["task_00_read"]);
    let route = metrics.route("default");
    let took = Duration::from_micros(40);
    criterion.bench_function("metrics/a call", |bench| {
        bench.iter(|| {
            for stage in Stage::ALL {
                metrics.stage(black_box(stage), took);
            }
            metrics.policy_decided(true);
            let tool = metrics.tool(black_box("task_00_read"));
            tool.called(ToolOutcome::Success, took);
            route.upstream(UpstreamOutcome::Answered, took);
            let method = Method::of(black_box("tools/call"));
            route.request(method, RequestOutcome::Answered, took);
        });
    });
}
