//! The one list of every path that the gateway answers, and the door behind each. What is not here does not exist.
//!
//! | path | door | who may |
//! | --- | --- | --- |
//! | a route's own, such as `/mcp` | the seven stages | whoever holds a token for it |
//! | `/.well-known/oauth-protected-resource` + a route's path | its metadata (RFC 9728 section 3.1) | anybody |
//! | `/.well-known/oauth-protected-resource` | the metadata of the first route | anybody |
//! | `/health` | whether the process answers | anybody |
//!
//! `/healthz`, `/readyz` and `/metrics` are on the operator's own listener (`telemetry/ops`).

/// Where the metadata of protected resources is found (RFC 9728 section 3).
pub const RESOURCE_METADATA: &str = "/.well-known/oauth-protected-resource";
/// Whether the process answers (R524).
pub const HEALTH: &str = "/health";

/// What stands behind a path.
#[derive(Debug, PartialEq, Eq)]
pub enum Door<'a, R> {
    /// The seven stages.
    Mcp(&'a R),
    /// Protected resource metadata.
    Metadata(&'a R),
    /// Whether the process answers.
    Health,
}

/// The door behind a path, matched byte for byte: no decoding, no normalising, no prefix. What is decided on is what is
/// served.
pub fn door<'a, R>(
    routes: &'a [R],
    path: &str,
    path_of: impl Fn(&R) -> &str,
) -> Option<Door<'a, R>> {
    if let Some(route) = routes.iter().find(|route| path_of(route) == path) {
        return Some(Door::Mcp(route));
    }
    if path == HEALTH {
        return Some(Door::Health);
    }
    match path.strip_prefix(RESOURCE_METADATA)? {
        "" => routes.first().map(Door::Metadata),
        suffix => routes
            .iter()
            .find(|route| path_of(route) == suffix)
            .map(Door::Metadata),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_does_not_exist() {
        let routes = ["/a/mcp", "/b/mcp"];
        let find = |path| door(&routes, path, |route| *route);
        for path in [
            "/",
            "",
            "/mcp",
            "/a/mcp/",
            "/a/mcp/x",
            "/A/mcp",
            "/a//mcp",
            "/a/%6dcp",
            "/a/./mcp",
            "/x/../a/mcp",
            "//a/mcp",
            "/.well-known/oauth-protected-resource/",
            "/.well-known/oauth-protected-resource/c/mcp",
            "/healthz",
            "/metrics",
        ] {
            assert_eq!(find(path), None, "{path}");
        }
        assert_eq!(find("/b/mcp"), Some(Door::Mcp(&"/b/mcp")));
        assert_eq!(
            find("/.well-known/oauth-protected-resource/b/mcp"),
            Some(Door::Metadata(&"/b/mcp"))
        );
        assert_eq!(
            find("/.well-known/oauth-protected-resource"),
            Some(Door::Metadata(&"/a/mcp"))
        );
        assert_eq!(find("/health"), Some(Door::Health));
    }
}
