//! Stage 3: who is calling.
//!
//! - **Protects** everything behind it from callers without a valid credential for this resource.
//! - **Assumes** the head of the request has passed the limits stage; nothing in it is trusted.
//! - **Hands on** a [`Principal`], which exists only if a token was verified.
//! - **Refuses** anything but exactly one bearer token, signed by a key we know for exactly that algorithm, issued by a
//!   named issuer for this resource, and valid now.

// pure: no IO, no async
pub mod bearer;
pub mod certificate;
pub mod challenge;
mod claims;
pub mod error;
pub mod header;
mod identity;
pub mod metadata;
pub mod principal;
pub mod revoked;
pub mod settings;
mod strict;

// IO, and the keys that it brings
pub mod assertion;
pub mod discovery;
pub mod id_token;
mod jwk;
pub mod jwks;
pub mod keys;
pub mod mint;
mod token_key;
pub mod verifier;

#[cfg(test)]
#[path = "../../tests/support/signer.rs"]
pub(crate) mod support;
#[cfg(test)]
mod tests;

pub use bearer::Bearer;
pub use certificate::ClientCertificate;
pub use challenge::{Challenge, ResourceId};
pub use error::AuthError;
pub use metadata::ResourceMetadata;
pub use mint::{Grant, Mint};
pub use principal::{Principal, UserId};
pub use revoked::{Mark, Revoked};
pub use settings::Settings;
pub use verifier::Verifier;
