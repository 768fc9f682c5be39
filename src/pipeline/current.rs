//! The set of decisions in force. A reload puts another in its place as a whole: a request takes the set once, when its head
//! is there, and is decided by it to its end. What outlives requests, the open streams, is told of each change and asked
//! whether the new set would still allow it; and it ends within a bounded time, so that nothing holds an old set for ever.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::{AUTHORIZATION, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use tokio::sync::watch;
use tokio::time::Instant;

use super::lens::Lens;
use super::{Pipeline, permit};
use crate::auth::AuthError;

/// Where requests find the set in force.
pub struct Current {
    set: ArcSwap<Pipeline>,
    number: watch::Sender<u64>,
}

impl Current {
    /// With the first set. Streams that it lets through may go on for `grace` after they were opened under a set that was
    /// replaced.
    pub fn new(mut first: Pipeline, grace: Duration) -> Arc<Self> {
        Arc::new_cyclic(|current| {
            let number = watch::Sender::new(0);
            first.pace.succession = Some(Succession::new(current, &number, 0, grace));
            Self {
                set: ArcSwap::from_pointee(first),
                number,
            }
        })
    }

    /// The set in force.
    pub fn set(&self) -> Arc<Pipeline> {
        self.set.load_full()
    }

    /// Puts another set in force. Requests that have begun are not touched; each later one sees the new set alone.
    pub fn install(self: &Arc<Self>, mut next: Pipeline, grace: Duration) -> Arc<Pipeline> {
        let number = *self.number.borrow() + 1;
        let succession = Succession::new(&Arc::downgrade(self), &self.number, number, grace);
        next.pace.succession = Some(succession);
        let next = Arc::new(next);
        self.set.store(Arc::clone(&next));
        self.number.send_replace(number);
        next
    }

    /// Changes with every set.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.number.subscribe()
    }
}

/// Why a stream ends before its time.
#[derive(Debug)]
pub(super) enum Over {
    /// Its caller is no longer let in.
    Refused(AuthError),
    /// What it is about is no longer allowed, or no longer there.
    NotAllowed,
    /// It was opened under a set that was replaced too long ago.
    TimeUp,
}

impl Over {
    pub(super) const NOT_ALLOWED: &'static str = "no_longer_allowed";
    pub(super) const TIME_UP: &'static str = "reconfigured";

    /// What the caller of a request that is cut off learns: a word for the trail, a code and a text.
    pub(super) fn words(&self) -> (&'static str, StatusCode, &str) {
        match self {
            Self::Refused(error) => (error.reason(), error.status(), error.message()),
            Self::NotAllowed => (
                Self::NOT_ALLOWED,
                StatusCode::FORBIDDEN,
                "This is no longer allowed",
            ),
            Self::TimeUp => (
                Self::TIME_UP,
                StatusCode::SERVICE_UNAVAILABLE,
                "The gateway was reconfigured in the meantime, and this took too long to finish",
            ),
        }
    }
}

/// How a stream lives through a change of the set.
#[derive(Clone, Debug)]
pub struct Succession {
    current: Weak<Current>,
    swapped: watch::Receiver<u64>,
    born: u64,
    grace: Duration,
    /// What the caller showed, so that the new set can judge it by its own keys.
    credential: Option<HeaderValue>,
    until: Option<Instant>,
    owed: bool,
}

impl Succession {
    fn new(
        current: &Weak<Current>,
        number: &watch::Sender<u64>,
        born: u64,
        grace: Duration,
    ) -> Self {
        Self {
            current: Weak::clone(current),
            swapped: number.subscribe(),
            born,
            grace,
            credential: None,
            until: None,
            owed: false,
        }
    }

    /// The same for the request with this head.
    pub(super) fn of(&self, head: &Parts) -> Self {
        Self {
            credential: head.headers.get(AUTHORIZATION).cloned(),
            ..self.clone()
        }
    }

    /// Resolves when the set has changed.
    ///
    /// # Cancel safety
    /// A change that was not waited for to the end is seen by [`Succession::review`].
    pub(super) async fn changed(&mut self) {
        match self.swapped.changed().await {
            Ok(()) => self.notice(),
            // Without a gateway there are no changes.
            Err(_) => std::future::pending().await,
        }
    }

    /// When a stream of a set that was replaced has to end; a call may take as long as an answer may in all.
    pub(super) const fn until(&self) -> Option<Instant> {
        self.until
    }

    fn notice(&mut self) {
        self.owed |= *self.swapped.borrow_and_update() > self.born;
    }

    /// Asks the new set about a stream, once for each change.
    ///
    /// # Cancel safety
    /// What was not asked to the end is asked again.
    pub(super) async fn review(&mut self, lens: &Lens) -> Option<Over> {
        if self.swapped.has_changed().unwrap_or(false) {
            self.notice();
        }
        if !self.owed {
            return None;
        }
        let whole = lens.route().upstream().total_timeout();
        let grace = match lens.is_long_lived() {
            true => self.grace,
            false => self.grace.max(whole),
        };
        self.until.get_or_insert_with(|| Instant::now() + grace);
        let verdict = self.judge(lens).await;
        self.owed = false;
        verdict
    }

    async fn judge(&self, lens: &Lens) -> Option<Over> {
        let set = self.current.upgrade()?.set();
        let same = |route: &&Arc<super::Route>| {
            route.name() == lens.route().name()
                && route.path() == lens.route().path()
                && route.resource() == lens.route().resource()
        };
        let Some(route) = set.routes.iter().find(same) else {
            return Some(Over::NotAllowed);
        };
        let shown = self
            .credential
            .iter()
            .map(|credential| (AUTHORIZATION, credential.clone()));
        let headers: HeaderMap = shown.collect();
        let judged = match set.verifier.bearer(&headers, None) {
            Ok(bearer) => {
                let bearer = bearer.over(lens.principal().shown());
                set.verifier.verify(&bearer, route.resource()).await
            }
            Err(error) => Err(error),
        };
        match judged {
            Err(error) => Some(Over::Refused(error)),
            Ok(principal) if !permit::still(route, &principal, lens) => Some(Over::NotAllowed),
            Ok(_) => None,
        }
    }
}
