//! The shared store: a Redis or Valkey, for several gateways that are to behave as one.
//!
//! - **Protects** records against writers on other machines: whatever decides and writes is one script on one record.
//! - **Assumes** a Redis that keeps what it confirmed (`appendfsync always`, `maxmemory-policy noeviction`, no failover to a
//!   replica that lags) and gateways whose clocks agree to within seconds; [`Redis::warnings`] says where that is not so.
//! - **Hands on** records as every other store does.
//! - **Refuses** everything while the Redis cannot be reached or does not answer in time; an answer that was lost is never
//!   taken for "no".
//!
//! Revisions are random numbers, not counts: a counter would lie in another slot of a cluster, and all that a revision has to
//! be is different from every other.

mod address;
mod index;
pub(crate) mod link;
#[cfg(test)]
mod recovery;
mod scripts;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use ::redis::{InfoDict, pipe};

use super::memory::read_count;
use super::{Entry, Key, Later, Revision, SCAN_MAX, Store, StoreError, Table, check_size};
use crate::clock::{Clock, Timestamp};
use crate::random;
use crate::secret::Secret;
use index::{Index, PAGE};
use link::Link;
use scripts::{BUMP, DELETE, FORGET_AFTER_MS, TAKE, WRITE};

/// What an operator can set about a Redis.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What all keys begin with, so that several fleets can share a Redis. Lower-case letters, digits, `-` and `_`.
    pub namespace: String,
    /// The certificate authority of the Redis, trusted for it alone instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// An authority that is trusted besides the system's.
    pub extra_ca_file: Option<PathBuf>,
    /// How long connecting may take, TLS and login included.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub response_timeout: Duration,
    /// After connecting failed, how long everybody is refused before it is tried again.
    pub retry_pause: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespace: "sallygate".into(),
            ca_file: None,
            extra_ca_file: None,
            connect_timeout: Duration::from_millis(500),
            response_timeout: Duration::from_secs(1),
            retry_pause: Duration::from_millis(250),
        }
    }
}

impl Settings {
    /// Prepares a connection with these settings.
    pub(crate) fn link(&self, url: &Secret<String>) -> Result<Link, StoreError> {
        let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_');
        if self.namespace.is_empty() || !self.namespace.bytes().all(fits) {
            return Err(StoreError::Unusable(format!(
                "`{}` is no namespace: use lower-case letters, digits, - and _",
                self.namespace
            )));
        }
        Link::new(url, self)
    }
}

/// A store in a Redis.
#[derive(Debug)]
pub struct Redis {
    link: Link,
    index: Index,
    clock: Clock,
}

/// Revision, end and content of a record as Redis has them.
type Fields = (Option<u64>, Option<String>, Option<Vec<u8>>);

/// How a record is to be written.
struct Writing<'a> {
    how: &'a str,
    value: &'a [u8],
    expires_at: Option<Timestamp>,
    expected: Option<Revision>,
}

impl Redis {
    /// Prepares a store; nothing is connected until it is used, so that a Redis which comes later is found then.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when the address, the namespace or the certificate authority cannot be used.
    pub fn new(
        url: &Secret<String>,
        settings: &Settings,
        clock: &Clock,
    ) -> Result<Self, StoreError> {
        let link = settings.link(url)?;
        Ok(Self {
            index: Index::new(link.clone(), &settings.namespace),
            link,
            clock: clock.clone(),
        })
    }

    fn now(&self) -> i64 {
        self.clock.now().millis()
    }

    /// How long Redis is to keep a record, or nothing for ever.
    fn forget_after(&self, expires_at: Option<Timestamp>) -> String {
        expires_at.map_or_else(String::new, |end| {
            let left = u64::try_from(end.millis().saturating_sub(self.now())).unwrap_or(0);
            // Beyond what Redis can add to its own time it would refuse.
            let left = left.saturating_add(FORGET_AFTER_MS).min(u64::MAX >> 16);
            left.to_string()
        })
    }

    async fn look(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let record = self.index.record(key.table, &key.id);
        let mut look = pipe();
        look.hmget(record, &FIELDS);
        let (fields,): (Fields,) = self.link.read(&look).await?;
        self.entry(key.table, &key.id, fields)
    }

    /// What the fields say, unless the record is not there or its time is over.
    fn entry(
        &self,
        table: Table,
        id: &str,
        (revision, end, value): Fields,
    ) -> Result<Option<Entry>, StoreError> {
        let Some(revision) = revision else {
            return Ok(None);
        };
        let corrupt = |why: &str| StoreError::Corrupt {
            table,
            id: id.to_owned(),
            why: why.to_owned(),
        };
        let end = match end.as_deref() {
            None => return Err(corrupt("it has no end")),
            Some("") => None,
            Some(end) => Some(end.parse().map_err(|_| corrupt("its end is no number"))?),
        };
        let entry = Entry {
            value: value.ok_or_else(|| corrupt("it has no content"))?,
            revision: Revision(revision),
            expires_at: end.map(Timestamp::from_millis),
        };
        let is_over = entry.expires_at.is_some_and(|end| end <= self.clock.now());
        Ok(Some(entry).filter(|_| !is_over))
    }

    async fn write(&self, key: &Key, writing: Writing<'_>) -> Result<Option<Revision>, StoreError> {
        check_size(key, writing.value)?;
        let revision = new_revision()?;
        let forget_after = self.forget_after(writing.expires_at);
        // What is replaced is there, and therefore in the index.
        let write_before = if writing.expected.is_none() {
            self.index.enter(key.table, &key.id, &forget_after).await?
        } else {
            String::new()
        };
        let mut write = WRITE.prepare_invoke();
        write.key(self.index.record(key.table, &key.id));
        write.arg(writing.how).arg(self.now()).arg(revision.0);
        write.arg(end(writing.expires_at)).arg(forget_after);
        write.arg(writing.value).arg(write_before);
        write.arg(writing.expected.map_or(0, |expected| expected.0));
        match self.link.run(&write).await? {
            1_i64 => Ok(Some(revision)),
            0 => Ok(None),
            _ => Err(too_late()),
        }
    }

    async fn raise(&self, id: &str, expires_at: Option<Timestamp>) -> Result<u64, StoreError> {
        check_size(&Key::new(Table::Counter, id), &[])?;
        let forget_after = self.forget_after(expires_at);
        let revision = new_revision()?;
        let mut write_before = String::new();
        loop {
            let mut bump = BUMP.prepare_invoke();
            bump.key(self.index.record(Table::Counter, id));
            bump.arg(self.now()).arg(revision.0).arg(end(expires_at));
            bump.arg(&forget_after).arg(&write_before);
            let count: i64 = self.link.run(&bump).await?;
            match u64::try_from(count) {
                Ok(0) if write_before.is_empty() => {
                    write_before = self.index.enter(Table::Counter, id, &forget_after).await?;
                }
                Ok(count) => return Ok(count),
                Err(_) => return Err(too_late()),
            }
        }
    }

    async fn find(
        &self,
        table: Table,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Entry)>, StoreError> {
        let (limit, mut found) = (limit.min(SCAN_MAX), Vec::new());
        let mut from = match after.filter(|after| *after >= prefix) {
            Some(after) => [b"(", after.as_bytes()].concat(),
            None => [b"[", prefix.as_bytes()].concat(),
        };
        while found.len() < limit {
            let mut ids = self.index.page(table, &from, limit - found.len()).await?;
            let last = ids.last().cloned();
            ids.retain(|id| id.starts_with(prefix));
            let (Some(last), false) = (last, ids.is_empty()) else {
                break;
            };
            let is_end = !last.starts_with(prefix);
            found.extend(self.records(table, ids).await?);
            if is_end {
                break;
            }
            from = [b"(", last.as_bytes()].concat();
        }
        Ok(found)
    }

    /// The records of a page of ids.
    async fn records(
        &self,
        table: Table,
        ids: Vec<String>,
    ) -> Result<Vec<(String, Entry)>, StoreError> {
        let mut look = pipe();
        for id in &ids {
            look.hmget(self.index.record(table, id), &FIELDS);
        }
        let rows: Vec<Fields> = self.link.read(&look).await?;
        let (mut found, mut missing) = (Vec::with_capacity(PAGE), Vec::new());
        for (id, fields) in ids.into_iter().zip(rows) {
            if fields.0.is_none() {
                missing.push(id);
            } else if let Some(entry) = self.entry(table, &id, fields)? {
                found.push((id, entry));
            }
        }
        self.index.suspect(table, missing);
        Ok(found)
    }

    async fn look_at_setup(&self) -> Result<Vec<String>, StoreError> {
        let mut look = pipe();
        look.cmd("INFO");
        let (info,): (InfoDict,) = self.link.read(&look).await?;
        let is = |name: &str, wanted: &str| info.get::<String>(name).as_deref() == Some(wanted);
        let address = self.link.address();
        let mut config = pipe();
        config.cmd("CONFIG").arg("GET").arg("appendfsync");
        // Many services forbid CONFIG; then only what INFO says is known.
        let flush: Result<(Vec<String>,), _> = self.link.read(&config).await;
        let is_flushed = flush.map_or(true, |(pair,)| pair.iter().any(|word| word == "always"));
        let warnings = [
            (
                !is("aof_enabled", "1"),
                "appendonly is off: a restart loses confirmed records",
            ),
            (
                !is_flushed,
                "appendfsync is not `always`: a crash can bring back codes that were used",
            ),
            (
                !is("maxmemory_policy", "noeviction"),
                "maxmemory-policy is not `noeviction`: revocations may be forgotten",
            ),
            (
                !is("role", "master"),
                "it is a replica: nothing can be written",
            ),
            (
                is("cluster_enabled", "1"),
                "it is a cluster: records of other nodes cannot be reached; use a proxy or one node",
            ),
            (
                !address.is_tls && !address.is_loopback,
                "the connection is not encrypted; use rediss:",
            ),
        ];
        let said = warnings.into_iter().filter(|(applies, _)| *applies);
        Ok(said.map(|(_, warning)| warning.to_owned()).collect())
    }
}

const FIELDS: [&str; 3] = ["r", "e", "v"];

fn end(expires_at: Option<Timestamp>) -> String {
    expires_at.map_or_else(String::new, |end| end.millis().to_string())
}

fn too_late() -> StoreError {
    StoreError::Unavailable("the record was not written in time".into())
}

fn new_revision() -> Result<Revision, StoreError> {
    random::bytes()
        .map(|bytes| Revision(u64::from_le_bytes(bytes)))
        .map_err(|error| StoreError::Unavailable(error.to_string()))
}

impl Store for Redis {
    fn get<'a>(&'a self, key: &'a Key) -> Later<'a, Option<Entry>> {
        Box::pin(self.look(key))
    }

    fn put<'a>(
        &'a self,
        key: &'a Key,
        value: Vec<u8>,
        expires_at: Option<Timestamp>,
    ) -> Later<'a, Revision> {
        Box::pin(async move {
            let writing = Writing {
                how: "put",
                value: &value,
                expires_at,
                expected: None,
            };
            self.write(key, writing).await?.ok_or_else(too_late)
        })
    }

    fn create<'a>(
        &'a self,
        key: &'a Key,
        value: Vec<u8>,
        expires_at: Option<Timestamp>,
    ) -> Later<'a, Option<Revision>> {
        Box::pin(async move {
            let writing = Writing {
                how: "create",
                value: &value,
                expires_at,
                expected: None,
            };
            self.write(key, writing).await
        })
    }

    fn replace<'a>(
        &'a self,
        key: &'a Key,
        expected: Revision,
        value: Vec<u8>,
        expires_at: Option<Timestamp>,
    ) -> Later<'a, Option<Revision>> {
        Box::pin(async move {
            let writing = Writing {
                how: "replace",
                value: &value,
                expires_at,
                expected: Some(expected),
            };
            self.write(key, writing).await
        })
    }

    fn take<'a>(&'a self, key: &'a Key) -> Later<'a, Option<Entry>> {
        Box::pin(async move {
            let mut take = TAKE.prepare_invoke();
            take.key(self.index.record(key.table, &key.id));
            take.arg(self.now());
            match self.link.run::<Option<Fields>>(&take).await? {
                Some(fields) => {
                    self.index.suspect(key.table, vec![key.id.clone()]);
                    self.entry(key.table, &key.id, fields)
                }
                None => Ok(None),
            }
        })
    }

    fn delete<'a>(&'a self, key: &'a Key) -> Later<'a, bool> {
        Box::pin(async move {
            let mut delete = DELETE.prepare_invoke();
            delete.key(self.index.record(key.table, &key.id));
            delete.arg(self.now());
            let was_there = self.link.run::<i64>(&delete).await? == 1;
            if was_there {
                self.index.suspect(key.table, vec![key.id.clone()]);
            }
            Ok(was_there)
        })
    }

    fn scan<'a>(
        &'a self,
        table: Table,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> Later<'a, Vec<(String, Entry)>> {
        Box::pin(self.find(table, prefix, after, limit))
    }

    fn bump<'a>(&'a self, id: &'a str, expires_at: Option<Timestamp>) -> Later<'a, u64> {
        Box::pin(self.raise(id, expires_at))
    }

    fn count<'a>(&'a self, id: &'a str) -> Later<'a, u64> {
        Box::pin(async move {
            let found = self.look(&Key::new(Table::Counter, id)).await?;
            Ok(found.map_or(0, |entry| read_count(&entry.value)))
        })
    }

    fn ready(&self) -> Later<'_, ()> {
        Box::pin(async move { self.look(&Key::new(Table::Meta, "ready")).await.map(drop) })
    }

    fn describe(&self) -> String {
        self.link.address().to_string()
    }

    fn warnings(&self) -> Later<'_, Vec<String>> {
        Box::pin(self.look_at_setup())
    }
}
