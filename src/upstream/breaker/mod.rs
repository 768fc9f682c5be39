//! The circuit breaker of one route: an upstream that fails again and again is left alone for a while, so that callers hear
//! at once what they would otherwise wait for, and the upstream has the quiet to come back. After the wait one real request
//! is let through as a trial; only its success closes the breaker again.
//!
//! Callers must not be able to close the door for each other: what a request of a user can bring about (an error, a slow
//! answer) opens the breaker only if it happened to more than one user. What none of them can (no connection) needs no
//! second witness. A caller who leaves before the answer says nothing about the upstream.
//!
//! On the way of a request there is one atomic load before the exchange and one after it; nothing is locked.

mod counts;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use self::counts::Counts;
use crate::clock::Clock;
use crate::random;
use crate::telemetry::metrics::UpstreamGauge;

/// The longest wait between two trials.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// What a refused caller is told to wait while a trial is under way.
const TRIAL: Duration = Duration::from_secs(1);

/// When the breaker of a route opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// No breaker: every request is tried.
    pub off: bool,
    /// So many failures within the window open it, if they came in a row or outweigh the successes.
    pub failures: u32,
    /// How long a failure counts.
    pub window: Duration,
    /// How long it stays open at first; each failed trial doubles it, up to a minute.
    pub wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            off: false,
            failures: 5,
            window: Duration::from_secs(30),
            wait: Duration::from_secs(1),
        }
    }
}

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Requests pass.
    Closed,
    /// One request may pass, or is on its way.
    HalfOpen,
    /// No request passes.
    Open,
}

impl State {
    /// The word in logs and probes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }
}

/// The breaker is open: nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("upstream is left alone after repeated failures")]
pub struct Open {
    /// When it is worth trying again.
    pub retry_after: Duration,
}

/// Whom a failure may have been brought about by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame<'u> {
    /// Nobody who calls: no connection could be made.
    Upstream,
    /// Perhaps the request of this user.
    Request(&'u str),
}

/// The breaker of one route.
pub struct Breaker {
    settings: Settings,
    /// Zero while it is closed; else a [`Gate`].
    gate: AtomicU64,
    /// The [`Counts`]; zero while nothing has failed lately.
    recent: AtomicU64,
    /// To whom the failures happened: a mark of the one user, or [`SEVERAL`].
    witness: AtomicU32,
    marks: RandomState,
    clock: Clock,
    born: Instant,
    route: Box<str>,
    gauge: UpstreamGauge,
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("route", &self.route)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// More users than one, or a failure that no user brings about.
const SEVERAL: u32 = u32::MAX;

impl Breaker {
    /// A closed breaker.
    pub fn new(route: &str, settings: Settings, clock: Clock, gauge: UpstreamGauge) -> Self {
        gauge.set(State::Closed);
        Self {
            settings,
            gate: AtomicU64::new(0),
            recent: AtomicU64::new(0),
            witness: AtomicU32::new(0),
            marks: RandomState::new(),
            born: clock.monotonic(),
            clock,
            route: route.into(),
            gauge,
        }
    }

    /// Whether a request may be sent.
    ///
    /// # Errors
    /// [`Open`] while the upstream is left alone, or another request is trying it.
    pub fn admit(&self) -> Result<Pass<'_>, Open> {
        let word = self.gate.load(Ordering::Acquire);
        if word == 0 {
            return Ok(Pass::new(self, None));
        }
        let gate = Gate::unpack(word);
        let now = self.now();
        if gate.is_trying {
            return Err(Open { retry_after: TRIAL });
        }
        if now < gate.until {
            let retry_after = gate.until - now;
            return Err(Open { retry_after });
        }
        let trying = Gate {
            is_trying: true,
            ..gate
        };
        if self.moves(word, Some(trying)) {
            self.gauge.set(State::HalfOpen);
            info!(route = %self.route, "one request tries the upstream");
            Ok(Pass::new(self, Some(gate.failed)))
        } else {
            Err(Open { retry_after: TRIAL })
        }
    }

    /// How it stands. A wait that is over counts as half-open, since the next request would pass: a gateway that called
    /// itself unready until then would get no request that could tell.
    pub fn state(&self) -> State {
        match self.gate.load(Ordering::Acquire) {
            0 => State::Closed,
            word => {
                let gate = Gate::unpack(word);
                let is_due = gate.is_trying || self.now() >= gate.until;
                if is_due { State::HalfOpen } else { State::Open }
            }
        }
    }

    /// Opens it, or begins a longer wait: whoever looks after the upstream found it down.
    pub fn trip(&self) {
        if self.settings.off {
            return;
        }
        let word = self.gate.load(Ordering::Acquire);
        let failed = match word {
            0 => 0,
            word => Gate::unpack(word).failed.saturating_add(1),
        };
        if !Gate::unpack(word).is_trying {
            self.open(word, failed);
        }
    }

    /// Ends the wait: whoever looks after the upstream found it up. The next request tries it.
    pub fn is_back(&self) {
        let word = self.gate.load(Ordering::Acquire);
        let gate = Gate::unpack(word);
        if word != 0 && !gate.is_trying {
            let due = Gate {
                until: Duration::ZERO,
                ..gate
            };
            self.moves(word, Some(due));
        }
    }

    fn succeeded(&self, trial: Option<u8>) {
        if trial.is_some() {
            self.recent.store(0, Ordering::Relaxed);
            self.gate.store(0, Ordering::Release);
            self.gauge.set(State::Closed);
            info!(route = %self.route, "the upstream serves again");
        } else if self.recent.load(Ordering::Relaxed) != 0 {
            let now = self.now();
            self.count(|counts| counts.better(now, &self.settings));
        }
    }

    fn failed(&self, trial: Option<u8>, blame: Blame<'_>) {
        let word = self.gate.load(Ordering::Acquire);
        if let Some(failed) = trial {
            self.open(word, failed.saturating_add(1));
            return;
        }
        if word != 0 || self.settings.off {
            return;
        }
        let now = self.now();
        let counts = self.count(|counts| counts.worse(now, &self.settings));
        let is_witnessed = self.witnessed(blame, counts.is_first());
        if is_witnessed && counts.are_too_bad(&self.settings) {
            self.open(0, 0);
        }
    }

    /// The trial was given up by its caller: the next request is one.
    fn gave_up(&self) {
        let word = self.gate.load(Ordering::Acquire);
        let gate = Gate::unpack(word);
        if gate.is_trying {
            let due = Gate {
                is_trying: false,
                ..gate
            };
            self.moves(word, Some(due));
        }
    }

    fn count(&self, change: impl Fn(Counts) -> Counts) -> Counts {
        let mut word = self.recent.load(Ordering::Relaxed);
        loop {
            let next = change(Counts::unpack(word));
            let (new, relaxed) = (next.pack(), Ordering::Relaxed);
            match self
                .recent
                .compare_exchange_weak(word, new, relaxed, relaxed)
            {
                Ok(_) => return next,
                Err(other) => word = other,
            }
        }
    }

    /// Notes to whom it happened; whether that can no longer be the doing of one user.
    fn witnessed(&self, blame: Blame<'_>, is_first: bool) -> bool {
        let mark = match blame {
            Blame::Upstream => SEVERAL,
            // Never the mark of several, and never none.
            Blame::Request(user) => (self.marks.hash_one(user) as u32 >> 1) | 1,
        };
        let known = self.witness.load(Ordering::Relaxed);
        let now = match known {
            _ if is_first => mark,
            known if known == mark => mark,
            _ => SEVERAL,
        };
        self.witness.store(now, Ordering::Relaxed);
        now == SEVERAL
    }

    fn open(&self, word: u64, failed: u8) {
        let wait = self.wait(failed);
        let open = Gate {
            is_trying: false,
            failed,
            until: self.now() + wait,
        };
        if !self.moves(word, Some(open)) {
            return;
        }
        self.recent.store(0, Ordering::Relaxed);
        self.gauge.set(State::Open);
        if word == 0 || Gate::unpack(word).is_trying {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            warn!(route = %self.route, wait_ms, trials = failed, "the upstream fails and is left alone");
        }
    }

    /// The wait after so many failed trials, with up to a quarter more, so that many gateways do not try at once.
    fn wait(&self, failed: u8) -> Duration {
        let wait = self
            .settings
            .wait
            .saturating_mul(1_u32 << failed.min(16))
            .min(MAX_WAIT.max(self.settings.wait));
        let quarter = random::bytes::<1>().map_or(0, |[byte]| u32::from(byte));
        wait + wait / 4 * quarter / 255
    }

    fn moves(&self, from: u64, to: Option<Gate>) -> bool {
        let to = to.map_or(0, Gate::pack);
        self.gate
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    fn now(&self) -> Duration {
        self.clock.monotonic().saturating_duration_since(self.born)
    }
}

/// The right to send one request. It says how the exchange went; dropped before that, it says nothing.
#[derive(Debug)]
#[must_use = "a pass that is dropped at once counts as a caller who left"]
pub struct Pass<'b> {
    breaker: &'b Breaker,
    /// How many trials had failed before, if this is one.
    trial: Option<u8>,
    told: bool,
}

impl<'b> Pass<'b> {
    const fn new(breaker: &'b Breaker, trial: Option<u8>) -> Self {
        Self {
            breaker,
            trial,
            told: false,
        }
    }

    /// The upstream answered.
    pub fn succeeded(mut self) {
        self.told = true;
        self.breaker.succeeded(self.trial);
    }

    /// The upstream failed.
    pub fn failed(mut self, blame: Blame<'_>) {
        self.told = true;
        self.breaker.failed(self.trial, blame);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.trial.is_some() && !self.told {
            self.breaker.gave_up();
        }
    }
}

/// An open breaker in one word: a mark that it is open, whether a trial is under way, how many failed, and until when it
/// waits, in milliseconds of the breaker's own life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gate {
    is_trying: bool,
    failed: u8,
    until: Duration,
}

impl Gate {
    const OPEN: u64 = 1 << 63;
    const TRYING: u64 = 1 << 62;
    const FAILED_AT: u32 = 48;
    const UNTIL_MASK: u64 = (1 << Self::FAILED_AT) - 1;

    fn pack(self) -> u64 {
        let until = u64::try_from(self.until.as_millis()).unwrap_or(u64::MAX);
        let trying = if self.is_trying { Self::TRYING } else { 0 };
        Self::OPEN
            | trying
            | u64::from(self.failed) << Self::FAILED_AT
            | until.min(Self::UNTIL_MASK)
    }

    const fn unpack(word: u64) -> Self {
        Self {
            is_trying: word & Self::TRYING != 0,
            failed: (word >> Self::FAILED_AT & 0xff) as u8,
            until: Duration::from_millis(word & Self::UNTIL_MASK),
        }
    }
}

#[cfg(test)]
mod tests;
