//! What a user is told about the limit: the three `X-RateLimit` headers on every answer, `Retry-After` and the JSON body
//! on a refusal (C14). All of them are made of one reading of the clock, so that they agree.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use super::bucket::MINUTE;
use crate::clock::Timestamp;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Bytes in which the three numbers have room: one piece of memory for all of them.
const ROOM: usize = 64;

/// Where a user stands against a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests per minute.
    pub limit: u32,
    /// Requests that would be admitted now.
    pub remaining: u32,
    /// When the whole limit is free again; after a refusal, when the next request is admitted. A whole second, never
    /// more than a minute ahead.
    pub reset_at: Timestamp,
    /// How long until a request is admitted; zero if one is.
    pub retry_after: Duration,
}

impl Allowance {
    /// After a request was admitted.
    pub(super) fn after(limit: u32, remaining: u32, now: Timestamp, full_in: Duration) -> Self {
        let step = MINUTE / limit.max(1);
        let retry_after = if remaining == 0 {
            step.min(full_in)
        } else {
            Duration::ZERO
        };
        Self {
            limit,
            remaining,
            reset_at: whole_second(now, full_in),
            retry_after,
        }
    }

    /// After one was refused.
    pub(super) fn refused(limit: u32, now: Timestamp, wait: Duration) -> Self {
        Self {
            limit,
            remaining: 0,
            reset_at: whole_second(now, wait),
            retry_after: wait.min(MINUTE),
        }
    }

    /// Whole seconds to wait, from 1 to 60.
    pub fn retry_after_seconds(&self) -> u64 {
        u64::try_from(self.retry_after.as_millis().div_ceil(1000))
            .map_or(60, |seconds| seconds.clamp(1, 60))
    }

    /// Writes `X-RateLimit-Limit`, `-Remaining` and `-Reset`, the last as Unix seconds.
    pub fn write(&self, headers: &mut HeaderMap) {
        let mut text = BytesMut::with_capacity(ROOM);
        let numbers = [
            (LIMIT, i64::from(self.limit)),
            (REMAINING, i64::from(self.remaining)),
            (RESET, self.reset_at.seconds()),
        ];
        for (name, number) in numbers {
            // Writing to memory does not fail, and digits are a header value.
            let _ = write!(text, "{number}");
            if let Ok(value) = HeaderValue::from_maybe_shared(text.split().freeze()) {
                headers.insert(name, value);
            }
        }
    }
}

/// Rounded up, so that whoever waits for it does not come too early, but never beyond the window.
fn whole_second(now: Timestamp, ahead: Duration) -> Timestamp {
    let exact = now.plus(ahead).millis();
    let rounded_up = Timestamp::from_millis(exact.saturating_add(999)).seconds();
    Timestamp::from_seconds(rounded_up.min(now.seconds().saturating_add(60)))
}

/// Why a request is not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// The limit of the user, or of the user for one tool, is used up.
    #[error("limit of {} a minute for action `{action}` is used up", allowance.limit)]
    Rate {
        /// The tool with a limit of its own, or `default`.
        action: Arc<str>,
        /// Where the user stands.
        allowance: Allowance,
        /// Where to buy more, unless this is the highest tier.
        upgrade_url: Option<Arc<str>>,
    },
    /// The user has as many calls running as allowed.
    #[error("{cap} calls of this user are running already")]
    Concurrency {
        /// How many may.
        cap: u32,
    },
    /// The user has as many streams open as allowed.
    #[error("{cap} streams of this user are open already")]
    Streams {
        /// How many may.
        cap: u32,
    },
    /// The count of the fleet cannot be reached, and the operator wants nobody admitted then.
    #[error("the count that all gateways share cannot be reached")]
    Unshared,
    /// There is no room to count another user. Refusing is the only answer that is not a way round the limit.
    #[error("the table of {max} users is full of active ones")]
    Capacity {
        /// How many users fit.
        max: usize,
    },
}

/// The body of a refusal.
#[derive(Debug, Serialize)]
pub struct RateLimited {
    /// The only member.
    pub error: RateLimitedError,
}

/// What is in the body of a refusal.
#[derive(Debug, Serialize)]
pub struct RateLimitedError {
    /// `rate_limited`.
    pub code: &'static str,
    /// What happened, for people.
    pub message: &'static str,
    /// The figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<RateLimitDetails>,
}

/// The figures of a refusal.
#[derive(Debug, Serialize)]
pub struct RateLimitDetails {
    /// The limit that was reached.
    pub limit: u32,
    /// From 1 to 60.
    pub reset_in_seconds: u64,
    /// Where to buy more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade_url: Option<Arc<str>>,
}

impl QuotaError {
    /// A fixed word for logs, audit lines and metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Rate { .. } => "rate",
            Self::Concurrency { .. } => "concurrency",
            Self::Streams { .. } => "streams",
            Self::Capacity { .. } => "capacity",
            Self::Unshared => "unshared",
        }
    }

    /// Whole seconds after which it is worth trying again.
    pub fn retry_after_seconds(&self) -> u64 {
        match self {
            Self::Rate { allowance, .. } => allowance.retry_after_seconds(),
            Self::Concurrency { .. } | Self::Streams { .. } | Self::Unshared => 1,
            Self::Capacity { .. } => 60,
        }
    }

    /// Writes `Retry-After`, and the `X-RateLimit` headers where there is a rate.
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.insert(RETRY_AFTER, HeaderValue::from(self.retry_after_seconds()));
        if let Self::Rate { allowance, .. } = self {
            allowance.write(headers);
        }
    }

    /// The JSON body of the refusal (R147 to R151).
    pub fn body(&self) -> RateLimited {
        let details = |limit: u32, upgrade_url: Option<Arc<str>>| RateLimitDetails {
            limit,
            reset_in_seconds: self.retry_after_seconds(),
            upgrade_url,
        };
        let (message, details) = match self {
            Self::Rate {
                allowance,
                upgrade_url,
                ..
            } => (
                "Rate limit exceeded",
                Some(details(allowance.limit, upgrade_url.clone())),
            ),
            Self::Concurrency { cap } => {
                ("Too many concurrent requests", Some(details(*cap, None)))
            }
            Self::Streams { cap } => ("Too many open streams", Some(details(*cap, None))),
            Self::Capacity { .. } => ("Too many users at once", None),
            Self::Unshared => ("Requests cannot be counted at the moment", None),
        };
        RateLimited {
            error: RateLimitedError {
                code: "rate_limited",
                message,
                details,
            },
        }
    }
}
