//! How often strangers may fail, register, or make us ask others. Counted in the store, so that a fleet counts as one; in
//! fixed windows, so that a refusal can say when to come back.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::error::OauthError;
use super::settings;
use crate::clock::{Clock, Timestamp};
use crate::grants::opaque;
use crate::store::Store;

/// Counts failures and rare deeds.
#[derive(Clone, Debug)]
pub(in crate::oauth) struct Throttle {
    store: Arc<dyn Store>,
    settings: settings::Throttle,
    clock: Clock,
}

/// Who is counted.
pub(in crate::oauth) enum Who<'a> {
    /// Whoever connects from there.
    Address(IpAddr),
    /// Whoever claims to be that client.
    Client(&'a str),
}

impl Throttle {
    pub(in crate::oauth) fn new(
        store: Arc<dyn Store>,
        settings: settings::Throttle,
        clock: Clock,
    ) -> Self {
        Self {
            store,
            settings,
            clock,
        }
    }

    /// Refuses whoever has failed too often of late.
    pub(in crate::oauth) async fn check(&self, who: &Who<'_>) -> Result<(), OauthError> {
        let window = self.window("failed", &who.name(), self.settings.window);
        if self.store.count(&window.counter).await? >= self.limit(who) {
            return Err(OauthError::Slow(window.rest));
        }
        Ok(())
    }

    /// Counts a failure.
    pub(in crate::oauth) async fn failed(&self, who: &Who<'_>) -> Result<(), OauthError> {
        let window = self.window("failed", &who.name(), self.settings.window);
        self.store.bump(&window.counter, Some(window.end)).await?;
        Ok(())
    }

    /// Notes that a client has proven itself from an address.
    pub(in crate::oauth) async fn proven(
        &self,
        client: &str,
        address: IpAddr,
    ) -> Result<(), OauthError> {
        let end = self.clock.now().plus(KNOWN_FOR);
        let id = proven_at(client, address);
        self.store.bump(&id, Some(end)).await?;
        Ok(())
    }

    /// Whether a client has proven itself from an address of late: strangers who guess at it from elsewhere must not shut it
    /// out there.
    pub(in crate::oauth) async fn is_known(
        &self,
        client: &str,
        address: IpAddr,
    ) -> Result<bool, OauthError> {
        Ok(self.store.count(&proven_at(client, address)).await? > 0)
    }

    /// Counts an authorization request, and refuses the one that is too many.
    pub(in crate::oauth) async fn request(&self, address: IpAddr) -> Result<(), OauthError> {
        let (limit, every) = (self.settings.requests, self.settings.window);
        self.admit("request", &network(address), limit, every).await
    }

    /// Counts a deed, and refuses the one that is too many.
    pub(in crate::oauth) async fn admit(
        &self,
        deed: &str,
        who: &str,
        limit: u64,
        every: Duration,
    ) -> Result<(), OauthError> {
        let window = self.window(deed, who, every);
        if self.store.bump(&window.counter, Some(window.end)).await? > limit {
            return Err(OauthError::Slow(window.rest));
        }
        Ok(())
    }

    const fn limit(&self, who: &Who<'_>) -> u64 {
        match who {
            Who::Address(_) => self.settings.per_address,
            Who::Client(_) => self.settings.per_client,
        }
    }

    fn window(&self, what: &str, who: &str, every: Duration) -> Window {
        let length = i64::try_from(every.as_millis()).unwrap_or(i64::MAX).max(1);
        let now = self.clock.now().millis();
        let number = now.div_euclid(length);
        let rest = length - now.rem_euclid(length);
        Window {
            counter: format!("oauth/{what}/{who}/{number}"),
            rest: Duration::from_millis(rest.unsigned_abs()).max(Duration::from_secs(1)),
            end: Timestamp::from_millis(now.saturating_add(rest)),
        }
    }
}

struct Window {
    counter: String,
    rest: Duration,
    end: Timestamp,
}

impl Who<'_> {
    fn name(&self) -> String {
        match self {
            Self::Address(address) => network(*address),
            // An id may be as long as its sender likes.
            Self::Client(id) => opaque::hash(id),
        }
    }
}

/// How long an address is known from which a client has proven itself.
const KNOWN_FOR: Duration = Duration::from_secs(7 * 86_400);

fn proven_at(client: &str, address: IpAddr) -> String {
    format!("oauth/proven/{}/{}", opaque::hash(client), network(address))
}

/// One subscriber: an IPv4 address, or the first 64 bits of an IPv6 one, of which each has as many as they like.
pub(in crate::oauth) fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Memory;

    fn throttle() -> (Throttle, Clock) {
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_010));
        let settings = settings::Throttle {
            window: Duration::from_secs(60),
            per_address: 2,
            per_client: 3,
            requests: 3,
        };
        let store = Arc::new(Memory::new(clock.clone()));
        (Throttle::new(store, settings, clock.clone()), clock)
    }

    #[tokio::test]
    async fn too_many_failures_are_answered_when_the_window_is_over() {
        let (throttle, clock) = throttle();
        let one = Who::Address([192, 0, 2, 1].into());
        for _ in 0..2 {
            throttle.check(&one).await.unwrap();
            throttle.failed(&one).await.unwrap();
        }
        let refused = throttle.check(&one).await.unwrap_err();
        assert!(matches!(refused, OauthError::Slow(rest) if rest == Duration::from_secs(50)));
        throttle
            .check(&Who::Address([192, 0, 2, 2].into()))
            .await
            .unwrap();
        throttle.check(&Who::Client("192.0.2.1")).await.unwrap();
        clock.advance(Duration::from_secs(50));
        throttle.check(&one).await.unwrap();
    }

    #[tokio::test]
    async fn the_deed_that_is_too_many_is_refused() {
        let (throttle, _) = throttle();
        let hour = Duration::from_secs(3600);
        for _ in 0..3 {
            throttle.admit("register", "x", 3, hour).await.unwrap();
        }
        assert!(throttle.admit("register", "x", 3, hour).await.is_err());
        throttle.admit("register", "y", 3, hour).await.unwrap();
    }

    #[test]
    fn a_subscriber_is_one_however_many_addresses_there_are() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
