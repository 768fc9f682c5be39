//! Asking other servers for documents: login providers, their keys, token endpoints. Bounded in time and size, redirections
//! are not followed, and every address is one that the operator named or that such a server's own metadata names. Addresses
//! that a client may choose are fetched elsewhere, behind guards.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use url::{Host, Url};

use crate::trust::{self, TrustError};
use crate::units::ByteSize;

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address is not https, and not http on the loopback either.
    #[error("`{0}` is neither https nor a loopback address")]
    Address(String),
    /// No whole answer within the time-out.
    #[error("`{0}` did not answer in time")]
    TimedOut(String),
    /// The exchange failed.
    #[error("`{url}` could not be reached")]
    Transport {
        /// Who was asked.
        url: String,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A document above the limit.
    #[error("`{0}` is larger than the limit")]
    TooLarge(String),
}

/// An address that may be asked: https, or http on the loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(Url);

impl Address {
    /// An address with a host, without user, password and fragment.
    ///
    /// # Errors
    /// [`FetchError::Address`] for any other.
    pub fn parse(text: &str) -> Result<Self, FetchError> {
        let refused = || FetchError::Address(text.to_owned());
        let url = Url::parse(text).map_err(|_| refused())?;
        let plain = !url.has_host()
            || !url.username().is_empty()
            || url.password().is_some()
            || url.fragment().is_some();
        match url.scheme() {
            _ if plain => Err(refused()),
            "https" => Ok(Self(url)),
            "http" if is_loopback(&url) => Ok(Self(url)),
            _ => Err(refused()),
        }
    }

    /// Whether it is asked over TLS.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The address itself.
    pub const fn url(&self) -> &Url {
        &self.0
    }

    /// The same server, at another path and without a query.
    pub fn at_path(&self, path: &str) -> Self {
        let mut url = self.0.clone();
        url.set_path(path);
        url.set_query(None);
        Self(url)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Does the address stay on this machine?
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The method.
    pub method: Method,
    /// Headers beside `Accept`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Ask {
    /// A document.
    pub fn get() -> Self {
        Self {
            method: Method::GET,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }
}

/// What was answered, whole.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Asks, within a time and a size, without following redirections.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    max_bytes: usize,
}

impl Fetcher {
    /// One that trusts `only`, or else the system's authorities and `extra`.
    ///
    /// # Errors
    /// [`TrustError`] when it is not known whom to trust.
    pub fn new(
        only: Option<&Path>,
        extra: Option<&Path>,
        timeout: Duration,
        max_size: ByteSize,
    ) -> Result<Self, TrustError> {
        let tls = trust::client_config(only, extra)?.with_no_client_auth();
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(http);
        Ok(Self {
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build(connector),
            timeout,
            max_bytes: max_size.as_usize(),
        })
    }

    /// The whole answer, whatever its status.
    ///
    /// # Errors
    /// [`FetchError`] when there is none.
    pub async fn ask(&self, address: &Address, ask: Ask) -> Result<Answered, FetchError> {
        tokio::time::timeout(self.timeout, self.exchange(address, ask))
            .await
            .unwrap_or_else(|_| Err(FetchError::TimedOut(address.to_string())))
    }

    async fn exchange(&self, address: &Address, ask: Ask) -> Result<Answered, FetchError> {
        let url = address.0.as_str();
        let mut request = Request::new(Full::new(ask.body));
        *request.uri_mut() = url
            .parse()
            .map_err(|_| FetchError::Address(url.to_owned()))?;
        *request.method_mut() = ask.method;
        *request.headers_mut() = ask.headers;
        request
            .headers_mut()
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("application/json"));
        let transport = |source| FetchError::Transport {
            url: url.to_owned(),
            source,
        };
        let answer = self
            .client
            .request(request)
            .await
            .map_err(|error| transport(error.into()))?;
        let (head, body) = answer.into_parts();
        match Limited::new(body, self.max_bytes).collect().await {
            Ok(body) => Ok(Answered {
                status: head.status,
                headers: head.headers,
                body: body.to_bytes(),
            }),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                Err(FetchError::TooLarge(url.to_owned()))
            }
            Err(error) => Err(transport(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_the_loopback_may_be_asked() {
        for text in [
            "http://idp.test/keys",
            "http://10.0.0.1/keys",
            "http://169.254.169.254/latest",
            "http://localhost.evil.test/",
            "http://127.0.0.1.evil.test/",
            "https://user@idp.test/keys",
            "https://idp.test/keys#x",
            "file:///etc/passwd",
            "ftp://127.0.0.1/keys",
            "data:application/json,{}",
            "/keys",
            "",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        for text in [
            "https://idp.test/keys?x=1",
            "http://127.0.0.1:8080/keys",
            "http://[::1]/keys",
            "http://localhost:1/keys",
        ] {
            assert!(Address::parse(text).is_ok(), "{text}");
        }
    }
}
