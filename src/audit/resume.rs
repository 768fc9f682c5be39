//! Finds the end of the chain at a start, and what a crash or a hand has left there.

use std::io;
use std::path::Path;

use super::chain::{ChainKey, Head, KeyRing, Link};
use super::event::{Kind, Severity};
use super::files::{self, Hour};
use super::record::Record;
use super::verify;

/// Where the chain goes on after a start, and what was found amiss there.
pub(in crate::audit) struct Resume {
    pub(in crate::audit) hour: Hour,
    pub(in crate::audit) end: Link,
    torn_bytes: usize,
    missing_tail: u64,
    head_lost: bool,
}

impl Resume {
    pub(in crate::audit) fn find(root: &Path, key: &ChainKey, now: Hour) -> io::Result<Self> {
        let mut found = Self {
            hour: now,
            end: Link::genesis(),
            torn_bytes: 0,
            missing_tail: 0,
            head_lost: false,
        };
        for hour in files::hours(root)?.into_iter().rev() {
            found.hour = found.hour.max(match files::is_closed(root, hour) {
                true => hour.next(),
                false => hour,
            });
            for kind in Kind::ALL {
                let (line, torn) = files::last_line(root, hour, kind)?;
                found.torn_bytes = found.torn_bytes.saturating_add(torn);
                if let Some(link) = line.as_deref().and_then(verify::link_of)
                    && link.seq > found.end.seq
                {
                    found.end = link;
                }
            }
            if found.end.seq > 0 {
                break;
            }
        }
        found.compare_with_head(root, key)?;
        Ok(found)
    }

    /// A head beyond the last line means that the tail was cut: the chain goes on from the head, so the hole stays
    /// visible for ever. A head signed by another key cannot be judged here and is believed: it can only open a hole.
    fn compare_with_head(&mut self, root: &Path, key: &ChainKey) -> io::Result<()> {
        let head = files::read_head(root)?.as_deref().and_then(Head::parse);
        let ring = KeyRing::new(vec![key.clone()]);
        match head.filter(|head| head.key_id != key.id() || head.is_genuine(&ring)) {
            Some(head) if head.link.seq > self.end.seq => {
                self.missing_tail = head.link.seq - self.end.seq;
                self.end = head.link;
            }
            Some(_) => {}
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
        if self.missing_tail > 0 || self.head_lost {
            record
                .detail("missing_tail", self.missing_tail)
                .detail("head_lost", self.head_lost)
                .severity(Severity::Critical);
        }
    }
}
