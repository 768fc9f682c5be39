//! What the door and the writer tell each other: how much is waiting, since when the disk has been silent, and whether
//! anything may be promised. Only atomics, since every request passes here twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{Refused, Settings, Stats};
use crate::audit::lane::Handed;
use crate::clock::Clock;

/// A change of state is told at most so often, in milliseconds.
const TELL_EVERY: u64 = 10_000;

/// What the sink and its writer tell each other.
#[derive(Debug)]
pub(in crate::audit) struct Shared {
    clock: Clock,
    zero: Instant,
    limit: usize,
    byte_limit: usize,
    stall: Duration,
    taken: AtomicUsize,
    weight: AtomicUsize,
    pub(in crate::audit) failing: AtomicBool,
    pub(super) closed: AtomicBool,
    /// When the writer began its round, in milliseconds after `zero` plus one; 0 while it waits.
    busy_since: AtomicU64,
    /// Since when lines have been waiting for the disk, in the same count.
    waiting_since: AtomicU64,
    pub(in crate::audit) errors: AtomicU64,
    pub(in crate::audit) untidy: AtomicU64,
    written: AtomicU64,
    abandoned: AtomicU64,
    /// The refusal that operators were last told of, as a number; 0 for none.
    told: AtomicU8,
    told_at: AtomicU64,
}

impl Shared {
    pub(super) fn new(settings: &Settings, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            zero: clock.monotonic(),
            clock,
            limit: settings.queue,
            byte_limit: settings.queue_bytes.as_usize(),
            stall: settings.stall,
            taken: AtomicUsize::new(0),
            weight: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            busy_since: AtomicU64::new(0),
            waiting_since: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            untidy: AtomicU64::new(0),
            written: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            told: AtomicU8::new(0),
            told_at: AtomicU64::new(0),
        })
    }

    /// Never 0.
    fn moment(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.zero).as_millis();
        u64::try_from(passed).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn since(&self, moment: u64) -> Duration {
        let now = self.moment(self.clock.monotonic());
        Duration::from_millis(now.saturating_sub(moment))
    }

    /// A round of writing begins. Lines that wait longer than it have waited since an earlier one.
    pub(in crate::audit) fn begin(&self, now: Instant, has_lines: bool) {
        let moment = self.moment(now);
        self.busy_since.store(moment, Ordering::Release);
        if has_lines && self.waiting_since.load(Ordering::Relaxed) == 0 {
            self.waiting_since.store(moment, Ordering::Relaxed);
        }
    }

    /// It has ended.
    pub(in crate::audit) fn end(&self, all_is_written: bool) {
        self.busy_since.store(0, Ordering::Release);
        if all_is_written {
            self.waiting_since.store(0, Ordering::Relaxed);
        }
    }

    /// A line is on its way.
    pub(super) fn queued(&self, weight: usize) {
        self.weight.fetch_add(weight, Ordering::Relaxed);
    }

    /// Whether the trail is to end.
    pub(in crate::audit) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Lines are in their file.
    pub(in crate::audit) fn written(&self, handed: Handed) {
        self.taken.fetch_sub(handed.lines, Ordering::AcqRel);
        self.weight.fetch_sub(handed.weight, Ordering::Relaxed);
        self.written
            .fetch_add(handed.lines as u64, Ordering::Relaxed);
    }

    /// A promise was not kept, or was not needed.
    pub(super) fn abandoned(&self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn check(&self) -> Result<(), Refused> {
        self.judge().inspect_err(|refused| self.tell(*refused))
    }

    fn judge(&self) -> Result<(), Refused> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Refused::Closed);
        }
        if self.failing.load(Ordering::Acquire) {
            return Err(Refused::Unwritable);
        }
        let since = self.busy_since.load(Ordering::Acquire);
        if since != 0 && self.since(since) > self.stall {
            return Err(Refused::Stalled);
        }
        let has_room = self.taken.load(Ordering::Acquire) < self.limit
            && self.weight.load(Ordering::Relaxed) < self.byte_limit;
        match has_room {
            true => Ok(()),
            false => Err(Refused::Full),
        }
    }

    pub(super) fn take(&self) -> Result<(), Refused> {
        self.check()?;
        let one_more = |taken: usize| (taken < self.limit).then_some(taken + 1);
        if self
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .is_err()
        {
            self.tell(Refused::Full);
            return Err(Refused::Full);
        }
        if self.told.load(Ordering::Relaxed) != 0 {
            self.tell_recovery();
        }
        Ok(())
    }

    pub(super) fn stats(&self) -> Stats {
        let waiting = match self.waiting_since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self.since(since),
        };
        Stats {
            depth: self.taken.load(Ordering::Relaxed),
            bytes: self.weight.load(Ordering::Relaxed),
            written: self.written.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            untidy: self.untidy.load(Ordering::Relaxed),
            abandoned: self.abandoned.load(Ordering::Relaxed),
            waiting,
            refusing: self.judge().is_err(),
        }
    }

    /// One line for each change of state, and not one for each request. What the writer itself notices, it tells.
    fn tell(&self, refused: Refused) {
        let number = match refused {
            Refused::Unwritable | Refused::Closed => return,
            Refused::Stalled => 1,
            Refused::Full => 2,
        };
        if self.told.load(Ordering::Relaxed) == number
            || self.told.swap(number, Ordering::Relaxed) == number
            || !self.may_tell()
        {
            return;
        }
        let (depth, bytes) = (
            self.taken.load(Ordering::Relaxed),
            self.weight.load(Ordering::Relaxed),
        );
        tracing::error!(
            reason = refused.code(),
            depth,
            bytes,
            "{refused}; requests are refused"
        );
    }

    fn tell_recovery(&self) {
        if self.told.swap(0, Ordering::Relaxed) != 0 {
            tracing::info!("audit lines can be promised again");
        }
    }

    /// Whether it is long enough ago that something was told.
    pub(in crate::audit) fn may_tell(&self) -> bool {
        let now = self.moment(self.clock.monotonic());
        let is_due =
            |last: u64| (last == 0 || now.saturating_sub(last) >= TELL_EVERY).then_some(now);
        self.told_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_due)
            .is_ok()
    }
}
