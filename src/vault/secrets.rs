//! What callers do with secrets: put them in, get one out, remove them, see which there are.
//!
//! Writers, readers and a rotation share records without a lock. A writer reads the record that it will replace before it
//! reads the data key, and a rotation changes every record of a user after it has put a new key in place: so a write with a
//! key that is on its way out finds its record changed and is done once more. A place that is empty is reserved first, for
//! there is no other way to have it changed. A reader that finds a secret under a key that is gone reads both again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::cache::Before;
use super::data_keys::ATTEMPTS;
use super::error::{Damage, VaultError};
use super::names;
use super::records::{Envelope, SecretRecord, Stamp, UserKeyRecord};
use super::seal::{KeyId, SealKey};
use super::v1::text_of;
use super::{Place, Vault};
use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::store::{Key, Record, Revision, SCAN_MAX, record};

/// The largest secret, in bytes.
pub const VALUE_MAX_BYTES: usize = 64 * 1024;
/// How long a place stays reserved for a writer who does not come back.
const RESERVED_FOR: Duration = Duration::from_secs(60);

/// What can be seen of a secret without opening it (R085).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// Always true (R066).
    pub encrypted: bool,
    /// The cipher (R067), or that the keychain holds it.
    pub algorithm: String,
    /// The name of the key that it is sealed under (R068).
    pub key_version: String,
    /// When this value was sealed, as `2026-11-20T12:34:56Z` (R069).
    pub created_at: String,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// How often a value was sealed in this place.
    pub serial: u64,
}

/// Drops what was read before a write, however the write ends.
struct Outdates<'v>(&'v Vault, &'v str);

impl Drop for Outdates<'_> {
    fn drop(&mut self) {
        self.0.forget(self.1);
    }
}

impl Vault {
    /// Keeps a secret of a user, in place of an older one of that name, for ever or until a moment.
    ///
    /// # Errors
    /// [`VaultError`]; it is unknown then which of the two is kept.
    ///
    /// # Cancel safety
    /// A future that is dropped leaves the old secret or the new one.
    pub async fn seal(
        &self,
        user: &str,
        name: &str,
        value: Secret<String>,
        expires_at: Option<Timestamp>,
    ) -> Result<(), VaultError> {
        let (bytes, most) = (value.expose().len(), VALUE_MAX_BYTES);
        if bytes > most {
            return Err(VaultError::TooLarge { bytes, most });
        }
        let _outdated = Outdates(self, user);
        let id = names::secret_id(user, name)?;
        for _ in 0..ATTEMPTS {
            let Some((revision, serial)) = self.place_of(&id).await? else {
                continue;
            };
            let place = (user, name, id.as_str());
            if self
                .write(place, (revision, serial), &value, expires_at)
                .await?
            {
                return Ok(());
            }
        }
        Err(VaultError::Contended)
    }

    /// Keeps a secret in place of `old` and of nothing else; says whether that is what was there. For secrets that are made
    /// out of the one before: whoever signs in meanwhile is not overwritten.
    ///
    /// # Errors
    /// [`VaultError`]; it is unknown then which of the two is kept.
    ///
    /// # Cancel safety
    /// As [`Vault::seal`].
    pub async fn replace(
        &self,
        user: &str,
        name: &str,
        old: &Secret<String>,
        new: Secret<String>,
    ) -> Result<bool, VaultError> {
        let (bytes, most) = (new.expose().len(), VALUE_MAX_BYTES);
        if bytes > most {
            return Err(VaultError::TooLarge { bytes, most });
        }
        let _outdated = Outdates(self, user);
        let id = names::secret_id(user, name)?;
        for _ in 0..ATTEMPTS {
            // Seen before the secret is opened, so that one which is written in between makes the write below fail.
            let Some(seen) = self.place_of(&id).await? else {
                continue;
            };
            self.forget(user);
            let kept = self.open_secret(user, name).await?;
            if !kept.is_some_and(|kept| kept.ct_eq(old.expose().as_bytes())) {
                return Ok(false);
            }
            if self.write((user, name, &id), seen, &new, None).await? {
                return Ok(true);
            }
        }
        Err(VaultError::Contended)
    }

    /// Writes a place as it was seen; says whether it still was so.
    async fn write(
        &self,
        (user, name, id): (&str, &str, &str),
        (revision, serial): (Revision, u64),
        value: &Secret<String>,
        expires_at: Option<Timestamp>,
    ) -> Result<bool, VaultError> {
        let stamp = Stamp {
            created_at: self.clock.now().rfc3339_seconds(),
            expires_at: expires_at.map(Timestamp::millis),
            serial: serial.saturating_add(1),
        };
        let record = match &self.place {
            Place::Sealed(_) => {
                let key = self.sealing_key(user).await?;
                SecretRecord::seal(&key, (user, name), value.expose().as_bytes(), &stamp)?
            }
            Place::Keychain(_) => SecretRecord::elsewhere(stamp),
        };
        let store = self.store.as_ref();
        let written = record::replace(store, id, revision, &record, expires_at).await?;
        if let (Place::Keychain(keychain), Some(_)) = (&self.place, written) {
            keychain.set(user, name, value.clone()).await?;
        }
        Ok(written.is_some())
    }

    /// The place that is to be written: its revision, and how often it was sealed. One that is not there is reserved first
    /// and then looked at. A record that was damaged may be replaced.
    async fn place_of(&self, id: &str) -> Result<Option<(Revision, u64)>, VaultError> {
        let key = Key::new(SecretRecord::TABLE, id);
        let Some(entry) = self.store.get(&key).await? else {
            let now = self.clock.now();
            let reserved = SecretRecord::reserved(now.rfc3339_seconds());
            let end = Some(now.plus(RESERVED_FOR));
            record::create(self.store.as_ref(), id, &reserved, end).await?;
            return Ok(None);
        };
        let value: Value = serde_json::from_slice(&entry.value).unwrap_or_default();
        let serial = value.pointer("/r/serial").and_then(Value::as_u64);
        Ok(Some((entry.revision, serial.unwrap_or(0))))
    }

    /// Whether this is the user's data key now.
    pub(in crate::vault) async fn is_sealing_key(
        &self,
        user: &str,
        key: KeyId,
    ) -> Result<bool, VaultError> {
        let held = self.user_key(user).await?;
        Ok(held.is_some_and(|held| held.record.data_key == key.to_string()))
    }

    /// A secret of a user, if there is one. Leaves a line in the trail unless it was open already.
    ///
    /// # Errors
    /// [`VaultError`]; one that was tampered with is never taken for one that is not there.
    pub async fn open_secret(
        &self,
        user: &str,
        name: &str,
    ) -> Result<Option<Arc<Secret<String>>>, VaultError> {
        self.open_for(None, user, name).await
    }

    /// The same for a request, whose id goes into the line.
    ///
    /// # Errors
    /// As [`Vault::open_secret`].
    pub async fn open_for(
        &self,
        request: Option<&str>,
        user: &str,
        name: &str,
    ) -> Result<Option<Arc<Secret<String>>>, VaultError> {
        match self.cache.find(user, name) {
            Ok(value) => Ok(Some(value)),
            Err(before) => self.open_stored(before, request, user, name).await,
        }
    }

    async fn open_stored(
        &self,
        before: Before,
        request: Option<&str>,
        user: &str,
        name: &str,
    ) -> Result<Option<Arc<Secret<String>>>, VaultError> {
        let found = match self.find(user, name).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(error) => {
                self.trail.damaged(request, user, name, &error);
                return Err(error);
            }
        };
        let line = self.trail.opening(request, user, name)?;
        let key = found.record.key_version.clone();
        let end = found.record.expires_at.map(Timestamp::from_millis);
        match found.open(user, name) {
            Ok(value) => {
                line.opened(&key);
                let value = Arc::new(value);
                self.cache.keep(before, (user, name), &value, end);
                Ok(Some(value))
            }
            Err(error) => {
                line.failed(&error);
                Err(error)
            }
        }
    }

    /// A secret and the key that opens it.
    async fn find(&self, user: &str, name: &str) -> Result<Option<Found>, VaultError> {
        let id = names::secret_id(user, name)?;
        for _ in 0..ATTEMPTS {
            let held = record::get::<SecretRecord>(self.store.as_ref(), &id).await;
            let held = held.map_err(|error| VaultError::of_record(user, name, error))?;
            let now = self.clock.now();
            let Some(held) = held.filter(|held| held.record.is_there(now)) else {
                return Ok(None);
            };
            if let Place::Keychain(keychain) = &self.place {
                let value = keychain.value(user, name).await?;
                return Ok(value.map(|value| Found::new(held.record, Content::Open(value))));
            }
            let tampered = |damage| VaultError::tampered(user, name, damage);
            let envelope = held.record.envelope().map_err(tampered)?;
            // Without a data key the user was erased, and what is left of the secrets is gone with it.
            let Some(keys) = self.data_keys(user).await? else {
                return Ok(None);
            };
            if let Some(key) = keys.take(envelope.key) {
                let content = Content::Sealed(envelope, key);
                return Ok(Some(Found::new(held.record, content)));
            }
            if !self.has_changed(&id, held.revision).await? {
                return Err(tampered(Damage::ForeignKey));
            }
        }
        Err(VaultError::Contended)
    }

    async fn has_changed(&self, id: &str, since: Revision) -> Result<bool, VaultError> {
        let key = Key::new(SecretRecord::TABLE, id);
        let entry = self.store.get(&key).await?;
        Ok(entry.is_none_or(|entry| entry.revision != since))
    }

    /// Removes a secret; says whether it was there.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn remove(&self, user: &str, name: &str) -> Result<bool, VaultError> {
        let _outdated = Outdates(self, user);
        let id = names::secret_id(user, name)?;
        if let Place::Keychain(keychain) = &self.place {
            keychain.remove(user, name).await?;
        }
        Ok(record::delete::<SecretRecord>(self.store.as_ref(), &id).await?)
    }

    /// Destroys everything of a user: the data key first, so that whatever copy of the secrets there is can never be opened
    /// again, then the secrets. Says how many there were.
    ///
    /// # Errors
    /// [`VaultError`]; to be tried again then.
    pub async fn remove_all(&self, user: &str) -> Result<u64, VaultError> {
        let _outdated = Outdates(self, user);
        let store = self.store.as_ref();
        record::delete::<UserKeyRecord>(store, &names::user_id(user)?).await?;
        let prefix = names::secrets_of(user)?;
        let mut removed = 0;
        loop {
            let found = store
                .scan(SecretRecord::TABLE, &prefix, None, SCAN_MAX)
                .await?;
            if found.is_empty() {
                return Ok(removed);
            }
            for (id, _) in found {
                if let (Place::Keychain(keychain), Some((_, name))) =
                    (&self.place, names::parse(&id))
                {
                    keychain.remove(user, &name).await?;
                }
                removed += u64::from(record::delete::<SecretRecord>(store, &id).await?);
            }
        }
    }

    /// Which secrets a user has, at most [`SCAN_MAX`]; nothing is opened.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn list(&self, user: &str) -> Result<Vec<Stored>, VaultError> {
        let prefix = names::secrets_of(user)?;
        let found =
            record::scan::<SecretRecord>(self.store.as_ref(), &prefix, None, SCAN_MAX).await;
        let found = found.map_err(|error| VaultError::of_record(user, "", error))?;
        let now = self.clock.now();
        Ok(found
            .into_iter()
            .filter(|(_, held)| held.record.is_there(now))
            .filter_map(|(id, held)| Some(Stored::of(names::parse(&id)?.1, held.record)))
            .collect())
    }
}

/// A secret that was found, and what it takes to have it.
struct Found {
    record: SecretRecord,
    content: Content,
}

enum Content {
    Sealed(Envelope, SealKey),
    Open(Secret<String>),
}

impl Found {
    const fn new(record: SecretRecord, content: Content) -> Self {
        Self { record, content }
    }

    fn open(self, user: &str, name: &str) -> Result<Secret<String>, VaultError> {
        let tampered = |damage| VaultError::tampered(user, name, damage);
        match self.content {
            Content::Open(value) => Ok(value),
            Content::Sealed(envelope, key) => {
                let opened = self.record.open(&envelope, &key, (user, name));
                text_of(opened.map_err(tampered)?).ok_or_else(|| tampered(Damage::Content))
            }
        }
    }
}

impl Stored {
    fn of(name: String, record: SecretRecord) -> Self {
        Self {
            name,
            encrypted: true,
            algorithm: record.algorithm,
            key_version: record.key_version,
            created_at: record.created_at,
            expires_at: record.expires_at.map(Timestamp::from_millis),
            serial: record.serial,
        }
    }
}
