//! The resource that this gateway protects, by its canonical URI, and the `WWW-Authenticate` challenge that tells a
//! refused caller where to get a token for it (RFC 6750 section 3, RFC 9728 section 5.1).

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use url::Url;

use super::claims::is_scope_token;
use super::error::AuthError;

/// The canonical URI of a protected resource: scheme and host in lower case, no default port, query, fragment or
/// trailing slash (RFC 8707 section 2). Two spellings of one resource are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    uri: Arc<str>,
    origin_length: usize,
}

/// The text is not the URI of a protected resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceIdError {
    /// Not an absolute URI.
    #[error("`{0}` is no absolute URI")]
    NotAbsolute(String),
    /// Neither https nor http, or no host.
    #[error("`{0}` is neither an https nor an http URI")]
    Scheme(String),
    /// A part that a resource URI cannot have.
    #[error("`{0}` has a user, a query or a fragment")]
    Extra(String),
}

impl ResourceId {
    /// Reads and canonicalises a resource URI.
    ///
    /// # Errors
    /// [`ResourceIdError`] when it is not absolute, not http(s), or has a user, a query or a fragment.
    pub fn parse(text: &str) -> Result<Self, ResourceIdError> {
        let url = Url::parse(text).map_err(|_| ResourceIdError::NotAbsolute(text.into()))?;
        if !matches!(url.scheme(), "https" | "http") || !url.has_host() {
            return Err(ResourceIdError::Scheme(text.into()));
        }
        let extra = url.query().is_some() || url.fragment().is_some();
        if extra || !url.username().is_empty() || url.password().is_some() {
            return Err(ResourceIdError::Extra(text.into()));
        }
        let origin = url.origin().ascii_serialization();
        Ok(Self {
            uri: format!("{origin}{}", url.path().trim_end_matches('/')).into(),
            origin_length: origin.len(),
        })
    }

    /// The canonical URI.
    pub fn as_str(&self) -> &str {
        &self.uri
    }

    /// The path of the canonical URI; empty for the root.
    pub fn path(&self) -> &str {
        self.split().1
    }

    /// The path under which the resource's metadata is served (RFC 9728 section 3.1).
    pub fn metadata_path(&self) -> String {
        format!("{WELL_KNOWN}{}", self.path())
    }

    /// The absolute URL of the resource's metadata.
    pub fn metadata_url(&self) -> String {
        let (origin, path) = self.split();
        format!("{origin}{WELL_KNOWN}{path}")
    }

    fn split(&self) -> (&str, &str) {
        self.uri
            .split_at_checked(self.origin_length)
            .unwrap_or((&self.uri, ""))
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

/// A `WWW-Authenticate` header in the making.
#[derive(Clone, Debug)]
pub struct Challenge<'a> {
    resource: &'a ResourceId,
    scopes: Vec<&'a str>,
    error: Option<(&'static str, &'a str)>,
}

impl<'a> Challenge<'a> {
    /// A challenge for a resource, naming its metadata and no error.
    pub const fn new(resource: &'a ResourceId) -> Self {
        Self {
            resource,
            scopes: Vec::new(),
            error: None,
        }
    }

    /// The challenge of a refused credential.
    pub fn refusing(resource: &'a ResourceId, refusal: &AuthError) -> Self {
        Self {
            error: refusal
                .challenge_error()
                .map(|error| (error, refusal.message())),
            ..Self::new(resource)
        }
    }

    /// The challenge of a valid token that grants too little; goes with 403. `scopes` are ALL that the operation needs,
    /// so that one step-up is enough.
    pub fn insufficient_scope(
        resource: &'a ResourceId,
        scopes: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self {
            error: Some((
                "insufficient_scope",
                "The token does not grant what this operation needs",
            )),
            ..Self::new(resource)
        }
        .scopes(scopes)
    }

    /// The scopes to ask for. `offline_access` is the client's own wish and is left out, as is anything that is not a
    /// scope token.
    #[must_use]
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = &'a str>) -> Self {
        self.scopes = scopes
            .into_iter()
            .filter(|scope| is_scope_token(scope) && *scope != "offline_access")
            .collect();
        self
    }

    /// The value of the header.
    pub fn header(&self) -> HeaderValue {
        let mut text = format!(
            "Bearer resource_metadata=\"{}\"",
            quotable(&self.resource.metadata_url())
        );
        if let Some((error, description)) = self.error {
            text.push_str(&format!(
                ", error=\"{error}\", error_description=\"{}\"",
                quotable(description)
            ));
        }
        if !self.scopes.is_empty() {
            text.push_str(&format!(", scope=\"{}\"", self.scopes.join(" ")));
        }
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("Bearer"))
    }
}

/// The characters that `error_description` may have (RFC 6750 section 3); none of them ends a quoted string.
fn quotable(text: &str) -> String {
    text.chars()
        .filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\'))
        .collect()
}

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

#[cfg(test)]
mod tests {
    use super::*;

    fn mcp() -> ResourceId {
        ResourceId::parse("https://gw.test/mcp").unwrap()
    }

    #[test]
    fn what_is_no_resource_uri_is_refused() {
        for text in [
            "",
            "/mcp",
            "gw.test/mcp",
            "ftp://gw.test/mcp",
            "urn:mcp:x",
            "data:,x",
            "https://",
            "https://gw.test/mcp#top",
            "https://gw.test/mcp#",
            "https://gw.test/mcp?x=1",
            "https://u@gw.test/mcp",
            "https://u:p@gw.test/mcp",
        ] {
            assert!(ResourceId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rfc8707_s2_spellings_of_one_resource_are_equal() {
        for (text, canonical) in [
            ("HTTPS://GW.Test:443/mcp/", "https://gw.test/mcp"),
            ("https://gw.test/", "https://gw.test"),
            ("https://gw.test", "https://gw.test"),
            ("http://127.0.0.1:8080/a/../b", "http://127.0.0.1:8080/b"),
            ("http://[::1]:8080/mcp", "http://[::1]:8080/mcp"),
        ] {
            assert_eq!(ResourceId::parse(text).unwrap().as_str(), canonical);
        }
    }

    #[test]
    fn rfc9728_s3_1_the_well_known_part_goes_between_host_and_path() {
        let root = ResourceId::parse("https://gw.test/").unwrap();
        assert_eq!(
            root.metadata_path(),
            "/.well-known/oauth-protected-resource"
        );
        assert_eq!(
            mcp().metadata_url(),
            "https://gw.test/.well-known/oauth-protected-resource/mcp"
        );
        assert_eq!(mcp().path(), "/mcp");
    }

    #[test]
    fn rfc6750_s3_1_no_error_code_where_no_credential_was_sent() {
        let header = Challenge::refusing(&mcp(), &AuthError::Missing)
            .scopes(["mcp:read", "mcp:write"])
            .header();
        assert_eq!(
            header,
            "Bearer resource_metadata=\"https://gw.test/.well-known/oauth-protected-resource/mcp\", \
             scope=\"mcp:read mcp:write\""
        );
    }

    #[test]
    fn rfc9728_s5_1_challenge_names_the_metadata_and_the_error() {
        let resource = mcp();
        for (refusal, error) in [
            (AuthError::InvalidSignature, "invalid_token"),
            (AuthError::Malformed("x"), "invalid_token"),
            (AuthError::InQuery, "invalid_request"),
            (AuthError::Multiple, "invalid_request"),
        ] {
            let header = Challenge::refusing(&resource, &refusal).header();
            let text = header.to_str().unwrap();
            assert!(
                text.starts_with("Bearer resource_metadata=\"https://gw.test/"),
                "{text}"
            );
            assert!(text.contains(&format!("error=\"{error}\"")), "{text}");
        }
    }

    #[test]
    fn a_step_up_names_all_scopes_and_never_offline_access() {
        let resource = mcp();
        let header =
            Challenge::insufficient_scope(&resource, ["a", "offline_access", "b"]).header();
        let text = header.to_str().unwrap();
        assert!(text.contains("error=\"insufficient_scope\""), "{text}");
        assert!(text.ends_with("scope=\"a b\""), "{text}");
    }

    #[test]
    fn nothing_breaks_out_of_a_quoted_string() {
        let resource = mcp();
        let challenge = Challenge {
            error: Some(("invalid_token", "a\"b\\c\r\nd\u{e9}")),
            ..Challenge::new(&resource)
        }
        .scopes(["ok", "no\"pe", "no pe", "no\r\npe", ""]);
        let header = challenge.header();
        let text = header.to_str().unwrap();
        assert!(text.contains("error_description=\"abcd\""), "{text}");
        assert!(text.ends_with("scope=\"ok\""), "{text}");
    }
}
