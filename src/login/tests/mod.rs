//! The desk against fake providers on the loopback, and against those who would like to be somebody else. Refusals first.

mod broken;
pub(crate) mod fake;
mod oidc;
mod others;
pub(crate) mod rig;
mod states;
