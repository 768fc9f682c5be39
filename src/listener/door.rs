//! Who may connect, decided before a byte is read and before any cryptography: how many connections an address may hold,
//! how many new ones it may bring in a second, and how many handshakes may be under way, of one address and of all. Callers
//! at exempt addresses, such as everybody on this machine, are held to the last of these only.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ipnet::IpNet;

use crate::clock::Clock;
use crate::limits::crowd::{Crowd, Nanos, Network, Pace, ROOM, Row};

/// How many may come.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Handshakes under way at once, of all addresses together.
    pub handshakes: usize,
    /// What one address may do; nothing where addresses cannot be told apart.
    pub per_address: Option<PerAddress>,
    /// Addresses that are held to none of it.
    pub exempt: Vec<IpNet>,
}

/// What one address may do.
#[derive(Clone, Copy, Debug)]
pub struct PerAddress {
    /// Connections held at once.
    pub connections: u32,
    /// New connections in a second; five times as many at once.
    pub per_second: u32,
    /// Handshakes under way at once.
    pub handshakes: u32,
}

impl Default for PerAddress {
    fn default() -> Self {
        Self {
            connections: 1000,
            per_second: 100,
            handshakes: 200,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            handshakes: 2000,
            per_address: Some(PerAddress::default()),
            exempt: loopback(),
        }
    }
}

/// The addresses of this machine.
pub fn loopback() -> Vec<IpNet> {
    ["127.0.0.0/8", "::1/128"]
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect()
}

/// New connections that may come at once are those of so many seconds: an office whose network comes back.
const BURST_SECONDS: u32 = 5;

/// Why a connection is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The address holds as many as it may.
    #[error("too many connections of one address")]
    Connections,
    /// The address brings new ones too fast.
    #[error("too many new connections of one address")]
    Rate,
    /// The address has too many handshakes under way.
    #[error("too many handshakes of one address")]
    AddressHandshakes,
    /// Too many handshakes are under way.
    #[error("too many handshakes")]
    Handshakes,
    /// What a proxy said about the caller is not what it must be.
    #[error("no proper PROXY header")]
    ProxyHeader,
}

impl Refused {
    /// The metric label.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Connections => "address_connections",
            Self::Rate => "address_rate",
            Self::AddressHandshakes => "address_handshakes",
            Self::Handshakes => "handshakes",
            Self::ProxyHeader => "proxy_header",
        }
    }
}

/// The door.
#[derive(Debug)]
pub struct Door {
    settings: Settings,
    pace: Pace,
    crowd: Crowd<Held>,
    shaking: AtomicUsize,
}

/// What an address holds.
#[derive(Debug, Default)]
struct Held {
    full_at: Nanos,
    connections: u32,
    handshakes: u32,
}

impl Row for Held {
    fn is_idle(&self, now: Nanos) -> bool {
        self.connections == 0 && self.full_at <= now
    }
}

impl Door {
    /// A door that nobody came through yet.
    pub fn new(settings: Settings, clock: Clock) -> Arc<Self> {
        let rate = settings.per_address.unwrap_or_default().per_second;
        let burst = rate.saturating_mul(BURST_SECONDS);
        Arc::new(Self {
            pace: Pace::new(rate, Duration::from_secs(1), burst),
            crowd: Crowd::new(ROOM, clock),
            shaking: AtomicUsize::new(0),
            settings,
        })
    }

    /// Somebody connected. They have a handshake before them.
    ///
    /// # Errors
    /// [`Refused`] when there are too many.
    pub fn greet(self: &Arc<Self>) -> Result<Handshake, Refused> {
        let one_more = |count| (count < self.settings.handshakes).then_some(count + 1);
        self.shaking
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .map_err(|_| Refused::Handshakes)?;
        Ok(Handshake(Arc::clone(self)))
    }

    /// It is known where they come from.
    ///
    /// # Errors
    /// [`Refused`] when too many come from there.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Visitor, Refused> {
        let Some(limits) = self.limits(address) else {
            return Ok(Visitor {
                door: Arc::clone(self),
                network: None,
                shaking: false,
            });
        };
        let (network, held) = self.crowd.with(address, |held, now| {
            if held.connections >= limits.connections {
                return Err(Refused::Connections);
            }
            if held.handshakes >= limits.handshakes {
                return Err(Refused::AddressHandshakes);
            }
            if !self.pace.take(&mut held.full_at, now) {
                return Err(Refused::Rate);
            }
            held.connections += 1;
            held.handshakes += 1;
            Ok(())
        });
        held.map(|()| Visitor {
            door: Arc::clone(self),
            network: Some(network),
            shaking: true,
        })
    }

    fn limits(&self, address: IpAddr) -> Option<PerAddress> {
        let address = address.to_canonical();
        let is_exempt = self
            .settings
            .exempt
            .iter()
            .any(|net| net.contains(&address));
        self.settings.per_address.filter(|_| !is_exempt)
    }
}

/// A handshake that is under way, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Handshake(Arc<Door>);

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.shaking.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A connection that is held, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Visitor {
    door: Arc<Door>,
    network: Option<Network>,
    shaking: bool,
}

impl Visitor {
    /// The handshake is over.
    pub fn arrived(&mut self) {
        if let Some(network) = self.network.filter(|_| self.shaking) {
            self.door.crowd.leave(network, |held| {
                held.handshakes = held.handshakes.saturating_sub(1);
            });
        }
        self.shaking = false;
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.arrived();
        if let Some(network) = self.network {
            self.door.crowd.leave(network, |held| {
                held.connections = held.connections.saturating_sub(1);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    const HERE: [u8; 4] = [192, 0, 2, 1];
    const THERE: [u8; 4] = [192, 0, 2, 2];

    fn door(connections: u32, per_second: u32, handshakes: u32) -> (Arc<Door>, Clock) {
        let clock = Clock::manual(Timestamp::from_seconds(1));
        let settings = Settings {
            handshakes: 3,
            per_address: Some(PerAddress {
                connections,
                per_second,
                handshakes,
            }),
            exempt: loopback(),
        };
        (Door::new(settings, clock.clone()), clock)
    }

    fn refusal(door: &Arc<Door>, address: [u8; 4]) -> Refused {
        door.enter(address.into()).unwrap_err()
    }

    #[test]
    fn an_address_holds_no_more_connections_than_it_may() {
        let (door, _) = door(2, 100, 100);
        let one = door.enter(HERE.into()).unwrap();
        let _two = door.enter(HERE.into()).unwrap();
        assert_eq!(refusal(&door, HERE), Refused::Connections);
        let _other = door.enter(THERE.into()).unwrap();
        drop(one);
        let _again = door.enter(HERE.into()).unwrap();
        assert_eq!(refusal(&door, HERE), Refused::Connections);
    }

    #[test]
    fn an_address_brings_new_connections_no_faster_than_it_may() {
        let (door, clock) = door(100, 2, 100);
        for _ in 0..2 * BURST_SECONDS {
            drop(door.enter(HERE.into()).unwrap());
        }
        assert_eq!(refusal(&door, HERE), Refused::Rate);
        drop(door.enter(THERE.into()).unwrap());
        clock.advance(Duration::from_millis(499));
        assert_eq!(refusal(&door, HERE), Refused::Rate);
        clock.advance(Duration::from_millis(1));
        drop(door.enter(HERE.into()).unwrap());
        assert_eq!(refusal(&door, HERE), Refused::Rate);
    }

    #[test]
    fn handshakes_are_bounded_of_an_address_and_of_all() {
        let (door, _) = door(100, 100, 2);
        let mut one = door.enter(HERE.into()).unwrap();
        let _two = door.enter(HERE.into()).unwrap();
        assert_eq!(refusal(&door, HERE), Refused::AddressHandshakes);
        one.arrived();
        one.arrived();
        let _three = door.enter(HERE.into()).unwrap();
        assert_eq!(refusal(&door, HERE), Refused::AddressHandshakes);

        let all: Vec<_> = (0..3).map(|_| door.greet().unwrap()).collect();
        assert_eq!(door.greet().unwrap_err(), Refused::Handshakes);
        drop(all);
        drop(door.greet().unwrap());
    }

    #[test]
    fn callers_on_this_machine_are_not_told_apart_and_so_not_held_to_it() {
        let (door, _) = door(1, 1, 1);
        let all = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"].map(|text| {
            let address: IpAddr = text.parse().unwrap();
            (0..100)
                .map(|_| door.enter(address).unwrap())
                .collect::<Vec<_>>()
        });
        assert_eq!(all.len(), 4);
        let _one = door.enter(HERE.into()).unwrap();
        assert_eq!(refusal(&door, HERE), Refused::Connections);
    }

    #[test]
    fn nothing_stays_behind_when_all_have_left() {
        let (door, clock) = door(100, 100, 100);
        let all: Vec<_> = (0..100)
            .map(|n| door.enter([10, 0, 0, n].into()).unwrap())
            .collect();
        clock.advance(Duration::from_secs(1));
        drop(all);
        for n in 0..100 {
            let address = [10, 0, 0, n].into();
            assert_eq!(door.crowd.peek(address, |_, _| ()), None, "{address}");
        }
    }
}
