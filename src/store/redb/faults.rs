//! The embedded store on a disk that fails: one that refuses writes, as a full one does, and one that loses power and keeps
//! only a part of what it was told but not yet told to flush.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::redb::{Builder, StorageBackend};

use super::*;
use crate::store::suite::clock;

/// What redb flushes is safe; what it wrote since then is in a list, of which a loss of power keeps what it likes.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<State>>, Arc<AtomicBool>);

#[derive(Debug, Default)]
struct State {
    seen: Vec<u8>,
    safe: Vec<u8>,
    since: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Length(usize),
    Write(usize, Vec<u8>),
}

/// What a disk writes at once.
const SECTOR: usize = 512;

impl Step {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Length(length) => to.resize(*length, 0),
            Self::Write(at, data) => {
                if to.len() < at + data.len() {
                    to.resize(at + data.len(), 0);
                }
                to[*at..at + data.len()].copy_from_slice(data);
            }
        }
    }
}

impl Disk {
    fn refuse_writes(&self, refuse: bool) {
        self.1.store(refuse, Ordering::SeqCst);
    }

    fn check(&self) -> io::Result<()> {
        if self.1.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn step(&self, step: Step) -> io::Result<()> {
        self.check()?;
        let mut state = self.0.lock().unwrap();
        step.apply(&mut state.seen);
        state.since.push(step);
        Ok(())
    }

    /// The disk as it is found after the power was lost at this moment. Sectors of later writes may be there while sectors
    /// of earlier ones are not.
    fn after_power_loss(&self, keep: &mut impl FnMut() -> bool) -> Self {
        let state = self.0.lock().unwrap();
        let mut found = state.safe.clone();
        for step in &state.since {
            match step {
                Step::Length(_) => step.apply(&mut found),
                Step::Write(at, data) => {
                    for (number, sector) in data.chunks(SECTOR).enumerate() {
                        if keep() {
                            Step::Write(at + number * SECTOR, sector.to_vec()).apply(&mut found);
                        }
                    }
                }
            }
        }
        let (seen, safe) = (found.clone(), found);
        let state = State {
            seen,
            safe,
            since: Vec::new(),
        };
        Self(Arc::new(Mutex::new(state)), Arc::default())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.lock().unwrap();
        let from = usize::try_from(offset).unwrap();
        let data = state.seen.get(from..from + out.len());
        out.copy_from_slice(data.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step(Step::Length(usize::try_from(len).unwrap()))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        let mut state = self.0.lock().unwrap();
        state.safe = state.seen.clone();
        state.since.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step(Step::Write(usize::try_from(offset).unwrap(), data.to_vec()))
    }
}

fn over(disk: &Disk) -> Redb {
    let settings = Settings {
        retry_pause: Duration::ZERO,
        ..Settings::default()
    };
    let disk = disk.clone();
    let open: Opener = Box::new(move || {
        let unusable = |error: String| StoreError::Unusable(error);
        let database = Builder::new()
            .set_cache_size(1 << 20)
            .create_with_backend(disk.clone())
            .map_err(|error| unusable(error.to_string()))?;
        layout::prepare(&database).map_err(|error| unusable(format!("{error:?}")))?;
        Ok(database)
    });
    Redb::over("disk of a test".into(), open, &settings, &clock()).unwrap()
}

fn key(id: u64) -> Key {
    Key::new(Table::Grant, id.to_string())
}

#[tokio::test]
async fn c39_a_full_disk_is_an_error_and_never_an_answer() {
    let disk = Disk::default();
    let store = over(&disk);
    store
        .put(&key(1), b"confirmed".to_vec(), None)
        .await
        .unwrap();
    disk.refuse_writes(true);
    let refused = store.put(&key(2), vec![b'v'; 5000], None).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    let taken = store.take(&key(1)).await;
    assert!(
        matches!(taken, Err(StoreError::Unavailable(_))),
        "{taken:?}"
    );
    let read = store.get(&key(1)).await;
    assert!(
        !matches!(read, Ok(None)),
        "a failing disk made a record vanish"
    );
    assert!(store.ready().await.is_err());
    disk.refuse_writes(false);
    let again = store.put(&key(3), b"recovered".to_vec(), None).await;
    assert!(again.is_ok(), "{again:?}");
    let kept = store.get(&key(1)).await.unwrap().unwrap();
    assert_eq!(kept.value, b"confirmed");
    store.ready().await.unwrap();
}

/// A generator of numbers that a failing test can be repeated with.
fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 11
    }
}

#[tokio::test]
async fn what_was_confirmed_outlives_a_loss_of_power() {
    for seed in 1..=60 {
        let mut next = numbers(seed);
        let disk = Disk::default();
        let store = over(&disk);
        let mut expected = std::collections::BTreeMap::new();
        for _ in 0..next() % 40 {
            let id = next() % 8;
            if next().is_multiple_of(3) {
                store.take(&key(id)).await.unwrap();
                expected.remove(&id);
            } else {
                let value = vec![b'v'; usize::try_from(next() % 6000).unwrap()];
                store.put(&key(id), value.clone(), None).await.unwrap();
                expected.insert(id, value);
            }
        }
        // One more change may be half on its way when the power goes.
        let half = key(99);
        let unconfirmed = store.put(&half, vec![b'u'; 3000], None);
        let found = disk.after_power_loss(&mut || next().is_multiple_of(2));
        let _ = unconfirmed.await;
        drop(store);
        let store = over(&found);
        for id in 0..8 {
            let value = store.get(&key(id)).await.unwrap().map(|entry| entry.value);
            assert_eq!(
                value.as_ref(),
                expected.get(&id),
                "seed {seed}, record {id}"
            );
        }
        let found = store.get(&half).await.unwrap();
        assert!(
            found.is_none_or(|entry| entry.value == vec![b'u'; 3000]),
            "seed {seed}"
        );
        store.put(&key(7), vec![], None).await.unwrap();
    }
}
