//! Everything that is counted for each user, in one bounded table. A user who has nothing running and nothing spent is
//! the same as one who was never seen, and is dropped; a user who is active is never dropped to make room, because
//! forgetting is forgiving.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::bucket::Bucket;
use crate::auth::UserId;

/// A full table is searched for idle users at most this often, so that a crowd of new users costs one search and not one
/// each.
const SEARCH_PAUSE: Duration = Duration::from_secs(1);

/// What is counted for one user.
#[derive(Debug, Default)]
pub(super) struct User {
    pub(super) total: Bucket,
    tools: Mutex<HashMap<Box<str>, Bucket>>,
    calls: AtomicU32,
    streams: AtomicU32,
    /// The limit that the user was last held against, by which spent time is shown as a count.
    pub(super) per_minute: AtomicU32,
}

impl User {
    /// The bucket of a tool. Only tools with a limit of their own are asked for, which bounds the map.
    pub(super) fn tool(&self, name: &str) -> Bucket {
        let mut tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = tools.get(name) {
            return bucket.clone();
        }
        tools.entry(name.into()).or_default().clone()
    }

    /// The tools that were called, with what is spent on them.
    pub(super) fn tools(&self) -> Vec<(Box<str>, Bucket)> {
        let tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        tools
            .iter()
            .map(|(name, bucket)| (name.clone(), bucket.clone()))
            .collect()
    }

    const fn running(&self, of: Use) -> &AtomicU32 {
        match of {
            Use::Call => &self.calls,
            Use::Stream => &self.streams,
        }
    }

    /// Is nothing spent? Whether something is running shows elsewhere: a slot holds its user.
    fn has_spent_nothing(&self, now: u64) -> bool {
        let tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        self.total.full_at() <= now && tools.values().all(|bucket| bucket.full_at() <= now)
    }
}

/// What a slot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Call,
    Stream,
}

/// One of the calls or streams that a user may have at the same time; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    user: Arc<User>,
    of: Use,
}

impl Slot {
    /// Takes a slot if fewer than `cap` are taken.
    pub(super) fn take(user: &Arc<User>, of: Use, cap: u32) -> Option<Self> {
        let one_more = |taken: u32| (taken < cap).then_some(taken + 1);
        user.running(of)
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .ok()?;
        Some(Self {
            user: Arc::clone(user),
            of,
        })
    }

    pub(super) const fn user(&self) -> &Arc<User> {
        &self.user
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.user.running(self.of).fetch_sub(1, Ordering::AcqRel);
    }
}

/// The users that are counted.
#[derive(Debug, Default)]
pub(super) struct Table {
    users: DashMap<UserId, Arc<User>>,
    count: AtomicUsize,
    searched_at: AtomicU64,
}

impl Table {
    /// The user, who is entered if there is room for one of `max`.
    pub(super) fn enter(&self, id: &UserId, max: usize, now: u64) -> Option<Arc<User>> {
        if let Some(user) = self.find(id) {
            return Some(user);
        }
        if !self.reserve(max) {
            self.search(now);
            if !self.reserve(max) {
                return None;
            }
        }
        Some(match self.users.entry(id.clone()) {
            Entry::Occupied(other) => {
                self.count.fetch_sub(1, Ordering::AcqRel);
                Arc::clone(other.get())
            }
            Entry::Vacant(free) => Arc::clone(free.insert(Arc::default()).value()),
        })
    }

    pub(super) fn find(&self, id: &UserId) -> Option<Arc<User>> {
        self.users.get(id).map(|user| Arc::clone(user.value()))
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Drops everybody who is idle. Nobody else can hold a user that only the table holds, since handing one out takes
    /// the lock that `retain` has; so nothing that is being counted is lost.
    pub(super) fn drop_idle(&self, now: u64) {
        self.users.retain(|_, user| {
            let keep = Arc::strong_count(user) > 1 || !user.has_spent_nothing(now);
            if !keep {
                self.count.fetch_sub(1, Ordering::AcqRel);
            }
            keep
        });
    }

    fn reserve(&self, max: usize) -> bool {
        self.count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count < max).then_some(count + 1)
            })
            .is_ok()
    }

    fn search(&self, now: u64) {
        let pause = u64::try_from(SEARCH_PAUSE.as_nanos()).unwrap_or(u64::MAX);
        let due = self
            .searched_at
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| {
                (last == 0 || now.saturating_sub(last) >= pause).then_some(now.max(1))
            });
        if due.is_ok() {
            self.drop_idle(now);
        }
    }
}

/// The name of a counter: `rate:{user}:{action}` (C15). Colons inside the parts are escaped, so that no two pairs have
/// one name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CounterKey(String);

impl CounterKey {
    /// The counter of a user for an action.
    pub fn of(user: &UserId, action: &str) -> Self {
        let escape = |part: &str| part.replace('%', "%25").replace(':', "%3A");
        Self(format!("rate:{}:{}", escape(user.as_str()), escape(action)))
    }
}

impl CounterKey {
    /// The name in a cluster of stores: what stands in braces decides where it lies, and holds no brace itself.
    pub(super) fn tagged(&self) -> String {
        let plain = self.0.replace('{', "%7B").replace('}', "%7D");
        format!("{{{plain}}}")
    }
}

impl fmt::Display for CounterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r138_counter_names_do_not_collide() {
        let key = |user: &str, action: &str| CounterKey::of(&UserId::own(user), action).to_string();
        assert_eq!(key("12345", "default"), "rate:12345:default");
        assert_ne!(key("a:b", "c"), key("a", "b:c"));
        assert_ne!(key("a%3Ab", "c"), key("a:b", "c"));
    }
}
