//! The one list of every path that the gateway answers, and the door behind each. What is not here does not exist.
//!
//! | path | door | who may |
//! | --- | --- | --- |
//! | a route's own, such as `/mcp` | the seven stages | whoever holds a token for it |
//! | `/.well-known/oauth-protected-resource` + a route's path | its metadata (RFC 9728 section 3.1) | anybody |
//! | `/.well-known/oauth-protected-resource` | the metadata of the first route | anybody |
//! | `/health` | whether the process answers | anybody |
//! | `/.well-known/oauth-authorization-server`, also with a route's path | the authorization server's metadata (RFC 8414) | anybody |
//! | `/.well-known/openid-configuration`, also with a route's path, before or after it | the same | anybody |
//! | `/oauth/authorize`, `/oauth/login`, `/oauth/consent` | the authorization server's pages | browsers |
//! | `/oauth/token`, `/oauth/register`, `/oauth/revoke`, `/oauth/introspect`, `/oauth/jwks` | its endpoints | clients |
//! | `/auth/login`, `/auth/callback`, `/auth/development` | signing in | browsers |
//! | `/auth/refresh`, `/auth/logout`, `/auth/me`, `/auth/api-key` | the account of whoever signed in | whoever holds a token |
//!
//! The last five lines are served only where there is somebody to sign in with (`login.providers`).
//!
//! `/healthz`, `/readyz` and `/metrics` are on the operator's own listener (`telemetry/ops`).

/// Where the metadata of protected resources is found (RFC 9728 section 3).
pub const RESOURCE_METADATA: &str = "/.well-known/oauth-protected-resource";
/// Whether the process answers (R524).
pub const HEALTH: &str = "/health";

/// Where the metadata of an authorization server is found (RFC 8414 section 3).
pub const SERVER_METADATA: &str = "/.well-known/oauth-authorization-server";
/// Where older clients look for it (OpenID Connect Discovery section 4).
pub const OPENID_METADATA: &str = "/.well-known/openid-configuration";

/// The authorization server's endpoints.
pub mod oauth {
    #![expect(missing_docs, reason = "the table above says it")]
    pub const AUTHORIZE: &str = "/oauth/authorize";
    pub const LOGIN: &str = "/oauth/login";
    pub const CONSENT: &str = "/oauth/consent";
    pub const TOKEN: &str = "/oauth/token";
    pub const REGISTER: &str = "/oauth/register";
    pub const REVOKE: &str = "/oauth/revoke";
    pub const INTROSPECT: &str = "/oauth/introspect";
    pub const JWKS: &str = "/oauth/jwks";
    pub const ALL: [&str; 8] = [
        AUTHORIZE, LOGIN, CONSENT, TOKEN, REGISTER, REVOKE, INTROSPECT, JWKS,
    ];
}

/// The endpoints of signing in and of the account.
pub mod account {
    #![expect(missing_docs, reason = "the table above says it")]
    pub const LOGIN: &str = "/auth/login";
    pub const CALLBACK: &str = "/auth/callback";
    pub const DEVELOPMENT: &str = "/auth/development";
    pub const REFRESH: &str = "/auth/refresh";
    pub const LOGOUT: &str = "/auth/logout";
    pub const ME: &str = "/auth/me";
    pub const API_KEY: &str = "/auth/api-key";
    pub const ALL: [&str; 7] = [LOGIN, CALLBACK, DEVELOPMENT, REFRESH, LOGOUT, ME, API_KEY];
}

/// What people look at: no page of another origin may read it, whatever else that origin may call.
pub const PAGES: [&str; 6] = [
    oauth::AUTHORIZE,
    oauth::LOGIN,
    oauth::CONSENT,
    account::LOGIN,
    account::CALLBACK,
    account::DEVELOPMENT,
];

/// What stands behind a path.
#[derive(Debug, PartialEq, Eq)]
pub enum Door<'a, R> {
    /// The seven stages.
    Mcp(&'a R),
    /// Protected resource metadata.
    Metadata(&'a R),
    /// Whether the process answers.
    Health,
    /// The authorization server.
    Oauth,
    /// Signing in, and the account.
    Account,
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
    if oauth::ALL.contains(&path) {
        return Some(Door::Oauth);
    }
    if account::ALL.contains(&path) {
        return Some(Door::Account);
    }
    let of_route = |suffix: &str| routes.iter().find(|route| path_of(route) == suffix);
    if let Some(suffix) = path.strip_prefix(RESOURCE_METADATA) {
        return match suffix {
            "" => routes.first().map(Door::Metadata),
            suffix => of_route(suffix).map(Door::Metadata),
        };
    }
    let suffix = path
        .strip_prefix(SERVER_METADATA)
        .or_else(|| path.strip_prefix(OPENID_METADATA))
        .or_else(|| path.strip_suffix(OPENID_METADATA))?;
    (suffix.is_empty() || of_route(suffix).is_some()).then_some(Door::Oauth)
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
            "/oauth",
            "/oauth/",
            "/oauth/token/",
            "/auth/../oauth/token",
            "/.well-known/oauth-authorization-server/",
            "/.well-known/oauth-authorization-server/c/mcp",
            "/c/mcp/.well-known/openid-configuration",
            "/a/mcp/.well-known/oauth-authorization-server",
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
        for path in [
            "/oauth/token",
            "/.well-known/oauth-authorization-server",
            "/.well-known/oauth-authorization-server/b/mcp",
            "/.well-known/openid-configuration",
            "/.well-known/openid-configuration/a/mcp",
            "/a/mcp/.well-known/openid-configuration",
        ] {
            assert_eq!(find(path), Some(Door::Oauth), "{path}");
        }
        assert_eq!(find("/auth/callback"), Some(Door::Account));
    }
}
