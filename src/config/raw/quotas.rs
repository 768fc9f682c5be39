//! `quotas` as it may be written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much each user may do.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Quotas {
    /// Limits by tier. There are always `free` (100 a minute), `premium` (five times `free`) and `enterprise` (5000 a
    /// minute); what is written here is added or takes their place.
    pub(in crate::config) tiers: BTreeMap<String, Tier>,
    /// Tier of users whose token names none.
    pub(in crate::config) default_tier: String,
    /// Most requests of one user at one time.
    #[schemars(range(min = 1, max = 10_000))]
    pub(in crate::config) concurrency: u32,
    /// Most open streams of one user at one time.
    #[schemars(range(min = 1, max = 10_000))]
    pub(in crate::config) streams: u32,
    /// Limits by tool.
    pub(in crate::config) tools: BTreeMap<String, ToolQuota>,
    /// Limits by user id, instead of their tier's.
    pub(in crate::config) users: BTreeMap<String, UserQuota>,
    /// Where users who reached their limit can get a higher one.
    pub(in crate::config) upgrade_url: Option<String>,
    /// Most users that are counted at one time.
    #[schemars(range(min = 1000, max = 10_000_000))]
    pub(in crate::config) max_keys: u32,
    /// Where `store.url` names a Redis, limits count over all gateways. While it does not answer, every gateway counts
    /// for itself (`count_locally`) or refuses everybody (`refuse`).
    pub(in crate::config) when_store_is_down: WhenDown,
}

/// What happens to limits while the store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum WhenDown {
    #[default]
    CountLocally,
    Refuse,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            tiers: BTreeMap::new(),
            default_tier: "free".into(),
            concurrency: 5,
            streams: 10,
            tools: BTreeMap::new(),
            users: BTreeMap::new(),
            upgrade_url: None,
            max_keys: 100_000,
            when_store_is_down: WhenDown::CountLocally,
        }
    }
}

/// Limits of one tier.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Tier {
    /// Requests a minute.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) per_minute: u32,
    /// Requests at once after a pause. By default all of a minute.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) burst: Option<u32>,
    /// Most requests of one user at one time. By default `quotas.concurrency`.
    #[schemars(range(min = 1, max = 10_000))]
    pub(in crate::config) concurrency: Option<u32>,
}

/// Limits of one tool, for each user.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ToolQuota {
    /// How many requests a call counts for.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub(in crate::config) weight: u32,
    /// Calls a minute. By default the user's limit alone counts.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) per_minute: Option<u32>,
}

const fn one() -> u32 {
    1
}

/// Limits of one user.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct UserQuota {
    /// Requests a minute.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) per_minute: u32,
}
