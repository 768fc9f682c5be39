//! What `auth` means: the ring of own keys and the other issuers whose tokens count.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::listen::Listen;
use super::quotas::Quotas;
use super::{Review, keys, urls};
use crate::config::raw;
use crate::secret::Secret;

/// Whose tokens are accepted.
#[derive(Clone, Debug)]
pub struct Auth {
    /// The `iss` of own tokens.
    pub issuer: String,
    /// Own keys; the first signs, all verify. Names are unique.
    pub keys: Vec<Key>,
    /// How long own tokens live; at most a day (R611).
    pub token_lifetime: Duration,
    /// How far clocks may differ; at most a minute.
    pub leeway: Duration,
    /// Other authorization servers, with different names and identifiers.
    pub issuers: Vec<Issuer>,
    /// Calls may name no workspace but the one of the caller's token (C28).
    pub strict_single_workspace: bool,
}

/// One own key.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its name in the header of tokens.
    pub kid: String,
    /// At least 32 bytes.
    pub secret: Secret<Vec<u8>>,
}

/// Another authorization server.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its name in logs and user ids.
    pub name: String,
    /// The `iss` of its tokens, as written.
    pub issuer: String,
    /// Audiences that are accepted beside the route's resource identifier.
    pub audiences: Vec<String>,
    /// Where its public keys are.
    pub keys: KeySource,
    /// Names of accepted algorithms, such as `RS256`; not empty.
    pub algorithms: Vec<&'static str>,
    /// The only `typ` that is accepted, if one is named.
    pub typ: Option<String>,
    /// Names of claims.
    pub claims: Claims,
    /// Tier of users whose token names none.
    pub default_tier: String,
    /// Tiers by the value of the tier claim, in the order in which they are tried.
    pub tier_map: Vec<(String, String)>,
    /// Certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// Where public keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In this file.
    File(PathBuf),
    /// At this address.
    Url(Url),
    /// Where the issuer's metadata says (RFC 8414, OpenID Connect Discovery).
    Discover,
}

/// Names of claims, where they are not the usual ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Holds the tier.
    pub tier: Option<String>,
    /// Holds the team.
    pub team: Option<String>,
    /// Holds the roles.
    pub roles: Option<String>,
    /// Holds the scopes.
    pub scopes: Option<String>,
}

impl From<&raw::Claims> for Claims {
    fn from(raw: &raw::Claims) -> Self {
        Self {
            tier: raw.tier.clone(),
            team: raw.team.clone(),
            roles: raw.roles.clone(),
            scopes: raw.scopes.clone(),
        }
    }
}

pub(super) fn mean(
    raw: &raw::Auth,
    listen: Option<&Listen>,
    quotas: &Quotas,
    review: &mut Review,
) -> Option<Auth> {
    let issuers = issuers(raw, quotas, review);
    let keys = keys(raw, review);
    if let Some(issuer) = &raw.issuer {
        secure("auth.issuer", issuer, review);
    }
    Some(Auth {
        issuer: raw
            .issuer
            .clone()
            .or_else(|| Some(listen?.public_url.clone()))?,
        keys,
        token_lifetime: raw.token_lifetime.0,
        leeway: raw.leeway.0,
        issuers,
        strict_single_workspace: raw.strict_single_workspace,
    })
}

fn keys(raw: &raw::Auth, review: &mut Review) -> Vec<Key> {
    let (mut ring, mut names) = (Vec::new(), BTreeSet::new());
    for (index, key) in raw.keys.iter().enumerate() {
        let path = format!("auth.keys[{index}]");
        if key.secret.is_none() && key.secret_file.is_none() {
            review.mistake(
                &path,
                "holds no key",
                "write secret_file, or secret: \"${JWT_SECRET}\"",
            );
            continue;
        }
        let secret_path = format!("{path}.secret");
        let Some(secret) = review.signing_key(
            &secret_path,
            key.secret.as_ref(),
            key.secret_file.as_deref(),
        ) else {
            continue;
        };
        let kid = key.kid.clone().unwrap_or_else(|| keys::name(&secret));
        if !(1..=64).contains(&kid.len()) || !kid.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = "must have 1 to 64 visible ASCII characters";
            review.mistake(&format!("{path}.kid"), message, "such as `2026-11`");
        } else if !names.insert(kid.clone()) {
            let message = format!("`{kid}` names another key already");
            review.mistake(
                &format!("{path}.kid"),
                message,
                "give each key its own name",
            );
        } else {
            ring.push(Key { kid, secret });
        }
    }
    ring
}

fn issuers(raw: &raw::Auth, quotas: &Quotas, review: &mut Review) -> Vec<Issuer> {
    let (mut names, mut identifiers) = (BTreeSet::new(), BTreeSet::new());
    let mut out = Vec::new();
    for (index, issuer) in raw.issuers.iter().enumerate() {
        let path = format!("auth.issuers[{index}]");
        super::routes::name(&format!("{path}.name"), &issuer.name, &mut names, review);
        secure(&format!("{path}.issuer"), &issuer.issuer, review);
        if !identifiers.insert(issuer.issuer.clone()) {
            let message = format!("`{}` is written twice", issuer.issuer);
            review.mistake(
                &format!("{path}.issuer"),
                message,
                "keep one entry for each issuer",
            );
        }
        out.extend(one_issuer(issuer, &path, quotas, review));
    }
    out
}

fn one_issuer(
    raw: &raw::Issuer,
    path: &str,
    quotas: &Quotas,
    review: &mut Review,
) -> Option<Issuer> {
    let keys = key_source(raw, path, review);
    if raw.algorithms.is_empty() {
        let help = "leave it out to accept the usual ones";
        review.mistake(&format!("{path}.algorithms"), "is empty", help);
    }
    let tiers = raw
        .tier_map
        .0
        .iter()
        .map(|(value, tier)| (format!("{path}.tier_map.{value}"), tier))
        .chain(
            raw.default_tier
                .iter()
                .map(|tier| (format!("{path}.default_tier"), tier)),
        );
    for (path, tier) in tiers {
        quotas.knows_tier(&path, tier, review);
    }
    Some(Issuer {
        name: raw.name.clone(),
        issuer: raw.issuer.clone(),
        audiences: raw.audiences.clone(),
        keys: keys?,
        algorithms: raw.algorithms.iter().map(|one| one.name()).collect(),
        typ: raw.typ.clone(),
        claims: Claims::from(&raw.claims),
        default_tier: raw
            .default_tier
            .clone()
            .unwrap_or_else(|| quotas.default_tier.clone()),
        tier_map: raw.tier_map.0.clone(),
        ca_file: raw
            .ca_file
            .as_ref()
            .map(|name| review.existing(&format!("{path}.ca_file"), name)),
    })
}

fn key_source(raw: &raw::Issuer, path: &str, review: &mut Review) -> Option<KeySource> {
    match (&raw.jwks_file, &raw.jwks_url, raw.discovery) {
        (Some(name), None, None | Some(false)) => Some(KeySource::File(
            review.existing(&format!("{path}.jwks_file"), name),
        )),
        (None, Some(url), None | Some(false)) => {
            secure(&format!("{path}.jwks_url"), url, review).map(KeySource::Url)
        }
        (None, None, None | Some(true)) => Some(KeySource::Discover),
        (None, None, Some(false)) => {
            let help = "write jwks_file or jwks_url, or remove `discovery: false`";
            review.mistake(path, "has no source of keys", help);
            None
        }
        _ => {
            let help = "keep one of jwks_file, jwks_url and discovery";
            review.mistake(path, "has several sources of keys", help);
            None
        }
    }
}

/// An address whose answers decide who is let in: TLS, unless it is on this machine.
pub(super) fn secure(path: &str, text: &str, review: &mut Review) -> Option<Url> {
    match urls::web(text) {
        Err(error) => review.mistake(path, error.to_string(), error.help()),
        Ok(url) if urls::exposed(&url) => {
            review.mistake(
                path,
                "must be https",
                "who can change its answers can let anybody in",
            );
        }
        Ok(url) => return Some(url),
    }
    None
}
