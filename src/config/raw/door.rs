//! Who may connect, as it may be written: what one address may do, and the certificates of callers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one address may do. An IPv6 address counts with all others of its `/64`. None of the first three applies behind a
/// proxy that does not say who connects: with `trusted_hops`, and with `behind_tls_proxy` without `proxy_protocol`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct PerAddress {
    /// Most connections at one time.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) connections: u32,
    /// Most new connections in a second; five times as many may come at once.
    #[schemars(range(min = 1, max = 100_000))]
    pub(in crate::config) connections_per_second: u32,
    /// Most TLS handshakes under way at one time.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) handshakes: u32,
    /// Most bad tokens in a minute. Then tokens that were not seen before are answered with 429 before they are looked at.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) bad_tokens_per_minute: u32,
    /// Addresses and networks that none of this applies to.
    pub(in crate::config) exempt: Vec<String>,
}

impl Default for PerAddress {
    fn default() -> Self {
        Self {
            connections: 1000,
            connections_per_second: 100,
            handshakes: 200,
            bad_tokens_per_minute: 300,
            exempt: vec!["127.0.0.0/8".into(), "::1/128".into()],
        }
    }
}

/// Certificates of callers.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Mutual {
    /// `required` ends the handshake of whoever shows none. `optional` lets them in; what they may do, policy says.
    pub(in crate::config) mode: MutualMode,
    /// PEM file with the authorities that vouch for callers. The system's are not asked.
    pub(in crate::config) ca_file: String,
    /// PEM files with lists of revoked certificates. Where there is one, it is asked about every certificate of a chain, and
    /// a list past its next update refuses everybody of its issuer.
    #[serde(default)]
    pub(in crate::config) crl_files: Vec<String>,
    /// Where there are lists, refuse certificates that none of them speaks of.
    #[serde(default = "yes")]
    pub(in crate::config) deny_unknown_revocation: bool,
}

const fn yes() -> bool {
    true
}

/// Whether callers need certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum MutualMode {
    Optional,
    Required,
}
