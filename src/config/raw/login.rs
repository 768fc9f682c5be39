//! `login` as it may be written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::Claims;
use super::values::{Literal, Rows};

/// How users sign in.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Login {
    /// Whom users can sign in with. With several, they choose on a page.
    pub(in crate::config) providers: Vec<Provider>,
    /// Where providers send users back to. It is always `public_url` + `/auth/callback`; written here, it is checked.
    pub(in crate::config) redirect_uri: Option<String>,
}

/// Somebody who knows the users.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Provider {
    /// Name in logs, user ids and addresses: lowercase letters, digits and dashes.
    pub(in crate::config) name: String,
    /// `clickup`, `github`, or `oidc` for any OpenID provider.
    pub(in crate::config) kind: ProviderKind,
    /// What the page calls it. By default its name.
    pub(in crate::config) label: Option<String>,
    /// The `client_id` under which the provider knows the gateway. Register `public_url` + `/auth/callback` there.
    pub(in crate::config) client_id: String,
    /// The secret that belongs to the `client_id`.
    pub(in crate::config) client_secret: Option<Literal>,
    /// File that holds the secret, instead of `client_secret`.
    pub(in crate::config) client_secret_file: Option<String>,
    /// The OpenID provider's `issuer`, from which everything else is discovered.
    pub(in crate::config) issuer: Option<String>,
    /// Scopes that the provider is asked for. By default what the kind needs.
    #[serde(default)]
    pub(in crate::config) scopes: Vec<String>,
    /// Which claims hold what the gateway wants to know.
    #[serde(default)]
    pub(in crate::config) claims: Claims,
    /// Tier of users whose claims name none. By default `quotas.default_tier`.
    pub(in crate::config) default_tier: Option<String>,
    /// Tiers by the value of the tier claim; where a claim has several, the first row that fits. Left out, the claim's value
    /// is the tier.
    #[serde(default)]
    pub(in crate::config) tier_map: Rows,
    /// Team of users whose provider names none.
    #[serde(default = "default_team")]
    pub(in crate::config) default_team: String,
    /// Who may sign in. Left out, everybody whom the provider knows.
    #[serde(default)]
    pub(in crate::config) allow: Allow,
    /// Keep the provider's own token, sealed, to call the MCP server with. Always on for `clickup`.
    #[serde(default)]
    pub(in crate::config) keep_tokens: bool,
    /// PEM file with the certificate authorities to trust for this provider, instead of the system's.
    pub(in crate::config) ca_file: Option<String>,
    /// Another address of the login page of `clickup` or `github`, such as that of GitHub Enterprise.
    pub(in crate::config) authorize_url: Option<String>,
    /// Another address of the token endpoint of `clickup` or `github`.
    pub(in crate::config) token_url: Option<String>,
    /// Another base address of the API of `clickup` or `github`.
    pub(in crate::config) api_url: Option<String>,
}

pub(super) fn default_team() -> String {
    "default".into()
}

/// Who may sign in: whoever is on one of these lists.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Allow {
    /// User ids, as the gateway knows them, or e-mail addresses that the provider has verified.
    pub(in crate::config) users: Vec<String>,
    /// Domains of e-mail addresses that the provider has verified.
    pub(in crate::config) email_domains: Vec<String>,
    /// Teams: ClickUp workspace ids, GitHub organisations, values of the team claim.
    pub(in crate::config) teams: Vec<String>,
}

/// What kind of provider it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum ProviderKind {
    Clickup,
    Github,
    Oidc,
}
