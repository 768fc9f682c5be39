//! The provider's own tokens: sealed under `{provider}/token` when a user signs in, and renewed along with the session
//! where the provider gave something to renew them with.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use super::refusal::Lapse;
use super::{Account, refusal};
use crate::clock::Timestamp;
use crate::login::error::LoginError;
use crate::login::{ExchangeError, ProviderTokens};
use crate::secret::Secret;
use crate::users::User;
use crate::vault::{Vault, VaultError};
use crate::web::{Reply, Visit};

/// The form in the vault. Times are seconds since the epoch; an end that the provider did not name is absent (C26).
#[derive(Serialize, Deserialize)]
struct Written {
    access_token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_at: Option<i64>,
}

/// What is to be renewed: the secret as it is kept, and what is in it.
struct Due {
    kept: Arc<Secret<String>>,
    refresh_token: Secret<String>,
    has_ended: bool,
}

impl Drop for Written {
    fn drop(&mut self) {
        self.access_token.zeroize();
        self.refresh_token.zeroize();
    }
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
        vault.seal(user, &name(provider), text, None).await
    }

    fn written(&self, tokens: &ProviderTokens) -> Secret<String> {
        let refresh = tokens.refresh_token.as_ref();
        let written = Written {
            access_token: tokens.access_token.expose().clone(),
            refresh_token: refresh.map(|token| token.expose().clone()),
            expires_at: tokens.expires_at.map(Timestamp::seconds),
            issued_at: Some(self.parts.clock.now().seconds()),
        };
        Secret::new(serde_json::to_string(&written).unwrap_or_default())
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
                let (place, text) = (name(&user.provider), self.written(&tokens));
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
        let Ok(mut written) = serde_json::from_str::<Written>(kept.expose()) else {
            return Ok(None);
        };
        let (Some(end), Some(refresh_token)) = (written.expires_at, written.refresh_token.take())
        else {
            return Ok(None);
        };
        let (now, end) = (self.parts.clock.now(), Timestamp::from_seconds(end));
        let soon = end <= now.plus(self.parts.settings.renew_ahead);
        Ok(soon.then(|| Due {
            kept,
            refresh_token: Secret::new(refresh_token),
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
        let place = name(&user.provider);
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
            && let Err(error) = vault.remove(&user.id, &name(&user.provider)).await
        {
            return refusal::of_vault(&error, visit);
        }
        match self.parts.grants.revoke(session).await {
            Ok(_) => self.lapsed(Lapse::Upstream, visit).user(&user.id),
            Err(_) => refusal::unavailable(visit),
        }
    }
}

fn name(provider: &str) -> String {
    format!("{provider}/token")
}

fn lock_of(user: &str, locks: usize) -> usize {
    let [first, ..] = <[u8; 32]>::from(Sha256::digest(user));
    usize::from(first) % locks.max(1)
}
