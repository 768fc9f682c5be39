//! Signing users in with somebody who knows them: a [`Desk`] sends a browser to a login provider and, when it comes back,
//! says who the person is. ClickUp, GitHub and any OpenID provider; one redirect address for all of them.
//!
//! **Protects** against logins that another browser began, that were altered on the way, come twice or too late, and
//! against one provider's answer being taken for another's.
//! **Assumes** that the limits stage has bounded the request, and that the operator named the providers.
//! **Hands on** a [`SignedIn`]: the user's record, what waits for it, and the provider's own tokens where they are kept.
//! **Refuses** whoever the operator did not let in, users who are shut out, and every answer of a provider that does not
//! prove what it says.

mod answer;
mod attempt;
mod clickup;
mod desk;
mod development;
mod discovery;
pub mod error;
mod exchange;
mod facts;
mod github;
mod oidc;
mod provider;
pub mod settings;
#[cfg(test)]
pub(crate) mod tests;
mod tokens;

pub use attempt::Next;
pub use desk::{Desk, Offer, SignedIn};
pub use error::LoginError;
pub use exchange::ExchangeError;
pub use provider::SetupError;
pub use settings::{Allow, Endpoints, Kind, ProviderSettings, Settings};
pub use tokens::ProviderTokens;
