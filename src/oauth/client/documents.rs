//! Client ID Metadata Documents: a client whose id is the address of a document that describes it. Reading it proves one thing
//! about the client, the host that the address names. Documents are kept as long as their server says, within bounds; so are
//! failures, for a moment.

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
use crate::oauth::throttle::Throttle;
use crate::store::{Store, record};
use crate::trust::TrustError;

/// How long the keys of a client are kept.
const KEYS_AGE: Duration = Duration::from_secs(60);
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
    pub(in crate::oauth) async fn find(&self, id: &str) -> Result<Option<Client>, OauthError> {
        // A path is needed: the document of a whole host would speak for everybody on it.
        let target = match self.guarded.target(id) {
            Ok(target) if target.has_path() => target,
            Ok(_) | Err(_) => return Ok(None),
        };
        let place = place(id);
        let kept = match record::get::<Kept>(&*self.store, &place).await? {
            Some(held) => held.record,
            None => self.read(id, &place, &target).await?,
        };
        let source = Source::Document(target.host().to_owned());
        Ok(kept
            .about
            .and_then(|about| Client::described(id, &about, source, None)))
    }

    /// The keys at a client's address.
    pub(in crate::oauth) async fn keys_at(&self, uri: &str) -> Result<Arc<KeySet>, OauthError> {
        let now = self.clock.now();
        if let Some((keys, until)) = self.keys.get(uri)
            && now < until
        {
            return Ok(keys);
        }
        let unavailable = |_: GuardedError| OauthError::Client("its keys cannot be had");
        let target = self.guarded.target(uri).map_err(unavailable)?;
        self.admit(&target).await?;
        let document = self.guarded.get(&target).await.map_err(unavailable)?;
        let keys = assertion::keys(&document.body)
            .map_err(|_| OauthError::Client("its keys cannot be used"))?;
        let keys = Arc::new(keys);
        let entry = (Arc::clone(&keys), now.plus(KEYS_AGE));
        self.keys.insert(uri.to_owned(), entry);
        Ok(keys)
    }

    async fn admit(&self, target: &Target) -> Result<(), OauthError> {
        let minute = Duration::from_secs(60);
        let limit = self.settings.per_host;
        let host = opaque::hash(&target.authority());
        self.throttle.admit("document", &host, limit, minute).await
    }

    async fn read(&self, id: &str, place: &str, target: &Target) -> Result<Kept, OauthError> {
        self.admit(target).await?;
        let (about, keep) = match self.guarded.get(target).await {
            Ok(document) => match self.check(id, &document) {
                Some(about) => (Some(about), self.keep(&document)),
                None => (None, self.settings.keep_failure),
            },
            Err(error) => {
                tracing::info!(
                    host = target.host(),
                    reason = error.reason(),
                    "client document not read"
                );
                (None, self.settings.keep_failure)
            }
        };
        let now = self.clock.now();
        let kept = Kept {
            id: id.to_owned(),
            about,
            secret: None,
            created_at: now.millis(),
        };
        record::put(&*self.store, place, &kept, Some(now.plus(keep))).await?;
        Ok(kept)
    }

    fn check(&self, id: &str, document: &Document) -> Option<About> {
        let raw: Raw = serde_json::from_slice(&document.body).ok()?;
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
