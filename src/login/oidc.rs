//! Any OpenID provider: code flow with PKCE and nonce, ID token and userinfo verified and joined.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde_json::{Map, Value};
use url::Url;

use super::discovery::{Discovery, Metadata};
use super::error::LoginError;
use super::exchange::{Departure, ExchangeError, Party};
use super::facts::Facts;
use super::tokens::ProviderTokens;
use crate::auth::id_token::{IdTokens, Occasion, Trust};
use crate::clock::Clock;
use crate::fetch::Address;
use crate::secret::Secret;

/// One OpenID provider.
pub(super) struct Oidc {
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) scopes: Vec<String>,
    pub(super) discovery: Discovery,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) extra_ca_file: Option<PathBuf>,
    pub(super) leeway: Duration,
    pub(super) clock: Clock,
    /// The verifier of its ID tokens, made for the address at which its keys are.
    pub(super) id_tokens: ArcSwapOption<(Address, IdTokens)>,
}

/// What the browser brought back, with what this login was begun with.
pub(super) struct Return<'a> {
    pub(super) code: &'a str,
    pub(super) verifier: &'a str,
    pub(super) nonce: &'a str,
}

impl Oidc {
    /// What is asked for where the operator names nothing.
    pub(super) fn standard_scopes() -> Vec<String> {
        ["openid", "profile", "email"].map(str::to_owned).to_vec()
    }

    pub(super) async fn authorize(
        &self,
        party: &Party,
        state: &str,
        verifier: &str,
        nonce: &str,
    ) -> Result<Url, ExchangeError> {
        let metadata = self.discovery.metadata(&party.fetcher).await?;
        let departure = Departure {
            state,
            scopes: &self.scopes,
            verifier: Some(verifier),
            extra: &[("nonce", nonce)],
        };
        party.authorize(&metadata.authorize, &departure)
    }

    /// Whether an answer that names this issuer, or none, may be this provider's (RFC 9207 section 2.4).
    pub(super) async fn is_from_here(
        &self,
        party: &Party,
        named: Option<&str>,
    ) -> Result<bool, ExchangeError> {
        match named {
            Some(issuer) => Ok(issuer == self.issuer),
            None => {
                let metadata = self.discovery.metadata(&party.fetcher).await?;
                Ok(!metadata.names_itself)
            }
        }
    }

    pub(super) async fn identify(
        &self,
        party: &Party,
        back: &Return<'_>,
    ) -> Result<(Facts, ProviderTokens), LoginError> {
        let metadata = self.metadata(party).await?;
        let style = metadata.style.clone();
        let granted = party
            .exchange(
                &metadata.token,
                style,
                back.code,
                Some(back.verifier),
                self.clock.now(),
            )
            .await
            .map_err(|source| self.failed(source))?;
        let id_token = granted
            .id_token
            .ok_or(LoginError::Profile("there is no id token"))?;
        let occasion = Occasion {
            nonce: back.nonce,
            access_token: granted.tokens.access_token.expose(),
        };
        let mut claims = self
            .verifier(party, &metadata)?
            .1
            .verify(id_token.expose(), &occasion)
            .await
            .map_err(LoginError::IdToken)?;
        if let Some(endpoint) = &metadata.userinfo {
            let token = &granted.tokens.access_token;
            self.add_userinfo(party, endpoint, token, &mut claims)
                .await?;
        }
        Ok((facts(claims)?, granted.tokens))
    }

    pub(super) async fn renew(
        &self,
        party: &Party,
        refresh_token: &Secret<String>,
    ) -> Result<ProviderTokens, ExchangeError> {
        let metadata = self.discovery.metadata(&party.fetcher).await?;
        let style = metadata.style.clone();
        let now = self.clock.now();
        let renewed = party
            .renew(&metadata.token, style, refresh_token, now)
            .await?;
        Ok(renewed.tokens)
    }

    async fn metadata(&self, party: &Party) -> Result<Arc<Metadata>, LoginError> {
        let metadata = self.discovery.metadata(&party.fetcher).await;
        metadata.map_err(|source| self.failed(source))
    }

    fn verifier(
        &self,
        party: &Party,
        metadata: &Metadata,
    ) -> Result<Arc<(Address, IdTokens)>, LoginError> {
        if let Some(known) = self.id_tokens.load_full()
            && known.0 == metadata.keys
        {
            return Ok(known);
        }
        let trust = Trust {
            name: &self.name,
            issuer: &self.issuer,
            client_id: party.client_id(),
            keys: &metadata.keys,
            ca_file: self.ca_file.as_deref(),
            extra_ca_file: self.extra_ca_file.as_deref(),
            leeway: self.leeway,
        };
        let made = IdTokens::new(&trust, self.clock.clone())
            .map_err(|source| self.failed(source.into()))?;
        let made = Arc::new((metadata.keys.clone(), made));
        self.id_tokens.store(Some(Arc::clone(&made)));
        Ok(made)
    }

    /// Adds what the userinfo endpoint says and the ID token does not. It must be about the same person (OpenID Connect
    /// Core section 5.3.2).
    async fn add_userinfo(
        &self,
        party: &Party,
        endpoint: &Address,
        token: &Secret<String>,
        claims: &mut Map<String, Value>,
    ) -> Result<(), LoginError> {
        let line = Secret::new(format!("Bearer {}", token.expose()));
        let said = party
            .read(endpoint, line.expose(), "application/json")
            .await
            .map_err(|source| self.failed(source))?;
        let Value::Object(said) = said else {
            return Err(LoginError::Profile("userinfo is no object"));
        };
        let subject = said.get("sub").and_then(Value::as_str);
        if subject.is_none() || subject != claims.get("sub").and_then(Value::as_str) {
            return Err(LoginError::Profile("userinfo is about somebody else"));
        }
        // An address and the word on whether it was verified belong together: neither is taken from elsewhere.
        let has_email = claims.contains_key("email");
        for (name, value) in said {
            if !(has_email && name == "email_verified") {
                claims.entry(name).or_insert(value);
            }
        }
        Ok(())
    }

    fn failed(&self, source: ExchangeError) -> LoginError {
        LoginError::Exchange {
            provider: self.name.clone(),
            source,
        }
    }
}

fn facts(claims: Map<String, Value>) -> Result<Facts, LoginError> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    // Some providers write the word as text.
    let verified = claims.get("email_verified");
    let denied = verified.is_some_and(|word| *word == false || *word == "false");
    Ok(Facts {
        subject: text("sub").ok_or(LoginError::Profile("there is no subject"))?,
        name: text("preferred_username")
            .or_else(|| text("name"))
            .or_else(|| text("nickname")),
        email: text("email").filter(|_| !denied),
        email_verified: verified.is_some_and(|word| *word == true || *word == "true"),
        teams: Vec::new(),
        claims,
    })
}
