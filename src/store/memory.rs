//! A store in memory: for tests, and for whoever wants nothing kept. It ends with the process.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Entry, Key, Later, Revision, SCAN_MAX, Store, StoreError, Table, check_size};
use crate::clock::{Calendar, Clock, Timestamp};

/// Records in a map.
#[derive(Debug)]
pub struct Memory {
    records: Mutex<Records>,
    clock: Clock,
}

/// More records than these are refused, so that strangers cannot fill the memory; each table has limits of its own far below.
const RECORDS_MAX: usize = 1_000_000;

/// Records whose time is over are looked for when so many came since.
const SWEEP_EVERY: usize = 1024;

/// How long a clock that leapt ahead must hold before anything is removed on its word.
const PATIENCE: Duration = Duration::from_secs(3600);

#[derive(Debug)]
struct Records {
    map: BTreeMap<(Table, String), Entry>,
    revision: u64,
    calendar: Calendar,
    /// The number of records at which the next sweep is due.
    sweep_at: usize,
}

impl Records {
    /// The record, unless its time is over.
    fn live(&self, key: &(Table, String), now: Timestamp) -> Option<&Entry> {
        let found = self.map.get(key);
        found.filter(|entry| !is_over(entry.expires_at, now))
    }

    /// Removes what is over now and then, and says whether there is room for one more.
    fn make_room(&mut self, key: &(Table, String)) -> Result<(), StoreError> {
        let now = self.calendar.now();
        if self.map.len() >= self.sweep_at.min(RECORDS_MAX) {
            self.map.retain(|_, entry| !is_over(entry.expires_at, now));
            self.sweep_at = 2 * self.map.len() + SWEEP_EVERY;
        }
        match self.map.len() < RECORDS_MAX || self.map.contains_key(key) {
            true => Ok(()),
            false => Err(StoreError::Unavailable("the memory store is full".into())),
        }
    }

    fn write(
        &mut self,
        key: (Table, String),
        value: Vec<u8>,
        expires_at: Option<Timestamp>,
    ) -> Revision {
        self.revision += 1;
        let revision = Revision(self.revision);
        let entry = Entry {
            value,
            revision,
            expires_at,
        };
        self.map.insert(key, entry);
        revision
    }
}

fn is_over(expires_at: Option<Timestamp>, now: Timestamp) -> bool {
    expires_at.is_some_and(|end| end <= now)
}

fn place(key: &Key) -> (Table, String) {
    (key.table, key.id.clone())
}

impl Memory {
    /// An empty store that goes by this clock.
    pub fn new(clock: Clock) -> Self {
        Self {
            records: Mutex::new(Records {
                map: BTreeMap::new(),
                revision: 0,
                calendar: Calendar::new(clock.clone(), PATIENCE),
                sweep_at: SWEEP_EVERY,
            }),
            clock,
        }
    }

    /// A map that a panic left is whole: every change of it is one insertion or one removal.
    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done<'a, T: Send + 'a>(&self, outcome: Result<T, StoreError>) -> Later<'a, T> {
        Box::pin(std::future::ready(outcome))
    }
}

impl Store for Memory {
    fn get<'a>(&'a self, key: &'a Key) -> Later<'a, Option<Entry>> {
        let found = self.records().live(&place(key), self.clock.now()).cloned();
        self.done(Ok(found))
    }

    fn put<'a>(
        &'a self,
        key: &'a Key,
        value: Vec<u8>,
        expires_at: Option<Timestamp>,
    ) -> Later<'a, Revision> {
        if let Err(refused) = check_size(key, &value) {
            return self.done(Err(refused));
        }
        let mut records = self.records();
        let room = records.make_room(&place(key));
        self.done(room.map(|()| records.write(place(key), value, expires_at)))
    }

    fn create<'a>(
        &'a self,
        key: &'a Key,
        value: Vec<u8>,
        expires_at: Option<Timestamp>,
    ) -> Later<'a, Option<Revision>> {
        if let Err(refused) = check_size(key, &value) {
            return self.done(Err(refused));
        }
        let mut records = self.records();
        if let Err(full) = records.make_room(&place(key)) {
            return self.done(Err(full));
        }
        let there = records.live(&place(key), self.clock.now()).is_some();
        self.done(Ok(
            (!there).then(|| records.write(place(key), value, expires_at))
        ))
    }

    fn replace<'a>(
        &'a self,
        key: &'a Key,
        expected: Revision,
        value: Vec<u8>,
        expires_at: Option<Timestamp>,
    ) -> Later<'a, Option<Revision>> {
        if let Err(refused) = check_size(key, &value) {
            return self.done(Err(refused));
        }
        let mut records = self.records();
        let same = records
            .live(&place(key), self.clock.now())
            .is_some_and(|entry| entry.revision == expected);
        self.done(Ok(
            same.then(|| records.write(place(key), value, expires_at))
        ))
    }

    fn take<'a>(&'a self, key: &'a Key) -> Later<'a, Option<Entry>> {
        let mut records = self.records();
        let there = records.live(&place(key), self.clock.now()).is_some();
        let taken = there.then(|| records.map.remove(&place(key))).flatten();
        self.done(Ok(taken))
    }

    fn delete<'a>(&'a self, key: &'a Key) -> Later<'a, bool> {
        let mut records = self.records();
        let there = records.live(&place(key), self.clock.now()).is_some();
        records.map.remove(&place(key));
        self.done(Ok(there))
    }

    fn scan<'a>(
        &'a self,
        table: Table,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> Later<'a, Vec<(String, Entry)>> {
        let now = self.clock.now();
        let from = match after.filter(|after| *after >= prefix) {
            Some(after) => Bound::Excluded((table, after.to_owned())),
            None => Bound::Included((table, prefix.to_owned())),
        };
        let records = self.records();
        let found = records
            .map
            .range((from, Bound::Unbounded))
            .take_while(|((found, id), _)| *found == table && id.starts_with(prefix))
            .filter(|(_, entry)| !is_over(entry.expires_at, now))
            .take(limit.min(SCAN_MAX))
            .map(|((_, id), entry)| (id.clone(), entry.clone()))
            .collect();
        self.done(Ok(found))
    }

    fn bump<'a>(&'a self, id: &'a str, expires_at: Option<Timestamp>) -> Later<'a, u64> {
        let place = (Table::Counter, id.to_owned());
        let mut records = self.records();
        if let Err(full) = records.make_room(&place) {
            return self.done(Err(full));
        }
        let (count, end) = match records.live(&place, self.clock.now()) {
            Some(entry) => (read_count(&entry.value), entry.expires_at),
            None => (0, expires_at),
        };
        let count = count.saturating_add(1);
        records.write(place, count.to_string().into_bytes(), end);
        self.done(Ok(count))
    }

    fn count<'a>(&'a self, id: &'a str) -> Later<'a, u64> {
        let place = (Table::Counter, id.to_owned());
        let records = self.records();
        let count = records
            .live(&place, self.clock.now())
            .map_or(0, |entry| read_count(&entry.value));
        self.done(Ok(count))
    }

    fn ready(&self) -> Later<'_, ()> {
        self.done(Ok(()))
    }

    fn describe(&self) -> String {
        "memory".into()
    }
}

/// A counter as it is kept: decimal digits.
pub(in crate::store) fn read_count(value: &[u8]) -> u64 {
    std::str::from_utf8(value)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::suite::{Opened, behaves_like_a_store, clock};

    async fn open() -> Opened {
        let clock = clock();
        Opened {
            store: Arc::new(Memory::new(clock.clone())),
            clock,
            _keep: None,
        }
    }

    behaves_like_a_store!(open);

    #[tokio::test]
    async fn what_is_over_takes_no_memory_and_a_leap_of_the_clock_removes_nothing() {
        let clock = clock();
        let store = Memory::new(clock.clone());
        let kept = Key::new(Table::Revoked, "kept");
        let end = |seconds| Some(clock.now().plus(Duration::from_secs(seconds)));
        store.put(&kept, b"1".to_vec(), end(3_600)).await.unwrap();
        for number in 0..100_000 {
            store
                .bump(&format!("stranger/{number}"), end(60))
                .await
                .unwrap();
            clock.advance(Duration::from_millis(30));
        }
        let count = store.records().map.len();
        assert!(count < 3 * 2_000 + SWEEP_EVERY, "{count} of 2,000 alive");
        clock.set_forward(Duration::from_secs(86_400));
        assert_eq!(store.get(&kept).await.unwrap(), None);
        for number in 0..10_000 {
            store
                .bump(&format!("later/{number}"), end(60))
                .await
                .unwrap();
        }
        clock.set_back(Duration::from_secs(86_400));
        assert!(store.get(&kept).await.unwrap().is_some());
    }
}
