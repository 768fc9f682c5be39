//! Finds the end of the chain at a start, and what a crash or a hand has left there.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::chain::{ChainKey, Head, KeyRing, Link};
use super::event::{Kind, Severity};
use super::files::{self, Hour};
use super::reader::Fields;
use super::record::Record;
use super::verify;
use super::writer::PATIENCE_TO_REMOVE;
use crate::clock::Timestamp;

/// At most so many holes are owned up to; a crash leaves one or two.
const MAX_HOLES: usize = 16;

/// The end of the chain is signed at least once a minute while there are lines.
const MAX_UNSIGNED: Duration = Duration::from_secs(120);

/// Where the chain goes on after a start, and what was found amiss there.
pub(in crate::audit) struct Resume {
    pub(in crate::audit) hour: Hour,
    pub(in crate::audit) end: Link,
    /// The last moment that the trail itself vouches for.
    pub(in crate::audit) known: Timestamp,
    torn_bytes: u64,
    missing_tail: u64,
    head_lost: bool,
    /// Lines after the last flush that a crash has kept from the disk while it let later ones through.
    lost: Vec<(u64, u64)>,
}

impl Resume {
    pub(in crate::audit) fn find(root: &Path, key: &ChainKey, now: Hour) -> io::Result<Self> {
        let hours = files::hours(root)?;
        let mut found = Self {
            hour: now,
            end: Link::genesis(),
            known: known(&hours).unwrap_or(Timestamp::from_millis(i64::MAX)),
            torn_bytes: 0,
            missing_tail: 0,
            head_lost: false,
            lost: Vec::new(),
        };
        for hour in hours.iter().rev().copied() {
            found.hour = found.hour.max(match files::is_closed(root, hour) {
                true => hour.next(),
                false => hour,
            });
            for kind in Kind::ALL {
                let torn = files::heal(root, hour, kind)?;
                found.torn_bytes = found.torn_bytes.saturating_add(torn);
                if let Some(line) = files::last_line(root, hour, kind)?
                    && let Some(link) = verify::link_of(&line)
                    && link.seq > found.end.seq
                {
                    found.end = link;
                }
            }
            if found.end.seq > 0 {
                break;
            }
        }
        found.compare_with_head(root, key, &hours)?;
        Ok(found)
    }

    /// A head beyond the last line means that the tail was cut: the chain goes on from the head, so the hole stays
    /// visible for ever. A head signed by another key cannot be judged here and is believed: it can only open a hole.
    fn compare_with_head(&mut self, root: &Path, key: &ChainKey, hours: &[Hour]) -> io::Result<()> {
        let head = files::read_head(root)?.as_deref().and_then(Head::parse);
        let ring = KeyRing::new(vec![key.clone()]);
        match head.filter(|head| head.key_id != key.id() || head.is_genuine(&ring)) {
            Some(head) if head.link.seq > self.end.seq => {
                self.missing_tail = head.link.seq - self.end.seq;
                self.end = head.link;
            }
            Some(head) => self.lost = holes(root, hours, &head, self.end.seq)?,
            None => self.head_lost = self.end.seq > 0,
        }
        Ok(())
    }

    pub(in crate::audit) fn describe(&self, record: &mut Record) {
        if self.torn_bytes > 0 {
            record
                .detail("torn_bytes", self.torn_bytes)
                .severity(Severity::Medium);
        }
        if !self.lost.is_empty() {
            let ranges = self
                .lost
                .iter()
                .map(|(from, to)| Value::from(vec![*from, *to]));
            record
                .detail("lost", ranges.collect::<Vec<_>>())
                .severity(Severity::High);
        }
        if self.missing_tail > 0 || self.head_lost {
            record
                .detail("missing_tail", self.missing_tail)
                .detail("head_lost", self.head_lost)
                .severity(Severity::Critical);
        }
    }
}

/// Numbers after the signed end that are in no file. Only these can be a crash's: everything up to the signature was
/// flushed before it was made, so what is missing there was taken away. A signature that is too old for the lines behind it
/// was put back by somebody, and excuses nothing.
fn holes(root: &Path, hours: &[Hour], head: &Head, end: u64) -> io::Result<Vec<(u64, u64)>> {
    let signed = head.link.seq;
    let young = head.at.plus(MAX_UNSIGNED).rfc3339_millis();
    let mut there = BTreeSet::from([signed, end]);
    if signed == end {
        return Ok(Vec::new());
    }
    for hour in hours.iter().rev() {
        let mut reached = false;
        for kind in Kind::ALL {
            let lines = files::tail(root, *hour, kind)?;
            let fields = lines
                .split(|byte| *byte == b'\n')
                .filter_map(|line| serde_json::from_slice::<Fields>(line).ok());
            for fields in fields {
                if fields.seq <= signed {
                    reached = true;
                } else if fields.timestamp > young {
                    return Ok(Vec::new());
                } else {
                    there.insert(fields.seq);
                }
            }
        }
        if reached {
            break;
        }
    }
    let pairs = there.iter().zip(there.iter().skip(1));
    let holes = pairs.filter(|(before, after)| **after > **before + 1);
    Ok(holes
        .map(|(before, after)| (before + 1, after - 1))
        .take(MAX_HOLES)
        .collect())
}

/// The end of the newest hour that the trail vouches for. Hours behind a gap count only if they go on for a day: a few of
/// them may have been named by a clock that was wrong, and nothing is to be removed on its word.
fn known(hours: &[Hour]) -> Option<Timestamp> {
    let long = i64::try_from(PATIENCE_TO_REMOVE.as_millis()).unwrap_or(i64::MAX);
    let apart = |before: Hour, after: Hour| after.start().millis() - before.start().millis();
    let newest = *hours.last()?;
    let mut rest = hours.iter().rev().copied().peekable();
    while let Some(hour) = rest.next() {
        if apart(hour, newest) >= long {
            break;
        }
        if let Some(before) = rest
            .peek()
            .copied()
            .filter(|before| apart(*before, hour) > long)
        {
            return Some(before.next().start());
        }
    }
    Some(newest.next().start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r207_hours_behind_a_gap_vouch_for_their_time_only_when_they_go_on_for_a_day() {
        let hour = |number: i64| Hour::of(Timestamp::from_seconds(number * 3_600));
        let of = |numbers: &[i64]| {
            let hours: Vec<_> = numbers.iter().copied().map(hour).collect();
            known(&hours).map(|at| at.seconds() / 3_600)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[10]), Some(11));
        assert_eq!(of(&[1, 2, 20, 30]), Some(31));
        assert_eq!(of(&[1, 2, 9_000, 9_001]), Some(3));
        assert_eq!(of(&[1, 2, 9_000, 9_012, 9_024]), Some(9_025));
    }
}
