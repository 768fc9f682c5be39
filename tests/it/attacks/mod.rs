//! Attacks on the authorization server and the login, each through a real gateway with a login provider behind it, each
//! refused with the error that the specifications name and told in the audit trail. A row is one attack. Beside them what
//! has to work: the life of a login, and two gateways that act as one.

mod at_authorize;
mod at_callback;
mod at_consent;
mod at_documents;
mod at_origins;
mod at_register;
mod at_token;
mod fleet;
mod lifecycle;
pub(crate) mod town;
