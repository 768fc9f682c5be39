//! The files that a configuration names: what is in them, so that a change of a certificate is a change of the configuration,
//! and how they look from outside, so that a change is noticed without reading them every second.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::config::Config;

/// What is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Print {
    Content([u8; 32]),
    /// A folder: the files in it that matter are named themselves.
    Folder,
    Unreadable,
}

/// The files of one configuration, as they were when it was read.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct Files {
    named: Vec<(String, PathBuf)>,
    prints: BTreeMap<PathBuf, Print>,
}

impl Files {
    /// Reads every file that the configuration names. It waits for the disk.
    pub(in crate::gateway) fn of(config: &Config) -> Self {
        let named = config.files.clone();
        let prints = named
            .iter()
            .map(|(_, file)| (file.clone(), print(file)))
            .collect();
        Self { named, prints }
    }

    /// Where they are.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.prints.keys().map(PathBuf::as_path)
    }

    /// Adds what the files say, except those of these settings, which hold secrets.
    pub(super) fn digest(&self, into: &mut Sha256, secret: &[(String, PathBuf)]) {
        for (setting, file) in &self.named {
            if secret.iter().any(|(_, secret)| secret == file) {
                continue;
            }
            if let Some(Print::Content(print)) = self.prints.get(file) {
                into.update(setting.as_bytes());
                into.update([0]);
                into.update(print);
            }
        }
    }

    fn changed_since(&self, before: &Self) -> (BTreeSet<String>, BTreeSet<PathBuf>) {
        let differs = |file: &PathBuf| self.prints.get(file) != before.prints.get(file);
        let of_either = self.named.iter().chain(&before.named);
        of_either.filter(|(_, file)| differs(file)).cloned().unzip()
    }
}

/// What a new configuration changes, by the names of settings.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct Changes {
    settings: BTreeSet<String>,
    in_files: BTreeSet<String>,
    paths: BTreeSet<PathBuf>,
}

impl Changes {
    pub(super) fn between(before: (&Config, &Files), after: (&Config, &Files)) -> Self {
        let (in_files, paths) = after.1.changed_since(before.1);
        Self {
            settings: after.0.changed_since(before.0),
            in_files,
            paths,
        }
    }

    /// Whether another content was found in this file than before.
    pub(in crate::gateway) fn touch(&self, file: &Path) -> bool {
        self.paths.contains(file)
    }

    /// Whether a file of one of these settings, or of one below them, has another content.
    pub(in crate::gateway) fn files_below(&self, settings: &[&str]) -> bool {
        below(&self.in_files, settings).next().is_some()
    }

    /// The changes to these settings, and to those below them.
    pub(super) fn below(&self, settings: &[&str]) -> Vec<String> {
        let names = self.names();
        below(&names, settings).cloned().collect()
    }

    /// Everything that changed, by name.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.settings.union(&self.in_files).cloned().collect()
    }
}

fn below<'n>(names: &'n BTreeSet<String>, settings: &[&str]) -> impl Iterator<Item = &'n String> {
    names.iter().filter(|name| {
        settings.iter().any(|setting| {
            name.strip_prefix(setting)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', '_']))
        })
    })
}

fn print(file: &Path) -> Print {
    match fs::metadata(file) {
        Ok(data) if data.is_dir() => Print::Folder,
        Ok(data) if data.is_file() => content(file).map_or(Print::Unreadable, Print::Content),
        Ok(_) | Err(_) => Print::Unreadable,
    }
}

fn content(file: &Path) -> io::Result<[u8; 32]> {
    let (mut file, mut digest, mut piece) = (File::open(file)?, Sha256::new(), [0_u8; 16 * 1024]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(digest.finalize().into()),
            read => digest.update(piece.get(..read).unwrap_or_default()),
        }
    }
}

/// How files look from outside. Two looks that are equal saw the same files: whoever writes into one, moves another into its
/// place, or turns a symbolic link on the way to it, changes one of these figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Look(BTreeMap<PathBuf, Option<Figures>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Figures {
    file: (u64, u64),
    size: u64,
    /// A copy may bring its time along, but not the time of its own last change.
    written: (i64, i64),
    changed: (i64, i64),
}

impl Look {
    /// Looks at files. It waits for the disk.
    pub(super) fn at<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Self {
        let seen = |path: &Path| (path.to_owned(), figures(path));
        Self(paths.into_iter().map(seen).collect())
    }

    /// Whether all these files were looked at.
    pub(super) fn covers<'p>(&self, paths: impl IntoIterator<Item = &'p Path>) -> bool {
        paths.into_iter().all(|path| self.0.contains_key(path))
    }

    /// Forgets all but these files.
    pub(super) fn keep(&mut self, paths: &BTreeSet<PathBuf>) {
        self.0.retain(|path, _| paths.contains(path));
    }

    /// The same files, as they look now.
    pub(super) fn again(&self) -> Self {
        Self::at(self.0.keys().map(PathBuf::as_path))
    }
}

fn figures(path: &Path) -> Option<Figures> {
    let data = fs::metadata(path).ok()?;
    Some(Figures {
        file: (data.dev(), data.ino()),
        size: data.size(),
        written: (data.mtime(), data.mtime_nsec()),
        changed: (data.ctime(), data.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_look_sees_writing_replacing_removing_and_turned_links() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (file, other) = (at("file"), at("other"));
        for (name, text) in [("old", "one"), ("new", "one")] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("key"), text).unwrap();
        }
        symlink(at("old"), at("..data")).unwrap();
        let linked = at("..data").join("key");
        fs::write(&file, "one").unwrap();
        let mut before = Look::at([file.as_path(), linked.as_path()]);
        assert_eq!(before, before.again());
        let mut seen = |what: &str| {
            let now = before.again();
            assert_ne!(now, before, "{what}");
            before = now;
        };
        fs::write(&file, "longer").unwrap();
        seen("written");
        fs::write(&other, "longer").unwrap();
        fs::rename(&other, &file).unwrap();
        seen("replaced by as many bytes");
        fs::remove_file(&file).unwrap();
        seen("removed");
        symlink(at("new"), at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        seen("link turned, to the same bytes");
    }

    #[test]
    fn settings_are_found_below_others_by_whole_words() {
        let names = [
            "listen.tls.key_file",
            "listen.address",
            "metrics",
            "stores[0]",
        ];
        let changes = Changes {
            settings: names.map(String::from).into(),
            ..Changes::default()
        };
        for (asked, found) in [
            (vec!["listen.tls"], vec!["listen.tls.key_file"]),
            (vec!["listen.add", "store", "metric"], vec![]),
            (
                vec!["listen.address", "stores"],
                vec!["listen.address", "stores[0]"],
            ),
        ] {
            assert_eq!(changes.below(&asked), found);
        }
    }
}
