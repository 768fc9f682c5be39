//! `auth` as it may be written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{Literal, Rows, Span};

/// Whose tokens are accepted.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Auth {
    /// The `iss` of the gateway's own tokens. By default `listen.public_url`.
    pub(in crate::config) issuer: Option<String>,
    /// Keys of the gateway's own tokens (HS256). The first signs, all verify, so a key is rotated by putting a new one
    /// in front. `JWT_SECRET` and `JWT_SECRET_PREVIOUS` are put before them.
    pub(in crate::config) keys: Vec<Key>,
    /// How long the gateway's own tokens live.
    #[schemars(extend("x-min" = "1m", "x-max" = "24h"))]
    pub(in crate::config) token_lifetime: Span,
    /// How far clocks may differ when times in tokens are checked.
    #[schemars(extend("x-min" = "0s", "x-max" = "60s"))]
    pub(in crate::config) leeway: Span,
    /// Other authorization servers whose tokens are accepted.
    pub(in crate::config) issuers: Vec<Issuer>,
    /// Calls may name no workspace but the one of the caller's token, even if the user has several. See
    /// `workspace_arguments` of a route.
    pub(in crate::config) strict_single_workspace: bool,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            issuer: None,
            keys: Vec::new(),
            token_lifetime: Span::seconds(86_400),
            leeway: Span::seconds(60),
            issuers: Vec::new(),
            strict_single_workspace: false,
        }
    }
}

/// One key of the gateway's own tokens.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Key {
    /// The key's name in the header of tokens. By default made from the key itself.
    pub(in crate::config) kid: Option<String>,
    /// At least 32 random bytes, best as 64 hex digits (`sallygate keys generate`).
    pub(in crate::config) secret: Option<Literal>,
    /// File that holds the key, instead of `secret`.
    pub(in crate::config) secret_file: Option<String>,
}

/// Another authorization server.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Issuer {
    /// Name in logs and in user ids: lowercase letters, digits and dashes.
    pub(in crate::config) name: String,
    /// The `iss` of its tokens, exactly.
    pub(in crate::config) issuer: String,
    /// Audiences that are accepted beside the route's own resource identifier.
    #[serde(default)]
    pub(in crate::config) audiences: Vec<String>,
    /// File with its public keys (JWKS).
    pub(in crate::config) jwks_file: Option<String>,
    /// Address of its public keys.
    pub(in crate::config) jwks_url: Option<String>,
    /// Find the address of its keys in its metadata. The default if neither file nor address is given.
    pub(in crate::config) discovery: Option<bool>,
    /// Signature algorithms that are accepted.
    #[serde(default = "algorithms")]
    pub(in crate::config) algorithms: Vec<Algorithm>,
    /// If set, the only `typ` that its tokens may have, such as `at+jwt`.
    pub(in crate::config) typ: Option<String>,
    /// Which claims hold what the gateway wants to know.
    #[serde(default)]
    pub(in crate::config) claims: Claims,
    /// Tier of users whose token names none. By default `quotas.default_tier`.
    pub(in crate::config) default_tier: Option<String>,
    /// Tiers by the value of the tier claim; where a claim has several, the first row that fits. Left out, the claim's value
    /// is the tier.
    #[serde(default)]
    pub(in crate::config) tier_map: Rows,
    /// PEM file with the certificate authorities to trust for this server, instead of the system's.
    pub(in crate::config) ca_file: Option<String>,
}

fn algorithms() -> Vec<Algorithm> {
    use Algorithm::{Eddsa, Es256, Es384, Ps256, Rs256};
    vec![Rs256, Ps256, Es256, Es384, Eddsa]
}

/// A signature algorithm of public keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
pub(in crate::config) enum Algorithm {
    Rs256,
    Ps256,
    Es256,
    Es384,
    #[serde(rename = "EdDSA")]
    Eddsa,
}

impl Algorithm {
    /// The name in the header of a token.
    pub(in crate::config) const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Eddsa => "EdDSA",
        }
    }
}

/// Names of claims.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Claims {
    /// Claim that holds the tier.
    pub(in crate::config) tier: Option<String>,
    /// Claim that holds the team.
    pub(in crate::config) team: Option<String>,
    /// Claim that holds the roles.
    pub(in crate::config) roles: Option<String>,
    /// Claim that holds the scopes. By default `scope`, or `scp`.
    pub(in crate::config) scopes: Option<String>,
}
