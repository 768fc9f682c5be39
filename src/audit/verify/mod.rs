//! Checks the whole trail against its keys and says where it was changed. Everything is read once, line by line, so the
//! size of the trail does not matter.

use std::io;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::chain::{self, ChainKey, GENESIS, Head, KeyRing, Link};
use super::event::{Event, Kind};
use super::files;
use super::reader::{Entry, Fields, HourLines, Place};

/// At most so many findings are kept; more are only counted.
pub const MAX_FINDINGS: usize = 100;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// This is no line of the trail.
    #[error("{0}: not a line of the trail")]
    Malformed(Place),
    /// The line was changed, or sealed by somebody without the key.
    #[error("{0}: line {1} was changed after it was written")]
    BadSeal(Place, u64),
    /// The line does not follow the one before it.
    #[error("{0}: line {1} does not follow the line before it")]
    BrokenLink(Place, u64),
    /// The line stands after a later one.
    #[error("{0}: line {1} stands out of its order")]
    OutOfOrder(Place, u64),
    /// The line belongs to another file.
    #[error("{0}: line {1} belongs to another file")]
    WrongFile(Place, u64),
    /// The key of this checkpoint is not in the ring.
    #[error("{0}: sealed with key {1}, which is not at hand")]
    UnknownKey(Place, String),
    /// Lines are missing inside the trail.
    #[error("lines {0} to {1} are missing")]
    Missing(u64, u64),
    /// The trail ends before a line that was signed for.
    #[error("the trail ends at line {found}, but line {signed} was signed for")]
    CutTail {
        /// The number that was signed.
        signed: u64,
        /// The last number that was found.
        found: u64,
    },
    /// A line that was signed for is there with another seal.
    #[error("line {0} is not the line that was signed for")]
    Replaced(u64),
    /// The signed head is gone.
    #[error("the signed head of the chain is missing")]
    NoHead,
    /// The signed head was not signed by a key of the ring.
    #[error("the head of the chain is not signed with a key at hand")]
    ForgedHead,
    /// A file could not be read to its end.
    #[error("the files of {0} cannot be read to their end: {1}")]
    Unreadable(String, String),
}

/// The state of the trail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many lines were read.
    pub lines: u64,
    /// From how many files.
    pub files: u32,
    /// The number of the first line; above 1 once retention has removed the beginning.
    pub first_seq: Option<u64>,
    /// Its timestamp. If it is younger than the retention period and not line 1, the beginning was removed.
    pub first_at: Option<String>,
    /// Lines that a crash kept from the disk, as the trail itself said at the start after it, under its seal: the first and
    /// the last number of each hole. There can be some only behind the last flush.
    pub lost: Vec<(u64, u64)>,
    /// The last line. Keep it elsewhere: [`verify`] takes it as proof that no tail was cut since.
    pub last: Option<Link>,
    /// What was found, at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub more_findings: u64,
}

impl Report {
    /// Whether everything is as it was written.
    pub const fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }

    fn add(&mut self, finding: Finding) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.more_findings = self.more_findings.saturating_add(1);
        }
    }
}

/// Verifies every line under `root`. `anchors` are ends of the chain that were noted elsewhere, such as the `last` of an
/// earlier report; the signed head beside the files is one more.
///
/// # Errors
/// When the directory itself cannot be read; trouble with single files is a finding.
pub fn verify(root: &Path, ring: &KeyRing, anchors: &[Link]) -> io::Result<Report> {
    let mut walk = Walk {
        ring,
        anchors: anchors.to_vec(),
        key: None,
        report: Report::default(),
    };
    walk.read_head(root)?;
    for hour in files::hours(root)? {
        if let Err(error) = walk.hour(root, hour) {
            let finding = Finding::Unreadable(hour.path(), error.to_string());
            walk.report.add(finding);
        }
    }
    walk.finish();
    Ok(walk.report)
}

/// The number and seal that a line states, unverified.
pub(in crate::audit) fn link_of(line: &[u8]) -> Option<Link> {
    #[derive(Deserialize)]
    struct Stated {
        seq: u64,
        mac: String,
    }
    let stated: Stated = serde_json::from_slice(line).ok()?;
    Some(Link {
        seq: stated.seq,
        mac: stated.mac,
    })
}

struct Walk<'k> {
    ring: &'k KeyRing,
    anchors: Vec<Link>,
    key: Option<&'k ChainKey>,
    report: Report,
}

impl Walk<'_> {
    fn read_head(&mut self, root: &Path) -> io::Result<()> {
        match files::read_head(root)? {
            None => self.report.add(Finding::NoHead),
            Some(text) => match Head::parse(&text).filter(|head| head.is_genuine(self.ring)) {
                Some(head) => self.anchors.push(head.link),
                None => self.report.add(Finding::ForgedHead),
            },
        }
        Ok(())
    }

    fn hour(&mut self, root: &Path, hour: files::Hour) -> io::Result<()> {
        let mut lines = HourLines::open(root, hour, &Kind::ALL)?;
        self.report.files = self.report.files.saturating_add(lines.files);
        let path = hour.path();
        while let Some(entry) = lines.next_entry()? {
            self.report.lines += 1;
            self.line(&entry, &path);
        }
        Ok(())
    }

    fn line(&mut self, entry: &Entry, hour: &str) {
        let (Some(fields), Some((body, mac))) = (&entry.fields, chain::split(&entry.bytes)) else {
            return self.report.add(Finding::Malformed(entry.place.clone()));
        };
        let is_sealed = self.check_seal(entry, fields, body, mac);
        let is_elsewhere = fields.event_type == Event::Checkpoint.name()
            && fields.detail("hour").is_some_and(|stated| stated != hour);
        if fields.kind != entry.kind.name() || is_elsewhere {
            let finding = Finding::WrongFile(entry.place.clone(), fields.seq);
            self.report.add(finding);
        }
        self.check_order(entry, fields);
        self.check_anchors(fields.seq, mac);
        if is_sealed && fields.event_type == Event::Checkpoint.name() {
            self.excuse(fields);
        }
        if self
            .report
            .last
            .as_ref()
            .is_none_or(|last| last.seq < fields.seq)
        {
            self.report.last = Some(Link {
                seq: fields.seq,
                mac: mac.to_owned(),
            });
        }
    }

    /// A checkpoint names the key that seals it and the lines after it.
    fn check_seal(&mut self, entry: &Entry, fields: &Fields, body: &[u8], mac: &str) -> bool {
        if fields.event_type == Event::Checkpoint.name()
            && let Some(id) = fields.detail("key_id")
        {
            self.key = self.ring.key(id);
            if self.key.is_none() {
                let finding = Finding::UnknownKey(entry.place.clone(), id.to_owned());
                self.report.add(finding);
                return false;
            }
        }
        if self.key.is_none() {
            self.key = self
                .ring
                .iter()
                .find(|key| chain::is_sealed(key, body, mac));
        }
        let is_sealed = self.key.is_some_and(|key| chain::is_sealed(key, body, mac));
        if !is_sealed {
            let finding = Finding::BadSeal(entry.place.clone(), fields.seq);
            self.report.add(finding);
        }
        is_sealed
    }

    /// A hole that was owned up to at the next start is a crash's.
    fn excuse(&mut self, fields: &Fields) {
        let Some(Value::Array(lost)) = fields.details.get("lost") else {
            return;
        };
        for range in lost {
            let at = |index: usize| range.get(index).and_then(Value::as_u64);
            let (Some(from), Some(to)) = (at(0), at(1)) else {
                continue;
            };
            let before = self.report.findings.len();
            let hole = Finding::Missing(from, to);
            self.report.findings.retain(|finding| *finding != hole);
            if self.report.findings.len() < before {
                self.report.lost.push((from, to));
            }
        }
    }

    fn check_order(&mut self, entry: &Entry, fields: &Fields) {
        let place = || entry.place.clone();
        let finding = match &self.report.last {
            None => {
                self.report.first_seq = Some(fields.seq);
                self.report.first_at = Some(fields.timestamp.clone());
                (fields.seq == 1 && fields.prev != GENESIS)
                    .then(|| Finding::BrokenLink(place(), fields.seq))
            }
            Some(last) if fields.seq <= last.seq => Some(Finding::OutOfOrder(place(), fields.seq)),
            Some(last) if fields.seq > last.seq + 1 => {
                Some(Finding::Missing(last.seq + 1, fields.seq - 1))
            }
            Some(last) => {
                (fields.prev != last.mac).then(|| Finding::BrokenLink(place(), fields.seq))
            }
        };
        if let Some(finding) = finding {
            self.report.add(finding);
        }
    }

    fn check_anchors(&mut self, seq: u64, mac: &str) {
        let is_replaced = self
            .anchors
            .iter()
            .any(|anchor| anchor.seq == seq && anchor.mac != mac);
        if is_replaced {
            self.report.add(Finding::Replaced(seq));
        }
    }

    fn finish(&mut self) {
        let found = self.report.last.as_ref().map_or(0, |last| last.seq);
        let signed = self.anchors.iter().map(|anchor| anchor.seq).max();
        if let Some(signed) = signed.filter(|signed| *signed > found) {
            self.report.add(Finding::CutTail { signed, found });
        }
    }
}

#[cfg(test)]
mod tests;
