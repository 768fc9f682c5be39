//! Keys that the gateway makes for itself on its first run and finds again on the next: 32 random bytes as hex in a file
//! that only its owner may read, in a folder that only its owner may enter.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::random;
use crate::secret::Secret;

/// Any of these bits lets somebody else in.
const LOOSE_BITS: u32 = 0o077;
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
    /// The file holds something else.
    #[error("{0} does not hold 64 hex digits")]
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
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
    {
        Ok(mut file) => {
            let key = Zeroizing::new(random::hex::<32>()?);
            file.write_all(key.as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(io)?;
            Ok(Secret::new(key.to_string()))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(&path),
        Err(error) => Err(io(error)),
    }
}

fn read(path: &Path) -> Result<Secret<String>, KeyFileError> {
    let io = |source| KeyFileError::Io {
        path: path.into(),
        source,
    };
    let file = OpenOptions::new().read(true).open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.mode() & 0o777;
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
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

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
