//! `/oauth/token` (RFC 6749 section 3.2): a code, a refresh token or a client's own word is exchanged for an access token.
//! Failures are counted by address and by client, so that nothing here can be found out by trying.

mod by_code;
mod by_machine;
mod by_refresh;

use http::StatusCode;
use serde::Serialize;

use super::Server;
use super::client::Client;
use super::error::{OauthError, Refusal};
use super::scopes;
use super::throttle::Who;
use crate::audit::event::Event;
use crate::auth::{ResourceId, mint};
use crate::secret::Secret;
use crate::web::{Params, Reply, Visit};

/// The answer (RFC 6749 section 5.1).
#[derive(Serialize)]
struct Answer<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    scope: &'a str,
}

/// What a token is made of.
struct Granted<'a> {
    event: Event,
    client: &'a Client,
    token: mint::Grant,
    refresh_token: Option<Secret<String>>,
}

impl Server {
    /// Exchanges whatever is presented.
    pub(super) async fn token(&self, visit: &Visit) -> Reply {
        let who = Who::Address(visit.address);
        if let Err(error) = self.throttle.check(&who).await {
            return Refusal::from(error).reply();
        }
        match self.exchange(visit).await {
            Ok(reply) => reply,
            Err(refusal) => self.counted(&who, refusal).await,
        }
    }

    async fn exchange(&self, visit: &Visit) -> Result<Reply, Refusal> {
        let form = visit.form().map_err(OauthError::from)?;
        let grant_type = form
            .find("grant_type")
            .ok_or_else(|| OauthError::request("grant_type is missing"))?;
        if !GRANT_TYPES.contains(&grant_type) {
            return Err(OauthError::GrantType.into());
        }
        let client = self.client_of(visit, &form).await?;
        let granted = match grant_type {
            "authorization_code" => self.by_code(&client, &form).await,
            "refresh_token" => self.by_refresh(&client, &form).await,
            _ => self.by_machine(&client, &form).await,
        };
        let granted = granted.map_err(|refusal| refusal.of_client(&client.id))?;
        let reply = self.grant(granted)?;
        // Whether the registration lives on must not decide whether this user can.
        if let Err(error) = self.clients.used(&client).await {
            tracing::warn!(%error, "registration not renewed");
        }
        Ok(reply)
    }

    /// A refusal that counts, where it could be an attempt to guess.
    pub(super) async fn counted(&self, who: &Who<'_>, refusal: Refusal) -> Reply {
        let guess = matches!(
            refusal.error(),
            OauthError::Client(_) | OauthError::Grant(_)
        );
        if guess && let Err(error) = self.throttle.failed(who).await {
            return Refusal::from(error).reply();
        }
        refusal.reply()
    }

    fn grant(&self, granted: Granted<'_>) -> Result<Reply, OauthError> {
        let minted = self.mint.mint(&granted.token)?;
        let scope = granted.token.scopes.join(" ");
        let refresh_token = granted.refresh_token.as_ref();
        let answer = Answer {
            access_token: minted.token.expose(),
            token_type: "Bearer",
            expires_in: minted.expires_in.as_secs(),
            refresh_token: refresh_token.map(|token| token.expose().as_str()),
            scope: &scope,
        };
        let mut reply = Reply::json(StatusCode::OK, &answer)
            .event(granted.event)
            .user(&granted.token.user)
            .detail("client_id", granted.client.id.as_str())
            .detail("scopes", scope.as_str())
            .detail("tier", granted.token.tier.as_str());
        if let Some(session) = &granted.token.session {
            reply = reply.detail("session", session.as_str());
        }
        reply.note.token_id = Some(minted.token_id);
        reply.note.team = Some(granted.token.team);
        Ok(reply)
    }

    /// The resources that a token is for: those that the request names, if they are among the allowed ones, or all of these
    /// (RFC 8707 section 2.2).
    fn audiences(&self, form: &Params, allowed: &[String]) -> Result<Vec<ResourceId>, OauthError> {
        let mut audiences: Vec<ResourceId> = Vec::new();
        for text in form.all("resource") {
            let resource = self.resource(text).ok_or(OauthError::Target)?;
            if !allowed.iter().any(|uri| uri == resource.id.as_str()) {
                return Err(OauthError::Target);
            }
            if !audiences.contains(&resource.id) {
                audiences.push(resource.id.clone());
            }
        }
        if audiences.is_empty() {
            let known = allowed.iter().filter_map(|uri| self.resource(uri));
            audiences.extend(known.map(|resource| resource.id.clone()));
        }
        // A route that is gone takes what was allowed for it along.
        if audiences.is_empty() {
            return Err(OauthError::Target);
        }
        Ok(audiences)
    }

    /// The scopes of a token: those that the request names, if they are among the allowed ones, or all of these (RFC 6749
    /// section 6).
    fn narrowed(&self, form: &Params, allowed: &[String]) -> Result<Vec<String>, OauthError> {
        match self.scopes.read(form.find("scope"))? {
            Some(asked) if !asked.is_empty() => {
                if scopes::within(&asked, allowed) {
                    Ok(asked)
                } else {
                    Err(OauthError::Scope("a scope is more than what was allowed"))
                }
            }
            _ => Ok(allowed.to_vec()),
        }
    }
}

/// What can be exchanged.
pub(super) const GRANT_TYPES: [&str; 3] =
    ["authorization_code", "refresh_token", "client_credentials"];
