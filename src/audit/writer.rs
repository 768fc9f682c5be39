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
use super::disk::Disk;
use super::event::{Event, Kind, Severity};
use super::files::{self, Hour};
use super::lane::Lane;
use super::record::Record;
use super::resume::Resume;
use super::sink::{AuditError, Settings, Shared};
use crate::clock::{Calendar, Clock, Timestamp};
use crate::redact::totals::counting;
use crate::redact::{self, Rules};

pub(in crate::audit) use super::keeper::{Chore, keep};

/// How long a clock that leapt ahead must hold before files are named by it: a step back would leave them in the future.
const PATIENCE: Duration = Duration::from_secs(3600);

/// How long it must hold before anything is removed on its word. By then somebody has noticed that no token is valid.
pub(in crate::audit) const PATIENCE_TO_REMOVE: Duration = Duration::from_secs(86_400);

/// The longest that one file is written to.
const FULL_HOUR: Duration = Duration::from_secs(3600);

/// How often a quiet writer looks at the clock.
const TICK: Duration = Duration::from_secs(1);

/// How long lines are gathered once there were some. Without it a busy gateway would wake this thread for every line, which
/// costs both sides more than the line itself.
const GATHER: Duration = Duration::from_millis(2);

/// How soon a failed write is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// Lines are made durable when so many bytes of them are kept.
const MAX_BUFFERED: usize = 1024 * 1024;

/// How many waiting records are taken in one round.
const MAX_ROUND: usize = 4096;

/// What the writer is asked to do.
pub(in crate::audit) enum Command {
    Write(Box<Record>),
    Flush(oneshot::Sender<bool>),
    Close(oneshot::Sender<bool>),
}

pub(in crate::audit) struct Writer {
    settings: Settings,
    key: ChainKey,
    clock: Clock,
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    keeper: Sender<Chore>,
    lock: Arc<File>,
    /// Which directory was opened, whatever is called so now.
    root: (u64, u64),
    hour: Hour,
    hour_began: Instant,
    end: Link,
    lanes: [Lane; 3],
    backlog: VecDeque<Box<Record>>,
    /// The hour has no opening checkpoint yet; it gets one with its first line.
    opening_due: bool,
    sync_due: bool,
    since_checkpoint: u64,
    checkpoint_at: Instant,
    /// By which files are named, and by which they are removed.
    named_by: Calendar,
    removed_by: Calendar,
    failures: u64,
    /// Whether operators were told of the failure.
    told: bool,
}

impl Writer {
    /// Takes the directory, finds the end of the chain and proves with a durable checkpoint that lines can be written.
    pub(in crate::audit) fn open(
        settings: &Settings,
        key: ChainKey,
        (clock, disk): (Clock, Arc<dyn Disk>),
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
            disk,
            shared,
            keeper,
            lock: Arc::new(lock),
            root: files::identity(&root).map_err(failed)?,
            hour: found.hour,
            hour_began: clock.monotonic(),
            end: found.end.clone(),
            lanes: Default::default(),
            backlog: VecDeque::new(),
            opening_due: false,
            sync_due: false,
            since_checkpoint: 0,
            checkpoint_at: clock.monotonic(),
            named_by: Calendar::new(clock.clone(), PATIENCE),
            removed_by: Calendar::new(clock.clone(), PATIENCE_TO_REMOVE).after(found.known),
            clock,
            failures: 0,
            told: false,
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
        let lost = self.backlog.len() + self.lanes.iter().map(Lane::unwritten).sum::<usize>();
        if lost > 0 {
            tracing::error!(
                lost,
                "audit lines could not be written to the last and are lost"
            );
        }
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
        let has_lines = !self.backlog.is_empty();
        self.shared.begin(self.clock.monotonic(), has_lines);
        let result = self.work(is_last);
        self.shared.end(result.is_ok());
        match &result {
            Ok(()) if self.failures > 0 => self.recovered(),
            Ok(()) => {}
            Err(error) => self.failed(error),
        }
        result.is_ok()
    }

    fn recovered(&mut self) {
        if self.told {
            tracing::info!(failures = self.failures, "audit lines can be written again");
        }
        let mut record = Record::new(Event::Lifecycle, self.clock.now(), "");
        record
            .action("audit_recovered")
            .severity(Severity::High)
            .detail("failed_writes", self.failures);
        self.encode_next(&record);
        (self.failures, self.told) = (0, false);
        self.shared.failing.store(false, Ordering::Release);
    }

    fn failed(&mut self, error: &io::Error) {
        if self.failures == 0 && self.shared.may_tell() {
            self.told = true;
            tracing::error!(
                %error,
                directory = %self.settings.directory.display(),
                "audit lines cannot be written; requests are refused until they can"
            );
        }
        self.failures = self.failures.saturating_add(1);
        // Opened anew, a file is repaired, or made again if it was taken away.
        self.lanes.iter_mut().for_each(Lane::doubt);
        self.shared.failing.store(true, Ordering::Release);
        self.shared.errors.fetch_add(1, Ordering::Relaxed);
    }

    fn work(&mut self, is_last: bool) -> io::Result<()> {
        self.write_out()?;
        let believed = self.named_by.now();
        // Asked at every look, since it believes what has held.
        self.removed_by.now();
        while let Some(at) = self.backlog.front().map(|record| record.at()) {
            self.turn_to(self.due(at.min(believed)))?;
            if let Some(record) = self.backlog.pop_front() {
                self.encode_request(record);
            }
            if self.since_checkpoint >= self.settings.checkpoint_lines {
                self.encode_checkpoint("count", None);
            }
            if self.lanes.iter().map(Lane::len).sum::<usize>() > MAX_BUFFERED {
                self.sync_due = true;
                self.write_out()?;
            }
        }
        self.turn_to(self.due(believed))?;
        let passed = self.clock.monotonic().duration_since(self.checkpoint_at);
        if self.since_checkpoint > 0 && passed >= self.settings.checkpoint_every {
            self.encode_checkpoint("time", None);
        }
        if is_last {
            self.encode_checkpoint("close", None);
        }
        self.write_out()
    }

    /// The hour that should be written to. Where the clock was set back behind the trail, files go on ahead of it, each for
    /// an hour of the time that passes: a chain that went back to an earlier file could not be read in its order.
    fn due(&self, believed: Timestamp) -> Hour {
        let hour = Hour::of(believed);
        let passed = self.clock.monotonic().duration_since(self.hour_began);
        let is_behind = hour < self.hour && !self.opening_due && passed >= FULL_HOUR;
        if is_behind { self.hour.next() } else { hour }
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
        self.sync_due = true;
        self.write_out()?;
        self.lanes.iter_mut().for_each(Lane::turn);
        self.hour = hour;
        self.hour_began = self.clock.monotonic();
        self.tidy();
        Ok(())
    }

    /// Has closed hours compressed and old ones removed.
    fn tidy(&mut self) {
        let now = self.removed_by.now();
        let _ = self.keeper.send(Chore::Tidy(self.hour, now));
    }

    fn encode_request(&mut self, mut record: Box<Record>) {
        // As it was counted when it came in.
        let weight = record.weight();
        if self.settings.truncate_addresses {
            record.truncate_address();
        }
        scrub(&mut record);
        self.encode_next(&record);
        if let Some(lane) = self.lanes.get_mut(record.kind() as usize) {
            lane.promised(weight);
        }
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
        let (key, prev) = (&self.key, &self.end.mac);
        self.end = lane.put(|out| {
            let start = out.len();
            record.write_body(seq, prev, out);
            chain::seal(key, seq, out, start)
        });
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
        let root = &self.settings.directory;
        if self.lanes.iter().any(|lane| lane.len() > 0) && files::identity(root)? != self.root {
            return Err(io::Error::other("the folder was replaced"));
        }
        for (lane, kind) in self.lanes.iter_mut().zip(Kind::ALL) {
            let handed = lane.write(&self.hour.file(root, kind), &*self.disk)?;
            self.shared.written(handed);
        }
        if self.sync_due {
            for lane in &mut self.lanes {
                lane.sync(&*self.disk)?;
            }
            let head = Head::sign(&self.key, self.end.clone(), self.clock.now());
            files::write_head(root, &head.to_json())?;
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
        |text| match counting(|tally| redact::text_by(Rules::Audit, text, tally)) {
            Cow::Borrowed(_) => None,
            Cow::Owned(changed) => Some(changed),
        },
        |value| counting(|tally| redact::json_by(Rules::Audit, value, tally)),
    );
}
