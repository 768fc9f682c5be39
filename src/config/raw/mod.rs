//! The configuration exactly as it may be written: the raw twin. Its doc comments are the reference that users read, its
//! attributes are the schema that the file is checked against; what the words mean is worked out in `config::meant`.

mod auth;
mod credential;
mod door;
mod keeping;
mod listen;
mod login;
mod oauth;
mod quotas;
mod records;
mod routes;
mod values;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(in crate::config) use auth::{Auth, Claims, Issuer};
pub(in crate::config) use credential::{ClientAuth, Credential, CredentialKind, CredentialSubject};
pub(in crate::config) use door::{Mutual, MutualMode};
pub(in crate::config) use keeping::{Revocation, Store, Vault, VaultKdf, VaultMode};
pub(in crate::config) use listen::{Cors, Limits, Listen, PlainHttp, Preset, Tls, TlsVersion};
pub(in crate::config) use login::{Login, Provider, ProviderKind};
pub(in crate::config) use oauth::{Client, Oauth};
pub(in crate::config) use quotas::{Quotas, WhenDown};
pub(in crate::config) use records::{Audit, LogFormat, LogLevel, Logs, Metrics, Sessions};
pub(in crate::config) use routes::{
    Policy, PolicyDefault, Route, RouteTools, Upstream, scopes_supported,
};
pub(in crate::config) use values::Literal;

/// Settings of the Sallygate gateway.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Config {
    /// `production` refuses what is unsafe outside one machine. `development` allows plain HTTP beyond loopback, if
    /// `listen.plain_http` insists, and nothing else.
    pub(in crate::config) profile: Profile,
    /// Refuse to start as long as anything is warned about, as `sallygate check --strict` does.
    pub(in crate::config) strict: bool,
    /// Where the gateway is reached.
    pub(in crate::config) listen: Listen,
    /// Which web pages may call the gateway from a browser.
    pub(in crate::config) cors: Cors,
    /// Bounds on everything that comes from outside.
    pub(in crate::config) limits: Limits,
    /// Short form for one route at `/mcp`. Write this or `routes`, not both.
    pub(in crate::config) upstream: Option<Upstream>,
    /// The MCP servers behind the gateway, each at its own path.
    pub(in crate::config) routes: Vec<Route>,
    /// Whose tokens are accepted.
    pub(in crate::config) auth: Auth,
    /// How users sign in.
    pub(in crate::config) login: Login,
    /// The authorization server that MCP clients sign their users in at. It is on as soon as there is a login provider.
    pub(in crate::config) oauth: Oauth,
    /// Where sessions, clients and sealed secrets are kept.
    pub(in crate::config) store: Store,
    /// How credentials for MCP servers are kept.
    pub(in crate::config) vault: Vault,
    /// How fast a revocation bites.
    pub(in crate::config) revocation: Revocation,
    /// How much each user may do.
    pub(in crate::config) quotas: Quotas,
    /// Which tools may be used. Forbidding always wins.
    pub(in crate::config) policy: Policy,
    /// The audit trail: one line for every request.
    pub(in crate::config) audit: Audit,
    /// The program's own log, on standard error.
    pub(in crate::config) logs: Logs,
    /// The listener for metrics and health checks. It has no authentication: keep it inside.
    pub(in crate::config) metrics: Metrics,
    /// Sessions of MCP revisions up to 2025-11-25: their ids are sealed, so that each is bound to its user.
    pub(in crate::config) sessions: Sessions,
    /// Key that encrypts what the gateway stores: at least 32 random bytes, best as 64 hex digits
    /// (`sallygate keys generate`).
    pub(in crate::config) encryption_key: Option<Literal>,
    /// File that holds the encryption key, instead of `encryption_key`.
    pub(in crate::config) encryption_key_file: Option<String>,
    /// The encryption key before this one, for as long as `sallygate vault rotate` has not run. There is one: finish a
    /// rotation before the next.
    pub(in crate::config) encryption_key_previous: Option<Literal>,
    /// File that holds the previous encryption key.
    pub(in crate::config) encryption_key_previous_file: Option<String>,
    /// PEM file with certificate authorities to trust for MCP servers and issuers, besides the system's. Where a `ca_file`
    /// is written, that one counts alone.
    pub(in crate::config) extra_ca_file: Option<String>,
    /// Folder for what the gateway keeps. Relative paths, here and everywhere, start at the folder of this file.
    pub(in crate::config) state_dir: StateDir,
}

/// A path with the default `.sallygate`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub(in crate::config) struct StateDir(pub(in crate::config) String);

impl Default for StateDir {
    fn default() -> Self {
        Self(".sallygate".into())
    }
}

/// How strict the gateway is about its surroundings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum Profile {
    #[default]
    Production,
    Development,
}
