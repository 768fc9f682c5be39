//! The breaker under a clock that the tests move.

use super::*;
use crate::clock::Timestamp;
use crate::telemetry::Metrics;

const WAIT: Duration = Duration::from_secs(1);

struct Bench {
    breaker: Breaker,
    clock: Clock,
    metrics: std::sync::Arc<Metrics>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Settings {
            failures: 3,
            ..Settings::default()
        })
    }

    fn with(settings: Settings) -> Self {
        let clock = Clock::manual(Timestamp::from_seconds(1_000));
        let metrics = Metrics::new().unwrap();
        let gauge = metrics.route("files").upstream_gauge();
        Self {
            breaker: Breaker::new("files", settings, clock.clone(), gauge),
            clock,
            metrics,
        }
    }

    fn fail(&self, blame: Blame<'_>) {
        self.breaker.admit().unwrap().failed(blame);
    }

    fn opened() -> Self {
        let bench = Self::new();
        for _ in 0..3 {
            bench.fail(Blame::Upstream);
        }
        assert_eq!(bench.breaker.state(), State::Open);
        bench
    }

    /// Past any wait that began with this one.
    fn wait_out(&self, wait: Duration) {
        self.clock.advance(wait + wait / 4);
    }

    fn gauge(&self) -> f64 {
        let text = self.metrics.render();
        let line = text
            .lines()
            .find(|line| line.starts_with("sallygate_upstream_state{"))
            .unwrap();
        assert!(line.contains("route=\"files\""));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

#[test]
fn while_it_is_open_nothing_passes_and_everybody_hears_when_to_come_back() {
    let bench = Bench::opened();
    let refused = bench.breaker.admit().unwrap_err();
    assert!(
        refused.retry_after >= WAIT && refused.retry_after <= WAIT + WAIT / 4,
        "{refused:?}"
    );
    bench.clock.advance(Duration::from_millis(600));
    let later = bench.breaker.admit().unwrap_err();
    assert_eq!(
        refused.retry_after - later.retry_after,
        Duration::from_millis(600)
    );
    assert_eq!(bench.gauge(), 2.0);
}

#[test]
fn after_the_wait_one_request_and_no_other_is_the_trial() {
    let bench = Bench::opened();
    bench.wait_out(WAIT);
    assert_eq!(bench.breaker.state(), State::HalfOpen);
    let trial = bench.breaker.admit().unwrap();
    assert_eq!(bench.gauge(), 1.0);
    for _ in 0..3 {
        assert!(bench.breaker.admit().is_err());
    }
    trial.succeeded();
    assert_eq!(bench.breaker.state(), State::Closed);
    assert_eq!(bench.gauge(), 0.0);
    let (one, two) = (bench.breaker.admit(), bench.breaker.admit());
    assert!(one.is_ok() && two.is_ok());
}

#[test]
fn of_many_who_come_at_once_after_the_wait_one_is_the_trial() {
    for _ in 0..50 {
        let bench = Bench::opened();
        bench.wait_out(WAIT);
        let start = std::sync::Barrier::new(4);
        let passed: usize = std::thread::scope(|scope| {
            let ask = || {
                start.wait();
                let pass = bench.breaker.admit();
                start.wait();
                usize::from(pass.is_ok())
            };
            let all: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            all.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(passed, 1);
    }
}

#[test]
fn a_failed_trial_doubles_the_wait_up_to_a_minute() {
    let bench = Bench::opened();
    let mut wait = WAIT;
    for _ in 0..10 {
        bench.wait_out(wait);
        bench.fail(Blame::Upstream);
        wait = (wait * 2).min(MAX_WAIT);
        let told = bench.breaker.admit().unwrap_err().retry_after;
        assert!(told >= wait && told <= wait + wait / 4, "{told:?} {wait:?}");
    }
    assert_eq!(wait, MAX_WAIT);
    bench.wait_out(wait);
    bench.breaker.admit().unwrap().succeeded();
    for _ in 0..3 {
        bench.fail(Blame::Upstream);
    }
    let told = bench.breaker.admit().unwrap_err().retry_after;
    assert!(told <= WAIT + WAIT / 4, "a success begins anew: {told:?}");
}

#[test]
fn a_caller_who_leaves_counts_as_nothing() {
    let bench = Bench::new();
    for _ in 0..100 {
        drop(bench.breaker.admit().unwrap());
    }
    assert_eq!(bench.breaker.state(), State::Closed);
    let bench = Bench::opened();
    bench.wait_out(WAIT);
    drop(bench.breaker.admit().unwrap());
    assert_eq!(bench.breaker.state(), State::HalfOpen);
    let next = bench.breaker.admit().expect("the trial is free again");
    next.succeeded();
    assert_eq!(bench.breaker.state(), State::Closed);
}

#[test]
fn one_user_alone_cannot_open_it_for_the_others() {
    let bench = Bench::new();
    for _ in 0..100 {
        bench.fail(Blame::Request("user_mallory"));
    }
    assert_eq!(bench.breaker.state(), State::Closed);
    bench.fail(Blame::Request("user_alice"));
    assert_eq!(bench.breaker.state(), State::Open);
    let bench = Bench::new();
    for _ in 0..2 {
        bench.fail(Blame::Request("user_mallory"));
    }
    bench.fail(Blame::Upstream);
    assert_eq!(bench.breaker.state(), State::Open);
}

#[test]
fn a_witness_of_an_older_window_does_not_count() {
    let bench = Bench::new();
    bench.fail(Blame::Request("user_alice"));
    bench.clock.advance(Duration::from_secs(31));
    for _ in 0..10 {
        bench.fail(Blame::Request("user_mallory"));
    }
    assert_eq!(bench.breaker.state(), State::Closed);
}

#[test]
fn failures_that_successes_outweigh_do_not_open_it() {
    let bench = Bench::new();
    for _ in 0..50 {
        bench.fail(Blame::Upstream);
        bench.breaker.admit().unwrap().succeeded();
        bench.breaker.admit().unwrap().succeeded();
    }
    assert_eq!(bench.breaker.state(), State::Closed);
}

#[test]
fn what_ends_late_does_not_move_a_breaker_that_opened_meanwhile() {
    let bench = Bench::new();
    let (good, bad) = (
        bench.breaker.admit().unwrap(),
        bench.breaker.admit().unwrap(),
    );
    for _ in 0..3 {
        bench.fail(Blame::Upstream);
    }
    let before = bench.breaker.admit().unwrap_err();
    good.succeeded();
    bad.failed(Blame::Upstream);
    assert_eq!(bench.breaker.admit().unwrap_err(), before);
}

#[test]
fn switched_off_it_never_opens() {
    let bench = Bench::with(Settings {
        off: true,
        ..Settings::default()
    });
    for _ in 0..100 {
        bench.fail(Blame::Upstream);
    }
    bench.breaker.trip();
    assert_eq!(bench.breaker.state(), State::Closed);
}

#[test]
fn who_looks_after_the_upstream_opens_it_and_ends_the_wait() {
    let bench = Bench::new();
    bench.breaker.is_back();
    assert_eq!(bench.breaker.state(), State::Closed);
    bench.breaker.trip();
    assert_eq!(bench.breaker.state(), State::Open);
    bench.breaker.is_back();
    assert_eq!(bench.breaker.state(), State::HalfOpen);
    let trial = bench.breaker.admit().unwrap();
    bench.breaker.trip();
    trial.succeeded();
    assert_eq!(
        bench.breaker.state(),
        State::Closed,
        "a request knows better"
    );
}
