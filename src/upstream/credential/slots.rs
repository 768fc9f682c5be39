//! Tokens that the gateway holds for a while, one for each user at most. Whoever needs one that is not there waits for the
//! one request that fetches it; a failure is remembered for a moment, so that a queue does not repeat it one by one. The
//! fetch goes on when its caller goes away, for what it fetches may be there only once.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use dashmap::DashMap;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::error::CredentialError;
use crate::clock::Clock;
use crate::secret::Secret;

/// How many users' tokens are held at once.
pub const SLOTS_MAX: usize = 10_000;
/// The longest that a request waits for others that fetch the same token.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How long a failure is remembered.
const TROUBLE: Duration = Duration::from_secs(2);
/// How long a credential that the upstream refused is not shown to it again.
const REFUSED: Duration = Duration::from_secs(60);

/// A digest by which a credential is recognised without holding it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Print([u8; 32]);

impl Print {
    pub(super) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }
}

impl fmt::Debug for Print {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Print")
    }
}

/// A token that was fetched.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) token: Secret<String>,
    pub(super) print: Print,
    /// What it was made from: with another one it is not the user's any more.
    pub(super) origin: Option<Print>,
    /// From when it should be renewed, and from when it must not be used.
    pub(super) renew: Instant,
    pub(super) end: Instant,
}

/// Which token is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Want {
    /// Not this one: the upstream has refused it.
    pub(super) not: Option<Print>,
    /// Made from this one.
    pub(super) origin: Option<Print>,
}

impl Want {
    fn takes(&self, held: &Held) -> bool {
        self.not != Some(held.print) && self.origin == held.origin
    }
}

/// What is remembered of one user.
#[derive(Debug, Default)]
struct Slot {
    held: ArcSwapOption<Held>,
    flight: Arc<Mutex<()>>,
    /// The last fetch failed.
    trouble: ArcSwapOption<Trouble>,
    /// The upstream refused this credential, which is kept elsewhere.
    mark: ArcSwapOption<(Print, Trouble)>,
}

#[derive(Debug)]
struct Trouble {
    until: Instant,
    error: CredentialError,
}

impl Trouble {
    fn at(&self, now: Instant) -> Option<CredentialError> {
        (now < self.until).then(|| self.error.clone())
    }
}

/// The tokens of all users of one upstream.
#[derive(Debug)]
pub(super) struct Slots {
    slots: DashMap<Box<str>, Arc<Slot>>,
    most: usize,
    clock: Clock,
}

impl Slots {
    pub(super) fn new(most: usize, clock: Clock) -> Self {
        Self {
            slots: DashMap::new(),
            most,
            clock,
        }
    }

    /// The user's token, fetched if need be.
    ///
    /// # Errors
    /// What the fetch failed with, or [`CredentialError::Busy`].
    ///
    /// # Cancel safety
    /// A fetch that has begun goes on.
    pub(super) async fn token<F>(
        &self,
        user: &str,
        want: Want,
        fetch: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Arc<Held>, CredentialError>
    where
        F: Future<Output = Result<Held, CredentialError>> + Send + 'static,
    {
        let slot = self.slot(user)?;
        if let Some(held) = slot.fresh(self.clock.monotonic(), want) {
            return Ok(held);
        }
        let flight = Arc::clone(&slot.flight).lock_owned();
        let turn = timeout(WAIT_MAX, flight)
            .await
            .map_err(|_| CredentialError::Busy)?;
        let now = self.clock.monotonic();
        if let Some(held) = slot.fresh(now, want) {
            return Ok(held);
        }
        if let Some(error) = slot.trouble(now) {
            return slot.last(now, want).ok_or(error);
        }
        let clock = self.clock.clone();
        let task = tokio::spawn(async move {
            let fetched = fetch().await;
            let settled = slot.settle(fetched, want, clock.monotonic());
            drop(turn);
            settled
        });
        task.await.unwrap_or(Err(CredentialError::Busy))
    }

    /// The upstream refused one fresh token after another: for a while none is fetched.
    pub(super) fn refused(&self, user: &str) {
        if let Ok(slot) = self.slot(user) {
            slot.held.store(None);
            slot.note(CredentialError::Refused, self.clock.monotonic() + TROUBLE);
        }
    }

    /// Marks a credential that is kept elsewhere as refused with this error.
    pub(super) fn mark(&self, user: &str, print: Print, error: CredentialError) {
        if let Ok(slot) = self.slot(user) {
            let until = self.clock.monotonic() + REFUSED;
            slot.mark
                .store(Some(Arc::new((print, Trouble { until, error }))));
        }
    }

    /// Why this credential, which is kept elsewhere, is not to be shown now.
    pub(super) fn marked(&self, user: &str, print: Print) -> Option<CredentialError> {
        let slot = self.slots.get(user)?;
        let mark = slot.mark.load();
        let (marked, trouble) = mark.as_deref()?;
        (*marked == print).then(|| trouble.at(self.clock.monotonic()))?
    }

    /// Drops what is held of a user.
    pub(super) fn forget(&self, user: &str) {
        self.slots.remove(user);
    }

    /// Drops what is held of everybody.
    pub(super) fn forget_all(&self) {
        self.slots.clear();
    }

    /// How many users something is held of.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Drops what is over. A slot in use stays, or two requests could fetch for one user at once.
    pub(super) fn sweep(&self) {
        let now = self.clock.monotonic();
        self.slots
            .retain(|_, slot| Arc::strong_count(slot) > 1 || slot.is_live(now));
    }

    fn slot(&self, user: &str) -> Result<Arc<Slot>, CredentialError> {
        if let Some(slot) = self.slots.get(user) {
            return Ok(Arc::clone(&slot));
        }
        if self.slots.len() >= self.most {
            self.sweep();
            if self.slots.len() >= self.most {
                self.evict();
            }
            if self.slots.len() >= self.most {
                return Err(CredentialError::Busy);
            }
        }
        Ok(Arc::clone(&self.slots.entry(user.into()).or_default()))
    }

    /// Makes room for one more: a token that was fetched can be fetched again.
    fn evict(&self) {
        let idle = self
            .slots
            .iter()
            .find(|slot| Arc::strong_count(slot.value()) == 1)
            .map(|slot| slot.key().clone());
        if let Some(user) = idle {
            self.slots
                .remove_if(&user, |_, slot| Arc::strong_count(slot) == 1);
        }
    }
}

impl Slot {
    fn fresh(&self, now: Instant, want: Want) -> Option<Arc<Held>> {
        let held = self.held.load_full()?;
        (now < held.renew && want.takes(&held)).then_some(held)
    }

    /// One that should be renewed, and could not be, but is still good.
    fn last(&self, now: Instant, want: Want) -> Option<Arc<Held>> {
        let held = self.held.load_full()?;
        (now < held.end && want.takes(&held)).then_some(held)
    }

    fn trouble(&self, now: Instant) -> Option<CredentialError> {
        self.trouble.load().as_ref()?.at(now)
    }

    fn note(&self, error: CredentialError, until: Instant) {
        self.trouble.store(Some(Arc::new(Trouble { until, error })));
    }

    fn settle(
        &self,
        fetched: Result<Held, CredentialError>,
        want: Want,
        now: Instant,
    ) -> Result<Arc<Held>, CredentialError> {
        match fetched {
            Ok(held) => {
                let held = Arc::new(held);
                self.trouble.store(None);
                // One that may be used once only is not kept.
                self.held.store((now < held.end).then(|| Arc::clone(&held)));
                Ok(held)
            }
            Err(error) => {
                if matches!(
                    error,
                    CredentialError::Endpoint(_) | CredentialError::Expired(_)
                ) {
                    self.note(error.clone(), now + TROUBLE);
                }
                self.last(now, want).ok_or(error)
            }
        }
    }

    fn is_live(&self, now: Instant) -> bool {
        let held = self.held.load();
        let mark = self.mark.load();
        held.as_ref().is_some_and(|held| now < held.end)
            || self.trouble(now).is_some()
            || mark.as_ref().is_some_and(|mark| now < mark.1.until)
    }
}
