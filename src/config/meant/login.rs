//! What `login` means: whom users sign in with, and whom the gateway then lets in.

use std::collections::BTreeSet;
use std::path::PathBuf;

use url::Url;

use super::Review;
use super::auth::Claims;
use super::listen::Profile;
use super::quotas::Quotas;
use crate::config::raw;
use crate::secret::Secret;

/// Somebody who knows the users.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name in logs, user ids and addresses; unique.
    pub name: String,
    /// What the page calls it.
    pub label: String,
    /// What kind it is.
    pub kind: ProviderKind,
    /// The `client_id` under which it knows the gateway.
    pub client_id: String,
    /// The secret that belongs to it.
    pub client_secret: Option<Secret<String>>,
    /// Scopes that it is asked for; empty for what the kind needs.
    pub scopes: Vec<String>,
    /// Names of claims.
    pub claims: Claims,
    /// Tier of users whose claims name none.
    pub default_tier: String,
    /// Tiers by the value of the tier claim, in the order in which they are tried.
    pub tier_map: Vec<(String, String)>,
    /// Team of users whose provider names none.
    pub default_team: String,
    /// Who may sign in; everybody when all lists are empty.
    pub allow: Allow,
    /// Whether its own token is kept.
    pub keep_tokens: bool,
    /// Certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// What kind of provider it is, with the addresses that are not the usual ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// ClickUp.
    Clickup(Addresses),
    /// GitHub.
    Github(Addresses),
    /// Any OpenID provider, by its issuer.
    Oidc(String),
    /// The login of `sallygate demo`, which asks for no proof. Never made from a file.
    Development,
}

/// Addresses that stand in for the usual ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The login page.
    pub authorize: Option<Url>,
    /// The token endpoint.
    pub token: Option<Url>,
    /// The base of the API.
    pub api: Option<Url>,
}

/// Who may sign in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// User ids, or verified e-mail addresses.
    pub users: Vec<String>,
    /// Domains of verified e-mail addresses.
    pub email_domains: Vec<String>,
    /// Teams.
    pub teams: Vec<String>,
}

impl Allow {
    fn is_everybody(&self) -> bool {
        self.users.is_empty() && self.email_domains.is_empty() && self.teams.is_empty()
    }
}

/// A redirect address that is written down must be the one that is served (R276).
pub(super) fn redirect_uri(raw: &raw::Login, public_url: Option<&str>, review: &mut Review) {
    let (Some(written), Some(public_url)) = (&raw.redirect_uri, public_url) else {
        return;
    };
    let served = format!("{public_url}/auth/callback");
    if *written != served {
        let message = format!("is not `{served}`, where the gateway waits for users");
        let help =
            "remove it, or correct listen.public_url; register the served address at the provider";
        review.mistake("login.redirect_uri", message, help);
    }
}

/// Whoever signs users in makes tokens for them and keeps their credentials, and needs a key for each.
pub(super) fn keys_for_logins(
    raw: &raw::Config,
    profile: Profile,
    keys_required: bool,
    review: &mut Review,
) {
    if keys_required && raw.auth.keys.is_empty() {
        review.mistake(
            "auth.keys",
            "holds no key, so users who sign in could get no token",
            "set JWT_SECRET, or write auth.keys",
        );
    }
    let sealed = raw.vault.mode != raw::VaultMode::Memory;
    let keyless = raw.encryption_key.is_none() && raw.encryption_key_file.is_none();
    if sealed && keyless && profile == Profile::Production {
        review.mistake(
            "encryption_key",
            "is missing, so nothing about users who sign in could be kept",
            "set ENCRYPTION_KEY, best made with `sallygate keys generate`",
        );
    }
}

/// The login providers.
pub(super) fn providers(
    raw: &raw::Login,
    quotas: &Quotas,
    profile: Profile,
    review: &mut Review,
) -> Vec<Provider> {
    let mut names = BTreeSet::new();
    one_clickup(raw, review);
    raw.providers
        .iter()
        .enumerate()
        .filter_map(|(index, provider)| {
            let at = format!("login.providers[{index}]");
            super::routes::name(&format!("{at}.name"), &provider.name, &mut names, review);
            one_provider(&at, provider, quotas, profile, review)
        })
        .collect()
}

/// Users of ClickUp are their numbers (C19), so two that count by themselves would make one user of two people.
fn one_clickup(raw: &raw::Login, review: &mut Review) {
    let mut first: Option<&raw::Provider> = None;
    for (index, provider) in raw.providers.iter().enumerate() {
        if provider.kind != raw::ProviderKind::Clickup {
            continue;
        }
        let known = *first.get_or_insert(provider);
        if (&known.api_url, &known.token_url) != (&provider.api_url, &provider.token_url) {
            review.mistake(
                &format!("login.providers[{index}]"),
                format!("is another ClickUp than `{}`", known.name),
                "use one of them: people of both would be one user where their numbers are the same",
            );
        }
    }
}

fn one_provider(
    at: &str,
    raw: &raw::Provider,
    quotas: &Quotas,
    profile: Profile,
    review: &mut Review,
) -> Option<Provider> {
    let kind = kind(at, raw, review);
    let client_secret = review.secret_text(
        &format!("{at}.client_secret"),
        raw.client_secret.as_ref(),
        raw.client_secret_file.as_deref(),
    );
    if client_secret.is_none() && raw.kind != raw::ProviderKind::Oidc {
        let help = "write client_secret: \"${CLIENT_SECRET}\", or client_secret_file";
        review.mistake(&format!("{at}.client_secret"), "is missing", help);
    }
    let tiers = raw
        .tier_map
        .0
        .iter()
        .map(|(value, tier)| (format!("{at}.tier_map.{value}"), tier))
        .chain(
            raw.default_tier
                .iter()
                .map(|tier| (format!("{at}.default_tier"), tier)),
        );
    for (path, tier) in tiers {
        quotas.knows_tier(&path, tier, review);
    }
    if raw.default_team.trim().is_empty() || raw.default_team.contains(char::is_control) {
        let help = "every token names a team; leave it out for `default`";
        review.mistake(&format!("{at}.default_team"), "names no team", help);
    }
    let allow = Allow {
        users: raw.allow.users.clone(),
        email_domains: raw
            .allow
            .email_domains
            .iter()
            .map(|domain| domain.to_ascii_lowercase())
            .collect(),
        teams: raw.allow.teams.clone(),
    };
    if profile == Profile::Production
        && raw.kind == raw::ProviderKind::Github
        && raw.api_url.is_none()
        && allow.is_everybody()
    {
        review.warn(
            &format!("{at}.allow"),
            "lets everybody with a GitHub account in",
            "name users, email_domains or teams (organisations)",
        );
    }
    Some(Provider {
        name: raw.name.clone(),
        label: raw.label.clone().unwrap_or_else(|| raw.name.clone()),
        kind: kind?,
        client_id: raw.client_id.clone(),
        client_secret,
        scopes: raw.scopes.clone(),
        claims: Claims::from(&raw.claims),
        default_tier: raw
            .default_tier
            .clone()
            .unwrap_or_else(|| quotas.default_tier.clone()),
        tier_map: raw.tier_map.0.clone(),
        default_team: raw.default_team.clone(),
        allow,
        keep_tokens: raw.keep_tokens || raw.kind == raw::ProviderKind::Clickup,
        ca_file: raw
            .ca_file
            .as_deref()
            .map(|name| review.existing(&format!("{at}.ca_file"), name)),
    })
}

fn kind(at: &str, raw: &raw::Provider, review: &mut Review) -> Option<ProviderKind> {
    if raw.kind == raw::ProviderKind::Oidc {
        let path = format!("{at}.issuer");
        let Some(issuer) = &raw.issuer else {
            review.mistake(
                &path,
                "is missing",
                "write the issuer of the OpenID provider",
            );
            return None;
        };
        super::auth::secure(&path, issuer, review)?;
        return Some(ProviderKind::Oidc(issuer.clone()));
    }
    if raw.issuer.is_some() {
        let help = "remove it, or write `kind: oidc`";
        review.mistake(&format!("{at}.issuer"), "means nothing for this kind", help);
    }
    let mut address = |key: &str, text: &Option<String>| {
        let text = text.as_deref()?;
        super::auth::secure(&format!("{at}.{key}"), text, review)
    };
    let addresses = Addresses {
        authorize: address("authorize_url", &raw.authorize_url),
        token: address("token_url", &raw.token_url),
        api: address("api_url", &raw.api_url),
    };
    Some(match raw.kind {
        raw::ProviderKind::Github => ProviderKind::Github(addresses),
        _ => ProviderKind::Clickup(addresses),
    })
}
