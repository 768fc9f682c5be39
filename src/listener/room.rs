//! How much is worked on at once in the whole process. Past the bound new work is turned away at once, so that what was
//! admitted keeps its pace. Three rooms keep three kinds of work out of each other's way: streams, which mostly wait and would
//! leave no room for calls; visits to the gateway's own endpoints, whose bodies are read from strangers, who may be slow on
//! purpose; and everything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// The rooms of the process.
#[derive(Debug)]
pub struct Rooms {
    requests: Room,
    streams: Room,
    visits: Room,
}

/// There is no room left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as much is being worked on as may be")]
pub struct NoRoom;

impl Rooms {
    /// Rooms for so many requests, as many visits, and so many long-lived streams.
    pub fn new(requests: usize, streams: usize) -> Arc<Self> {
        Arc::new(Self {
            requests: Room::new(requests),
            streams: Room::new(streams),
            visits: Room::new(requests),
        })
    }

    /// A place among the requests.
    ///
    /// # Errors
    /// [`NoRoom`], at once: nobody waits for a place.
    pub fn enter(self: &Arc<Self>) -> Result<Place, NoRoom> {
        self.requests.enter()?;
        Ok(Place {
            rooms: Arc::clone(self),
            kind: AtomicU8::new(REQUESTS),
        })
    }

    const fn room(&self, kind: u8) -> Option<&Room> {
        match kind {
            REQUESTS => Some(&self.requests),
            STREAMS => Some(&self.streams),
            VISITS => Some(&self.visits),
            _ => None,
        }
    }
}

const REQUESTS: u8 = 0;
const STREAMS: u8 = 1;
const VISITS: u8 = 2;
const NOWHERE: u8 = 3;

/// A request's place, from its head to the last byte of its answer.
#[derive(Debug)]
pub struct Place {
    rooms: Arc<Rooms>,
    /// Written by the one task that works on the request.
    kind: AtomicU8,
}

impl Place {
    /// Moves to the streams. To be asked before the stream is opened behind the gateway.
    ///
    /// # Errors
    /// [`NoRoom`]; the place among the requests is kept for the refusal.
    pub fn among_streams(&self) -> Result<(), NoRoom> {
        self.move_to(STREAMS)
    }

    /// Moves to the visits. To be asked before a stranger's body is read.
    ///
    /// # Errors
    /// [`NoRoom`]; the place among the requests is kept for the refusal.
    pub fn among_visits(&self) -> Result<(), NoRoom> {
        self.move_to(VISITS)
    }

    /// Leaves before the answer has ended: nothing is worked on any more, and only the caller's own pace decides when it has
    /// taken what it gets.
    pub fn vacate(&self) {
        let kind = self.kind.swap(NOWHERE, Ordering::Relaxed);
        if let Some(room) = self.rooms.room(kind) {
            room.leave();
        }
    }

    fn move_to(&self, kind: u8) -> Result<(), NoRoom> {
        let now = self.kind.load(Ordering::Relaxed);
        if now != kind
            && let (Some(from), Some(to)) = (self.rooms.room(now), self.rooms.room(kind))
        {
            to.enter()?;
            self.kind.store(kind, Ordering::Relaxed);
            from.leave();
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.vacate();
    }
}

#[derive(Debug)]
struct Room {
    size: usize,
    taken: AtomicUsize,
}

impl Room {
    const fn new(size: usize) -> Self {
        Self {
            size,
            taken: AtomicUsize::new(0),
        }
    }

    fn enter(&self) -> Result<(), NoRoom> {
        let one_more = |taken| (taken < self.size).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_more)
            .map(drop)
            .map_err(|_| NoRoom)
    }

    fn leave(&self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_bound_there_is_no_room_until_somebody_leaves() {
        let rooms = Rooms::new(2, 1);
        let one = rooms.enter().unwrap();
        let two = rooms.enter().unwrap();
        assert_eq!(rooms.enter().unwrap_err(), NoRoom);
        drop(one);
        let three = rooms.enter().unwrap();
        assert!(rooms.enter().is_err());
        drop((two, three));
        assert!(rooms.enter().is_ok());
    }

    #[test]
    fn streams_and_visits_give_their_place_among_the_requests_back() {
        type Move = fn(&Place) -> Result<(), NoRoom>;
        for moves in [Place::among_streams as Move, Place::among_visits] {
            let rooms = Rooms::new(1, 1);
            let first = rooms.enter().unwrap();
            moves(&first).unwrap();
            moves(&first).unwrap();
            let second = rooms.enter().unwrap();
            assert_eq!(moves(&second), Err(NoRoom));
            assert!(rooms.enter().is_err(), "the refused one keeps its place");
            drop(second);
            drop(first);
            let third = rooms.enter().unwrap();
            assert_eq!(moves(&third), Ok(()), "one ended");
        }
    }

    #[test]
    fn whoever_leaves_early_leaves_once() {
        let rooms = Rooms::new(1, 1);
        let one = rooms.enter().unwrap();
        one.vacate();
        one.vacate();
        assert_eq!(one.among_streams(), Ok(()), "nothing is moved any more");
        let two = rooms.enter().unwrap();
        drop(one);
        assert!(rooms.enter().is_err(), "the other's place is still taken");
        drop(two);
        assert!(rooms.enter().is_ok());
    }
}
