//! Where the gateway keeps what must outlive a request: codes, sessions, clients, sealed secrets and revocations. One trait,
//! so that one process with a file and a fleet with a Redis behave alike; which one is chosen by the address of the store.
//!
//! **Protects** against a record that is used twice, lost after it was confirmed, or changed by two writers at once.
//! **Assumes** that what it keeps holds no secret in the clear: opaque tokens come here as hashes, credentials sealed.
//! **Hands on** records as bytes; [`record`] gives them types and versions.
//! **Refuses** everything while it cannot be read or written: no caller may take "unreachable" for "not there".

pub mod backup;
pub mod memory;
pub mod record;
pub mod redb;
pub mod redis;
mod settings;
#[cfg(test)]
mod suite;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::clock::Timestamp;

pub use memory::Memory;
pub use record::{Held, Record};
pub use redb::Redb;
pub use redis::Redis;
pub use settings::{Settings, open};

/// What an object-safe asynchronous function returns.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The longest id of a record, in bytes.
pub const ID_MAX_BYTES: usize = 512;
/// The longest value of a record, in bytes.
pub const VALUE_MAX_BYTES: usize = 256 * 1024;
/// The most records that one [`Store::scan`] yields.
pub const SCAN_MAX: usize = 1000;

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached or used at the moment. Nothing may be concluded about any record.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// A record is not what its table holds.
    #[error("record `{id}` of table {table} cannot be read: {why}")]
    Corrupt {
        /// Its table.
        table: Table,
        /// Its id.
        id: String,
        /// What is wrong with it.
        why: String,
    },
    /// The id or the value is larger than any record may be.
    #[error("a record of table {0} is larger than any may be")]
    TooLarge(Table),
    /// The store was opened by another process, is of a newer version, or its settings make no sense.
    #[error("{0}")]
    Unusable(String),
}

/// What kinds of records there are. A closed list: its names are part of the format on disk and in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// The shape and version of the store itself.
    Meta,
    /// Login attempts that were sent to a provider (`state`).
    Login,
    /// Authorization requests that wait for a login or for consent.
    Pending,
    /// Authorization codes, by hash.
    Code,
    /// Grants (sessions): the families of refresh tokens, by grant id.
    Grant,
    /// The grants of a user: `user/grant`.
    UserGrant,
    /// Registered OAuth clients, and cached client metadata documents.
    Client,
    /// What a user allowed a client.
    Consent,
    /// Users: profile, tier, whether they are disabled.
    User,
    /// Sealed secrets: `user/name`.
    Secret,
    /// Sealed data keys of users.
    UserKey,
    /// Revoked tokens, grants, clients and users.
    Revoked,
    /// Ids that may be seen once (`jti` of assertions and of refreshed tokens).
    Seen,
    /// Failed attempts, for throttling.
    Attempts,
    /// Counters.
    Counter,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 15] = [
        Self::Meta,
        Self::Login,
        Self::Pending,
        Self::Code,
        Self::Grant,
        Self::UserGrant,
        Self::Client,
        Self::Consent,
        Self::User,
        Self::Secret,
        Self::UserKey,
        Self::Revoked,
        Self::Seen,
        Self::Attempts,
        Self::Counter,
    ];

    /// Its name, on disk and in Redis.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Login => "login",
            Self::Pending => "pending",
            Self::Code => "code",
            Self::Grant => "grant",
            Self::UserGrant => "user_grant",
            Self::Client => "client",
            Self::Consent => "consent",
            Self::User => "user",
            Self::Secret => "secret",
            Self::UserKey => "user_key",
            Self::Revoked => "revoked",
            Self::Seen => "seen",
            Self::Attempts => "attempts",
            Self::Counter => "counter",
        }
    }

    /// The table of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a record is: its table and its id within it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The table.
    pub table: Table,
    /// The id: printable text of at most [`ID_MAX_BYTES`].
    pub id: String,
}

impl Key {
    /// The place of a record.
    pub fn new(table: Table, id: impl Into<String>) -> Self {
        let id = id.into();
        Self { table, id }
    }
}

/// Counts the changes of one record. Two that differ mean that somebody wrote in between; nothing else follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

/// One record as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The content.
    pub value: Vec<u8>,
    /// Its revision.
    pub revision: Revision,
    /// The moment from which it is no longer there.
    pub expires_at: Option<Timestamp>,
}

/// A store of records. All operations are atomic for one record, are durable before they return, and treat a record whose
/// time is over as absent.
///
/// # Errors
/// Every operation fails with [`StoreError`] when the store cannot be used; none guesses.
pub trait Store: Send + Sync + fmt::Debug {
    /// The record, if it is there.
    fn get<'a>(&'a self, key: &'a Key) -> Later<'a, Option<Entry>>;

    /// Writes the record, whether it was there or not.
    fn put<'a>(
        &'a self,
        key: &'a Key,
        value: Vec<u8>,
        expires_at: Option<Timestamp>,
    ) -> Later<'a, Revision>;

    /// Writes the record only if it is not there; `None` when it is. Of any number of callers one succeeds.
    fn create<'a>(
        &'a self,
        key: &'a Key,
        value: Vec<u8>,
        expires_at: Option<Timestamp>,
    ) -> Later<'a, Option<Revision>>;

    /// Writes the record only if its revision is still `expected`; `None` when it is not, or the record is gone.
    fn replace<'a>(
        &'a self,
        key: &'a Key,
        expected: Revision,
        value: Vec<u8>,
        expires_at: Option<Timestamp>,
    ) -> Later<'a, Option<Revision>>;

    /// Reads and removes the record in one step. Of any number of callers one gets it, also across a crash.
    fn take<'a>(&'a self, key: &'a Key) -> Later<'a, Option<Entry>>;

    /// Removes the record; says whether it was there.
    fn delete<'a>(&'a self, key: &'a Key) -> Later<'a, bool>;

    /// The records of a table whose ids begin with `prefix` and come after `after`, in the order of ids, at most `limit`
    /// (and at most [`SCAN_MAX`]).
    fn scan<'a>(
        &'a self,
        table: Table,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> Later<'a, Vec<(String, Entry)>>;

    /// Adds one to a counter of [`Table::Counter`] and yields the new count. With `expires_at` a counter that was absent gets that
    /// end; the end of one that is there stays.
    fn bump<'a>(&'a self, id: &'a str, expires_at: Option<Timestamp>) -> Later<'a, u64>;

    /// A counter as it stands; 0 when it is absent.
    fn count<'a>(&'a self, id: &'a str) -> Later<'a, u64>;

    /// Whether the store can be used at this moment: a real read, for readiness.
    fn ready(&self) -> Later<'_, ()>;

    /// What it is called in logs and `store status`: never holds a password.
    fn describe(&self) -> String;

    /// What about its own set-up could lose records, in sentences for the operator. Says less rather than failing.
    fn warnings(&self) -> Later<'_, Vec<String>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

/// Refuses what no store takes.
pub(in crate::store) fn check_size(key: &Key, value: &[u8]) -> Result<(), StoreError> {
    if key.id.is_empty() || key.id.len() > ID_MAX_BYTES || value.len() > VALUE_MAX_BYTES {
        return Err(StoreError::TooLarge(key.table));
    }
    Ok(())
}
