//! `sallygate init`: a commented configuration, keys that only their owner can read, a development certificate, and a
//! `.gitignore` that keeps keys and their backups out of version control. What is there already is never overwritten.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::Args;

use super::keys::write_private;
use super::{Exit, Output};
use crate::config::DEFAULT_FILE;
use crate::devcert::{self, CA_FILE, DevCertError};
use crate::random;

/// Writes a configuration and keys to start from
///
/// Writes sallygate.yaml, keys in .sallygate/keys (mode 600 in a folder with mode 700), a development certificate for this
/// machine alone in .sallygate, and adds to .gitignore what must not be committed. Nothing that is there already is
/// overwritten: if the configuration or a key exists, nothing is written; a development certificate that is still good
/// is kept.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  sallygate init\n  sallygate init --dir /etc/sallygate\n\nThen name your MCP server in sallygate.yaml and run `sallygate check`."
)]
pub struct Init {
    /// Folder to write to
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

const TEMPLATE: &str = include_str!("init.yaml");
const KEYS: [&str; 3] = ["signing.key", "audit.key", "sessions.key"];
/// What must never be committed (R485, R602-R604).
pub(super) const IGNORED: [&str; 9] = [
    "/.sallygate",
    ".env",
    "*-secrets/",
    "*.key",
    "*.pem",
    "*.p12",
    "*.backup",
    "*.bak",
    "*~",
];

/// Why nothing, or not everything, was written.
#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("{0} is there already; nothing was written")]
    Exists(PathBuf),
    #[error("{0} cannot be written: {1}")]
    Unwritable(PathBuf, #[source] io::Error),
    #[error(transparent)]
    NoRandomness(#[from] random::NoRandomness),
    #[error(transparent)]
    DevCert(#[from] DevCertError),
}

impl Init {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Exit {
        match self.write() {
            Ok(written) => {
                for file in written {
                    out.line(format_args!("wrote {}", file.display()));
                }
                out.line(format_args!(
                    "\nclients on this machine must trust {}",
                    self.state().join(CA_FILE).display()
                ));
                out.line(format_args!(
                    "name your MCP server in {DEFAULT_FILE}, then: sallygate check"
                ));
                Exit::Done
            }
            Err(error) => {
                out.trouble(error);
                Exit::Failed
            }
        }
    }

    /// The `state_dir` of the configuration that is written.
    fn state(&self) -> PathBuf {
        self.dir.join(".sallygate")
    }

    fn write(&self) -> Result<Vec<PathBuf>, InitError> {
        let keys = self.state().join("keys");
        let config = self.dir.join(DEFAULT_FILE);
        let mut files = vec![config.clone()];
        files.extend(KEYS.map(|name| keys.join(name)));
        if let Some(there) = files.iter().find(|file| file.exists()) {
            return Err(InitError::Exists(there.clone()));
        }
        private_folder(&keys).map_err(|error| InitError::Unwritable(keys.clone(), error))?;
        let made = devcert::ensure(&self.state(), &[])?;
        files.extend([made.ca_file, made.cert_file, made.key_file]);
        for name in KEYS {
            let key = format!("{}\n", random::hex::<32>()?);
            let file = keys.join(name);
            write_private(&file, &key).map_err(|error| InitError::Unwritable(file, error))?;
        }
        write_private(&config, TEMPLATE)
            .map_err(|error| InitError::Unwritable(config.clone(), error))?;
        let ignore = self.dir.join(".gitignore");
        if ignore_more(&ignore).map_err(|error| InitError::Unwritable(ignore.clone(), error))? {
            files.push(ignore);
        }
        Ok(files)
    }
}

/// A folder, and those above it that are not there yet, that only their owner can enter.
fn private_folder(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Adds the missing lines; says whether there were any.
fn ignore_more(file: &Path) -> io::Result<bool> {
    let mut text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let missing = not_ignored(&text);
    if missing.is_empty() {
        return Ok(false);
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for line in missing {
        text.push_str(line);
        text.push('\n');
    }
    fs::write(file, text).map(|()| true)
}

/// What a `.gitignore` does not name.
pub(super) fn not_ignored(text: &str) -> Vec<&'static str> {
    let bare = |line: &str| {
        line.trim()
            .trim_start_matches('/')
            .trim_end_matches('/')
            .to_owned()
    };
    let lines: Vec<String> = text.lines().map(bare).collect();
    IGNORED
        .into_iter()
        .filter(|wanted| !lines.contains(&bare(wanted)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::{Certificate, Environment, Transport, load};

    fn init(dir: &Path) -> (Exit, String) {
        let (mut result, mut trouble) = (Vec::new(), Vec::new());
        let exit = Init {
            dir: dir.to_owned(),
        }
        .run(&mut Output::new(&mut result, &mut trouble));
        result.append(&mut trouble);
        (exit, String::from_utf8(result).unwrap())
    }

    #[test]
    fn what_is_there_is_not_overwritten_and_nothing_else_is_written() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(DEFAULT_FILE), "mine").unwrap();
        let (exit, said) = init(folder.path());
        assert_eq!(exit, Exit::Failed);
        assert!(
            said.ends_with("sallygate.yaml is there already; nothing was written\n"),
            "{said}"
        );
        assert_eq!(
            fs::read_to_string(folder.path().join(DEFAULT_FILE)).unwrap(),
            "mine"
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_first_configuration_has_no_mistake_and_no_warning() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(init(folder.path()).0, Exit::Done);
        let file = folder.path().join(DEFAULT_FILE);
        let (config, warnings) = load(&file, &Environment::default()).unwrap();
        assert_eq!(warnings, []);
        assert_eq!(config.secret_files.len(), KEYS.len());
        assert_eq!(init(folder.path()).0, Exit::Failed);
    }

    #[test]
    fn the_development_certificate_is_the_one_that_the_first_configuration_serves() {
        let folder = tempfile::tempdir().unwrap();
        let (_, said) = init(folder.path());
        let (config, _) = load(&folder.path().join(DEFAULT_FILE), &Environment::default()).unwrap();
        let Transport::Tls(tls) = &config.listen.transport else {
            panic!("{:?}", config.listen.transport);
        };
        let Certificate::Development { dir } = &tls.certificate else {
            panic!("{:?}", tls.certificate);
        };
        let read = |name: &str| fs::read(folder.path().join(".sallygate").join(name)).unwrap();
        let before = read(CA_FILE);
        let served = devcert::ensure(dir, &[]).unwrap();
        assert_eq!(fs::read(&served.ca_file).unwrap(), before);
        for file in [&served.ca_file, &served.cert_file, &served.key_file] {
            let mode = fs::metadata(file).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600);
            assert!(
                said.contains(&format!("wrote {}\n", file.display())),
                "{said}"
            );
        }
        assert!(said.contains("must trust"), "{said}");
    }

    #[test]
    fn a_state_folder_that_others_can_enter_gets_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join(".sallygate");
        fs::create_dir(&state).unwrap();
        fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
        let (exit, said) = init(folder.path());
        assert_eq!(exit, Exit::Failed);
        assert!(said.contains("has mode 0755"), "{said}");
        assert!(!folder.path().join(DEFAULT_FILE).exists());
        assert!(!state.join("keys").join(KEYS[0]).exists());
    }

    #[test]
    fn keys_are_for_their_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        init(folder.path());
        let mode = |name: &str| {
            fs::metadata(folder.path().join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(mode(".sallygate"), 0o700);
        assert_eq!(mode(".sallygate/keys"), 0o700);
        for name in KEYS {
            assert_eq!(mode(&format!(".sallygate/keys/{name}")), 0o600);
        }
        assert_eq!(mode(DEFAULT_FILE), 0o600);
    }

    #[test]
    fn r485_r603_r604_gitignore_gets_what_it_lacks_and_keeps_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(".gitignore");
        fs::write(&file, "target\n.env\n*.key").unwrap();
        init(folder.path());
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("target\n.env\n*.key\n/.sallygate\n"),
            "{text}"
        );
        assert_eq!(text.matches(".env").count(), 1);
        assert_eq!(not_ignored(&text), Vec::<&str>::new());
        for pattern in IGNORED {
            let without: String = text
                .lines()
                .filter(|line| *line != pattern)
                .map(|line| format!("{line}\n"))
                .collect();
            assert_eq!(not_ignored(&without), [pattern]);
        }
    }
}
