//! The way from the seed's store into this one. All values are read before the first is written: a wrong key or a damaged
//! value stops the import while nothing has happened yet.

use serde_json::{Map, Value};

use super::Vault;
use super::error::VaultError;
use super::names;
use super::seal::ALGORITHM;
use super::v1::{V1Error, V1Key};

/// The largest dump.
pub const DUMP_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Why a dump is not imported. Nothing of a value is ever part of it.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// It is no JSON object or array.
    #[error("the dump is no JSON object of keys and values, and no array of records")]
    NotADump,
    /// A key is neither `user:{id}:{name}` nor `{id}/{name}`.
    #[error("`{0}` names no user and secret; `user:12345:api_key` and `12345/api_key` do")]
    Key(String),
    /// Two records have the same user and name.
    #[error("`{0}` is there twice")]
    Twice(String),
    /// A record is neither a text nor an object with a `value`.
    #[error("`{0}` has no value that is a text")]
    Value(String),
    /// Its metadata say that it is something else.
    #[error("`{0}` is not of key version v1 and AES-256-GCM")]
    Metadata(String),
    /// Two ciphertexts share one nonce, which gives both away (C08).
    #[error(
        "`{0}` seals two tokens with one iv, which is not safe to read; let its user sign in again"
    )]
    SharedIv(String),
    /// Values cannot be opened.
    #[error("`{key}` {error} ({failed} of {all} values cannot be read; nothing was imported)")]
    Unreadable {
        /// The first of them.
        key: String,
        /// What is wrong with it.
        error: V1Error,
        /// How many there are.
        failed: usize,
        /// Of how many.
        all: usize,
    },
    /// Secrets are there already.
    #[error("`{0}` is in the vault already; nothing was imported")]
    There(String),
    /// The vault did not take it.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Secrets sealed.
    pub secrets: u64,
}

/// A store of the seed's, as text.
pub struct Dump(Vec<Item>);

struct Item {
    user: String,
    name: String,
    value: String,
}

impl std::fmt::Debug for Dump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dump({} values)", self.0.len())
    }
}

impl Dump {
    /// Reads a dump: an object of keys and values, or an array of `{key, value, metadata}`.
    ///
    /// # Errors
    /// [`DumpError`].
    pub fn parse(text: &str) -> Result<Self, DumpError> {
        let mut items = Vec::new();
        match serde_json::from_str(text).map_err(|_| DumpError::NotADump)? {
            Value::Object(records) => {
                for (key, record) in &records {
                    items.push(Item::read(key, record)?);
                }
            }
            Value::Array(records) => {
                for record in &records {
                    let key = record.get("key").and_then(Value::as_str);
                    items.push(Item::read(key.ok_or(DumpError::NotADump)?, record)?);
                }
            }
            _ => return Err(DumpError::NotADump),
        }
        items.sort_by(|a, b| a.place().cmp(&b.place()));
        let twice = items.windows(2).find_map(|pair| match pair {
            [one, two] if one.place() == two.place() => Some(one.key()),
            _ => None,
        });
        match twice {
            Some(key) => Err(DumpError::Twice(key)),
            None => Ok(Self(items)),
        }
    }

    /// How many values it has.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Item {
    fn read(key: &str, record: &Value) -> Result<Self, DumpError> {
        let (user, name) = place(key).ok_or_else(|| DumpError::Key(key.into()))?;
        let value = match record {
            Value::String(value) => value,
            Value::Object(record) => {
                check_record(key, record)?;
                let value = record.get("value").and_then(Value::as_str);
                value.ok_or_else(|| DumpError::Value(key.into()))?
            }
            _ => return Err(DumpError::Value(key.into())),
        };
        Ok(Self {
            user: user.into(),
            name: name.into(),
            value: value.into(),
        })
    }

    fn place(&self) -> (&str, &str) {
        (&self.user, &self.name)
    }

    fn key(&self) -> String {
        format!("{}/{}", self.user, self.name)
    }
}

/// The user and the secret of a key: the seed's `user:12345:api_key` (R064, R065), or `12345/api_key`.
fn place(key: &str) -> Option<(&str, &str)> {
    let (user, name) = match key.strip_prefix("user:") {
        Some(rest) => rest.rsplit_once(':')?,
        None => key.split_once('/')?,
    };
    names::secret_id(user, name).ok()?;
    Some((user, name))
}

fn check_record(key: &str, record: &Map<String, Value>) -> Result<(), DumpError> {
    if record.contains_key("encryptedAccessToken") {
        return Err(DumpError::SharedIv(key.into()));
    }
    let Some(metadata) = record.get("metadata") else {
        return Ok(());
    };
    let is = |name: &str, wanted: Value| metadata.get(name).is_none_or(|found| *found == wanted);
    let fits = is("encrypted", true.into())
        && is("algorithm", ALGORITHM.into())
        && is("key_version", "v1".into());
    fits.then_some(())
        .ok_or_else(|| DumpError::Metadata(key.into()))
}

impl Vault {
    /// Seals the values of a dump in the format of today. Unless `replace` is set, it refuses to write over anything.
    ///
    /// # Errors
    /// [`DumpError`]. If the store fails in the middle, running it again with `replace` completes it.
    pub async fn import(
        &self,
        dump: &Dump,
        key: &V1Key,
        replace: bool,
    ) -> Result<Imported, DumpError> {
        let mut values = Vec::with_capacity(dump.len());
        let mut failed = Vec::new();
        for item in &dump.0 {
            match key.open(&item.value) {
                Ok(value) => values.push((item, value)),
                Err(error) => failed.push((item, error)),
            }
        }
        if let Some((item, error)) = failed.first() {
            return Err(DumpError::Unreadable {
                key: item.key(),
                error: *error,
                failed: failed.len(),
                all: dump.len(),
            });
        }
        if !replace {
            self.refuse_present(dump).await?;
        }
        let slot = self.trail.promise()?;
        let mut imported = Imported::default();
        for (item, value) in values {
            self.seal(&item.user, &item.name, value, None).await?;
            imported.secrets += 1;
        }
        self.trail.imported(slot, imported.secrets);
        Ok(imported)
    }

    async fn refuse_present(&self, dump: &Dump) -> Result<(), DumpError> {
        for item in &dump.0 {
            let there = self.list(&item.user).await?;
            if there.iter().any(|stored| stored.name == item.name) {
                return Err(DumpError::There(item.key()));
            }
        }
        Ok(())
    }
}
