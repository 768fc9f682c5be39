//! What a configuration means: plain data in which nothing is left to check. Only this folder makes it, from a raw twin
//! whose shape was already found right.

mod auth;
mod credential;
mod door;
mod keeping;
mod keys;
mod listen;
mod login;
mod oauth;
mod policy;
mod quotas;
mod records;
mod review;
mod routes;
mod upstreams;
mod urls;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::secret::Secret;

use super::mistake::Origin;
use super::raw;

pub use auth::{Auth, Claims, Issuer, Key, KeySource};
pub use credential::{
    ClientAuth, Credential, CredentialKind, CredentialSubject, PerUser, SigningKey, TokenEndpoint,
    Wish,
};
pub use door::{Door, Mutual, PerAddress};
pub use keeping::{Revocation, Store, Vault, VaultKdf, VaultMode};
pub use keys::decode;
pub use listen::{Certificate, Cors, Limits, Listen, Profile, Tls, TlsVersion, Transport};
pub use login::{Addresses, Allow, Provider, ProviderKind};
pub use oauth::{Client, ClientDocuments, ClientProof, Oauth, Registration};
pub use policy::{Policy, PolicyDefault, RouteTools, ToolRules};
pub use quotas::{Quotas, Tier, ToolQuota, UserQuota};
pub use records::{Audit, LogFormat, Logs, Metrics, Sessions};
pub(in crate::config) use review::Review;
pub use routes::Route;
pub use upstreams::{Breaker, ClientIdentity, Endpoint, Health, Upstream, UpstreamTls};

/// Everything that the gateway was told.
#[derive(Clone, Debug)]
pub struct Config {
    /// How strict the gateway is about its surroundings.
    pub profile: Profile,
    /// Refuse to start as long as anything is warned about.
    pub strict: bool,
    /// Where the gateway is reached.
    pub listen: Listen,
    /// Who may connect.
    pub door: Door,
    /// Which web pages may call.
    pub cors: Cors,
    /// Bounds on what comes from outside.
    pub limits: Limits,
    /// The MCP servers; at least one, with different names and paths.
    pub routes: Vec<Route>,
    /// Whose tokens are accepted.
    pub auth: Auth,
    /// Whom users can sign in with; the authorization server is on when there is anybody.
    pub providers: Vec<Provider>,
    /// The authorization server.
    pub oauth: Oauth,
    /// Where records are kept.
    pub store: Store,
    /// How credentials are kept.
    pub vault: Vault,
    /// How fast a revocation bites.
    pub revocation: Revocation,
    /// How much each user may do.
    pub quotas: Quotas,
    /// Rules for the tools of all routes.
    pub policy: Policy,
    /// The audit trail.
    pub audit: Audit,
    /// The program's own log.
    pub logs: Logs,
    /// The listener for metrics and health.
    pub metrics: Metrics,
    /// Sealing of session ids.
    pub sessions: Sessions,
    /// Key that encrypts what is stored.
    pub encryption_key: Option<Secret<Vec<u8>>>,
    /// The key before it.
    pub encryption_key_previous: Option<Secret<Vec<u8>>>,
    /// Certificate authorities to trust besides the system's.
    pub extra_ca_file: Option<PathBuf>,
    /// Folder for what the gateway keeps.
    pub state_dir: PathBuf,
    /// Files that hold secrets, by setting.
    pub secret_files: Vec<(String, PathBuf)>,
    shown: serde_json::Value,
    places: BTreeMap<String, Origin>,
}

impl Config {
    /// The settings in force, defaults and overrides included, every secret as `[REDACTED]` (R086).
    pub const fn shown(&self) -> &serde_json::Value {
        &self.shown
    }

    /// Where a setting was written.
    pub fn origin(&self, path: &str) -> Origin {
        self.places.get(path).cloned().unwrap_or_default()
    }
}

/// The settings as a tree without those that stand for nothing.
fn written_out(raw: &raw::Config) -> serde_json::Value {
    fn drop_null(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(object) => {
                object.retain(|_, value| !value.is_null());
                object.values_mut().for_each(drop_null);
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(drop_null),
            _ => {}
        }
    }
    let mut shown = serde_json::to_value(raw).unwrap_or_default();
    drop_null(&mut shown);
    shown
}

/// Works out the meaning, noting mistakes and warnings in the review. `None` when it could not be worked out at all.
pub(in crate::config) fn mean(
    mut raw: raw::Config,
    review: &mut Review,
    keys_required: bool,
) -> Option<Config> {
    let profile = Profile::from(raw.profile);
    let state_dir = review.file(&raw.state_dir.0);
    let listen = listen::mean(&raw.listen, profile, &state_dir, review);
    let door = door::door(&raw, listen.as_ref(), review);
    let cors = listen::cors(&raw.cors, review);
    let routes = routes::mean(&raw, listen.as_ref(), review);
    let quotas = quotas::mean(&raw.quotas, review);
    let auth = auth::mean(&raw.auth, listen.as_ref(), &quotas, review);
    if keys_required && raw.auth.keys.is_empty() && raw.auth.issuers.is_empty() {
        review.mistake(
            "auth",
            "holds neither keys nor issuers, so nobody could call",
            "set JWT_SECRET, or write auth.keys or auth.issuers",
        );
    }
    let policy = policy::mean(&raw.policy, &quotas, review);
    let audit = records::audit(&raw.audit, &state_dir, review);
    let metrics = records::metrics(&raw.metrics, review);
    let sessions = records::sessions(&raw.sessions, review);
    let (encryption_key, encryption_key_previous) = keeping::sealing_keys(&raw, review);
    let providers = login::providers(&raw.login, &quotas, profile, review);
    let public_url = listen.as_ref().map(|listen| listen.public_url.as_str());
    login::redirect_uri(&raw.login, public_url, review);
    let oauth = oauth::oauth(&raw.oauth, &quotas, review);
    let store = keeping::store(&raw.store, &state_dir, review);
    if !raw.login.providers.is_empty() {
        login::keys_for_logins(&raw, profile, keys_required, review);
    }
    review.keys_differ();
    let extra_ca_file = raw
        .extra_ca_file
        .as_deref()
        .map(|name| review.existing("extra_ca_file", name));
    let (listen, door, auth, metrics) = (listen?, door?, auth?, metrics?);
    raw.listen.public_url = Some(listen.public_url.clone());
    raw.listen.allowed_hosts = listen.allowed_hosts.iter().cloned().collect();
    raw.auth.issuer = Some(auth.issuer.clone());
    for (written, route) in raw.routes.iter_mut().zip(&routes) {
        written.resource = Some(route.resource.clone());
    }
    Some(Config {
        shown: written_out(&raw),
        profile,
        strict: raw.strict,
        listen,
        door,
        cors,
        limits: Limits::from(&raw.limits),
        routes,
        auth,
        providers,
        oauth,
        store,
        vault: Vault::from(&raw.vault),
        revocation: Revocation::from(&raw.revocation),
        quotas,
        policy,
        audit,
        logs: Logs::from(&raw.logs),
        metrics,
        sessions,
        encryption_key,
        encryption_key_previous,
        extra_ca_file,
        state_dir,
        secret_files: std::mem::take(&mut review.secret_files),
        places: review.places.clone(),
    })
}
