//! Asking a token endpoint (RFC 6749 section 3.2): how the gateway proves who it is there, and one question with one
//! bounded answer. Redirections are not followed, since they would carry the proof elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use url::form_urlencoded::{Serializer, byte_serialize};

use super::answer::{self, Issued};
use super::assertion::{KeyError, KeySettings, Signer};
use super::error::EndpointError;
use crate::clock::Clock;
use crate::fetch::{Address, Ask, FetchError, Fetcher};
use crate::secret::Secret;
use crate::trust::TrustError;
use crate::units::ByteSize;

/// A token endpoint and who we are there.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSettings {
    /// Its address: https, or http on the loopback.
    pub url: String,
    /// Our name there.
    pub client_id: String,
    /// How we prove it.
    pub client_auth: ClientAuth,
    /// The certificate authority to trust instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// A certificate authority to trust besides the public ones.
    pub extra_ca_file: Option<PathBuf>,
    /// How long a whole answer may take.
    pub timeout: Duration,
    /// How large it may be.
    pub max_size: ByteSize,
}

impl EndpointSettings {
    /// An endpoint with every bound at its default.
    pub fn new(
        url: impl Into<String>,
        client_id: impl Into<String>,
        client_auth: ClientAuth,
    ) -> Self {
        Self {
            url: url.into(),
            client_id: client_id.into(),
            client_auth,
            ca_file: None,
            extra_ca_file: None,
            timeout: Duration::from_secs(10),
            max_size: ByteSize::kib(64),
        }
    }
}

/// How a client proves who it is.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientAuth {
    /// It does not.
    None,
    /// By a secret in `Authorization` (`client_secret_basic`).
    Basic(Secret<String>),
    /// By a secret in the form (`client_secret_post`).
    Post(Secret<String>),
    /// By a signature (`private_key_jwt`).
    Signed(KeySettings),
}

/// Why a token endpoint cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Its address may not be asked.
    #[error("token endpoint")]
    Address(#[source] FetchError),
    /// It is not known whom to trust.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The key cannot sign.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The value cannot stand in a header.
    #[error("the credential cannot be sent in header {0}")]
    Value(http::HeaderName),
    /// Users' own credentials are wanted, and nothing keeps any.
    #[error("users' credentials of `{0}` are wanted, but no vault is set up")]
    NoKeys(String),
}

/// A token endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    address: Address,
    fetcher: Fetcher,
    client_id: String,
    proof: Proof,
}

#[derive(Debug)]
enum Proof {
    None,
    Basic(HeaderValue),
    Post(Secret<String>),
    Signed(Signer),
}

impl Endpoint {
    pub(super) fn new(settings: &EndpointSettings, clock: &Clock) -> Result<Self, PrepareError> {
        let fetcher = Fetcher::new(
            settings.ca_file.as_deref(),
            settings.extra_ca_file.as_deref(),
            settings.timeout,
            settings.max_size,
        )?;
        let proof = match &settings.client_auth {
            ClientAuth::None => Proof::None,
            ClientAuth::Basic(secret) => Proof::Basic(basic(&settings.client_id, secret)?),
            ClientAuth::Post(secret) => Proof::Post(secret.clone()),
            ClientAuth::Signed(key) => Proof::Signed(Signer::new(key, clock.clone())?),
        };
        Ok(Self {
            address: Address::parse(&settings.url).map_err(PrepareError::Address)?,
            fetcher,
            client_id: settings.client_id.clone(),
            proof,
        })
    }

    /// Its address, which is also its name as an audience.
    pub(super) fn url(&self) -> &str {
        self.address.url().as_str()
    }

    /// Asks for a token.
    pub(super) async fn ask(&self, grant: &[(&str, &str)]) -> Result<Issued, EndpointError> {
        let mut headers = HeaderMap::new();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form);
        if let Proof::Basic(value) = &self.proof {
            headers.insert(AUTHORIZATION, value.clone());
        }
        let ask = Ask {
            method: Method::POST,
            headers,
            body: self.form(grant)?,
        };
        let answer = self.fetcher.ask(&self.address, ask).await;
        let answer = answer.map_err(|error| match error {
            FetchError::TimedOut(_) => EndpointError::TimedOut,
            FetchError::TooLarge(_) => EndpointError::TooLarge,
            FetchError::Address(_) | FetchError::Transport { .. } => EndpointError::Unreachable,
        })?;
        answer::read(&answer)
    }

    fn form(&self, grant: &[(&str, &str)]) -> Result<Bytes, EndpointError> {
        let mut form = Serializer::new(String::new());
        form.extend_pairs(grant);
        match &self.proof {
            // Its name stands in the header already (RFC 6749 section 2.3.1).
            Proof::Basic(_) => {}
            Proof::None => {
                form.append_pair("client_id", &self.client_id);
            }
            Proof::Post(secret) => {
                form.append_pair("client_id", &self.client_id);
                form.append_pair("client_secret", secret.expose());
            }
            Proof::Signed(signer) => {
                let assertion = signer.sign(&self.client_id, &self.client_id, self.url())?;
                form.append_pair("client_id", &self.client_id);
                form.append_pair("client_assertion_type", ASSERTION_TYPE);
                form.append_pair("client_assertion", assertion.expose());
            }
        }
        Ok(form.finish().into())
    }
}

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Both parts are form-encoded before they are joined (RFC 6749 section 2.3.1).
fn basic(client_id: &str, secret: &Secret<String>) -> Result<HeaderValue, PrepareError> {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Secret::new(format!(
        "{}:{}",
        encoded(client_id),
        encoded(secret.expose())
    ));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair.expose())))
        .map_err(|_| PrepareError::Value(AUTHORIZATION))?;
    value.set_sensitive(true);
    Ok(value)
}
