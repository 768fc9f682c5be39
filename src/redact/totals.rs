//! How much was redacted in this process, by kind. Log lines have nobody to hand a tally to, so the totals stand here.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Kind, Tally};

static TOTALS: [AtomicU64; Kind::ALL.len()] = [const { AtomicU64::new(0) }; Kind::ALL.len()];

/// Does something with a tally and adds it to the totals.
pub fn counting<T>(redact: impl FnOnce(&mut Tally) -> T) -> T {
    let mut tally = Tally::default();
    let done = redact(&mut tally);
    for (kind, count) in tally.iter() {
        if let Some(total) = TOTALS.get(kind as usize) {
            total.fetch_add(count.into(), Ordering::Relaxed);
        }
    }
    done
}

/// The totals since the start.
pub fn totals() -> impl Iterator<Item = (Kind, u64)> {
    let counts = TOTALS.iter().map(|total| total.load(Ordering::Relaxed));
    Kind::ALL.into_iter().zip(counts)
}
