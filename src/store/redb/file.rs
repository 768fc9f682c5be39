//! The file of the embedded store: made for its owner alone, and refused when somebody else could read it, could have put it
//! there, or has it open.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::redb::{Builder, Database, DatabaseError};

use super::layout;
use crate::store::StoreError;

/// Any of these bits lets somebody else in.
const LOOSE_BITS: u32 = 0o077;
/// Any of these bits lets somebody else put files into a folder.
const WRITABLE_BITS: u32 = 0o022;

/// How often, and with what pause, a file that is in use is tried again.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Opens the store in this file, which is made if it is not there, and brings it to today's format.
pub(super) fn open(path: &Path, cache_bytes: usize) -> Result<Database, StoreError> {
    let database = unlocked(path, cache_bytes)?;
    layout::prepare(&database).map_err(|unfit| match unfit {
        layout::Unfit::Newer(format) => StoreError::Unusable(format!(
            "{} has format {format}, which a newer gateway wrote; start that one, or restore a backup",
            path.display()
        )),
        layout::Unfit::Broken(error) => StoreError::Unavailable(error.to_string()),
    })?;
    Ok(database)
}

/// The database, once nobody else has it: a process that is ending may hold it for another moment.
fn unlocked(path: &Path, cache_bytes: usize) -> Result<Database, StoreError> {
    let mut tries = LOCK_TRIES;
    loop {
        let opened = Builder::new()
            .set_cache_size(cache_bytes)
            .create_file(private(path)?);
        match opened {
            Err(DatabaseError::DatabaseAlreadyOpen) if tries > 0 => {
                tries -= 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            opened => return opened.map_err(|error| refused(path, &error)),
        }
    }
}

fn refused(path: &Path, error: &DatabaseError) -> StoreError {
    let path = path.display();
    StoreError::Unusable(match error {
        DatabaseError::DatabaseAlreadyOpen => format!(
            "{path} is in use by another process; stop that one first, or give several gateways a Redis as their store"
        ),
        DatabaseError::UpgradeRequired(version) => {
            format!("{path} has version {version} of redb's format, which cannot be read any more")
        }
        error => format!("{path} cannot be used as a store: {error}"),
    })
}

/// The file, open, in a folder that nobody else may write to.
fn private(path: &Path) -> Result<File, StoreError> {
    let io = |source| unusable(path, &source);
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(io)?;
    let mode = fs::metadata(&folder).map_err(io)?.mode() & 0o777;
    if mode & WRITABLE_BITS != 0 {
        return Err(StoreError::Unusable(format!(
            "{} may be written by others (mode {mode:03o}); run `chmod 700` on it",
            folder.display()
        )));
    }
    let made = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => existing(path),
        made => made.map_err(io),
    }
}

fn existing(path: &Path) -> Result<File, StoreError> {
    let io = |source| unusable(path, &source);
    // Whoever can make a link here could make us take a file of theirs for our store.
    let found = fs::symlink_metadata(path).map_err(io)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(io)?;
    let opened = file.metadata().map_err(io)?;
    if !found.is_file() || (opened.dev(), opened.ino()) != (found.dev(), found.ino()) {
        return Err(StoreError::Unusable(format!(
            "{} is no file of its own; a store is never reached through a link",
            path.display()
        )));
    }
    let mode = opened.mode() & 0o777;
    if mode & LOOSE_BITS != 0 {
        return Err(StoreError::Unusable(format!(
            "{} may be read by others (mode {mode:03o}); run `chmod 600` on it",
            path.display()
        )));
    }
    Ok(file)
}

fn unusable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unusable(format!("{} cannot be used: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn said(path: &Path) -> String {
        open(path, 1 << 20).unwrap_err().to_string()
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_can_reach_is_no_store() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.redb");
        drop(open(&path, 1 << 20).unwrap());
        for mode in [0o604, 0o640, 0o660] {
            set(&path, mode);
            assert!(said(&path).contains("chmod 600"), "{mode:o}");
        }
        set(&path, 0o600);
        let link = dir.path().join("link.redb");
        symlink(&path, &link).unwrap();
        assert!(said(&link).contains("through a link"));
        set(dir.path(), 0o770);
        assert!(said(&path).contains("chmod 700"));
        set(dir.path(), 0o700);
        assert!(open(&path, 1 << 20).is_ok());
    }

    #[test]
    fn a_new_store_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/below/store.redb");
        let _open = open(&path, 1 << 20).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }

    #[test]
    fn a_store_that_is_in_use_says_so_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.redb");
        let _open = open(&path, 1 << 20).unwrap();
        let said = said(&path);
        assert!(said.contains("in use by another process"), "{said}");
        assert!(said.contains("Redis"), "{said}");
    }

    #[test]
    fn a_file_that_is_something_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes.txt");
        fs::write(&path, "no store ".repeat(1000)).unwrap();
        set(&path, 0o600);
        assert!(said(&path).contains("cannot be used as a store"));
        assert!(fs::read_to_string(&path).unwrap().starts_with("no store"));
    }
}
