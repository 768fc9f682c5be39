//! What the vault keeps in the store, with everything beside the envelopes in the clear bound into them: a date or an owner
//! that is changed makes the envelope one of another place.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::error::{Damage, VaultError};
use super::seal::{ALGORITHM, KeyId, Place, Purpose, SealKey, key_of};
use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::store::{Record, Table};

/// What stands in place of the cipher when the system's keychain holds the value.
const IN_KEYCHAIN: &str = "system keychain";

/// What stands there while a place is only reserved.
const RESERVED: &str = "reserved";

/// A secret: the metadata of the seed (R066-R069), and the envelope.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vault) struct SecretRecord {
    encrypted: bool,
    pub(in crate::vault) algorithm: String,
    pub(in crate::vault) key_version: String,
    pub(in crate::vault) created_at: String,
    /// Milliseconds since the epoch.
    pub(in crate::vault) expires_at: Option<i64>,
    /// How often something was sealed here.
    pub(in crate::vault) serial: u64,
    sealed: String,
}

impl Record for SecretRecord {
    const TABLE: Table = Table::Secret;
    const VERSION: u16 = 1;
}

impl SecretRecord {
    /// Seals a value.
    pub(in crate::vault) fn seal(
        key: &SealKey,
        (user, name): (&str, &str),
        value: &[u8],
        stamp: &Stamp,
    ) -> Result<Self, VaultError> {
        let facts = stamp.facts();
        let sealed = key.seal(&secret_place(user, name, &as_refs(&facts)), value)?;
        Ok(Self {
            encrypted: true,
            algorithm: ALGORITHM.into(),
            key_version: key.id().to_string(),
            created_at: stamp.created_at.clone(),
            expires_at: stamp.expires_at,
            serial: stamp.serial,
            sealed: STANDARD.encode(sealed),
        })
    }

    /// Keeps a place for a writer, so that there is something that a rotation can change.
    pub(in crate::vault) fn reserved(created_at: String) -> Self {
        Self {
            encrypted: true,
            algorithm: RESERVED.into(),
            key_version: RESERVED.into(),
            created_at,
            expires_at: None,
            serial: 0,
            sealed: String::new(),
        }
    }

    pub(in crate::vault) fn is_reserved(&self) -> bool {
        self.algorithm == RESERVED && self.sealed.is_empty()
    }

    /// Says that the keychain holds the value.
    pub(in crate::vault) fn elsewhere(stamp: Stamp) -> Self {
        Self {
            encrypted: true,
            algorithm: IN_KEYCHAIN.into(),
            key_version: IN_KEYCHAIN.into(),
            created_at: stamp.created_at,
            expires_at: stamp.expires_at,
            serial: stamp.serial,
            sealed: String::new(),
        }
    }

    /// The envelope, if everything beside it can be so.
    pub(in crate::vault) fn envelope(&self) -> Result<Envelope, Damage> {
        if !self.encrypted {
            return Err(Damage::Metadata);
        }
        Envelope::read(&self.sealed, &self.algorithm, &self.key_version)
    }

    /// The value. The envelope must be the record's own.
    pub(in crate::vault) fn open(
        &self,
        envelope: &Envelope,
        key: &SealKey,
        (user, name): (&str, &str),
    ) -> Result<Secret<Vec<u8>>, Damage> {
        let facts = self.stamp().facts();
        Ok(key.open(&secret_place(user, name, &as_refs(&facts)), &envelope.bytes)?)
    }

    pub(in crate::vault) fn stamp(&self) -> Stamp {
        Stamp {
            created_at: self.created_at.clone(),
            expires_at: self.expires_at,
            serial: self.serial,
        }
    }

    /// Whether somebody who looks for the secret finds one.
    pub(in crate::vault) fn is_there(&self, now: Timestamp) -> bool {
        !self.is_reserved() && self.expires_at.is_none_or(|end| now.millis() < end)
    }
}

/// When and how a secret was sealed.
#[derive(Clone, Debug)]
pub(in crate::vault) struct Stamp {
    pub(in crate::vault) created_at: String,
    pub(in crate::vault) expires_at: Option<i64>,
    pub(in crate::vault) serial: u64,
}

impl Stamp {
    fn facts(&self) -> [String; 3] {
        let end = self
            .expires_at
            .map_or("never".into(), |end| end.to_string());
        [self.created_at.clone(), end, self.serial.to_string()]
    }
}

fn as_refs(facts: &[String; 3]) -> [&str; 3] {
    facts.each_ref().map(String::as_str)
}

const fn secret_place<'p>(user: &'p str, record: &'p str, facts: &'p [&'p str]) -> Place<'p> {
    Place {
        purpose: Purpose::Secret,
        user,
        record,
        facts,
    }
}

/// An envelope whose metadata say the same as it does.
#[derive(Debug)]
pub(in crate::vault) struct Envelope {
    pub(in crate::vault) key: KeyId,
    bytes: Vec<u8>,
}

impl Envelope {
    fn read(base64: &str, algorithm: &str, key_version: &str) -> Result<Self, Damage> {
        let bytes = STANDARD.decode(base64).map_err(|_| Damage::Unreadable)?;
        let key = key_of(&bytes)?;
        if algorithm != ALGORITHM || key_version != key.to_string() {
            return Err(Damage::Metadata);
        }
        Ok(Self { key, bytes })
    }
}

/// A user's data key, sealed under a master key; and the one before it, while secrets are still sealed under that.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vault) struct UserKeyRecord {
    encrypted: bool,
    algorithm: String,
    /// The master key.
    pub(in crate::vault) key_version: String,
    pub(in crate::vault) created_at: String,
    /// The name of the data key in use.
    pub(in crate::vault) data_key: String,
    /// The renewal that made it.
    pub(in crate::vault) renewal: Option<String>,
    sealed: String,
    previous: Option<String>,
}

impl Record for UserKeyRecord {
    const TABLE: Table = Table::UserKey;
    const VERSION: u16 = 1;
}

/// The data keys of a user, open.
#[derive(Debug)]
pub(in crate::vault) struct DataKeys {
    pub(in crate::vault) current: SealKey,
    pub(in crate::vault) previous: Option<SealKey>,
    pub(in crate::vault) created_at: String,
    pub(in crate::vault) renewal: Option<String>,
}

impl DataKeys {
    /// The data key of that name.
    pub(in crate::vault) fn take(self, id: KeyId) -> Option<SealKey> {
        std::iter::once(self.current)
            .chain(self.previous)
            .find(|key| key.id() == id)
    }
}

impl UserKeyRecord {
    /// Seals the data keys of a user.
    pub(in crate::vault) fn seal(
        master: &SealKey,
        user: &str,
        keys: &DataKeys,
    ) -> Result<Self, VaultError> {
        let id = keys.current.id().to_string();
        let facts = [
            keys.created_at.as_str(),
            keys.renewal.as_deref().unwrap_or(""),
        ];
        let wrap = |purpose, key: &SealKey| {
            let place = Place {
                purpose,
                user,
                record: &id,
                facts: &facts,
            };
            key.wrap(master, &place)
                .map(|sealed| STANDARD.encode(sealed))
        };
        let sealed = wrap(Purpose::DataKey, &keys.current)?;
        let previous = keys.previous.as_ref();
        let previous = previous.map(|key| wrap(Purpose::PreviousDataKey, key));
        Ok(Self {
            encrypted: true,
            algorithm: ALGORITHM.into(),
            key_version: master.id().to_string(),
            created_at: keys.created_at.clone(),
            renewal: keys.renewal.clone(),
            sealed,
            previous: previous.transpose()?,
            data_key: id,
        })
    }

    pub(in crate::vault) const fn is_half_renewed(&self) -> bool {
        self.previous.is_some()
    }

    /// The master key that it is sealed under, if the metadata can be so.
    pub(in crate::vault) fn master(&self) -> Result<KeyId, Damage> {
        let current = self.envelope(&self.sealed)?;
        if let Some(previous) = &self.previous
            && self.envelope(previous)?.key != current.key
        {
            return Err(Damage::Metadata);
        }
        Ok(current.key)
    }

    /// Opens the data keys of a user.
    pub(in crate::vault) fn open(&self, master: &SealKey, user: &str) -> Result<DataKeys, Damage> {
        let open = |purpose, sealed: &str| {
            let place = Place {
                purpose,
                user,
                record: &self.data_key,
                facts: &[&self.created_at, self.renewal.as_deref().unwrap_or("")],
            };
            let bytes = master.open(&place, &self.envelope(sealed)?.bytes)?;
            SealKey::from_slice(bytes.expose()).ok_or(Damage::Content)
        };
        let current = open(Purpose::DataKey, &self.sealed)?;
        if current.id().to_string() != self.data_key {
            return Err(Damage::Metadata);
        }
        let previous = self.previous.as_deref();
        let previous = previous.map(|sealed| open(Purpose::PreviousDataKey, sealed));
        Ok(DataKeys {
            current,
            previous: previous.transpose()?,
            created_at: self.created_at.clone(),
            renewal: self.renewal.clone(),
        })
    }

    fn envelope(&self, sealed: &str) -> Result<Envelope, Damage> {
        if !self.encrypted {
            return Err(Damage::Metadata);
        }
        Envelope::read(sealed, &self.algorithm, &self.key_version)
    }
}

/// A master key that this store knows: by its check value it is recognised before anything is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vault) struct MasterRecord {
    pub(in crate::vault) derivation: String,
    pub(in crate::vault) created_at: String,
    pub(in crate::vault) retired_at: Option<String>,
    check: String,
}

/// What the ids of [`MasterRecord`]s begin with.
pub(in crate::vault) const MASTERS: &str = "vault/master/";

impl Record for MasterRecord {
    const TABLE: Table = Table::Meta;
    const VERSION: u16 = 1;
}

impl MasterRecord {
    const CHECK: &'static [u8] = b"this key opens this vault";

    pub(in crate::vault) fn seal(
        key: &SealKey,
        derivation: &str,
        created_at: String,
    ) -> Result<Self, VaultError> {
        let sealed = key.seal(&Self::place(derivation), Self::CHECK)?;
        Ok(Self {
            derivation: derivation.into(),
            created_at,
            retired_at: None,
            check: STANDARD.encode(sealed),
        })
    }

    /// Whether this key made the record.
    pub(in crate::vault) fn fits(&self, key: &SealKey) -> bool {
        STANDARD.decode(&self.check).is_ok_and(|sealed| {
            key.open(&Self::place(&self.derivation), &sealed)
                .is_ok_and(|check| check.ct_eq(Self::CHECK))
        })
    }

    const fn place(derivation: &str) -> Place<'_> {
        Place {
            purpose: Purpose::Check,
            user: "",
            record: derivation,
            facts: &[],
        }
    }
}

/// How passphrases are stretched in this store: settled with the first one, the same for all.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vault) struct StretchRecord {
    pub(in crate::vault) salt: String,
    pub(in crate::vault) memory_kib: u32,
    pub(in crate::vault) passes: u32,
    pub(in crate::vault) lanes: u32,
}

/// The id of the [`StretchRecord`].
pub(in crate::vault) const STRETCH: &str = "vault/argon2id";

impl Record for StretchRecord {
    const TABLE: Table = Table::Meta;
    const VERSION: u16 = 1;
}

/// How far a rotation has come. Losing it costs work and nothing else.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vault) struct CursorRecord {
    /// The master key that everything is to be sealed under.
    pub(in crate::vault) master: String,
    /// The renewal of data keys that is under way, if they are renewed.
    pub(in crate::vault) renewal: Option<String>,
    /// The last user that is done.
    pub(in crate::vault) after: Option<String>,
    pub(in crate::vault) users: u64,
    pub(in crate::vault) secrets: u64,
    pub(in crate::vault) started_at: String,
}

/// The id of the [`CursorRecord`].
pub(in crate::vault) const CURSOR: &str = "vault/rotation";

impl Record for CursorRecord {
    const TABLE: Table = Table::Meta;
    const VERSION: u16 = 1;
}
