//! A user's own credential: an API key that they gave, or else the token of a login, which is renewed when it is over and
//! the provider gave the means.

use std::sync::Arc;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::error::{CredentialError, Provider};
use super::keys::{Keys, Saved};
use super::slots::{Held, Print, Slots, Want};
use crate::clock::Clock;
use crate::secret::Secret;
use crate::vault::token::SavedToken;

/// Attempts to write a renewed token; the old one is used up, so it must not be lost to a moment's trouble.
const WRITES: u32 = 5;
/// The wait before the second attempt; it doubles.
const WRITE_AGAIN: Duration = Duration::from_millis(100);

/// Users' own credentials of one provider.
#[derive(Clone, Debug)]
pub(super) struct Personal {
    shelf: Arc<Shelf>,
    slots: Arc<Slots>,
}

/// What a renewal needs, which goes on when its caller goes away.
#[derive(Debug)]
struct Shelf {
    provider: Provider,
    key_name: String,
    token_name: String,
    keys: Arc<dyn Keys>,
    renewal: Option<Endpoint>,
    clock: Clock,
}

/// A credential to show.
pub(super) enum Found {
    /// As it is kept.
    Kept(Arc<Secret<String>>),
    /// Out of what is kept.
    Token(Secret<String>),
    /// Just renewed.
    Renewed(Arc<Held>),
}

impl Found {
    pub(super) fn expose(&self) -> &str {
        match self {
            Self::Kept(secret) => secret.expose(),
            Self::Token(secret) => secret.expose(),
            Self::Renewed(held) => held.token.expose(),
        }
    }
}

impl Personal {
    pub(super) fn new(
        provider: Provider,
        keys: Arc<dyn Keys>,
        renewal: Option<Endpoint>,
        slots: Arc<Slots>,
        clock: Clock,
    ) -> Self {
        let name = &provider.provider;
        let shelf = Shelf {
            key_name: format!("{name}/api_key"),
            token_name: SavedToken::name(name),
            provider,
            keys,
            renewal,
            clock,
        };
        Self {
            shelf: Arc::new(shelf),
            slots,
        }
    }

    pub(super) fn provider(&self) -> &Provider {
        &self.shelf.provider
    }

    /// The user's credential, but not the one that the upstream has refused.
    pub(super) async fn find(
        &self,
        user: &str,
        not: Option<Print>,
    ) -> Result<Found, CredentialError> {
        let found = self.look(user, not).await?;
        let print = Print::of(found.expose());
        if not == Some(print) {
            return Err(self.reject(user, print));
        }
        match self.slots.marked(user, print) {
            Some(error) => Err(error),
            None => Ok(found),
        }
    }

    /// Remembers that the upstream refused this credential.
    pub(super) fn reject(&self, user: &str, print: Print) -> CredentialError {
        let error = CredentialError::Rejected(self.shelf.provider.clone());
        self.slots.mark(user, print, error.clone());
        error
    }

    /// Remembers that the provider takes this credential for nothing any more.
    pub(super) fn expire(&self, user: &str, print: Print) -> CredentialError {
        let error = CredentialError::Expired(self.shelf.provider.clone());
        self.slots.mark(user, print, error.clone());
        error
    }

    async fn look(&self, user: &str, not: Option<Print>) -> Result<Found, CredentialError> {
        let shelf = &self.shelf;
        if let Some(key) = shelf.keys.open(user, &shelf.key_name).await? {
            return Ok(Found::Kept(key));
        }
        let kept = shelf.keys.open(user, &shelf.token_name).await?;
        let kept = kept.ok_or_else(|| CredentialError::Missing(shelf.provider.clone()))?;
        let saved = shelf.read(&kept)?;
        let refused = not == Some(Print::of(saved.0.access_token.expose()));
        let now = shelf.clock.now();
        if !refused && !saved.is_near_its_end(now) {
            return Ok(Found::Token(saved.0.access_token));
        }
        if shelf.renewal.is_some() && saved.0.refresh_token.is_some() {
            // A refresh token that is over is not offered again and again.
            let print = Print::of(kept.expose());
            if let Some(error) = self.slots.marked(user, print) {
                return Err(error);
            }
            return match self.renew(user, &kept, not).await {
                Err(CredentialError::Expired(_)) => Err(self.expire(user, print)),
                renewed => renewed.map(Found::Renewed),
            };
        }
        if saved.is_over(now) {
            return Err(CredentialError::Expired(shelf.provider.clone()));
        }
        Ok(Found::Token(saved.0.access_token))
    }

    async fn renew(
        &self,
        user: &str,
        kept: &Secret<String>,
        not: Option<Print>,
    ) -> Result<Arc<Held>, CredentialError> {
        let want = Want {
            not,
            origin: Some(Print::of(kept.expose())),
        };
        let (shelf, owner) = (Arc::clone(&self.shelf), user.to_owned());
        let renewal = move || async move { shelf.renewed(&owner, want).await };
        self.slots.token(user, want, renewal).await
    }
}

impl Shelf {
    fn read(&self, kept: &Secret<String>) -> Result<Saved, CredentialError> {
        Saved::parse(kept.expose()).ok_or_else(|| CredentialError::Unusable(self.provider.clone()))
    }

    async fn now_kept(&self, user: &str) -> Result<(Arc<Secret<String>>, Saved), CredentialError> {
        let kept = self.keys.open_now(user, &self.token_name).await?;
        let kept = kept.ok_or_else(|| CredentialError::Missing(self.provider.clone()))?;
        let saved = self.read(&kept)?;
        Ok((kept, saved))
    }

    /// Renews what is kept, unless somebody else has done so.
    async fn renewed(&self, user: &str, want: Want) -> Result<Held, CredentialError> {
        let (kept, saved) = self.now_kept(user).await?;
        if self.is_good(&saved, want) {
            return Ok(self.held_of(saved, want));
        }
        let expired = || CredentialError::Expired(self.provider.clone());
        let renewal = self.renewal.as_ref().ok_or_else(expired)?;
        let refresh = saved.0.refresh_token.as_ref().ok_or_else(expired)?;
        let grant = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.expose()),
        ];
        match renewal.ask(&grant).await {
            Ok(issued) => {
                let new = saved.renewed(&issued, self.clock.now());
                if self.write(user, &kept, &new).await? {
                    return Ok(self.held(issued.token, want, issued.lasts));
                }
                // Somebody signed in again meanwhile: that is the user's credential now.
                let (_, saved) = self.now_kept(user).await?;
                Ok(self.held_of(saved, want))
            }
            Err(error) if error.is_invalid_grant() => {
                // Another gateway may have used it up a moment ago, and kept what it got for it.
                let (_, saved) = self.now_kept(user).await?;
                match self.is_good(&saved, want) {
                    true => Ok(self.held_of(saved, want)),
                    false => Err(expired()),
                }
            }
            // What is still good for a while is used up to its end.
            Err(_) if self.is_usable(&saved, want) => Ok(self.held_of(saved, want)),
            Err(error) => Err(error.into()),
        }
    }

    async fn write(
        &self,
        user: &str,
        old: &Secret<String>,
        new: &Secret<String>,
    ) -> Result<bool, CredentialError> {
        let mut wait = WRITE_AGAIN;
        for _ in 1..WRITES {
            let written = self.keys.replace(user, &self.token_name, old, new.clone());
            if let Ok(written) = written.await {
                return Ok(written);
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        let written = self.keys.replace(user, &self.token_name, old, new.clone());
        Ok(written.await?)
    }

    fn is_usable(&self, saved: &Saved, want: Want) -> bool {
        want.not != Some(Print::of(saved.0.access_token.expose()))
            && !saved.is_over(self.clock.now())
    }

    fn is_good(&self, saved: &Saved, want: Want) -> bool {
        self.is_usable(saved, want) && !saved.is_near_its_end(self.clock.now())
    }

    fn held_of(&self, saved: Saved, want: Want) -> Held {
        let left = saved.0.expires_at.map(|end| {
            let left = end.millis().saturating_sub(self.clock.now().millis());
            Duration::from_millis(u64::try_from(left).unwrap_or(0))
        });
        self.held(saved.0.access_token, want, left)
    }

    /// Held for those who still see what was kept before, for as long as an opened secret may be remembered.
    fn held(&self, token: Secret<String>, want: Want, left: Option<Duration>) -> Held {
        let end = self.clock.monotonic() + left.unwrap_or(REMEMBERED).min(REMEMBERED);
        Held {
            print: Print::of(token.expose()),
            token,
            origin: want.origin,
            renew: end,
            end,
        }
    }
}

/// How long a vault remembers what it opened.
const REMEMBERED: Duration = Duration::from_secs(60);
