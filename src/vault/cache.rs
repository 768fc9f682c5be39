//! Opened values, for at most a minute, so that a call that needs a credential several times opens it once (C58). They are
//! wiped when they leave. What is written drops what was read before it, also a read that is still under way.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::{Clock, Timestamp};
use crate::secret::Secret;

/// The longest that a value may be kept open (R079).
pub const TTL_MAX: Duration = Duration::from_secs(60);
const SHARDS: usize = 32;

/// Opened values by user and name.
#[derive(Debug)]
pub(in crate::vault) struct Cache {
    first: Mutex<Shard>,
    others: Vec<Mutex<Shard>>,
    hasher: RandomState,
    ttl: Duration,
    most: usize,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Shard {
    /// Counts what was dropped: a value read before a drop must not come in after it.
    drops: u64,
    users: HashMap<String, HashMap<String, Opened>>,
}

#[derive(Debug)]
struct Opened {
    value: Arc<Secret<String>>,
    until: Instant,
    expires_at: Option<Timestamp>,
}

/// The state of the cache before a read, without which nothing can be put into it.
#[derive(Clone, Copy, Debug)]
pub(in crate::vault) struct Before(u64);

impl Cache {
    /// At most `entries` values, each for at most `ttl` and never longer than [`TTL_MAX`].
    pub(in crate::vault) fn new(ttl: Duration, entries: usize, clock: Clock) -> Self {
        Self {
            first: Mutex::default(),
            others: (1..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            ttl: ttl.min(TTL_MAX),
            most: entries.div_ceil(SHARDS),
            clock,
        }
    }

    /// The value, or what a reader needs to put it in.
    pub(in crate::vault) fn find(
        &self,
        user: &str,
        name: &str,
    ) -> Result<Arc<Secret<String>>, Before> {
        let shard = self.shard(user);
        let now = (self.clock.monotonic(), self.clock.now());
        let opened = shard.users.get(user).and_then(|names| names.get(name));
        match opened.filter(|opened| opened.is_fresh(now)) {
            Some(opened) => Ok(Arc::clone(&opened.value)),
            None => Err(Before(shard.drops)),
        }
    }

    /// Keeps a value, unless something was dropped since, or there is no room.
    pub(in crate::vault) fn keep(
        &self,
        before: Before,
        (user, name): (&str, &str),
        value: &Arc<Secret<String>>,
        expires_at: Option<Timestamp>,
    ) {
        let now = (self.clock.monotonic(), self.clock.now());
        let mut shard = self.shard(user);
        if self.ttl.is_zero() || shard.drops != before.0 {
            return;
        }
        if shard.len() >= self.most {
            shard.sweep(now);
        }
        if shard.len() >= self.most {
            return;
        }
        let opened = Opened {
            value: Arc::clone(value),
            until: now.0 + self.ttl,
            expires_at,
        };
        let names = shard.users.entry(user.to_owned()).or_default();
        names.insert(name.to_owned(), opened);
    }

    /// Drops everything of a user.
    pub(in crate::vault) fn forget(&self, user: &str) {
        let mut shard = self.shard(user);
        shard.drops += 1;
        shard.users.remove(user);
    }

    /// Drops what is over.
    pub(in crate::vault) fn sweep(&self) {
        let now = (self.clock.monotonic(), self.clock.now());
        for shard in self.shards() {
            lock(shard).sweep(now);
        }
    }

    /// How many values are open now.
    pub(in crate::vault) fn len(&self) -> usize {
        self.shards().map(|shard| lock(shard).len()).sum()
    }

    /// How often it has to be swept for nothing to stay.
    pub(in crate::vault) fn sweep_every(&self) -> Duration {
        (self.ttl / 8).max(Duration::from_secs(1))
    }

    fn shard(&self, user: &str) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(user);
        let at = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        lock(self.others.get(at).unwrap_or(&self.first))
    }

    fn shards(&self) -> impl Iterator<Item = &Mutex<Shard>> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// A map that a panic left is whole: every change of it is one insertion or one removal.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    fn len(&self) -> usize {
        self.users.values().map(HashMap::len).sum()
    }

    fn sweep(&mut self, now: (Instant, Timestamp)) {
        self.users.retain(|_, names| {
            names.retain(|_, opened| opened.is_fresh(now));
            !names.is_empty()
        });
    }
}

impl Opened {
    fn is_fresh(&self, (instant, now): (Instant, Timestamp)) -> bool {
        instant < self.until && self.expires_at.is_none_or(|end| now < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: usize) -> (Cache, Clock) {
        let clock = Clock::manual(Timestamp::from_seconds(1_000));
        let ttl = Duration::from_secs(600);
        (Cache::new(ttl, entries, clock.clone()), clock)
    }

    fn value() -> Arc<Secret<String>> {
        Arc::new(Secret::new("canary-not-a-real-token".into()))
    }

    fn keep(cache: &Cache, user: &str, name: &str, end: Option<Timestamp>) {
        let before = cache.find(user, name).map(|_| ()).unwrap_err();
        cache.keep(before, (user, name), &value(), end);
    }

    #[test]
    fn r079_nothing_stays_open_longer_than_a_minute_whatever_is_set() {
        let (cache, clock) = cache(100);
        keep(&cache, "u", "n", None);
        clock.advance(Duration::from_secs(59));
        assert!(cache.find("u", "n").is_ok());
        clock.advance(Duration::from_secs(1));
        assert!(cache.find("u", "n").is_err());
        assert_eq!(cache.len(), 1);
        cache.sweep();
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn a_value_is_not_kept_beyond_its_own_end() {
        let (cache, clock) = cache(100);
        let end = clock.now().plus(Duration::from_secs(5));
        keep(&cache, "u", "n", Some(end));
        clock.advance(Duration::from_secs(5));
        assert!(cache.find("u", "n").is_err());
    }

    #[test]
    fn what_was_read_before_a_write_does_not_come_in_after_it() {
        let (cache, _) = cache(100);
        let before = cache.find("u", "n").map(|_| ()).unwrap_err();
        cache.forget("u");
        cache.keep(before, ("u", "n"), &value(), None);
        assert!(cache.find("u", "n").is_err());
    }

    #[test]
    fn r012_values_are_bounded_in_number_and_apart_by_user() {
        let (cache, _) = cache(SHARDS);
        for user in 0..1_000 {
            keep(&cache, &user.to_string(), "n", None);
        }
        assert!(cache.len() <= SHARDS, "{}", cache.len());
        let (cache, _) = self::cache(100);
        keep(&cache, "a", "n", None);
        assert!(cache.find("b", "n").is_err() && cache.find("a", "m").is_err());
        cache.forget("b");
        cache.forget("a");
        assert!(cache.find("a", "n").is_err());
    }

    #[test]
    fn opened_values_are_not_shown() {
        let (cache, _) = cache(100);
        keep(&cache, "u", "n", None);
        assert!(!format!("{cache:?}").contains("canary"));
    }
}
