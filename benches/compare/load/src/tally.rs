//! What was counted: answers, failures, and how long answers took, in buckets that are at most 1 % wide.

use std::cell::{Cell, RefCell};
use std::time::Duration;

/// Buckets for every doubling of the time; 2^7 of them are at most 1 % wide.
const BITS: u32 = 7;

/// The counters of one run. One thread writes them.
#[derive(Default)]
pub(crate) struct Tally {
    /// Whether answers are counted now.
    pub(crate) open: Cell<bool>,
    /// Whether everybody is to stop.
    pub(crate) over: Cell<bool>,
    answers: Cell<u64>,
    errors: Cell<u64>,
    first_error: RefCell<Option<String>>,
    times: RefCell<Histogram>,
}

impl Tally {
    /// An answer that was right.
    pub(crate) fn answered(&self, after: Duration) {
        if self.open.get() {
            self.answers.set(self.answers.get() + 1);
            self.times.borrow_mut().add(after);
        }
    }

    /// An answer that was wrong, or none. It counts at any time: also a failure before the window spoils the run.
    pub(crate) fn failed(&self, why: impl ToString) {
        self.errors.set(self.errors.get() + 1);
        self.first_error
            .borrow_mut()
            .get_or_insert_with(|| why.to_string());
    }

    /// How many answers were right.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.get()
    }

    /// How many were not.
    pub(crate) fn errors(&self) -> u64 {
        self.errors.get()
    }

    /// The first failure.
    pub(crate) fn first_error(&self) -> Option<String> {
        self.first_error.borrow().clone()
    }

    /// The time within which this share of the answers came, in microseconds.
    pub(crate) fn within(&self, share: f64) -> f64 {
        self.times.borrow().within(share)
    }
}

#[derive(Default)]
struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    fn add(&mut self, time: Duration) {
        let place = place(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        if self.counts.len() <= place {
            self.counts.resize(place + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.total += 1;
    }

    fn within(&self, share: f64) -> f64 {
        let wanted = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (place, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && *count > 0 {
                return value(place) as f64 / 1000.0;
            }
        }
        0.0
    }
}

/// The bucket of a number of nanoseconds: exact below 2^BITS, then 2^BITS buckets a doubling.
fn place(nanos: u64) -> usize {
    let width = 64 - nanos.leading_zeros();
    let shift = width.saturating_sub(BITS + 1);
    let place = (u64::from(shift) << BITS) + (nanos >> shift);
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// The smallest number of nanoseconds in a bucket.
fn value(place: usize) -> u64 {
    let place = place as u64;
    let shift = (place >> BITS).saturating_sub(1);
    (place - (shift << BITS)) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_at_most_one_percent_wide() {
        for nanos in (0..100_000).chain([1 << 40, (1 << 40) + 12_345, u64::MAX >> 1]) {
            let low = value(place(nanos));
            assert!(low <= nanos && nanos - low <= nanos / 100, "{nanos} {low}");
        }
    }

    #[test]
    fn shares_are_read_off_the_buckets() {
        let tally = Tally::default();
        tally.open.set(true);
        for micros in 1..=100 {
            tally.answered(Duration::from_micros(micros));
        }
        assert!((tally.within(0.5) - 50.0).abs() < 1.0);
        assert!((tally.within(0.99) - 99.0).abs() < 1.0);
    }
}
