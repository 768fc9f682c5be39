//! One count for a fleet: what a gateway has admitted by its own buckets is charged once more against a bucket that all
//! gateways share, in Redis, by the same arithmetic (GCRA) in one round trip. Time is Redis' own, so that the clocks of the
//! gateways do not matter.
//!
//! While Redis does not answer there are two ways, and the operator chooses: every gateway counts for itself, so that a
//! user gets at most as many times the limit as there are gateways, or nobody is admitted. Concurrency caps are per gateway
//! in any case: a place that a crashed gateway held would be lost in a shared count.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use redis::Script;
use tracing::{error, info};

use super::bucket::{Hand, MINUTE};
use super::{Charge, QuotaError, Verdict};
use crate::clock::Clock;
use crate::store::StoreError;
use crate::store::redis::link::Link;

/// How long a Redis that failed is left alone: nobody else waits for its time-out meanwhile.
const PAUSE: Duration = Duration::from_millis(500);

/// The bucket is the moment at which it is full again, in microseconds. Numbers in Lua are doubles, exact up to 2^53, which
/// microseconds since 1970 do not reach before the year 2255.
const GCRA: &str = r"
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local each = 60000000 / tonumber(ARGV[1])
local room = each * tonumber(ARGV[2])
local full = tonumber(redis.call('GET', KEYS[1]) or '0')
if full < now then full = now end
local after = full + each * tonumber(ARGV[3])
if after - now > room + 0.5 then
  return {0, 0, math.ceil(after - now - room)}
end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.max(1, math.ceil((after - now) / 1000)))
return {1, math.floor((room - (after - now)) / each + 0.000001), math.ceil(after - now)}
";

/// What happens while Redis does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenDown {
    /// Every gateway counts for itself.
    #[default]
    CountLocally,
    /// Nobody is admitted.
    Refuse,
}

/// The shared buckets.
pub struct Shared {
    link: Link,
    script: Script,
    timeout: Duration,
    when_down: WhenDown,
    hand: Hand,
    is_down: AtomicBool,
    /// The moment until which a Redis that failed is left alone.
    quiet_until: AtomicU64,
}

impl Shared {
    /// Buckets behind this connection; one charge may take so long.
    pub(crate) fn new(link: Link, timeout: Duration, when_down: WhenDown, clock: Clock) -> Self {
        Self {
            link,
            script: Script::new(GCRA),
            timeout,
            when_down,
            hand: Hand::new(clock),
            is_down: AtomicBool::new(false),
            quiet_until: AtomicU64::new(0),
        }
    }

    /// Charges a bucket that all gateways share. `None` means that it was not asked and the gateway's own count stands.
    ///
    /// # Errors
    /// [`QuotaError::Unshared`] where nobody is admitted while Redis does not answer.
    ///
    /// # Cancel safety
    /// A charge that was sent counts, whether or not its answer is waited for.
    pub async fn charge(&self, charge: &Charge) -> Result<Option<Verdict>, QuotaError> {
        if self.hand.nanos() < self.quiet_until.load(Ordering::Relaxed) {
            return self.without();
        }
        match tokio::time::timeout(self.timeout, self.ask(charge)).await {
            Ok(Ok(verdict)) => {
                if self.is_down.swap(false, Ordering::Relaxed) {
                    info!("limits are shared again");
                }
                Ok(Some(verdict))
            }
            Ok(Err(failed)) => self.failed(&failed.to_string()),
            Err(_) => self.failed("no answer in time"),
        }
    }

    /// Whether limits are counted by each gateway alone at the moment, for metrics and readiness.
    pub fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    async fn ask(&self, charge: &Charge) -> Result<Verdict, StoreError> {
        if charge.cells > charge.burst {
            return Ok(Verdict::TooSoon(MINUTE));
        }
        let mut script = self
            .script
            .key(format!("sallygate:{}", charge.key.tagged()));
        script
            .arg(charge.per_minute.get())
            .arg(charge.burst.get())
            .arg(charge.cells.get());
        let (admitted, remaining, micros): (u8, u32, u64) = self.link.run(&script).await?;
        let time = Duration::from_micros(micros);
        Ok(match admitted {
            1 => Verdict::Admitted {
                remaining,
                full_in: time,
            },
            _ => Verdict::TooSoon(time.min(MINUTE)),
        })
    }

    fn failed(&self, why: &str) -> Result<Option<Verdict>, QuotaError> {
        let pause = u64::try_from(PAUSE.as_nanos()).unwrap_or(u64::MAX);
        let until = self.hand.nanos().saturating_add(pause);
        self.quiet_until.store(until, Ordering::Relaxed);
        if !self.is_down.swap(true, Ordering::Relaxed) {
            error!(why, when_down = ?self.when_down, "limits cannot be shared");
        }
        self.without()
    }

    fn without(&self) -> Result<Option<Verdict>, QuotaError> {
        match self.when_down {
            WhenDown::CountLocally => Ok(None),
            WhenDown::Refuse => Err(QuotaError::Unshared),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("when_down", &self.when_down)
            .field("is_down", &self.is_down)
            .finish_non_exhaustive()
    }
}
