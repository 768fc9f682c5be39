//! Who calls: the bearer of a token for any of our resources. An address that shows one bad credential after the other has
//! to wait.

use std::sync::Arc;
use std::time::Duration;

use super::{Account, refusal};
use crate::auth::{AuthError, Bearer, Principal};
use crate::web::address::neighbourhood;
use crate::web::{Reply, Visit};

impl Account {
    /// The bearer of a valid token.
    ///
    /// # Errors
    /// The refusal.
    pub(super) async fn caller(&self, visit: &Visit) -> Result<Arc<Principal>, Reply> {
        self.throttled(visit).await?;
        match self.verified(visit, Duration::ZERO).await {
            Ok(principal) => Ok(principal),
            Err(error) => {
                self.count_failure(visit).await?;
                Err(self.refused(&error, visit))
            }
        }
    }

    /// The bearer of a token that may have ended up to `grace` ago.
    ///
    /// # Errors
    /// [`AuthError`].
    pub(super) async fn verified(
        &self,
        visit: &Visit,
        grace: Duration,
    ) -> Result<Arc<Principal>, AuthError> {
        let verifier = &self.parts.verifier;
        let token = verifier.bearer(&visit.headers, visit.query.as_deref())?;
        let mut refused = AuthError::WrongAudience;
        for resource in &self.parts.resources {
            let verified = match grace {
                Duration::ZERO => verifier.verify(&token, resource).await,
                grace => verifier.verify_lapsed(&token, resource, grace).await,
            };
            match verified {
                Err(AuthError::WrongAudience) => refused = AuthError::WrongAudience,
                done => return done,
            }
        }
        Err(refused)
    }

    /// What stands behind `Bearer` where it is no token of three parts.
    pub(super) fn opaque_bearer<'a>(&self, visit: &'a Visit) -> Option<&'a str> {
        let line = visit.header(&http::header::AUTHORIZATION)?;
        let (scheme, token) = line.split_once(' ')?;
        let token = token.trim_start_matches(' ');
        let opaque = scheme.eq_ignore_ascii_case("bearer")
            && token.len() <= OPAQUE_MAX_BYTES
            && Bearer::parse(token, OPAQUE_MAX_BYTES).is_err();
        opaque.then_some(token)
    }

    /// Refuses an address that has shown too many bad credentials.
    ///
    /// # Errors
    /// The refusal.
    pub(super) async fn throttled(&self, visit: &Visit) -> Result<(), Reply> {
        let counted = self.parts.store.count(&counter(visit)).await;
        match counted {
            Ok(count) if count < self.parts.settings.failures_per_minute => Ok(()),
            Ok(_) => Err(refusal::too_many(WINDOW.as_secs(), visit)),
            Err(_) => Err(refusal::unavailable(visit)),
        }
    }

    /// Counts a bad credential.
    ///
    /// # Errors
    /// The refusal of everything while it cannot be counted.
    pub(super) async fn count_failure(&self, visit: &Visit) -> Result<(), Reply> {
        let until = self.parts.clock.now().plus(WINDOW);
        let counted = self.parts.store.bump(&counter(visit), Some(until)).await;
        match counted {
            Ok(_) => Ok(()),
            Err(_) => Err(refusal::unavailable(visit)),
        }
    }
}

fn counter(visit: &Visit) -> String {
    format!("account-failures/{}", neighbourhood(visit.address))
}

const WINDOW: Duration = Duration::from_secs(60);
const OPAQUE_MAX_BYTES: usize = 512;
