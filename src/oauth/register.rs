//! `/oauth/register` (RFC 7591): a program makes itself known. Anybody may, so it proves nothing: what it says is checked for
//! form, limited in number, forgotten when unused, and called unverified wherever people see it.

use std::time::Duration;

use http::StatusCode;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::Server;
use super::client::metadata::{About, Method, Raw, Rules};
use super::client::registry::ID_BYTES;
use super::error::{OauthError, Refusal};
use super::settings::Registration;
use super::throttle::network;
use crate::audit::event::Event;
use crate::grants::opaque;
use crate::secret::Secret;
use crate::web::{Reply, Visit};

/// Random bytes of a client's secret.
const SECRET_BYTES: usize = 32;
/// In which time the registrations of an address are counted.
const WINDOW: Duration = Duration::from_secs(3600);

impl Server {
    /// Registers a client.
    pub(super) async fn register(&self, visit: &Visit) -> Reply {
        match self.registered(visit).await {
            Ok(reply) => reply,
            Err(error) => Refusal::from(error).reply(),
        }
    }

    async fn registered(&self, visit: &Visit) -> Result<Reply, OauthError> {
        let Some(registration) = self.clients.registration() else {
            return Err(OauthError::Unauthorized("registration is switched off"));
        };
        // Its type first: what a page of another site can send without being asked is no JSON.
        let is_json = visit.json::<IgnoredAny>().is_ok();
        let raw = Raw::parse(&visit.body).filter(|_| is_json);
        let raw = raw.ok_or(OauthError::Metadata(
            "the body is no JSON object of client metadata".into(),
        ))?;
        let rules = Rules {
            default_method: Method::ClientSecretBasic,
            secrets: true,
            guarded: self
                .clients
                .documents()
                .map(|documents| documents.guarded()),
        };
        let about = rules.check(&raw)?;
        let address = network(visit.address);
        let limit = registration.per_address;
        self.throttle
            .admit("register", &address, limit, WINDOW)
            .await?;
        self.new_client(registration, &raw, &about).await
    }

    async fn new_client(
        &self,
        registration: &Registration,
        raw: &Raw,
        about: &About,
    ) -> Result<Reply, OauthError> {
        let id = opaque::draw::<ID_BYTES>(opaque::CLIENT)?;
        let id = id.expose();
        let secret = match about.method.has_secret() {
            true => Some(opaque::draw::<SECRET_BYTES>(opaque::CLIENT_SECRET)?),
            false => None,
        };
        let shown = secret.as_ref().map(|secret| secret.expose().as_str());
        self.clients.add(registration, id, about, shown).await?;
        let document = self.information(id, raw, about, secret.as_ref());
        Ok(Reply::json(StatusCode::CREATED, &document)
            .event(Event::ClientRegistered)
            .detail("client_id", id.as_str())
            .detail("client_name", about.name.as_deref().unwrap_or_default())
            .detail("redirect_uris", about.redirect_uris.clone()))
    }

    /// What was registered, all of it (RFC 7591 section 3.2.1).
    fn information(
        &self,
        id: &str,
        raw: &Raw,
        about: &About,
        secret: Option<&Secret<String>>,
    ) -> Map<String, Value> {
        let grants: &[&str] = if about.refresh {
            &["authorization_code", "refresh_token"]
        } else {
            &["authorization_code"]
        };
        let mut members = Map::new();
        let mut say = |name: &str, value: Value| drop(members.insert(name.to_owned(), value));
        say("client_id", json!(id));
        say("client_id_issued_at", json!(self.clock.now().seconds()));
        if let Some(secret) = secret {
            say("client_secret", json!(secret.expose()));
            // It ends with the registration, which its use prolongs.
            say("client_secret_expires_at", json!(0));
        }
        if let Some(name) = &about.name {
            say("client_name", json!(name));
        }
        say("redirect_uris", json!(about.redirect_uris));
        say("token_endpoint_auth_method", json!(about.method));
        say("grant_types", json!(grants));
        say("response_types", json!(["code"]));
        if let Some(kind @ ("native" | "web")) = raw.application_type.as_deref() {
            say("application_type", json!(kind));
        }
        for (name, link) in &about.links {
            say(name, json!(link));
        }
        if let Some(jwks) = &about.jwks {
            say("jwks", jwks.clone());
        }
        if let Some(uri) = &about.jwks_uri {
            say("jwks_uri", json!(uri));
        }
        members
    }
}
