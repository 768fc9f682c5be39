//! What has been revoked, as one process knows it at this moment: tokens, sessions, clients and users. It is asked about every
//! principal at every request, from memory and without a lock that all share. Somebody else keeps it current and says when it
//! last was; a view that is older than its bound answers nothing (C39).
//!
//! Every entry lives until the last token that it could stop has expired. Entries are made by authenticated users and by
//! operators only, so their number is bounded by the quotas and by that time.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;

use super::error::AuthError;
use super::principal::Principal;
use crate::clock::{Clock, Timestamp};

/// Something that ends before its time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// One token, by its `jti` (C36).
    Token(String),
    /// One session with all its tokens, by its `sid`, the id of the grant.
    Session(String),
    /// Everything that was issued to one OAuth client.
    Client(String),
    /// Everything that one user holds, by canonical id (C19).
    User(String),
}

/// How one user stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether they are shut out, with whatever token.
    pub disabled: bool,
    /// Tokens of an older generation are revoked.
    pub generation: u64,
    /// Tokens that were issued up to here are revoked, if they name no generation.
    pub revoked_until: Option<Timestamp>,
    /// The same also for tokens that name one: the record that counted the generations is gone.
    pub forgotten: bool,
}

impl Standing {
    /// Whether this says anything at all.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Times of issue are whole seconds, so one within the very second of the revocation counts as before it.
    fn judge(&self, principal: &Principal) -> Result<(), AuthError> {
        if self.disabled {
            return Err(AuthError::UserDisabled);
        }
        let generation = principal.generation();
        if generation.is_some_and(|generation| generation < self.generation) {
            return Err(AuthError::Revoked);
        }
        let by_time = generation.is_none() || self.forgotten;
        let outlived = |until| principal.issued_at().is_some_and(|issued| until < issued);
        match self.revoked_until {
            Some(until) if by_time && !outlived(until) => Err(AuthError::Revoked),
            _ => Ok(()),
        }
    }
}

/// The view of one process. Shared by the verifier, by open streams, and by whoever keeps it current.
#[derive(Debug)]
pub struct Revoked {
    tokens: DashMap<Box<str>, Timestamp>,
    sessions: DashMap<Box<str>, Timestamp>,
    clients: DashMap<Box<str>, Timestamp>,
    users: DashMap<Box<str>, Standing>,
    /// Milliseconds from `born` to the last moment at which the view was known to be current.
    current_at: AtomicU64,
    born: Instant,
    bound: Duration,
    clock: Clock,
}

impl Revoked {
    /// A view that is not current yet, and that answers nothing when it has not been current for longer than `bound`.
    pub fn new(bound: Duration, clock: Clock) -> Self {
        Self {
            tokens: DashMap::new(),
            sessions: DashMap::new(),
            clients: DashMap::new(),
            users: DashMap::new(),
            current_at: AtomicU64::new(NEVER),
            born: clock.monotonic(),
            bound,
            clock,
        }
    }

    /// Whether this principal may still act. Awaits nothing and allocates nothing.
    ///
    /// # Errors
    /// [`AuthError::Revoked`] or [`AuthError::UserDisabled`] for one that may not, and
    /// [`AuthError::RevocationUnknown`] while nobody can say.
    pub fn check(&self, principal: &Principal) -> Result<(), AuthError> {
        if !self.is_current() {
            return Err(AuthError::RevocationUnknown);
        }
        let ended = is_in(&self.tokens, principal.token_id())
            || is_in(&self.sessions, principal.session())
            || is_in(&self.clients, principal.client_id());
        if ended {
            return Err(AuthError::Revoked);
        }
        match self.users.get(principal.user().as_str()) {
            Some(standing) => standing.judge(principal),
            None => Ok(()),
        }
    }

    /// Whether the view is fresh enough to be asked.
    pub fn is_current(&self) -> bool {
        let current_at = self.current_at.load(Ordering::Acquire);
        current_at != NEVER && self.age_of(current_at) <= self.bound
    }

    /// The view holds everything that was revoked up to this moment.
    pub fn was_current(&self, at: Instant) {
        let at = millis(at.saturating_duration_since(self.born));
        let later = |known| (known == NEVER || known < at).then_some(at);
        let _ = self
            .current_at
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
    }

    /// A token, session or client ends, until a moment from which nothing of it could be valid any more. What is said of
    /// a user is more than that, see [`Revoked::stand`].
    pub fn end(&self, mark: &Mark, until: Timestamp) {
        let (set, id) = match mark {
            Mark::Token(id) => (&self.tokens, id),
            Mark::Session(id) => (&self.sessions, id),
            Mark::Client(id) => (&self.clients, id),
            Mark::User(_) => return,
        };
        let mut entry = set.entry(id.as_str().into()).or_insert(until);
        *entry = until.max(*entry);
    }

    /// A user stands like this from now on.
    pub fn stand(&self, user: &str, standing: Standing) {
        if standing.is_plain() {
            self.users.remove(user);
        } else {
            self.users.insert(user.into(), standing);
        }
    }

    /// How a user stands.
    pub fn standing(&self, user: &str) -> Standing {
        self.users.get(user).map(|s| *s).unwrap_or_default()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.tokens.len() + self.sessions.len() + self.clients.len() + self.users.len()
    }

    /// Whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets the entries whose time is over, and users of whom only a time is known that lies before `forget_before`.
    pub fn sweep(&self, forget_before: Timestamp) {
        let now = self.clock.now();
        for set in [&self.tokens, &self.sessions, &self.clients] {
            set.retain(|_, until| now < *until);
        }
        self.users.retain(|_, standing| {
            if standing.revoked_until.is_some_and(|at| at < forget_before) {
                standing.revoked_until = None;
                standing.forgotten = false;
            }
            !standing.is_plain()
        });
    }

    fn age_of(&self, at: u64) -> Duration {
        let now = millis(self.clock.monotonic().saturating_duration_since(self.born));
        Duration::from_millis(now.saturating_sub(at))
    }
}

fn is_in<K>(set: &DashMap<K, Timestamp>, id: Option<&str>) -> bool
where
    K: Borrow<str> + Eq + Hash,
{
    id.is_some_and(|id| set.contains_key(id))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER - 1)
}

/// No view has been current at this time.
const NEVER: u64 = u64::MAX;
