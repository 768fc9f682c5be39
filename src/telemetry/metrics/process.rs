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
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        // The directory that is being read is one of them.
        let open = entries.count().saturating_sub(1);
        declared
            .descriptors
            .set(i64::try_from(open).unwrap_or(i64::MAX));
    }
}
