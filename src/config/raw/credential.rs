//! `upstream.credential` as it may be written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{Literal, Span};

/// The credential that an MCP server is shown. The token that a client calls the gateway with is never passed on.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Credential {
    /// `static`: the same for everybody. `per_user`: each user's own, out of the vault. `token_exchange`: a token for each
    /// user from a token endpoint (RFC 8693). `client_credentials`: a token for the gateway itself from a token endpoint.
    pub(in crate::config) kind: CredentialKind,
    /// The header that it stands in.
    #[serde(default = "header")]
    pub(in crate::config) header: String,
    /// What stands before it. `auto`: in `Authorization`, nothing before personal tokens (`pk_`) and `Bearer` before others;
    /// nothing in other headers. `none`: nothing. Any other word: that word.
    #[serde(default = "scheme")]
    pub(in crate::config) scheme: String,
    /// For `static`: the credential.
    pub(in crate::config) value: Option<Literal>,
    /// For `static`: file that holds the credential, instead of `value`.
    pub(in crate::config) value_file: Option<String>,
    /// For `per_user`, and for `token_exchange` with stored credentials: whose credential each user gives, such as `clickup`.
    pub(in crate::config) provider: Option<String>,
    /// For `token_exchange`, what proves the user there. `stored`: the user's credential of `provider`. `assertion`: a token
    /// that the gateway signs with `key_file` and that lives a minute.
    #[serde(default)]
    pub(in crate::config) subject: CredentialSubject,
    /// Address of the token endpoint. For `per_user`: who renews tokens that are over, if anybody does.
    pub(in crate::config) token_url: Option<String>,
    /// The gateway's name at the token endpoint.
    pub(in crate::config) client_id: Option<String>,
    /// How the gateway proves that name.
    #[serde(default)]
    pub(in crate::config) client_auth: ClientAuth,
    /// For `client_secret_basic` and `client_secret_post`: the secret.
    pub(in crate::config) client_secret: Option<Literal>,
    /// File that holds the secret, instead of `client_secret`.
    pub(in crate::config) client_secret_file: Option<String>,
    /// For `private_key_jwt` and assertions: PEM file with an RSA, P-256 or Ed25519 private key.
    pub(in crate::config) key_file: Option<String>,
    /// The name of that key in the header of what it signs.
    pub(in crate::config) key_id: Option<String>,
    /// For assertions: who signs them. By default `listen.public_url`.
    pub(in crate::config) issuer: Option<String>,
    /// `audience` to ask the token endpoint for.
    pub(in crate::config) audience: Option<String>,
    /// `resource` to ask the token endpoint for.
    pub(in crate::config) resource: Option<String>,
    /// `scope` to ask the token endpoint for, separated by spaces.
    pub(in crate::config) scope: Option<String>,
    /// PEM file with the certificate authorities to trust for the token endpoint, instead of the system's.
    pub(in crate::config) ca_file: Option<String>,
    /// How long an answer of the token endpoint may take.
    #[serde(default = "timeout")]
    #[schemars(extend("x-min" = "1s", "x-max" = "1m"))]
    pub(in crate::config) timeout: Span,
}

fn header() -> String {
    "Authorization".into()
}

fn scheme() -> String {
    "auto".into()
}

const fn timeout() -> Span {
    Span::seconds(10)
}

/// What kind of credential it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum CredentialKind {
    Static,
    PerUser,
    TokenExchange,
    ClientCredentials,
}

/// What proves the user to a token endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum CredentialSubject {
    #[default]
    Stored,
    Assertion,
}

/// How the gateway proves its name to a token endpoint (RFC 6749 section 2.3, OpenID Connect Core section 9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum ClientAuth {
    #[default]
    ClientSecretBasic,
    ClientSecretPost,
    PrivateKeyJwt,
    None,
}
