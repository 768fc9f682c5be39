//! The embedded store: what it has in common with the others, and what only a file can do wrong.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::redb::{Database, ReadableDatabase, TableDefinition};

use super::*;
use crate::store::suite::{Opened, behaves_like_a_store, clock};

fn at(path: &Path, clock: &Clock) -> Redb {
    Redb::open(path, &Settings::default(), clock).unwrap()
}

async fn open() -> Opened {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    Opened {
        store: Arc::new(at(&dir.path().join("store.redb"), &clock)),
        clock,
        _keep: Some(dir),
    }
}

behaves_like_a_store!(open);

fn key(id: &str) -> Key {
    Key::new(Table::Grant, id)
}

#[test]
fn a_store_of_a_newer_gateway_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    drop(at(&path, &clock()));
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(TableDefinition::<&str, u64>::new("header"))
        .unwrap()
        .insert("format", layout::FORMAT + 1)
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let refused = Redb::open(&path, &Settings::default(), &clock()).unwrap_err();
    assert!(matches!(refused, StoreError::Unusable(_)));
    assert!(refused.to_string().contains("newer gateway"), "{refused}");
}

/// Format 0: records alone, by hand.
fn write_format_0(path: &Path, end: i64) {
    let database = Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut records = transaction.open_table(RECORDS).unwrap();
        records
            .insert(("grant", "stays"), (41, None, &b"one"[..]))
            .unwrap();
        records
            .insert(("grant", "ends"), (40, Some(end), &b"two"[..]))
            .unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, private).unwrap();
}

#[tokio::test]
async fn a_store_of_an_older_format_is_brought_to_todays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let clock = clock();
    write_format_0(&path, clock.now().millis() + 1000);
    let store = at(&path, &clock);
    let stays = store.get(&key("stays")).await.unwrap().unwrap();
    assert_eq!((stays.value, stays.revision.0), (b"one".to_vec(), 41));
    let next = store.put(&key("new"), vec![], None).await.unwrap();
    assert!(next.0 > 41, "a revision of before came back");
    clock.advance(Duration::from_secs(1));
    assert_eq!(store.get(&key("ends")).await.unwrap(), None);
    assert_eq!(
        store.sweep(10).await.unwrap(),
        1,
        "its end was not found again"
    );
    drop(store);
    let again = at(&path, &clock);
    assert!(again.get(&key("stays")).await.unwrap().is_some());
}

#[tokio::test]
async fn what_was_confirmed_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let clock = clock();
    let mut last = 0;
    for round in 0..3_u8 {
        let store = at(&path, &clock);
        let written = store.put(&key("one"), vec![round], None).await.unwrap();
        assert!(written.0 > last, "a revision of before came back");
        last = written.0;
        store.put(&key("taken"), vec![], None).await.unwrap();
        assert!(store.take(&key("taken")).await.unwrap().is_some());
        assert_eq!(
            store.bump("count", None).await.unwrap(),
            u64::from(round) + 1
        );
        drop(store);
        let store = at(&path, &clock);
        let found = store.get(&key("one")).await.unwrap().unwrap();
        assert_eq!((found.value, found.revision.0), (vec![round], last));
        assert_eq!(store.get(&key("taken")).await.unwrap(), None);
    }
}

#[tokio::test]
async fn records_whose_time_is_over_leave_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, clock) = (dir.path().join("store.redb"), clock());
    let store = at(&path, &clock);
    let end = |seconds| Some(clock.now().plus(Duration::from_secs(seconds)));
    for number in 0..5_u64 {
        let id = number.to_string();
        store.put(&key(&id), vec![], end(10)).await.unwrap();
    }
    // These leave nothing to sweep at second 10: renewed, made endless, taken, and not yet over.
    store.put(&key("0"), vec![], end(20)).await.unwrap();
    store.put(&key("1"), vec![], None).await.unwrap();
    store.take(&key("2")).await.unwrap().unwrap();
    store.put(&key("5"), vec![], end(11)).await.unwrap();
    clock.advance(Duration::from_secs(10));
    assert_eq!(store.sweep(1).await.unwrap(), 1);
    assert_eq!(store.sweep(10).await.unwrap(), 1);
    assert_eq!(store.sweep(10).await.unwrap(), 0);
    drop(store);
    let rows = |path: &Path| -> Vec<String> {
        let database = Database::open(path).unwrap();
        let records = database.begin_read().unwrap().open_table(RECORDS).unwrap();
        let ids = records.range::<(&str, &str)>(..).unwrap();
        ids.map(|row| row.unwrap().0.value().1.to_owned()).collect()
    };
    assert_eq!(rows(&path), ["0", "1", "5"]);
}
