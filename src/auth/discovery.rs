//! Fetching an issuer's documents: its metadata (RFC 8414, OpenID Connect Discovery) and its keys. Every address comes
//! from the operator, or from the metadata of an issuer that the operator named; none comes from a token.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use url::{Host, Url};

use super::keys::KeyError;
use super::settings::FetchSettings;
use crate::trust::{self, TrustError};

/// Why an issuer's keys could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The address is not https, and not http on the loopback either.
    #[error("`{0}` is neither https nor a loopback address")]
    Address(String),
    /// It is not known whom to trust.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The file cannot be read.
    #[error("the key file `{}` cannot be read", .path.display())]
    File {
        /// Where it should be.
        path: PathBuf,
        /// Why it cannot be read.
        source: std::io::Error,
    },
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
    /// An answer other than 200. Redirections are not followed.
    #[error("`{url}` answered with status {status}")]
    Status {
        /// Who was asked.
        url: String,
        /// What it answered.
        status: StatusCode,
    },
    /// A document above the limit.
    #[error("`{0}` is larger than the limit")]
    TooLarge(String),
    /// A metadata document that cannot be read.
    #[error("`{0}` is no issuer metadata")]
    Metadata(String),
    /// A metadata document of somebody else (RFC 8414 section 3.3).
    #[error("`{url}` is the metadata of `{found}`")]
    OtherIssuer {
        /// Who was asked.
        url: String,
        /// The issuer that the document names.
        found: String,
    },
    /// The keys themselves.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

/// An address that may be asked: https, or http on the loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::auth) struct Address(Url);

impl Address {
    pub(in crate::auth) fn parse(text: &str) -> Result<Self, JwksError> {
        let refused = || JwksError::Address(text.to_owned());
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

    fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }
}

/// Asks for documents, within a time and a size, without following redirections.
pub(in crate::auth) struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    timeout: Duration,
    max_bytes: usize,
}

impl Fetcher {
    pub(in crate::auth) fn new(
        ca_file: Option<&Path>,
        extra_ca_file: Option<&Path>,
        limits: &FetchSettings,
    ) -> Result<Self, JwksError> {
        let tls = trust::client_config(ca_file, extra_ca_file)?.with_no_client_auth();
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
            timeout: limits.timeout,
            max_bytes: limits.document_max_bytes.as_usize(),
        })
    }

    /// One whole document.
    pub(in crate::auth) async fn fetch(&self, address: &Address) -> Result<Bytes, JwksError> {
        tokio::time::timeout(self.timeout, self.exchange(address))
            .await
            .unwrap_or_else(|_| Err(JwksError::TimedOut(address.0.to_string())))
    }

    async fn exchange(&self, address: &Address) -> Result<Bytes, JwksError> {
        let url = address.0.as_str();
        let request = Request::get(url)
            .header(ACCEPT, "application/json")
            .body(Empty::new())
            .map_err(|_| JwksError::Address(url.to_owned()))?;
        let transport = |source| JwksError::Transport {
            url: url.to_owned(),
            source,
        };
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| transport(error.into()))?;
        if response.status() != StatusCode::OK {
            return Err(JwksError::Status {
                url: url.to_owned(),
                status: response.status(),
            });
        }
        let body = Limited::new(response.into_body(), self.max_bytes);
        match body.collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                Err(JwksError::TooLarge(url.to_owned()))
            }
            Err(error) => Err(transport(error)),
        }
    }

    /// The address of an issuer's keys, from its own metadata.
    pub(in crate::auth) async fn discover(&self, issuer: &str) -> Result<Address, JwksError> {
        let mut refusal = JwksError::Address(issuer.to_owned());
        for candidate in candidates(issuer)? {
            match self.keys_address(issuer, &candidate).await {
                Ok(address) => return Ok(address),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    async fn keys_address(&self, issuer: &str, at: &Address) -> Result<Address, JwksError> {
        let document = self.fetch(at).await?;
        let url = || at.0.to_string();
        let metadata: Metadata =
            serde_json::from_slice(&document).map_err(|_| JwksError::Metadata(url()))?;
        if metadata.issuer != issuer {
            return Err(JwksError::OtherIssuer {
                url: url(),
                found: metadata.issuer,
            });
        }
        let keys = Address::parse(&metadata.jwks_uri)?;
        // An issuer out on the network has no say over our loopback.
        if at.is_https() && !keys.is_https() {
            return Err(JwksError::Address(metadata.jwks_uri));
        }
        Ok(keys)
    }
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// Where an issuer's metadata may be: inserted after the host for both documents, then appended as OpenID Connect does
/// (RFC 8414 section 5).
fn candidates(issuer: &str) -> Result<Vec<Address>, JwksError> {
    let address = Address::parse(issuer)?;
    let path = address.0.path().trim_end_matches('/');
    let mut paths = vec![
        format!("/.well-known/oauth-authorization-server{path}"),
        format!("/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        paths.push(format!("{path}/.well-known/openid-configuration"));
    }
    Ok(paths
        .into_iter()
        .map(|path| {
            let mut url = address.0.clone();
            url.set_path(&path);
            url.set_query(None);
            Address(url)
        })
        .collect())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
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

    #[test]
    fn rfc8414_s5_metadata_is_looked_for_inserted_and_appended() {
        let of = |issuer| {
            let found = candidates(issuer).unwrap();
            found
                .into_iter()
                .map(|a| a.0.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of("https://idp.test/tenant/"),
            [
                "https://idp.test/.well-known/oauth-authorization-server/tenant",
                "https://idp.test/.well-known/openid-configuration/tenant",
                "https://idp.test/tenant/.well-known/openid-configuration",
            ]
        );
        assert_eq!(
            of("https://idp.test"),
            [
                "https://idp.test/.well-known/oauth-authorization-server",
                "https://idp.test/.well-known/openid-configuration",
            ]
        );
    }

    #[test]
    fn a_ca_file_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let limits = FetchSettings::default();
        for path in [file.path(), Path::new("/nowhere/ca.pem")] {
            assert!(matches!(
                Fetcher::new(Some(path), None, &limits),
                Err(JwksError::Trust(_))
            ));
        }
    }
}
