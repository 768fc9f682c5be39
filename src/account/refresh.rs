//! `/auth/refresh`: a new session token for a valid one, for one that has just expired, once, or for the refresh token of
//! the session (C05). Tokens of OAuth clients are refused here: they would become sessions with everything the user may do.

use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;

use super::refusal::Lapse;
use super::session::body;
use super::{Account, refusal};
use crate::audit::event::Event;
use crate::auth::mint::Minted;
use crate::auth::{AuthError, Principal};
use crate::grants::{Grant, GrantError, Rotation};
use crate::secret::Secret;
use crate::store::{Key, Table};
use crate::users::{self, User};
use crate::web::{Reply, Visit};

#[derive(Deserialize)]
struct Body {
    refresh_token: Option<String>,
}

impl Account {
    pub(super) async fn refresh(&self, visit: &Visit) -> Reply {
        if let Err(refusal) = self.throttled(visit).await {
            return refusal;
        }
        let refreshed = match self.refresh_token(visit) {
            Ok(Some(token)) => self.by_refresh_token(&token, visit).await,
            Ok(None) => self.by_session_token(visit).await,
            Err(refusal) => Err(refusal),
        };
        match refreshed {
            Ok(reply) => reply,
            Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => {
                match self.count_failure(visit).await {
                    Ok(()) => refusal,
                    Err(unavailable) => unavailable,
                }
            }
            Err(refusal) => refusal,
        }
    }

    /// The refresh token, from the body or as an opaque bearer; never from both places.
    fn refresh_token(&self, visit: &Visit) -> Result<Option<Secret<String>>, Reply> {
        let bearer = self.opaque_bearer(visit);
        let bearer = bearer.filter(|token| token.starts_with(crate::grants::opaque::REFRESH));
        let body = match visit.json::<Body>() {
            Ok(body) => body.refresh_token,
            Err(_) if visit.body.is_empty() => None,
            Err(error) => return Err(refusal::unreadable(&error, visit)),
        };
        match (body, bearer) {
            (Some(_), Some(_)) => Err(self.refused(&AuthError::Multiple, visit)),
            (Some(body), None) => Ok(Some(Secret::new(body))),
            (None, bearer) => Ok(bearer.map(|token| Secret::new(token.to_owned()))),
        }
    }

    async fn by_refresh_token(
        &self,
        token: &Secret<String>,
        visit: &Visit,
    ) -> Result<Reply, Reply> {
        let grants = &self.parts.grants;
        // The provider is asked first: a token that was used up for nothing could not be shown again.
        match grants.consider(token.expose(), None).await {
            Ok(grant) => {
                let user = self.owner(&grant, visit).await?;
                self.renew_tokens(&user, &grant.id, visit).await?;
            }
            Err(error) => return Err(self.not_rotated(&error, visit)),
        }
        let (grant, user, next) = match grants.rotate(token.expose(), None).await {
            Ok(
                Rotation::Fresh { grant, user, token } | Rotation::Repeated { grant, user, token },
            ) => (grant, user, token),
            Err(error) => return Err(self.not_rotated(&error, visit)),
        };
        let minted = self.mint_session(&user, &grant, visit)?;
        Ok(refreshed(&minted, Some(&next), &user, None))
    }

    async fn by_session_token(&self, visit: &Visit) -> Result<Reply, Reply> {
        let grace = self.parts.settings.grace;
        let principal = match self.verified(visit, grace).await {
            Ok(principal) => principal,
            Err(AuthError::Expired { .. }) => return Err(self.lapsed(Lapse::Expired, visit)),
            Err(error) => return Err(self.refused(&error, visit)),
        };
        let grant = self.session_of(&principal, visit).await?;
        let user = self.owner(&grant, visit).await?;
        self.renew_tokens(&user, &grant.id, visit).await?;
        self.once_where_expired(&principal, visit).await?;
        let minted = self.mint_session(&user, &grant, visit)?;
        Ok(refreshed(&minted, None, &user, principal.token_id()))
    }

    /// Whose session it is, who must still be let in.
    async fn owner(&self, grant: &Grant, visit: &Visit) -> Result<User, Reply> {
        let user = users::find(&*self.parts.store, &grant.user).await;
        let user = user.map_err(|_| refusal::unavailable(visit))?;
        let may = |user: &User| {
            !user.disabled
                && user.generation <= grant.generation
                && self.parts.desk.knows(&user.provider)
        };
        match user {
            Some(held) if may(&held.record) => Ok(held.record),
            _ => Err(self.lapsed(Lapse::ShutOut, visit).user(&grant.user)),
        }
    }

    /// The session that a token belongs to, which must be one of the gateway's own.
    async fn session_of(&self, principal: &Arc<Principal>, visit: &Visit) -> Result<Grant, Reply> {
        let user = principal.user().as_str();
        if principal.client_id().is_some() {
            return Err(self.lapsed(Lapse::OfClient, visit).user(user));
        }
        let Some(session) = principal.session() else {
            return Err(self.lapsed(Lapse::Unknown, visit).user(user));
        };
        match self.parts.grants.find(session).await {
            Ok(Some(grant)) if grant.client.is_none() && grant.user == user => Ok(grant),
            Ok(Some(_)) => Err(self.lapsed(Lapse::Unknown, visit).user(user)),
            Ok(None) => Err(self.lapsed(Lapse::Expired, visit).user(user)),
            Err(_) => Err(refusal::unavailable(visit)),
        }
    }

    /// A token that has expired is good for one exchange (C05).
    async fn once_where_expired(&self, principal: &Principal, visit: &Visit) -> Result<(), Reply> {
        let now = self.parts.clock.now();
        if now < principal.expires_at() {
            return Ok(());
        }
        let id = principal.token_id().unwrap_or_default();
        let seen = Key::new(Table::Seen, format!("refreshed/{id}"));
        let until = principal
            .expires_at()
            .plus(self.parts.settings.grace)
            .plus(SEEN_MARGIN);
        let created = self
            .parts
            .store
            .create(&seen, Vec::new(), Some(until))
            .await;
        match created {
            Ok(Some(_)) => Ok(()),
            Ok(None) => {
                let user = principal.user().as_str();
                Err(self.lapsed(Lapse::Repeated, visit).user(user))
            }
            Err(_) => Err(refusal::unavailable(visit)),
        }
    }

    fn not_rotated(&self, error: &GrantError, visit: &Visit) -> Reply {
        match error {
            GrantError::Unknown | GrantError::OtherClient => self.lapsed(Lapse::Unknown, visit),
            GrantError::Expired => self.lapsed(Lapse::Expired, visit),
            GrantError::Reused { user, .. } => self.lapsed(Lapse::Reused, visit).user(user),
            GrantError::ShutOut(user) => self.lapsed(Lapse::ShutOut, visit).user(user),
            GrantError::Busy | GrantError::Unmade | GrantError::Store(_) => {
                refusal::unavailable(visit)
            }
        }
    }
}

fn refreshed(
    minted: &Minted,
    refresh_token: Option<&Secret<String>>,
    user: &User,
    replaced: Option<&str>,
) -> Reply {
    let mut reply = Reply::json(StatusCode::OK, &body(minted, refresh_token))
        .event(Event::TokenRefreshed)
        .user(&user.id)
        .detail("tier", user.tier.as_str());
    reply.note.token_id = Some(minted.token_id.clone());
    reply.note.team = user.team().map(|team| team.id.clone());
    match replaced {
        Some(replaced) => reply.detail("replaced_token_id", replaced),
        None => reply,
    }
}

/// Longer than any leeway.
const SEEN_MARGIN: std::time::Duration = std::time::Duration::from_secs(120);
