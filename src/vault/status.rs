//! What is in the vault, counted: how much is sealed under which key, and which key can go.

use std::collections::{BTreeMap, VecDeque};

use super::error::VaultError;
use super::names;
use super::records::{CURSOR, CursorRecord, SecretRecord, UserKeyRecord};
use super::rotate::Progress;
use super::unlock::known;
use super::{Keeping, Place, Vault};
use crate::store::{Record, SCAN_MAX, StoreError, record};

/// What is in the vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Where credentials are kept.
    pub keeping: Keeping,
    /// The master keys that the store knows or that something is sealed under, by name.
    pub keys: Vec<KeyStatus>,
    /// Users with a data key.
    pub users: u64,
    /// Secrets of all users.
    pub secrets: u64,
    /// Users whose data key is being replaced.
    pub half_renewed: u64,
    /// Users whose record cannot be read.
    pub damaged: u64,
    /// A rotation that was not finished.
    pub rotation: Option<Progress>,
}

/// One master key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyStatus {
    /// Its name.
    pub name: String,
    /// How it is made, where the store knows it.
    pub derivation: Option<String>,
    /// When the store got to know it (R087).
    pub created_at: Option<String>,
    /// Since when it seals nothing any more.
    pub retired_at: Option<String>,
    /// It seals now.
    pub is_current: bool,
    /// It was given to this process.
    pub is_given: bool,
    /// Users whose data key is sealed under it.
    pub users: u64,
    /// Secrets of those users.
    pub secrets: u64,
}

impl KeyStatus {
    /// Nothing needs it any more.
    pub const fn may_be_removed(&self) -> bool {
        !self.is_current && self.users == 0
    }
}

/// All users that have a data key, one after the other.
pub(in crate::vault) struct Users<'v> {
    vault: &'v Vault,
    after: Option<String>,
    page: VecDeque<String>,
}

impl<'v> Users<'v> {
    pub(in crate::vault) const fn new(vault: &'v Vault) -> Self {
        Self {
            vault,
            after: None,
            page: VecDeque::new(),
        }
    }

    /// The next id, and its record unless that cannot be read.
    pub(in crate::vault) async fn next(
        &mut self,
    ) -> Result<Option<(String, Option<UserKeyRecord>)>, VaultError> {
        let store = self.vault.store.as_ref();
        loop {
            if self.page.is_empty() {
                let after = self.after.as_deref();
                let found = store
                    .scan(UserKeyRecord::TABLE, "", after, SCAN_MAX)
                    .await?;
                self.page.extend(found.into_iter().map(|(id, _)| id));
            }
            let Some(id) = self.page.pop_front() else {
                return Ok(None);
            };
            self.after = Some(id.clone());
            match record::get::<UserKeyRecord>(store, &id).await {
                Ok(Some(held)) => {
                    let record = held.record;
                    let readable = record.master().is_ok();
                    return Ok(Some((id, readable.then_some(record))));
                }
                Ok(None) => {}
                Err(StoreError::Corrupt { .. }) => return Ok(Some((id, None))),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Vault {
    /// Counts everything. Reads every record once and opens none.
    ///
    /// # Errors
    /// [`VaultError`] when the store cannot be read.
    pub async fn status(&self) -> Result<Status, VaultError> {
        let mut status = Status {
            keeping: self.keeping,
            keys: Vec::new(),
            users: 0,
            secrets: 0,
            half_renewed: 0,
            damaged: 0,
            rotation: self.unfinished().await?,
        };
        let mut keys = self.key_list().await?;
        if let Place::Keychain(_) = &self.place {
            status.secrets = self.count_secrets("").await?;
        }
        let mut users = Users::new(self);
        while let Some((id, record)) = users.next().await? {
            status.users += 1;
            let secrets = self.count_secrets(&format!("{id}/")).await?;
            status.secrets += secrets;
            let Some(record) = record else {
                status.damaged += 1;
                continue;
            };
            status.half_renewed += u64::from(record.is_half_renewed());
            let key = keys.entry(record.key_version).or_default();
            key.users += 1;
            key.secrets += secrets;
        }
        status.keys = keys
            .into_iter()
            .map(|(name, key)| KeyStatus { name, ..key })
            .collect();
        Ok(status)
    }

    async fn key_list(&self) -> Result<BTreeMap<String, KeyStatus>, VaultError> {
        let mut keys: BTreeMap<String, KeyStatus> = known(self.store.as_ref())
            .await?
            .into_iter()
            .map(|(name, record)| {
                let key = KeyStatus {
                    derivation: Some(record.derivation),
                    created_at: Some(record.created_at),
                    retired_at: record.retired_at,
                    ..KeyStatus::default()
                };
                (name, key)
            })
            .collect();
        if let Place::Sealed(masters) = &self.place {
            for key in masters.iter() {
                let entry = keys.entry(key.id().to_string()).or_default();
                entry.is_given = true;
                entry.is_current = key.id() == masters.current.id();
            }
        }
        Ok(keys)
    }

    async fn unfinished(&self) -> Result<Option<Progress>, VaultError> {
        match record::get::<CursorRecord>(self.store.as_ref(), CURSOR).await {
            Ok(held) => Ok(held.map(|held| Progress {
                users: held.record.users,
                secrets: held.record.secrets,
                ..Progress::default()
            })),
            // It is written anew by the next rotation.
            Err(StoreError::Corrupt { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn count_secrets(&self, prefix: &str) -> Result<u64, VaultError> {
        let (mut count, mut after) = (0, None::<String>);
        loop {
            let store = self.store.as_ref();
            let found = store
                .scan(SecretRecord::TABLE, prefix, after.as_deref(), SCAN_MAX)
                .await?;
            let Some((last, _)) = found.last() else {
                return Ok(count);
            };
            count += found.len() as u64;
            after = Some(last.clone());
        }
    }

    /// The users that have secrets, for whoever erases or exports them; at most [`SCAN_MAX`] after `after`.
    ///
    /// # Errors
    /// [`VaultError`] when the store cannot be read.
    pub async fn users(&self, after: Option<&str>) -> Result<Vec<String>, VaultError> {
        let after = after.map(names::user_id).transpose()?;
        let store = self.store.as_ref();
        let found = store
            .scan(UserKeyRecord::TABLE, "", after.as_deref(), SCAN_MAX)
            .await?;
        Ok(found
            .iter()
            .filter_map(|(id, _)| names::parse_user(id))
            .collect())
    }
}
