//! Files that nobody else may read: made with narrow modes, replaced as a whole, and refused where somebody has opened
//! them to others.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::DevCertError;
use crate::random;

const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Any of these bits lets somebody else in.
const LOOSE_BITS: u32 = 0o077;

/// A whole file or none: written under another name, made durable, then renamed.
pub(super) fn write_private(dir: &Path, path: &Path, content: &[u8]) -> Result<(), DevCertError> {
    let draft = dir.join(format!(".draft-{}", random::hex::<8>()?));
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&draft)?;
        // The mode above is narrowed by the umask; a umask of 0777 would lock us out.
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    })();
    written.map_err(|source| {
        let _ = fs::remove_file(&draft);
        io_error(path, source)
    })
}

/// Makes the folder, or refuses one that others can enter.
pub(super) fn private_dir(dir: &Path) -> Result<(), DevCertError> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIR_MODE)
        .create(dir)
        .map_err(|source| io_error(dir, source))?;
    let found = fs::metadata(dir).map_err(|source| io_error(dir, source))?;
    refuse_loose_mode(dir, found.mode(), DIR_MODE)
}

/// Refuses a file that others can read or write, and what is no plain file; one that is missing is well.
pub(super) fn refuse_loose_file(path: &Path) -> Result<(), DevCertError> {
    match fs::symlink_metadata(path) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(io_error(path, source)),
        Ok(found) if !found.is_file() => Err(DevCertError::NotPlain(path.into())),
        Ok(found) => refuse_loose_mode(path, found.mode(), FILE_MODE),
    }
}

fn refuse_loose_mode(path: &Path, mode: u32, wanted: u32) -> Result<(), DevCertError> {
    if mode & LOOSE_BITS == 0 {
        return Ok(());
    }
    Err(DevCertError::Loose {
        path: path.into(),
        mode: mode & 0o7777,
        wanted,
    })
}

/// Waits for the lock; it is released when the file is dropped, also by a crash.
pub(super) fn take_turn(path: &Path) -> Result<File, DevCertError> {
    refuse_loose_file(path)?;
    let open = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(path);
    let file = open.map_err(|source| io_error(path, source))?;
    file.lock().map_err(|source| io_error(path, source))?;
    Ok(file)
}

fn io_error(path: &Path, source: io::Error) -> DevCertError {
    DevCertError::Io {
        path: path.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devcert::ensure;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn files_and_folders_open_to_others_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("dev");
        let files = ensure(&dir, &[]).unwrap();
        for file in [&files.ca_file, &files.cert_file, &files.key_file] {
            set_mode(file, 0o640);
            let refused = ensure(&dir, &[]).unwrap_err();
            assert!(
                matches!(refused, DevCertError::Loose { mode: 0o640, .. }),
                "{refused}"
            );
            set_mode(file, 0o600);
        }
        set_mode(&dir, 0o755);
        let refused = ensure(&dir, &[]).unwrap_err();
        assert!(refused.to_string().contains("0755"), "{refused}");
    }

    #[test]
    fn a_symbolic_link_in_place_of_the_key_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("dev");
        let files = ensure(&dir, &[]).unwrap();
        let elsewhere = home.path().join("elsewhere");
        fs::rename(&files.key_file, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &files.key_file).unwrap();
        assert!(matches!(ensure(&dir, &[]), Err(DevCertError::NotPlain(_))));
    }
}
