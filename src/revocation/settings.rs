//! How fast a revocation is known everywhere, and for how long nobody may know.

use std::time::Duration;

/// How the view of what was revoked is kept current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often the store is asked for news. With the time of one look it is the longest that a revocation made by
    /// another process takes to bite; one made here bites at once.
    pub poll: Duration,
    /// The age from which the view is too old to be asked: a few looks that failed. From then on nobody is let in (C39).
    pub stale_after: Duration,
    /// How much longer the view may be asked while the store cannot be read. Off by default: whoever sets it accepts that
    /// a revoked principal may act for that long.
    pub grace: Duration,
    /// The longest that any token may live, foreign issuers' included: how long the moment is remembered up to which a
    /// user's tokens were revoked.
    pub longest_token: Duration,
}

impl Settings {
    /// The longest grace that may be set.
    pub const GRACE_MAX: Duration = Duration::from_secs(900);

    /// The age up to which the view may be asked.
    pub fn bound(&self) -> Duration {
        self.stale_after
            .saturating_add(self.grace.min(Self::GRACE_MAX))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(250),
            stale_after: Duration::from_secs(5),
            grace: Duration::ZERO,
            longest_token: Duration::from_secs(30 * 86_400),
        }
    }
}
