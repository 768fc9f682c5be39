//! What an operator can configure about quotas, as plain data.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

const FREE_PER_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
const PREMIUM_FACTOR: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);
const ENTERPRISE_FACTOR: NonZeroU32 = NonZeroU32::MIN.saturating_add(49);

/// How much each user may ask for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Limits by tier. A tier that is not named here gets the lowest of them.
    pub tiers: BTreeMap<String, UserLimit>,
    /// Limits of single users by id, instead of their tier's (R157).
    pub users: BTreeMap<String, UserLimit>,
    /// Tools that cost more than one request or have a limit of their own.
    pub tools: BTreeMap<String, ToolLimit>,
    /// Where a refused user can buy more. Users of the highest tier are not sent there.
    pub upgrade_url: Option<String>,
    /// Calls of one user at the same time, unless the tier says otherwise (R498, C29).
    pub concurrency: u32,
    /// Long-lived streams of one user at the same time, unless the tier says otherwise. They are counted apart, or a few
    /// open streams would leave no room for calls.
    pub streams: u32,
    /// Users remembered at the same time, about 200 bytes each. When all of them are active, new ones are refused.
    pub max_keys: usize,
}

/// The limits of a tier or of one user.
#[derive(Clone, Copy, Debug)]
pub struct UserLimit {
    /// Requests per minute, sustained.
    pub per_minute: NonZeroU32,
    /// Requests at once after a pause; `per_minute` if not set. Over any time `t` no more than `burst + per_minute * t`
    /// are admitted. A million at most.
    pub burst: Option<NonZeroU32>,
    /// Calls at the same time.
    pub concurrency: Option<u32>,
    /// Long-lived streams at the same time.
    pub streams: Option<u32>,
}

/// What is special about one tool.
#[derive(Clone, Copy, Debug)]
pub struct ToolLimit {
    /// How many requests one call counts as (R160).
    pub weight: NonZeroU32,
    /// How often each user may call it, besides the user's total.
    pub per_minute: Option<NonZeroU32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self::with_base(FREE_PER_MINUTE)
    }
}

impl Settings {
    /// The default tiers on another base: premium is five times free (R155, C29), enterprise fifty times.
    pub fn with_base(free: NonZeroU32) -> Self {
        Self {
            tiers: [
                ("free".to_owned(), UserLimit::per_minute(free)),
                (
                    "premium".to_owned(),
                    UserLimit::per_minute(free.saturating_mul(PREMIUM_FACTOR)),
                ),
                (
                    "enterprise".to_owned(),
                    UserLimit::per_minute(free.saturating_mul(ENTERPRISE_FACTOR)),
                ),
            ]
            .into(),
            users: BTreeMap::new(),
            tools: BTreeMap::new(),
            upgrade_url: None,
            concurrency: 5,
            streams: 10,
            max_keys: 100_000,
        }
    }

    /// What a user of an unknown tier gets: the least that anybody gets.
    pub(super) fn lowest(&self) -> UserLimit {
        self.tiers
            .values()
            .min_by_key(|limit| limit.per_minute)
            .copied()
            .unwrap_or(UserLimit::per_minute(FREE_PER_MINUTE))
    }

    /// What the highest tier gets.
    pub(super) fn highest(&self) -> NonZeroU32 {
        self.tiers
            .values()
            .map(|limit| limit.per_minute)
            .max()
            .unwrap_or(FREE_PER_MINUTE)
    }
}

impl UserLimit {
    /// A limit with everything else at its default.
    pub const fn per_minute(per_minute: NonZeroU32) -> Self {
        Self {
            per_minute,
            burst: None,
            concurrency: None,
            streams: None,
        }
    }
}

impl Default for ToolLimit {
    fn default() -> Self {
        Self {
            weight: NonZeroU32::MIN,
            per_minute: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r135_r155_premium_has_five_times_the_free_limit() {
        let settings = Settings::default();
        let of = |tier: &str| settings.tiers[tier].per_minute.get();
        assert_eq!(
            (of("free"), of("premium"), of("enterprise")),
            (100, 500, 5000)
        );
        let seven = Settings::with_base(NonZeroU32::new(7).unwrap());
        assert_eq!(seven.tiers["premium"].per_minute.get(), 35);
    }
}
