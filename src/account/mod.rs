//! The account of whoever signs in: the way in and out, the session and its renewal, and the keys that a user leaves with
//! the gateway (`/auth/*`).
//!
//! **Protects** against sessions that outlive a logout, tokens of clients that become sessions, and keys that come out
//! again.
//! **Assumes** that the desk says who came back from a provider, and that the request was bounded.
//! **Hands on** session tokens and what waits for a login.
//! **Refuses** whoever holds no valid token, with the nested error body of the seeds (C54).

mod api_key;
mod callback;
mod caller;
mod credentials;
mod enter;
mod leave;
mod me;
mod refresh;
mod refusal;
mod session;
pub mod settings;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit};
use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};
use sha2::Sha256;
use tokio::sync::Mutex;

use crate::audit::Sink;
use crate::auth::{Mint, ResourceId, Verifier};
use crate::clock::Clock;
use crate::grants::Grants;
use crate::login::Desk;
use crate::oauth;
use crate::random::{self, NoRandomness};
use crate::revocation::Revocations;
use crate::routes::account as paths;
use crate::store::Store;
use crate::vault::Vault;
use crate::web::{Reply, Visit};

pub use settings::Settings;

/// What an account is made of.
pub struct Parts {
    /// What the operator decided.
    pub settings: Settings,
    /// Where users sign in.
    pub desk: Arc<Desk>,
    /// Who goes on with the requests of clients once their user is known.
    pub oauth: Option<Arc<oauth::Server>>,
    /// Where sessions are kept.
    pub grants: Arc<Grants>,
    /// Who makes tokens.
    pub mint: Mint,
    /// Who checks them.
    pub verifier: Arc<Verifier>,
    /// Where credentials are kept.
    pub vault: Option<Arc<Vault>>,
    /// Where sessions are ended.
    pub revocations: Arc<Revocations>,
    /// Where everything else is kept.
    pub store: Arc<dyn Store>,
    /// The resources that a session is good for; the first one is named in challenges.
    pub resources: Vec<ResourceId>,
    /// Where second lines go.
    pub audit: Sink,
    /// What time it is.
    pub clock: Clock,
}

/// The endpoints below `/auth/`.
pub struct Account {
    parts: Parts,
    /// One renewal of a user's upstream token at a time; users share locks, of which there is a fixed number.
    renewals: Vec<Mutex<()>>,
    fingerprints: Hmac<Sha256>,
}

impl Account {
    /// The endpoints.
    ///
    /// # Errors
    /// Without randomness.
    pub fn new(parts: Parts) -> Result<Self, NoRandomness> {
        Ok(Self {
            parts,
            renewals: (0..RENEWALS).map(|_| Mutex::new(())).collect(),
            fingerprints: Hmac::new(&random::bytes::<64>()?.into()),
        })
    }

    /// Whether a path is one of these.
    pub fn serves(&self, path: &str) -> bool {
        paths::ALL.contains(&path)
    }

    /// The answer to a visit.
    ///
    /// # Cancel safety
    /// A caller that goes away may have spent a login's state or a refresh token without learning what it got.
    pub async fn answer(&self, visit: &Visit) -> Reply {
        let (path, method) = (visit.path.as_str(), &visit.method);
        let allowed = methods(path);
        if !allowed.contains(method) {
            return self.other_method(allowed, visit);
        }
        match (path, method) {
            (paths::LOGIN, _) => self.enter(visit).await,
            (paths::CALLBACK, _) => self.callback(visit).await,
            (paths::DEVELOPMENT, _) => self.development(visit),
            (paths::REFRESH, _) => self.refresh(visit).await,
            (paths::LOGOUT, _) => self.leave(visit).await,
            (paths::ME, _) => self.me(visit).await,
            (paths::API_KEY, &Method::GET) => self.show_keys(visit).await,
            (paths::API_KEY, &Method::DELETE) => self.remove_key(visit).await,
            (paths::API_KEY, _) => self.keep_key(visit).await,
            _ => Reply::error(
                StatusCode::NOT_FOUND,
                "not_found",
                "There is nothing here",
                None,
                &visit.request_id,
            ),
        }
    }

    fn other_method(&self, allowed: &[Method], visit: &Visit) -> Reply {
        let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        let reply = Reply::error(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "The method is not one of those that this path knows",
            None,
            &visit.request_id,
        );
        match HeaderValue::from_str(&names.join(", ")) {
            Ok(names) => reply.with(ALLOW, names),
            Err(_) => reply,
        }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("settings", &self.parts.settings)
            .finish_non_exhaustive()
    }
}

/// What may be done at a path.
const fn methods(path: &str) -> &'static [Method] {
    match path.as_bytes() {
        b"/auth/refresh" => &[Method::POST],
        b"/auth/logout" => &[Method::POST, Method::DELETE],
        b"/auth/api-key" => &[Method::GET, Method::PUT, Method::POST, Method::DELETE],
        _ => &[Method::GET],
    }
}

const RENEWALS: usize = 64;
