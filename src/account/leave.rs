//! `/auth/logout`: ends the session, at once and everywhere (C10). Whoever leaves as themselves takes their keys along
//! (R105); a client that leaves ends its own grant, and the keys go with the last one.

use http::StatusCode;

use super::{Account, refusal};
use crate::audit::event::Event;
use crate::auth::settings::OwnSettings;
use crate::auth::{AuthError, Principal};
use crate::revocation::Mark;
use crate::store::StoreError;
use crate::web::{Reply, Visit};

impl Account {
    pub(super) async fn leave(&self, visit: &Visit) -> Reply {
        if let Err(refusal) = self.throttled(visit).await {
            return refusal;
        }
        // A token that has ended, by itself or by us, has nothing left to end (C10: idempotent).
        let principal = match self.verified(visit, OwnSettings::LIFETIME_MAX).await {
            Ok(principal) => principal,
            Err(AuthError::Revoked | AuthError::UserDisabled | AuthError::Expired { .. }) => {
                return Reply::empty(StatusCode::NO_CONTENT).event(Event::Logout);
            }
            Err(error) => {
                let refusal = self.refused(&error, visit);
                return match self.count_failure(visit).await {
                    Ok(()) => refusal,
                    Err(unavailable) => unavailable,
                };
            }
        };
        let user = principal.user().as_str().to_owned();
        let ended = match self.end(&principal).await {
            Ok(()) => self.take_keys(&principal, visit).await,
            Err(_) => Err(refusal::unavailable(visit)),
        };
        self.parts.revocations.left(&user);
        let mut reply = match ended {
            Ok(()) => Reply::empty(StatusCode::NO_CONTENT),
            Err(refusal) => refusal,
        };
        reply.note.token_id = principal.token_id().map(str::to_owned);
        reply.note.team = principal.team().map(str::to_owned);
        reply.event(Event::Logout).user(&user)
    }

    /// Ends the token first, then the session: if the second fails, the first has bitten.
    async fn end(&self, principal: &Principal) -> Result<(), StoreError> {
        if let Some(id) = principal.token_id() {
            let mark = Mark::Token(id.to_owned());
            let until = principal.expires_at();
            self.parts.revocations.revoke(&mark, until).await?;
        }
        if let Some(session) = principal.session() {
            self.parts.grants.revoke(session).await?;
        }
        Ok(())
    }

    async fn take_keys(&self, principal: &Principal, visit: &Visit) -> Result<(), Reply> {
        let Some(vault) = &self.parts.vault else {
            return Ok(());
        };
        let user = principal.user().as_str();
        if principal.client_id().is_some() {
            let left = self.parts.grants.of_user(user).await;
            let left = left.map_err(|_| refusal::unavailable(visit))?;
            if !left.is_empty() {
                return Ok(());
            }
        }
        let removed = vault.remove_all(user).await;
        removed
            .map(drop)
            .map_err(|error| refusal::of_vault(&error, visit))
    }
}
