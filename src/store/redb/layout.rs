//! How records lie in the file, and how an older file becomes one of today. The names and types of the tables are the
//! format: who changes them raises [`FORMAT`] and says in [`prepare`] how to get there.

use ::redb::{
    Database, ReadableDatabase, ReadableTable, StorageError, Table as Rows, TableDefinition,
    TableError, WriteTransaction,
};

use crate::clock::Timestamp;
use crate::store::{Entry, Key, Revision};

/// Records by table and id: revision, end, content.
pub(super) const RECORDS: TableDefinition<'_, (&str, &str), Kept> = TableDefinition::new("records");
/// The ends of the records that have one, so that those whose time is over are found without reading all.
pub(super) const ENDS: TableDefinition<'_, (i64, &str, &str), ()> = TableDefinition::new("ends");
/// The format, and the last revision that was given.
const HEADER: TableDefinition<'_, &str, u64> = TableDefinition::new("header");

const FORMAT_NAME: &str = "format";
const REVISION_NAME: &str = "revision";

/// The format that is written. Format 0 had records alone, without a header and without ends.
pub(super) const FORMAT: u64 = 1;

pub(super) type Kept = (u64, Option<i64>, &'static [u8]);

/// Why a file is no store of ours.
#[derive(Debug)]
pub(super) enum Unfit {
    Newer(u64),
    Broken(::redb::Error),
}

impl<E: Into<::redb::Error>> From<E> for Unfit {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

/// Makes a new file a store and an old store one of today, in one transaction, so that a crash leaves the one or the other.
pub(super) fn prepare(database: &Database) -> Result<(), Unfit> {
    match written_format(database)? {
        Some(FORMAT) => return Ok(()),
        Some(newer) if newer > FORMAT => return Err(Unfit::Newer(newer)),
        _ => {}
    }
    let transaction = database.begin_write()?;
    {
        let records = transaction.open_table(RECORDS)?;
        let mut ends = transaction.open_table(ENDS)?;
        let mut last = 0;
        for row in records.iter()? {
            let (place, kept) = row?;
            let (revision, end, _) = kept.value();
            let (table, id) = place.value();
            if let Some(end) = end {
                ends.insert((end, table, id), ())?;
            }
            last = last.max(revision);
        }
        let mut header = transaction.open_table(HEADER)?;
        header.insert(REVISION_NAME, last)?;
        header.insert(FORMAT_NAME, FORMAT)?;
    }
    transaction.commit()?;
    Ok(())
}

fn written_format(database: &Database) -> Result<Option<u64>, Unfit> {
    match database.begin_read()?.open_table(HEADER) {
        Ok(header) => Ok(header.get(FORMAT_NAME)?.map(|format| format.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A record as it lies there, unless its time is over.
pub(super) fn live(
    records: &impl ReadableTable<(&'static str, &'static str), Kept>,
    key: &Key,
    now: Timestamp,
) -> Result<Option<Entry>, StorageError> {
    let found = records.get((key.table.name(), key.id.as_str()))?;
    Ok(found
        .map(|kept| entry(kept.value()))
        .filter(|entry| !is_over(entry, now)))
}

pub(super) fn entry((revision, end, value): (u64, Option<i64>, &[u8])) -> Entry {
    Entry {
        value: value.to_vec(),
        revision: Revision(revision),
        expires_at: end.map(Timestamp::from_millis),
    }
}

pub(super) fn is_over(entry: &Entry, now: Timestamp) -> bool {
    entry.expires_at.is_some_and(|end| end <= now)
}

/// The changes of one transaction: all of them become durable together, or none does.
pub(super) struct Batch<'t> {
    records: Rows<'t, (&'static str, &'static str), Kept>,
    ends: Rows<'t, (i64, &'static str, &'static str), ()>,
    header: Rows<'t, &'static str, u64>,
    revision: u64,
    now: Timestamp,
}

impl<'t> Batch<'t> {
    pub(super) fn begin(
        transaction: &'t WriteTransaction,
        now: Timestamp,
    ) -> Result<Self, ::redb::Error> {
        let header = transaction.open_table(HEADER)?;
        let revision = header.get(REVISION_NAME)?.map_or(0, |last| last.value());
        Ok(Self {
            records: transaction.open_table(RECORDS)?,
            ends: transaction.open_table(ENDS)?,
            header,
            revision,
            now,
        })
    }

    /// Writes down which revisions were given.
    pub(super) fn end(mut self) -> Result<(), StorageError> {
        self.header.insert(REVISION_NAME, self.revision)?;
        Ok(())
    }

    pub(super) fn live(&self, key: &Key) -> Result<Option<Entry>, StorageError> {
        live(&self.records, key, self.now)
    }

    pub(super) fn write(
        &mut self,
        key: &Key,
        value: &[u8],
        expires_at: Option<Timestamp>,
    ) -> Result<Revision, StorageError> {
        self.revision += 1;
        let place = (key.table.name(), key.id.as_str());
        let end = expires_at.map(Timestamp::millis);
        let before = self.records.insert(place, (self.revision, end, value))?;
        if let Some(old) = before.and_then(|kept| kept.value().1) {
            self.ends.remove((old, place.0, place.1))?;
        }
        if let Some(end) = end {
            self.ends.insert((end, place.0, place.1), ())?;
        }
        Ok(Revision(self.revision))
    }

    /// Removes what is there; yields it unless its time was over.
    pub(super) fn remove(&mut self, key: &Key) -> Result<Option<Entry>, StorageError> {
        let place = (key.table.name(), key.id.as_str());
        let Some(gone) = self.records.remove(place)?.map(|kept| entry(kept.value())) else {
            return Ok(None);
        };
        if let Some(end) = gone.expires_at {
            self.ends.remove((end.millis(), place.0, place.1))?;
        }
        Ok(Some(gone).filter(|entry| !is_over(entry, self.now)))
    }

    /// Removes at most `most` records whose time is over at `now`; says how many there were.
    pub(super) fn sweep(&mut self, now: Timestamp, most: usize) -> Result<usize, StorageError> {
        let past = ..(now.millis().saturating_add(1), "", "");
        let mut over = Vec::new();
        for row in self.ends.range::<(i64, &str, &str)>(past)?.take(most) {
            let (end, table, id) = {
                let (place, ()) = row.map(|(place, _)| (place, ()))?;
                let (end, table, id) = place.value();
                (end, table.to_owned(), id.to_owned())
            };
            over.push((end, table, id));
        }
        for (end, table, id) in &over {
            self.records.remove((table.as_str(), id.as_str()))?;
            self.ends.remove((*end, table.as_str(), id.as_str()))?;
        }
        Ok(over.len())
    }
}
