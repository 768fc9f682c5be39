//! What every store must do, as one set of tests: [`behaves_like_a_store`] makes them for each kind of store, so that a
//! gateway with a file and a fleet with a Redis cannot come to differ.

use std::sync::Arc;
use std::time::Duration;

use super::record::{self, Record};
use super::{ID_MAX_BYTES, Key, Revision, SCAN_MAX, Store, StoreError, Table, VALUE_MAX_BYTES};
use crate::clock::{Clock, Timestamp};

/// An opened store and the clock that it goes by.
pub(in crate::store) struct Opened {
    pub(in crate::store) store: Arc<dyn Store>,
    pub(in crate::store) clock: Clock,
    /// Kept until the test is over, such as a folder.
    pub(in crate::store) _keep: Option<tempfile::TempDir>,
}

/// A clock that stands at a moment of no meaning.
pub(in crate::store) fn clock() -> Clock {
    Clock::manual(Timestamp::from_seconds(1_800_000_000))
}

/// One test a behaviour, over the store that `$open` opens. `$attribute` may say that they need something from outside.
macro_rules! behaves_like_a_store {
    ($open:path $(, #[$attribute:meta])?) => {
        $crate::store::suite::behaves_like_a_store!(@ $open, [$(#[$attribute])?],
            what_is_too_large_is_refused
            what_is_not_there_is_not_invented
            c10_of_64_who_create_one_succeeds
            of_64_who_take_one_gets_it
            of_64_who_replace_one_succeeds
            a_revision_never_comes_back
            records_end_when_their_time_is_over
            a_put_renews_the_end
            scans_are_in_order_and_in_pages
            scans_leave_out_what_is_over_and_what_is_elsewhere
            counters_count_every_caller_and_keep_their_end
            odd_ids_are_ids_like_others
            any_bytes_are_kept
            records_have_types_and_versions
            it_is_ready_and_says_what_it_is
        );
    };
    (@ $open:path, $attributes:tt, $($behaviour:ident)+) => {
        $($crate::store::suite::behaves_like_a_store!(@@ $open, $attributes, $behaviour);)+
    };
    (@@ $open:path, [$(#[$attribute:meta])?], $behaviour:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $(#[$attribute])?
        async fn $behaviour() {
            $crate::store::suite::$behaviour(&$open().await).await;
        }
    };
}
pub(in crate::store) use behaves_like_a_store;

const CROWD: usize = 64;

fn key(id: &str) -> Key {
    Key::new(Table::Grant, id)
}

impl Opened {
    fn in_seconds(&self, seconds: u64) -> Option<Timestamp> {
        Some(self.clock.now().plus(Duration::from_secs(seconds)))
    }

    async fn put(&self, id: &str, value: &[u8]) -> Revision {
        let stored = self.store.put(&key(id), value.to_vec(), None).await;
        stored.unwrap()
    }

    async fn value(&self, id: &str) -> Option<Vec<u8>> {
        let found = self.store.get(&key(id)).await.unwrap();
        found.map(|entry| entry.value)
    }

    async fn ids(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let found = self.store.scan(Table::Grant, prefix, after, limit).await;
        found.unwrap().into_iter().map(|(id, _)| id).collect()
    }

    /// What each of many gets who do the same at the same time.
    async fn crowd<T, F, W>(&self, work: W) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
        W: Fn(Arc<dyn Store>, usize) -> F,
    {
        let start = Arc::new(tokio::sync::Barrier::new(CROWD));
        let mut tasks = Vec::new();
        for number in 0..CROWD {
            let (work, start) = (work(Arc::clone(&self.store), number), Arc::clone(&start));
            tasks.push(tokio::spawn(async move {
                start.wait().await;
                work.await
            }));
        }
        let mut outcomes = Vec::new();
        for task in tasks {
            outcomes.push(task.await.unwrap());
        }
        outcomes
    }
}

pub(in crate::store) async fn what_is_too_large_is_refused(of: &Opened) {
    let store = &of.store;
    let long = "i".repeat(ID_MAX_BYTES + 1);
    let large = vec![b'v'; VALUE_MAX_BYTES + 1];
    for (id, value) in [
        ("", vec![]),
        (long.as_str(), vec![]),
        ("fits", large.clone()),
    ] {
        let key = key(id);
        let too_large =
            |outcome: Result<(), StoreError>| matches!(outcome, Err(StoreError::TooLarge(_)));
        assert!(too_large(
            store.put(&key, value.clone(), None).await.map(drop)
        ));
        assert!(too_large(
            store.create(&key, value.clone(), None).await.map(drop)
        ));
        let replaced = store.replace(&key, Revision(1), value, None).await;
        assert!(too_large(replaced.map(drop)));
    }
    let most = "i".repeat(ID_MAX_BYTES);
    of.put(&most, &large[1..]).await;
    assert_eq!(of.value(&most).await.unwrap().len(), VALUE_MAX_BYTES);
}

pub(in crate::store) async fn what_is_not_there_is_not_invented(of: &Opened) {
    let store = &of.store;
    let nothing = key("nothing");
    assert_eq!(store.get(&nothing).await.unwrap(), None);
    assert_eq!(store.take(&nothing).await.unwrap(), None);
    assert!(!store.delete(&nothing).await.unwrap());
    assert_eq!(store.count("nothing").await.unwrap(), 0);
    let replaced = store.replace(&nothing, Revision(0), vec![], None).await;
    assert_eq!(replaced.unwrap(), None);
    assert_eq!(of.ids("", None, 10).await, Vec::<String>::new());
}

pub(in crate::store) async fn c10_of_64_who_create_one_succeeds(of: &Opened) {
    let created = of
        .crowd(|store, number| async move {
            let value = number.to_string().into_bytes();
            let created = store.create(&key("one"), value, None).await.unwrap();
            created.map(|revision| (number, revision))
        })
        .await;
    let winners: Vec<_> = created.into_iter().flatten().collect();
    let &[(winner, revision)] = winners.as_slice() else {
        panic!("{winners:?}");
    };
    let entry = of.store.get(&key("one")).await.unwrap().unwrap();
    assert_eq!(entry.value, winner.to_string().into_bytes());
    assert_eq!(entry.revision, revision);
}

pub(in crate::store) async fn of_64_who_take_one_gets_it(of: &Opened) {
    of.put("one", b"prize").await;
    let taken = of
        .crowd(|store, number| async move {
            if number % 2 == 0 {
                let entry = store.take(&key("one")).await.unwrap();
                entry.is_some_and(|entry| entry.value == b"prize")
            } else {
                store.delete(&key("one")).await.unwrap()
            }
        })
        .await;
    assert_eq!(taken.into_iter().filter(|won| *won).count(), 1);
    assert_eq!(of.value("one").await, None);
}

pub(in crate::store) async fn of_64_who_replace_one_succeeds(of: &Opened) {
    let first = of.put("one", b"start").await;
    let replaced = of
        .crowd(move |store, number| async move {
            let value = number.to_string().into_bytes();
            let replaced = store.replace(&key("one"), first, value.clone(), None).await;
            replaced.unwrap().map(|_| value)
        })
        .await;
    let winners: Vec<_> = replaced.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(of.value("one").await.as_ref(), winners.first());
}

/// A revision that came back would let a writer replace a record that is not the one it read.
pub(in crate::store) async fn a_revision_never_comes_back(of: &Opened) {
    let mut seen = std::collections::BTreeSet::new();
    let (store, one) = (&of.store, key("one"));
    for _ in 0..3 {
        let put = of.put("one", b"put").await;
        let next = store.replace(&one, put, b"next".to_vec(), None).await;
        let next = next.unwrap().unwrap();
        assert!(store.delete(&one).await.unwrap());
        let created = store.create(&one, b"new".to_vec(), None).await;
        let created = created.unwrap().unwrap();
        for revision in [put, next, created] {
            assert!(seen.insert(revision), "{revision:?}");
        }
        for stale in [put, next] {
            let replaced = store.replace(&one, stale, b"stale".to_vec(), None).await;
            assert_eq!(replaced.unwrap(), None);
        }
        assert_eq!(of.value("one").await.unwrap(), b"new");
    }
}

pub(in crate::store) async fn records_end_when_their_time_is_over(of: &Opened) {
    let store = &of.store;
    let end = of.in_seconds(60);
    for id in ["get", "take", "delete", "replace", "create"] {
        store.put(&key(id), b"old".to_vec(), end).await.unwrap();
    }
    let held = store.get(&key("replace")).await.unwrap().unwrap();
    assert_eq!(held.expires_at, end);
    of.clock.advance(Duration::from_millis(59_999));
    assert!(of.value("get").await.is_some());
    of.clock.advance(Duration::from_millis(1));
    assert_eq!(of.value("get").await, None);
    assert_eq!(store.take(&key("take")).await.unwrap(), None);
    assert!(!store.delete(&key("delete")).await.unwrap());
    let replaced = store
        .replace(&key("replace"), held.revision, vec![], None)
        .await;
    assert_eq!(replaced.unwrap(), None);
    let created = store.create(&key("create"), b"new".to_vec(), None).await;
    assert!(created.unwrap().is_some());
    assert_eq!(of.ids("", None, 10).await, ["create"]);
}

pub(in crate::store) async fn a_put_renews_the_end(of: &Opened) {
    let end = of.in_seconds(10);
    of.store.put(&key("one"), vec![1], end).await.unwrap();
    let held = of.store.get(&key("one")).await.unwrap().unwrap();
    let later = of.in_seconds(20);
    let replaced = of
        .store
        .replace(&key("one"), held.revision, vec![2], later)
        .await;
    assert!(replaced.unwrap().is_some());
    of.clock.advance(Duration::from_secs(15));
    assert_eq!(of.value("one").await, Some(vec![2]));
    of.store.put(&key("one"), vec![3], None).await.unwrap();
    of.clock.advance(Duration::from_secs(1_000_000));
    assert_eq!(of.value("one").await, Some(vec![3]));
    let past = Some(Timestamp::from_seconds(1));
    of.store.put(&key("one"), vec![4], past).await.unwrap();
    assert_eq!(of.value("one").await, None);
}

pub(in crate::store) async fn scans_are_in_order_and_in_pages(of: &Opened) {
    for id in ["b/2", "a/1", "b/10", "c", "b/1", "b"] {
        of.put(id, id.as_bytes()).await;
    }
    assert_eq!(
        of.ids("", None, 10).await,
        ["a/1", "b", "b/1", "b/10", "b/2", "c"]
    );
    assert_eq!(of.ids("b/", None, 10).await, ["b/1", "b/10", "b/2"]);
    assert_eq!(of.ids("b/", None, 2).await, ["b/1", "b/10"]);
    assert_eq!(of.ids("b/", Some("b/10"), 10).await, ["b/2"]);
    assert_eq!(
        of.ids("b/", Some("a"), 10).await,
        ["b/1", "b/10", "b/2"],
        "before"
    );
    assert_eq!(
        of.ids("b/", Some("c"), 10).await,
        Vec::<String>::new(),
        "behind"
    );
    assert_eq!(
        of.ids("b/", Some("b/1x"), 10).await,
        ["b/2"],
        "not there itself"
    );
    assert_eq!(of.ids("", None, 0).await, Vec::<String>::new());
    let rows = of.store.scan(Table::Grant, "b/1", None, 10).await.unwrap();
    assert!(rows.iter().all(|(id, entry)| id.as_bytes() == entry.value));
    assert_eq!(of.ids("", None, usize::MAX).await.len(), 6);
    const { assert!(SCAN_MAX == 1000) };
}

pub(in crate::store) async fn scans_leave_out_what_is_over_and_what_is_elsewhere(of: &Opened) {
    for number in 0..40_u64 {
        let end = of
            .in_seconds(10)
            .filter(|_| !number.is_multiple_of(4))
            .or(of.in_seconds(30));
        let id = format!("{number:02}");
        of.store.put(&key(&id), vec![], end).await.unwrap();
    }
    let other = Key::new(Table::UserGrant, "00/other");
    of.store.put(&other, vec![], None).await.unwrap();
    of.clock.advance(Duration::from_secs(20));
    assert_eq!(of.ids("", None, 3).await, ["00", "04", "08"]);
    assert_eq!(of.ids("", Some("08"), 3).await, ["12", "16", "20"]);
    assert!(of.store.delete(&key("04")).await.unwrap());
    assert_eq!(of.ids("0", None, 10).await, ["00", "08"]);
    of.put("04", b"again").await;
    assert_eq!(of.ids("0", None, 10).await, ["00", "04", "08"]);
}

pub(in crate::store) async fn counters_count_every_caller_and_keep_their_end(of: &Opened) {
    let store = &of.store;
    let end = of.in_seconds(60);
    assert_eq!(store.bump("kept", end).await.unwrap(), 1);
    of.clock.advance(Duration::from_secs(50));
    assert_eq!(store.bump("kept", of.in_seconds(60)).await.unwrap(), 2);
    assert_eq!(store.bump("kept", None).await.unwrap(), 3);
    let entry = store.get(&Key::new(Table::Counter, "kept")).await.unwrap();
    let entry = entry.unwrap();
    assert_eq!((entry.value, entry.expires_at), (b"3".to_vec(), end));
    of.clock.advance(Duration::from_secs(10));
    assert_eq!(store.count("kept").await.unwrap(), 0);
    assert_eq!(store.bump("kept", None).await.unwrap(), 1);
    let mut counts = of
        .crowd(|store, _| async move { store.bump("crowd", None).await.unwrap() })
        .await;
    counts.sort_unstable();
    assert_eq!(counts, (1..=CROWD as u64).collect::<Vec<_>>());
    assert_eq!(store.count("crowd").await.unwrap(), CROWD as u64);
}

pub(in crate::store) async fn odd_ids_are_ids_like_others(of: &Opened) {
    let odd = [
        "}",
        "{}",
        "{a}b",
        "a\nb\r\n",
        "*?[a-z]",
        "\\",
        "grüße/日本",
        "\u{10ffff}",
        "-",
        "+",
        "(",
        "[",
        "a b\t",
        "%00",
        "\u{0}",
        "a\u{0}b",
    ];
    for id in odd {
        let value = id.as_bytes().to_vec();
        let created = of.store.create(&key(id), value, None).await;
        assert!(created.unwrap().is_some(), "{id:?}");
    }
    let mut sorted = odd.to_vec();
    sorted.sort_unstable();
    assert_eq!(of.ids("", None, 100).await, sorted);
    for id in odd {
        assert_eq!(of.value(id).await.unwrap(), id.as_bytes(), "{id:?}");
        assert!(
            of.ids(id, None, 100).await.contains(&id.to_owned()),
            "{id:?}"
        );
        assert!(of.store.take(&key(id)).await.unwrap().is_some(), "{id:?}");
    }
    assert_eq!(of.ids("", None, 100).await, Vec::<String>::new());
}

pub(in crate::store) async fn any_bytes_are_kept(of: &Opened) {
    let all: Vec<u8> = (0..=255).collect();
    for value in [vec![], vec![0], b"\r\n".to_vec(), all] {
        of.put("one", &value).await;
        assert_eq!(of.value("one").await.unwrap(), value);
    }
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct First {
    name: String,
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Third {
    names: Vec<String>,
    rank: u8,
}

impl Record for First {
    const TABLE: Table = Table::User;
    const VERSION: u16 = 1;
}

impl Record for Third {
    const TABLE: Table = Table::User;
    const VERSION: u16 = 3;

    fn migrate(from: u16, mut content: serde_json::Value) -> Option<serde_json::Value> {
        let fields = content.as_object_mut()?;
        match from {
            1 => {
                let name = fields.remove("name")?;
                fields.insert("names".into(), vec![name].into());
            }
            2 => drop(fields.insert("rank".into(), 7.into())),
            _ => return None,
        }
        Some(content)
    }
}

pub(in crate::store) async fn records_have_types_and_versions(of: &Opened) {
    let store = &*of.store;
    let name = || "canary".to_owned();
    record::put(store, "one", &First { name: name() }, None)
        .await
        .unwrap();
    let held = record::get::<Third>(store, "one").await.unwrap().unwrap();
    let migrated = Third {
        names: vec![name()],
        rank: 7,
    };
    assert_eq!(held.record, migrated);
    let again = record::replace(store, "one", held.revision, &migrated, None).await;
    assert!(again.unwrap().is_some());
    let newer = record::get::<First>(store, "one").await.unwrap_err();
    assert!(newer.to_string().contains("newer gateway"), "{newer}");
    for broken in [
        &b""[..],
        b"{",
        b"{\"v\":0,\"r\":{}}",
        b"{\"v\":3,\"r\":{\"rank\":1}}",
    ] {
        let key = Key::new(Table::User, "two");
        store.put(&key, broken.to_vec(), None).await.unwrap();
        let refused = record::get::<Third>(store, "two").await.unwrap_err();
        assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused}");
    }
}

pub(in crate::store) async fn it_is_ready_and_says_what_it_is(of: &Opened) {
    of.store.ready().await.unwrap();
    assert!(!of.store.describe().is_empty());
    assert!(!format!("{:?} {}", of.store, of.store.describe()).contains("canary"));
}
