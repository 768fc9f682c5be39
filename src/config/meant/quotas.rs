//! What `quotas` means: every tier with its numbers filled in (C29).

use std::collections::BTreeMap;

use super::{Review, urls};
use crate::config::raw;

const FREE_PER_MINUTE: u32 = 100;
const PREMIUM_TIMES_FREE: u32 = 5;
const ENTERPRISE_PER_MINUTE: u32 = 5000;

/// How much each user may do.
#[derive(Clone, Debug)]
pub struct Quotas {
    /// Limits by tier; holds at least `free`, `premium`, `enterprise` and the default tier.
    pub tiers: BTreeMap<String, Tier>,
    /// Tier of users whose token names none.
    pub default_tier: String,
    /// Most open streams of one user.
    pub streams: u32,
    /// Limits by tool.
    pub tools: BTreeMap<String, ToolQuota>,
    /// Limits by user id.
    pub users: BTreeMap<String, UserQuota>,
    /// Where a higher limit is to be had.
    pub upgrade_url: Option<String>,
    /// Most users that are counted.
    pub max_keys: usize,
    /// Whether nobody is admitted while the count of the fleet cannot be reached.
    pub refuse_when_store_is_down: bool,
}

/// Limits of one tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Requests a minute; at least 1.
    pub per_minute: u32,
    /// Requests at once after a pause; at least 1.
    pub burst: u32,
    /// Most requests at one time; at least 1.
    pub concurrency: u32,
}

/// Limits of one tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToolQuota {
    /// How many requests a call counts for; at least 1.
    pub weight: u32,
    /// Calls a minute, where they have a limit of their own.
    pub per_minute: Option<u32>,
}

/// Limits of one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserQuota {
    /// Requests a minute; at least 1.
    pub per_minute: u32,
}

impl Quotas {
    /// Notes a mistake if there is no such tier.
    pub(super) fn knows_tier(&self, path: &str, tier: &str, review: &mut Review) {
        if !self.tiers.contains_key(tier) {
            let known: Vec<&str> = self.tiers.keys().map(String::as_str).collect();
            review.mistake(
                path,
                format!("there is no tier `{tier}`"),
                format!("use one of {}, or add it to quotas.tiers", known.join(", ")),
            );
        }
    }
}

pub(super) fn mean(raw: &raw::Quotas, review: &mut Review) -> Quotas {
    let quotas = Quotas {
        tiers: tiers(raw),
        default_tier: raw.default_tier.clone(),
        streams: raw.streams,
        tools: raw
            .tools
            .iter()
            .map(|(name, tool)| {
                let (weight, per_minute) = (tool.weight, tool.per_minute);
                (name.clone(), ToolQuota { weight, per_minute })
            })
            .collect(),
        users: raw
            .users
            .iter()
            .map(|(id, user)| {
                let per_minute = user.per_minute;
                (id.clone(), UserQuota { per_minute })
            })
            .collect(),
        upgrade_url: raw.upgrade_url.clone(),
        max_keys: raw.max_keys as usize,
        refuse_when_store_is_down: raw.when_store_is_down == raw::WhenDown::Refuse,
    };
    quotas.knows_tier("quotas.default_tier", &raw.default_tier, review);
    if let Some(Err(error)) = raw.upgrade_url.as_deref().map(urls::web) {
        review.mistake("quotas.upgrade_url", error.to_string(), error.help());
    }
    quotas
}

fn tiers(raw: &raw::Quotas) -> BTreeMap<String, Tier> {
    let written = |name: &str| raw.tiers.get(name).map(|tier| tier.per_minute);
    let free = written("free").unwrap_or(FREE_PER_MINUTE);
    let premium = written("premium").unwrap_or(free.saturating_mul(PREMIUM_TIMES_FREE));
    let defaults = [
        ("free", free),
        ("premium", premium),
        ("enterprise", ENTERPRISE_PER_MINUTE.max(premium)),
    ];
    let default = |per_minute| Tier {
        per_minute,
        burst: per_minute,
        concurrency: raw.concurrency,
    };
    let mut tiers: BTreeMap<String, Tier> = defaults
        .into_iter()
        .map(|(name, per_minute)| (name.to_owned(), default(per_minute)))
        .collect();
    tiers.extend(raw.tiers.iter().map(|(name, tier)| {
        let meant = Tier {
            per_minute: tier.per_minute,
            burst: tier.burst.unwrap_or(tier.per_minute),
            concurrency: tier.concurrency.unwrap_or(raw.concurrency),
        };
        (name.clone(), meant)
    }));
    tiers
}
