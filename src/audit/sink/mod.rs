//! The door to the trail. A request reserves its line before any work is done for it, so that a request that was let in
//! can always be written down. Reserving and writing never touch a disk: one counter and one queue.

mod captured;
mod shared;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

pub use captured::Captured;
pub(in crate::audit) use shared::Shared;

use super::chain::ChainKey;
use super::details::Content;
use super::disk::{Disk, Machine};
use super::lane::Handed;
use super::record::Record;
use super::writer::{self, Chore, Command, Writer};
use crate::clock::Clock;
use crate::units::ByteSize;

/// How long somebody waits to be told that everything is written, or closed.
const ANSWER: Duration = Duration::from_secs(10);

/// How the trail is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The directory that holds the years. One process each: replicas need directories of their own.
    pub directory: PathBuf,
    /// How long hours are kept (R207).
    pub retention: Duration,
    /// How many lines may be reserved or waiting at once. More than the requests that can be in flight.
    pub queue: usize,
    /// How much memory the waiting lines may take. Those that are promised by then may come on top.
    pub queue_bytes: ByteSize,
    /// A checkpoint, and with it an fsync, after so many lines.
    pub checkpoint_lines: u64,
    /// A checkpoint after so long, if there were lines.
    pub checkpoint_every: Duration,
    /// A disk that has not answered for so long counts as gone.
    pub stall: Duration,
    /// Keep only the network of downstream addresses (C48).
    pub truncate_addresses: bool,
    /// How much of the arguments of calls is shown (C41); for the [`super::Summary`] that prepares them.
    pub content: Content,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            directory: "audit-logs".into(),
            retention: Duration::from_secs(90 * 86_400),
            queue: 65_536,
            queue_bytes: ByteSize::mib(64),
            checkpoint_lines: 1_000,
            checkpoint_every: Duration::from_secs(60),
            stall: Duration::from_secs(5),
            truncate_addresses: false,
            content: Content::default(),
        }
    }
}

/// The trail cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Its directory cannot be written.
    #[error("audit directory {path} cannot be written")]
    Unwritable {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process writes there.
    #[error("audit directory {0} is in use by another process")]
    InUse(PathBuf),
    /// The writer's thread cannot be started.
    #[error("the audit writer cannot be started")]
    NoThread(#[source] io::Error),
}

/// No line can be promised now, so the request must be refused (503).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The last write failed and has not succeeded since.
    #[error("audit lines cannot be written")]
    Unwritable,
    /// The disk has not answered for longer than the setting allows.
    #[error("the audit disk does not answer")]
    Stalled,
    /// As many lines, or as much of them, as may wait are waiting.
    #[error("the audit queue is full")]
    Full,
    /// The sink was closed.
    #[error("the audit trail is closed")]
    Closed,
}

impl Refused {
    /// A stable reason code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unwritable => "audit_unwritable",
            Self::Stalled => "audit_stalled",
            Self::Full => "audit_full",
            Self::Closed => "audit_closed",
        }
    }
}

/// Figures for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Lines reserved or waiting.
    pub depth: usize,
    /// About how much memory the waiting ones take.
    pub bytes: usize,
    /// Lines handed to their file since the start.
    pub written: u64,
    /// Rounds of writing that failed.
    pub errors: u64,
    /// Times that closed files could not be compressed or removed.
    pub untidy: u64,
    /// Slots that were dropped without a line: each is a mistake of ours.
    pub abandoned: u64,
    /// How long the oldest line has waited for the disk.
    pub waiting: Duration,
    /// Whether requests are refused.
    pub refusing: bool,
}

/// Where lines go.
#[derive(Clone)]
enum Destination {
    Writer(Sender<Command>),
    Memory(Captured),
    Nowhere,
}

/// The trail, open for writing. Clones are the same trail.
#[derive(Clone)]
pub struct Sink {
    shared: Arc<Shared>,
    destination: Destination,
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink")
            .field("stats", &self.stats())
            .finish()
    }
}

impl Sink {
    /// Opens the trail, proves that it can be written, and starts its writer.
    ///
    /// # Errors
    /// [`AuditError`] when it cannot be written or somebody else writes it.
    pub fn open(settings: &Settings, key: ChainKey, clock: Clock) -> Result<Self, AuditError> {
        Self::open_on(settings, key, clock, Arc::new(Machine))
    }

    /// The same on another disk than the machine's.
    ///
    /// # Errors
    /// [`AuditError`] when it cannot be written or somebody else writes it.
    pub fn open_on(
        settings: &Settings,
        key: ChainKey,
        clock: Clock,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, AuditError> {
        let shared = Shared::new(settings, clock.clone());
        let (commands, inbox) = mpsc::channel();
        let (chores, list) = mpsc::channel::<Chore>();
        let writer = Writer::open(settings, key, (clock, disk), Arc::clone(&shared), chores)?;
        let (keeper, lock, told) = (settings.clone(), writer.lock(), Arc::clone(&shared));
        thread::Builder::new()
            .name("audit-keeper".into())
            .spawn(move || writer::keep(&keeper, lock, &told, &list))
            .map_err(AuditError::NoThread)?;
        thread::Builder::new()
            .name("audit-writer".into())
            .spawn(move || writer.run(&inbox))
            .map_err(AuditError::NoThread)?;
        Ok(Self {
            shared,
            destination: Destination::Writer(commands),
        })
    }

    /// No trail at all, for operators who switched it off.
    pub fn discard(clock: Clock) -> Self {
        Self {
            shared: Shared::new(&Settings::default(), clock),
            destination: Destination::Nowhere,
        }
    }

    /// A trail in memory, for tests of what is written.
    pub fn capture(clock: Clock) -> (Self, Captured) {
        let captured = Captured::default();
        let sink = Self {
            shared: Shared::new(&Settings::default(), clock),
            destination: Destination::Memory(captured.clone()),
        };
        (sink, captured)
    }

    /// Promises one line.
    ///
    /// # Errors
    /// [`Refused`] when no line can be promised; the request must not be served.
    pub fn reserve(&self) -> Result<Slot, Refused> {
        if let Destination::Memory(captured) = &self.destination
            && let Some(refused) = captured.refusal()
        {
            return Err(refused);
        }
        self.shared.take()?;
        Ok(Slot {
            sink: self.clone(),
            is_used: false,
        })
    }

    /// Whether a line could be promised now; a condition of `/readyz`.
    ///
    /// # Errors
    /// [`Refused`] as [`Sink::reserve`] would give it.
    pub fn ready(&self) -> Result<(), Refused> {
        if let Destination::Memory(captured) = &self.destination
            && let Some(refused) = captured.refusal()
        {
            return Err(refused);
        }
        self.shared.check()
    }

    /// Figures for metrics.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Waits until everything written before is in its file and closed hours are tidied. Says whether that succeeded, which
    /// it has not if the disk does not answer.
    pub async fn flush(&self) -> bool {
        self.ask(Command::Flush).await
    }

    /// Refuses new lines, writes the waiting ones, seals the chain's end and makes it durable. Says whether all of that
    /// succeeded. Slots still held then are lost, so requests are to be drained first; so is whatever waits for a disk that
    /// does not answer.
    pub async fn close(&self) -> bool {
        self.shared.closed.store(true, Ordering::Release);
        self.ask(Command::Close).await
    }

    async fn ask(&self, command: impl FnOnce(oneshot::Sender<bool>) -> Command) -> bool {
        let Destination::Writer(commands) = &self.destination else {
            return true;
        };
        let (reply, answer) = oneshot::channel();
        commands.send(command(reply)).is_ok()
            && matches!(tokio::time::timeout(ANSWER, answer).await, Ok(Ok(true)))
    }
}

/// The right to write one line.
#[derive(Debug)]
#[must_use = "a slot that is dropped is a request without a line"]
pub struct Slot {
    sink: Sink,
    is_used: bool,
}

impl Slot {
    /// Hands over the line. It does not wait and cannot be refused.
    pub fn write(mut self, record: impl Into<Box<Record>>) {
        let record = record.into();
        self.is_used = true;
        match &self.sink.destination {
            Destination::Memory(captured) => {
                captured.take(&record);
                self.sink.shared.written(ONE);
            }
            Destination::Nowhere => self.sink.shared.written(ONE),
            Destination::Writer(commands) => {
                self.sink.shared.queued(record.weight());
                if commands.send(Command::Write(record)).is_err() {
                    self.is_used = false;
                    self.sink.shared.failing.store(true, Ordering::Release);
                    tracing::error!("an audit line came after the trail was closed and is lost");
                }
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.is_used {
            self.sink.shared.abandoned();
        }
    }
}

const ONE: Handed = Handed {
    lines: 1,
    weight: 0,
};

#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;
