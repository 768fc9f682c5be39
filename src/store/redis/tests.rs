//! The shared store. These tests need a Redis: `tests/store/run` starts one, with a password and TLS too, and runs them.

use std::collections::BTreeSet;
use std::sync::Arc;

use ::redis::Script;

use super::scripts::LEASE_MS;
use super::*;
use crate::store::suite::{Opened, behaves_like_a_store, clock};

fn url() -> Secret<String> {
    let url = std::env::var("SALLYGATE_TEST_REDIS");
    Secret::new(url.expect("SALLYGATE_TEST_REDIS is the address of a Redis; see tests/store/run"))
}

/// A store of its own in the shared Redis.
fn fresh(clock: &Clock) -> Redis {
    let settings = Settings {
        namespace: format!("test-{}", random::hex::<8>().unwrap()),
        ca_file: std::env::var_os("SALLYGATE_TEST_REDIS_CA").map(PathBuf::from),
        // A machine that builds other things meanwhile may be slow.
        response_timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(10),
        ..Settings::default()
    };
    Redis::new(&url(), &settings, clock).unwrap()
}

async fn open() -> Opened {
    let clock = clock();
    Opened {
        store: Arc::new(fresh(&clock)),
        clock,
        _keep: None,
    }
}

behaves_like_a_store!(open, #[ignore = "needs a Redis: tests/store/run"]);

fn key(id: &str) -> Key {
    Key::new(Table::Grant, id)
}

async fn ask(store: &Redis, script: &str, args: &[String]) -> Vec<String> {
    let script = Script::new(script);
    let mut asked = script.prepare_invoke();
    asked.arg(args);
    store.link.run(&asked).await.unwrap()
}

async fn indexed(store: &Redis) -> Vec<String> {
    store.index.page(Table::Grant, b"-", PAGE).await.unwrap()
}

/// Moves every moment at which an id is due into the past, instead of waiting for it.
async fn let_leases_end(store: &Redis) -> Vec<(String, String)> {
    let due = store.index.record(Table::Grant, "");
    let due = due.replace(":{grant/}", ":index:{grant}:due");
    let script = "
        for _, id in ipairs(redis.call('ZRANGE', ARGV[1], 0, -1)) do redis.call('ZADD', ARGV[1], 1, id) end
        return redis.call('ZRANGE', ARGV[1], 0, -1, 'WITHSCORES')";
    let flat = ask(store, script, &[due]).await;
    let pair = |pair: &[String]| (pair[0].clone(), pair[1].clone());
    flat.chunks(2).map(pair).collect()
}

#[tokio::test]
#[ignore = "needs a Redis: tests/store/run"]
async fn a_crash_between_index_and_record_leaves_nothing_wrong() {
    let store = fresh(&clock());
    store.put(&key("b"), vec![1], None).await.unwrap();
    store.index.enter(Table::Grant, "a", "").await.unwrap();
    assert_eq!(indexed(&store).await, ["a", "b"]);
    let found = store.scan(Table::Grant, "", None, 10).await.unwrap();
    assert_eq!(found.len(), 1, "an id without a record was yielded");
    assert!(
        store
            .create(&key("a"), vec![2], None)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
#[ignore = "needs a Redis: tests/store/run"]
async fn ids_without_records_leave_the_index_and_others_stay() {
    let store = fresh(&clock());
    let soon = Some(store.clock.now().plus(Duration::from_secs(3600)));
    store.put(&key("endless"), vec![], None).await.unwrap();
    store.put(&key("ending"), vec![], soon).await.unwrap();
    store.put(&key("taken"), vec![], soon).await.unwrap();
    store.take(&key("taken")).await.unwrap().unwrap();
    store
        .index
        .enter(Table::Grant, "crashed", "")
        .await
        .unwrap();
    let due = let_leases_end(&store).await;
    assert_eq!(due.len(), 4);
    // Somebody enters again between the look and its outcome: the id must stay.
    store
        .index
        .enter(Table::Grant, "crashed", "")
        .await
        .unwrap();
    store.index.settle(Table::Grant, due).await.unwrap();
    assert_eq!(indexed(&store).await, ["crashed", "ending", "endless"]);
    let due = let_leases_end(&store).await;
    store.index.settle(Table::Grant, due).await.unwrap();
    assert_eq!(indexed(&store).await, ["ending", "endless"]);
}

#[tokio::test]
#[ignore = "needs a Redis: tests/store/run"]
async fn a_record_is_not_written_when_its_lease_is_over() {
    let store = fresh(&clock());
    let mut write = WRITE.prepare_invoke();
    write.key(store.index.record(Table::Grant, "late"));
    for argument in ["put", "0", "1", "", "", "value", "1", "0"] {
        write.arg(argument);
    }
    assert_eq!(store.link.run::<i64>(&write).await.unwrap(), -1);
    assert_eq!(store.get(&key("late")).await.unwrap(), None);
    const { assert!(scripts::WRITE_WITHIN_MS * 3 < LEASE_MS) };
}

#[tokio::test]
#[ignore = "needs a Redis: tests/store/run"]
async fn what_ends_is_forgotten_by_redis_itself() {
    let store = fresh(&clock());
    let end = Some(store.clock.now().plus(Duration::from_secs(10)));
    store.put(&key("one"), vec![], end).await.unwrap();
    let left = || async {
        let mut left = pipe();
        left.pttl(store.index.record(Table::Grant, "one"));
        store.link.read::<(i64,)>(&left).await.unwrap().0
    };
    let ahead = left().await;
    let most = i64::try_from(10_000 + FORGET_AFTER_MS).unwrap();
    assert!((10_000..=most).contains(&ahead), "{ahead}");
    store.put(&key("one"), vec![], None).await.unwrap();
    assert_eq!(left().await, -1, "it would have been forgotten");
}

/// In a cluster every script must find all its keys in one slot, and a slot is chosen by what is between the first braces.
#[test]
fn all_keys_of_a_record_and_all_of_an_index_lie_in_one_slot() {
    let url = Secret::new("redis://localhost".to_owned());
    let store = Redis::new(&url, &Settings::default(), &clock()).unwrap();
    let slot = |key: &str| {
        let (_, rest) = key.split_once('{').unwrap();
        rest.split_once('}').unwrap().0.to_owned()
    };
    let mut seen = BTreeSet::new();
    for table in Table::ALL {
        let record = store.index.record(table, "a{b}c");
        assert_eq!(slot(&record), format!("{table}/a{{b"));
        assert!(seen.insert(record));
        assert!(!slot(&store.index.record(table, "}")).is_empty());
    }
}

#[tokio::test]
async fn c39_a_redis_that_is_away_is_an_error_at_once() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let url = Secret::new(format!("redis://:canary@127.0.0.1:{port}"));
    let settings = Settings {
        retry_pause: Duration::from_secs(3600),
        ..Settings::default()
    };
    let store = Redis::new(&url, &settings, &clock()).unwrap();
    let refused = |outcome: Result<(), StoreError>| {
        let error = outcome.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert!(!error.to_string().contains("canary"), "{error}");
    };
    refused(store.get(&key("one")).await.map(drop));
    refused(store.take(&key("one")).await.map(drop));
    refused(store.put(&key("one"), vec![], None).await.map(drop));
    refused(store.scan(Table::Grant, "", None, 1).await.map(drop));
    refused(store.bump("one", None).await.map(drop));
    refused(store.count("one").await.map(drop));
    refused(store.ready().await);
    assert!(!format!("{store:?} {}", store.describe()).contains("canary"));
}

#[tokio::test(start_paused = true)]
async fn c39_a_redis_that_says_nothing_is_an_error_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let store = Redis::new(&Secret::new(url), &Settings::default(), &clock()).unwrap();
    let refused = store.get(&key("one")).await.unwrap_err();
    assert!(refused.to_string().contains("too long"), "{refused}");
}
