//! What an operator decides about accounts: plain data that the configuration fills in.

use std::time::Duration;

/// Everything that the account's endpoints are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a session's token lives; at most a day (C04).
    pub session_lifetime: Duration,
    /// The scopes of a session: everything that the user may do.
    pub scopes: Vec<String>,
    /// How long after its end a session's token may still be exchanged, once (C05).
    pub grace: Duration,
    /// How long before its end a provider's own token is renewed along with the session (C06).
    pub renew_ahead: Duration,
    /// How many refused credentials an address may show in a minute before it has to wait.
    pub failures_per_minute: u64,
    /// For which providers users may leave keys of their own; the first one is meant where a request names none.
    pub key_providers: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            session_lifetime: Duration::from_secs(86_400),
            scopes: Vec::new(),
            grace: Duration::from_secs(300),
            renew_ahead: Duration::from_secs(300),
            failures_per_minute: 30,
            key_providers: Vec::new(),
        }
    }
}
