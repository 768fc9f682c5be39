//! What an OpenID provider says about itself (OpenID Connect Discovery section 4): asked for at the first login, kept for
//! a while, and used beyond that while the provider does not answer. One request at a time; after a failure none for a
//! moment, so that a provider that hangs does not hang one browser after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use http::StatusCode;
use oauth2::AuthType;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::exchange::ExchangeError;
use crate::clock::Clock;
use crate::fetch::{Address, Ask, Fetcher};

/// What is used of it.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) authorize: Address,
    pub(super) token: Address,
    pub(super) userinfo: Option<Address>,
    pub(super) keys: Address,
    /// How we prove who we are at the token endpoint.
    pub(super) style: AuthType,
    /// Whether every answer names its issuer (RFC 9207 section 3).
    pub(super) names_itself: bool,
}

/// The metadata of one issuer, kept.
pub(super) struct Discovery {
    issuer: String,
    document: Address,
    keep: Duration,
    clock: Clock,
    current: ArcSwapOption<(Instant, Arc<Metadata>)>,
    /// Held while asking; when the last question failed.
    turn: Mutex<Option<Instant>>,
}

impl Discovery {
    pub(super) fn new(issuer: &str, keep: Duration, clock: Clock) -> Result<Self, ExchangeError> {
        let address = Address::parse(issuer)?;
        let path = address.url().path().trim_end_matches('/');
        let document = address.at_path(&format!("{path}/.well-known/openid-configuration"));
        Ok(Self {
            issuer: issuer.to_owned(),
            document,
            keep,
            clock,
            current: ArcSwapOption::empty(),
            turn: Mutex::new(None),
        })
    }

    /// The metadata.
    ///
    /// # Cancel safety
    /// A question that is dropped is asked again by the next caller.
    pub(super) async fn metadata(&self, fetcher: &Fetcher) -> Result<Arc<Metadata>, ExchangeError> {
        if let Some(fresh) = self.kept(self.keep) {
            return Ok(fresh);
        }
        let mut failed_at = self.turn.lock().await;
        if let Some(fresh) = self.kept(self.keep) {
            return Ok(fresh);
        }
        let now = self.clock.monotonic();
        let too_soon = failed_at.is_some_and(|at| now.saturating_duration_since(at) < PAUSE);
        let asked = if too_soon {
            Err(ExchangeError::Metadata("it could not be had a moment ago"))
        } else {
            self.ask(fetcher).await
        };
        match asked {
            Ok(metadata) => {
                *failed_at = None;
                let metadata = Arc::new(metadata);
                let kept = (self.clock.monotonic(), Arc::clone(&metadata));
                self.current.store(Some(Arc::new(kept)));
                Ok(metadata)
            }
            Err(error) => {
                if !too_soon {
                    *failed_at = Some(self.clock.monotonic());
                }
                self.kept(KEEP_MAX).ok_or(error)
            }
        }
    }

    fn kept(&self, at_most: Duration) -> Option<Arc<Metadata>> {
        let current = self.current.load();
        let (at, metadata) = &**current.as_ref()?;
        let age = self.clock.monotonic().saturating_duration_since(*at);
        (age < at_most).then(|| Arc::clone(metadata))
    }

    async fn ask(&self, fetcher: &Fetcher) -> Result<Metadata, ExchangeError> {
        let answered = fetcher.ask(&self.document, Ask::get()).await?;
        if answered.status != StatusCode::OK {
            return Err(ExchangeError::Metadata("it is not there"));
        }
        let document: Document = serde_json::from_slice(&answered.body)
            .map_err(|_| ExchangeError::Metadata("it cannot be read"))?;
        self.read(document)
    }

    fn read(&self, document: Document) -> Result<Metadata, ExchangeError> {
        // OpenID Connect Discovery section 4.3: byte for byte.
        if document.issuer != self.issuer {
            return Err(ExchangeError::Metadata("it is another issuer's"));
        }
        let knows_s256 = document
            .code_challenge_methods_supported
            .is_none_or(|methods| methods.iter().any(|method| method == "S256"));
        if !knows_s256 {
            return Err(ExchangeError::Metadata("it does without PKCE"));
        }
        let styles = document.token_endpoint_auth_methods_supported;
        let in_body = styles.is_some_and(|styles| {
            let has = |name: &str| styles.iter().any(|style| style == name);
            !has("client_secret_basic") && has("client_secret_post")
        });
        Ok(Metadata {
            authorize: self.address(&document.authorization_endpoint)?,
            token: self.address(&document.token_endpoint)?,
            userinfo: document
                .userinfo_endpoint
                .map(|endpoint| self.address(&endpoint))
                .transpose()?,
            keys: self.address(&document.jwks_uri)?,
            style: if in_body {
                AuthType::RequestBody
            } else {
                AuthType::BasicAuth
            },
            names_itself: document.authorization_response_iss_parameter_supported,
        })
    }

    /// An issuer out on the network has no say over our loopback.
    fn address(&self, text: &str) -> Result<Address, ExchangeError> {
        let address = Address::parse(text)?;
        if self.document.is_https() && !address.is_https() {
            return Err(ExchangeError::Metadata("it names an address without TLS"));
        }
        Ok(address)
    }
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: Option<String>,
    jwks_uri: String,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// How long after a failure nobody asks again.
const PAUSE: Duration = Duration::from_secs(3);
/// How long the last good answer is used while there is no new one.
const KEEP_MAX: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use serde_json::{Value, json};

    fn discovery(issuer: &str) -> Discovery {
        let clock = Clock::manual(Timestamp::from_seconds(0));
        Discovery::new(issuer, Duration::from_secs(60), clock).unwrap()
    }

    fn document(issuer: &str) -> Value {
        json!({
            "issuer": issuer,
            "authorization_endpoint": "https://idp.test/authorize",
            "token_endpoint": "https://idp.test/token",
            "jwks_uri": "https://idp.test/keys",
        })
    }

    fn read(document: Value) -> Result<Metadata, ExchangeError> {
        discovery("https://idp.test/t").read(serde_json::from_value(document).unwrap())
    }

    #[test]
    fn oidc_discovery_s4_3_metadata_of_another_issuer_is_refused() {
        for issuer in [
            "https://idp.test/t/",
            "https://idp.test/T",
            "https://idp.test",
            "https://evil.test/t",
        ] {
            assert!(read(document(issuer)).is_err(), "{issuer}");
        }
        let mut loopback = document("https://idp.test/t");
        loopback["token_endpoint"] = "http://127.0.0.1:1/token".into();
        assert!(read(loopback).is_err());
        let mut plain = document("https://idp.test/t");
        plain["code_challenge_methods_supported"] = json!(["plain"]);
        assert!(read(plain).is_err());
    }

    #[test]
    fn metadata_is_below_the_issuers_own_path() {
        let found = discovery("https://idp.test/t").document.to_string();
        assert_eq!(found, "https://idp.test/t/.well-known/openid-configuration");
        let metadata = read(document("https://idp.test/t")).unwrap();
        assert!(matches!(metadata.style, AuthType::BasicAuth));
    }
}
