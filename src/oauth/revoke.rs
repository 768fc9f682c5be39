//! `/oauth/revoke` (RFC 7009): a client gives back a token of its own. A refresh token takes its grant along, with every access
//! token made under it; an access token goes alone. A token that is not known, or another client's, is answered as if it were
//! gone, and is left as it is.

use std::sync::Arc;

use http::StatusCode;

use super::Server;
use super::client::Client;
use super::error::{OauthError, Refusal};
use super::throttle::Who;
use crate::audit::event::Event;
use crate::auth::{AuthError, Bearer, Principal};
use crate::grants::opaque;
use crate::revocation::Mark;
use crate::web::{Reply, Visit};

/// The longest access token that is looked at.
const TOKEN_MAX_BYTES: usize = 8 * 1024;

impl Server {
    /// Ends a token.
    pub(super) async fn revoke(&self, visit: &Visit) -> Reply {
        let who = Who::Address(visit.address);
        if let Err(error) = self.throttle.check(&who).await {
            return Refusal::from(error).reply();
        }
        match self.revoked(visit).await {
            Ok(reply) => reply,
            Err(error) => self.counted(&who, error.into()).await,
        }
    }

    async fn revoked(&self, visit: &Visit) -> Result<Reply, OauthError> {
        let form = visit.form()?;
        let client = self.client_of(visit, &form).await?;
        let token = form
            .find("token")
            .ok_or_else(|| OauthError::request("token is missing"))?;
        // The hint only says where to look first (section 2.1), and there is no doubt where.
        let ended = if token.starts_with(opaque::REFRESH) {
            self.end_grant(&client, token).await?
        } else {
            self.end_token(&client, token).await?
        };
        let reply = Reply::empty(StatusCode::OK)
            .event(Event::TokenRevoked)
            .detail("client_id", client.id.as_str())
            .detail("known", ended.is_some());
        Ok(match ended {
            Some(user) => reply.user(&user),
            None => reply,
        })
    }

    async fn end_grant(&self, client: &Client, token: &str) -> Result<Option<String>, OauthError> {
        match self.grants.of_token(token).await? {
            Some((grant, _)) if grant.client.as_deref() == Some(&client.id) => {
                self.grants.revoke(&grant.id).await?;
                Ok(Some(grant.user))
            }
            _ => Ok(None),
        }
    }

    async fn end_token(&self, client: &Client, token: &str) -> Result<Option<String>, OauthError> {
        let Some(principal) = self.own_principal(token).await? else {
            return Ok(None);
        };
        let Some(id) = principal.token_id() else {
            return Ok(None);
        };
        if principal.client_id() != Some(&client.id) {
            return Ok(None);
        }
        let mark = Mark::Token(id.to_owned());
        self.revocations
            .revoke(&mark, principal.expires_at())
            .await?;
        Ok(Some(principal.user().to_string()))
    }

    /// Whose access token it is, if we made it for one of our resources and it is good now.
    pub(super) async fn own_principal(
        &self,
        token: &str,
    ) -> Result<Option<Arc<Principal>>, OauthError> {
        let Ok(bearer) = Bearer::parse(token, TOKEN_MAX_BYTES) else {
            return Ok(None);
        };
        for resource in &self.resources {
            match self.verifier.verify(&bearer, &resource.id).await {
                Ok(principal) => {
                    let ours = principal.issuer() == self.settings.issuer;
                    return Ok(ours.then_some(principal));
                }
                Err(AuthError::WrongAudience) => {}
                Err(AuthError::RevocationUnknown) => return Err(OauthError::Unavailable),
                Err(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Which of our resources an access token is good for.
    pub(super) async fn audience_of(&self, token: &str) -> Vec<&str> {
        let mut audience = Vec::new();
        if let Ok(bearer) = Bearer::parse(token, TOKEN_MAX_BYTES) {
            for resource in &self.resources {
                if self.verifier.verify(&bearer, &resource.id).await.is_ok() {
                    audience.push(resource.id.as_str());
                }
            }
        }
        audience
    }
}
