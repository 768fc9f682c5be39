//! Tokens that the gateway asks a token endpoint for: in its own name (client credentials, RFC 6749 section 4.4), or in the
//! name of a user (token exchange, RFC 8693). What proves the user there is a credential that the user gave to the
//! gateway, or the gateway's own signed word; never the token that the client called with.

use std::sync::Arc;
use std::time::Duration;

use super::answer::Issued;
use super::assertion::Signer;
use super::endpoint::Endpoint;
use super::error::CredentialError;
use super::personal::Personal;
use super::slots::{Held, Print, Slots, Want};
use crate::clock::Clock;
use crate::secret::Secret;

/// What a token is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// `audience`: the name of the service (RFC 8693).
    pub audience: Option<String>,
    /// `resource`: the address of the service (RFC 8707).
    pub resource: Option<String>,
    /// `scope`.
    pub scope: Option<String>,
}

impl Wish {
    fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("audience", &self.audience),
            ("resource", &self.resource),
            ("scope", &self.scope),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

/// Asks for tokens and holds them.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    desk: Arc<Desk>,
    slots: Arc<Slots>,
}

/// What a question needs, which goes on when its caller goes away.
#[derive(Debug)]
struct Desk {
    endpoint: Endpoint,
    wish: Wish,
    subject: Subject,
    clock: Clock,
}

/// In whose name is asked.
#[derive(Debug)]
pub(super) enum Subject {
    /// The gateway's own.
    Own,
    /// The user's, by a credential of theirs.
    Stored(Personal),
    /// The user's, by the gateway's word.
    Asserted { signer: Signer, issuer: String },
}

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

impl Machine {
    pub(super) fn new(
        endpoint: Endpoint,
        wish: Wish,
        subject: Subject,
        slots: Arc<Slots>,
        clock: Clock,
    ) -> Self {
        let desk = Desk {
            endpoint,
            wish,
            subject,
            clock,
        };
        Self {
            desk: Arc::new(desk),
            slots,
        }
    }

    /// A token for this user, but not the one that the upstream has refused.
    pub(super) async fn find(
        &self,
        user: &str,
        not: Option<Print>,
    ) -> Result<Arc<Held>, CredentialError> {
        let desk = Arc::clone(&self.desk);
        match &self.desk.subject {
            Subject::Own => {
                let want = Want { not, origin: None };
                let fetch = move || async move { desk.own().await };
                self.slots.token(Self::NOBODY, want, fetch).await
            }
            Subject::Asserted { .. } => {
                let want = Want { not, origin: None };
                let owner = user.to_owned();
                let fetch = move || async move { desk.asserted(&owner).await };
                self.slots.token(user, want, fetch).await
            }
            // Looked for each time, so that what a token was exchanged for ends with it.
            Subject::Stored(personal) => {
                let found = personal.find(user, None).await?;
                let origin = Print::of(found.expose());
                let want = Want {
                    not,
                    origin: Some(origin),
                };
                let subject = Secret::new(found.expose().to_owned());
                let fetch = move || async move { desk.exchanged(&subject, ACCESS_TOKEN).await };
                let exchanged = self.slots.token(user, want, fetch).await;
                exchanged.map_err(|error| match error {
                    CredentialError::Endpoint(said) if said.is_invalid_grant() => {
                        personal.expire(user, origin)
                    }
                    error => error,
                })
            }
        }
    }

    /// The upstream refused one fresh token after another.
    pub(super) fn refused(&self, user: &str) -> CredentialError {
        let slot = match self.desk.subject {
            Subject::Own => Self::NOBODY,
            Subject::Stored(_) | Subject::Asserted { .. } => user,
        };
        self.slots.refused(slot);
        CredentialError::Refused
    }

    /// No user has this name.
    const NOBODY: &'static str = "";
}

impl Desk {
    async fn own(&self) -> Result<Held, CredentialError> {
        let mut grant = vec![("grant_type", "client_credentials")];
        grant.extend(self.wish.pairs());
        let began = self.clock.monotonic();
        let issued = self.endpoint.ask(&grant).await?;
        Ok(held(issued, began, None))
    }

    async fn asserted(&self, user: &str) -> Result<Held, CredentialError> {
        let Subject::Asserted { signer, issuer } = &self.subject else {
            return Err(CredentialError::Refused);
        };
        let subject = format!("user_{user}");
        let assertion = signer.sign(issuer, &subject, self.endpoint.url())?;
        let mut held = self.exchanged(&assertion, JWT).await?;
        held.origin = None;
        Ok(held)
    }

    async fn exchanged(
        &self,
        subject: &Secret<String>,
        kind: &str,
    ) -> Result<Held, CredentialError> {
        let mut grant = vec![
            ("grant_type", EXCHANGE),
            ("subject_token", subject.expose().as_str()),
            ("subject_token_type", kind),
            ("requested_token_type", ACCESS_TOKEN),
        ];
        grant.extend(self.wish.pairs());
        let began = self.clock.monotonic();
        let issued = self.endpoint.ask(&grant).await?;
        Ok(held(issued, began, Some(Print::of(subject.expose()))))
    }
}

/// Its life began before it arrived.
fn held(issued: Issued, began: std::time::Instant, origin: Option<Print>) -> Held {
    let (renew, end): (Duration, Duration) = issued.kept();
    Held {
        print: Print::of(issued.token.expose()),
        token: issued.token,
        origin,
        renew: began + renew,
        end: began + end,
    }
}
