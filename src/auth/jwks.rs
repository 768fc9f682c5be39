//! The keys of one foreign issuer, kept fresh: readers take the current set without a lock, one fetch runs at a time, the
//! last good set outlives an outage, and unknown key ids cause no more than one fetch per floor.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::fetch::Address;

use super::discovery::{Documents, JwksError};
use super::error::AuthError;
use super::header::{Algorithm, Header};
use super::jwk::VerificationKey;
use super::keys::KeySet;
use super::settings::{FetchSettings, IssuerSettings, KeySource};

/// The keys of one foreign issuer.
pub struct Jwks {
    name: String,
    issuer: String,
    source: Source,
    allowed: Vec<Algorithm>,
    limits: FetchSettings,
    clock: Clock,
    current: ArcSwapOption<Loaded>,
    errors: AtomicU64,
    loaded: AtomicUsize,
    /// Held while fetching. When the last fetch began or, once it is over, ended; so those who waited for it do not fetch
    /// again.
    turn: Mutex<Option<Instant>>,
}

enum Source {
    File(std::path::PathBuf),
    At(Documents, Address),
    Discovered(Documents),
}

struct Loaded {
    keys: KeySet,
    /// Changes whenever the document does, so that what was verified under an older one is verified again.
    generation: u64,
    digest: [u8; 32],
    at: Instant,
}

impl Jwks {
    /// Prepares the keys of an issuer; loads nothing yet.
    ///
    /// # Errors
    /// [`JwksError`] when an address or the CA file cannot be used.
    pub fn new(settings: &IssuerSettings, clock: Clock) -> Result<Self, JwksError> {
        let fetcher = || {
            Documents::new(
                settings.ca_file.as_deref(),
                settings.extra_ca_file.as_deref(),
                &settings.fetch,
            )
        };
        let source = match &settings.jwks {
            KeySource::File(path) => Source::File(path.clone()),
            KeySource::Url(url) => Source::At(fetcher()?, Address::parse(url)?),
            KeySource::Discover => {
                Address::parse(&settings.issuer)?;
                Source::Discovered(fetcher()?)
            }
        };
        Ok(Self {
            name: settings.name.clone(),
            issuer: settings.issuer.clone(),
            source,
            allowed: settings.algorithms.clone(),
            limits: settings.fetch.clone(),
            clock,
            current: ArcSwapOption::empty(),
            errors: AtomicU64::new(0),
            loaded: AtomicUsize::new(0),
            turn: Mutex::new(None),
        })
    }

    /// The configured name of the issuer, fit for a metric label.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Fetches that failed since the start.
    pub fn refresh_errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Keys that can verify tokens at the moment.
    pub fn keys_loaded(&self) -> usize {
        self.loaded.load(Ordering::Relaxed)
    }

    /// How long ago the keys were last fetched; none where they never were.
    pub fn age(&self) -> Option<Duration> {
        let loaded = self.current.load();
        let at = loaded.as_ref()?.at;
        Some(self.clock.monotonic().saturating_duration_since(at))
    }

    /// Are the keys of this generation still the current ones, and not too old? What was verified under others must be
    /// verified again.
    pub(in crate::auth) fn still_trusts(&self, generation: u64) -> bool {
        let loaded = self.current.load();
        loaded
            .as_ref()
            .is_some_and(|loaded| loaded.generation == generation && self.is_kept(loaded))
    }

    fn is_kept(&self, loaded: &Loaded) -> bool {
        self.clock.monotonic().saturating_duration_since(loaded.at) <= self.limits.keep
    }

    /// The key that a header names, fetching anew where it is not among those at hand and the floor allows it. Says
    /// under which generation the key was found.
    ///
    /// # Cancel safety
    /// The fetch runs to its end even if the caller goes away, so that nobody can keep it from happening by hanging up.
    pub(in crate::auth) async fn find(
        self: &Arc<Self>,
        header: &Header,
    ) -> Result<(VerificationKey, u64), AuthError> {
        match self.at_hand(header) {
            Err(AuthError::UnknownKey | AuthError::KeysUnavailable) => {}
            found => return found,
        }
        let fetching = Arc::clone(self);
        // The task ends early only if it panics or the runtime stops; what is at hand then decides.
        let _ = tokio::spawn(async move { fetching.refresh_where_due().await }).await;
        self.at_hand(header)
    }

    fn at_hand(&self, header: &Header) -> Result<(VerificationKey, u64), AuthError> {
        let loaded = self.current.load();
        let loaded = loaded
            .as_ref()
            .filter(|loaded| self.is_kept(loaded))
            .ok_or(AuthError::KeysUnavailable)?;
        Ok((loaded.keys.find(header)?.clone(), loaded.generation))
    }

    /// Fetches the keys now, whatever the floor says; for the start, the background and an operator's reload.
    ///
    /// # Errors
    /// [`JwksError`] when the keys could not be loaded; those at hand stay.
    pub async fn refresh(&self) -> Result<(), JwksError> {
        let mut turn = self.turn.lock().await;
        self.load(&mut turn).await
    }

    /// Refreshes for ever: after each good fetch at the configured interval, after a failure as soon as the floor
    /// allows. `failed` is told of each failure.
    pub async fn keep_fresh(&self, failed: impl Fn(&str, &JwksError)) {
        loop {
            let pause = match self.age() {
                Some(age) if age < self.limits.refresh => self.limits.refresh - age,
                _ => self.limits.floor,
            };
            tokio::time::sleep(pause.max(PAUSE_MIN)).await;
            if let Err(error) = self.refresh().await {
                failed(&self.name, &error);
            }
        }
    }

    async fn refresh_where_due(&self) {
        let mut turn = self.turn.lock().await;
        let now = self.clock.monotonic();
        let too_soon =
            turn.is_some_and(|last| now.saturating_duration_since(last) < self.limits.floor);
        if !too_soon {
            // The failure is counted, and the caller's token is refused for want of a key.
            let _ = self.load(&mut turn).await;
        }
    }

    async fn load(&self, turn: &mut Option<Instant>) -> Result<(), JwksError> {
        *turn = Some(self.clock.monotonic());
        let loaded = self.document().await.and_then(|document| {
            let keys = KeySet::parse(&document, &self.allowed, &self.limits)?;
            Ok((keys, Sha256::digest(&document).into()))
        });
        let outcome = loaded.map(|(keys, digest)| self.install(keys, digest));
        if outcome.is_err() {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        *turn = Some(self.clock.monotonic());
        outcome
    }

    fn install(&self, keys: KeySet, digest: [u8; 32]) {
        let before = self.current.load();
        let generation = match before.as_ref() {
            None => 0,
            Some(before) if before.digest == digest => before.generation,
            Some(before) => before.generation.wrapping_add(1),
        };
        self.loaded.store(keys.len(), Ordering::Relaxed);
        self.current.store(Some(Arc::new(Loaded {
            keys,
            generation,
            digest,
            at: self.clock.monotonic(),
        })));
    }

    async fn document(&self) -> Result<Bytes, JwksError> {
        match &self.source {
            Source::File(path) => read(path, self.limits.document_max_bytes.as_u64()).await,
            Source::At(fetcher, address) => fetcher.fetch(address).await,
            Source::Discovered(fetcher) => {
                fetcher.fetch(&fetcher.discover(&self.issuer).await?).await
            }
        }
    }
}

impl std::fmt::Debug for Jwks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jwks")
            .field("name", &self.name)
            .field("keys", &self.keys_loaded())
            .finish_non_exhaustive()
    }
}

/// Whatever the settings say, the background does not ask without pause.
const PAUSE_MIN: Duration = Duration::from_millis(100);

async fn read(path: &Path, max_bytes: u64) -> Result<Bytes, JwksError> {
    let unreadable = |source| JwksError::File {
        path: path.to_owned(),
        source,
    };
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let mut document = Vec::new();
    let length = file
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut document)
        .await
        .map_err(unreadable)?;
    if length as u64 > max_bytes {
        return Err(JwksError::TooLarge(path.display().to_string()));
    }
    Ok(document.into())
}
