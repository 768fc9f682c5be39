//! What an operator decides about credentials: plain data that the configuration fills in.

use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;
use crate::units::ByteSize;

use super::header::{Algorithm, TypeRule};

/// Everything that the auth stage is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Tokens that this gateway signs itself; none where only foreign issuers are trusted.
    pub own: Option<OwnSettings>,
    /// Foreign issuers, each with its own keys and rules.
    pub issuers: Vec<IssuerSettings>,
    /// How far clocks may differ. More than [`Settings::LEEWAY_MAX`] is refused (R439).
    pub leeway: Duration,
    /// Longest token that is looked at.
    pub token_max_bytes: ByteSize,
    /// How many verified tokens are remembered.
    pub cache_capacity: usize,
}

impl Settings {
    /// The largest leeway that may be configured (R439).
    pub const LEEWAY_MAX: Duration = Duration::from_secs(60);
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            own: None,
            issuers: Vec::new(),
            leeway: Self::LEEWAY_MAX,
            token_max_bytes: ByteSize::kib(8),
            cache_capacity: 10_000,
        }
    }
}

/// How this gateway signs and verifies its own tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnSettings {
    /// The `iss` of our tokens: the gateway's public URL.
    pub issuer: String,
    /// HS256 keys: the first signs, all verify, so that a key can be replaced without ending sessions (C03).
    pub keys: Vec<OwnKey>,
    /// Lifetime of a new token. More than [`OwnSettings::LIFETIME_MAX`] is refused (C04).
    pub lifetime: Duration,
    /// Tier of a token that names none.
    pub default_tier: String,
    /// Whether a token must name its team (R118).
    pub team_required: bool,
}

impl OwnSettings {
    /// The longest lifetime of an own token (C04).
    pub const LIFETIME_MAX: Duration = Duration::from_secs(86_400);
}

impl Default for OwnSettings {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            keys: Vec::new(),
            lifetime: Self::LIFETIME_MAX,
            default_tier: "free".into(),
            team_required: true,
        }
    }
}

/// One signing secret.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnKey {
    /// The key id, which tokens carry.
    pub kid: String,
    /// At least 32 bytes.
    pub secret: Secret<Vec<u8>>,
}

/// A foreign issuer whose tokens are accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct IssuerSettings {
    /// Our short name for it, which qualifies its users. Letters, digits, `-`, `_` and `.` only.
    pub name: String,
    /// Its `iss`, compared as plain text.
    pub issuer: String,
    /// Audiences accepted besides the resource's own URI, for issuers that put a client id there.
    pub audiences: Vec<String>,
    /// Where its keys are.
    pub jwks: KeySource,
    /// The algorithms it may use; [`Algorithm::Hs256`] is refused.
    pub algorithms: Vec<Algorithm>,
    /// Which `typ` its access tokens have.
    pub typ: TypeRule,
    /// Which of its claims mean what.
    pub claims: ClaimMapping,
    /// The CA that signs its server certificate, where that is not a public one. Replaces the system's roots.
    pub ca_file: Option<PathBuf>,
    /// A CA to trust besides the system's; not together with `ca_file`.
    pub extra_ca_file: Option<PathBuf>,
    /// How the keys are fetched and kept.
    pub fetch: FetchSettings,
}

impl Default for IssuerSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            issuer: String::new(),
            audiences: Vec::new(),
            jwks: KeySource::Discover,
            algorithms: Algorithm::ASYMMETRIC.to_vec(),
            typ: TypeRule::Any,
            claims: ClaimMapping::default(),
            ca_file: None,
            extra_ca_file: None,
            fetch: FetchSettings::default(),
        }
    }
}

/// Where an issuer's keys come from. Never from a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A JWKS document on this machine.
    File(PathBuf),
    /// The address of the JWKS document.
    Url(String),
    /// The address that the issuer's own metadata names (RFC 8414, OpenID Connect Discovery).
    Discover,
}

/// The limits of fetching and keeping keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchSettings {
    /// Time for one document, connection included.
    pub timeout: Duration,
    /// Largest document that is read.
    pub document_max_bytes: ByteSize,
    /// Most keys that a document may hold.
    pub keys_max: usize,
    /// How often keys are fetched anew.
    pub refresh: Duration,
    /// Least time between two fetches that unknown key ids or failures cause.
    pub floor: Duration,
    /// How long keys are trusted after the last good fetch; an outage that lasts longer refuses the issuer's tokens.
    pub keep: Duration,
}

impl Default for FetchSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            document_max_bytes: ByteSize::kib(256),
            keys_max: 64,
            refresh: Duration::from_secs(600),
            floor: Duration::from_secs(30),
            keep: Duration::from_secs(86_400),
        }
    }
}

/// Which claims of a foreign token say what. A name that begins with `/` is a JSON pointer, such as
/// `/realm_access/roles`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimMapping {
    /// The claim that decides the tier; text or a list of texts.
    pub tier_claim: Option<String>,
    /// Claim value to tier; the first row that matches wins. Empty: the claim's text is the tier.
    pub tiers: Vec<(String, String)>,
    /// The tier of everybody else.
    pub default_tier: String,
    /// The claim that names the team.
    pub team_claim: Option<String>,
    /// The claim that lists roles.
    pub roles_claim: Option<String>,
    /// The claim that lists scopes; without it `scope`, then `scp`.
    pub scopes_claim: Option<String>,
}

impl Default for ClaimMapping {
    fn default() -> Self {
        Self {
            tier_claim: None,
            tiers: Vec::new(),
            default_tier: "free".into(),
            team_claim: None,
            roles_claim: None,
            scopes_claim: None,
        }
    }
}
