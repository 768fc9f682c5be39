//! The authorization server that MCP clients sign their users in at (OAuth 2.1, RFC 6749, 7591, 7009, 7636, 7662, 8414, 8707,
//! 9207): one file an endpoint. Whom users are is asked of a login provider; what they allow is asked here.
//!
//! **Protects** users against clients that pretend to be others, against codes and tokens that were stolen on their way, and
//! against consent that they did not give.
//! **Assumes** that the limits stage has bounded each request, and that the desk knows who signed in.
//! **Hands on** access tokens for this gateway's own resources, and refresh tokens for more of them.
//! **Refuses** whatever is not asked in the one safe way: no code without PKCE, no redirection to an address that the client
//! did not name before, no scope or resource beyond what was allowed, nothing twice.

mod addresses;
mod authorize;
mod client;
mod code;
mod consent;
pub mod error;
pub mod guarded;
mod introspect;
mod metadata;
mod pending;
#[doc(hidden)]
pub mod proof;
mod register;
mod revoke;
mod scopes;
pub mod settings;
#[cfg(test)]
mod tests;
mod throttle;
mod token;

use std::fmt;
use std::sync::Arc;

use http::{Method, StatusCode};
use url::Url;

use crate::auth::mint::Mint;
use crate::auth::{ResourceId, Verifier};
use crate::clock::Clock;
use crate::grants::Grants;
use crate::login::Desk;
use crate::revocation::Revocations;
use crate::routes::oauth as paths;
use crate::store::Store;
use crate::trust::TrustError;
use crate::web::{Reply, Visit};

use client::assertion::Assertions;
use client::documents::Documents;
use client::registry::Registry;
use client::{Client, KnownClientError};
use error::OauthError;
use scopes::Scopes;
use throttle::Throttle;

pub use client::registry::unregister;
pub use consent::forget_consents;
pub use settings::{Resource, Settings};

/// What an authorization server is made of.
#[derive(Debug)]
pub struct Parts {
    /// What the operator decided.
    pub settings: Settings,
    /// Where codes, clients and consent are kept.
    pub store: Arc<dyn Store>,
    /// The grants.
    pub grants: Arc<Grants>,
    /// Where single tokens are ended.
    pub revocations: Arc<Revocations>,
    /// The maker of access tokens.
    pub mint: Mint,
    /// Who recognises them again.
    pub verifier: Arc<Verifier>,
    /// Who signs users in.
    pub desk: Arc<Desk>,
    /// What tokens are made for; the first is meant by requests that name none.
    pub resources: Vec<Resource>,
    /// The time.
    pub clock: Clock,
}

/// Settings that no authorization server can be made of.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// There is nothing to make tokens for.
    #[error("there is no resource to make tokens for")]
    NoResource,
    /// The public address is none.
    #[error("`{0}` is no address of an authorization server")]
    PublicUrl(String),
    /// A client cannot be used.
    #[error(transparent)]
    Client(#[from] KnownClientError),
    /// It is not known whom to trust.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// The authorization server.
pub struct Server {
    settings: Settings,
    /// The origin of our own pages.
    origin: String,
    store: Arc<dyn Store>,
    grants: Arc<Grants>,
    revocations: Arc<Revocations>,
    mint: Mint,
    verifier: Arc<Verifier>,
    desk: Arc<Desk>,
    resources: Vec<Resource>,
    default_resource: ResourceId,
    clients: Registry,
    assertions: Assertions,
    scopes: Scopes,
    throttle: Throttle,
    clock: Clock,
}

impl Server {
    /// An authorization server.
    ///
    /// # Errors
    /// [`SetupError`] for the first part that cannot be used.
    pub fn new(parts: Parts) -> Result<Self, SetupError> {
        let Parts {
            settings,
            store,
            clock,
            ..
        } = parts;
        let wrong = || SetupError::PublicUrl(settings.public_url.clone());
        let url = Url::parse(&settings.public_url).map_err(|_| wrong())?;
        let throttle = Throttle::new(Arc::clone(&store), settings.throttle.clone(), clock.clone());
        let documents = settings.documents.clone().map(|documents| {
            let (throttle, store) = (throttle.clone(), Arc::clone(&store));
            Documents::new(documents, throttle, store, clock.clone())
        });
        let known: Result<Vec<_>, _> = settings.clients.iter().map(Client::known).collect();
        let first = parts.resources.first().ok_or(SetupError::NoResource)?;
        Ok(Self {
            origin: url.origin().ascii_serialization(),
            default_resource: first.id.clone(),
            clients: Registry::new(
                known?,
                settings.registration.clone(),
                documents.transpose()?,
                Arc::clone(&store),
                clock.clone(),
            ),
            assertions: Assertions {
                store: Arc::clone(&store),
                clock: clock.clone(),
                audiences: vec![
                    settings.issuer.clone(),
                    format!("{}{}", settings.public_url, paths::TOKEN),
                ],
            },
            scopes: Scopes::new(&settings.scopes, &parts.resources),
            throttle,
            grants: parts.grants,
            revocations: parts.revocations,
            mint: parts.mint,
            verifier: parts.verifier,
            desk: parts.desk,
            resources: parts.resources,
            settings,
            store,
            clock,
        })
    }

    /// Whether a path is one of the server's.
    pub fn serves(&self, path: &str) -> bool {
        paths::ALL.contains(&path) || self.is_metadata(path)
    }

    /// The answer to a request for one of the server's paths.
    ///
    /// # Cancel safety
    /// Whoever hangs up while a code or refresh token is exchanged may find it exchanged.
    pub async fn answer(&self, visit: &Visit) -> Reply {
        match visit.path.as_str() {
            paths::AUTHORIZE => match visit.method {
                Method::GET | Method::POST => self.authorize(visit).await,
                _ => OauthError::Method("GET, POST").reply(),
            },
            paths::LOGIN => match visit.method {
                Method::GET => self.choose(visit).await,
                _ => OauthError::Method("GET").reply(),
            },
            paths::CONSENT => match visit.method {
                Method::POST => self.decide(visit).await,
                _ => OauthError::Method("POST").reply(),
            },
            paths::INTROSPECT => match visit.method {
                Method::POST => self.introspect(visit).await,
                _ => OauthError::Method("POST").reply(),
            },
            paths::TOKEN | paths::REGISTER | paths::REVOKE => self.answer_client(visit).await,
            paths::JWKS => reading(visit, Self::jwks),
            path if self.is_metadata(path) => reading(visit, || self.metadata()),
            _ => Reply::empty(StatusCode::NOT_FOUND),
        }
    }

    /// The endpoints that clients ask.
    async fn answer_client(&self, visit: &Visit) -> Reply {
        if visit.method != Method::POST {
            return OauthError::Method("POST").reply();
        }
        match visit.path.as_str() {
            paths::TOKEN => self.token(visit).await,
            paths::REGISTER => self.register(visit).await,
            _ => self.revoke(visit).await,
        }
    }

    /// Whether browsers reach us over TLS.
    fn is_secure(&self) -> bool {
        self.settings.public_url.starts_with("https://")
    }

    /// The resource that a parameter names, if it is ours.
    fn resource(&self, named: &str) -> Option<&Resource> {
        let id = ResourceId::parse(named).ok()?;
        self.resources.iter().find(|resource| resource.id == id)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("issuer", &self.settings.issuer)
            .finish_non_exhaustive()
    }
}

fn reading(visit: &Visit, document: impl FnOnce() -> Reply) -> Reply {
    match visit.method {
        Method::GET | Method::HEAD => document(),
        _ => OauthError::Method("GET, HEAD").reply(),
    }
}
