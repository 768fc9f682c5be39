//! From what the operator wrote to what each part is set up with. Plain mapping: every rule about a setting was applied when
//! the configuration was read.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use http::Uri;
use rustls_pki_types::ServerName;
use tracing::warn;

use super::{StartError, credential};
use crate::auth::header::{Algorithm, TypeRule};
use crate::auth::settings::{
    ClaimMapping, IssuerSettings, KeySource, OwnKey, OwnSettings, Settings as AuthSettings,
};
use crate::auth::{ResourceId, ResourceMetadata, Verifier};
use crate::clock::Clock;
use crate::config::{self, Config, Endpoint, TlsVersion};
use crate::limits::failures;
use crate::limits::origin::{AllowedHosts, AllowedOrigins};
use crate::listener::tls::MinVersion;
use crate::listener::{descriptors, door, mutual, tls};
use crate::pipeline::workspace::Workspaces;
use crate::pipeline::{Answers, Route, RouteParts};
use crate::policy::{self, Policies, PolicyFile, Rules, ToolLists};
use crate::quota::{self, ToolLimit, UserLimit};
use crate::telemetry::{Metrics, logs};
use crate::units::ByteSize;
use crate::upstream::breaker::Breaker;
use crate::upstream::credential::{Credentials, Keys};
use crate::upstream::tls::TlsSettings;
use crate::upstream::{self, Target, Upstream};
use crate::users::membership::Memberships;
use crate::{limits, listener, mcp};

pub(crate) fn auth(config: &Config) -> AuthSettings {
    AuthSettings {
        own: own(config),
        issuers: config
            .auth
            .issuers
            .iter()
            .map(|one| issuer(config, one))
            .collect(),
        leeway: config.auth.leeway,
        ..AuthSettings::default()
    }
}

/// Our own tokens, for whoever checks and whoever makes them.
pub fn own(config: &Config) -> Option<OwnSettings> {
    if config.auth.keys.is_empty() {
        return None;
    }
    let keys = config.auth.keys.iter().map(|key| OwnKey {
        kid: key.kid.clone(),
        secret: key.secret.clone(),
    });
    Some(OwnSettings {
        issuer: config.auth.issuer.clone(),
        keys: keys.collect(),
        lifetime: config.auth.token_lifetime,
        default_tier: config.quotas.default_tier.clone(),
        team_required: true,
    })
}

fn issuer(config: &Config, issuer: &config::Issuer) -> IssuerSettings {
    IssuerSettings {
        name: issuer.name.clone(),
        issuer: issuer.issuer.clone(),
        audiences: issuer.audiences.clone(),
        jwks: match &issuer.keys {
            config::KeySource::File(path) => KeySource::File(path.clone()),
            config::KeySource::Url(url) => KeySource::Url(url.to_string()),
            config::KeySource::Discover => KeySource::Discover,
        },
        algorithms: issuer
            .algorithms
            .iter()
            .filter_map(|name| Algorithm::parse(name))
            .collect(),
        typ: match issuer.typ.as_deref() {
            None => TypeRule::Any,
            Some(typ) if typ.eq_ignore_ascii_case("jwt") => TypeRule::Any,
            Some(_) => TypeRule::AccessToken,
        },
        claims: claims(issuer),
        ca_file: issuer.ca_file.clone(),
        extra_ca_file: config.extra_ca_file.clone(),
        ..IssuerSettings::default()
    }
}

fn claims(issuer: &config::Issuer) -> ClaimMapping {
    let given = &issuer.claims;
    ClaimMapping {
        tier_claim: given.tier.clone(),
        tiers: issuer.tier_map.clone(),
        default_tier: issuer.default_tier.clone(),
        team_claim: given.team.clone(),
        roles_claim: given.roles.clone(),
        scopes_claim: given.scopes.clone(),
    }
}

pub(super) fn quotas(config: &Config) -> quota::Settings {
    let quotas = &config.quotas;
    let per_minute = |count: u32| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
    quota::Settings {
        tiers: quotas
            .tiers
            .iter()
            .map(|(name, tier)| {
                let limit = UserLimit {
                    burst: NonZeroU32::new(tier.burst),
                    concurrency: Some(tier.concurrency),
                    ..UserLimit::per_minute(per_minute(tier.per_minute))
                };
                (name.clone(), limit)
            })
            .collect(),
        users: quotas
            .users
            .iter()
            .map(|(id, user)| {
                (
                    id.clone(),
                    UserLimit::per_minute(per_minute(user.per_minute)),
                )
            })
            .collect(),
        tools: quotas
            .tools
            .iter()
            .map(|(name, tool)| {
                let limit = ToolLimit {
                    weight: per_minute(tool.weight),
                    per_minute: tool.per_minute.and_then(NonZeroU32::new),
                };
                (name.clone(), limit)
            })
            .collect(),
        upgrade_url: quotas.upgrade_url.clone(),
        streams: quotas.streams,
        max_keys: quotas.max_keys,
        ..quota::Settings::default()
    }
}

pub(super) fn limits(config: &Config) -> limits::Settings {
    limits::Settings {
        header_count: config.limits.header_count,
        header_bytes: config.limits.header_bytes,
        uri_bytes: config.limits.uri_bytes,
        body_bytes: config.limits.body_bytes,
        body_timeout: config.limits.body_timeout,
        hosts: AllowedHosts::new(config.listen.allowed_hosts.iter().cloned()),
        origins: AllowedOrigins::new(origins(config)),
        trusted_hops: config.listen.trusted_hops,
    }
}

pub(super) fn failures(config: &Config) -> failures::Settings {
    failures::Settings {
        per_minute: config.door.bad_tokens_per_minute,
        exempt: config.door.exempt.clone(),
    }
}

fn door(config: &Config) -> door::Settings {
    door::Settings {
        handshakes: config.door.handshakes,
        per_address: config.door.per_address.map(|limits| door::PerAddress {
            connections: limits.connections,
            per_second: limits.connections_per_second,
            handshakes: limits.handshakes,
        }),
        exempt: config.door.exempt.clone(),
    }
}

/// TLS with these files, which may be written or made by ourselves.
pub(crate) fn tls(config: &config::Tls, cert_file: PathBuf, key_file: PathBuf) -> tls::Settings {
    tls::Settings {
        cert_file,
        key_file,
        min: match config.min_version {
            TlsVersion::V12 => MinVersion::Tls12,
            TlsVersion::V13 => MinVersion::Tls13,
        },
        client_auth: config.client_auth.as_ref().map(mutual),
    }
}

/// Whose certificates are accepted.
pub(crate) fn mutual(config: &config::Mutual) -> mutual::Settings {
    mutual::Settings {
        required: config.required,
        ca_file: config.ca_file.clone(),
        crl_files: config.crl_files.clone(),
        deny_unknown_revocation: config.deny_unknown_revocation,
    }
}

/// The origins that may call, and our own where we have pages with forms.
fn origins(config: &Config) -> impl Iterator<Item = &String> {
    let own = (!config.providers.is_empty()).then_some(&config.listen.public_url);
    config.cors.allowed_origins.iter().chain(own)
}

pub(super) fn messages(config: &Config) -> mcp::Limits {
    let mut limits = mcp::Limits::REQUEST;
    limits.json.depth = config.limits.json_depth;
    limits
}

pub(super) fn listener(config: &Config) -> listener::Settings {
    let standard = listener::Settings::default();
    let limits = &config.limits;
    listener::Settings {
        connections: descriptors::room_for(limits.connections),
        door: door(config),
        proxies: config.door.proxies.clone(),
        handshake_timeout: match &config.listen.transport {
            config::Transport::Tls(tls) => tls.handshake_timeout,
            config::Transport::Plain | config::Transport::BehindTlsProxy => {
                standard.handshake_timeout
            }
        },
        requests: limits.requests,
        streams: limits.streams,
        write_timeout: limits.write_timeout,
        head_timeout: limits.head_timeout,
        // The parser's own bounds lie a little above ours, so that a request just over them still gets our answer.
        head_bytes: ByteSize::bytes(2 * (limits.header_bytes.as_u64() + limits.uri_bytes.as_u64())),
        header_count: limits.header_count.saturating_mul(2),
        concurrent_streams: limits.concurrent_streams,
        drain_timeout: config.listen.drain_timeout,
    }
}

pub(super) fn routes(
    config: &Config,
    callers: (&Verifier, &Arc<Memberships>),
    metrics: &Arc<Metrics>,
    keys: Option<&Arc<dyn Keys>>,
    clock: &Clock,
) -> Result<Vec<Arc<Route>>, StartError> {
    config
        .routes
        .iter()
        .map(|route| {
            let upstream = shown(config, route, keys, clock)?;
            one_route(config, route, callers, (metrics, clock), upstream)
        })
        .collect()
}

fn one_route(
    config: &Config,
    route: &config::Route,
    (verifier, members): (&Verifier, &Arc<Memberships>),
    (metrics, clock): (&Arc<Metrics>, &Clock),
    upstream: Upstream,
) -> Result<Arc<Route>, StartError> {
    let resource = ResourceId::parse(&route.resource)
        .map_err(|_| StartError::Resource(route.resource.clone()))?;
    let servers = match route.authorization_servers.as_slice() {
        [] => verifier
            .authorization_servers()
            .map(ToOwned::to_owned)
            .collect(),
        named => named.to_vec(),
    };
    let metadata =
        ResourceMetadata::new(&resource, servers, route.scopes_supported.iter().cloned())
            .named(&route.name);
    let scopes = if route.required_scopes.is_empty() {
        &route.scopes_supported
    } else {
        &route.required_scopes
    };
    let policies = Policies::compile(&policies(config, route)?).map_err(StartError::Policy)?;
    for odd in policies.warnings() {
        warn!(route = route.name, "{odd}");
    }
    let meter = metrics.route(&route.name);
    let gauge = meter.upstream_gauge();
    Ok(Route::new(RouteParts {
        breaker: Breaker::new(&route.name, breaker(&route.upstream), clock.clone(), gauge),
        name: route.name.clone(),
        path: route.path.clone(),
        resource,
        metadata,
        scopes: scopes.clone(),
        policies,
        upstream,
        answers: Answers {
            list_bytes: config.limits.list_bytes.as_usize(),
            event_bytes: config.limits.sse_event_bytes.as_usize(),
        },
        workspaces: workspaces(route, members),
        meter,
    }))
}

/// What names a workspace in the calls of a route, where anything does.
fn workspaces(route: &config::Route, members: &Arc<Memberships>) -> Option<Workspaces> {
    let arguments = &route.workspace_arguments;
    (!arguments.is_empty()).then(|| Workspaces::new(arguments, Arc::clone(members)))
}

/// The upstream of a route, with what it is shown.
fn shown(
    config: &Config,
    route: &config::Route,
    keys: Option<&Arc<dyn Keys>>,
    clock: &Clock,
) -> Result<Upstream, StartError> {
    let settings = upstream(config, &route.upstream);
    let upstream = Upstream::new(settings).map_err(|source| StartError::Upstream {
        route: route.name.clone(),
        source,
    })?;
    let credentials = credential::settings(config, &route.upstream)
        .map(|settings| Credentials::new(&settings, keys.cloned(), clock))
        .transpose()
        .map_err(|source| StartError::Credential {
            route: route.name.clone(),
            source,
        })?;
    Ok(upstream.showing(credentials))
}

/// When the upstream of a route is left alone.
fn breaker(given: &config::Upstream) -> upstream::breaker::Settings {
    let given = &given.breaker;
    upstream::breaker::Settings {
        off: given.off,
        failures: given.failures,
        window: given.window,
        wait: given.wait,
    }
}

/// What is asked of an upstream's TLS. A name that is none was refused when the configuration was read.
fn upstream_tls(given: &config::UpstreamTls) -> TlsSettings {
    let name = given.server_name.as_deref();
    TlsSettings {
        pins: given.pins.clone(),
        server_name: name.and_then(|name| ServerName::try_from(name.to_owned()).ok()),
        min_version: match given.min_version {
            TlsVersion::V12 => MinVersion::Tls12,
            TlsVersion::V13 => MinVersion::Tls13,
        },
    }
}

pub(crate) fn upstream(config: &Config, given: &config::Upstream) -> upstream::Settings {
    let target = match &given.endpoint {
        Endpoint::Http(url) => Target::Web(url.as_str().parse::<Uri>().unwrap_or_default()),
        Endpoint::Unix { socket, path } => Target::Unix {
            socket: socket.clone(),
            path: path.clone(),
        },
    };
    upstream::Settings {
        ca_file: given.ca_file.clone(),
        tls: upstream_tls(&given.tls),
        extra_ca_file: config.extra_ca_file.clone(),
        client_identity: given
            .client_identity
            .as_ref()
            .map(|pair| (pair.cert.clone(), pair.key.clone())),
        connect_timeout: given.connect_timeout,
        first_byte_timeout: given.first_byte_timeout,
        idle_timeout: given.idle_timeout,
        total_timeout: given.total_timeout,
        health: given
            .health
            .as_ref()
            .map(|health| upstream::health::Settings {
                path: health.path.clone(),
                every: health.every,
            }),
        headers: given.headers.clone(),
        forward: given.forward_headers.clone(),
        ..upstream::Settings::new(target)
    }
}

/// The policy of one route: the files, the rules for everybody, and the route's own.
pub(crate) fn policies(
    config: &Config,
    route: &config::Route,
) -> Result<policy::Settings, StartError> {
    let mut files = Vec::new();
    for path in &config.policy.files {
        let text = std::fs::read_to_string(path).map_err(|source| StartError::PolicyFile {
            path: path.clone(),
            source,
        })?;
        files.push(PolicyFile {
            name: path.display().to_string(),
            text,
        });
    }
    let lists = |rules: &config::ToolRules| ToolLists {
        enabled: rules.enabled.clone(),
        disabled: rules.disabled.clone(),
    };
    Ok(policy::Settings {
        route: route.name.clone(),
        files,
        everywhere: Rules {
            tools: lists(&config.policy.tools),
            tiers: config
                .policy
                .tiers
                .iter()
                .map(|(tier, rules)| (tier.clone(), lists(rules)))
                .collect(),
            read_only: config.policy.read_only,
            read_only_tools: route.tools.read_only_tools.clone(),
            ..Rules::default()
        },
        here: Rules {
            tools: lists(&route.tools.rules),
            scopes: route.tools.scopes.clone(),
            required_scopes: route.required_scopes.clone(),
            read_only: route.tools.read_only,
            read_only_tools: route.tools.read_only_tools.clone(),
            ..Rules::default()
        },
        deny_by_default: config.policy.default == config::PolicyDefault::Deny,
        ..policy::Settings::default()
    })
}

/// How the process logs.
pub fn logs(config: &Config) -> logs::Settings {
    logs::Settings {
        format: match config.logs.format {
            config::LogFormat::Json => logs::Format::Json,
            config::LogFormat::Text => logs::Format::Text,
        },
        filter: config.logs.level.into(),
    }
}
