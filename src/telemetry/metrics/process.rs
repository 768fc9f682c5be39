//! The few figures of the process that cost next to nothing to read. Where there is no `/proc` they stay 0.

use std::fs;

use super::declared::Declared;

/// Linux on every platform that we build for.
const PAGE: i64 = 4096;

pub(super) fn observe(declared: &Declared) {
    declared
        .build
        .with_label_values(&[env!("CARGO_PKG_VERSION")])
        .set(1);
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<i64>().ok());
    if let Some(pages) = pages {
        declared.memory.set(pages.saturating_mul(PAGE));
    }
    if let Some(open) = open_descriptors() {
        declared
            .descriptors
            .set(i64::try_from(open).unwrap_or(i64::MAX));
    }
}

/// Their number stands in the folder's size since Linux 6.2. Before, they have to be counted, which takes milliseconds when there
/// are thousands: time in which a worker serves nobody.
fn open_descriptors() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    let said = fs::metadata(FOLDER).ok()?.len();
    if said > 0 {
        return Some(said);
    }
    let counted = fs::read_dir(FOLDER).ok()?.count();
    // The folder that is being read is one of them.
    u64::try_from(counted.saturating_sub(1)).ok()
}
