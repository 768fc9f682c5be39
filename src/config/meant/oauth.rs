//! What `oauth` means: how long what it issues lives, and which clients it knows.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::Review;
use super::quotas::Quotas;
use crate::config::raw;
use crate::secret::Secret;

/// The authorization server.
#[derive(Clone, Debug)]
pub struct Oauth {
    /// How long access tokens live.
    pub access_token_lifetime: Duration,
    /// How long sessions live.
    pub session_lifetime: Duration,
    /// How long a code lives.
    pub code_lifetime: Duration,
    /// How long an unused login lives.
    pub idle_lifetime: Duration,
    /// How long any login lives.
    pub max_lifetime: Duration,
    /// How long a registration lives; `None` where registration is off.
    pub registration: Option<Registration>,
    /// Documents about clients; `None` where they are off.
    pub client_documents: Option<ClientDocuments>,
    /// Clients that the operator knows, with different ids.
    pub clients: Vec<Client>,
}

/// Registration of clients by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// How long an unused one is kept.
    pub lifetime: Duration,
    /// How many there may be.
    pub max_clients: u32,
}

/// Documents about clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientDocuments {
    /// Hosts that may be asked although their addresses are private.
    pub allow_hosts: Vec<String>,
    /// Certificate authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// A client that the operator knows.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its id.
    pub client_id: String,
    /// Its name.
    pub name: String,
    /// How it proves who it is.
    pub proof: ClientProof,
    /// Where its users are sent back to.
    pub redirect_uris: Vec<String>,
    /// Scopes that it may have.
    pub scopes: Vec<String>,
    /// Whether it may act on its own behalf.
    pub machine: bool,
    /// Whether it may ask what a token is worth.
    pub introspect: bool,
    /// The tier of a machine.
    pub tier: String,
    /// The team of a machine.
    pub team: String,
}

/// How a client proves who it is.
#[derive(Clone, Debug)]
pub enum ClientProof {
    /// Not at all.
    None,
    /// By a secret.
    Secret(Secret<String>),
    /// By a signature under one of the keys in this file.
    Keys(PathBuf),
}

/// The authorization server.
pub(super) fn oauth(raw: &raw::Oauth, quotas: &Quotas, review: &mut Review) -> Oauth {
    if raw.idle_lifetime.0 > raw.max_lifetime.0 {
        review.mistake(
            "oauth.idle_lifetime",
            "is longer than max_lifetime",
            "a login cannot be unused for longer than it lives",
        );
    }
    let documents = &raw.client_documents;
    Oauth {
        access_token_lifetime: raw.access_token_lifetime.0,
        session_lifetime: raw.session_lifetime.0,
        code_lifetime: raw.code_lifetime.0,
        idle_lifetime: raw.idle_lifetime.0,
        max_lifetime: raw.max_lifetime.0,
        registration: raw.registration.enabled.then_some(Registration {
            lifetime: raw.registration.lifetime.0,
            max_clients: raw.registration.max_clients,
        }),
        client_documents: documents.enabled.then(|| ClientDocuments {
            allow_hosts: documents.allow_hosts.clone(),
            ca_file: documents
                .ca_file
                .as_deref()
                .map(|name| review.existing("oauth.client_documents.ca_file", name)),
        }),
        clients: clients(&raw.clients, quotas, review),
    }
}

fn clients(raw: &[raw::Client], quotas: &Quotas, review: &mut Review) -> Vec<Client> {
    let mut ids = BTreeSet::new();
    let mut out = Vec::new();
    for (index, client) in raw.iter().enumerate() {
        let at = format!("oauth.clients[{index}]");
        let id = &client.client_id;
        if !(1..=128).contains(&id.len()) || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = "must have 1 to 128 visible ASCII characters";
            review.mistake(&format!("{at}.client_id"), message, "such as `reports`");
        } else if !ids.insert(id.clone()) {
            let message = format!("`{id}` names another client already");
            let help = "give each client its own id";
            review.mistake(&format!("{at}.client_id"), message, help);
        }
        if let Some(tier) = &client.tier {
            quotas.knows_tier(&format!("{at}.tier"), tier, review);
        }
        out.push(one_client(&at, client, quotas, review));
    }
    out
}

fn one_client(at: &str, raw: &raw::Client, quotas: &Quotas, review: &mut Review) -> Client {
    let secret = review.secret_text(
        &format!("{at}.client_secret"),
        raw.client_secret.as_ref(),
        raw.client_secret_file.as_deref(),
    );
    let keys = raw
        .jwks_file
        .as_deref()
        .map(|name| review.existing(&format!("{at}.jwks_file"), name));
    let proof = match (secret, keys) {
        (Some(_), Some(_)) => {
            let help = "keep client_secret or jwks_file";
            review.mistake(at, "has two ways to prove who it is", help);
            ClientProof::None
        }
        (Some(secret), None) => ClientProof::Secret(secret),
        (None, Some(file)) => ClientProof::Keys(file),
        (None, None) => ClientProof::None,
    };
    if matches!(proof, ClientProof::None) && (raw.machine || raw.introspect) {
        review.mistake(
            at,
            "acts for itself and cannot prove who it is",
            "write client_secret: \"${CLIENT_SECRET}\", or jwks_file",
        );
    }
    if raw.redirect_uris.is_empty() && !raw.machine && !raw.introspect {
        let help = "write redirect_uris, `machine: true` or `introspect: true`";
        review.mistake(at, "can do nothing", help);
    }
    Client {
        client_id: raw.client_id.clone(),
        name: raw.name.clone().unwrap_or_else(|| raw.client_id.clone()),
        proof,
        redirect_uris: raw.redirect_uris.clone(),
        scopes: raw.scopes.clone(),
        machine: raw.machine,
        introspect: raw.introspect,
        tier: raw
            .tier
            .clone()
            .unwrap_or_else(|| quotas.default_tier.clone()),
        team: raw.team.clone(),
    }
}
