//! Stages 2, 4 and 5: the decisions that look at no body.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Duration;

use criterion::Criterion;
use sallygate::clock::Clock;
use sallygate::limits::{self, origin::AllowedHosts};
use sallygate::policy::{Ask, Bounds, Policies, PolicyFile, Rules, Settings, ToolLists};
use sallygate::quota::{self, Quotas, UserLimit};

use crate::auth::anybody;
use crate::samples::{ARGUMENTS, HOST, head};

/// Checking a head.
pub(crate) fn limits(criterion: &mut Criterion) {
    let head = head(&"x".repeat(600));
    let settings = limits::Settings {
        hosts: AllowedHosts::new([HOST]),
        ..limits::Settings::default()
    };
    criterion.bench_function("limits/arm", |bench| {
        bench.iter(|| limits::arm(black_box(&head), true, &settings).unwrap());
    });
}

/// Counting a request of a user, and the tool that it turns out to call.
pub(crate) fn quota(criterion: &mut Criterion) {
    let principal = anybody();
    let plenty = UserLimit {
        burst: NonZeroU32::new(1_000_000),
        ..UserLimit::per_minute(NonZeroU32::new(1_000_000).unwrap())
    };
    let settings = quota::Settings {
        tiers: [("free".to_owned(), plenty)].into(),
        ..quota::Settings::default()
    };
    // A bench asks for more than the most generous quota allows, so the time goes by as it does.
    let clock = Clock::manual(Clock::system().now());
    let quotas = Quotas::new(&settings, &clock);
    criterion.bench_function("quota/admit and charge", |bench| {
        bench.iter(|| {
            clock.advance(Duration::from_millis(1));
            let mut admission = quotas.admit(black_box(&principal)).unwrap();
            admission.charge("task_00_read").unwrap();
            admission
        });
    });
}

/// Deciding about a call: remembered, judged anew, and with a look into the arguments.
pub(crate) fn policy(criterion: &mut Criterion) {
    let principal = anybody();
    let tool = |name: &'static str| Ask::Tool {
        name,
        arguments: Some(ARGUMENTS),
    };
    let remembering = lists(Bounds::default());
    criterion.bench_function("policy/decide, remembered", |bench| {
        bench.iter(|| {
            let ask = tool("task_00_read");
            remembering.decide(&principal, black_box(ask)).unwrap()
        });
    });
    let forgetting = lists(Bounds {
        remembered_name_bytes: 0,
        ..Bounds::default()
    });
    criterion.bench_function("policy/decide, for the first time", |bench| {
        bench.iter(|| {
            let ask = tool("task_00_read");
            forgetting.decide(&principal, black_box(ask)).unwrap()
        });
    });
    let looking = Policies::compile(&Settings {
        files: vec![PolicyFile {
            name: "bench.cedar".into(),
            text: BULK.into(),
        }],
        ..Settings::default()
    })
    .unwrap();
    criterion.bench_function("policy/decide, with arguments", |bench| {
        bench.iter(|| {
            let ask = tool("bulk_update");
            looking.decide(&principal, black_box(ask)).unwrap()
        });
    });
}

/// A rule on arguments.
const BULK: &str = r#"
@id("bulk")
permit (principal, action == Action::"call_tool", resource == Tool::"bulk_update")
when { context.arguments has count && context.arguments.count <= 50 };
"#;

/// The lists that the comparison with other proxies uses.
pub(crate) fn lists(bounds: Bounds) -> Policies {
    let rules = Rules {
        tools: ToolLists {
            enabled: None,
            disabled: vec!["task_*_delete".into()],
        },
        ..Rules::default()
    };
    Policies::compile(&Settings {
        everywhere: rules,
        bounds,
        ..Settings::default()
    })
    .unwrap()
}
