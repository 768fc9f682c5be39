//! A backup is one file of text that any store can be filled from: a line of JSON that says what it is, a line for each
//! record, and a line with their number and the SHA-256 of everything before it. Secrets in it are as they are in the store:
//! hashed or sealed. Records that live for minutes (logins under way, codes, throttles) stay out: who restores would bring
//! back what has been used since.
//!
//! It is read page by page while others may write: each record is whole, but two records may be from different moments.

use std::io::{self, BufRead, BufReader, Read, Seek, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::memory::read_count;
use super::{Entry, Key, Store, StoreError, Table, VALUE_MAX_BYTES};
use crate::clock::Timestamp;
use crate::random::to_hex;

/// The format that is written and read.
const FORMAT: u32 = 1;
/// Records that are read from the store at once.
const PAGE: usize = 100;
/// No line is longer: a value in base64, an id whose every byte is escaped, and some names.
const LINE_MAX: u64 = (VALUE_MAX_BYTES as u64) * 4 / 3 + 8 * 1024;

/// Tables whose records live for minutes.
const TRANSIENT: [Table; 5] = [
    Table::Login,
    Table::Pending,
    Table::Code,
    Table::Seen,
    Table::Attempts,
];

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file failed.
    #[error("the backup cannot be read or written: {0}")]
    File(#[from] io::Error),
    /// A line is none of a backup.
    #[error("line {line} is no line of a backup: {why}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The file is of a newer gateway.
    #[error("the backup has format {0}, which a newer gateway wrote")]
    Newer(u32),
    /// What the last line says is not what the file holds.
    #[error("the backup is damaged or cut off: its digest does not fit")]
    Digest,
    /// The store has records already.
    #[error("the store is not empty; a backup is restored over it only by force")]
    NotEmpty,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    sallygate_backup: u32,
    written_at: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    table: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    expires_at: Option<i64>,
    value: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    count: u64,
    sha256: String,
}

/// What a restore does about records that are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// It refuses if there is any.
    Nothing,
    /// It writes over those that the backup has too, and leaves the others. Revocations of today are among the others, and a
    /// counter never goes back, so that what was revoked since the backup stays revoked.
    Anything,
}

/// How many records of each table that is backed up are in the store.
///
/// # Errors
/// [`StoreError`].
pub async fn counts(store: &dyn Store) -> Result<Vec<(Table, u64)>, StoreError> {
    let mut counts = Vec::new();
    for table in Table::ALL {
        let (mut count, mut after) = (0, None);
        while let Some((last, page)) = page(store, table, after.as_deref()).await? {
            count += page.len() as u64;
            after = Some(last);
        }
        counts.push((table, count));
    }
    Ok(counts)
}

async fn page(
    store: &dyn Store,
    table: Table,
    after: Option<&str>,
) -> Result<Option<(String, Vec<(String, Entry)>)>, StoreError> {
    let page = store.scan(table, "", after, PAGE).await?;
    Ok(page
        .last()
        .map(|(id, _)| id.clone())
        .map(|last| (last, page)))
}

fn lasting() -> impl Iterator<Item = Table> {
    let lasts = |table: &Table| !TRANSIENT.contains(table);
    Table::ALL.into_iter().filter(lasts)
}

/// Writes a backup; says how many records are in it.
///
/// # Errors
/// [`BackupError::Store`] and [`BackupError::File`]; what was written so far is no backup then.
pub async fn write(
    store: &dyn Store,
    now: Timestamp,
    to: &mut (dyn Write + Send),
) -> Result<u64, BackupError> {
    let mut out = Digested {
        to,
        digest: Sha256::new(),
    };
    out.line(&First {
        sallygate_backup: FORMAT,
        written_at: now.rfc3339_seconds(),
    })?;
    let mut count = 0;
    for table in lasting() {
        let mut after = None;
        while let Some((last, page)) = page(store, table, after.as_deref()).await? {
            for (id, entry) in page {
                out.line(&Row {
                    table: table.name().into(),
                    id,
                    expires_at: entry.expires_at.map(Timestamp::millis),
                    value: BASE64.encode(&entry.value),
                })?;
                count += 1;
            }
            after = Some(last);
        }
    }
    let sha256 = to_hex(&out.digest.clone().finalize());
    out.line(&Last { count, sha256 })?;
    out.to.flush()?;
    Ok(count)
}

struct Digested<'a> {
    to: &'a mut (dyn Write + Send),
    digest: Sha256,
}

impl Digested<'_> {
    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.digest.update(&text);
        self.to.write_all(&text)
    }
}

/// Fills a store from a backup, which is read twice: nothing is written before all of it was found whole. Says how many
/// records were restored; those whose time is over are left out.
///
/// # Errors
/// [`BackupError`]. After [`BackupError::Store`] a part may have been restored; the same backup can be restored again.
pub async fn restore(
    store: &dyn Store,
    now: Timestamp,
    from: &mut (impl Read + Seek + Send),
    over: Over,
) -> Result<u64, BackupError> {
    let rows = verify(&mut *from)?;
    if over == Over::Nothing && !is_empty(store).await? {
        return Err(BackupError::NotEmpty);
    }
    from.rewind()?;
    let mut lines = Lines::new(from);
    lines.next()?;
    let mut restored = 0;
    for _ in 0..rows {
        let text = lines.next()?;
        let (key, value, expires_at) = row(&text).map_err(|why| lines.wrong(why))?;
        if expires_at.is_none_or(|end| end > now) {
            put(store, &key, value, expires_at).await?;
            restored += 1;
        }
    }
    Ok(restored)
}

async fn is_empty(store: &dyn Store) -> Result<bool, StoreError> {
    for table in lasting() {
        if !store.scan(table, "", None, 1).await?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn put(
    store: &dyn Store,
    key: &Key,
    value: Vec<u8>,
    expires_at: Option<Timestamp>,
) -> Result<(), StoreError> {
    let counted = if key.table == Table::Counter {
        store.count(&key.id).await?
    } else {
        0
    };
    let is_older = counted > 0 && read_count(&value) <= counted;
    if !is_older {
        store.put(key, value, expires_at).await?;
    }
    Ok(())
}

/// Reads all of it and writes nothing; yields the number of records.
fn verify(from: &mut impl Read) -> Result<u64, BackupError> {
    let mut lines = Lines::new(from);
    let first = lines.next()?;
    let first: First = serde_json::from_slice(&first).map_err(|why| lines.wrong(why))?;
    if first.sallygate_backup > FORMAT {
        return Err(BackupError::Newer(first.sallygate_backup));
    }
    let mut count = 0;
    loop {
        let before = lines.digest.clone();
        let text = lines.next()?;
        if let Ok(last) = serde_json::from_slice::<Last>(&text) {
            let whole = last.count == count && last.sha256 == to_hex(&before.finalize());
            return (whole && lines.is_end()?)
                .then_some(count)
                .ok_or(BackupError::Digest);
        }
        row(&text).map_err(|why| lines.wrong(why))?;
        count += 1;
    }
}

type Restored = (Key, Vec<u8>, Option<Timestamp>);

fn row(text: &[u8]) -> Result<Restored, String> {
    let row: Row = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let table = Table::parse(&row.table).ok_or_else(|| format!("no table `{}`", row.table))?;
    let value = BASE64
        .decode(&row.value)
        .map_err(|error| error.to_string())?;
    let key = Key::new(table, row.id);
    super::check_size(&key, &value).map_err(|error| error.to_string())?;
    Ok((key, value, row.expires_at.map(Timestamp::from_millis)))
}

/// Lines of bounded length, counted and digested.
struct Lines<R> {
    from: BufReader<R>,
    number: u64,
    digest: Sha256,
}

impl<R: Read> Lines<R> {
    fn new(from: R) -> Self {
        Self {
            from: BufReader::new(from),
            number: 0,
            digest: Sha256::new(),
        }
    }

    fn next(&mut self) -> Result<Vec<u8>, BackupError> {
        let mut line = Vec::new();
        self.number += 1;
        self.from
            .by_ref()
            .take(LINE_MAX)
            .read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            // Cut off, or longer than any line is.
            return Err(BackupError::Digest);
        }
        self.digest.update(&line);
        Ok(line)
    }

    fn is_end(&mut self) -> io::Result<bool> {
        Ok(self.from.fill_buf()?.is_empty())
    }

    fn wrong(&self, why: impl ToString) -> BackupError {
        BackupError::Line {
            line: self.number,
            why: why.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::time::Duration;

    use super::*;
    use crate::store::Memory;
    use crate::store::suite::clock;

    fn key(table: Table, id: &str) -> Key {
        Key::new(table, id)
    }

    async fn filled() -> Memory {
        let store = Memory::new(clock());
        let soon = Some(clock().now().plus(Duration::from_secs(60)));
        for table in Table::ALL {
            for number in 0..150 {
                let key = key(table, &format!("{number:03}\n{{\"ü"));
                let value = vec![number, 0, 255];
                store
                    .put(&key, value, soon.filter(|_| number == 7))
                    .await
                    .unwrap();
            }
        }
        store
    }

    async fn backup(store: &dyn Store) -> Vec<u8> {
        let mut text = Vec::new();
        write(store, clock().now(), &mut text).await.unwrap();
        text
    }

    async fn restored(text: &[u8], into: &dyn Store, over: Over) -> Result<u64, BackupError> {
        restore(into, clock().now(), &mut Cursor::new(text), over).await
    }

    async fn is_untouched(store: &Memory) -> bool {
        counts(store)
            .await
            .unwrap()
            .iter()
            .all(|(_, count)| *count == 0)
    }

    #[tokio::test]
    async fn a_backup_with_any_line_changed_missing_or_moved_restores_nothing() {
        let store = Memory::new(clock());
        for id in ["a", "b", "c"] {
            store
                .put(&key(Table::Grant, id), id.into(), None)
                .await
                .unwrap();
        }
        let text = String::from_utf8(backup(&store).await).unwrap();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        assert_eq!(lines.len(), 5);
        let mut broken = vec![
            String::new(),
            text.trim_end().to_owned(),
            format!("{text}{text}"),
        ];
        for at in 0..lines.len() {
            let mut fewer = lines.clone();
            fewer.remove(at);
            broken.push(fewer.concat());
            let mut twice = lines.clone();
            twice.insert(at, lines[at]);
            broken.push(twice.concat());
            let mut moved = lines.clone();
            moved.swap(at, (at + 1) % lines.len());
            broken.push(moved.concat());
        }
        // Any byte: a digit of the digest, a letter of an id, a brace.
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            broken.push(String::from_utf8(bytes).unwrap());
            broken.push(text.chars().take(at).collect());
        }
        for text in broken {
            let empty = Memory::new(clock());
            let refused = restored(text.as_bytes(), &empty, Over::Anything).await;
            assert!(refused.is_err(), "{text}");
            assert!(is_untouched(&empty).await, "{text}");
        }
    }

    #[tokio::test]
    async fn a_backup_of_a_newer_gateway_or_with_an_endless_line_is_refused() {
        let empty = Memory::new(clock());
        let newer = br#"{"sallygate_backup":2,"written_at":""}"#;
        let newer = [&newer[..], b"\n"].concat();
        let refused = restored(&newer, &empty, Over::Nothing).await;
        assert!(matches!(refused, Err(BackupError::Newer(2))), "{refused:?}");
        let endless = vec![b' '; 2 * usize::try_from(LINE_MAX).unwrap()];
        let refused = restored(&endless, &empty, Over::Nothing).await;
        assert!(matches!(refused, Err(BackupError::Digest)), "{refused:?}");
    }

    #[tokio::test]
    async fn a_store_with_records_is_kept_unless_forced() {
        let text = backup(&filled().await).await;
        let store = Memory::new(clock());
        store
            .put(&key(Table::Revoked, "since"), vec![1], None)
            .await
            .unwrap();
        let refused = restored(&text, &store, Over::Nothing).await;
        assert!(matches!(refused, Err(BackupError::NotEmpty)));
        assert!(
            store
                .get(&key(Table::Grant, "000\n{\"ü"))
                .await
                .unwrap()
                .is_none()
        );
        restored(&text, &store, Over::Anything).await.unwrap();
        assert!(
            store
                .get(&key(Table::Revoked, "since"))
                .await
                .unwrap()
                .is_some(),
            "a revocation was forgotten"
        );
    }

    #[tokio::test]
    async fn a_counter_never_goes_back() {
        let before = Memory::new(clock());
        before.bump("generation/1", None).await.unwrap();
        before.bump("other", None).await.unwrap();
        let text = backup(&before).await;
        let today = Memory::new(clock());
        for _ in 0..3 {
            today.bump("generation/1", None).await.unwrap();
        }
        restored(&text, &today, Over::Anything).await.unwrap();
        assert_eq!(today.count("generation/1").await.unwrap(), 3);
        assert_eq!(today.count("other").await.unwrap(), 1);
    }

    #[tokio::test]
    async fn what_lasts_comes_back_as_it_was_and_what_does_not_stays_away() {
        let store = filled().await;
        let text = backup(&store).await;
        let empty = Memory::new(clock());
        let count = restored(&text, &empty, Over::Nothing).await.unwrap();
        assert_eq!(count, 150 * 10);
        for table in Table::ALL {
            let wanted = store.scan(table, "", None, 1000).await.unwrap();
            let found = empty.scan(table, "", None, 1000).await.unwrap();
            if TRANSIENT.contains(&table) {
                assert!(found.is_empty(), "{table}");
                continue;
            }
            assert_eq!(found.len(), 150, "{table}");
            for ((id, was), (same, is)) in wanted.iter().zip(&found) {
                assert_eq!(
                    (id, &was.value, was.expires_at),
                    (same, &is.value, is.expires_at)
                );
            }
        }
        assert_eq!(backup(&empty).await, text, "a backup of it is another");
        let later = clock().now().plus(Duration::from_secs(60));
        let empty = Memory::new(clock());
        let count = restore(&empty, later, &mut Cursor::new(&text), Over::Nothing).await;
        assert_eq!(count.unwrap(), 149 * 10, "one of each table is over");
    }
}
