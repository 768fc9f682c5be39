//! From a bearer token to a principal. What decides is checked in the order of the seeds: signature, time, claims,
//! revocation (R116-R119). Verified tokens are remembered by their full text, and asked about time, keys and revocation
//! again at every use.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use quick_cache::sync::Cache;
use sha2::Sha256;

use crate::clock::{Clock, Timestamp};
use crate::random;

use super::bearer::Bearer;
use super::challenge::ResourceId;
use super::claims::{Claims, Payload};
use super::discovery::JwksError;
use super::error::AuthError;
use super::header::{Algorithm, Header};
use super::identity;
use super::jwk::VerificationKey;
use super::jwks::Jwks;
use super::keys::{KeyError, KeyRing};
use super::principal::{Identity, Principal};
use super::revoked::Revoked;
use super::settings::{IssuerSettings, OwnSettings, Settings};
use super::token_key::{TokenKey, TokenQuery};

/// Settings that no verifier can be made of.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Neither own tokens nor a foreign issuer.
    #[error("nobody's tokens are accepted")]
    NobodyTrusted,
    /// More leeway than R439 allows.
    #[error("a leeway of {} s is more than {} s", .0.as_secs(), Settings::LEEWAY_MAX.as_secs())]
    Leeway(Duration),
    /// An issuer's short name is empty or has other characters than letters, digits, `-`, `_` and `.`.
    #[error("`{0}` is no name for an issuer")]
    IssuerName(String),
    /// An issuer without `iss`, or two of one name or `iss`.
    #[error("the issuer `{0}` is empty or not the only one of its name")]
    Issuer(String),
    /// No algorithm, or a symmetric one.
    #[error("the issuer `{0}` needs asymmetric algorithms")]
    Algorithms(String),
    /// Our own keys cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An issuer's keys can never be loaded.
    #[error("the keys of issuer `{name}` cannot be had")]
    Jwks {
        /// The configured name of the issuer.
        name: String,
        /// Why not.
        source: JwksError,
    },
    /// No randomness for the key of the fingerprints.
    #[error(transparent)]
    Random(#[from] random::NoRandomness),
}

/// Verifies tokens. Shared by all requests.
pub struct Verifier {
    issuers: Vec<Issuer>,
    leeway: Duration,
    token_max_bytes: usize,
    clock: Clock,
    verified: Cache<TokenKey, Verified>,
    fingerprints: Hmac<Sha256>,
    revoked: Option<Arc<Revoked>>,
}

enum Issuer {
    Own(OwnSettings, KeyRing),
    Foreign(IssuerSettings, Arc<Jwks>),
}

/// A token that was verified, and what must still hold for it to be valid.
#[derive(Clone)]
struct Verified {
    principal: Arc<Principal>,
    usable_from: Option<Timestamp>,
    /// Index of the issuer, and the generation of its keys.
    issuer: usize,
    generation: u64,
}

impl Verifier {
    /// Prepares verification. Foreign keys are not loaded yet; see [`Verifier::load_keys`].
    ///
    /// # Errors
    /// [`SetupError`] for the first setting that cannot be used.
    pub fn new(settings: &Settings, clock: Clock) -> Result<Self, SetupError> {
        if settings.leeway > Settings::LEEWAY_MAX {
            return Err(SetupError::Leeway(settings.leeway));
        }
        Ok(Self {
            issuers: issuers(settings, &clock)?,
            leeway: settings.leeway,
            token_max_bytes: settings.token_max_bytes.as_usize(),
            clock,
            verified: Cache::new(settings.cache_capacity.max(1)),
            fingerprints: Hmac::new(&random::bytes::<64>()?.into()),
            revoked: None,
        })
    }

    /// The same, asking this view about every token at every request. Without one nothing can be revoked.
    pub fn watched_by(mut self, view: Arc<Revoked>) -> Self {
        self.revoked = Some(view);
        self
    }

    /// Takes the one credential of a request; see [`Bearer::from_request`].
    ///
    /// # Errors
    /// [`AuthError`] where there is not exactly one well-formed bearer token.
    pub fn bearer<'a>(
        &self,
        headers: &'a HeaderMap,
        query: Option<&str>,
    ) -> Result<Bearer<'a>, AuthError> {
        Bearer::from_request(headers, query, self.token_max_bytes)
    }

    /// The bearer of a token that was verified before, with the same certificate, and still stands. Awaits nothing, allocates nothing, and takes no
    /// lock but the read lock of one part of the cache.
    pub fn cached(&self, token: &Bearer<'_>, resource: &ResourceId) -> Option<Arc<Principal>> {
        let key = TokenQuery::of(token, resource);
        let verified = self.verified.get(&key)?;
        if self.still_stands(&verified) {
            return Some(verified.principal);
        }
        self.verified.remove(&key);
        None
    }

    /// The bearer of a token for a resource.
    ///
    /// # Errors
    /// [`AuthError`] with the first reason that was found, in the order of the module's first paragraph.
    ///
    /// # Cancel safety
    /// Nothing is held across the only await, a fetch of the issuer's keys.
    pub async fn verify(
        &self,
        token: &Bearer<'_>,
        resource: &ResourceId,
    ) -> Result<Arc<Principal>, AuthError> {
        if let Some(principal) = self.cached(token, resource) {
            return Ok(principal);
        }
        let verified = self.examine(token, resource, Duration::ZERO).await?;
        self.verified.insert(
            TokenKey::new(&TokenQuery::of(token, resource)),
            verified.clone(),
        );
        Ok(verified.principal)
    }

    /// The bearer of a token that may have expired up to `grace` ago, for whoever exchanges it for another one (C05). In
    /// everything else it must be valid.
    ///
    /// # Errors
    /// As [`Verifier::verify`].
    pub async fn verify_lapsed(
        &self,
        token: &Bearer<'_>,
        resource: &ResourceId,
        grace: Duration,
    ) -> Result<Arc<Principal>, AuthError> {
        Ok(self.examine(token, resource, grace).await?.principal)
    }

    async fn examine(
        &self,
        token: &Bearer<'_>,
        resource: &ResourceId,
        grace: Duration,
    ) -> Result<Verified, AuthError> {
        let header = Header::read(token)?;
        let payload = Payload::read(token)?;
        let (index, issuer) = self.issuer(payload.issuer()?)?;
        let (key, generation) = issuer.key(&header).await?;
        key.verify(token)?;

        let claims = Claims::read(payload)?;
        let now = self.clock.now();
        match claims.check_time(now, self.leeway) {
            Err(AuthError::Expired { expired_at })
                if now < expired_at.plus(self.leeway.saturating_add(grace)) => {}
            checked => checked?,
        }
        claims.check_audience(resource, issuer.further_audiences())?;
        let shown = token.certificate();
        match claims.certificate()? {
            Some(bound) if shown.is_none_or(|shown| shown.thumbprint() != bound) => {
                return Err(AuthError::WrongCertificate);
            }
            Some(_) | None => {}
        }
        let fingerprint = self.fingerprint(token).into();
        let identity = issuer.identity(&claims, fingerprint)?;
        let verified = Verified {
            principal: Arc::new(Principal::establish(identity).over(shown.cloned())),
            usable_from: claims.usable_from(),
            issuer: index,
            generation,
        };
        self.check_revocation(&verified.principal)?;
        Ok(verified)
    }

    /// `tok_` and 8 hex digits of a keyed hash. The key lives as long as this process (C32).
    pub fn fingerprint(&self, token: &Bearer<'_>) -> String {
        let mut mac = self.fingerprints.clone();
        mac.update(token.text().as_bytes());
        let digest = mac.finalize().into_bytes();
        let (head, _) = digest.split_at(4);
        format!("tok_{}", random::to_hex(head))
    }

    /// Loads the keys of all foreign issuers at once. Those that fail are named and tried again later.
    pub async fn load_keys(&self) -> Vec<(String, JwksError)> {
        let loads = self.key_sources().map(|jwks| async move {
            let outcome = jwks.refresh().await;
            outcome.err().map(|error| (jwks.name().to_owned(), error))
        });
        join_all(loads).await.into_iter().flatten().collect()
    }

    /// Keeps the keys of all foreign issuers fresh, for ever; `failed` is told the issuer's name and the failure.
    pub async fn keep_keys_fresh(&self, failed: impl Fn(&str, &JwksError)) {
        join_all(self.key_sources().map(|jwks| jwks.keep_fresh(&failed))).await;
    }

    /// The keys of each foreign issuer, for metrics and readiness.
    pub fn key_sources(&self) -> impl Iterator<Item = &Arc<Jwks>> {
        self.issuers.iter().filter_map(|issuer| match issuer {
            Issuer::Own(..) => None,
            Issuer::Foreign(_, jwks) => Some(jwks),
        })
    }

    /// The `iss` of everybody whose tokens are accepted, for the resource's metadata.
    pub fn authorization_servers(&self) -> impl Iterator<Item = &str> {
        self.issuers.iter().map(Issuer::iss)
    }

    /// How many verified tokens are remembered.
    pub fn remembered(&self) -> usize {
        self.verified.len()
    }

    fn issuer(&self, iss: &str) -> Result<(usize, &Issuer), AuthError> {
        self.issuers
            .iter()
            .enumerate()
            .find(|(_, issuer)| issuer.iss() == iss)
            .ok_or(AuthError::WrongIssuer)
    }

    /// What can change after a token was verified: the time, the issuer's keys, revocation.
    fn still_stands(&self, verified: &Verified) -> bool {
        let now = self.clock.now();
        let in_time = now < verified.principal.expires_at().plus(self.leeway)
            && verified
                .usable_from
                .is_none_or(|start| start <= now.plus(self.leeway));
        in_time
            && self
                .issuers
                .get(verified.issuer)
                .is_some_and(|issuer| issuer.still_trusts(verified.generation))
            && self.check_revocation(&verified.principal).is_ok()
    }

    /// The one place that is asked about every token at every request, remembered or not. Must stay synchronous and
    /// must not allocate where nothing was revoked.
    fn check_revocation(&self, principal: &Principal) -> Result<(), AuthError> {
        match &self.revoked {
            Some(view) => view.check(principal),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("issuers", &self.authorization_servers().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Issuer {
    fn iss(&self) -> &str {
        match self {
            Self::Own(settings, _) => &settings.issuer,
            Self::Foreign(settings, _) => &settings.issuer,
        }
    }

    /// The key that a header names. What the header says about algorithm and type is judged first, so that a token which
    /// cannot be valid causes no fetch.
    async fn key(&self, header: &Header) -> Result<(VerificationKey, u64), AuthError> {
        match self {
            Self::Own(_, ring) if header.algorithm == Algorithm::Hs256 => {
                Ok((ring.keys().find(header)?.clone(), 0))
            }
            Self::Foreign(settings, jwks) if settings.algorithms.contains(&header.algorithm) => {
                header.check_type(settings.typ)?;
                jwks.find(header).await
            }
            Self::Own(..) | Self::Foreign(..) => Err(AuthError::WrongAlgorithm),
        }
    }

    fn still_trusts(&self, generation: u64) -> bool {
        match self {
            Self::Own(..) => true,
            Self::Foreign(_, jwks) => jwks.still_trusts(generation),
        }
    }

    fn further_audiences(&self) -> &[String] {
        match self {
            Self::Own(..) => &[],
            Self::Foreign(settings, _) => &settings.audiences,
        }
    }

    fn identity(&self, claims: &Claims, fingerprint: Arc<str>) -> Result<Identity, AuthError> {
        match self {
            Self::Own(settings, _) => identity::of_own(claims, settings, fingerprint),
            Self::Foreign(settings, _) => {
                identity::of_foreign(claims, &settings.name, &settings.claims, fingerprint)
            }
        }
    }
}

fn issuers(settings: &Settings, clock: &Clock) -> Result<Vec<Issuer>, SetupError> {
    let mut issuers = Vec::new();
    if let Some(own) = &settings.own {
        if own.issuer.is_empty() {
            return Err(SetupError::Issuer(String::new()));
        }
        issuers.push(Issuer::Own(own.clone(), KeyRing::parse(&own.keys)?));
    }
    for issuer in &settings.issuers {
        check_issuer(issuer, &issuers)?;
        let jwks = Jwks::new(issuer, clock.clone()).map_err(|source| SetupError::Jwks {
            name: issuer.name.clone(),
            source,
        })?;
        issuers.push(Issuer::Foreign(issuer.clone(), Arc::new(jwks)));
    }
    if issuers.is_empty() {
        return Err(SetupError::NobodyTrusted);
    }
    Ok(issuers)
}

fn check_issuer(issuer: &IssuerSettings, others: &[Issuer]) -> Result<(), SetupError> {
    let name_fits = !issuer.name.is_empty()
        && issuer.name.len() <= NAME_MAX_BYTES
        && issuer
            .name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !name_fits {
        return Err(SetupError::IssuerName(issuer.name.clone()));
    }
    let taken = others.iter().any(|other| {
        other.iss() == issuer.issuer
            || matches!(other, Issuer::Foreign(other, _) if other.name == issuer.name)
    });
    if taken || issuer.issuer.is_empty() {
        return Err(SetupError::Issuer(issuer.name.clone()));
    }
    if issuer.algorithms.is_empty() || issuer.algorithms.contains(&Algorithm::Hs256) {
        return Err(SetupError::Algorithms(issuer.name.clone()));
    }
    Ok(())
}

/// Longest short name of an issuer; it stands in user ids and metric labels.
const NAME_MAX_BYTES: usize = 64;
