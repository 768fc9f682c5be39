//! A store in memory: for tests, and for whoever wants nothing kept. It ends with the process.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Entry, Key, Later, Revision, SCAN_MAX, Store, StoreError, Table, check_size};
use crate::clock::{Clock, Timestamp};

/// Records in a map.
#[derive(Debug)]
pub struct Memory {
    records: Mutex<Records>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Records {
    map: BTreeMap<(Table, String), Entry>,
    revision: u64,
}

impl Records {
    /// Forgets the record if its time is over, and shows what is left.
    fn live(&mut self, key: &(Table, String), now: Timestamp) -> Option<&mut Entry> {
        if self
            .map
            .get(key)
            .is_some_and(|entry| is_over(entry.expires_at, now))
        {
            self.map.remove(key);
        }
        self.map.get_mut(key)
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
            records: Mutex::default(),
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
        let written =
            check_size(key, &value).map(|()| self.records().write(place(key), value, expires_at));
        self.done(written)
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
        let mut records = self.records();
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
}
