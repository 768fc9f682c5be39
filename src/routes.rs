//! The one list of every path that the gateway answers, and the door behind each. What is not here does not exist.
//!
//! | path | door | who may |
//! | --- | --- | --- |
//! | a route's own, such as `/mcp` | the seven stages | whoever holds a token for it |
//! | `/.well-known/oauth-protected-resource` + a route's path | its metadata (RFC 9728 section 3.1) | anybody |
//! | `/.well-known/oauth-protected-resource` | the metadata of the first route | anybody |
//! | `/health` | whether the process answers | anybody |
//!
//! `/healthz`, `/readyz` and `/metrics` are on the operator's own listener (`telemetry/ops.rs`).

use std::sync::Arc;

use crate::pipeline::Route;

/// Where the metadata of protected resources is found (RFC 9728 section 3).
pub const RESOURCE_METADATA: &str = "/.well-known/oauth-protected-resource";
/// Whether the process answers (R524).
pub const HEALTH: &str = "/health";

/// What stands behind a path.
pub enum Door<'a> {
    /// The seven stages.
    Mcp(&'a Arc<Route>),
    /// Protected resource metadata.
    Metadata(&'a Arc<Route>),
    /// Whether the process answers.
    Health,
}

/// The door behind a path, matched byte for byte: no decoding, no normalising, no prefix. What is decided on is what is
/// served.
pub fn door<'a>(routes: &'a [Arc<Route>], path: &str) -> Option<Door<'a>> {
    if let Some(route) = routes.iter().find(|route| route.path() == path) {
        return Some(Door::Mcp(route));
    }
    if path == HEALTH {
        return Some(Door::Health);
    }
    match path.strip_prefix(RESOURCE_METADATA)? {
        "" => routes.first().map(Door::Metadata),
        suffix => routes
            .iter()
            .find(|route| route.path() == suffix)
            .map(Door::Metadata),
    }
}
