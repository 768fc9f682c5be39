//! How often credentials from one address may be bad. Only failures count, and only where a credential was shown: a caller
//! without one is answered with a challenge and costs nothing, and a token that was seen before is let through without
//! asking here, so that a neighbour behind the same address translation who guesses harms nobody who is already at work.
//! What such a neighbour delays are tokens never seen before, by the time that the answer names.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::crowd::{Crowd, Nanos, Pace, ROOM, Row};
use crate::clock::Clock;

/// How often.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bad credentials of one address in a minute, all at once if it likes; none is counted where addresses cannot be told
    /// apart.
    pub per_minute: Option<u32>,
    /// Addresses that are not counted.
    pub exempt: Vec<IpNet>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            per_minute: Some(300),
            exempt: crate::listener::door::loopback(),
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// Counts bad credentials.
#[derive(Debug)]
pub struct Failures {
    pace: Option<Pace>,
    exempt: Vec<IpNet>,
    crowd: Crowd<Spent>,
}

/// The moment at which all is forgiven.
#[derive(Debug, Default)]
struct Spent(Nanos);

impl Row for Spent {
    fn is_idle(&self, now: Nanos) -> bool {
        self.0 <= now
    }
}

impl Failures {
    /// Nobody has failed yet.
    pub fn new(settings: &Settings, clock: Clock) -> Self {
        Self {
            pace: settings
                .per_minute
                .map(|count| Pace::new(count, MINUTE, count)),
            exempt: settings.exempt.clone(),
            crowd: Crowd::new(ROOM, clock),
        }
    }

    /// How long the address has to wait before a credential of it that is new to us is looked at, where it has to.
    pub fn wait(&self, address: IpAddr) -> Option<Duration> {
        let pace = self.pace_of(address)?;
        self.crowd
            .peek(address, |spent, now| pace.wait(spent.0, now))
            .flatten()
    }

    /// A credential from the address was bad.
    pub fn count(&self, address: IpAddr) {
        if let Some(pace) = self.pace_of(address) {
            self.crowd
                .with(address, |spent, now| pace.take(&mut spent.0, now));
        }
    }

    fn pace_of(&self, address: IpAddr) -> Option<Pace> {
        let address = address.to_canonical();
        let is_exempt = self.exempt.iter().any(|net| net.contains(&address));
        self.pace.filter(|_| !is_exempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    const HERE: [u8; 4] = [192, 0, 2, 1];

    fn failures(per_minute: Option<u32>) -> (Failures, Clock) {
        let clock = Clock::manual(Timestamp::from_seconds(1));
        let settings = Settings {
            per_minute,
            ..Settings::default()
        };
        (Failures::new(&settings, clock.clone()), clock)
    }

    #[test]
    fn whoever_failed_too_often_waits() {
        let (failures, clock) = failures(Some(3));
        for _ in 0..3 {
            assert_eq!(failures.wait(HERE.into()), None);
            failures.count(HERE.into());
        }
        let wait = Some(Duration::from_secs(20));
        assert_eq!(failures.wait(HERE.into()), wait);
        failures.count(HERE.into());
        assert_eq!(failures.wait(HERE.into()), wait, "it grows no further");
        assert_eq!(failures.wait([192, 0, 2, 2].into()), None);
        clock.advance(Duration::from_secs(20));
        assert_eq!(failures.wait(HERE.into()), None);
        failures.count(HERE.into());
        assert_eq!(failures.wait(HERE.into()), wait);
    }

    #[test]
    fn who_cannot_be_told_apart_is_not_counted() {
        for (count, address) in [(Some(1), IpAddr::from([127, 0, 0, 1])), (None, HERE.into())] {
            let (failures, _) = failures(count);
            for _ in 0..10 {
                failures.count(address);
            }
            assert_eq!(failures.wait(address), None, "{address}");
        }
    }
}
