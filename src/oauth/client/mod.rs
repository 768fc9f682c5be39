//! OAuth clients: those that the operator knows, those that registered themselves, and those whose id is the address of a
//! document about them. Wherever one comes from, the endpoints see a [`Client`].

pub(in crate::oauth) mod assertion;
pub(in crate::oauth) mod authenticate;
pub(in crate::oauth) mod documents;
pub(in crate::oauth) mod metadata;
pub(in crate::oauth) mod redirect;
pub(in crate::oauth) mod registry;

use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::settings::{KnownClient, Proof};
use crate::auth::assertion as signed;
use crate::auth::keys::{KeyError, KeySet};
use metadata::{About, Method};

/// A client.
#[derive(Clone)]
pub(in crate::oauth) struct Client {
    pub(in crate::oauth) id: String,
    pub(in crate::oauth) name: String,
    pub(in crate::oauth) source: Source,
    pub(in crate::oauth) redirect_uris: Vec<String>,
    pub(in crate::oauth) secret: Identification,
    /// Scopes that it may have; empty for all.
    pub(in crate::oauth) scopes: Vec<String>,
    /// Whether it gets refresh tokens.
    pub(in crate::oauth) refresh: bool,
    /// What it is when it acts for itself.
    pub(in crate::oauth) machine: Option<Machine>,
    /// Whether it may ask what a token is worth.
    pub(in crate::oauth) introspect: bool,
}

/// Where we know a client from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::oauth) enum Source {
    /// The operator.
    Known,
    /// It registered itself.
    Registered,
    /// A document at that host.
    Document(String),
}

/// By what a client is recognised.
#[derive(Clone)]
pub(in crate::oauth) enum Identification {
    /// By nothing.
    None,
    /// By the SHA-256 of its secret.
    Secret([u8; 32]),
    /// By one of these keys.
    Keys(Arc<KeySet>),
    /// By one of the keys at this address.
    KeysAt(String),
}

/// A client that acts on its own behalf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::oauth) struct Machine {
    pub(in crate::oauth) tier: String,
    pub(in crate::oauth) team: String,
}

/// A client of the settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KnownClientError {
    /// Its keys cannot be read.
    #[error("the keys of client `{id}` cannot be read from {path}")]
    File {
        /// The client.
        id: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Its keys cannot be used.
    #[error("the keys of client `{id}` cannot be used")]
    Keys {
        /// The client.
        id: String,
        /// Why not.
        source: KeyError,
    },
    /// One of its redirect URIs cannot be used.
    #[error("client `{id}` cannot be redirected to: {why}")]
    Redirect {
        /// The client.
        id: String,
        /// Why not.
        why: String,
    },
}

impl Client {
    /// A client that the operator knows.
    pub(in crate::oauth) fn known(settings: &KnownClient) -> Result<Self, KnownClientError> {
        let id = settings.client_id.clone();
        for uri in &settings.redirect_uris {
            redirect::check(uri).map_err(|error| KnownClientError::Redirect {
                id: id.clone(),
                why: error.to_string(),
            })?;
        }
        Ok(Self {
            name: settings.name.clone(),
            source: Source::Known,
            redirect_uris: settings.redirect_uris.clone(),
            secret: identification(settings)?,
            scopes: settings.scopes.clone(),
            refresh: true,
            machine: settings.machine.then(|| Machine {
                tier: settings.tier.clone(),
                team: settings.team.clone(),
            }),
            introspect: settings.introspect,
            id,
        })
    }

    /// A client that said this about itself. `None` where its keys can no longer be read.
    pub(in crate::oauth) fn described(
        id: &str,
        about: &About,
        source: Source,
        secret: Option<[u8; 32]>,
    ) -> Option<Self> {
        let identification = match about.method {
            Method::None => Identification::None,
            Method::ClientSecretBasic | Method::ClientSecretPost => Identification::Secret(secret?),
            Method::PrivateKeyJwt => match (&about.jwks, &about.jwks_uri) {
                (Some(jwks), _) => {
                    let keys = signed::keys(jwks.to_string().as_bytes()).ok()?;
                    Identification::Keys(Arc::new(keys))
                }
                (None, Some(uri)) => Identification::KeysAt(uri.clone()),
                (None, None) => return None,
            },
        };
        Some(Self {
            id: id.to_owned(),
            name: about.name.clone().unwrap_or_else(|| id.to_owned()),
            source,
            redirect_uris: about.redirect_uris.clone(),
            secret: identification,
            scopes: Vec::new(),
            refresh: about.refresh,
            machine: None,
            introspect: false,
        })
    }

    /// Where an authorization response goes. A request that names no address means the only one (RFC 6749 section 3.1.2.3).
    pub(in crate::oauth) fn redirect(&self, asked: Option<&str>) -> Option<String> {
        match (asked, self.redirect_uris.as_slice()) {
            (Some(asked), known) => known
                .iter()
                .any(|known| redirect::matches(known, asked))
                .then(|| asked.to_owned()),
            (None, [only]) => Some(only.clone()),
            (None, _) => None,
        }
    }

    /// Whether consent that was given to it once may be taken for granted at this address. Behind a loopback or private-use
    /// address any program can stand.
    pub(in crate::oauth) fn is_at_home(&self, redirect_uri: &str) -> bool {
        redirect::check(redirect_uri) == Ok(redirect::Kind::Web)
    }

    /// Whether whoever made it known could have chosen any site as this address. To redirect there before its user has done
    /// anything would make us the disguise of that site (RFC 9700 section 4.11.2).
    pub(in crate::oauth) fn is_anybodys(&self, redirect_uri: &str) -> bool {
        self.source != Source::Known && self.is_at_home(redirect_uri)
    }

    /// The host whose document describes it.
    pub(in crate::oauth) fn host(&self) -> Option<&str> {
        match &self.source {
            Source::Document(host) => Some(host),
            Source::Known | Source::Registered => None,
        }
    }
}

fn identification(settings: &KnownClient) -> Result<Identification, KnownClientError> {
    Ok(match &settings.proof {
        Proof::None => Identification::None,
        Proof::Secret(secret) => Identification::Secret(digest(secret.expose())),
        Proof::Keys(path) => {
            let id = || settings.client_id.clone();
            let document = std::fs::read(path).map_err(|source| KnownClientError::File {
                id: id(),
                path: path.clone(),
                source,
            })?;
            let keys = signed::keys(&document)
                .map_err(|source| KnownClientError::Keys { id: id(), source })?;
            Identification::Keys(Arc::new(keys))
        }
    })
}

/// By what a secret is compared: in constant time, whatever its length.
pub(in crate::oauth) fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
