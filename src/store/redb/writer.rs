//! The one thread that writes. It takes whatever waits, up to a bound, does it in one transaction, and says "done" to each
//! caller when that transaction is on the disk: a caller alone pays one flush, and sixty-four callers share one. When the disk
//! fails it lets go of the file, answers "unavailable", and opens the file anew, which is the one way back that redb has.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::redb::{Database, StorageError};
use arc_swap::ArcSwapOption;

use super::layout::Batch;
use crate::clock::{Calendar, Clock};
use crate::store::StoreError;

/// The most changes that share a transaction.
const BATCH_MAX: usize = 512;
/// How often records whose time is over are removed.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// The most of them that are removed in one transaction, so that nobody waits long behind it.
const SWEEP_MAX: usize = 1000;

/// How long a clock that leapt ahead must hold before anything is removed on its word: what was revoked would come back
/// with the right time.
pub(super) const PATIENCE: Duration = Duration::from_secs(3600);

/// A change, which yields what to do once it is on the disk.
pub(super) type Change =
    Box<dyn FnOnce(&mut Batch<'_>) -> Result<Confirm, StorageError> + Send + 'static>;
/// Tells the caller.
pub(super) type Confirm = Box<dyn FnOnce() + Send + 'static>;
/// How the store is opened, at the start and after a failure.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, StoreError> + Send + 'static>;

/// What readers and the writer share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    database: ArcSwapOption<Database>,
    trouble: Mutex<String>,
}

impl Shared {
    pub(super) fn database(&self) -> Result<Arc<Database>, StoreError> {
        self.database.load_full().ok_or_else(|| self.unavailable())
    }

    /// Why nothing can be said about any record at the moment.
    pub(super) fn unavailable(&self) -> StoreError {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        StoreError::Unavailable(trouble.clone())
    }

    fn lose(&self, trouble: String) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        self.database.store(None);
    }
}

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) changes: Receiver<Change>,
    pub(super) open: Opener,
    pub(super) clock: Clock,
    /// By which records are removed.
    pub(super) calendar: Calendar,
    pub(super) retry_pause: Duration,
    pub(super) tried_at: Option<Instant>,
}

impl Writer {
    /// Opens the store for the first time.
    pub(super) fn begin(&self) -> Result<(), StoreError> {
        self.shared.database.store(Some(Arc::new((self.open)()?)));
        Ok(())
    }

    /// Serves until the last caller is gone.
    pub(super) fn run(mut self) {
        let mut swept_at = Instant::now();
        loop {
            let pause = if self.shared.database.load().is_some() {
                SWEEP_EVERY
            } else {
                self.retry_pause
            };
            match self.changes.recv_timeout(pause) {
                Ok(first) => {
                    let waiting = self.changes.try_iter().take(BATCH_MAX - 1);
                    let batch = std::iter::once(first).chain(waiting).collect();
                    self.attempt(batch);
                }
                Err(RecvTimeoutError::Timeout) => self.attempt(Vec::new()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if swept_at.elapsed() >= SWEEP_EVERY {
                self.sweep();
                swept_at = Instant::now();
            }
        }
    }

    fn sweep(&mut self) {
        let now = self.calendar.now();
        let over: Change = Box::new(move |batch| {
            batch.sweep(now, SWEEP_MAX)?;
            Ok(Box::new(|| {}))
        });
        self.attempt(vec![over]);
    }

    /// Whoever is not told "done" finds the way to be told broken, and knows that nothing is known.
    fn attempt(&mut self, changes: Vec<Change>) {
        match self.commit(changes) {
            Ok(confirms) => confirms.into_iter().for_each(|confirm| confirm()),
            Err(error) => {
                tracing::error!(%error, "the store cannot be written");
                self.shared.lose(error.to_string());
            }
        }
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<Vec<Confirm>, Failure> {
        let database = self.reach()?;
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let transaction = database.begin_write()?;
        let mut batch = Batch::begin(&transaction, self.clock.now())?;
        let confirms = changes
            .into_iter()
            .map(|change| change(&mut batch))
            .collect::<Result<Vec<_>, _>>()?;
        batch.end()?;
        transaction.commit()?;
        Ok(confirms)
    }

    /// The store, opened anew if it was lost, but not more often than the pause allows.
    fn reach(&mut self) -> Result<Arc<Database>, Failure> {
        if let Some(database) = self.shared.database.load_full() {
            return Ok(database);
        }
        let too_soon = |tried: Instant| tried.elapsed() < self.retry_pause;
        if self.tried_at.is_some_and(too_soon) {
            return Err(Failure::Closed(self.shared.unavailable()));
        }
        self.tried_at = Some(Instant::now());
        self.begin().map_err(Failure::Closed)?;
        tracing::info!("the store can be written again");
        self.shared.database().map_err(Failure::Closed)
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Disk(::redb::Error),
    #[error("{0}")]
    Closed(StoreError),
}

impl<E: Into<::redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Disk(error.into())
    }
}
