//! The bucket in Redis is the bucket in memory: the same requests at the same times get the same answers from both.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use super::super::bucket::{Bucket, Hand, Limit, MINUTE, TooSoon};
use super::super::shared::{Shared, WhenDown};
use super::super::{Charge, CounterKey, Verdict};
use super::redis_server::Redis;
use crate::auth::UserId;
use crate::clock::{Clock, Timestamp};
use crate::random;
use crate::secret::Secret;
use crate::store::redis::{Settings, link::Link};

/// Some time passes, counted in quarters of what one request takes; then so many requests are asked for at once. The time
/// that the test itself takes is far less than a quarter, so that it decides nothing.
type Step = (u32, u32);

struct Pair {
    link: Link,
    shared: Shared,
    key: CounterKey,
    clock: Clock,
    hand: Hand,
    limit: Limit,
    own: Bucket,
}

fn number(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

impl Pair {
    fn new(url: &str, per_minute: u32, burst: u32) -> Self {
        let settings = Settings {
            connect_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(10),
            ..Settings::default()
        };
        let link = Link::new(&Secret::new(url.to_owned()), &settings).unwrap();
        let clock = Clock::manual(Timestamp::from_seconds(1_000));
        let hand = Hand::new(clock.clone());
        let patience = Duration::from_secs(20);
        let user = UserId::own(&random::hex::<8>().unwrap());
        Self {
            shared: Shared::new(link.clone(), patience, WhenDown::Refuse, Clock::system()),
            link,
            key: CounterKey::of(&user, "default"),
            clock,
            limit: Limit::new(number(per_minute), Some(number(burst)), &hand),
            hand,
            own: Bucket::default(),
        }
    }

    /// In memory the clock moves. The clock of a Redis is not ours to move; there the bucket moves into the past.
    async fn let_pass(&self, time: Duration) {
        self.clock.advance(time);
        let shift = ::redis::Script::new(
            "local full = redis.call('GET', KEYS[1])
             if full then redis.call('SET', KEYS[1], string.format('%.0f', full - ARGV[1]), 'KEEPTTL') end
             return 1",
        );
        let mut shift = shift.key(format!("sallygate:{}", self.key.tagged()));
        shift.arg(u64::try_from(time.as_micros()).unwrap());
        assert_eq!(self.link.run::<i64>(&shift).await.unwrap(), 1);
    }

    async fn step(&self, (quarters, cells): Step) -> Result<(), TestCaseError> {
        let each = MINUTE / self.limit.per_minute().get();
        self.let_pass(each / 4 * quarters).await;
        let charge = Charge {
            key: self.key.clone(),
            action: "default".into(),
            per_minute: self.limit.per_minute(),
            burst: self.limit.burst(),
            cells: number(cells),
        };
        let shared = self.shared.charge(&charge).await.unwrap().unwrap();
        let near = |one: Duration, other: Duration| one.abs_diff(other) < each / 8;
        match (self.limit.charge(&self.own, number(cells)), shared) {
            (Ok(left), Verdict::Admitted { remaining, full_in }) => {
                prop_assert_eq!(left, remaining);
                let own = self.own.full_at() - self.hand.nanos();
                prop_assert!(near(Duration::from_nanos(own), full_in));
            }
            (Err(TooSoon(own)), Verdict::TooSoon(wait)) => {
                prop_assert!(near(own.min(MINUTE), wait), "{own:?} {wait:?}");
            }
            (own, shared) => prop_assert!(false, "{own:?} here, {shared:?} there"),
        }
        Ok(())
    }
}

#[test]
fn c13_the_shared_bucket_answers_as_the_one_in_memory() {
    let Some(redis) = Redis::start() else { return };
    let url = redis.url();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let steps = proptest::collection::vec((0_u32..12, 1_u32..5), 1..40);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(48));
    let outcome = runner.run(
        &(1_u32..=6, 1_u32..10, steps),
        |(per_minute, burst, steps)| {
            runtime.block_on(async {
                let pair = Pair::new(&url, per_minute, burst);
                for step in steps {
                    pair.step(step).await?;
                }
                Ok(())
            })
        },
    );
    outcome.unwrap();
}
