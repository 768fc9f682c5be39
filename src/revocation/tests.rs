//! Two processes on one store: what one ends has ended in the other after one look, and neither lets anybody in while it
//! cannot know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;

use super::records::{COUNTER, log_id};
use super::*;
use crate::auth::principal::Held;
use crate::auth::{AuthError, Principal};
use crate::store::{Entry, Key, Later, Memory, Revision, Table};

const NOW: i64 = 1_800_000_000;

/// A store that can be switched off.
#[derive(Debug)]
struct Switched {
    inner: Memory,
    off: AtomicBool,
}

impl Switched {
    fn when_on<'a, T: Send + 'a>(&'a self, later: Later<'a, T>) -> Later<'a, T> {
        if self.off.load(Ordering::SeqCst) {
            let gone = StoreError::Unavailable("switched off".into());
            return Box::pin(std::future::ready(Err(gone)));
        }
        later
    }
}

impl Store for Switched {
    fn get<'a>(&'a self, key: &'a Key) -> Later<'a, Option<Entry>> {
        self.when_on(self.inner.get(key))
    }
    fn put<'a>(
        &'a self,
        key: &'a Key,
        value: Vec<u8>,
        end: Option<Timestamp>,
    ) -> Later<'a, Revision> {
        self.when_on(self.inner.put(key, value, end))
    }
    fn create<'a>(
        &'a self,
        key: &'a Key,
        value: Vec<u8>,
        end: Option<Timestamp>,
    ) -> Later<'a, Option<Revision>> {
        self.when_on(self.inner.create(key, value, end))
    }
    fn replace<'a>(
        &'a self,
        key: &'a Key,
        expected: Revision,
        value: Vec<u8>,
        end: Option<Timestamp>,
    ) -> Later<'a, Option<Revision>> {
        self.when_on(self.inner.replace(key, expected, value, end))
    }
    fn take<'a>(&'a self, key: &'a Key) -> Later<'a, Option<Entry>> {
        self.when_on(self.inner.take(key))
    }
    fn delete<'a>(&'a self, key: &'a Key) -> Later<'a, bool> {
        self.when_on(self.inner.delete(key))
    }
    fn scan<'a>(
        &'a self,
        table: Table,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> Later<'a, Vec<(String, Entry)>> {
        self.when_on(self.inner.scan(table, prefix, after, limit))
    }
    fn bump<'a>(&'a self, id: &'a str, end: Option<Timestamp>) -> Later<'a, u64> {
        self.when_on(self.inner.bump(id, end))
    }
    fn count<'a>(&'a self, id: &'a str) -> Later<'a, u64> {
        self.when_on(self.inner.count(id))
    }
    fn ready(&self) -> Later<'_, ()> {
        self.when_on(self.inner.ready())
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// Two gateways and what they share.
struct Pair {
    one: Revocations,
    two: Revocations,
    store: Arc<Switched>,
    clock: Clock,
}

impl Pair {
    async fn new() -> Self {
        let clock = Clock::manual(Timestamp::from_seconds(NOW));
        let store = Arc::new(Switched {
            inner: Memory::new(clock.clone()),
            off: AtomicBool::new(false),
        });
        let pair = Self {
            one: Revocations::new(store.clone(), Settings::default(), clock.clone()),
            two: Revocations::new(store.clone(), Settings::default(), clock.clone()),
            store,
            clock,
        };
        pair.look().await;
        pair
    }

    async fn look(&self) {
        self.one.poll().await.unwrap();
        self.two.poll().await.unwrap();
    }

    fn in_a_minute(&self) -> Timestamp {
        self.clock.now().plus(Duration::from_secs(60))
    }

    fn switch(&self, off: bool) {
        self.store.off.store(off, Ordering::SeqCst);
    }
}

fn bearer(user: &str, generation: Option<u64>, issued: i64) -> Principal {
    Principal::for_tests(user, "free", &[]).holding(Held {
        token: Some("jti_a"),
        session: Some("sid_a"),
        client: Some("client_a"),
        generation,
        issued_at: Some(Timestamp::from_seconds(NOW + issued)),
        ..Held::default()
    })
}

fn alice() -> Principal {
    bearer("alice", Some(0), 0)
}

#[tokio::test]
async fn r104_what_ended_is_not_forgotten_because_the_clock_leapt_ahead_and_back() {
    let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
    let store = Arc::new(Memory::new(clock.clone()));
    let revocations = Revocations::new(store, Settings::default(), clock.clone());
    revocations.poll().await.unwrap();
    let mark = Mark::Token("jti-1".into());
    let until = clock.now().plus(Duration::from_secs(3_600));
    revocations.revoke(&mark, until).await.unwrap();
    let mut calendar = revocations.calendar();
    let leap = Duration::from_secs(86_400 * 365);
    clock.set_forward(leap);
    revocations.sweep(calendar.now());
    assert_eq!(revocations.view().len(), 1);
    clock.set_back(leap);
    revocations.sweep(calendar.now());
    assert_eq!(revocations.view().len(), 1);
    clock.advance(Duration::from_secs(3_600 + 601));
    revocations.sweep(calendar.now());
    assert_eq!(revocations.view().len(), 0, "its time is over");
}

#[tokio::test]
async fn c39_nobody_comes_in_before_everything_was_read() {
    let pair = Pair::new().await;
    pair.one
        .revoke(&Mark::Token("jti_a".into()), pair.in_a_minute())
        .await
        .unwrap();
    let late = Revocations::new(pair.store.clone(), Settings::default(), pair.clock.clone());
    let judged = |late: &Revocations| late.view().check(&alice());
    assert_eq!(judged(&late), Err(AuthError::RevocationUnknown));
    assert!(!late.ready());
    late.poll().await.unwrap();
    assert_eq!(judged(&late), Err(AuthError::Revoked));
}

#[tokio::test]
async fn r119_r624_r625_what_one_process_ends_has_ended_in_all() {
    for mark in [
        Mark::Token("jti_a".into()),
        Mark::Session("sid_a".into()),
        Mark::Client("client_a".into()),
        Mark::User("alice".into()),
    ] {
        let pair = Pair::new().await;
        assert_eq!(pair.two.view().check(&alice()), Ok(()));
        pair.one.revoke(&mark, pair.in_a_minute()).await.unwrap();
        let ended = Err(AuthError::Revoked);
        assert_eq!(pair.one.view().check(&alice()), ended, "at once: {mark:?}");
        pair.two.poll().await.unwrap();
        assert_eq!(pair.two.view().check(&alice()), ended, "{mark:?}");
        let bob = Principal::for_tests("bob", "free", &[]);
        assert_eq!(pair.two.view().check(&bob), Ok(()), "{mark:?}");
    }
}

#[tokio::test]
async fn c39_a_store_that_cannot_be_read_closes_the_door_and_opens_it_again() {
    let pair = Pair::new().await;
    pair.switch(true);
    assert!(pair.two.poll().await.is_err());
    pair.clock.advance(Duration::from_secs(5));
    assert_eq!(pair.two.view().check(&alice()), Ok(()), "not too old yet");
    pair.clock.advance(Duration::from_millis(1));
    let unknown = Err(AuthError::RevocationUnknown);
    assert_eq!(pair.two.view().check(&alice()), unknown);
    pair.switch(false);
    pair.two.poll().await.unwrap();
    assert_eq!(pair.two.view().check(&alice()), Ok(()));
}

#[tokio::test]
async fn c39_a_grace_that_was_set_lets_in_for_that_long_and_no_longer_than_a_quarter_of_an_hour() {
    let bounds = |grace| {
        Settings {
            grace: Duration::from_secs(grace),
            ..Settings::default()
        }
        .bound()
    };
    assert_eq!(bounds(0), Duration::from_secs(5), "off by default");
    assert_eq!(bounds(30), Duration::from_secs(35));
    assert_eq!(bounds(86_400), Duration::from_secs(905));
}

#[tokio::test]
async fn what_could_not_be_written_has_ended_here_all_the_same() {
    let pair = Pair::new().await;
    pair.switch(true);
    let mark = Mark::Session("sid_a".into());
    assert!(pair.one.revoke(&mark, pair.in_a_minute()).await.is_err());
    assert_eq!(pair.one.view().check(&alice()), Err(AuthError::Revoked));
    assert!(pair.one.disable("bob").await.is_err());
    let bob = Principal::for_tests("bob", "free", &[]);
    assert_eq!(pair.one.view().check(&bob), Err(AuthError::UserDisabled));
}

#[tokio::test]
async fn a_writer_that_died_before_its_entry_costs_one_look_and_loses_nothing() {
    let pair = Pair::new().await;
    pair.store.bump(COUNTER, None).await.unwrap();
    pair.one
        .revoke(&Mark::Token("jti_a".into()), pair.in_a_minute())
        .await
        .unwrap();
    pair.two.poll().await.unwrap();
    assert_eq!(
        pair.two.view().check(&alice()),
        Err(AuthError::Revoked),
        "entries after the gap are read at once"
    );
    // The one that is missing: its record is there, since it is written first.
    let lost = pair.store.bump(COUNTER, None).await.unwrap();
    assert_eq!(lost, 3);
    pair.clock.advance(Duration::from_secs(6));
    pair.two.poll().await.unwrap();
    assert!(
        pair.two.ready(),
        "the first gap was given up, by reading all"
    );
    pair.clock.advance(Duration::from_secs(6));
    pair.two.poll().await.unwrap();
    assert!(pair.two.ready(), "and so was the second");
}

#[tokio::test]
async fn while_an_entry_may_still_come_the_view_grows_no_fresher() {
    let pair = Pair::new().await;
    pair.clock.advance(Duration::from_secs(6));
    let number = pair.store.bump(COUNTER, None).await.unwrap();
    pair.two.poll().await.unwrap();
    assert!(!pair.two.ready());
    let entry = records::Entry(Named::of(&Mark::Token("x".into())));
    record::put(&*pair.store, &log_id(number), &entry, None)
        .await
        .unwrap();
    pair.two.poll().await.unwrap();
    assert!(pair.two.ready());
}

#[tokio::test]
async fn whoever_was_away_for_longer_than_the_log_reads_everything() {
    let pair = Pair::new().await;
    for user in ["alice", "bob"] {
        pair.one.disable(user).await.unwrap();
    }
    let hour = pair.clock.now().plus(Duration::from_secs(3600));
    pair.one
        .revoke(&Mark::Client("client_x".into()), hour)
        .await
        .unwrap();
    pair.clock.advance(Duration::from_secs(601));
    // The first look may hope for entries that are on their way; the second does not.
    for _ in 0..2 {
        pair.two.poll().await.unwrap();
    }
    assert!(pair.two.ready());
    assert_eq!(pair.two.view().len(), 3);
}

#[tokio::test]
async fn a_store_that_was_put_back_to_an_older_state_is_read_as_a_whole() {
    let pair = Pair::new().await;
    for id in ["a", "b"] {
        let mark = Mark::Token(id.into());
        pair.one.revoke(&mark, pair.in_a_minute()).await.unwrap();
    }
    pair.look().await;
    for key in [
        Key::new(Table::Counter, COUNTER),
        Key::new(Table::Revoked, log_id(1)),
        Key::new(Table::Revoked, log_id(2)),
    ] {
        assert!(pair.store.delete(&key).await.unwrap());
    }
    pair.one
        .revoke(&Mark::Token("jti_a".into()), pair.in_a_minute())
        .await
        .unwrap();
    pair.two.poll().await.unwrap();
    assert_eq!(pair.two.view().check(&alice()), Err(AuthError::Revoked));
}

#[tokio::test]
async fn r285_a_disabled_user_is_out_with_every_token_and_comes_back_only_by_a_new_login() {
    let pair = Pair::new().await;
    let foreign = bearer("idp|alice", None, 0);
    for user in ["alice", "idp|alice"] {
        pair.one.disable(user).await.unwrap();
    }
    pair.two.poll().await.unwrap();
    for principal in [&alice(), &foreign, &bearer("idp|alice", None, 99)] {
        let shut = Err(AuthError::UserDisabled);
        assert_eq!(pair.one.view().check(principal), shut);
        assert_eq!(pair.two.view().check(principal), shut);
    }
    for user in ["alice", "idp|alice"] {
        pair.two.enable(user).await.unwrap();
    }
    pair.look().await;
    let later = bearer("idp|alice", None, 1);
    for revocations in [&pair.one, &pair.two] {
        let view = revocations.view();
        let ended = Err(AuthError::Revoked);
        assert_eq!(view.check(&alice()), ended, "an old token");
        assert_eq!(view.check(&foreign), ended, "an old foreign token");
        assert_eq!(view.check(&bearer("alice", Some(1), 1)), Ok(()));
        assert_eq!(view.check(&later), Ok(()));
    }
}

#[tokio::test]
async fn c50_a_new_generation_ends_the_old_one_alone() {
    let pair = Pair::new().await;
    let user = pair.one.bump_generation("alice").await.unwrap();
    assert_eq!((user.generation, user.disabled), (1, false));
    pair.look().await;
    for revocations in [&pair.one, &pair.two] {
        let view = revocations.view();
        assert_eq!(view.check(&alice()), Err(AuthError::Revoked));
        assert_eq!(view.check(&bearer("alice", Some(1), 0)), Ok(()));
    }
}

#[tokio::test]
async fn a_forgotten_user_leaves_no_record_and_no_valid_token() {
    let pair = Pair::new().await;
    for _ in 0..3 {
        pair.one.bump_generation("alice").await.unwrap();
    }
    assert!(pair.one.forget("alice").await.unwrap());
    assert!(!pair.one.forget("alice").await.unwrap());
    pair.two.poll().await.unwrap();
    let found = users::find(&*pair.store, "alice").await.unwrap();
    assert!(found.is_none());
    for revocations in [&pair.one, &pair.two] {
        let view = revocations.view();
        let old = bearer("alice", Some(3), 0);
        assert_eq!(view.check(&old), Err(AuthError::Revoked));
        let new = bearer("alice", Some(0), 1);
        assert_eq!(view.check(&new), Ok(()), "who comes back is new");
    }
}

#[tokio::test]
async fn an_end_is_never_brought_forward() {
    let pair = Pair::new().await;
    let mark = Mark::Session("sid_a".into());
    let day = pair.clock.now().plus(Duration::from_secs(86_400));
    pair.one.revoke(&mark, day).await.unwrap();
    pair.two.revoke(&mark, pair.in_a_minute()).await.unwrap();
    pair.clock.advance(Duration::from_secs(3_000));
    let late = Revocations::new(pair.store.clone(), Settings::default(), pair.clock.clone());
    late.poll().await.unwrap();
    assert_eq!(late.view().check(&alice()), Err(AuthError::Revoked));
}

#[tokio::test]
async fn whatever_two_processes_do_at_once_both_know_the_end_of_it() {
    let pair = Pair::new().await;
    let all = (0..40).map(|n| {
        let pair = &pair;
        async move {
            let (by, other) = match n % 2 {
                0 => (&pair.one, &pair.two),
                _ => (&pair.two, &pair.one),
            };
            let mark = Mark::Token(format!("t{n}"));
            by.revoke(&mark, pair.in_a_minute()).await.unwrap();
            by.bump_generation("alice").await.unwrap();
            other.poll().await.unwrap();
        }
    });
    futures_util::future::join_all(all).await;
    pair.look().await;
    pair.look().await;
    for revocations in [&pair.one, &pair.two] {
        let view = revocations.view();
        assert_eq!(view.len(), 41);
        assert_eq!(view.standing("alice").generation, 40);
    }
}

#[tokio::test]
async fn a_stream_hears_at_once_that_its_principal_has_ended() {
    let pair = Pair::new().await;
    let (here, there) = (alice(), alice());
    let (mut one, mut two) = (pair.one.watch(), pair.two.watch());
    let (mut here, mut there) = (Box::pin(one.ended(&here)), Box::pin(two.ended(&there)));
    assert_eq!((&mut here).now_or_never(), None);
    assert_eq!((&mut there).now_or_never(), None);
    let (mark, until) = (Mark::Token("another".into()), pair.in_a_minute());
    pair.one.revoke(&mark, until).await.unwrap();
    pair.look().await;
    assert_eq!((&mut here).now_or_never(), None);
    assert_eq!((&mut there).now_or_never(), None);
    pair.one.disable("alice").await.unwrap();
    assert_eq!((&mut here).now_or_never(), Some(AuthError::UserDisabled));
    assert_eq!((&mut there).now_or_never(), None, "nobody looked yet");
    pair.two.poll().await.unwrap();
    assert_eq!((&mut there).now_or_never(), Some(AuthError::UserDisabled));
}

#[tokio::test(start_paused = true)]
async fn c39_streams_end_too_when_nobody_can_say_whether_they_may_go_on() {
    let pair = Pair::new().await;
    pair.switch(true);
    let mut watch = pair.one.watch();
    pair.clock.advance(Duration::from_secs(6));
    let principal = alice();
    let ended = async {
        tokio::select! {
            () = pair.one.run() => unreachable!("it runs for ever"),
            ended = watch.ended(&principal) => ended,
        }
    };
    assert_eq!(ended.await, AuthError::RevocationUnknown);
}
