//! What the operator wrote about signing in, as the parts that do it are set up with. Plain mapping, like `translate`.

use std::sync::Arc;

use crate::auth::settings::ClaimMapping;
use crate::clock::Clock;
use crate::config::{self, Addresses, Config, ProviderKind};
use crate::login::{self, Endpoints, Kind};
use crate::quota::shared::{Shared, WhenDown};
use crate::secret::Secret;
use crate::store::redis::link::Link;
use crate::store::{self, Store, StoreError};
use crate::vault::{self, Kdf, Keeping};
use crate::{account, grants, oauth, revocation};

/// The store of a configuration.
///
/// # Errors
/// [`StoreError`] when it cannot be opened.
pub fn store(config: &Config, clock: &Clock) -> Result<Arc<dyn Store>, StoreError> {
    store::open(&store_settings(config), clock)
}

/// Where the store is, for the verbs that may be told of another one.
pub fn store_settings(config: &Config) -> store::Settings {
    store::Settings {
        url: config.store.url.clone(),
        path: config.store.file.clone(),
        redis: redis(config),
        ..store::Settings::default()
    }
}

fn redis(config: &Config) -> store::redis::Settings {
    store::redis::Settings {
        ca_file: config.store.ca_file.clone(),
        extra_ca_file: config.extra_ca_file.clone(),
        response_timeout: config.store.timeout,
        ..store::redis::Settings::default()
    }
}

/// The count that all gateways of a Redis share; none where the store is one gateway's own.
pub(super) fn fleet(config: &Config, clock: &Clock) -> Result<Option<Shared>, StoreError> {
    let Some(url) = &config.store.url else {
        return Ok(None);
    };
    if url.expose().starts_with("memory:") {
        return Ok(None);
    }
    let link = Link::new(url, &redis(config))?;
    let when_down = if config.quotas.refuse_when_store_is_down {
        WhenDown::Refuse
    } else {
        WhenDown::CountLocally
    };
    let shared = Shared::new(link, config.store.timeout, when_down, clock.clone());
    Ok(Some(shared))
}

pub(super) fn revocation(config: &Config) -> revocation::Settings {
    revocation::Settings {
        poll: config.revocation.poll,
        stale_after: config.revocation.stale_after,
        grace: config.revocation.grace,
        ..revocation::Settings::default()
    }
}

pub(super) fn vault(config: &Config, key: Option<Secret<Vec<u8>>>) -> vault::Settings {
    vault::Settings {
        kdf: match config.vault.kdf {
            config::VaultKdf::Auto => Kdf::Auto,
            config::VaultKdf::Hkdf => Kdf::Hkdf,
            config::VaultKdf::Argon2id => Kdf::Argon2id,
        },
        keeping: match config.vault.mode {
            config::VaultMode::Vault => Keeping::Vault,
            config::VaultMode::Keychain => Keeping::Keychain,
            config::VaultMode::Memory => Keeping::Memory,
        },
        key,
        previous: config.encryption_key_previous.iter().cloned().collect(),
        cache_ttl: config.vault.cache,
        ..vault::Settings::default()
    }
}

pub(super) fn grants(config: &Config) -> grants::Settings {
    grants::Settings {
        idle: config.oauth.idle_lifetime,
        absolute: config.oauth.max_lifetime,
        ..grants::Settings::default()
    }
}

pub(super) fn login(config: &Config) -> login::Settings {
    login::Settings {
        providers: config.providers.iter().map(provider).collect(),
        public_url: config.listen.public_url.clone(),
        extra_ca_file: config.extra_ca_file.clone(),
        leeway: config.auth.leeway,
        tiers: tiers(config),
        ..login::Settings::default()
    }
}

/// The tiers, first the one of users of whom nothing else is known.
fn tiers(config: &Config) -> Vec<String> {
    let standard = &config.quotas.default_tier;
    let others = config.quotas.tiers.keys().filter(|tier| *tier != standard);
    std::iter::once(standard).chain(others).cloned().collect()
}

fn provider(provider: &config::Provider) -> login::ProviderSettings {
    login::ProviderSettings {
        name: provider.name.clone(),
        label: provider.label.clone(),
        kind: match &provider.kind {
            ProviderKind::Clickup(at) => Kind::Clickup(endpoints(at)),
            ProviderKind::Github(at) => Kind::Github(endpoints(at)),
            ProviderKind::Oidc(issuer) => Kind::Oidc {
                issuer: issuer.clone(),
            },
            ProviderKind::Development => Kind::Development,
        },
        client_id: provider.client_id.clone(),
        client_secret: provider.client_secret.clone(),
        scopes: provider.scopes.clone(),
        claims: mapping(&provider.claims, &provider.tier_map, &provider.default_tier),
        default_team: provider.default_team.clone(),
        allow: login::Allow {
            users: provider.allow.users.clone(),
            email_domains: provider.allow.email_domains.clone(),
            teams: provider.allow.teams.clone(),
        },
        keep_tokens: provider.keep_tokens,
        ca_file: provider.ca_file.clone(),
    }
}

fn endpoints(at: &Addresses) -> Endpoints {
    let text = |url: &Option<url::Url>| url.as_ref().map(ToString::to_string);
    Endpoints {
        authorize: text(&at.authorize),
        token: text(&at.token),
        api: text(&at.api),
    }
}

fn mapping(
    claims: &config::Claims,
    tiers: &[(String, String)],
    default_tier: &str,
) -> ClaimMapping {
    ClaimMapping {
        tier_claim: claims.tier.clone(),
        tiers: tiers.to_vec(),
        default_tier: default_tier.to_owned(),
        team_claim: claims.team.clone(),
        roles_claim: claims.roles.clone(),
        scopes_claim: claims.scopes.clone(),
    }
}

pub(super) fn oauth(config: &Config) -> oauth::Settings {
    let oauth = &config.oauth;
    oauth::Settings {
        issuer: config.auth.issuer.clone(),
        public_url: config.listen.public_url.clone(),
        access_token_lifetime: oauth.access_token_lifetime,
        code_lifetime: oauth.code_lifetime,
        registration: oauth
            .registration
            .as_ref()
            .map(|on| oauth::settings::Registration {
                lifetime: on.lifetime,
                max_clients: on.max_clients,
                ..oauth::settings::Registration::default()
            }),
        documents: oauth
            .client_documents
            .as_ref()
            .map(|on| oauth::settings::Documents {
                allow_hosts: on.allow_hosts.clone(),
                ca_file: on.ca_file.clone(),
                ..oauth::settings::Documents::default()
            }),
        clients: oauth.clients.iter().map(client).collect(),
        ..oauth::Settings::default()
    }
}

fn client(client: &config::Client) -> oauth::settings::KnownClient {
    oauth::settings::KnownClient {
        client_id: client.client_id.clone(),
        name: client.name.clone(),
        proof: match &client.proof {
            config::ClientProof::None => oauth::settings::Proof::None,
            config::ClientProof::Secret(secret) => oauth::settings::Proof::Secret(secret.clone()),
            config::ClientProof::Keys(file) => oauth::settings::Proof::Keys(file.clone()),
        },
        redirect_uris: client.redirect_uris.clone(),
        scopes: client.scopes.clone(),
        machine: client.machine,
        introspect: client.introspect,
        tier: client.tier.clone(),
        team: client.team.clone(),
    }
}

pub(super) fn account(config: &Config) -> account::Settings {
    account::Settings {
        session_lifetime: config.oauth.session_lifetime,
        scopes: scopes(config),
        key_providers: config
            .providers
            .iter()
            .filter(|provider| matches!(provider.kind, ProviderKind::Clickup(_)))
            .map(|provider| provider.name.clone())
            .collect(),
        ..account::Settings::default()
    }
}

/// Everything that the routes know of: a session may do what its user may.
fn scopes(config: &Config) -> Vec<String> {
    let mut scopes: Vec<String> = config
        .routes
        .iter()
        .flat_map(|route| route.scopes_supported.iter().chain(&route.required_scopes))
        .cloned()
        .collect();
    scopes.sort();
    scopes.dedup();
    scopes
}
