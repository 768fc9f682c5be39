//! What `routes` and `upstream` mean: which servers there are, under which names and paths.

use std::collections::BTreeSet;

use super::listen::Listen;
use super::policy::{RouteTools, route_tools};
use super::upstreams::{Upstream, one_upstream};
use super::{Review, urls};
use crate::config::raw;

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
    /// Arguments that name a workspace.
    pub workspace_arguments: Vec<String>,
}

const DEFAULT_PATH: &str = "/mcp";
const DEFAULT_NAME: &str = "default";
/// Paths that the gateway itself answers.
const RESERVED: [&str; 8] = [
    "/.well-known",
    "/oauth",
    "/auth",
    "/health",
    "/healthz",
    "/readyz",
    "/metrics",
    "/admin",
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
    // Where users can sign in here, clients are sent here first.
    let own = raw.auth.issuer.clone().unwrap_or_else(|| base.to_owned());
    let servers = (!raw.login.providers.is_empty())
        .then_some(own)
        .into_iter()
        .chain(raw.auth.issuers.iter().map(|issuer| issuer.issuer.clone()))
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
            workspace_arguments: Vec::new(),
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
    scopes(at, raw, review);
    if raw.workspace_arguments.iter().any(String::is_empty) {
        let help = "write what the arguments are called, such as `team_id`";
        review.mistake(
            &format!("{at}.workspace_arguments"),
            "a name is empty",
            help,
        );
    }
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
        workspace_arguments: raw.workspace_arguments.clone(),
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

/// Scopes that open more than a caller needs: too broad by their name (R634), or all asked for at once (R484). The scopes
/// of single tools are asked for when such a tool is called.
fn scopes(at: &str, raw: &raw::Route, review: &mut Review) {
    let (asked_at, asked) = match raw.required_scopes.as_slice() {
        [] => ("scopes_supported", &raw.scopes_supported),
        _ => ("required_scopes", &raw.required_scopes),
    };
    for (key, named) in [
        ("required_scopes", &raw.required_scopes),
        ("scopes_supported", &raw.scopes_supported),
    ] {
        for scope in named.iter().filter(|scope| is_broad(scope)) {
            review.warn(
                &format!("{at}.{key}"),
                format!("scope `{scope}` opens more than most clients need"),
                "name scopes for what is done, such as `mcp:read`, or ask for it with single tools only (tools.scopes)",
            );
        }
    }
    let of_tools = raw.tools.scopes.values().flatten();
    let known: BTreeSet<&String> = raw
        .scopes_supported
        .iter()
        .chain(&raw.required_scopes)
        .chain(of_tools)
        .collect();
    let asks_for_all = known.iter().all(|scope| asked.contains(scope));
    if known.len() > raw::scopes_supported().len() && asks_for_all {
        review.warn(
            &format!("{at}.{asked_at}"),
            "every client is asked to hold every scope there is",
            "write in required_scopes only what every call needs; tools.scopes is asked for when such a tool is called",
        );
    }
}

/// Words that, alone or as a part of a scope, stand for everything or for what cannot be undone.
const BROAD: [&str; 7] = ["admin", "full", "all", "root", "owner", "delete", "*"];

fn is_broad(scope: &str) -> bool {
    scope
        .split([':', '.', '/', '_', '-'])
        .any(|word| BROAD.iter().any(|broad| word.eq_ignore_ascii_case(broad)))
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
