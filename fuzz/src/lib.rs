//! What the fuzz targets share: readers of our own against which the gateway's are held, and callers with real tokens.
//!
//! A target that only waits for a panic finds little in a program without unsafe code. So each one states what must hold
//! for whatever was accepted, in terms of a second reader that was written without looking at the first.

pub mod callers;
pub mod readers;

/// The text before the first line that is `---`, and what follows it. A corpus entry stays readable that way.
pub fn parts(data: &[u8]) -> (&[u8], &[u8]) {
    const RULE: &[u8] = b"\n---\n";
    data.windows(RULE.len())
        .position(|window| window == RULE)
        .map_or((data, &[]), |at| (&data[..at], &data[at + RULE.len()..]))
}
