//! Where users' own credentials come from: under the names `{provider}/api_key` and `{provider}/token`. A login that keeps
//! its tokens and `/auth/api-key` put them there; this stage reads them, and writes one kind only: a token that it renewed.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::answer::Issued;
use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::vault::token::SavedToken;

/// What an object-safe asynchronous function returns.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, KeysError>> + Send + 'a>>;

/// The place where credentials are kept cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("stored credentials cannot be used")]
pub struct KeysError(#[source] pub Arc<dyn std::error::Error + Send + Sync>);

impl KeysError {
    /// For this reason.
    pub fn because(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(cause))
    }
}

/// Users' credentials.
///
/// # Errors
/// Every function fails with [`KeysError`] when nothing can be read or written; absence is not an error.
pub trait Keys: Send + Sync + fmt::Debug {
    /// A credential of a user, if there is one. May be remembered for a short time.
    fn open<'a>(&'a self, user: &'a str, name: &'a str) -> Later<'a, Option<Arc<Secret<String>>>>;

    /// The same, as it is kept now: whoever is about to use up a refresh token must not hold an old one.
    fn open_now<'a>(
        &'a self,
        user: &'a str,
        name: &'a str,
    ) -> Later<'a, Option<Arc<Secret<String>>>>;

    /// Writes `new` if `old` is still what is kept; says whether it was.
    fn replace<'a>(
        &'a self,
        user: &'a str,
        name: &'a str,
        old: &'a Secret<String>,
        new: Secret<String>,
    ) -> Later<'a, bool>;
}

/// A provider's token, and when it is renewed.
pub(super) struct Saved(pub(super) SavedToken);

/// How long before its end a token of unknown life is renewed.
const MARGIN: Duration = Duration::from_secs(30);

impl Saved {
    /// Reads the stored form; `None` when it is another.
    pub(super) fn parse(text: &str) -> Option<Self> {
        SavedToken::parse(text).map(Self)
    }

    /// What is kept after a renewal: a server that sends no new refresh token means the old one (RFC 6749 section 6).
    pub(super) fn renewed(&self, issued: &Issued, now: Timestamp) -> Secret<String> {
        let refresh = issued.refresh_token.as_ref();
        let renewed = SavedToken {
            access_token: issued.token.clone(),
            refresh_token: refresh.or(self.0.refresh_token.as_ref()).cloned(),
            expires_at: issued.lasts.map(|lasts| now.plus(lasts)),
            issued_at: Some(now),
        };
        renewed.write()
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.0.expires_at.is_some_and(|end| end <= now)
    }

    /// Whether it should be renewed: in the last five minutes or the last tenth of its life, whichever is shorter (C06).
    pub(super) fn is_near_its_end(&self, now: Timestamp) -> bool {
        let margin = match (self.0.issued_at, self.0.expires_at) {
            (Some(begin), Some(end)) => {
                let life = end.millis().saturating_sub(begin.millis());
                super::answer::margin(Duration::from_millis(u64::try_from(life).unwrap_or(0)))
            }
            _ => MARGIN,
        };
        self.is_over(now.plus(margin))
    }
}
