//! A trail in memory: what tests of the request path look at, and the lever by which they make the trail refuse.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::chain::{self, ChainKey, Link};
use super::super::record::Record;
use super::super::writer;
use super::Refused;
use crate::secret::Secret;

/// The lines of a trail in memory.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    lines: Vec<String>,
    refusal: Option<Refused>,
}

impl Captured {
    /// The lines so far, sealed with a key that is all zeros.
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// The lines so far, parsed.
    pub fn records(&self) -> Vec<serde_json::Value> {
        self.lines()
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// From now on the sink refuses, or with `None` it no longer does.
    pub fn refuse(&self, refusal: Option<Refused>) {
        self.lock().refusal = refusal;
    }

    pub(super) fn take(&self, record: &Record) {
        let Ok(key) = ChainKey::new(Secret::new(vec![0; chain::MIN_KEY])) else {
            return;
        };
        let mut memory = self.lock();
        let seq = memory.lines.len() as u64 + 1;
        let prev = memory
            .lines
            .last()
            .and_then(|line| chain::split(line.as_bytes()).map(|(_, mac)| mac.to_owned()));
        let mut record = record.clone();
        writer::scrub(&mut record);
        let mut line = Vec::new();
        record.write_body(seq, &prev.unwrap_or(Link::genesis().mac), &mut line);
        chain::seal(&key, seq, &mut line, 0);
        let line = String::from_utf8_lossy(&line);
        memory.lines.push(line.trim_end().to_owned());
    }

    pub(super) fn refusal(&self) -> Option<Refused> {
        self.lock().refusal
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
