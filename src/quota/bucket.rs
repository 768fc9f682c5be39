//! One leaky bucket, by the generic cell rate algorithm. governor does the arithmetic; the state is a single number that
//! lives with the user and not with the limit, so that a user who presents tokens of two tiers, or whose limit is
//! reconfigured, keeps what has been spent.

use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

use crate::clock::Clock;

/// The time in which `per_minute` requests are granted, and the longest that anybody is told to wait.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// No bucket holds more, whatever is configured, so that governor's arithmetic in nanoseconds cannot overflow.
const LARGEST_BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(999_999);

/// The time that limits count in: nanoseconds since a moment that all limits share.
#[derive(Clone, Debug)]
pub(super) struct Hand {
    clock: Clock,
    zero: Instant,
}

impl Hand {
    pub(super) fn new(clock: Clock) -> Self {
        let zero = clock.monotonic();
        Self { clock, zero }
    }

    pub(super) const fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn nanos(&self) -> u64 {
        let passed = self.clock.monotonic().saturating_duration_since(self.zero);
        u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// governor counts from the moment at which a limiter is made. This one reads zero until the limiter is made, so that
/// limiters made at different times count from the same moment.
#[derive(Debug)]
struct Started {
    hand: Hand,
    running: AtomicBool,
}

impl governor::clock::Clock for Started {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        if self.running.load(Ordering::Relaxed) {
            self.hand.nanos().into()
        } else {
            0.into()
        }
    }
}

impl Clone for Started {
    fn clone(&self) -> Self {
        Self {
            hand: self.hand.clone(),
            running: AtomicBool::new(self.running.load(Ordering::Relaxed)),
        }
    }
}

/// What one user has spent: the moment at which the bucket is full again.
#[derive(Clone, Debug, Default)]
pub(super) struct Bucket(Arc<AtomicU64>);

impl Bucket {
    /// The moment at which nothing is spent any more.
    pub(super) fn full_at(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

// governor finds a state by its key. Here the key is the state, so two keys are equal if they are the same bucket.
impl PartialEq for Bucket {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Bucket {}

impl Hash for Bucket {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

#[derive(Debug)]
struct InTheKey;

impl StateStore for InTheKey {
    type Key = Bucket;

    fn measure_and_replace<T, F, E>(&self, bucket: &Bucket, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut seen = bucket.0.load(Ordering::Acquire);
        loop {
            let (outcome, next) = decide((seen != 0).then(|| seen.into()))?;
            match bucket.0.compare_exchange_weak(
                seen,
                next.as_u64(),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Ok(outcome),
                Err(now) => seen = now,
            }
        }
    }
}

/// A limit that any number of buckets can be held against.
#[derive(Debug)]
pub(super) struct Limit {
    limiter: RateLimiter<Bucket, InTheKey, Started, StateInformationMiddleware>,
    hand: Hand,
    per_minute: NonZeroU32,
    burst: NonZeroU32,
}

/// Too much was asked for; this is how long until it would not be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooSoon(pub(super) Duration);

impl Limit {
    pub(super) fn new(per_minute: NonZeroU32, burst: Option<NonZeroU32>, hand: &Hand) -> Self {
        let burst = burst.unwrap_or(per_minute).min(LARGEST_BURST);
        let clock = Started {
            hand: hand.clone(),
            running: AtomicBool::new(false),
        };
        let quota = Quota::per_minute(per_minute).allow_burst(burst);
        let limiter = RateLimiter::new(quota, InTheKey, clock);
        limiter.clock().running.store(true, Ordering::Relaxed);
        Self {
            limiter,
            hand: hand.clone(),
            per_minute,
            burst,
        }
    }

    pub(super) const fn per_minute(&self) -> NonZeroU32 {
        self.per_minute
    }

    pub(super) const fn burst(&self) -> NonZeroU32 {
        self.burst
    }

    /// Takes `cells` out of the bucket and says how many are left, or takes none.
    pub(super) fn charge(&self, bucket: &Bucket, cells: NonZeroU32) -> Result<u32, TooSoon> {
        // More than fits at once never will: a minute is the longest that anybody is told to wait.
        let never = || TooSoon(MINUTE);
        if cells > self.burst {
            return Err(never());
        }
        match self
            .limiter
            .check_key_n(bucket, cells)
            .map_err(|_| never())?
        {
            Ok(snapshot) => Ok(snapshot.remaining_burst_capacity()),
            Err(refused) => Err(TooSoon(refused.wait_time_from(self.hand.nanos().into()))),
        }
    }

    /// How many requests the time until `full_at` stands for.
    pub(super) fn spent(&self, full_at: u64) -> u32 {
        let ahead = full_at.saturating_sub(self.hand.nanos());
        let each = MINUTE.as_nanos() / u128::from(self.per_minute.get());
        let spent = u128::from(ahead).div_ceil(each.max(1));
        u32::try_from(spent).map_or(self.burst.get(), |spent| spent.min(self.burst.get()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Timestamp;

    fn number(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).unwrap()
    }

    #[test]
    fn a_weight_that_never_fits_is_refused_for_a_minute() {
        let hand = Hand::new(Clock::manual(Timestamp::from_seconds(1)));
        let limit = Limit::new(number(5), None, &hand);
        let bucket = Bucket::default();
        assert_eq!(limit.charge(&bucket, number(6)), Err(TooSoon(MINUTE)));
        assert_eq!(limit.charge(&bucket, number(5)), Ok(0), "nothing was taken");
    }

    #[test]
    fn the_largest_figures_do_not_overflow() {
        let hand = Hand::new(Clock::manual(Timestamp::from_seconds(1)));
        for (per_minute, burst) in [(1, u32::MAX), (u32::MAX, u32::MAX), (u32::MAX, 1)] {
            let limit = Limit::new(number(per_minute), Some(number(burst)), &hand);
            let bucket = Bucket::default();
            assert!(limit.charge(&bucket, NonZeroU32::MAX).is_err());
            let most = number(burst).min(LARGEST_BURST);
            assert_eq!(limit.charge(&bucket, most), Ok(0), "{per_minute} {burst}");
            assert!(limit.charge(&bucket, NonZeroU32::MIN).is_err());
            assert!(limit.spent(u64::MAX) <= burst);
        }
    }

    #[test]
    fn limits_made_at_different_times_count_from_the_same_moment() {
        let clock = Clock::manual(Timestamp::from_seconds(1));
        let hand = Hand::new(clock.clone());
        let (early, bucket) = (Limit::new(number(10), None, &hand), Bucket::default());
        clock.advance(Duration::from_secs(3600));
        let late = Limit::new(number(10), None, &hand);
        assert_eq!(early.charge(&bucket, number(10)), Ok(0));
        assert_eq!(
            late.charge(&bucket, number(1)),
            Err(TooSoon(Duration::from_secs(6)))
        );
    }

    proptest! {
        #[test]
        fn c13_never_more_than_the_burst_and_the_rate_over_any_interval(
            per_minute in 1_u32..200,
            burst in 1_u32..50,
            steps in proptest::collection::vec((0_u64..5_000, 1_u32..4), 1..200),
        ) {
            let clock = Clock::manual(Timestamp::from_seconds(1_000));
            let hand = Hand::new(clock.clone());
            let (limit, bucket) = (Limit::new(number(per_minute), Some(number(burst)), &hand), Bucket::default());
            let mut admitted: Vec<(u64, u32)> = Vec::new();
            let mut now = 0;
            for (pause, cells) in steps {
                clock.advance(Duration::from_millis(pause));
                now += pause;
                if limit.charge(&bucket, number(cells)).is_ok() {
                    admitted.push((now, cells));
                }
            }
            for (index, (from, _)) in admitted.iter().enumerate() {
                let mut sum = 0_u64;
                for (at, cells) in &admitted[index..] {
                    sum += u64::from(*cells);
                    let allowed = u64::from(burst) + (at - from) * u64::from(per_minute) / 60_000 + 1;
                    prop_assert!(sum <= allowed, "{sum} in {} ms", at - from);
                }
            }
        }
    }
}
