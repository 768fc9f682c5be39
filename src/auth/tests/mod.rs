//! Tests of the stage as a whole: tokens in, principals or reasons out.

mod any_bytes;
mod bad_tokens;
mod issuer;
mod jwks;
mod key_sets;
mod keys_over_tls;
mod rig;
mod verifier;
