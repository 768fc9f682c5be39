//! Addresses are parsed once: which scheme, whose host, and whether that host is this machine.

use url::{Host, Url};

/// Why an address is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UrlError {
    #[error("is not an absolute URL: {0}")]
    Parse(#[from] url::ParseError),
    #[error("has the scheme `{0}`")]
    Scheme(String),
    #[error("holds a user name or a password")]
    Credentials,
    #[error("holds a `#` part")]
    Fragment,
    #[error("holds a path or a query")]
    Path,
}

impl UrlError {
    pub(super) const fn help(&self) -> &'static str {
        match self {
            Self::Parse(_) | Self::Scheme(_) => "write it as `https://host/path`",
            Self::Credentials => "send credentials in a header",
            Self::Fragment => "remove it",
            Self::Path => "write scheme, host and port only, such as `https://mcp.example.com`",
        }
    }
}

/// An `http` or `https` address without credentials and fragment.
pub(super) fn web(text: &str) -> Result<Url, UrlError> {
    let url = Url::parse(text)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(UrlError::Scheme(url.scheme().into()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::Credentials);
    }
    if url.fragment().is_some() {
        return Err(UrlError::Fragment);
    }
    Ok(url)
}

/// A [`web`] address of scheme, host and port only.
pub(super) fn origin(text: &str) -> Result<Url, UrlError> {
    let url = web(text)?;
    if url.path() != "/" || url.query().is_some() {
        return Err(UrlError::Path);
    }
    Ok(url)
}

/// Is the host this machine, whatever DNS says? `localhost.example.com` is not (R582).
pub(super) fn loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// HTTP without TLS to another machine.
pub(super) fn exposed(url: &Url) -> bool {
    url.scheme() == "http" && !loopback(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r582_only_this_machine_counts_as_loopback() {
        for (text, here) in [
            ("http://localhost.evil.tld/", false),
            ("http://127.0.0.1.evil.tld/", false),
            ("http://0.0.0.0/", false),
            ("http://[::2]/", false),
            ("http://localhost:3000/", true),
            ("http://127.0.0.1/", true),
            ("http://127.9.9.9/", true),
            ("http://[::1]:3000/", true),
            ("http://LOCALHOST/", true),
        ] {
            assert_eq!(loopback(&web(text).unwrap()), here, "{text}");
        }
    }

    #[test]
    fn addresses_that_hide_something_are_refused() {
        for (text, error) in [
            ("ftp://a.test/", UrlError::Scheme("ftp".into())),
            ("https://u:p@a.test/", UrlError::Credentials),
            ("https://u@a.test/", UrlError::Credentials),
            ("https://a.test/#x", UrlError::Fragment),
            ("https://a.test/x", UrlError::Path),
            ("https://a.test/?x", UrlError::Path),
        ] {
            assert_eq!(origin(text), Err(error), "{text}");
        }
        assert!(origin("a.test").is_err());
    }
}
