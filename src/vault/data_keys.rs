//! The data key of a user: found, or made at the first secret.

use super::error::VaultError;
use super::records::{DataKeys, UserKeyRecord};
use super::seal::SealKey;
use super::{Vault, names};
use crate::store::{Held, record};

/// How often writers may be in each other's way before one of them gives up.
pub(in crate::vault) const ATTEMPTS: usize = 32;

impl Vault {
    /// The sealed data keys of a user.
    pub(in crate::vault) async fn user_key(
        &self,
        user: &str,
    ) -> Result<Option<Held<UserKeyRecord>>, VaultError> {
        let id = names::user_id(user)?;
        let held = record::get(self.store.as_ref(), &id).await;
        held.map_err(|error| VaultError::of_record(user, "", error))
    }

    /// The data keys of a user, opened.
    pub(in crate::vault) async fn data_keys(
        &self,
        user: &str,
    ) -> Result<Option<DataKeys>, VaultError> {
        let Some(held) = self.user_key(user).await? else {
            return Ok(None);
        };
        self.open_user_key(&held.record, user).map(Some)
    }

    pub(in crate::vault) fn open_user_key(
        &self,
        record: &UserKeyRecord,
        user: &str,
    ) -> Result<DataKeys, VaultError> {
        let tampered = |damage| VaultError::tampered(user, "", damage);
        let masters = self.masters()?;
        let needed = record.master().map_err(tampered)?;
        let master = masters.find(needed).ok_or_else(|| VaultError::WrongKey {
            needed: needed.to_string(),
            held: masters.names(),
        })?;
        record.open(master, user).map_err(tampered)
    }

    /// The data key that seals for a user now, made if there is none.
    pub(in crate::vault) async fn sealing_key(&self, user: &str) -> Result<SealKey, VaultError> {
        for _ in 0..ATTEMPTS {
            if let Some(keys) = self.data_keys(user).await? {
                return Ok(keys.current);
            }
            let keys = DataKeys {
                current: SealKey::random()?,
                previous: None,
                created_at: self.clock.now().rfc3339_seconds(),
                renewal: None,
            };
            let sealed = UserKeyRecord::seal(&self.masters()?.current, user, &keys)?;
            let id = names::user_id(user)?;
            if record::create(self.store.as_ref(), &id, &sealed, None).await? {
                return Ok(keys.current);
            }
        }
        Err(VaultError::Contended)
    }
}
