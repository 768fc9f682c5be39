//! How much is worked on at once in the whole process. Past the bound new work is turned away at once, so that what was
//! admitted keeps its pace. Streams, which mostly wait, have a room of their own: otherwise a crowd of them would leave no
//! room for calls, or the room for calls would have to be so large that it bounds nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The rooms of the process.
#[derive(Debug)]
pub struct Rooms {
    requests: Room,
    streams: Room,
}

/// There is no room left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as much is being worked on as may be")]
pub struct NoRoom;

impl Rooms {
    /// Rooms for so many requests and so many long-lived streams.
    pub fn new(requests: usize, streams: usize) -> Arc<Self> {
        Arc::new(Self {
            requests: Room::new(requests),
            streams: Room::new(streams),
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
            is_stream: AtomicBool::new(false),
        })
    }
}

/// A request's place, from its head to the last byte of its answer.
#[derive(Debug)]
pub struct Place {
    rooms: Arc<Rooms>,
    is_stream: AtomicBool,
}

impl Place {
    /// Moves to the streams. To be asked before the stream is opened behind the gateway.
    ///
    /// # Errors
    /// [`NoRoom`]; the place among the requests is kept for the refusal.
    pub fn among_streams(&self) -> Result<(), NoRoom> {
        if !self.is_stream.load(Ordering::Relaxed) {
            self.rooms.streams.enter()?;
            self.is_stream.store(true, Ordering::Relaxed);
            self.rooms.requests.leave();
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        match *self.is_stream.get_mut() {
            true => self.rooms.streams.leave(),
            false => self.rooms.requests.leave(),
        }
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
    fn a_stream_gives_its_place_among_the_requests_back() {
        let rooms = Rooms::new(1, 1);
        let stream = rooms.enter().unwrap();
        stream.among_streams().unwrap();
        stream.among_streams().unwrap();
        let second = rooms.enter().unwrap();
        assert_eq!(second.among_streams(), Err(NoRoom));
        assert!(rooms.enter().is_err(), "the refused one keeps its place");
        drop(second);
        drop(stream);
        let third = rooms.enter().unwrap();
        assert_eq!(third.among_streams(), Ok(()), "a stream ended");
    }
}
