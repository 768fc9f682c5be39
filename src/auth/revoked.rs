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
    pub fn sweep(&self, now: Timestamp, forget_before: Timestamp) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::principal::Held;

    const NOW: i64 = 1_800_000_000;
    const BOUND: Duration = Duration::from_secs(2);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(NOW + seconds)
    }

    fn view() -> (Revoked, Clock) {
        let clock = Clock::manual(at(0));
        let view = Revoked::new(BOUND, clock.clone());
        view.was_current(clock.monotonic());
        (view, clock)
    }

    fn principal() -> Principal {
        Principal::for_tests("alice", "free", &[]).holding(Held {
            token: Some("jti_a"),
            session: Some("sid_a"),
            client: Some("client_a"),
            generation: Some(3),
            issued_at: Some(at(0)),
            ..Held::default()
        })
    }

    #[test]
    fn c39_a_view_that_is_not_current_answers_nothing() {
        let clock = Clock::manual(at(0));
        let view = Revoked::new(BOUND, clock.clone());
        assert_eq!(
            view.check(&principal()),
            Err(AuthError::RevocationUnknown),
            "it was never current"
        );
        view.was_current(clock.monotonic());
        clock.advance(BOUND);
        assert_eq!(view.check(&principal()), Ok(()));
        clock.advance(Duration::from_millis(1));
        assert_eq!(view.check(&principal()), Err(AuthError::RevocationUnknown));
        let earlier = clock.monotonic();
        clock.advance(BOUND);
        view.was_current(clock.monotonic());
        view.was_current(earlier);
        assert!(view.is_current(), "an older look makes it no older");
    }

    #[test]
    fn r104_r119_r625_each_mark_ends_what_bears_it_and_nothing_else() {
        let ended = |mark| {
            let (view, _) = view();
            view.end(&mark, at(60));
            view.check(&principal())
        };
        for mark in [
            Mark::Token("jti_a".into()),
            Mark::Session("sid_a".into()),
            Mark::Client("client_a".into()),
        ] {
            assert_eq!(ended(mark.clone()), Err(AuthError::Revoked), "{mark:?}");
        }
        for mark in [
            Mark::Token("sid_a".into()),
            Mark::Session("jti_a".into()),
            Mark::Client("alice".into()),
            Mark::Token(String::new()),
            Mark::Session("sid_".into()),
        ] {
            assert_eq!(ended(mark.clone()), Ok(()), "{mark:?}");
        }
    }

    #[test]
    fn c50_how_a_user_stands_decides_about_their_tokens() {
        let ours = |generation| Held {
            generation: Some(generation),
            issued_at: Some(at(0)),
            ..Held::default()
        };
        let foreign = |issued: Option<i64>| Held {
            issued_at: issued.map(at),
            ..Held::default()
        };
        let disabled = Standing {
            disabled: true,
            ..Standing::default()
        };
        let bumped = Standing {
            generation: 4,
            revoked_until: Some(at(10)),
            ..Standing::default()
        };
        let forgotten = Standing {
            revoked_until: Some(at(10)),
            forgotten: true,
            ..Standing::default()
        };
        let judged = |standing, held| {
            let (view, _) = view();
            view.stand("alice", standing);
            view.check(&Principal::for_tests("alice", "free", &[]).holding(held))
        };
        let (shut, ended) = (Err(AuthError::UserDisabled), Err(AuthError::Revoked));
        for (row, standing, held, verdict) in [
            (1, disabled, ours(9), shut.clone()),
            (2, disabled, foreign(Some(99)), shut),
            (3, bumped, ours(3), ended.clone()),
            (4, bumped, ours(4), Ok(())),
            (5, bumped, foreign(None), ended.clone()),
            (6, bumped, foreign(Some(9)), ended.clone()),
            (7, bumped, foreign(Some(10)), ended.clone()),
            (8, bumped, foreign(Some(11)), Ok(())),
            (9, forgotten, ours(9), ended),
            (10, Standing::default(), ours(0), Ok(())),
        ] {
            assert_eq!(judged(standing, held), verdict, "row {row}");
        }
        let (view, _) = view();
        view.stand("idp|alice", disabled);
        assert_eq!(view.check(&principal()), Ok(()), "another alice");
    }

    #[test]
    fn entries_go_when_nothing_is_left_that_they_could_stop() {
        let (view, clock) = view();
        view.end(&Mark::Token("jti_a".into()), at(60));
        view.end(&Mark::Token("jti_a".into()), at(30));
        view.end(&Mark::Session("s".into()), at(61));
        let moment = Standing {
            revoked_until: Some(at(0)),
            ..Standing::default()
        };
        let shut = Standing {
            disabled: true,
            ..moment
        };
        view.stand("bob", moment);
        view.stand("carol", shut);
        clock.advance(Duration::from_secs(59));
        view.sweep(clock.now(), at(0));
        assert_eq!(view.len(), 4, "the later end counts");
        clock.advance(Duration::from_secs(1));
        view.sweep(clock.now(), at(1));
        assert_eq!(view.len(), 2, "the session and carol");
        assert!(view.standing("carol").disabled);
    }
}
