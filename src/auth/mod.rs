//! Stage 3: who is calling.
//!
//! - **Protects** everything behind it from callers without a valid credential for this resource.
//! - **Assumes** the head of the request has passed the limits stage; nothing in it is trusted.
//! - **Hands on** a [`Principal`], which exists only if a token was verified.
//! - **Refuses** anything but exactly one bearer token, signed by a key we know for exactly that algorithm, issued by a
//!   named issuer for this resource, and valid now.

pub mod principal;

pub use principal::{Principal, UserId};
