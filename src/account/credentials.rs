//! The provider's own tokens: sealed under `{provider}/token` when a user signs in, and renewed along with the session
//! where the provider gave something to renew them with.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::refusal::Lapse;
use super::{Account, refusal};
use crate::login::error::LoginError;
use crate::login::{ExchangeError, ProviderTokens};
use crate::secret::Secret;
use crate::users::User;
use crate::vault::token::SavedToken;
use crate::vault::{Vault, VaultError};
use crate::web::{Reply, Visit};

/// What is to be renewed: the secret as it is kept, and what is in it.
struct Due {
    kept: Arc<Secret<String>>,
    refresh_token: Secret<String>,
    has_ended: bool,
}

impl Account {
    /// Keeps a provider's tokens, where there is a vault.
    ///
    /// # Errors
    /// [`VaultError`].
    pub(super) async fn keep_tokens(
        &self,
        user: &str,
        provider: &str,
        tokens: &ProviderTokens,
    ) -> Result<(), VaultError> {
        let Some(vault) = &self.parts.vault else {
            return Ok(());
        };
        let text = self.written(tokens);
        vault
            .seal(user, &SavedToken::name(provider), text, None)
            .await
    }

    fn written(&self, tokens: &ProviderTokens) -> Secret<String> {
        let saved = SavedToken {
            access_token: tokens.access_token.clone(),
            refresh_token: tokens.refresh_token.clone(),
            expires_at: tokens.expires_at,
            issued_at: Some(self.parts.clock.now()),
        };
        saved.write()
    }

    /// Renews a user's upstream token that ends soon (R413-R417, R419).
    ///
    /// # Errors
    /// The refusal, where the user must sign in again or the provider cannot be asked and the token has ended.
    pub(super) async fn renew_tokens(
        &self,
        user: &User,
        session: &str,
        visit: &Visit,
    ) -> Result<(), Reply> {
        let Some(vault) = &self.parts.vault else {
            return Ok(());
        };
        if self.due(vault, user, visit).await?.is_none() {
            return Ok(());
        }
        let _turn = match self.renewals.get(lock_of(&user.id, self.renewals.len())) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        // Whoever had the turn before us may have renewed it, here or in another gateway.
        vault.forget(&user.id);
        let Some(due) = self.due(vault, user, visit).await? else {
            return Ok(());
        };
        let desk = &self.parts.desk;
        match desk.renew(&user.provider, &due.refresh_token).await {
            Ok(mut tokens) => {
                // A provider that sends no new refresh token means the old one (RFC 6749 section 6).
                tokens.refresh_token.get_or_insert(due.refresh_token);
                let (place, text) = (SavedToken::name(&user.provider), self.written(&tokens));
                // Where somebody signed in meanwhile, what they brought stays.
                let kept = vault.replace(&user.id, &place, &due.kept, text).await;
                kept.map(drop)
                    .map_err(|error| refusal::of_vault(&error, visit))
            }
            Err(LoginError::Exchange {
                source: ExchangeError::Grant,
                ..
            }) => {
                self.overtaken_or_dead(vault, &due, user, session, visit)
                    .await
            }
            Err(_) if !due.has_ended => Ok(()),
            Err(error) => Err(error.answer(visit).user(&user.id)),
        }
    }

    /// An upstream token that ends soon and can be renewed.
    async fn due(&self, vault: &Vault, user: &User, visit: &Visit) -> Result<Option<Due>, Reply> {
        let Some(kept) = self.kept_token(vault, user, visit).await? else {
            return Ok(None);
        };
        let Some(saved) = SavedToken::parse(kept.expose()) else {
            return Ok(None);
        };
        let (Some(end), Some(refresh_token)) = (saved.expires_at, saved.refresh_token) else {
            return Ok(None);
        };
        let now = self.parts.clock.now();
        let soon = end <= now.plus(self.parts.settings.renew_ahead);
        Ok(soon.then(|| Due {
            kept,
            refresh_token,
            has_ended: end <= now,
        }))
    }

    async fn kept_token(
        &self,
        vault: &Vault,
        user: &User,
        visit: &Visit,
    ) -> Result<Option<Arc<Secret<String>>>, Reply> {
        let request = Some(visit.request_id.as_str());
        let place = SavedToken::name(&user.provider);
        let opened = vault.open_for(request, &user.id, &place).await;
        opened.map_err(|error| refusal::of_vault(&error, visit))
    }

    /// A refresh token that the provider refuses was either used up by somebody who has kept what they got for it, or is
    /// good for nothing.
    async fn overtaken_or_dead(
        &self,
        vault: &Vault,
        due: &Due,
        user: &User,
        session: &str,
        visit: &Visit,
    ) -> Result<(), Reply> {
        vault.forget(&user.id);
        match self.kept_token(vault, user, visit).await? {
            Some(now) if !now.ct_eq(due.kept.expose().as_bytes()) => Ok(()),
            _ => Err(self.dead(user, session, visit).await),
        }
    }

    /// The provider takes nothing of this user's any more: the session ends with it.
    async fn dead(&self, user: &User, session: &str, visit: &Visit) -> Reply {
        if let Some(vault) = &self.parts.vault
            && let Err(error) = vault
                .remove(&user.id, &SavedToken::name(&user.provider))
                .await
        {
            return refusal::of_vault(&error, visit);
        }
        match self.parts.grants.revoke(session).await {
            Ok(_) => self.lapsed(Lapse::Upstream, visit).user(&user.id),
            Err(_) => refusal::unavailable(visit),
        }
    }
}

fn lock_of(user: &str, locks: usize) -> usize {
    let [first, ..] = <[u8; 32]>::from(Sha256::digest(user));
    usize::from(first) % locks.max(1)
}
