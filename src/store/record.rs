//! Records with types and versions. On disk and in Redis a record is `{"v":1,"r":{…}}`: the version says how to read it, so
//! that a newer gateway reads what an older one wrote, and an older one refuses what it cannot understand.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Entry, Key, Revision, Store, StoreError, Table};
use crate::clock::Timestamp;

/// A kind of record.
pub trait Record: Serialize + DeserializeOwned + Send + Sync {
    /// Where records of this kind are kept.
    const TABLE: Table;
    /// The version that is written now.
    const VERSION: u16;

    /// Turns the content of an older version into the next one; `None` when there is no way.
    fn migrate(from: u16, content: Value) -> Option<Value> {
        let _ = (from, content);
        None
    }
}

/// A record as it was read, with what is needed to replace it.
#[derive(Clone, Debug)]
pub struct Held<R> {
    /// The record.
    pub record: R,
    /// Its revision, for [`replace`].
    pub revision: Revision,
    /// The moment from which it is no longer there.
    pub expires_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct Envelope<R> {
    v: u16,
    r: R,
}

fn encode<R: Record>(id: &str, record: &R) -> Result<Vec<u8>, StoreError> {
    let envelope = Envelope {
        v: R::VERSION,
        r: record,
    };
    serde_json::to_vec(&envelope).map_err(|error| corrupt::<R>(id, error))
}

fn decode<R: Record>(id: &str, entry: &Entry) -> Result<Held<R>, StoreError> {
    let Envelope { mut v, mut r } = serde_json::from_slice::<Envelope<Value>>(&entry.value)
        .map_err(|error| corrupt::<R>(id, error))?;
    if v > R::VERSION {
        return Err(corrupt::<R>(
            id,
            format!("it is of version {v}, which a newer gateway wrote"),
        ));
    }
    while v < R::VERSION {
        r = R::migrate(v, r)
            .ok_or_else(|| corrupt::<R>(id, format!("version {v} cannot be read any more")))?;
        v += 1;
    }
    Ok(Held {
        record: serde_json::from_value(r).map_err(|error| corrupt::<R>(id, error))?,
        revision: entry.revision,
        expires_at: entry.expires_at,
    })
}

fn corrupt<R: Record>(id: &str, why: impl ToString) -> StoreError {
    StoreError::Corrupt {
        table: R::TABLE,
        id: id.to_owned(),
        why: why.to_string(),
    }
}

/// The record, if it is there.
///
/// # Errors
/// [`StoreError`], also for a record that cannot be understood.
pub async fn get<R: Record>(store: &dyn Store, id: &str) -> Result<Option<Held<R>>, StoreError> {
    let found = store.get(&Key::new(R::TABLE, id)).await?;
    found.map(|entry| decode(id, &entry)).transpose()
}

/// Writes the record, whether it was there or not.
///
/// # Errors
/// [`StoreError`].
pub async fn put<R: Record>(
    store: &dyn Store,
    id: &str,
    record: &R,
    expires_at: Option<Timestamp>,
) -> Result<Revision, StoreError> {
    let value = encode(id, record)?;
    store.put(&Key::new(R::TABLE, id), value, expires_at).await
}

/// Writes the record only if it is not there; says whether it did.
///
/// # Errors
/// [`StoreError`].
pub async fn create<R: Record>(
    store: &dyn Store,
    id: &str,
    record: &R,
    expires_at: Option<Timestamp>,
) -> Result<bool, StoreError> {
    let value = encode(id, record)?;
    let created = store
        .create(&Key::new(R::TABLE, id), value, expires_at)
        .await?;
    Ok(created.is_some())
}

/// Writes the record only if nobody wrote since `expected`; `None` when somebody did.
///
/// # Errors
/// [`StoreError`].
pub async fn replace<R: Record>(
    store: &dyn Store,
    id: &str,
    expected: Revision,
    record: &R,
    expires_at: Option<Timestamp>,
) -> Result<Option<Revision>, StoreError> {
    let value = encode(id, record)?;
    store
        .replace(&Key::new(R::TABLE, id), expected, value, expires_at)
        .await
}

/// Reads and removes the record in one step.
///
/// # Errors
/// [`StoreError`]; a record that cannot be understood is gone all the same.
pub async fn take<R: Record>(store: &dyn Store, id: &str) -> Result<Option<Held<R>>, StoreError> {
    let found = store.take(&Key::new(R::TABLE, id)).await?;
    found.map(|entry| decode(id, &entry)).transpose()
}

/// Removes the record; says whether it was there.
///
/// # Errors
/// [`StoreError`].
pub async fn delete<R: Record>(store: &dyn Store, id: &str) -> Result<bool, StoreError> {
    store.delete(&Key::new(R::TABLE, id)).await
}

/// Records whose ids begin with `prefix` and come after `after`, at most `limit`.
///
/// # Errors
/// [`StoreError`], also for a record that cannot be understood.
pub async fn scan<R: Record>(
    store: &dyn Store,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Held<R>)>, StoreError> {
    let found = store.scan(R::TABLE, prefix, after, limit).await?;
    found
        .into_iter()
        .map(|(id, entry)| decode(&id, &entry).map(|held| (id, held)))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::Table;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        text: String,
        count: u64,
        list: Vec<Option<i64>>,
    }

    impl Record for Sample {
        const TABLE: Table = Table::Meta;
        const VERSION: u16 = 3;
    }

    proptest! {
        #[test]
        fn whatever_is_encoded_is_decoded_again(
            text in ".{0,200}",
            count in any::<u64>(),
            list in proptest::collection::vec(proptest::option::of(any::<i64>()), 0..20),
        ) {
            let sample = Sample { text, count, list };
            let entry = Entry {
                value: encode("id", &sample).unwrap(),
                revision: Revision(7),
                expires_at: None,
            };
            let held = decode::<Sample>("id", &entry).unwrap();
            prop_assert_eq!(held.record, sample);
        }
    }
}
