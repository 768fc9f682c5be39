//! The promise of the limit, `burst + per_minute * t` over any time `t`, under clocks that step, users who go idle and are
//! forgotten, settings that change, and threads that race.

use std::sync::atomic::AtomicU32;
use std::thread;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// This user asks, after so many milliseconds.
    Ask(usize, u64),
    Sweep,
    Reload(usize),
    /// The wall clock steps by so many seconds, and no time passes.
    Ahead(u64),
    Back(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0_usize..3, 0_u64..3_000).prop_map(|(user, pause)| Step::Ask(user, pause)),
        2 => Just(Step::Sweep),
        1 => (0_usize..3).prop_map(Step::Reload),
        1 => (0_u64..100_000).prop_map(Step::Ahead),
        1 => (0_u64..100_000).prop_map(Step::Back),
    ]
}

fn limited(per_minute: u32, burst: u32) -> Settings {
    let limit = UserLimit {
        burst: Some(number(burst)),
        concurrency: Some(1_000),
        ..UserLimit::per_minute(number(per_minute))
    };
    Settings {
        tiers: [("free".to_owned(), limit)].into(),
        ..Settings::default()
    }
}

proptest! {
    #[test]
    fn c45_no_window_holds_more_than_the_limit_whatever_clocks_sweeps_and_reloads_do(
        limits in proptest::array::uniform3((1_u32..300, 1_u32..40)),
        steps in proptest::collection::vec(step(), 1..250),
    ) {
        let clock = still();
        let settings = limits.map(|(per_minute, burst)| limited(per_minute, burst));
        let mut quotas = Quotas::new(&settings[0], &clock);
        let users = ["a", "b", "c"].map(|id| user(id, "free"));
        let (mut now, mut under) = (0_u64, 0);
        // When who was admitted under which limit.
        let mut admitted: Vec<(u64, usize, usize)> = Vec::new();
        for step in steps {
            match step {
                Step::Ask(who, pause) => {
                    clock.advance(Duration::from_millis(pause));
                    now += pause;
                    if quotas.admit(&users[who]).is_ok() {
                        admitted.push((now, who, under));
                    }
                }
                Step::Sweep => quotas.sweep(),
                Step::Reload(next) => {
                    under = next;
                    quotas = quotas.reconfigured(&settings[next]);
                }
                Step::Ahead(seconds) => clock.set_forward(Duration::from_secs(seconds)),
                Step::Back(seconds) => clock.set_back(Duration::from_secs(seconds)),
            }
        }
        for who in 0..3 {
            for (index, (per_minute, burst)) in limits.iter().enumerate() {
                let times: Vec<u64> = admitted
                    .iter()
                    .filter(|(_, user, limit)| (*user, *limit) == (who, index))
                    .map(|(at, ..)| *at)
                    .collect();
                for (first, from) in times.iter().enumerate() {
                    for (count, at) in times[first..].iter().enumerate() {
                        let most = u64::from(*burst) + (at - from) * u64::from(*per_minute) / 60_000;
                        prop_assert!(count as u64 <= most, "{} in {} ms", count + 1, at - from);
                    }
                }
            }
        }
    }

    #[test]
    fn r498_no_more_run_at_once_than_may_and_no_place_is_lost_whoever_races(
        cap in 1_u32..6,
        threads in 2_usize..6,
        rounds in 1_usize..60,
        reload in any::<bool>(),
    ) {
        let clock = still();
        let settings = |burst: u32| Settings {
            concurrency: cap,
            tiers: [("free".to_owned(), UserLimit {
                burst: Some(number(burst)),
                ..UserLimit::per_minute(number(1_000_000))
            })].into(),
            ..Settings::default()
        };
        let quotas = Quotas::new(&settings(1_000_000), &clock);
        let (running, most) = (AtomicU32::new(0), AtomicU32::new(0));
        thread::scope(|scope| {
            for thread in 0..threads {
                let (quotas, running, most) = (quotas.clone(), &running, &most);
                let settings = &settings;
                scope.spawn(move || {
                    let mut quotas = quotas;
                    for round in 0..rounds {
                        if reload && round % 7 == thread {
                            quotas = quotas.reconfigured(&settings(999_999));
                        }
                        if let Ok(admission) = quotas.admit(&user("u", "free")) {
                            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                            most.fetch_max(now, Ordering::SeqCst);
                            thread::yield_now();
                            running.fetch_sub(1, Ordering::SeqCst);
                            drop(admission);
                        }
                        quotas.sweep();
                    }
                });
            }
        });
        prop_assert!(most.load(Ordering::SeqCst) <= cap);
        let all: Vec<_> = (0..cap).map(|_| quotas.admit(&user("u", "free"))).collect();
        prop_assert!(all.iter().all(Result::is_ok));
        let one_more = quotas.admit(&user("u", "free")).is_err();
        prop_assert!(one_more);
    }
}

#[test]
fn threads_that_race_for_one_users_requests_get_no_more_than_there_are() {
    for _ in 0..20 {
        let quotas = Quotas::new(&limited(60, 50), &still());
        let admitted = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let done = quotas.admit(&user("u", "free")).is_ok();
                        admitted.fetch_add(done.into(), Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(admitted.load(Ordering::SeqCst), 50);
    }
}

#[test]
fn c15_a_hundred_thousand_users_fit_and_are_forgotten_when_they_are_idle() {
    let clock = still();
    let quotas = Quotas::new(&Settings::default(), &clock);
    for id in 0..100_000 {
        assert!(quotas.admit(&user(&id.to_string(), "free")).is_ok());
    }
    assert_eq!(quotas.users(), 100_000);
    let refused = quotas.admit(&user("one-too-many", "free")).unwrap_err();
    assert_eq!(refused, QuotaError::Capacity { max: 100_000 });
    clock.advance(Duration::from_secs(2));
    assert!(quotas.admit(&user("one-too-many", "free")).is_ok());
    quotas.sweep();
    assert_eq!(quotas.users(), 1);
}
