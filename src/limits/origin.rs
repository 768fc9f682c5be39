//! Which Host is ours and which Origin may call us. Both are exact lists that the operator configured; nothing is learnt
//! from the request. Together they defeat DNS rebinding, where a browser is made to send a good Host with an evil Origin
//! or the reverse.

use std::collections::BTreeSet;

use http::HeaderValue;
use http::request::Parts;

use super::{LimitsError, host_lines};

/// The values of Host (`name` or `name:port`) that are ours, compared without regard to case.
#[derive(Clone, Debug, Default)]
pub struct AllowedHosts(BTreeSet<String>);

impl AllowedHosts {
    /// From `name` or `name:port` texts.
    pub fn new<T: Into<String>>(hosts: impl IntoIterator<Item = T>) -> Self {
        Self(
            hosts
                .into_iter()
                .map(|host| host.into().to_ascii_lowercase())
                .collect(),
        )
    }

    /// Whether this Host is ours.
    pub fn contain(&self, host: &str) -> bool {
        // The usual spelling is found without copying it.
        self.0.contains(host) || self.0.contains(&host.to_ascii_lowercase())
    }
}

/// The origins that may call us from a browser, compared byte for byte as browsers serialise them (RFC 6454 section 6.2).
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins(BTreeSet<Vec<u8>>);

impl AllowedOrigins {
    /// From serialised origins such as `https://claude.ai`.
    pub fn new<T: AsRef<str>>(origins: impl IntoIterator<Item = T>) -> Self {
        Self(
            origins
                .into_iter()
                .map(|origin| origin.as_ref().as_bytes().to_vec())
                .collect(),
        )
    }

    /// Whether this Origin is listed.
    pub fn contain(&self, origin: &HeaderValue) -> bool {
        self.0.contains(origin.as_bytes())
    }
}

/// The one host that a request names: its Host line, its authority, or both where they agree (RFC 9112 section 3.2,
/// RFC 9113 section 8.3.1).
pub(super) fn host_of(head: &Parts) -> Result<&str, LimitsError> {
    let (line, repeated) = host_lines(&head.headers);
    let line = match line {
        Some(value) => Some(value.to_str().map_err(|_| LimitsError::HostAmbiguous)?),
        None => None,
    };
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    match (authority, line) {
        _ if repeated => Err(LimitsError::HostAmbiguous),
        (Some(authority), Some(line)) if authority.eq_ignore_ascii_case(line) => Ok(authority),
        (Some(only), None) | (None, Some(only)) => Ok(only),
        _ => Err(LimitsError::HostAmbiguous),
    }
}
