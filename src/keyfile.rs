//! Keys that the gateway makes for itself on its first run and finds again on the next: 32 random bytes as hex in a file
//! that only its owner may read, in a folder that nobody else may write to.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::random;
use crate::secret::Secret;

/// Any of these bits lets somebody else in.
const LOOSE_BITS: u32 = 0o077;
/// Any of these bits lets somebody else put files into a folder.
const WRITABLE_BITS: u32 = 0o022;
/// The hex digits of 32 bytes.
const DIGITS: usize = 64;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file or its folder cannot be used.
    #[error("cannot use {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others may read the file.
    #[error(
        "{path} may be read by others (mode {mode:03o}); run `chmod 600` on it, or remove it to get a new key"
    )]
    Loose {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others may put files into the folder.
    #[error("{path} may be written by others (mode {mode:03o}); run `chmod 700` on it")]
    LooseFolder {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is no file, or holds something else.
    #[error("{0} is no file that holds 64 hex digits; remove it to get a new key")]
    NoKey(PathBuf),
    /// There is no randomness for a new key.
    #[error(transparent)]
    NoRandomness(#[from] random::NoRandomness),
}

/// The key of this name in the folder, made if it is not there yet. Hex text, as the configuration would hold it.
///
/// # Errors
/// [`KeyFileError`], also for a file that others may read: what may be known is no key.
pub fn ensure(dir: &Path, name: &str) -> Result<Secret<String>, KeyFileError> {
    let path = dir.join(name);
    let io = |source| KeyFileError::Io {
        path: path.clone(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(io)?;
    let mode = fs::metadata(dir).map_err(io)?.mode() & 0o777;
    if mode & WRITABLE_BITS != 0 {
        return Err(KeyFileError::LooseFolder {
            path: dir.into(),
            mode,
        });
    }
    if fs::symlink_metadata(&path).is_err() {
        make(dir, &path)?;
    }
    read(&path)
}

/// Writes a new key aside and gives it its name in one step, so that a crash leaves no half of a key, and of two that start
/// together both read the same.
fn make(dir: &Path, path: &Path) -> Result<(), KeyFileError> {
    let io = |source| KeyFileError::Io {
        path: path.into(),
        source,
    };
    let aside = dir.join(format!(".new-{}", random::hex::<8>()?));
    let key = Zeroizing::new(random::hex::<32>()?);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&aside)
        .and_then(|mut file| {
            file.write_all(key.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .and_then(|()| match fs::hard_link(&aside, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
    let _ = fs::remove_file(&aside);
    written.map_err(io)
}

fn read(path: &Path) -> Result<Secret<String>, KeyFileError> {
    let io = |source| KeyFileError::Io {
        path: path.into(),
        source,
    };
    // Whoever can make a link here could make us take a file of theirs for our key.
    let found = fs::symlink_metadata(path).map_err(io)?;
    if !found.is_file() {
        return Err(KeyFileError::NoKey(path.into()));
    }
    let file = OpenOptions::new().read(true).open(path).map_err(io)?;
    let opened = file.metadata().map_err(io)?;
    if (opened.dev(), opened.ino()) != (found.dev(), found.ino()) {
        return Err(KeyFileError::NoKey(path.into()));
    }
    let mode = opened.mode() & 0o777;
    if mode & LOOSE_BITS != 0 {
        return Err(KeyFileError::Loose {
            path: path.into(),
            mode,
        });
    }
    let mut text = Zeroizing::new(String::with_capacity(DIGITS + 2));
    file.take(1024).read_to_string(&mut text).map_err(io)?;
    let key = text.trim();
    if key.len() != DIGITS || !key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(KeyFileError::NoKey(path.into()));
    }
    Ok(Secret::new(key.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        ensure(dir.path(), "signing.key").unwrap();
        fs::set_permissions(
            dir.path().join("signing.key"),
            fs::Permissions::from_mode(0o640),
        )
        .unwrap();
        assert!(matches!(
            ensure(dir.path(), "signing.key"),
            Err(KeyFileError::Loose { mode: 0o640, .. })
        ));
    }

    #[test]
    fn a_link_in_place_of_the_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        ensure(dir.path(), "theirs.key").unwrap();
        symlink(
            dir.path().join("theirs.key"),
            dir.path().join("signing.key"),
        )
        .unwrap();
        assert!(matches!(
            ensure(dir.path(), "signing.key"),
            Err(KeyFileError::NoKey(_))
        ));
        symlink(dir.path().join("nowhere"), dir.path().join("audit.key")).unwrap();
        assert!(matches!(
            ensure(dir.path(), "audit.key"),
            Err(KeyFileError::NoKey(_))
        ));
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let refused = ensure(dir.path(), "signing.key");
        assert!(matches!(
            refused,
            Err(KeyFileError::LooseFolder { mode: 0o777, .. })
        ));
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            0,
            "nothing is left there"
        );
    }

    #[test]
    fn all_that_start_together_have_the_same_key() {
        let dir = tempfile::tempdir().unwrap();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| ensure(dir.path(), "a").unwrap()))
                .collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap().expose().clone())
                .collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "nothing is left aside"
        );
    }

    #[test]
    fn a_file_with_something_else_in_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        ensure(dir.path(), "signing.key").unwrap();
        fs::write(dir.path().join("signing.key"), "short").unwrap();
        assert!(matches!(
            ensure(dir.path(), "signing.key"),
            Err(KeyFileError::NoKey(_))
        ));
    }

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let (made, found) = (ensure(&state, "a").unwrap(), ensure(&state, "a").unwrap());
        assert_eq!(made.expose(), found.expose());
        assert_ne!(made.expose(), ensure(&state, "b").unwrap().expose());
        assert_eq!(
            fs::metadata(&state).unwrap().permissions().mode() & 0o777,
            0o700
        );
    }
}
