//! What an operator decides about signing in: plain data that the configuration fills in.

use std::path::PathBuf;
use std::time::Duration;

use crate::auth::settings::ClaimMapping;
use crate::secret::Secret;
use crate::units::ByteSize;

/// Everything that the desk is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Whom users can sign in with; their names differ.
    pub providers: Vec<ProviderSettings>,
    /// Where browsers reach the gateway, without a slash at the end.
    pub public_url: String,
    /// A certificate authority to trust besides the system's.
    pub extra_ca_file: Option<PathBuf>,
    /// How long a browser may be away at the provider (C01).
    pub state_lifetime: Duration,
    /// How many logins one address may begin within that time. Each leaves a record.
    pub attempts_per_address: u64,
    /// Time for one answer of a provider.
    pub timeout: Duration,
    /// The largest answer of a provider that is read.
    pub answer_max: ByteSize,
    /// How long what an OpenID provider says about itself is kept.
    pub discovery_keep: Duration,
    /// How far a provider's clock may differ from ours.
    pub leeway: Duration,
    /// Tiers that the development login offers.
    pub tiers: Vec<String>,
}

impl Settings {
    /// The longest [`Settings::state_lifetime`] (C01).
    pub const STATE_LIFETIME_MAX: Duration = Duration::from_secs(600);
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            providers: Vec::new(),
            public_url: String::new(),
            extra_ca_file: None,
            state_lifetime: Duration::from_secs(300),
            attempts_per_address: 100,
            timeout: Duration::from_secs(5),
            answer_max: ByteSize::kib(256),
            discovery_keep: Duration::from_secs(3600),
            leeway: Duration::from_secs(60),
            tiers: Vec::new(),
        }
    }
}

/// Somebody who knows the users.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderSettings {
    /// Its name in user ids, addresses and logs.
    pub name: String,
    /// What pages call it.
    pub label: String,
    /// What kind it is.
    pub kind: Kind,
    /// The `client_id` under which it knows the gateway.
    pub client_id: String,
    /// The secret that belongs to it.
    pub client_secret: Option<Secret<String>>,
    /// Scopes that it is asked for; empty for what the kind needs.
    pub scopes: Vec<String>,
    /// Which claims say what.
    pub claims: ClaimMapping,
    /// The workspace of users whose provider names none.
    pub default_team: String,
    /// Who may sign in.
    pub allow: Allow,
    /// Whether the provider's own tokens are handed on to be kept.
    pub keep_tokens: bool,
    /// Certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for ProviderSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            label: String::new(),
            kind: Kind::Development,
            client_id: String::new(),
            client_secret: None,
            scopes: Vec::new(),
            claims: ClaimMapping::default(),
            default_team: "default".into(),
            allow: Allow::default(),
            keep_tokens: false,
            ca_file: None,
        }
    }
}

/// What kind of provider it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ClickUp (C26).
    Clickup(Endpoints),
    /// GitHub.
    Github(Endpoints),
    /// Any OpenID provider.
    Oidc {
        /// Its `iss`, from which everything else is discovered.
        issuer: String,
    },
    /// The login of the demo, which asks for no proof and works on the loopback only.
    Development,
}

impl Kind {
    /// Its word in configuration and pages.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Clickup(_) => "clickup",
            Self::Github(_) => "github",
            Self::Oidc { .. } => "oidc",
            Self::Development => "development",
        }
    }
}

/// Addresses that stand in for the usual ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// The login page.
    pub authorize: Option<String>,
    /// The token endpoint.
    pub token: Option<String>,
    /// The base of the API.
    pub api: Option<String>,
}

/// Who may sign in: everybody if all lists are empty, else whoever is on one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// User ids as the gateway knows them, or verified e-mail addresses.
    pub users: Vec<String>,
    /// Domains of verified e-mail addresses.
    pub email_domains: Vec<String>,
    /// Workspaces.
    pub teams: Vec<String>,
}
