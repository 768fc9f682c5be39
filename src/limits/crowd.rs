//! What is counted for each address, in a bounded table. Whoever has a network has each address in it, so an IPv6 address
//! counts with the other 2^64 of its subscriber. A row that holds nothing is the same as none and makes room; when there is
//! no room all the same, newcomers share one row, so that a crowd of addresses costs no memory and is let through no faster
//! than one of them.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::clock::Clock;

/// One subscriber: an IPv4 address, or the first 64 bits of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// An IPv4 address.
    V4([u8; 4]),
    /// The upper half of an IPv6 address.
    V6([u8; 8]),
    /// Everybody for whom there was no room.
    Others,
}

impl Network {
    /// The subscriber who has this address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// What is counted.
pub trait Row: Default {
    /// Whether nothing is lost when it is forgotten.
    fn is_idle(&self, now: Nanos) -> bool;
}

/// Nanoseconds since the table was made.
pub type Nanos = u64;

/// The table.
#[derive(Debug)]
pub struct Crowd<R> {
    rows: DashMap<Network, R>,
    count: AtomicUsize,
    room: usize,
    searched_at: AtomicU64,
    clock: Clock,
    zero: Instant,
}

/// Networks that are told apart, and so the most that a table holds: a few MiB.
pub const ROOM: usize = 65_536;

/// A full table is searched for idle rows at most this often.
const SEARCH_PAUSE: Duration = Duration::from_secs(1);

impl<R: Row> Crowd<R> {
    /// An empty table for so many networks.
    pub fn new(room: usize, clock: Clock) -> Self {
        Self {
            rows: DashMap::new(),
            count: AtomicUsize::new(0),
            room,
            searched_at: AtomicU64::new(0),
            zero: clock.monotonic(),
            clock,
        }
    }

    /// Now, as rows count it.
    pub fn now(&self) -> Nanos {
        nanos(self.clock.monotonic().saturating_duration_since(self.zero))
    }

    /// Does something with the row of an address, which is entered, and says under which network it was found.
    pub fn with<T>(&self, address: IpAddr, act: impl FnOnce(&mut R, Nanos) -> T) -> (Network, T) {
        let now = self.now();
        let network = Network::of(address);
        if let Some(mut row) = self.rows.get_mut(&network) {
            return (network, act(row.value_mut(), now));
        }
        if !self.reserve(now) {
            let mut others = self.rows.entry(Network::Others).or_default();
            return (Network::Others, act(others.value_mut(), now));
        }
        match self.rows.entry(network) {
            Entry::Occupied(mut row) => {
                self.count.fetch_sub(1, Ordering::AcqRel);
                (network, act(row.get_mut(), now))
            }
            Entry::Vacant(free) => (network, act(free.insert(R::default()).value_mut(), now)),
        }
    }

    /// Looks at the row of an address, if it has one, or at the one that it would share.
    pub fn peek<T>(&self, address: IpAddr, look: impl FnOnce(&R, Nanos) -> T) -> Option<T> {
        let found = self.rows.get(&Network::of(address)).or_else(|| {
            let is_full = self.count.load(Ordering::Acquire) >= self.room;
            is_full.then(|| self.rows.get(&Network::Others)).flatten()
        })?;
        Some(look(found.value(), self.now()))
    }

    /// Does something with a row that was found before, and drops it if nothing is left of it.
    pub fn leave(&self, network: Network, act: impl FnOnce(&mut R)) {
        let now = self.now();
        let left = self.rows.get_mut(&network).map(|mut row| {
            act(row.value_mut());
            row.is_idle(now)
        });
        let gone = left == Some(true)
            && self
                .rows
                .remove_if(&network, |_, row| row.is_idle(now))
                .is_some();
        if gone && network != Network::Others {
            self.count.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn reserve(&self, now: Nanos) -> bool {
        self.take_room() || {
            self.search(now);
            self.take_room()
        }
    }

    fn take_room(&self) -> bool {
        let one_more = |count| (count < self.room).then_some(count + 1);
        self.count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .is_ok()
    }

    fn search(&self, now: Nanos) {
        let is_due = |last| {
            (last == 0 || now.saturating_sub(last) >= nanos(SEARCH_PAUSE)).then_some(now.max(1))
        };
        let due = self
            .searched_at
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, is_due);
        if due.is_err() {
            return;
        }
        self.rows.retain(|network, row| {
            let keep = *network == Network::Others || !row.is_idle(now);
            if !keep {
                self.count.fetch_sub(1, Ordering::AcqRel);
            }
            keep
        });
    }
}

fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A leaky bucket by the generic cell rate algorithm, whose state is one number: the moment at which it is full again.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    each: Nanos,
    depth: Nanos,
}

impl Pace {
    /// So many in this time, and `burst` of them at once.
    pub fn new(count: u32, per: Duration, burst: u32) -> Self {
        let each = nanos(per) / u64::from(count.max(1));
        Self {
            each: each.max(1),
            depth: each.max(1).saturating_mul(u64::from(burst.max(1))),
        }
    }

    /// How long until one more fits.
    pub fn wait(self, full_at: Nanos, now: Nanos) -> Option<Duration> {
        let ahead = full_at.max(now).saturating_add(self.each) - now;
        let over = ahead.saturating_sub(self.depth);
        (over > 0).then(|| Duration::from_nanos(over))
    }

    /// Takes one, if it fits. Says whether it did.
    pub fn take(self, full_at: &mut Nanos, now: Nanos) -> bool {
        let fits = self.wait(*full_at, now).is_none();
        if fits {
            *full_at = (*full_at).max(now).saturating_add(self.each);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Timestamp;

    #[derive(Default)]
    struct Held(u32);

    impl Row for Held {
        fn is_idle(&self, _: Nanos) -> bool {
            self.0 == 0
        }
    }

    fn crowd(room: usize) -> (Crowd<Held>, Clock) {
        let clock = Clock::manual(Timestamp::from_seconds(1));
        (Crowd::new(room, clock.clone()), clock)
    }

    fn enter(crowd: &Crowd<Held>, address: &str) -> (Network, u32) {
        crowd.with(address.parse().unwrap(), |row, _| {
            row.0 += 1;
            row.0
        })
    }

    #[test]
    fn a_subscriber_is_one_however_many_addresses_there_are() {
        let (crowd, _) = crowd(10);
        for (address, count) in [
            ("2001:db8:1:2::1", 1),
            ("2001:db8:1:2:ffff::9", 2),
            ("2001:db8:1:3::1", 1),
            ("192.0.2.1", 1),
            ("::ffff:192.0.2.1", 2),
            ("192.0.2.2", 1),
        ] {
            assert_eq!(enter(&crowd, address).1, count, "{address}");
        }
    }

    #[test]
    fn a_full_table_lets_newcomers_share_one_row_and_forgets_nobody_who_holds_something() {
        let (crowd, clock) = crowd(2);
        let (first, _) = enter(&crowd, "192.0.2.1");
        enter(&crowd, "192.0.2.2");
        for count in 1..=1000 {
            let address = format!("198.51.100.{}", count % 250);
            assert_eq!(enter(&crowd, &address), (Network::Others, count));
        }
        assert_eq!(crowd.rows.len(), 3);
        assert_eq!(enter(&crowd, "192.0.2.2").1, 2);
        assert!(crowd.peek([198, 51, 100, 7].into(), |row, _| row.0) == Some(1000));
        crowd.leave(first, |row| row.0 -= 1);
        assert_eq!(crowd.rows.len(), 2, "an idle row goes at once");
        assert_eq!(enter(&crowd, "198.51.100.1").1, 1, "and makes room");
        clock.advance(SEARCH_PAUSE);
        assert_eq!(enter(&crowd, "198.51.100.2").0, Network::Others);
    }

    #[test]
    fn a_search_drops_idle_rows_and_comes_once_in_a_while() {
        let (crowd, clock) = crowd(1);
        enter(&crowd, "192.0.2.1");
        clock.advance(SEARCH_PAUSE);
        assert_eq!(enter(&crowd, "192.0.2.2").0, Network::Others);
        crowd.rows.alter_all(|_, _| Held(0));
        assert_eq!(enter(&crowd, "192.0.2.2").0, Network::Others, "too soon");
        clock.advance(SEARCH_PAUSE);
        assert_ne!(enter(&crowd, "192.0.2.2").0, Network::Others);
        assert_eq!(crowd.count.load(Ordering::Acquire), 1);
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_rate_over_any_interval(
            count in 1_u32..200,
            burst in 1_u32..50,
            pauses in proptest::collection::vec(0_u64..200_000_000, 1..200),
        ) {
            let second = Duration::from_secs(1);
            let pace = Pace::new(count, second, burst);
            let (mut full_at, mut now, mut admitted) = (0, 0, Vec::new());
            for pause in pauses {
                now += pause;
                if let Some(wait) = pace.wait(full_at, now) {
                    prop_assert!(!pace.take(&mut full_at, now));
                    let mut then = full_at;
                    prop_assert!(pace.take(&mut then, now + nanos(wait)), "after the wait it fits");
                } else {
                    prop_assert!(pace.take(&mut full_at, now));
                    admitted.push(now);
                }
            }
            for (index, from) in admitted.iter().enumerate() {
                for (more, at) in admitted[index..].iter().enumerate() {
                    let allowed = u64::from(burst) + (at - from) / pace.each;
                    prop_assert!((more as u64) < allowed, "{} in {} ns", more + 1, at - from);
                }
            }
        }
    }
}
