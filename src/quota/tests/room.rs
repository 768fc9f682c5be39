//! Slots, threads, and a table that is bounded.

use super::*;

#[test]
fn r498_c29_the_sixth_call_at_the_same_time_is_refused_until_one_ends() {
    let quotas = Quotas::new(&Settings::default(), &still());
    let principal = user("u", "free");
    let mut running: Vec<Admission> = (0..5).map(|_| quotas.admit(&principal).unwrap()).collect();
    let refused = quotas.admit(&principal).unwrap_err();
    assert_eq!(refused, QuotaError::Concurrency { cap: 5 });
    assert_eq!(header(|it| refused.write(it), "retry-after"), Some(1));
    assert!(quotas.admit(&user("v", "free")).is_ok());
    running.pop();
    assert!(quotas.admit(&principal).is_ok());
}

#[test]
fn streams_have_slots_of_their_own() {
    let settings = Settings {
        streams: 2,
        concurrency: 1,
        ..Settings::default()
    };
    let quotas = Quotas::new(&settings, &still());
    let principal = user("u", "free");
    let open = || quotas.admit(&principal).and_then(Admission::into_stream);
    let (first, _second) = (open().unwrap(), open().unwrap());
    assert_eq!(open().unwrap_err(), QuotaError::Streams { cap: 2 });
    assert!(
        quotas.admit(&principal).is_ok(),
        "the call slot was given back"
    );
    drop(first);
    assert!(open().is_ok());
}

#[test]
fn r143_an_idle_minute_empties_the_table() {
    let clock = still();
    let quotas = Quotas::new(&Settings::default(), &clock);
    assert_eq!(admitted(&quotas, &user("spent", "free"), 100), 100);
    let running = quotas.admit(&user("running", "free")).unwrap();
    quotas.sweep();
    assert_eq!(quotas.users(), 2);
    clock.advance(Duration::from_secs(60));
    quotas.sweep();
    assert_eq!(quotas.users(), 1, "a running call is remembered");
    drop(running);
    quotas.sweep();
    assert_eq!(quotas.users(), 0);
    assert!(quotas.counters(&UserId::own("spent")).is_empty());
}

#[test]
fn what_was_spent_on_one_tool_outlasts_what_was_spent_in_all() {
    let clock = still();
    let quotas = Quotas::new(&with_tools(), &clock);
    let call = || {
        quotas
            .admit(&user("u", "free"))
            .and_then(|mut it| it.charge("export"))
    };
    assert_eq!((call(), call()), (Ok(()), Ok(())));
    clock.advance(Duration::from_secs(5));
    quotas.sweep();
    assert!(
        call().is_err(),
        "two exports a minute, whatever else is forgotten"
    );
}

#[test]
fn a_table_full_of_active_users_refuses_new_ones_and_forgets_nobody() {
    let clock = still();
    let settings = Settings {
        max_keys: 3,
        ..Settings::default()
    };
    let quotas = Quotas::new(&settings, &clock);
    for id in ["a", "b", "c"] {
        assert_eq!(admitted(&quotas, &user(id, "free"), 100), 100);
    }
    for id in ["d", "e", "f"] {
        let refused = quotas.admit(&user(id, "free")).unwrap_err();
        assert_eq!(refused, QuotaError::Capacity { max: 3 });
    }
    assert_eq!(admitted(&quotas, &user("a", "free"), 1), 0, "still counted");
    assert_eq!(quotas.users(), 3);
    clock.advance(Duration::from_secs(61));
    assert!(
        quotas.admit(&user("d", "free")).is_ok(),
        "idle users make room"
    );
    assert_eq!(quotas.users(), 1);
}

#[test]
fn twenty_threads_are_admitted_as_often_as_one() {
    let settings = Settings {
        concurrency: 1000,
        ..Settings::default()
    };
    let quotas = Quotas::new(&settings, &still());
    let total: u32 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| admitted(&quotas, &user("u", "free"), 50)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(total, 100);
}

#[test]
fn twenty_threads_never_hold_more_slots_than_there_are() {
    let quotas = Quotas::new(&Settings::default(), &still());
    let barrier = std::sync::Barrier::new(20);
    let held: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    let admission = quotas.admit(&user("u", "enterprise"));
                    barrier.wait();
                    usize::from(admission.is_ok())
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(held, 5);
    assert_eq!(
        admitted(&quotas, &user("u", "enterprise"), 5),
        5,
        "all slots came back"
    );
}
