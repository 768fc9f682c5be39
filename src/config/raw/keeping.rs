//! `store`, `vault` and `revocation` as they may be written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{Literal, Span};

/// Where sessions, clients and sealed secrets are kept.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Store {
    /// `redis://` or `rediss://host:6379/0`, for several gateways that act as one. By default a file in `state_dir`.
    pub(in crate::config) url: Option<Literal>,
    /// File that holds the address, instead of `url`.
    pub(in crate::config) url_file: Option<String>,
    /// PEM file with the certificate authorities to trust for `rediss`, instead of the system's.
    pub(in crate::config) ca_file: Option<String>,
    /// How long one operation may take.
    #[schemars(extend("x-min" = "50ms", "x-max" = "30s"))]
    pub(in crate::config) timeout: Span,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            ca_file: None,
            timeout: Span::seconds(1),
        }
    }
}

/// How credentials for MCP servers are kept.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Vault {
    /// `vault` seals them in the store, `keychain` in the keychain of this machine, `memory` forgets them at the end.
    pub(in crate::config) mode: VaultMode,
    /// How the key is made of `encryption_key`. `auto`: 32 random bytes are used as they are, any other text is stretched.
    /// `hkdf` takes nothing but random bytes. `argon2id` stretches every text; a passphrase of 16 characters is then enough.
    pub(in crate::config) kdf: VaultKdf,
    /// How long an opened credential stays in memory.
    #[schemars(extend("x-min" = "0s", "x-max" = "60s"))]
    pub(in crate::config) cache: Span,
}

impl Default for Vault {
    fn default() -> Self {
        Self {
            mode: VaultMode::Vault,
            kdf: VaultKdf::Auto,
            cache: Span::seconds(60),
        }
    }
}

/// Where credentials are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum VaultMode {
    Vault,
    Keychain,
    Memory,
}

/// How the key of the vault is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum VaultKdf {
    Auto,
    Hkdf,
    Argon2id,
}

/// How fast a revocation bites.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Revocation {
    /// How often the store is asked what was revoked elsewhere.
    #[schemars(extend("x-min" = "50ms", "x-max" = "1s"))]
    pub(in crate::config) poll: Span,
    /// After how long without an answer of the store nobody is let in any more.
    #[schemars(extend("x-min" = "1s", "x-max" = "1m"))]
    pub(in crate::config) stale_after: Span,
    /// How much longer callers are let in while the store does not answer. Whoever sets it lets revoked users in for as
    /// long.
    #[schemars(extend("x-min" = "0s", "x-max" = "15m"))]
    pub(in crate::config) grace: Span,
}

impl Default for Revocation {
    fn default() -> Self {
        Self {
            poll: Span(std::time::Duration::from_millis(250)),
            stale_after: Span::seconds(5),
            grace: Span::seconds(0),
        }
    }
}
