//! The count of a fleet, against a real Redis.

use std::num::NonZeroU32;
use std::time::Duration;

use super::super::shared::{Shared, WhenDown};
use super::super::{Charge, CounterKey, QuotaError, Verdict};
use super::redis_server::Redis;
use crate::auth::UserId;
use crate::clock::Clock;
use crate::secret::Secret;
use crate::store::redis::{Settings, link::Link};

fn number(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn charge(user: &str, per_minute: u32, burst: u32, cells: u32) -> Charge {
    Charge {
        key: CounterKey::of(&UserId::own(user), "default"),
        action: "default".into(),
        per_minute: number(per_minute),
        burst: number(burst),
        cells: number(cells),
    }
}

fn gateway(redis: &Redis, when_down: WhenDown) -> Shared {
    let settings = Settings {
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(5),
        retry_pause: Duration::from_millis(100),
        ..Settings::default()
    };
    let link = Link::new(&Secret::new(redis.url()), &settings).unwrap();
    Shared::new(link, Duration::from_secs(10), when_down, Clock::system())
}

#[tokio::test]
async fn c13_two_gateways_admit_no_more_together_than_one_alone() {
    let Some(redis) = Redis::start() else { return };
    let (one, two) = (
        gateway(&redis, WhenDown::Refuse),
        gateway(&redis, WhenDown::Refuse),
    );
    // One request a minute comes back: none within the test.
    let asked = charge("12345", 1, 20, 1);
    let mut admitted = 0;
    for _ in 0..30 {
        for gateway in [&one, &two] {
            match gateway.charge(&asked).await.unwrap().unwrap() {
                Verdict::Admitted { remaining, .. } => {
                    admitted += 1;
                    assert_eq!(remaining, 20 - admitted);
                }
                Verdict::TooSoon(wait) => assert!(wait <= Duration::from_secs(60), "{wait:?}"),
            }
        }
    }
    assert_eq!(admitted, 20);
    let somebody_else = one.charge(&charge("999", 1, 20, 20)).await.unwrap();
    assert!(matches!(
        somebody_else,
        Some(Verdict::Admitted { remaining: 0, .. })
    ));
    let never = one.charge(&charge("7", 1, 20, 21)).await.unwrap();
    assert_eq!(never, Some(Verdict::TooSoon(Duration::from_secs(60))));
}

#[tokio::test]
async fn while_redis_is_away_the_declared_thing_happens_and_it_ends_by_itself() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let (counting, refusing) = (
        gateway(&redis, WhenDown::CountLocally),
        gateway(&redis, WhenDown::Refuse),
    );
    let asked = charge("12345", 60, 1000, 1);
    assert!(counting.charge(&asked).await.unwrap().is_some());
    redis.kill();
    assert_eq!(counting.charge(&asked).await, Ok(None));
    assert!(counting.is_down());
    assert_eq!(refusing.charge(&asked).await, Err(QuotaError::Unshared));
    redis.resume();
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while !matches!(counting.charge(&asked).await, Ok(Some(_))) {
        assert!(std::time::Instant::now() < until, "never recovered");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!counting.is_down());
}
