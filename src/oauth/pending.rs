//! An authorization request that waits for its user: everything that was checked about it, and the browser that brought it. What
//! is decided later is decided about this record, never about what a browser says again.

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::Server;
use super::error::OauthError;
use crate::grants::opaque;
use crate::random;
use crate::store::{Held, Record, Table, record};
use crate::web::{Visit, cookie};

/// The cookie that binds a request to the browser that brought it.
const COOKIE: &str = "sallygate-authorize";
/// Hex digits of the cookie's value.
const COOKIE_DIGITS: usize = 64;

/// A request that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// The client, and what it is to be called.
    pub(super) client: String,
    pub(super) client_name: String,
    /// The host whose document describes the client.
    pub(super) client_host: Option<String>,
    /// Where the answer goes.
    pub(super) redirect_uri: String,
    /// Whether the request named that address, so that the exchange must name it too.
    pub(super) redirect_named: bool,
    pub(super) state: Option<String>,
    /// The S256 code challenge.
    pub(super) challenge: String,
    pub(super) scopes: Vec<String>,
    pub(super) resources: Vec<String>,
    /// Whether the user is asked in any case.
    pub(super) ask: bool,
    /// Whether the answer of the user is remembered.
    pub(super) remember: bool,
    /// The hash of the browser's cookie.
    pub(super) browser: String,
    /// Who has signed in, once somebody has.
    pub(super) signed_in: Option<SignedIn>,
}

/// Who has signed in for it, and the form that they were shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SignedIn {
    pub(super) user: String,
    /// The generation of the user's tokens at that moment: what ends those ends this too.
    #[serde(default)]
    pub(super) generation: u64,
    /// In milliseconds since the epoch.
    pub(super) at: i64,
    /// The hash of the form's token.
    pub(super) form: String,
}

impl Record for Pending {
    const TABLE: Table = Table::Pending;
    const VERSION: u16 = 1;
}

impl Pending {
    /// Whether this browser brought it.
    pub(super) fn is_of(&self, browser: Option<&str>) -> bool {
        browser.is_some_and(|browser| same(&self.browser, &opaque::hash(browser)))
    }

    /// Whether this is the token of the form that was shown last.
    pub(super) fn was_shown(&self, token: &str) -> bool {
        let shown = self.signed_in.as_ref();
        shown.is_some_and(|signed_in| same(&signed_in.form, &opaque::hash(token)))
    }
}

fn same(known: &str, presented: &str) -> bool {
    known.as_bytes().ct_eq(presented.as_bytes()).into()
}

impl Server {
    /// The name of the cookie: with the prefix that only a secure page of this very host can set, where there is TLS (C22).
    pub(super) fn cookie_name(&self) -> String {
        let prefix = if self.is_secure() {
            cookie::HOST_PREFIX
        } else {
            ""
        };
        format!("{prefix}{COOKIE}")
    }

    /// What the browser's cookie says, if it can be ours.
    pub(super) fn browser_of<'a>(&self, visit: &'a Visit) -> Option<&'a str> {
        visit.cookie(&self.cookie_name()).filter(|value| {
            value.len() == COOKIE_DIGITS && value.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    }

    /// The browser's cookie, or a new one. One cookie serves all requests of a browser: they may wait side by side.
    pub(super) fn browser_or_new(&self, visit: &Visit) -> Result<String, OauthError> {
        match self.browser_of(visit) {
            Some(known) => Ok(known.to_owned()),
            None => Ok(random::hex::<32>()?),
        }
    }

    /// `Set-Cookie` for it.
    pub(super) fn set_browser(&self, browser: &str) -> Option<http::HeaderValue> {
        let lifetime = self.settings.pending_lifetime;
        cookie::set(&self.cookie_name(), browser, lifetime, self.is_secure())
    }

    /// Keeps a request; yields the id under which it waits.
    pub(super) async fn keep(&self, pending: &Pending) -> Result<String, OauthError> {
        let id = random::hex::<32>()?;
        let end = self.clock.now().plus(self.settings.pending_lifetime);
        record::put(&*self.store, &opaque::hash(&id), pending, Some(end)).await?;
        Ok(id)
    }

    /// The request that waits under an id.
    pub(super) async fn pending(&self, id: &str) -> Result<Option<Held<Pending>>, OauthError> {
        Ok(record::get::<Pending>(&*self.store, &opaque::hash(id)).await?)
    }

    /// Takes the request that waits under an id: of any number of callers one gets it.
    pub(super) async fn take_pending(&self, id: &str) -> Result<Option<Pending>, OauthError> {
        let held = record::take::<Pending>(&*self.store, &opaque::hash(id)).await?;
        Ok(held.map(|held| held.record))
    }
}
