//! A line of the log that comes seldom, however often its cause does: whoever can cause lines could fill the disk with them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Says when a line is due, and how much happened since the last.
#[derive(Debug)]
pub struct Seldom {
    zero: Instant,
    every: Duration,
    /// Milliseconds after `zero` from which the next line is due.
    due_at: AtomicU64,
    unsaid: AtomicU64,
}

impl Seldom {
    /// At most one line in this time, the first at once.
    pub fn new(every: Duration) -> Self {
        Self {
            zero: Instant::now(),
            every,
            due_at: AtomicU64::new(0),
            unsaid: AtomicU64::new(0),
        }
    }

    /// It happened. Where a line is due, how often since the last one.
    pub fn due(&self) -> Option<u64> {
        self.due_at(Instant::now())
    }

    fn due_at(&self, now: Instant) -> Option<u64> {
        self.unsaid.fetch_add(1, Ordering::AcqRel);
        let now = millis(now.saturating_duration_since(self.zero));
        let next = now.saturating_add(millis(self.every));
        self.due_at
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |due| {
                (now >= due).then_some(next)
            })
            .ok()?;
        Some(self.unsaid.swap(0, Ordering::AcqRel))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_a_while_says_how_often() {
        let seldom = Seldom::new(Duration::from_secs(10));
        let at = |seconds| seldom.due_at(seldom.zero + Duration::from_secs(seconds));
        assert_eq!(at(1), Some(1));
        for _ in 0..5 {
            assert_eq!(at(10), None);
        }
        assert_eq!(at(11), Some(6));
        assert_eq!(at(20), None);
    }
}
