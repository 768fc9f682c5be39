//! What an operator decides about the authorization server: plain data that the configuration fills in.

use std::path::PathBuf;
use std::time::Duration;

use crate::auth::ResourceId;
use crate::secret::Secret;
use crate::units::ByteSize;

/// Everything that the authorization server is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The issuer: the `iss` of our tokens and of authorization responses.
    pub issuer: String,
    /// What the addresses of endpoints begin with, without a slash at the end.
    pub public_url: String,
    /// How long access tokens live (C04).
    pub access_token_lifetime: Duration,
    /// How long a code lives (C20).
    pub code_lifetime: Duration,
    /// How long a request waits for its user.
    pub pending_lifetime: Duration,
    /// How long a user's consent is remembered.
    pub consent_lifetime: Duration,
    /// Registration by clients themselves; `None` where it is off.
    pub registration: Option<Registration>,
    /// Documents about clients; `None` where they are not read.
    pub documents: Option<Documents>,
    /// Clients that the operator knows.
    pub clients: Vec<KnownClient>,
    /// The scopes that there are, besides those of the resources (C25).
    pub scopes: Vec<Scope>,
    /// How many failures there may be.
    pub throttle: Throttle,
}

impl Settings {
    /// The longest that a code may live (C20).
    pub const CODE_LIFETIME_MAX: Duration = Duration::from_secs(600);
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            public_url: String::new(),
            access_token_lifetime: Duration::from_secs(3600),
            code_lifetime: Duration::from_secs(60),
            pending_lifetime: Duration::from_secs(600),
            consent_lifetime: Duration::from_secs(90 * 86_400),
            registration: Some(Registration::default()),
            documents: Some(Documents::default()),
            clients: Vec::new(),
            scopes: Scope::defaults(),
            throttle: Throttle::default(),
        }
    }
}

/// Registration of clients by themselves (RFC 7591).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// How long an unused one is kept (R021).
    pub lifetime: Duration,
    /// How many there may be.
    pub max_clients: u32,
    /// How many one address may make in an hour.
    pub per_address: u64,
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(90 * 86_400),
            max_clients: 10_000,
            per_address: 60,
        }
    }
}

/// Client ID Metadata Documents: how far we go to read an address that a stranger names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documents {
    /// Hosts, or `host:port`, that may be asked although their addresses are not public or their port is not 443.
    pub allow_hosts: Vec<String>,
    /// Certificate authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Time for one document, connection included.
    pub timeout: Duration,
    /// Largest document that is read.
    pub max_bytes: ByteSize,
    /// The least that a document is kept, whatever its server says.
    pub keep_min: Duration,
    /// The longest that a document is kept, whatever its server says.
    pub keep_max: Duration,
    /// How long a document that cannot be had is not asked for again.
    pub keep_failure: Duration,
    /// How long a document is used beyond its time while its server does not answer, so that nobody has to sign in anew
    /// because of that.
    pub keep_stale: Duration,
    /// How often one host is asked in a minute.
    pub per_host: u64,
    /// How often we ask anybody in a minute because of one address.
    pub per_address: u64,
}

impl Default for Documents {
    fn default() -> Self {
        Self {
            allow_hosts: Vec::new(),
            ca_file: None,
            timeout: Duration::from_secs(5),
            max_bytes: ByteSize::kib(32),
            keep_min: Duration::from_secs(60),
            keep_max: Duration::from_secs(86_400),
            keep_failure: Duration::from_secs(30),
            keep_stale: Duration::from_secs(7 * 86_400),
            per_host: 30,
            per_address: 30,
        }
    }
}

/// A client that the operator knows.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownClient {
    /// Its `client_id`.
    pub client_id: String,
    /// Its name.
    pub name: String,
    /// How it proves who it is.
    pub proof: Proof,
    /// Where its users are sent back to.
    pub redirect_uris: Vec<String>,
    /// Scopes that it may have; empty for all that there are.
    pub scopes: Vec<String>,
    /// Whether it may act on its own behalf (`client_credentials`).
    pub machine: bool,
    /// Whether it may ask what a token is worth.
    pub introspect: bool,
    /// The tier of a machine.
    pub tier: String,
    /// The team of a machine.
    pub team: String,
}

/// How a client that the operator knows proves who it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Proof {
    /// Not at all.
    None,
    /// By a secret.
    Secret(Secret<String>),
    /// By a signature under one of the keys in this file (JWKS).
    Keys(PathBuf),
}

/// A scope, and what it means to somebody who is asked to allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The name.
    pub name: String,
    /// The meaning, in one line.
    pub meaning: String,
    /// Scopes that are granted with it.
    pub includes: Vec<String>,
}

impl Scope {
    /// The scopes of the seeds (C25): `mcp:*` are bundles of the others.
    pub fn defaults() -> Vec<Self> {
        let scope = |name: &str, meaning: &str, includes: &[&str]| Self {
            name: name.to_owned(),
            meaning: meaning.to_owned(),
            includes: includes.iter().map(ToString::to_string).collect(),
        };
        vec![
            scope("user:read", "See your profile", &[]),
            scope("team:read", "See your workspaces and their members", &[]),
            scope("task:write", "Create and change tasks", &[]),
            scope(
                "mcp:read",
                "Use tools that only read",
                &["user:read", "team:read"],
            ),
            scope("mcp:write", "Use tools that change things", &["task:write"]),
        ]
    }
}

/// How many failures there may be before nobody is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// The time in which they are counted.
    pub window: Duration,
    /// Failures of one address.
    pub per_address: u64,
    /// Failures to prove to be one client, wherever they come from.
    pub per_client: u64,
    /// Authorization requests of one address. Each leaves a record.
    pub requests: u64,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
            per_address: 30,
            per_client: 100,
            requests: 120,
        }
    }
}

/// A resource that tokens are made for: a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its canonical URI.
    pub id: ResourceId,
    /// A name for people.
    pub name: String,
    /// The scopes that it knows. They are what a client gets that asks for none.
    pub scopes: Vec<String>,
}
