//! `sallygate keys`: 32 random bytes as 64 hex digits (R091), printed or put into a file that only its owner can read.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{Exit, Output};
use crate::random;

/// Makes keys
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Makes a key: 32 random bytes as 64 hex digits
    ///
    /// Good for auth.keys (JWT_SECRET), encryption_key (ENCRYPTION_KEY), audit.chain_key and sessions.key. Make one for
    /// each purpose. To rotate a signing key, put the new one in front of auth.keys (or move the old one to
    /// JWT_SECRET_PREVIOUS) and drop the old one after a day.
    #[command(
        verbatim_doc_comment,
        after_help = "Examples:\n  sallygate keys generate\n  sallygate keys generate --out secrets/jwt.key"
    )]
    Generate {
        /// Write the key to a new file (mode 600) instead of printing it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

impl Keys {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Exit {
        let Self::Generate { out: file } = self;
        let key = match random::hex::<32>() {
            Ok(key) => key,
            Err(error) => {
                out.trouble(error);
                return Exit::Failed;
            }
        };
        match file {
            None => out.line(key),
            Some(file) => {
                if let Err(error) = write_private(file, &format!("{key}\n")) {
                    out.trouble(format_args!("{}: {error}", file.display()));
                    return Exit::Failed;
                }
                out.line(format_args!("wrote {}", file.display()));
            }
        }
        Exit::Done
    }
}

/// Writes a new file that only its owner can read; one that is there already is left alone.
pub(super) fn write_private(file: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?
        .write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn generate(file: Option<PathBuf>) -> (Exit, String) {
        let (mut result, mut trouble) = (Vec::new(), Vec::new());
        let exit = Keys::Generate { out: file }.run(&mut Output::new(&mut result, &mut trouble));
        result.append(&mut trouble);
        (exit, String::from_utf8(result).unwrap())
    }

    #[test]
    fn a_key_file_that_is_there_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jwt.key");
        assert_eq!(generate(Some(file.clone())).0, Exit::Done);
        let first = std::fs::read_to_string(&file).unwrap();
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(generate(Some(file.clone())).0, Exit::Failed);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), first);
    }

    #[test]
    fn r091_r272_a_key_is_64_hex_digits_and_never_the_same() {
        let (one, two) = (generate(None), generate(None));
        assert_eq!((one.0, one.1.trim().len()), (Exit::Done, 64));
        assert!(one.1.trim().chars().all(|c| c.is_ascii_hexdigit()));
        assert_ne!(one.1, two.1);
    }
}
