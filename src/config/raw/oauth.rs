//! `oauth` as it may be written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::login::default_team;
use super::values::{Literal, Span};

/// The authorization server that MCP clients sign their users in at. It is on as soon as there is a login provider.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Oauth {
    /// How long access tokens of MCP clients live.
    #[schemars(extend("x-min" = "5s", "x-max" = "24h"))]
    pub(in crate::config) access_token_lifetime: Span,
    /// How long the sessions of `/auth/callback` live.
    #[schemars(extend("x-min" = "1m", "x-max" = "24h"))]
    pub(in crate::config) session_lifetime: Span,
    /// How long an authorization code may wait for its exchange.
    #[schemars(extend("x-min" = "5s", "x-max" = "10m"))]
    pub(in crate::config) code_lifetime: Span,
    /// How long a login that is not used stays good.
    #[schemars(extend("x-min" = "1m", "x-max" = "90d"))]
    pub(in crate::config) idle_lifetime: Span,
    /// How long a login stays good at most.
    #[schemars(extend("x-min" = "1m", "x-max" = "365d"))]
    pub(in crate::config) max_lifetime: Span,
    /// Whether clients may register themselves (RFC 7591).
    pub(in crate::config) registration: Registration,
    /// Clients whose `client_id` is the address of a document about them (Client ID Metadata Documents).
    pub(in crate::config) client_documents: ClientDocuments,
    /// Clients that the operator knows: machines, and programs with a fixed id.
    pub(in crate::config) clients: Vec<Client>,
}

impl Default for Oauth {
    fn default() -> Self {
        Self {
            access_token_lifetime: Span::seconds(3600),
            session_lifetime: Span::seconds(86_400),
            code_lifetime: Span::seconds(60),
            idle_lifetime: Span::seconds(30 * 86_400),
            max_lifetime: Span::seconds(90 * 86_400),
            registration: Registration::default(),
            client_documents: ClientDocuments::default(),
            clients: Vec::new(),
        }
    }
}

/// Registration of clients by themselves.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Registration {
    /// Whether it is open to anybody.
    pub(in crate::config) enabled: bool,
    /// How long a registration that is not used is kept.
    #[schemars(extend("x-min" = "1h", "x-max" = "365d"))]
    pub(in crate::config) lifetime: Span,
    /// How many registrations there may be at a time.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) max_clients: u32,
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            enabled: true,
            lifetime: Span::seconds(90 * 86_400),
            max_clients: 10_000,
        }
    }
}

/// Documents about clients, at addresses that the clients name.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct ClientDocuments {
    /// Whether they are read.
    pub(in crate::config) enabled: bool,
    /// Hosts that may be asked although their addresses are private, such as those of an intranet.
    pub(in crate::config) allow_hosts: Vec<String>,
    /// PEM file with certificate authorities to trust for them, besides the system's.
    pub(in crate::config) ca_file: Option<String>,
}

impl Default for ClientDocuments {
    fn default() -> Self {
        Self {
            enabled: true,
            allow_hosts: Vec::new(),
            ca_file: None,
        }
    }
}

/// A client that the operator knows.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Client {
    /// Its `client_id`.
    pub(in crate::config) client_id: String,
    /// What the consent page calls it. By default its id.
    pub(in crate::config) name: Option<String>,
    /// Its secret.
    pub(in crate::config) client_secret: Option<Literal>,
    /// File that holds its secret.
    pub(in crate::config) client_secret_file: Option<String>,
    /// File with its public keys (JWKS), for `private_key_jwt`.
    pub(in crate::config) jwks_file: Option<String>,
    /// Where its users are sent back to. None for a machine, which has no users.
    #[serde(default)]
    pub(in crate::config) redirect_uris: Vec<String>,
    /// Scopes that it may have.
    #[serde(default)]
    pub(in crate::config) scopes: Vec<String>,
    /// Whether it may act on its own behalf (`client_credentials`).
    #[serde(default)]
    pub(in crate::config) machine: bool,
    /// Whether it may ask what a token is worth (`/oauth/introspect`).
    #[serde(default)]
    pub(in crate::config) introspect: bool,
    /// The tier of a machine. By default `quotas.default_tier`.
    pub(in crate::config) tier: Option<String>,
    /// The team of a machine.
    #[serde(default = "default_team")]
    pub(in crate::config) team: String,
}
