//! Where clients are found: in the settings, among the registered, and at the addresses that ids are.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::documents::Documents;
use super::metadata::About;
use super::{Client, Source};
use crate::clock::{Clock, Timestamp};
use crate::grants::opaque;
use crate::oauth::error::OauthError;
use crate::oauth::settings::Registration;
use crate::random;
use crate::store::{Held, Record, Store, StoreError, Table, record};

/// The longest `client_id` that is looked up.
const ID_MAX_BYTES: usize = 1024;
/// What the ids of records of registered clients begin with.
const REGISTERED: &str = "r/";
/// How old the count of registered clients may be.
const COUNT_AGE: Duration = Duration::from_secs(60);
/// A registration is renewed by use, once a day at most.
const RENEWAL: Duration = Duration::from_secs(86_400);
/// How long a registration may go unused before it makes room for others, where there is none.
const UNUSED_FOR: Duration = Duration::from_secs(3600);
/// How many registrations are counted at once.
const PAGE: usize = 1000;

/// A client as it is kept. Also a document about a client, and the fact that one could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::oauth) struct Kept {
    /// The `client_id`.
    pub(in crate::oauth) id: String,
    /// What it says about itself; none for a document that could not be had.
    pub(in crate::oauth) about: Option<About>,
    /// The hash of its secret.
    pub(in crate::oauth) secret: Option<String>,
    /// When it was registered or read, in milliseconds since the epoch.
    pub(in crate::oauth) created_at: i64,
    /// Until when a document need not be read again, in milliseconds since the epoch.
    #[serde(default)]
    pub(in crate::oauth) fresh_until: i64,
    /// Whether a registered client ever got a token.
    #[serde(default)]
    pub(in crate::oauth) used: bool,
}

impl Record for Kept {
    const TABLE: Table = Table::Client;
    const VERSION: u16 = 1;
}

/// All clients.
pub(in crate::oauth) struct Registry {
    known: Vec<Client>,
    registration: Option<Registration>,
    documents: Option<Documents>,
    store: Arc<dyn Store>,
    clock: Clock,
    /// How many registered clients there were, and when they were counted.
    counted: Mutex<Option<(u32, Timestamp)>>,
}

impl Registry {
    pub(in crate::oauth) fn new(
        known: Vec<Client>,
        registration: Option<Registration>,
        documents: Option<Documents>,
        store: Arc<dyn Store>,
        clock: Clock,
    ) -> Self {
        Self {
            known,
            registration,
            documents,
            store,
            clock,
            counted: Mutex::new(None),
        }
    }

    /// The rules of registration, where it is on.
    pub(in crate::oauth) const fn registration(&self) -> Option<&Registration> {
        self.registration.as_ref()
    }

    /// Documents about clients, where they are read.
    pub(in crate::oauth) const fn documents(&self) -> Option<&Documents> {
        self.documents.as_ref()
    }

    /// The client of that id. Should we have to ask for a document, it is counted to whoever asked us.
    pub(in crate::oauth) async fn find(
        &self,
        id: &str,
        asker: IpAddr,
    ) -> Result<Option<Client>, OauthError> {
        if id.len() > ID_MAX_BYTES {
            return Ok(None);
        }
        if let Some(known) = self.known.iter().find(|client| client.id == id) {
            return Ok(Some(known.clone()));
        }
        if id.starts_with(opaque::CLIENT) {
            return self.registered(id).await;
        }
        match &self.documents {
            Some(documents) if id.starts_with("https://") => documents.find(id, asker).await,
            _ => Ok(None),
        }
    }

    /// Keeps a new client. Its secret is given out once, and kept as a hash.
    pub(in crate::oauth) async fn add(
        &self,
        registration: &Registration,
        id: &str,
        about: &About,
        secret: Option<&str>,
    ) -> Result<(), OauthError> {
        self.make_room(registration).await?;
        let now = self.clock.now();
        let kept = Kept {
            id: id.to_owned(),
            about: Some(about.clone()),
            secret: secret.map(opaque::hash),
            created_at: now.millis(),
            fresh_until: 0,
            used: false,
        };
        let end = Some(now.plus(registration.lifetime));
        if record::create(&*self.store, &place(id), &kept, end).await? {
            Ok(())
        } else {
            Err(OauthError::Server)
        }
    }

    /// Notes that a registered client was used: it is kept for longer.
    pub(in crate::oauth) async fn used(&self, client: &Client) -> Result<(), StoreError> {
        let (Source::Registered, Some(registration)) = (&client.source, &self.registration) else {
            return Ok(());
        };
        let Some(held) = self.held(&client.id).await? else {
            return Ok(());
        };
        let end = self.clock.now().plus(registration.lifetime);
        let ends_soon = held
            .expires_at
            .is_some_and(|kept| kept.plus(RENEWAL) <= end);
        if ends_soon || !held.record.used {
            let id = place(&client.id);
            let kept = Kept {
                used: true,
                ..held.record
            };
            // Whoever writes in between renews it as well.
            record::replace(&*self.store, &id, held.revision, &kept, Some(end)).await?;
        }
        Ok(())
    }

    async fn registered(&self, id: &str) -> Result<Option<Client>, OauthError> {
        let Some(kept) = self.held(id).await?.map(|held| held.record) else {
            return Ok(None);
        };
        let secret = kept.secret.as_deref().and_then(from_hex);
        Ok(kept
            .about
            .and_then(|about| Client::described(id, &about, Source::Registered, secret)))
    }

    async fn held(&self, id: &str) -> Result<Option<Held<Kept>>, StoreError> {
        // What is no id of ours need not be looked up.
        match opaque::read(opaque::CLIENT, id, ID_BYTES) {
            Some(_) => record::get::<Kept>(&*self.store, &place(id)).await,
            None => Ok(None),
        }
    }

    /// Refuses when there are as many registered clients as there may be, and none of them was left unused: strangers must
    /// not be able to fill the place for months. They are counted once a minute, so that a flood of registrations is not one
    /// of scans too.
    async fn make_room(&self, registration: &Registration) -> Result<(), OauthError> {
        let mut counted = self.counted.lock().await;
        let now = self.clock.now();
        let known = counted.filter(|(_, at)| now < at.plus(COUNT_AGE));
        let (count, at) = match known {
            Some(known) => known,
            None => {
                let most = registration.max_clients;
                let count = self.count(most).await?;
                let dropped = match count >= most {
                    true => self.drop_unused(now).await?,
                    false => 0,
                };
                (count.saturating_sub(dropped), now)
            }
        };
        if count >= registration.max_clients {
            *counted = Some((count, at));
            return Err(OauthError::Slow(COUNT_AGE));
        }
        *counted = Some((count + 1, at));
        Ok(())
    }

    /// Drops the registrations that nobody used in the time that a person needs to sign in; says how many.
    async fn drop_unused(&self, now: Timestamp) -> Result<u32, StoreError> {
        let mut dropped = 0;
        let mut after: Option<String> = None;
        loop {
            let page =
                record::scan::<Kept>(&*self.store, REGISTERED, after.as_deref(), PAGE).await?;
            for (id, held) in &page {
                let registered = Timestamp::from_millis(held.record.created_at);
                if !held.record.used && registered.plus(UNUSED_FOR) <= now {
                    record::delete::<Kept>(&*self.store, id).await?;
                    dropped += 1;
                }
            }
            match page.into_iter().last() {
                Some((last, _)) => after = Some(last),
                None => return Ok(dropped),
            }
        }
    }

    async fn count(&self, most: u32) -> Result<u32, StoreError> {
        let mut count = 0;
        let mut after: Option<String> = None;
        while count < most {
            let page = self
                .store
                .scan(Table::Client, REGISTERED, after.as_deref(), PAGE)
                .await?;
            count = count.saturating_add(u32::try_from(page.len()).unwrap_or(u32::MAX));
            match page.into_iter().last() {
                Some((last, _)) => after = Some(last),
                None => break,
            }
        }
        Ok(count)
    }
}

/// Forgets a client that registered itself; says whether it was there. Its grants and tokens are ended elsewhere.
///
/// # Errors
/// [`StoreError`].
pub async fn unregister(store: &dyn Store, id: &str) -> Result<bool, StoreError> {
    record::delete::<Kept>(store, &place(id)).await
}

/// Random bytes in the id of a registered client.
pub(in crate::oauth) const ID_BYTES: usize = 16;

fn place(id: &str) -> String {
    format!("{REGISTERED}{id}")
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    (random::to_hex(&out) == text).then_some(out)
}
