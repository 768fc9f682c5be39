//! What `routes`, `upstream` and `policy` mean: which servers there are, how each is reached, which tools may be used.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use url::Url;

use super::listen::Listen;
use super::quotas::Quotas;
use super::{Review, urls};
use crate::config::raw;
use crate::secret::Secret;

/// One MCP server behind the gateway.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its path: begins with a slash and does not end with one.
    pub path: String,
    /// Its name in policies, logs and metrics.
    pub name: String,
    /// How it is reached.
    pub upstream: Upstream,
    /// The resource identifier that tokens must name.
    pub resource: String,
    /// Scopes that every call needs.
    pub required_scopes: Vec<String>,
    /// Scopes that clients are told about.
    pub scopes_supported: Vec<String>,
    /// Which of its tools may be used.
    pub tools: RouteTools,
    /// Authorization servers that clients are sent to.
    pub authorization_servers: Vec<String>,
}

/// How an MCP server is reached.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show.
    pub client_identity: Option<ClientIdentity>,
    /// Time to make a connection.
    pub connect_timeout: Duration,
    /// Time to the head of an answer.
    pub first_byte_timeout: Duration,
    /// Time a stream may be silent.
    pub idle_timeout: Duration,
    /// Time for an answer that does not stream.
    pub total_timeout: Duration,
    /// Headers to send.
    pub headers: Vec<(HeaderName, Secret<String>)>,
    /// Headers of the client to pass on.
    pub forward_headers: Vec<HeaderName>,
}

/// Where an MCP server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// At an `http` or `https` address.
    Http(Url),
    /// Behind a socket of this machine.
    Unix {
        /// The socket.
        socket: PathBuf,
        /// The path to ask for.
        path: String,
    },
}

/// A client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// PEM file with the chain.
    pub cert: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// Which tools may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolRules {
    /// Only these, or all.
    pub enabled: Option<Vec<String>>,
    /// Never these.
    pub disabled: Vec<String>,
}

/// Which tools of one server may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTools {
    /// By name.
    pub rules: ToolRules,
    /// Only those that change nothing.
    pub read_only: bool,
    /// Those that change nothing.
    pub read_only_tools: Vec<String>,
    /// Scopes that a tool needs.
    pub scopes: BTreeMap<String, Vec<String>>,
}

/// Which tools may be used, on every route.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Cedar policy files, each readable when the configuration was read; patterns are resolved, in order of name.
    pub files: Vec<PathBuf>,
    /// For everybody.
    pub tools: ToolRules,
    /// By tier.
    pub tiers: BTreeMap<String, ToolRules>,
    /// Only tools that a route lists as read-only.
    pub read_only: bool,
    /// What happens without a rule.
    pub default: PolicyDefault,
}

/// What happens to a call that no rule speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyDefault {
    /// Refused as soon as any rule is written.
    DenyWhenConfigured,
    /// Refused.
    Deny,
}

const DEFAULT_PATH: &str = "/mcp";
const DEFAULT_NAME: &str = "default";
/// Paths that the gateway itself answers.
const RESERVED: [&str; 6] = [
    "/.well-known",
    "/oauth",
    "/auth",
    "/health",
    "/metrics",
    "/admin",
];
/// Headers that belong to the connection or the gateway and are never set or passed on by name.
const OWN_HEADERS: [&str; 12] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "proxy-authorization",
    "proxy-connection",
    "content-type",
    "accept",
];

pub(super) fn mean(raw: &raw::Config, listen: Option<&Listen>, review: &mut Review) -> Vec<Route> {
    match (&raw.upstream, raw.routes.as_slice()) {
        (Some(_), [_, ..]) => review.mistake(
            "upstream",
            "is written beside routes",
            "move it into a route of its own",
        ),
        (None, []) => review.mistake(
            "routes",
            "no MCP server is named",
            "write `upstream: {url: http://127.0.0.1:3000/mcp}`, or routes",
        ),
        _ => {}
    }
    let base = listen.map_or("", |listen| listen.public_url.as_str());
    let servers = raw
        .auth
        .issuers
        .iter()
        .map(|issuer| issuer.issuer.clone())
        .collect();
    let single = raw.upstream.as_ref().and_then(|upstream| {
        Some(Route {
            path: DEFAULT_PATH.into(),
            name: DEFAULT_NAME.into(),
            upstream: one_upstream("upstream", upstream, review)?,
            resource: format!("{base}{DEFAULT_PATH}"),
            required_scopes: Vec::new(),
            scopes_supported: raw::scopes_supported(),
            tools: RouteTools::default(),
            authorization_servers: Vec::clone(&servers),
        })
    });
    let mut taken = Taken {
        only: raw.routes.len() == 1,
        ..Taken::default()
    };
    let routes = raw.routes.iter().enumerate();
    let written = routes.filter_map(|(index, route)| {
        one_route(
            &format!("routes[{index}]"),
            route,
            (base, &servers),
            &mut taken,
            review,
        )
    });
    written.chain(single).collect()
}

/// Names and paths of the routes so far.
#[derive(Default)]
struct Taken {
    only: bool,
    names: BTreeSet<String>,
    paths: BTreeSet<String>,
}

fn one_route(
    at: &str,
    raw: &raw::Route,
    (base, servers): (&str, &Vec<String>),
    taken: &mut Taken,
    review: &mut Review,
) -> Option<Route> {
    let fallback = |text: &Option<String>, default: &str| match text {
        Some(text) => Some(text.clone()),
        None => taken.only.then(|| default.to_owned()),
    };
    let (path, route_name) = (
        fallback(&raw.path, DEFAULT_PATH),
        fallback(&raw.name, DEFAULT_NAME),
    );
    for (key, missing) in [("path", path.is_none()), ("name", route_name.is_none())] {
        if missing {
            let help = "it may be left out if there is one route only";
            review.mistake(&format!("{at}.{key}"), "is missing", help);
        }
    }
    if let Some(path) = &path {
        route_path(&format!("{at}.path"), path, taken, review);
    }
    if let Some(route_name) = &route_name {
        name(&format!("{at}.name"), route_name, &mut taken.names, review);
    }
    if let Some(Err(error)) = raw.resource.as_deref().map(urls::web) {
        review.mistake(&format!("{at}.resource"), error.to_string(), error.help());
    }
    let upstream = one_upstream(&format!("{at}.upstream"), &raw.upstream, review);
    let tools = route_tools(&format!("{at}.tools"), &raw.tools, review);
    let path = path?;
    Some(Route {
        upstream: upstream?,
        name: route_name?,
        resource: raw
            .resource
            .clone()
            .unwrap_or_else(|| format!("{base}{path}")),
        required_scopes: raw.required_scopes.clone(),
        scopes_supported: raw.scopes_supported.clone(),
        tools,
        authorization_servers: match raw.authorization_servers.as_slice() {
            [] => servers.clone(),
            written => written.to_vec(),
        },
        path,
    })
}

fn route_path(at: &str, path: &str, taken: &mut Taken, review: &mut Review) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
    let inside = |reserved: &&&str| {
        path.strip_prefix(**reserved)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if !path.starts_with('/')
        || path.ends_with('/')
        || path.contains("//")
        || !path.chars().all(plain)
    {
        let help =
            "begin with a slash, end without one, and use letters, digits, `-`, `_`, `.` and `~`";
        review.mistake(at, format!("`{path}` is not a path for a route"), help);
    } else if path
        .split('/')
        .any(|segment| segment == "." || segment == "..")
    {
        review.mistake(
            at,
            format!("`{path}` does not stay where it is"),
            "remove `.` and `..`",
        );
    } else if let Some(reserved) = RESERVED.iter().find(inside) {
        review.mistake(
            at,
            format!("`{reserved}` belongs to the gateway"),
            "choose another path",
        );
    } else if !taken.paths.insert(path.to_owned()) {
        review.mistake(
            at,
            format!("`{path}` is taken by another route"),
            "give each its own path",
        );
    }
}

/// A short word that can stand in a log line, a metric label and a policy.
pub(super) fn name(at: &str, text: &str, taken: &mut BTreeSet<String>, review: &mut Review) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !(1..=32).contains(&text.len()) || !text.chars().all(plain) {
        let help = "use 1 to 32 lowercase letters, digits and dashes";
        review.mistake(at, format!("`{text}` is not a name"), help);
    } else if !taken.insert(text.to_owned()) {
        review.mistake(
            at,
            format!("`{text}` is taken already"),
            "give each its own name",
        );
    }
}

fn one_upstream(at: &str, raw: &raw::Upstream, review: &mut Review) -> Option<Upstream> {
    let endpoint = endpoint(&format!("{at}.url"), &raw.url, review);
    let headers = raw
        .headers
        .iter()
        .filter_map(|(header, value)| {
            let at = format!("{at}.headers.{header}");
            let name = header_name(&at, header, &[], review)?;
            if HeaderValue::from_str(value.0.expose()).is_err() {
                review.mistake(
                    &at,
                    "cannot be sent in a header",
                    "use visible characters on one line",
                );
            }
            Some((name, value.0.clone()))
        })
        .collect();
    let forward_headers = raw
        .forward_headers
        .iter()
        .enumerate()
        .filter_map(|(index, header)| {
            let at = format!("{at}.forward_headers[{index}]");
            header_name(&at, header, &["authorization", "cookie"], review)
        })
        .collect();
    Some(Upstream {
        ca_file: raw
            .ca_file
            .as_ref()
            .map(|name| review.existing(&format!("{at}.ca_file"), name)),
        client_identity: client_identity(at, raw, review),
        endpoint: endpoint?,
        connect_timeout: raw.connect_timeout.0,
        first_byte_timeout: raw.first_byte_timeout.0,
        idle_timeout: raw.idle_timeout.0,
        total_timeout: raw.total_timeout.0,
        headers,
        forward_headers,
    })
}

fn endpoint(at: &str, text: &str, review: &mut Review) -> Option<Endpoint> {
    if let Some(rest) = text.strip_prefix("unix:") {
        let (socket, path) = rest.rsplit_once(":/").map_or((rest, "/"), |(socket, _)| {
            (socket, rest.get(socket.len() + 1..).unwrap_or("/"))
        });
        if !socket.starts_with('/') {
            let help = "write `unix:/run/server.sock:/mcp`";
            review.mistake(at, "a socket needs an absolute path", help);
            return None;
        }
        return Some(Endpoint::Unix {
            socket: socket.into(),
            path: path.into(),
        });
    }
    match urls::web(text) {
        Err(error) => {
            review.mistake(at, error.to_string(), error.help());
            None
        }
        Ok(url) => {
            if urls::exposed(&url) {
                review.warn(
                    at,
                    format!(
                        "speaks plain HTTP to {}",
                        url.host_str().unwrap_or_default()
                    ),
                    "use https, or a server on this machine",
                );
            }
            Some(Endpoint::Http(url))
        }
    }
}

fn header_name(at: &str, text: &str, never: &[&str], review: &mut Review) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        review.mistake(
            at,
            format!("`{text}` is not the name of a header"),
            "such as `X-Api-Key`",
        );
        return None;
    };
    let mcp = name.as_str().starts_with("mcp-");
    if mcp || OWN_HEADERS.contains(&name.as_str()) {
        review.mistake(
            at,
            "belongs to the gateway",
            "remove it; the gateway sets it itself",
        );
    } else if never.contains(&name.as_str()) {
        review.mistake(
            at,
            "carries the client's credentials, which never travel upstream",
            "write the server's own credential under `headers`",
        );
    }
    Some(name)
}

fn client_identity(at: &str, raw: &raw::Upstream, review: &mut Review) -> Option<ClientIdentity> {
    let (cert, key) = match (&raw.client_cert_file, &raw.client_key_file) {
        (None, None) => return None,
        (Some(cert), Some(key)) => (cert, key),
        (cert, _) => {
            let missing = if cert.is_some() {
                "client_key_file"
            } else {
                "client_cert_file"
            };
            let help = "certificate and key go together";
            review.mistake(&format!("{at}.{missing}"), "is missing", help);
            return None;
        }
    };
    let key_at = format!("{at}.client_key_file");
    let identity = ClientIdentity {
        cert: review.existing(&format!("{at}.client_cert_file"), cert),
        key: review.existing(&key_at, key),
    };
    review.secret_files.push((key_at, identity.key.clone()));
    Some(identity)
}

fn route_tools(at: &str, raw: &raw::RouteTools, review: &mut Review) -> RouteTools {
    RouteTools {
        rules: rules(at, raw.enabled.as_ref(), &raw.disabled, review),
        read_only: raw.read_only,
        read_only_tools: raw.read_only_tools.clone(),
        scopes: raw.scopes.clone(),
    }
}

/// Both lists may be written; what is in both is disabled (C47).
fn rules(
    at: &str,
    enabled: Option<&Vec<String>>,
    disabled: &[String],
    review: &mut Review,
) -> ToolRules {
    if enabled.is_some() && !disabled.is_empty() {
        let help = "a tool in both is disabled; keep one list to be clear";
        review.warn(
            &format!("{at}.disabled"),
            "is written beside `enabled`",
            help,
        );
    }
    if enabled.is_some_and(Vec::is_empty) {
        let help = "remove it to enable all";
        review.warn(
            &format!("{at}.enabled"),
            "is empty, so no tool may be used",
            help,
        );
    }
    ToolRules {
        enabled: enabled.cloned(),
        disabled: disabled.to_vec(),
    }
}

pub(super) fn policy(raw: &raw::Policy, quotas: &Quotas, review: &mut Review) -> Policy {
    let mut files = Vec::new();
    for (index, name) in raw.files.iter().enumerate() {
        files.extend(policy_files(
            &format!("policy.files[{index}]"),
            name,
            review,
        ));
    }
    let tiers = raw.tiers.iter().map(|(tier, written)| {
        let at = format!("policy.tiers.{tier}");
        quotas.knows_tier(&at, tier, review);
        let tools = &written.tools;
        let rules = rules(
            &format!("{at}.tools"),
            tools.enabled.as_ref(),
            &tools.disabled,
            review,
        );
        (tier.clone(), rules)
    });
    let tiers = tiers.collect();
    let tools = &raw.tools;
    Policy {
        files,
        tools: rules(
            "policy.tools",
            tools.enabled.as_ref(),
            &tools.disabled,
            review,
        ),
        tiers,
        read_only: raw.read_only,
        default: match raw.default {
            raw::PolicyDefault::DenyWhenConfigured => PolicyDefault::DenyWhenConfigured,
            raw::PolicyDefault::Deny => PolicyDefault::Deny,
        },
    }
}

/// The files that a name with one `*` in its last part stands for. A pattern without a file is a mistake: a policy that
/// is not there must not look like permission.
fn policy_files(at: &str, name: &str, review: &mut Review) -> Vec<PathBuf> {
    let pattern = review.file(name);
    let last = pattern
        .file_name()
        .and_then(|last| last.to_str())
        .unwrap_or_default();
    let Some((start, end)) = last.split_once('*') else {
        return vec![review.existing(at, name)];
    };
    let folder = pattern.parent().map(PathBuf::from).unwrap_or_default();
    let folder = if folder.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        folder
    };
    let fits = |file: &PathBuf| {
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(fits)
        .collect();
    files.sort();
    if files.is_empty() {
        let message = format!("no file in {} fits `{last}`", folder.display());
        review.mistake(at, message, "put policies there, or remove the pattern");
    }
    files
}
