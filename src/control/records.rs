//! What operators do about the store as a whole. A gateway that runs has its file to itself, so it counts and saves it; a
//! backup is brought back only where none runs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::people::{People, on};
use super::verbs::{Call, Outcome, Refusal, Verbs};
use crate::clock::Clock;
use crate::store::Store;
use crate::store::backup::{self, BackupError, Over};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    file: PathBuf,
    #[serde(default)]
    force: bool,
}

/// The verbs of a gateway that runs.
pub(super) fn add(verbs: Verbs, people: &People) -> Verbs {
    verbs
        .on(
            Method::GET,
            "/store/status",
            "store_status",
            on(people, status),
        )
        .on(
            Method::POST,
            "/store/backup",
            "store_backup",
            on(people, write),
        )
}

/// The same with the one that only the command line has, where no gateway runs.
pub fn also_restore(verbs: Verbs, people: &People) -> Verbs {
    let restore = on(people, restore);
    verbs.on(Method::POST, "/store/restore", "store_restore", restore)
}

async fn status(people: People, _call: Call) -> Outcome {
    let mut document = status_of(&*people.store).await?;
    if let Some(members) = document.as_object_mut() {
        let current = people.revocations.ready();
        members.insert("revocations_current".into(), current.into());
    }
    Ok(document)
}

async fn write(people: People, call: Call) -> Outcome {
    let named: Named = call.said()?;
    save(people.store, &people.clock, named.file).await
}

async fn restore(people: People, call: Call) -> Outcome {
    let named: Named = call.said()?;
    let over = match named.force {
        true => Over::Anything,
        false => Over::Nothing,
    };
    refill(people.store, &people.clock, named.file, over).await
}

/// Which store it is, what is in it, and what about its set-up is unsafe.
///
/// # Errors
/// [`Refusal`] when it cannot be used.
pub async fn status_of(store: &dyn Store) -> Outcome {
    store.ready().await.map_err(Refusal::failed)?;
    let counts = backup::counts(store).await.map_err(Refusal::failed)?;
    let count = |(table, count): (crate::store::Table, u64)| (table.name().into(), count.into());
    let records: Map<String, Value> = counts.into_iter().map(count).collect();
    let warnings = store.warnings().await.map_err(Refusal::failed)?;
    Ok(json!({ "store": store.describe(), "records": records, "warnings": warnings }))
}

/// Saves everything that lasts to a new file that only its owner can read.
///
/// # Errors
/// [`Refusal`]; there is no file then, unless it was there before.
pub async fn save(store: Arc<dyn Store>, clock: &Clock, file: PathBuf) -> Outcome {
    let now = clock.now();
    let saved = in_the_background(move |handle| {
        let failed = |error: &dyn ToString| trouble(&file, error);
        let mut to = BufWriter::new(private(&file).map_err(|error| failed(&error))?);
        let written = handle.block_on(backup::write(&*store, now, &mut to));
        let saved = match written {
            Ok(count) => sync(to).map(|()| count).map_err(|error| failed(&error)),
            Err(error) => Err(Refusal::failed(error)),
        };
        // Half a backup would only mislead.
        saved.inspect_err(|_| drop(fs::remove_file(&file)))
    });
    Ok(json!({ "records": saved.await? }))
}

/// Fills a store from a backup, after proving that it is whole.
///
/// # Errors
/// [`Refusal`].
pub async fn refill(store: Arc<dyn Store>, clock: &Clock, file: PathBuf, over: Over) -> Outcome {
    let now = clock.now();
    let restored = in_the_background(move |handle| {
        let mut from = absolute(&file)
            .and_then(File::open)
            .map_err(|error| trouble(&file, &error))?;
        let restored = handle.block_on(backup::restore(&*store, now, &mut from, over));
        restored.map_err(|error| match error {
            BackupError::NotEmpty => Refusal::failed(format!("{error}: --force")),
            error => Refusal::failed(error),
        })
    });
    Ok(json!({ "records": restored.await? }))
}

/// Files are waited for, so it happens on a thread that may wait.
async fn in_the_background<T: Send + 'static>(
    work: impl FnOnce(Handle) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let handle = Handle::current();
    let done = spawn_blocking(move || work(handle)).await;
    done.map_err(Refusal::failed)?
}

fn trouble(file: &Path, error: &dyn ToString) -> Refusal {
    Refusal::failed(format!("{}: {}", file.display(), error.to_string()))
}

/// A gateway has another working folder than whoever gives it orders.
fn absolute(file: &Path) -> io::Result<&Path> {
    match file.is_absolute() {
        true => Ok(file),
        false => Err(io::Error::other("the path has to be absolute")),
    }
}

fn private(file: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(absolute(file)?)
}

fn sync(mut to: BufWriter<File>) -> io::Result<()> {
    to.flush()?;
    to.get_ref().sync_all()
}
