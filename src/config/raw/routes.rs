//! `routes`, `upstream` and `policy` as they may be written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::credential::Credential;
use super::listen::TlsVersion;
use super::values::{HeaderText, Span};

/// One MCP server behind the gateway.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Route {
    /// Path at which clients reach this server. `/mcp` if there is one route only.
    pub(in crate::config) path: Option<String>,
    /// Name in policies, logs and metrics: lowercase letters, digits and dashes. `default` if there is one route only.
    pub(in crate::config) name: Option<String>,
    /// The server itself.
    pub(in crate::config) upstream: Upstream,
    /// The resource identifier that tokens must name as their audience. By default `public_url` and `path`.
    pub(in crate::config) resource: Option<String>,
    /// Scopes that every call needs.
    #[serde(default)]
    pub(in crate::config) required_scopes: Vec<String>,
    /// Scopes that clients are told about.
    #[serde(default = "scopes_supported")]
    pub(in crate::config) scopes_supported: Vec<String>,
    /// Which tools of this server may be used.
    #[serde(default)]
    pub(in crate::config) tools: RouteTools,
    /// Authorization servers that clients are sent to. By default the issuers of `auth`.
    #[serde(default)]
    pub(in crate::config) authorization_servers: Vec<String>,
    /// Arguments of tools and prompts that name a workspace, such as `[team_id, workspace_id]`. A call may name only
    /// workspaces of its user. By default nothing is looked at.
    #[serde(default)]
    pub(in crate::config) workspace_arguments: Vec<String>,
}

pub(in crate::config) fn scopes_supported() -> Vec<String> {
    vec!["mcp:read".into(), "mcp:write".into()]
}

/// How an MCP server is reached.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Upstream {
    /// `http://127.0.0.1:3000/mcp`, `https://host/mcp`, or `unix:/run/server.sock:/mcp` for a socket and a path.
    pub(in crate::config) url: String,
    /// PEM file with the certificate authorities to trust for this server, instead of the system's. Certificates are
    /// always verified.
    pub(in crate::config) ca_file: Option<String>,
    /// PEM file with a client certificate to show to this server.
    pub(in crate::config) client_cert_file: Option<String>,
    /// PEM file with the key of the client certificate.
    pub(in crate::config) client_key_file: Option<String>,
    /// How long making a connection may take.
    #[serde(default = "connect_timeout")]
    #[schemars(extend("x-min" = "100ms", "x-max" = "1m"))]
    pub(in crate::config) connect_timeout: Span,
    /// How long the head of an answer may take.
    #[serde(default = "first_byte_timeout")]
    #[schemars(extend("x-min" = "1s", "x-max" = "1h"))]
    pub(in crate::config) first_byte_timeout: Span,
    /// How long a stream may be silent.
    #[serde(default = "idle_timeout")]
    #[schemars(extend("x-min" = "1s", "x-max" = "24h"))]
    pub(in crate::config) idle_timeout: Span,
    /// How long an answer that does not stream may take in all.
    #[serde(default = "total_timeout")]
    #[schemars(extend("x-min" = "1s", "x-max" = "24h"))]
    pub(in crate::config) total_timeout: Span,
    /// Headers to send with every request, such as the server's own API key: `X-Api-Key: "${API_KEY}"`.
    #[serde(default)]
    pub(in crate::config) headers: BTreeMap<String, HeaderText>,
    /// Headers of the client that are passed on, beyond those that MCP needs. Credentials never are.
    #[serde(default)]
    pub(in crate::config) forward_headers: Vec<String>,
    /// The credential to show to this server with every request.
    pub(in crate::config) credential: Option<Credential>,
    /// What is asked of the server's TLS beyond a certificate that verifies. For `https` only.
    pub(in crate::config) tls: Option<UpstreamTls>,
    /// When the server is left alone because it fails, and for how long.
    #[serde(default)]
    pub(in crate::config) breaker: Breaker,
    /// Whether the gateway looks after the server by itself. By default it learns from requests alone.
    pub(in crate::config) health: Option<Health>,
}

/// TLS towards one MCP server.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct UpstreamTls {
    /// Public keys of which the server must have one: `sha256/` and the base64 of the SHA-256 of its
    /// SubjectPublicKeyInfo. Its certificate has to verify as well. Name the key in use and the next one.
    pub(in crate::config) pins: Vec<String>,
    /// The name that the certificate must be for, where it is not the host of `url`.
    pub(in crate::config) server_name: Option<String>,
    /// The oldest TLS version that is spoken to this server.
    pub(in crate::config) min_version: TlsVersion,
}

impl Default for UpstreamTls {
    fn default() -> Self {
        Self {
            pins: Vec::new(),
            server_name: None,
            min_version: TlsVersion::V12,
        }
    }
}

/// When a failing server is left alone. Callers then get a 503 at once.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Breaker {
    /// Try every request, however often the server failed.
    pub(in crate::config) off: bool,
    /// So many failures within `window` open it, if they came in a row or outweigh the successes. What one user alone
    /// brought about does not count.
    #[schemars(range(min = 1, max = 1000))]
    pub(in crate::config) failures: u32,
    /// How long a failure counts.
    #[schemars(extend("x-min" = "1s", "x-max" = "10m"))]
    pub(in crate::config) window: Span,
    /// How long the server is left alone before one request tries it. Each failed trial doubles it, up to a minute.
    #[schemars(extend("x-min" = "100ms", "x-max" = "1m"))]
    pub(in crate::config) wait: Span,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            off: false,
            failures: 5,
            window: Span::seconds(30),
            wait: Span::seconds(1),
        }
    }
}

/// How the gateway looks after a server.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Health {
    /// Path that a healthy server answers with 200 to 299. Left out, a connection is enough.
    pub(in crate::config) path: Option<String>,
    /// How often it is asked.
    #[schemars(extend("x-min" = "1s", "x-max" = "10m"))]
    pub(in crate::config) every: Span,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            path: None,
            every: Span::seconds(10),
        }
    }
}

const fn connect_timeout() -> Span {
    Span::seconds(5)
}

const fn first_byte_timeout() -> Span {
    Span::seconds(60)
}

const fn idle_timeout() -> Span {
    Span::seconds(300)
}

const fn total_timeout() -> Span {
    Span::seconds(600)
}

/// Which tools may be used. Names may hold `*`.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Tools {
    /// Only these tools. Left out, all are enabled.
    pub(in crate::config) enabled: Option<Vec<String>>,
    /// Never these tools, even if enabled elsewhere.
    pub(in crate::config) disabled: Vec<String>,
}

/// Which tools of one server may be used. Names may hold `*`.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RouteTools {
    /// Only these tools. Left out, all are enabled.
    pub(in crate::config) enabled: Option<Vec<String>>,
    /// Never these tools, even if enabled elsewhere.
    pub(in crate::config) disabled: Vec<String>,
    /// Only tools that are in `read_only_tools`.
    pub(in crate::config) read_only: bool,
    /// Tools that change nothing. The operator says so; what the server claims about itself does not count.
    pub(in crate::config) read_only_tools: Vec<String>,
    /// Scopes that a tool needs: `delete_task: ["mcp:write"]`.
    pub(in crate::config) scopes: BTreeMap<String, Vec<String>>,
}

/// Which tools may be used, on every route.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Policy {
    /// Cedar policy files; `*` in the file name stands for any characters.
    pub(in crate::config) files: Vec<String>,
    /// Tools for everybody.
    pub(in crate::config) tools: Tools,
    /// Tools by tier.
    pub(in crate::config) tiers: BTreeMap<String, TierPolicy>,
    /// Only tools that a route lists in `tools.read_only_tools`.
    pub(in crate::config) read_only: bool,
    /// `deny-when-configured`: once any rule is written, what no rule permits is refused. `deny`: also without rules.
    pub(in crate::config) default: PolicyDefault,
}

/// Rules of one tier.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct TierPolicy {
    /// Tools for this tier.
    pub(in crate::config) tools: Tools,
}

/// What happens to a call that no rule speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(in crate::config) enum PolicyDefault {
    #[default]
    DenyWhenConfigured,
    Deny,
}
