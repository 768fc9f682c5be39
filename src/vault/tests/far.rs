//! A store in memory that answers like one far away: every operation waits before it is done and after it, now shorter and
//! now longer, so that callers overtake each other and can be broken off at either; and it can be unreachable.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::yield_now;

use super::*;
use crate::store::{Key, Later, Revision, StoreError};

#[derive(Debug)]
pub(super) struct Far {
    near: Memory,
    pub(super) away: AtomicBool,
    /// The longest wait, in turns of the others.
    turns: u64,
    waits: AtomicU64,
}

impl Far {
    pub(super) fn new(clock: &Clock, turns: u64) -> Self {
        Self {
            near: Memory::new(clock.clone()),
            away: AtomicBool::new(false),
            turns,
            waits: AtomicU64::new(0),
        }
    }

    /// Waits a number of turns that looks random and is the same in every run of a single thread.
    async fn wait(&self) {
        let number = self.waits.fetch_add(1, Ordering::SeqCst);
        let scrambled = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
        // Now and then one is held up while the others do a great deal.
        let longest = match scrambled % 16 {
            0 => self.turns.pow(3),
            _ => self.turns,
        };
        for _ in 0..=(scrambled >> 4) % longest {
            yield_now().await;
        }
    }

    fn far<'a, T: Send + 'a>(
        &'a self,
        operation: impl FnOnce() -> Later<'a, T> + Send + 'a,
    ) -> Later<'a, T> {
        Box::pin(async move {
            self.wait().await;
            if self.away.load(Ordering::SeqCst) {
                return Err(StoreError::Unavailable("it is away".into()));
            }
            let done = operation().await;
            self.wait().await;
            done
        })
    }
}

impl Store for Far {
    fn get<'a>(&'a self, key: &'a Key) -> Later<'a, Option<Entry>> {
        self.far(move || self.near.get(key))
    }

    fn put<'a>(
        &'a self,
        key: &'a Key,
        value: Vec<u8>,
        end: Option<Timestamp>,
    ) -> Later<'a, Revision> {
        self.far(move || self.near.put(key, value, end))
    }

    fn create<'a>(
        &'a self,
        key: &'a Key,
        value: Vec<u8>,
        end: Option<Timestamp>,
    ) -> Later<'a, Option<Revision>> {
        self.far(move || self.near.create(key, value, end))
    }

    fn replace<'a>(
        &'a self,
        key: &'a Key,
        expected: Revision,
        value: Vec<u8>,
        end: Option<Timestamp>,
    ) -> Later<'a, Option<Revision>> {
        self.far(move || self.near.replace(key, expected, value, end))
    }

    fn take<'a>(&'a self, key: &'a Key) -> Later<'a, Option<Entry>> {
        self.far(move || self.near.take(key))
    }

    fn delete<'a>(&'a self, key: &'a Key) -> Later<'a, bool> {
        self.far(move || self.near.delete(key))
    }

    fn scan<'a>(
        &'a self,
        table: Table,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> Later<'a, Vec<(String, Entry)>> {
        self.far(move || self.near.scan(table, prefix, after, limit))
    }

    fn bump<'a>(&'a self, id: &'a str, end: Option<Timestamp>) -> Later<'a, u64> {
        self.far(move || self.near.bump(id, end))
    }

    fn count<'a>(&'a self, id: &'a str) -> Later<'a, u64> {
        self.far(move || self.near.count(id))
    }

    fn ready(&self) -> Later<'_, ()> {
        self.far(|| self.near.ready())
    }

    fn describe(&self) -> String {
        "far".into()
    }
}
