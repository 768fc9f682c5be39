//! Stage 4: has this user asked for too much?
//!
//! - **Protects** the upstream, and every user from every other.
//! - **Assumes** a verified [`Principal`]; the user is known, the body is not read yet.
//! - **Hands on** an [`Admission`], which holds one of the user's slots until it is dropped and is charged for the action
//!   once the body is decoded.
//! - **Refuses** with the figures that a client needs to come back at the right time.
//!
//! The limit is hard (C45): `burst + per_minute * t` over any time `t`, and nothing beyond. Each user has a total that
//! every request counts against, whatever its action, so that many actions do not multiply the quota (C15); a tool with a
//! limit of its own has a bucket besides. Every action without one is the action `default`, which is the total.

mod allowance;
mod bucket;
mod settings;
pub mod shared;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

pub use allowance::{Allowance, QuotaError, RateLimitDetails, RateLimited, RateLimitedError};
pub use settings::{Settings, ToolLimit, UserLimit};
pub use table::CounterKey;

use crate::auth::{Principal, UserId};
use crate::clock::{Clock, Timestamp};
use bucket::{Bucket, Hand, Limit, MINUTE, TooSoon};
use table::{Slot, Table, Use, User};

const DEFAULT_ACTION: &str = "default";

/// The quotas of all users. Clones share everything.
#[derive(Clone, Debug)]
pub struct Quotas(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: Arc<Table>,
    hand: Hand,
    tiers: HashMap<String, Arc<Plan>>,
    users: HashMap<String, Arc<Plan>>,
    lowest: Arc<Plan>,
    tools: HashMap<String, Tool>,
    upgrade_url: Option<Arc<str>>,
    highest: NonZeroU32,
    max_keys: usize,
}

/// What a tier, or one user, may do.
#[derive(Debug)]
struct Plan {
    limit: Limit,
    concurrency: u32,
    streams: u32,
}

#[derive(Debug)]
struct Tool {
    name: Arc<str>,
    extra: Option<NonZeroU32>,
    limit: Option<Limit>,
}

impl Quotas {
    /// Starts counting from nothing.
    pub fn new(settings: &Settings, clock: &Clock) -> Self {
        Self::over(Arc::default(), Hand::new(clock.clone()), settings)
    }

    /// The same counts under other settings: reloading a configuration gives nobody a fresh quota.
    #[must_use]
    pub fn reconfigured(&self, settings: &Settings) -> Self {
        Self::over(Arc::clone(&self.0.table), self.0.hand.clone(), settings)
    }

    fn over(table: Arc<Table>, hand: Hand, settings: &Settings) -> Self {
        let plan = |of: &UserLimit| {
            Arc::new(Plan {
                limit: Limit::new(of.per_minute, of.burst, &hand),
                concurrency: of.concurrency.unwrap_or(settings.concurrency),
                streams: of.streams.unwrap_or(settings.streams),
            })
        };
        let tool = |name: &str, of: &ToolLimit| Tool {
            name: name.into(),
            extra: NonZeroU32::new(of.weight.get() - 1),
            limit: of
                .per_minute
                .map(|per_minute| Limit::new(per_minute, None, &hand)),
        };
        Self(Arc::new(Inner {
            tiers: settings
                .tiers
                .iter()
                .map(|(name, of)| (name.clone(), plan(of)))
                .collect(),
            users: settings
                .users
                .iter()
                .map(|(id, of)| (id.clone(), plan(of)))
                .collect(),
            lowest: plan(&settings.lowest()),
            tools: settings
                .tools
                .iter()
                .map(|(name, of)| (name.clone(), tool(name, of)))
                .collect(),
            upgrade_url: settings.upgrade_url.as_deref().map(Into::into),
            highest: settings.highest(),
            max_keys: settings.max_keys,
            table,
            hand,
        }))
    }

    /// Counts one request of the user and takes one of the user's slots.
    ///
    /// # Errors
    /// [`QuotaError`] when the limit is used up, too many calls are running, or no further user can be counted. A
    /// request that finds no slot is counted nevertheless.
    pub fn admit(&self, principal: &Principal) -> Result<Admission, QuotaError> {
        let inner = &self.0;
        let plan = inner.plan(principal);
        let user = inner
            .table
            .enter(principal.user(), inner.max_keys, inner.hand.nanos())
            .ok_or(QuotaError::Capacity {
                max: inner.max_keys,
            })?;
        user.per_minute
            .store(plan.limit.per_minute().get(), Ordering::Relaxed);
        let allowance = inner.charge_total(plan, &user, NonZeroU32::MIN)?;
        let slot =
            Slot::take(&user, Use::Call, plan.concurrency).ok_or(QuotaError::Concurrency {
                cap: plan.concurrency,
            })?;
        Ok(Admission {
            quotas: self.clone(),
            user: principal.user().clone(),
            plan: Arc::clone(plan),
            slot,
            allowance,
        })
    }

    /// Forgets the users who have nothing running and nothing spent (R143). Call it every minute or so.
    pub fn sweep(&self) {
        self.0.table.drop_idle(self.0.hand.nanos());
    }

    /// How many users are counted.
    pub fn users(&self) -> usize {
        self.0.table.len()
    }

    /// The counters of a user, for the operator (R139).
    pub fn counters(&self, user: &UserId) -> Vec<Counter> {
        let Some(state) = self.0.table.find(user) else {
            return Vec::new();
        };
        let mut counters = Vec::new();
        if let Some(per_minute) = NonZeroU32::new(state.per_minute.load(Ordering::Relaxed)) {
            let limit = Limit::new(per_minute, None, &self.0.hand);
            counters.push(self.0.counter(user, DEFAULT_ACTION, &limit, &state.total));
        }
        for (name, bucket) in state.tools() {
            if let Some(limit) = self
                .0
                .tools
                .get(&*name)
                .and_then(|tool| tool.limit.as_ref())
            {
                counters.push(self.0.counter(user, &name, limit, &bucket));
            }
        }
        counters
    }
}

/// What is counted for a user and an action.
#[derive(Debug, Serialize)]
pub struct Counter {
    /// `rate:{user}:{action}`.
    pub key: String,
    /// Requests that are not yet forgotten.
    pub count: u32,
    /// The limit that they count against.
    pub limit: u32,
    /// One minute before `reset_at`, in Unix seconds.
    pub window_start: i64,
    /// When all of them are forgotten, in Unix seconds.
    pub reset_at: i64,
}

impl Inner {
    fn plan(&self, principal: &Principal) -> &Arc<Plan> {
        self.users
            .get(principal.user().as_str())
            .or_else(|| self.tiers.get(principal.tier()))
            .unwrap_or(&self.lowest)
    }

    fn charge_total(
        &self,
        plan: &Plan,
        user: &User,
        cells: NonZeroU32,
    ) -> Result<Allowance, QuotaError> {
        let limit = &plan.limit;
        let per_minute = limit.per_minute().get();
        match limit.charge(&user.total, cells) {
            Ok(remaining) => {
                let full_in = self.until(user.total.full_at());
                Ok(Allowance::after(per_minute, remaining, self.now(), full_in))
            }
            Err(wait) => Err(self.refusal(DEFAULT_ACTION.into(), limit, &wait)),
        }
    }

    fn charge_tool(&self, tool: &Tool, limit: &Limit, user: &User) -> Result<(), QuotaError> {
        match limit.charge(&user.tool(&tool.name), NonZeroU32::MIN) {
            Ok(_) => Ok(()),
            Err(wait) => Err(self.refusal(Arc::clone(&tool.name), limit, &wait)),
        }
    }

    fn refusal(&self, action: Arc<str>, limit: &Limit, wait: &TooSoon) -> QuotaError {
        self.refused(action, limit.per_minute(), wait.0)
    }

    fn refused(&self, action: Arc<str>, per_minute: NonZeroU32, wait: Duration) -> QuotaError {
        let is_highest = *action == *DEFAULT_ACTION && per_minute >= self.highest;
        QuotaError::Rate {
            action,
            allowance: Allowance::refused(per_minute.get(), self.now(), wait),
            upgrade_url: self.upgrade_url.clone().filter(|_| !is_highest),
        }
    }

    fn counter(&self, user: &UserId, action: &str, limit: &Limit, bucket: &Bucket) -> Counter {
        let full_at = bucket.full_at();
        let reset_at = self.now().plus(self.until(full_at)).seconds();
        let window = i64::try_from(MINUTE.as_secs()).unwrap_or(i64::MAX);
        Counter {
            key: CounterKey::of(user, action).to_string(),
            count: limit.spent(full_at),
            limit: limit.per_minute().get(),
            window_start: reset_at.saturating_sub(window),
            reset_at,
        }
    }

    fn now(&self) -> Timestamp {
        self.hand.clock().now()
    }

    fn until(&self, nanos: u64) -> Duration {
        Duration::from_nanos(nanos.saturating_sub(self.hand.nanos()))
    }
}

/// What is to be taken out of one bucket.
#[derive(Clone, Debug)]
pub struct Charge {
    /// Which bucket.
    pub key: CounterKey,
    /// The tool with a limit of its own, or `default`.
    pub action: Arc<str>,
    /// How fast the bucket fills.
    pub per_minute: NonZeroU32,
    /// How much it holds.
    pub burst: NonZeroU32,
    /// How much is taken.
    pub cells: NonZeroU32,
}

/// What became of a [`Charge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken.
    Admitted {
        /// Requests that would be admitted now.
        remaining: u32,
        /// How long until the bucket is full.
        full_in: Duration,
    },
    /// It was not; this is how long until it would be.
    TooSoon(Duration),
}

/// The proof that a request was counted. Holds one of the user's slots until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Admission {
    quotas: Quotas,
    user: UserId,
    plan: Arc<Plan>,
    slot: Slot,
    allowance: Allowance,
}

impl Admission {
    /// Counts what the request turned out to be: the tool's own limit, and whatever it weighs beyond one request.
    ///
    /// # Errors
    /// [`QuotaError::Rate`]. What was counted so far stays counted.
    pub fn charge(&mut self, action: &str) -> Result<(), QuotaError> {
        let inner = &self.quotas.0;
        let Some(tool) = inner.tools.get(action) else {
            return Ok(());
        };
        let user = self.slot.user();
        if let Some(limit) = &tool.limit {
            inner.charge_tool(tool, limit, user)?;
        }
        if let Some(extra) = tool.extra {
            self.allowance = inner.charge_total(&self.plan, user, extra)?;
        }
        Ok(())
    }

    /// What the request itself counts for, for whoever counts for a fleet.
    pub fn total(&self) -> Charge {
        self.of_total(NonZeroU32::MIN)
    }

    /// What the action counts for beside the request itself.
    pub fn charges(&self, action: &str) -> Vec<Charge> {
        let Some(tool) = self.quotas.0.tools.get(action) else {
            return Vec::new();
        };
        let own = tool.limit.as_ref().map(|limit| Charge {
            key: CounterKey::of(&self.user, &tool.name),
            action: Arc::clone(&tool.name),
            per_minute: limit.per_minute(),
            burst: limit.burst(),
            cells: NonZeroU32::MIN,
        });
        own.into_iter()
            .chain(tool.extra.map(|extra| self.of_total(extra)))
            .collect()
    }

    fn of_total(&self, cells: NonZeroU32) -> Charge {
        Charge {
            key: CounterKey::of(&self.user, DEFAULT_ACTION),
            action: DEFAULT_ACTION.into(),
            per_minute: self.plan.limit.per_minute(),
            burst: self.plan.limit.burst(),
            cells,
        }
    }

    /// Takes over what a fleet's count says.
    ///
    /// # Errors
    /// [`QuotaError::Rate`] where it says that it is too soon.
    pub fn settle(&mut self, charge: &Charge, verdict: Verdict) -> Result<(), QuotaError> {
        let inner = &self.quotas.0;
        match verdict {
            Verdict::TooSoon(wait) => {
                let (action, limit) = (Arc::clone(&charge.action), charge.per_minute);
                Err(inner.refused(action, limit, wait))
            }
            Verdict::Admitted { remaining, full_in } if *charge.action == *DEFAULT_ACTION => {
                let limit = charge.per_minute.get();
                self.allowance = Allowance::after(limit, remaining, inner.now(), full_in);
                Ok(())
            }
            Verdict::Admitted { .. } => Ok(()),
        }
    }

    /// Trades the slot of a call for the slot of a long-lived stream.
    ///
    /// # Errors
    /// [`QuotaError::Streams`] when the user has too many of them; the call slot is then free again as well.
    pub fn into_stream(self) -> Result<Self, QuotaError> {
        let cap = self.plan.streams;
        let slot =
            Slot::take(self.slot.user(), Use::Stream, cap).ok_or(QuotaError::Streams { cap })?;
        Ok(Self { slot, ..self })
    }

    /// Where the user stands after this request.
    pub const fn allowance(&self) -> Allowance {
        self.allowance
    }
}
