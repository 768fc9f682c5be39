//! The one thread that writes the trail. It numbers, seals and appends lines; each round of waiting lines goes to a file
//! with one write. Lines are made durable (fsync) at checkpoints: every so many lines, every so often, at the end of an
//! hour and at the close. What a failure of the disk leaves over is kept and tried again, sealed as it was.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::chain::{self, ChainKey, Head, Link};
use super::event::{Event, Kind, Severity};
use super::files::{self, Appender, Hour};
use super::record::Record;
use super::resume::Resume;
use super::sink::{AuditError, Settings, Shared};
use crate::clock::{Clock, Timestamp};
use crate::redact::{self, Rules, Tally};

/// How far the wall clock may run ahead of the time that passed before it is no longer believed.
const MAX_JUMP: Duration = Duration::from_secs(2 * 3600);

/// How often a quiet writer looks at the clock.
const TICK: Duration = Duration::from_secs(1);

/// How long lines are gathered once there were some. Without it a busy gateway would wake this thread for every line, which
/// costs both sides more than the line itself.
const GATHER: Duration = Duration::from_millis(2);

/// How soon a failed write is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// Buffered lines are written out when they exceed this, in bytes.
const MAX_BUFFERED: usize = 512 * 1024;

/// How many waiting records are taken in one round.
const MAX_ROUND: usize = 4096;

/// What the writer is asked to do.
pub(in crate::audit) enum Command {
    Write(Box<Record>),
    Flush(oneshot::Sender<bool>),
    Close(oneshot::Sender<bool>),
}

/// What the keeper of closed files is asked to do.
pub(in crate::audit) enum Chore {
    Tidy(Hour, Timestamp),
    Answer(oneshot::Sender<bool>),
    Close(oneshot::Sender<bool>, bool),
}

/// Lines of one kind on their way to their file.
#[derive(Default)]
struct Lane {
    buffer: Vec<u8>,
    file: Option<Appender>,
}

pub(in crate::audit) struct Writer {
    settings: Settings,
    key: ChainKey,
    clock: Clock,
    shared: Arc<Shared>,
    keeper: Sender<Chore>,
    lock: Arc<File>,
    hour: Hour,
    end: Link,
    lanes: [Lane; 3],
    backlog: VecDeque<Box<Record>>,
    /// The hour has no opening checkpoint yet; it gets one with its first line.
    opening_due: bool,
    sync_due: bool,
    since_checkpoint: u64,
    checkpoint_at: Instant,
    /// Both clocks at the start.
    began: (Timestamp, Instant),
    failures: u64,
}

impl Writer {
    /// Takes the directory, finds the end of the chain and proves with a durable checkpoint that lines can be written.
    pub(in crate::audit) fn open(
        settings: &Settings,
        key: ChainKey,
        clock: Clock,
        shared: Arc<Shared>,
        keeper: Sender<Chore>,
    ) -> Result<Self, AuditError> {
        let root = settings.directory.clone();
        let failed = |source| AuditError::Unwritable {
            path: settings.directory.clone(),
            source,
        };
        files::make_directory(&root).map_err(failed)?;
        let lock = files::lock(&root)
            .map_err(failed)?
            .ok_or_else(|| AuditError::InUse(root.clone()))?;
        let found = Resume::find(&root, &key, Hour::of(clock.now())).map_err(failed)?;
        let mut writer = Self {
            settings: settings.clone(),
            key,
            checkpoint_at: clock.monotonic(),
            began: (clock.now(), clock.monotonic()),
            clock,
            shared,
            keeper,
            lock: Arc::new(lock),
            hour: found.hour,
            end: found.end.clone(),
            lanes: Default::default(),
            backlog: VecDeque::new(),
            opening_due: false,
            sync_due: false,
            since_checkpoint: 0,
            failures: 0,
        };
        writer.encode_checkpoint("open", Some(&found));
        writer.write_out().map_err(failed)?;
        writer.tidy();
        Ok(writer)
    }

    /// Works until it is told to close or nobody is left to tell it anything.
    pub(in crate::audit) fn run(mut self, commands: &Receiver<Command>) {
        loop {
            let wait = if self.failures > 0 { RETRY } else { TICK };
            let (mut flushes, mut closing) = (Vec::new(), None);
            let mut next = commands.try_recv().or_else(|_| commands.recv_timeout(wait));
            let ended = matches!(next, Err(RecvTimeoutError::Disconnected));
            while let Ok(command) = next {
                match command {
                    Command::Write(record) => self.backlog.push_back(record),
                    Command::Flush(reply) => flushes.push(reply),
                    Command::Close(reply) => closing = Some(reply),
                }
                if self.backlog.len() >= MAX_ROUND {
                    break;
                }
                next = commands.try_recv().map_err(|_| RecvTimeoutError::Timeout);
            }
            let is_last = ended || closing.is_some();
            let had_lines = !self.backlog.is_empty();
            let written = self.round(is_last);
            for reply in flushes {
                let _ = match written {
                    true => self.keeper.send(Chore::Answer(reply)).is_ok(),
                    false => reply.send(false).is_ok(),
                };
            }
            if is_last {
                return self.leave(closing, written);
            }
            if had_lines {
                thread::sleep(GATHER);
            }
        }
    }

    /// The directory is free for another process before anybody is told that this one has closed.
    fn leave(self, closing: Option<oneshot::Sender<bool>>, written: bool) {
        let keeper = self.keeper.clone();
        drop(self);
        if let Some(reply) = closing {
            let _ = keeper.send(Chore::Close(reply, written));
        }
    }

    /// The lock of the directory, which the keeper holds as long as it works.
    pub(in crate::audit) fn lock(&self) -> Arc<File> {
        Arc::clone(&self.lock)
    }

    /// One round of work, watched: whether everything that was waiting is written.
    fn round(&mut self, is_last: bool) -> bool {
        self.shared.begin(self.clock.monotonic());
        let result = self.work(is_last);
        self.shared.end();
        match &result {
            Ok(()) if self.failures > 0 => {
                tracing::info!(failures = self.failures, "audit lines can be written again");
                let mut record = Record::new(Event::Lifecycle, self.clock.now(), "");
                record
                    .action("audit_recovered")
                    .severity(Severity::High)
                    .detail("failed_writes", self.failures);
                self.encode_next(&record);
                self.failures = 0;
                self.shared.failing.store(false, Ordering::Release);
            }
            Ok(()) => {}
            Err(error) => {
                if self.failures == 0 {
                    tracing::error!(
                        %error,
                        directory = %self.settings.directory.display(),
                        "audit lines cannot be written; requests are refused until they can"
                    );
                }
                self.failures = self.failures.saturating_add(1);
                // Opened anew, a file is repaired, or made again if it was taken away.
                for lane in &mut self.lanes {
                    lane.file = None;
                }
                self.shared.failing.store(true, Ordering::Release);
                self.shared.errors.fetch_add(1, Ordering::Relaxed);
            }
        }
        result.is_ok()
    }

    fn work(&mut self, is_last: bool) -> io::Result<()> {
        self.write_out()?;
        while let Some(at) = self.backlog.front().map(|record| record.at()) {
            self.turn_to(Hour::of(at))?;
            if let Some(record) = self.backlog.pop_front() {
                self.encode_request(record);
            }
            if self.since_checkpoint >= self.settings.checkpoint_lines {
                self.encode_checkpoint("count", None);
            }
            if self
                .lanes
                .iter()
                .map(|lane| lane.buffer.len())
                .sum::<usize>()
                > MAX_BUFFERED
            {
                self.write_out()?;
            }
        }
        self.turn_to(Hour::of(self.clock.now()))?;
        let passed = self.clock.monotonic().duration_since(self.checkpoint_at);
        if self.since_checkpoint > 0 && passed >= self.settings.checkpoint_every {
            self.encode_checkpoint("time", None);
        }
        if is_last {
            self.encode_checkpoint("close", None);
        }
        self.write_out()
    }

    /// Goes on to a later hour; the chain never goes back to an earlier file, whatever the clock does.
    fn turn_to(&mut self, hour: Hour) -> io::Result<()> {
        if hour <= self.hour {
            return Ok(());
        }
        if !self.opening_due {
            self.encode_checkpoint("hour", None);
            self.opening_due = true;
        }
        self.write_out()?;
        for lane in &mut self.lanes {
            lane.file = None;
        }
        self.hour = hour;
        self.tidy();
        Ok(())
    }

    /// Has closed hours compressed and old ones removed.
    fn tidy(&self) {
        let _ = self.keeper.send(Chore::Tidy(self.hour, self.believable()));
    }

    /// The time by which retention counts. A wall clock that ran ahead of the time that has passed since the start is not
    /// believed: one jump forward would remove the whole trail, and what is kept too long can still be removed later.
    fn believable(&self) -> Timestamp {
        let (wall, moment) = self.began;
        let passed = self.clock.monotonic().saturating_duration_since(moment);
        self.clock.now().min(wall.plus(passed + MAX_JUMP))
    }

    fn encode_request(&mut self, mut record: Box<Record>) {
        if self.settings.truncate_addresses {
            record.truncate_address();
        }
        scrub(&mut record);
        self.encode_next(&record);
        self.shared.written();
    }

    /// The next line that is no checkpoint; the first one of an hour comes after a checkpoint.
    fn encode_next(&mut self, record: &Record) {
        if self.opening_due {
            self.opening_due = false;
            self.encode_checkpoint("hour", None);
        }
        self.encode(record);
        self.since_checkpoint = self.since_checkpoint.saturating_add(1);
    }

    fn encode(&mut self, record: &Record) {
        let seq = self.end.seq.saturating_add(1);
        let Some(lane) = self.lanes.get_mut(record.kind() as usize) else {
            return;
        };
        let start = lane.buffer.len();
        record.write_body(seq, &self.end.mac, &mut lane.buffer);
        self.end = chain::seal(&self.key, seq, &mut lane.buffer, start);
    }

    /// A line that names the key and counts the lines before it, to be made durable together with them.
    fn encode_checkpoint(&mut self, cause: &'static str, resumed: Option<&Resume>) {
        let mut record = Record::new(Event::Checkpoint, self.clock.now(), "");
        record
            .detail("cause", cause)
            .detail("count", self.end.seq)
            .detail("hour", self.hour.path())
            .detail("key_id", self.key.id());
        if let Some(resume) = resumed {
            resume.describe(&mut record);
        }
        self.encode(&record);
        self.sync_due = true;
        self.since_checkpoint = 0;
        self.checkpoint_at = self.clock.monotonic();
    }

    fn write_out(&mut self) -> io::Result<()> {
        for (lane, kind) in self.lanes.iter_mut().zip(Kind::ALL) {
            if lane.buffer.is_empty() {
                continue;
            }
            let mut file = match lane.file.take() {
                Some(file) => file,
                None => Appender::open(self.hour.file(&self.settings.directory, kind))?,
            };
            file.append(&lane.buffer)?;
            lane.file = Some(file);
            lane.buffer.clear();
        }
        if self.sync_due {
            for file in self.lanes.iter().filter_map(|lane| lane.file.as_ref()) {
                file.sync()?;
            }
            let head = Head::sign(&self.key, self.end.clone(), self.clock.now());
            files::write_head(&self.settings.directory, &head.to_json())?;
            self.sync_due = false;
        }
        Ok(())
    }
}

/// Without its writer the trail is closed, also if the writer fell.
impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.failing.store(true, Ordering::Release);
    }
}

/// The record as it may be kept: secrets and personal data are taken out, identifiers stay (C57).
pub(in crate::audit) fn scrub(record: &mut Record) {
    record.scrub(
        |text| match redact::text_by(Rules::Audit, text, &mut Tally::default()) {
            Cow::Borrowed(_) => None,
            Cow::Owned(changed) => Some(changed),
        },
        |value| redact::json_by(Rules::Audit, value, &mut Tally::default()),
    );
}

/// Compresses and removes closed files, apart from the writer because a large file takes its time.
pub(in crate::audit) fn keep(settings: &Settings, lock: Arc<File>, chores: &Receiver<Chore>) {
    while let Ok(chore) = chores.recv() {
        match chore {
            Chore::Tidy(current, now) => {
                if let Err(error) =
                    files::tidy(&settings.directory, current, now, settings.retention)
                {
                    tracing::warn!(%error, "closed audit files could not be tidied; the next hour tries again");
                }
            }
            Chore::Answer(reply) => {
                let _ = reply.send(true);
            }
            Chore::Close(reply, written) => {
                drop(lock);
                let _ = reply.send(written);
                return;
            }
        }
    }
}
