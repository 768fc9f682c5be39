//! Fetching an issuer's documents: its metadata (RFC 8414, OpenID Connect Discovery) and its keys. Every address comes
//! from the operator, or from the metadata of an issuer that the operator named; none comes from a token.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;

use super::keys::KeyError;
use super::settings::FetchSettings;
use crate::fetch::{Address, Ask, FetchError, Fetcher};
use crate::trust::TrustError;

/// Why an issuer's keys could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// There is no document.
    #[error(transparent)]
    Fetch(#[from] FetchError),
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
    /// An answer other than 200. Redirections are not followed.
    #[error("`{url}` answered with status {status}")]
    Status {
        /// Who was asked.
        url: String,
        /// What it answered.
        status: StatusCode,
    },
    /// A file above the limit.
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

/// Asks for an issuer's documents.
pub(in crate::auth) struct Documents(Fetcher);

impl Documents {
    pub(in crate::auth) fn new(
        ca_file: Option<&Path>,
        extra_ca_file: Option<&Path>,
        limits: &FetchSettings,
    ) -> Result<Self, JwksError> {
        let fetcher = Fetcher::new(
            ca_file,
            extra_ca_file,
            limits.timeout,
            limits.document_max_bytes,
        )?;
        Ok(Self(fetcher))
    }

    /// One whole document.
    pub(in crate::auth) async fn fetch(&self, address: &Address) -> Result<Bytes, JwksError> {
        let answered = self.0.ask(address, Ask::get()).await?;
        if answered.status != StatusCode::OK {
            return Err(JwksError::Status {
                url: address.to_string(),
                status: answered.status,
            });
        }
        Ok(answered.body)
    }

    /// The address of an issuer's keys, from its own metadata.
    pub(in crate::auth) async fn discover(&self, issuer: &str) -> Result<Address, JwksError> {
        let mut refusal = JwksError::from(FetchError::Address(issuer.to_owned()));
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
        let url = || at.to_string();
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
            return Err(FetchError::Address(metadata.jwks_uri).into());
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
    let path = address.url().path().trim_end_matches('/');
    let mut paths = vec![
        format!("/.well-known/oauth-authorization-server{path}"),
        format!("/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        paths.push(format!("{path}/.well-known/openid-configuration"));
    }
    Ok(paths
        .into_iter()
        .map(|path| address.at_path(&path))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc8414_s5_metadata_is_looked_for_inserted_and_appended() {
        let of = |issuer| {
            let found = candidates(issuer).unwrap();
            found.into_iter().map(|a| a.to_string()).collect::<Vec<_>>()
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
                Documents::new(Some(path), None, &limits),
                Err(JwksError::Trust(_))
            ));
        }
    }
}
