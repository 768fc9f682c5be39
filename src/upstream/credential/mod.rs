//! What the gateway shows to an upstream: the operator's credential, the user's own, or a token that was fetched for the
//! purpose.
//!
//! - **Protects** users' credentials, of which nobody but the upstream sees anything, and the client's own token, which is
//!   not even in reach here: no function takes the client's headers (MCP authorization, token passthrough).
//! - **Assumes** a [`Principal`]: whose credential is shown follows from it and from nothing that the caller wrote.
//! - **Hands on** one header, and knows again what stood in it when the upstream refuses it.
//! - **Refuses** to send a request without the credential that its upstream needs, to show one again that was refused, and
//!   to believe a token endpoint about lives that it did not state.

mod answer;
mod assertion;
mod endpoint;
mod error;
mod form;
mod keys;
mod machine;
mod personal;
mod slots;
mod vault;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::HeaderMap;
use http::header::HeaderValue;

use crate::auth::Principal;
use crate::clock::Clock;
use crate::secret::Secret;

pub use assertion::{KeyError, KeySettings};
pub use endpoint::{ClientAuth, EndpointSettings, PrepareError};
pub use error::{CredentialError, EndpointError, Provider};
pub use form::{Form, Scheme};
pub use keys::{Keys, KeysError, Later};
pub use machine::Wish;
pub use slots::SLOTS_MAX;

use assertion::Signer;
use endpoint::Endpoint;
use machine::{Machine, Subject as Name};
use personal::Personal;
use slots::{Print, Slots};

/// What an upstream is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where it stands.
    pub form: Form,
    /// What it is.
    pub kind: Kind,
    /// How many users' fetched tokens are held at once.
    pub most_users: usize,
}

impl Settings {
    /// A credential of this kind in its usual place.
    pub fn new(kind: Kind) -> Self {
        Self {
            form: Form::default(),
            kind,
            most_users: SLOTS_MAX,
        }
    }
}

/// What kind of credential an upstream is shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// The operator's, the same for everybody.
    Static(Secret<String>),
    /// The user's own.
    PerUser(PerUser),
    /// A token for the user, by token exchange (RFC 8693).
    Exchange {
        /// Who gives it.
        endpoint: EndpointSettings,
        /// What proves the user.
        subject: Subject,
        /// What it is for.
        wish: Wish,
    },
    /// A token for the gateway itself (RFC 6749 section 4.4).
    ClientCredentials {
        /// Who gives it.
        endpoint: EndpointSettings,
        /// What it is for.
        wish: Wish,
    },
}

/// The user's own credential of a provider.
#[derive(Clone, Debug, PartialEq)]
pub struct PerUser {
    /// The configured name of the provider.
    pub provider: String,
    /// Where a user signs in to give it.
    pub sign_in: Option<String>,
    /// Who renews tokens that are over.
    pub renewal: Option<EndpointSettings>,
}

/// What proves the user to a token endpoint.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// The user's own credential.
    Stored(PerUser),
    /// A short-lived assertion of the gateway.
    Asserted {
        /// Who signs it.
        issuer: String,
        /// With which key.
        key: KeySettings,
    },
}

/// What was shown to an upstream: enough to know it again.
#[derive(Clone, Copy, Debug)]
pub struct Shown(Option<Print>);

/// The credentials of one upstream.
#[derive(Debug)]
pub struct Credentials {
    form: Form,
    source: Source,
    slots: Arc<Slots>,
}

#[derive(Debug)]
enum Source {
    Static(HeaderValue),
    Personal(Personal),
    Machine(Machine),
}

impl Credentials {
    /// Prepares them; asks nobody yet.
    ///
    /// # Errors
    /// [`PrepareError`] when a key, an address or the value cannot be used, or users' credentials are wanted and `keys` is
    /// none.
    pub fn new(
        settings: &Settings,
        keys: Option<Arc<dyn Keys>>,
        clock: &Clock,
    ) -> Result<Self, PrepareError> {
        let slots = || Arc::new(Slots::new(settings.most_users, clock.clone()));
        let held = slots();
        let machine = |endpoint: Endpoint, wish: &Wish, subject| {
            let slots = Arc::clone(&held);
            let machine = Machine::new(endpoint, wish.clone(), subject, slots, clock.clone());
            Source::Machine(machine)
        };
        let source = match &settings.kind {
            Kind::Static(value) => {
                let value = settings.form.value(value.expose());
                let unfit = || PrepareError::Value(settings.form.header.clone());
                Source::Static(value.ok_or_else(unfit)?)
            }
            Kind::PerUser(one) => Source::Personal(personal(one, keys, Arc::clone(&held), clock)?),
            Kind::Exchange {
                endpoint,
                subject,
                wish,
            } => {
                let endpoint = Endpoint::new(endpoint, clock)?;
                machine(endpoint, wish, name(subject, keys, slots(), clock)?)
            }
            Kind::ClientCredentials { endpoint, wish } => {
                machine(Endpoint::new(endpoint, clock)?, wish, Name::Own)
            }
        };
        Ok(Self {
            form: settings.form.clone(),
            source,
            slots: held,
        })
    }

    /// Writes the credential for this caller's request, in place of whatever stood there.
    ///
    /// # Errors
    /// [`CredentialError`]; the request must not be sent then.
    ///
    /// # Cancel safety
    /// A token that is being fetched is fetched to the end, and kept for the next request.
    pub async fn apply(
        &self,
        principal: &Principal,
        headers: &mut HeaderMap,
    ) -> Result<Shown, CredentialError> {
        self.show(principal, None, headers).await
    }

    /// Writes another credential than the one that the upstream refused, for one more attempt.
    ///
    /// # Errors
    /// [`CredentialError`] when there is no other.
    ///
    /// # Cancel safety
    /// As [`Credentials::apply`].
    pub async fn replace(
        &self,
        principal: &Principal,
        refused: Shown,
        headers: &mut HeaderMap,
    ) -> Result<Shown, CredentialError> {
        self.show(principal, refused.0, headers).await
    }

    /// The upstream refused this one too. It is not shown again for a while.
    pub fn refused(&self, principal: &Principal, shown: Shown) -> CredentialError {
        let user = principal.user().as_str();
        match (&self.source, shown.0) {
            (Source::Personal(personal), Some(print)) => personal.reject(user, print),
            (Source::Machine(machine), _) => machine.refused(user),
            (Source::Static(_) | Source::Personal(_), _) => CredentialError::Refused,
        }
    }

    /// Drops what is held for a user, as after a logout.
    pub fn forget(&self, user: &str) {
        self.slots.forget(user);
    }

    /// Drops what is held for anybody, where it is not known for whom it must be.
    pub fn forget_all(&self) {
        self.slots.forget_all();
    }

    /// Drops what is over; to be called now and then.
    pub fn sweep(&self) {
        self.slots.sweep();
    }

    /// How many users something is held for.
    pub fn held(&self) -> usize {
        self.slots.len()
    }

    async fn show(
        &self,
        principal: &Principal,
        not: Option<Print>,
        headers: &mut HeaderMap,
    ) -> Result<Shown, CredentialError> {
        // Whatever stood there is not the upstream's, also if what follows fails.
        headers.remove(&self.form.header);
        let user = principal.user().as_str();
        let (value, print) = match &self.source {
            Source::Static(_) if not.is_some() => return Err(CredentialError::Refused),
            Source::Static(value) => (value.clone(), Print::of("")),
            Source::Personal(personal) => {
                let found = personal.find(user, not).await?;
                let unusable = || CredentialError::Unusable(personal.provider().clone());
                let value = self.form.value(found.expose()).ok_or_else(unusable)?;
                (value, Print::of(found.expose()))
            }
            Source::Machine(machine) => {
                let held = machine.find(user, not).await?;
                if not == Some(held.print) {
                    return Err(machine.refused(user));
                }
                let value = self.form.value(held.token.expose());
                (value.ok_or(CredentialError::Refused)?, held.print)
            }
        };
        headers.insert(self.form.header.clone(), value);
        Ok(Shown(Some(print)))
    }
}

fn name(
    subject: &Subject,
    keys: Option<Arc<dyn Keys>>,
    slots: Arc<Slots>,
    clock: &Clock,
) -> Result<Name, PrepareError> {
    Ok(match subject {
        Subject::Stored(one) => Name::Stored(personal(one, keys, slots, clock)?),
        Subject::Asserted { issuer, key } => Name::Asserted {
            signer: Signer::new(key, clock.clone())?,
            issuer: issuer.clone(),
        },
    })
}

fn personal(
    settings: &PerUser,
    keys: Option<Arc<dyn Keys>>,
    slots: Arc<Slots>,
    clock: &Clock,
) -> Result<Personal, PrepareError> {
    let renewal = settings.renewal.as_ref();
    let renewal = renewal.map(|one| Endpoint::new(one, clock)).transpose()?;
    // Last, so that whoever only tries the settings hears of everything else first.
    let keys = keys.ok_or_else(|| PrepareError::NoKeys(settings.provider.clone()))?;
    let provider = Provider {
        provider: settings.provider.as_str().into(),
        sign_in: settings.sign_in.as_deref().map(Into::into),
    };
    Ok(Personal::new(provider, keys, renewal, slots, clock.clone()))
}
