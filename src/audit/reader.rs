//! Reads the files of an hour as the one sequence of lines that they are: by number, across the kinds.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::event::Kind;
use super::files::{self, Hour, Lines};

/// Where a line stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The plain name of its file, which may since be compressed.
    pub file: PathBuf,
    /// The number of the line in it, from 1.
    pub line: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// The fields of a line that readers decide by.
#[derive(Debug, Deserialize)]
pub(in crate::audit) struct Fields {
    pub(in crate::audit) seq: u64,
    pub(in crate::audit) kind: String,
    pub(in crate::audit) event_type: String,
    pub(in crate::audit) prev: String,
    pub(in crate::audit) timestamp: String,
    pub(in crate::audit) request_id: String,
    pub(in crate::audit) action: String,
    pub(in crate::audit) severity: String,
    pub(in crate::audit) status: String,
    pub(in crate::audit) user_id: Option<String>,
    #[serde(default)]
    pub(in crate::audit) details: Value,
}

impl Fields {
    pub(in crate::audit) fn detail(&self, name: &str) -> Option<&str> {
        self.details.get(name)?.as_str()
    }
}

/// One line with its place, and its fields if it can be read.
pub(in crate::audit) struct Entry {
    pub(in crate::audit) place: Place,
    pub(in crate::audit) kind: Kind,
    pub(in crate::audit) bytes: Vec<u8>,
    pub(in crate::audit) fields: Option<Fields>,
}

/// The lines of one hour.
pub(in crate::audit) struct HourLines {
    lanes: Vec<Lane>,
    /// How many files there are.
    pub(in crate::audit) files: u32,
}

struct Lane {
    kind: Kind,
    file: PathBuf,
    lines: Lines,
    read: u64,
    next: Option<Entry>,
}

impl HourLines {
    pub(in crate::audit) fn open(root: &Path, hour: Hour, kinds: &[Kind]) -> io::Result<Self> {
        let mut lanes = Vec::new();
        for kind in kinds {
            if let Some(lines) = files::open(root, hour, *kind)? {
                let mut lane = Lane {
                    kind: *kind,
                    file: hour.file(root, *kind),
                    lines,
                    read: 0,
                    next: None,
                };
                lane.advance()?;
                lanes.push(lane);
            }
        }
        Ok(Self {
            files: u32::try_from(lanes.len()).unwrap_or(u32::MAX),
            lanes,
        })
    }

    /// The line with the lowest number; one that cannot be read comes before all others.
    pub(in crate::audit) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let next = self
            .lanes
            .iter_mut()
            .filter(|lane| lane.next.is_some())
            .min_by_key(|lane| {
                let fields = lane.next.as_ref().and_then(|entry| entry.fields.as_ref());
                fields.map_or(0, |fields| fields.seq)
            });
        match next {
            None => Ok(None),
            Some(lane) => {
                let entry = lane.next.take();
                lane.advance()?;
                Ok(entry)
            }
        }
    }
}

impl Lane {
    fn advance(&mut self) -> io::Result<()> {
        self.next = self.lines.next_line()?.map(|bytes| {
            self.read += 1;
            Entry {
                place: Place {
                    file: self.file.clone(),
                    line: self.read,
                },
                kind: self.kind,
                fields: serde_json::from_slice(&bytes).ok(),
                bytes,
            }
        });
        Ok(())
    }
}
