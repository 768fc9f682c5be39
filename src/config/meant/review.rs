//! Where mistakes and warnings of meaning are noted, and where files that settings name are found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::keys::{KEY_BYTES, PASSPHRASE_BYTES, decode, strong};
use crate::config::mistake::{Mistake, Origin, Warning};
use crate::config::raw::Literal;
use crate::secret::Secret;

/// The largest file with one secret in it.
const SECRET_FILE_BYTES: u64 = 64 * 1024;

/// Mistakes and warnings so far, and what is needed to place them.
pub(in crate::config) struct Review {
    pub(in crate::config) mistakes: Vec<Mistake>,
    pub(in crate::config) warnings: Vec<Warning>,
    pub(super) secret_files: Vec<(String, PathBuf)>,
    pub(super) files: Vec<(String, PathBuf)>,
    base: PathBuf,
    pub(in crate::config) places: BTreeMap<String, Origin>,
    keys: Vec<(String, Secret<Vec<u8>>)>,
}

impl Review {
    /// A review of settings written at `places`; relative files start at `base`.
    pub(in crate::config) fn new(base: &Path, places: BTreeMap<String, Origin>) -> Self {
        Self {
            mistakes: Vec::new(),
            warnings: Vec::new(),
            secret_files: Vec::new(),
            files: Vec::new(),
            base: base.to_owned(),
            places,
            keys: Vec::new(),
        }
    }

    /// Notes a mistake.
    pub(super) fn mistake(
        &mut self,
        path: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let mistake = Mistake::new(path, message).help(help).at(self.origin(path));
        self.mistakes.push(mistake);
    }

    /// Notes a warning.
    pub(super) fn warn(&mut self, path: &str, message: impl Into<String>, help: impl Into<String>) {
        let warning = Mistake::new(path, message).help(help).at(self.origin(path));
        self.warnings.push(warning);
    }

    /// Where the setting was written, or else the table that it is missing from.
    fn origin(&self, path: &str) -> Origin {
        let mut path = path;
        loop {
            if let Some(origin) = self.places.get(path) {
                return origin.clone();
            }
            match path.rfind(['.', '[']).and_then(|at| path.get(..at)) {
                Some(parent) => path = parent,
                None => return Origin::Default,
            }
        }
    }

    /// A file that a setting names; relative names start at the folder of the configuration.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// Notes a file or folder whose content is a part of what the setting says.
    pub(super) fn depends_on(&mut self, path: &str, file: &Path) {
        self.files.push((path.to_owned(), file.to_owned()));
    }

    /// A file that a setting names and that must be there.
    pub(super) fn existing(&mut self, path: &str, name: &str) -> PathBuf {
        let file = self.file(name);
        self.depends_on(path, &file);
        if let Err(error) = std::fs::File::open(&file) {
            self.mistake(
                path,
                format!("{} cannot be read: {error}", file.display()),
                "name a file that is there; relative names start at the folder of the configuration",
            );
        }
        file
    }

    /// A key of at least 32 random bytes, given as a literal or in a file.
    pub(super) fn key(
        &mut self,
        path: &str,
        literal: Option<&Literal>,
        file: Option<&str>,
    ) -> Option<Secret<Vec<u8>>> {
        self.key_text(path, literal, file, KEY_BYTES)
            .map(|text| decode(text.expose()))
    }

    /// A key that may be a passphrase, since it is stretched before it seals anything.
    pub(super) fn stretched_key(
        &mut self,
        path: &str,
        literal: Option<&Literal>,
        file: Option<&str>,
    ) -> Option<Secret<Vec<u8>>> {
        self.key_text(path, literal, file, PASSPHRASE_BYTES)
            .map(|text| decode(text.expose()))
    }

    /// A key of HS256 signatures: its text is its bytes, hex or not, for so does everybody else who signs with a
    /// `JWT_SECRET`.
    pub(super) fn signing_key(
        &mut self,
        path: &str,
        literal: Option<&Literal>,
        file: Option<&str>,
    ) -> Option<Secret<Vec<u8>>> {
        let text = self.key_text(path, literal, file, KEY_BYTES)?;
        Some(Secret::new(text.expose().as_bytes().to_vec()))
    }

    /// A secret that somebody else chose: a password, a client secret, an address with either in it.
    pub(super) fn secret_text(
        &mut self,
        path: &str,
        literal: Option<&Literal>,
        file: Option<&str>,
    ) -> Option<Secret<String>> {
        let file_path = format!("{path}_file");
        match (literal, file) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                let both = format!("`{path}` is written as well");
                self.mistake(&file_path, both, "keep one of the two");
                None
            }
            (Some(Literal(text)), None) => Some(text.clone()),
            (None, Some(name)) => self.secret_file(&file_path, name),
        }
    }

    /// The text of a key that is strong and not used twice, however it is read afterwards.
    fn key_text(
        &mut self,
        path: &str,
        literal: Option<&Literal>,
        file: Option<&str>,
        least: usize,
    ) -> Option<Secret<String>> {
        let file_path = format!("{path}_file");
        let (path, text) = match (literal, file) {
            (None, None) => return None,
            (Some(_), Some(_)) => {
                let both = format!("`{path}` is written as well");
                self.mistake(&file_path, both, "keep one of the two");
                return None;
            }
            (Some(Literal(text)), None) => (path, text.clone()),
            (None, Some(name)) => (file_path.as_str(), self.secret_file(&file_path, name)?),
        };
        let key = decode(text.expose());
        if let Err(weak) = strong(key.expose(), least) {
            self.mistake(
                path,
                weak.to_string(),
                "make one with `sallygate keys generate`",
            );
            return None;
        }
        self.keys.push((path.to_owned(), key));
        Some(text)
    }

    /// The text of a file with one secret in it.
    pub(super) fn secret_file(&mut self, path: &str, name: &str) -> Option<Secret<String>> {
        let file = self.existing(path, name);
        self.secret_files.push((path.to_owned(), file.clone()));
        let size = std::fs::metadata(&file).ok()?.len();
        if size > SECRET_FILE_BYTES {
            let message = format!("{} has more than {SECRET_FILE_BYTES} bytes", file.display());
            self.mistake(path, message, "put the key alone into the file");
            return None;
        }
        match std::fs::read_to_string(&file) {
            Ok(text) => Some(Secret::new(text.trim().to_owned())),
            Err(_) => {
                let message = format!("{} holds no text", file.display());
                self.mistake(path, message, "write the key as 64 hex digits");
                None
            }
        }
    }

    /// One key for two purposes is none for either (R083).
    pub(super) fn keys_differ(&mut self) {
        let keys = std::mem::take(&mut self.keys);
        for (index, (path, key)) in keys.iter().enumerate() {
            let before = keys.iter().take(index);
            if let Some((other, _)) = before
                .into_iter()
                .find(|(_, other)| key.ct_eq(other.expose()))
            {
                self.mistake(
                    path,
                    format!("is the same key as `{other}`"),
                    "make one for each purpose with `sallygate keys generate`",
                );
            }
        }
    }
}
