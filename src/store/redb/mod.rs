//! The embedded store: one file, nothing to install, for one gateway.
//!
//! - **Protects** what was confirmed: a change is on the disk before its caller hears of it, and a crash at any moment leaves
//!   the store as it was after some change, whole.
//! - **Assumes** a local file system that keeps what it was told to flush, and one process: the file is locked.
//! - **Hands on** records as they were after the last confirmed change; a read never sees one that may yet be lost.
//! - **Refuses** a file or folder that others can reach, a file of a newer format, and everything while the disk fails.
//!
//! Reads of one record happen where they are asked for: they take a few microseconds from the cache of pages, less than
//! handing them to another thread would. Scans read many pages and go to the pool for blocking work. Changes go to the one
//! thread of `writer`, since every transaction ends in a flush that takes milliseconds.

#[cfg(test)]
mod faults;
mod file;
mod layout;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ::redb::{ReadOnlyTable, ReadableDatabase, StorageError};
use tokio::sync::oneshot;

use super::memory::read_count;
use super::{Entry, Key, Later, Revision, SCAN_MAX, Store, StoreError, Table, check_size};
use crate::clock::{Calendar, Clock, Timestamp};
use layout::{Batch, Kept, RECORDS};
use writer::{Opener, Shared, Writer};

/// Changes that may wait for the disk; whoever comes when so many do is refused at once.
const WAITING_MAX: usize = 4096;

/// What an operator can set about the embedded store.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Memory for pages of the file.
    pub cache_bytes: usize,
    /// How long a change may take until its caller is told that the store is not available. The change may still happen.
    pub write_timeout: Duration,
    /// After a failure of the disk, how long to wait before the file is opened again.
    pub retry_pause: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cache_bytes: 16 << 20,
            write_timeout: Duration::from_secs(5),
            retry_pause: Duration::from_secs(1),
        }
    }
}

/// A store in a file.
pub struct Redb {
    name: String,
    shared: Arc<Shared>,
    changes: Option<SyncSender<writer::Change>>,
    thread: Option<JoinHandle<()>>,
    clock: Clock,
    write_timeout: Duration,
}

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redb").field(&self.name).finish()
    }
}

impl Redb {
    /// Opens the store in this file, which is made if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when others can reach the file, another process has it open, or it is no store of ours.
    pub fn open(path: &Path, settings: &Settings, clock: &Clock) -> Result<Self, StoreError> {
        let (file, cache) = (path.to_owned(), settings.cache_bytes);
        let name = format!("file {}", path.display());
        Self::over(
            name,
            Box::new(move || file::open(&file, cache)),
            settings,
            clock,
        )
    }

    fn over(
        name: String,
        open: Opener,
        settings: &Settings,
        clock: &Clock,
    ) -> Result<Self, StoreError> {
        let (changes, waiting) = sync_channel(WAITING_MAX);
        let shared = Arc::new(Shared::default());
        let writer = Writer {
            shared: Arc::clone(&shared),
            changes: waiting,
            open,
            calendar: Calendar::new(clock.clone(), writer::PATIENCE),
            clock: clock.clone(),
            retry_pause: settings.retry_pause,
            tried_at: None,
        };
        writer.begin()?;
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(|| writer.run())
            .map_err(|error| StoreError::Unusable(format!("no thread for the store: {error}")))?;
        Ok(Self {
            name,
            shared,
            changes: Some(changes),
            thread: Some(thread),
            clock: clock.clone(),
            write_timeout: settings.write_timeout,
        })
    }

    /// Does a change and waits until it is on the disk.
    fn change<'a, T: Send + 'static>(
        &'a self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StorageError> + Send + 'static,
    ) -> Later<'a, T> {
        let (reply, confirmed) = oneshot::channel();
        let change: writer::Change = Box::new(move |batch| {
            let outcome = work(batch)?;
            Ok(Box::new(move || drop(reply.send(outcome))))
        });
        let sent = match self.changes.as_ref().map(|queue| queue.try_send(change)) {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => Err("too many changes wait for the disk"),
            Some(Err(TrySendError::Disconnected(_))) | None => Err("its writer has ended"),
        };
        Box::pin(async move {
            sent.map_err(|why| StoreError::Unavailable(why.into()))?;
            match tokio::time::timeout(self.write_timeout, confirmed).await {
                Ok(outcome) => outcome.map_err(|_| self.shared.unavailable()),
                Err(_) => Err(StoreError::Unavailable("the disk is too slow".into())),
            }
        })
    }

    fn refuse<'a, T: Send + 'a>(refused: StoreError) -> Later<'a, T> {
        Box::pin(std::future::ready(Err(refused)))
    }

    fn look<'a>(&'a self, key: &'a Key) -> Result<Option<Entry>, StoreError> {
        read(&self.shared, |records| {
            layout::live(records, key, self.clock.now())
        })
    }

    #[cfg(test)]
    async fn sweep(&self, most: usize) -> Result<usize, StoreError> {
        let now = self.clock.now();
        self.change(move |batch| batch.sweep(now, most)).await
    }
}

impl Drop for Redb {
    /// Waits for the writer, so that the file is free again when the store is gone.
    fn drop(&mut self) {
        self.changes = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Records = ReadOnlyTable<(&'static str, &'static str), Kept>;

fn read<T>(
    shared: &Shared,
    look: impl FnOnce(&Records) -> Result<T, StorageError>,
) -> Result<T, StoreError> {
    let database = shared.database()?;
    let found = || -> Result<T, ::redb::Error> {
        let records = database.begin_read()?.open_table(RECORDS)?;
        Ok(look(&records)?)
    };
    found().map_err(|error| StoreError::Unavailable(error.to_string()))
}

fn scan(
    records: &Records,
    (table, prefix, after): (Table, &str, Option<&str>),
    limit: usize,
    now: Timestamp,
) -> Result<Vec<(String, Entry)>, StorageError> {
    let from = match after.filter(|after| *after >= prefix) {
        Some(after) => Bound::Excluded((table.name(), after)),
        None => Bound::Included((table.name(), prefix)),
    };
    let mut found = Vec::new();
    for row in records.range::<(&str, &str)>((from, Bound::Unbounded))? {
        let (place, kept) = row?;
        let (of, id) = place.value();
        if of != table.name() || !id.starts_with(prefix) || found.len() >= limit.min(SCAN_MAX) {
            break;
        }
        let entry = layout::entry(kept.value());
        if !layout::is_over(&entry, now) {
            found.push((id.to_owned(), entry));
        }
    }
    Ok(found)
}

impl Store for Redb {
    fn get<'a>(&'a self, key: &'a Key) -> Later<'a, Option<Entry>> {
        Box::pin(async move { self.look(key) })
    }

    fn put<'a>(
        &'a self,
        key: &'a Key,
        value: Vec<u8>,
        expires_at: Option<Timestamp>,
    ) -> Later<'a, Revision> {
        if let Err(refused) = check_size(key, &value) {
            return Self::refuse(refused);
        }
        let key = key.clone();
        self.change(move |batch| batch.write(&key, &value, expires_at))
    }

    fn create<'a>(
        &'a self,
        key: &'a Key,
        value: Vec<u8>,
        expires_at: Option<Timestamp>,
    ) -> Later<'a, Option<Revision>> {
        if let Err(refused) = check_size(key, &value) {
            return Self::refuse(refused);
        }
        let key = key.clone();
        self.change(move |batch| match batch.live(&key)? {
            Some(_) => Ok(None),
            None => batch.write(&key, &value, expires_at).map(Some),
        })
    }

    fn replace<'a>(
        &'a self,
        key: &'a Key,
        expected: Revision,
        value: Vec<u8>,
        expires_at: Option<Timestamp>,
    ) -> Later<'a, Option<Revision>> {
        if let Err(refused) = check_size(key, &value) {
            return Self::refuse(refused);
        }
        let key = key.clone();
        self.change(move |batch| match batch.live(&key)? {
            Some(entry) if entry.revision == expected => {
                batch.write(&key, &value, expires_at).map(Some)
            }
            _ => Ok(None),
        })
    }

    fn take<'a>(&'a self, key: &'a Key) -> Later<'a, Option<Entry>> {
        let key = key.clone();
        self.change(move |batch| batch.remove(&key))
    }

    fn delete<'a>(&'a self, key: &'a Key) -> Later<'a, bool> {
        let key = key.clone();
        self.change(move |batch| Ok(batch.remove(&key)?.is_some()))
    }

    fn scan<'a>(
        &'a self,
        table: Table,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> Later<'a, Vec<(String, Entry)>> {
        let shared = Arc::clone(&self.shared);
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        let now = self.clock.now();
        Box::pin(async move {
            let work = move || {
                read(&shared, |records| {
                    scan(records, (table, &prefix, after.as_deref()), limit, now)
                })
            };
            tokio::task::spawn_blocking(work)
                .await
                .unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string())))
        })
    }

    fn bump<'a>(&'a self, id: &'a str, expires_at: Option<Timestamp>) -> Later<'a, u64> {
        let key = Key::new(Table::Counter, id);
        if let Err(refused) = check_size(&key, &[]) {
            return Self::refuse(refused);
        }
        self.change(move |batch| {
            let (count, end) = match batch.live(&key)? {
                Some(entry) => (read_count(&entry.value), entry.expires_at),
                None => (0, expires_at),
            };
            let count = count.saturating_add(1);
            batch.write(&key, count.to_string().as_bytes(), end)?;
            Ok(count)
        })
    }

    fn count<'a>(&'a self, id: &'a str) -> Later<'a, u64> {
        Box::pin(async move {
            let found = self.look(&Key::new(Table::Counter, id))?;
            Ok(found.map_or(0, |entry| read_count(&entry.value)))
        })
    }

    fn ready(&self) -> Later<'_, ()> {
        Box::pin(async move { self.look(&Key::new(Table::Meta, "ready")).map(drop) })
    }

    fn describe(&self) -> String {
        self.name.clone()
    }
}
