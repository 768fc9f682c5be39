//! ID tokens: a login provider's signed statement to us about who has just signed in (OpenID Connect Core section 3.1.3.7).
//! Verified by the same reader, keys and rules as access tokens, and never taken for one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use crate::clock::Clock;
use crate::fetch::Address;

use super::bearer::Bearer;
use super::claims::{Claims, Payload};
use super::discovery::JwksError;
use super::error::AuthError;
use super::header::{Algorithm, Header};
use super::jwks::Jwks;
use super::settings::{IssuerSettings, KeySource};

/// Verifies the ID tokens of one provider.
#[derive(Debug)]
pub struct IdTokens {
    jwks: Arc<Jwks>,
    issuer: String,
    client_id: String,
    leeway: Duration,
    clock: Clock,
}

/// Whose ID tokens, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// The provider's configured name.
    pub name: &'a str,
    /// Its `iss`.
    pub issuer: &'a str,
    /// The `client_id` under which it knows us.
    pub client_id: &'a str,
    /// Where its keys are.
    pub keys: &'a Address,
    /// Certificate authorities to trust instead of the system's.
    pub ca_file: Option<&'a Path>,
    /// One to trust besides the system's.
    pub extra_ca_file: Option<&'a Path>,
    /// How far clocks may differ.
    pub leeway: Duration,
}

/// What an ID token must fit beside its provider.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// The nonce that this login was begun with.
    pub nonce: &'a str,
    /// The access token that came with it.
    pub access_token: &'a str,
}

impl IdTokens {
    /// Prepares verification; loads no key yet.
    ///
    /// # Errors
    /// [`JwksError`] when it is not known whom to trust.
    pub fn new(trust: &Trust<'_>, clock: Clock) -> Result<Self, JwksError> {
        let settings = IssuerSettings {
            name: trust.name.to_owned(),
            issuer: trust.issuer.to_owned(),
            jwks: KeySource::Url(trust.keys.to_string()),
            ca_file: trust.ca_file.map(Path::to_owned),
            extra_ca_file: trust.extra_ca_file.map(Path::to_owned),
            ..IssuerSettings::default()
        };
        Ok(Self {
            jwks: Arc::new(Jwks::new(&settings, clock.clone())?),
            issuer: settings.issuer,
            client_id: trust.client_id.to_owned(),
            leeway: trust.leeway,
            clock,
        })
    }

    /// The claims of an ID token that was made for this login.
    ///
    /// # Errors
    /// [`AuthError`] with the first reason that was found.
    pub async fn verify(
        &self,
        token: &str,
        occasion: &Occasion<'_>,
    ) -> Result<Map<String, Value>, AuthError> {
        let token = Bearer::parse(token, TOKEN_MAX_BYTES)?;
        let header = Header::read(&token)?;
        if header.algorithm == Algorithm::Hs256 {
            return Err(AuthError::WrongAlgorithm);
        }
        if header.is_access_token() {
            return Err(AuthError::InvalidHeader("typ"));
        }
        let payload = Payload::read(&token)?;
        if payload.issuer()? != self.issuer {
            return Err(AuthError::WrongIssuer);
        }
        let (key, _) = self.jwks.find(&header).await?;
        key.verify(&token)?;

        let claims = Claims::read(payload)?;
        claims.check_time(self.clock.now(), self.leeway)?;
        self.check_audience(&claims)?;
        check_occasion(&claims, header.algorithm, occasion)?;
        Ok(claims.into_members())
    }

    /// The token is for us alone; where it names others too, it must say that it was issued to us.
    fn check_audience(&self, claims: &Claims) -> Result<(), AuthError> {
        let party = claims.text("azp")?;
        let audience = claims.audience();
        let ours = audience.contains(&self.client_id)
            && party.is_none_or(|party| party == self.client_id)
            && (audience.len() == 1 || party.is_some());
        if ours {
            Ok(())
        } else {
            Err(AuthError::WrongAudience)
        }
    }
}

fn check_occasion(
    claims: &Claims,
    algorithm: Algorithm,
    occasion: &Occasion<'_>,
) -> Result<(), AuthError> {
    if claims.issued_at.is_none() {
        return Err(AuthError::MissingClaim("iat"));
    }
    let nonce = claims.required("nonce")?.as_bytes();
    if !bool::from(nonce.ct_eq(occasion.nonce.as_bytes())) {
        return Err(AuthError::InvalidClaim("nonce"));
    }
    match claims.text("at_hash")? {
        Some(hash) if hash != half_hash(algorithm, occasion.access_token) => {
            Err(AuthError::InvalidClaim("at_hash"))
        }
        _ => Ok(()),
    }
}

/// The left half of the hash that belongs to the algorithm (OpenID Connect Core section 3.1.3.6).
fn half_hash(algorithm: Algorithm, text: &str) -> String {
    let digest = match algorithm {
        Algorithm::Hs256 | Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Es256 => {
            Sha256::digest(text).to_vec()
        }
        Algorithm::Es384 => Sha384::digest(text).to_vec(),
        Algorithm::EdDsa => Sha512::digest(text).to_vec(),
    };
    let (half, _) = digest.split_at(digest.len() / 2);
    URL_SAFE_NO_PAD.encode(half)
}

/// ID tokens carry groups and profiles, and are read once a login.
const TOKEN_MAX_BYTES: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oidc_core_a_3_the_hash_of_an_access_token_is_its_left_half() {
        // The example of appendix A.3.
        let hash = half_hash(
            Algorithm::Rs256,
            "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y",
        );
        assert_eq!(hash, "77QmUPtjPfzWtF2AnpK9RQ");
    }
}
