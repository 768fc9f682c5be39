//! One connection as a sequence of requests: head, body, head, body. It says of every octet whether it may be read, and holds
//! back a head that is not complete, so that whoever reads behind it sees whole heads only and never the beginning of a
//! refused one. Pure: octets come in pieces of any size, and the judgement does not depend on how they were cut.

use super::chunks::Chunks;
use super::head::{Framing, Head};
use super::{Fault, Rules};

/// Follows one connection.
#[derive(Debug)]
pub struct Follower {
    rules: Rules,
    place: Place,
    heads: u64,
    /// The beginning of a head whose end has not come; or, up to `settled`, what may be read.
    held: Vec<u8>,
    settled: usize,
}

#[derive(Debug)]
enum Place {
    Head(Head),
    Data(u64),
    Chunks(Chunks),
    Lost(Fault),
}

impl Follower {
    /// Before the first octet of a connection.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            place: Place::Head(Head::default()),
            heads: 0,
            held: Vec::new(),
            settled: 0,
        }
    }

    /// Takes the next octets, and answers how many of them may be read as they are. More may be waiting in
    /// [`Follower::settled`] instead, and have to be read before anything else is taken.
    pub fn take(&mut self, fresh: &[u8]) -> usize {
        if self.held.is_empty() {
            let passed = self.follow(fresh);
            if self.fault().is_none() {
                let rest = fresh.get(passed..).unwrap_or_default();
                self.held.extend_from_slice(rest);
            }
            return passed;
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(fresh);
        self.settled = self.follow(&held);
        if self.fault().is_some() {
            held.truncate(self.settled);
        }
        self.held = held;
        0
    }

    /// What was held back and may be read now.
    pub fn settled(&self) -> &[u8] {
        self.held.get(..self.settled).unwrap_or_default()
    }

    /// So much of [`Follower::settled`] was read.
    pub fn release(&mut self, read: usize) {
        let read = read.min(self.settled);
        self.settled = self.settled.saturating_sub(read);
        self.held.drain(..read);
        if self.held.is_empty() {
            // An idle connection holds nothing.
            self.held = Vec::new();
        }
    }

    /// The peer sends no more. In the middle of a head that is a fault; a body that breaks off is its reader's business, and
    /// empty lines behind a request are overlooked as they are before one.
    pub fn end(&mut self) {
        let is_blank = |octet: &u8| matches!(octet, b'\r' | b'\n');
        if matches!(self.place, Place::Head(_)) && !self.held.iter().all(is_blank) {
            self.held.clear();
            self.place = Place::Lost(Fault::Truncated);
        }
    }

    /// Why nothing more may be read.
    pub const fn fault(&self) -> Option<Fault> {
        match self.place {
            Place::Lost(fault) => Some(fault),
            Place::Head(_) | Place::Data(_) | Place::Chunks(_) => None,
        }
    }

    /// The heads that were in order so far.
    pub const fn heads(&self) -> u64 {
        self.heads
    }

    /// Follows octets that begin where the last ones were in order, and answers how many more are.
    fn follow(&mut self, octets: &[u8]) -> usize {
        let mut passed = 0_usize;
        while let Some(rest) = octets.get(passed..).filter(|rest| !rest.is_empty()) {
            let (here, next) = self.step(rest);
            passed = passed.saturating_add(here);
            match next {
                Some(next) => self.place = next,
                None => break,
            }
        }
        passed
    }

    /// How many octets are in order, and where that leads; nowhere, if more have to come first.
    fn step(&mut self, rest: &[u8]) -> (usize, Option<Place>) {
        match &mut self.place {
            Place::Lost(_) => (0, None),
            Place::Head(head) => match head.read(rest, &self.rules) {
                Ok(None) => (0, None),
                Err(fault) => (0, Some(Place::Lost(fault))),
                Ok(Some((length, framing))) => {
                    self.heads = self.heads.saturating_add(1);
                    (length, Some(Place::behind(framing)))
                }
            },
            Place::Data(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                *left = left.saturating_sub(here as u64);
                (here, (*left == 0).then(Place::head))
            }
            Place::Chunks(chunks) => match chunks.read(rest) {
                (here, Err(fault)) => (here, Some(Place::Lost(fault))),
                (here, Ok(())) => (here, (*chunks == Chunks::Done).then(Place::head)),
            },
        }
    }
}

impl Place {
    fn head() -> Self {
        Self::Head(Head::default())
    }

    fn behind(framing: Framing) -> Self {
        match framing {
            Framing::Length(0) => Self::head(),
            Framing::Length(length) => Self::Data(length),
            Framing::Chunked => Self::Chunks(Chunks::START),
        }
    }
}
