//! Client ID Metadata Documents: a client whose id is the address of a document that describes it. Reading it proves one thing
//! about the client, the host that the address names. Documents are kept as long as their server says, within bounds; so are
//! failures, for a moment.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;

use super::metadata::{About, Method, Raw, Rules};
use super::registry::Kept;
use super::{Client, Source};
use crate::auth::assertion;
use crate::auth::keys::KeySet;
use crate::clock::{Clock, Timestamp};
use crate::grants::opaque;
use crate::oauth::error::OauthError;
use crate::oauth::guarded::{Document, Guarded, GuardedError, Target};
use crate::oauth::settings;
use crate::oauth::throttle::{Throttle, network};
use crate::store::{Store, record};
use crate::trust::TrustError;

/// How long the keys of a client are kept.
const KEYS_AGE: Duration = Duration::from_secs(60);
/// In which time asking is counted.
const MINUTE: Duration = Duration::from_secs(60);
/// How often a document that is known is read again in that time, which is once unless many ask in one moment.
const KNOWN_MAX: u64 = 10;
/// Of how many clients.
const KEYS_MAX: usize = 256;

/// Documents about clients.
pub(in crate::oauth) struct Documents {
    settings: settings::Documents,
    guarded: Guarded,
    throttle: Throttle,
    store: Arc<dyn Store>,
    clock: Clock,
    keys: Cache<String, (Arc<KeySet>, Timestamp)>,
}

impl Documents {
    pub(in crate::oauth) fn new(
        settings: settings::Documents,
        throttle: Throttle,
        store: Arc<dyn Store>,
        clock: Clock,
    ) -> Result<Self, TrustError> {
        let guarded = Guarded::new(
            settings.allow_hosts.clone(),
            settings.ca_file.as_deref(),
            settings.timeout,
            settings.max_bytes.as_usize(),
        )?;
        Ok(Self {
            settings,
            guarded,
            throttle,
            store,
            clock,
            keys: Cache::new(KEYS_MAX),
        })
    }

    /// What may be asked.
    pub(in crate::oauth) const fn guarded(&self) -> &Guarded {
        &self.guarded
    }

    /// The client whose document is at that address.
    pub(in crate::oauth) async fn find(
        &self,
        id: &str,
        asker: IpAddr,
    ) -> Result<Option<Client>, OauthError> {
        // A path is needed: the document of a whole host would speak for everybody on it.
        let target = match self.guarded.target(id) {
            Ok(target) if target.has_path() => target,
            Ok(_) | Err(_) => return Ok(None),
        };
        let place = place(id);
        let held = record::get::<Kept>(&*self.store, &place).await?;
        let held = held.map(|held| held.record);
        let now = self.clock.now().millis();
        let kept = match held {
            Some(kept) if now < kept.fresh_until => kept,
            other => self.read(id, &place, &target, other, asker).await?,
        };
        let source = Source::Document(target.authority());
        Ok(kept
            .about
            .and_then(|about| Client::described(id, &about, source, None)))
    }

    /// The keys at a client's address.
    pub(in crate::oauth) async fn keys_at(
        &self,
        uri: &str,
        asker: IpAddr,
    ) -> Result<Arc<KeySet>, OauthError> {
        let now = self.clock.now();
        if let Some((keys, until)) = self.keys.get(uri)
            && now < until
        {
            return Ok(keys);
        }
        let unavailable = |_: GuardedError| OauthError::Client("its keys cannot be had");
        let target = self.guarded.target(uri).map_err(unavailable)?;
        self.admit(&target, None, asker).await?;
        let document = self.guarded.get(&target).await.map_err(unavailable)?;
        let keys = assertion::keys(&document.body)
            .map_err(|_| OauthError::Client("its keys cannot be used"))?;
        let keys = Arc::new(keys);
        let entry = (Arc::clone(&keys), now.plus(KEYS_AGE));
        self.keys.insert(uri.to_owned(), entry);
        Ok(keys)
    }

    /// Counts one question. A document that was there before is counted by itself: strangers who name others on its host
    /// must not keep it from being read again.
    async fn admit(
        &self,
        target: &Target,
        known: Option<&Kept>,
        asker: IpAddr,
    ) -> Result<(), OauthError> {
        let throttle = &self.throttle;
        let asker = network(asker);
        let limit = self.settings.per_address;
        throttle.admit("asker", &asker, limit, MINUTE).await?;
        if let Some(known) = known {
            let id = opaque::hash(&known.id);
            return throttle.admit("known", &id, KNOWN_MAX, MINUTE).await;
        }
        let host = opaque::hash(&target.authority());
        let limit = self.settings.per_host;
        throttle.admit("document", &host, limit, MINUTE).await
    }

    /// Reads a document and keeps it; also that it could not be had.
    async fn read(
        &self,
        id: &str,
        place: &str,
        target: &Target,
        older: Option<Kept>,
        asker: IpAddr,
    ) -> Result<Kept, OauthError> {
        let known = older.as_ref().filter(|older| older.about.is_some());
        self.admit(target, known, asker).await?;
        let now = self.clock.now();
        let fetched = self.guarded.get(target).await;
        let failure = self.settings.keep_failure;
        let (about, read_at, keep) = match (fetched, older) {
            (Ok(document), _) => match self.check(id, &document) {
                Some(about) => (Some(about), now, self.keep(&document)),
                None => (None, now, failure),
            },
            (Err(error), older) => {
                let (host, reason) = (target.host(), error.reason());
                tracing::info!(host, reason, "client document not read");
                match older.filter(|older| error.is_passing() && self.is_usable(older)) {
                    Some(older) => {
                        let read_at = Timestamp::from_millis(older.created_at);
                        (older.about, read_at, failure)
                    }
                    None => (None, now, failure),
                }
            }
        };
        let kept = Kept {
            id: id.to_owned(),
            about,
            secret: None,
            created_at: read_at.millis(),
            fresh_until: now.plus(keep).millis(),
            used: false,
        };
        let end = now.plus(keep).plus(self.settings.keep_stale);
        record::put(&*self.store, place, &kept, Some(end)).await?;
        Ok(kept)
    }

    /// Whether a document that was read may stand in for one that cannot be.
    fn is_usable(&self, kept: &Kept) -> bool {
        let longest = self.settings.keep_max + self.settings.keep_stale;
        let read_at = Timestamp::from_millis(kept.created_at);
        kept.about.is_some() && self.clock.now() < read_at.plus(longest)
    }

    fn check(&self, id: &str, document: &Document) -> Option<About> {
        let raw = Raw::parse(&document.body)?;
        // The address speaks for itself only: a document that names another id was copied from there.
        if raw.client_id.as_deref() != Some(id) || raw.client_name.is_none() {
            return None;
        }
        let rules = Rules {
            default_method: Method::None,
            secrets: false,
            guarded: Some(&self.guarded),
        };
        rules.check(&raw).ok()
    }

    fn keep(&self, document: &Document) -> Duration {
        let (least, most) = (self.settings.keep_min, self.settings.keep_max);
        let asked = document.max_age.unwrap_or(least);
        asked.max(least).min(most)
    }
}

fn place(id: &str) -> String {
    format!("d/{}", opaque::hash(id))
}
