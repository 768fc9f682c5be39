//! `sallygate store`: what is in the store, and how it is saved and brought back.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::serving::runtime;
use super::start::Source;
use super::{Exit, Output};
use crate::clock::Clock;
use crate::config::Environment;
use crate::gateway;
use crate::secret::Secret;
use crate::store::backup::{self, Over};
use crate::store::{Settings, open};

/// Shows, saves and restores the store
#[derive(Debug, Subcommand)]
pub enum Store {
    Status(Status),
    Backup(Backup),
    Restore(Restore),
}

/// Which store
#[derive(Args)]
pub(super) struct Which {
    #[command(flatten)]
    source: Source,
    /// Another store than the configured one: redis://… or rediss://…, or the path of a file. Others can see what stands on
    /// a command line; an address with a password belongs into the configuration.
    #[arg(long = "store", value_name = "URL|PATH")]
    store: Option<String>,
    /// The certificate authority of that store
    #[arg(long = "store-ca", value_name = "FILE", requires = "store")]
    ca_file: Option<PathBuf>,
    /// What the keys in that store begin with
    #[arg(long = "store-namespace", value_name = "NAME", requires = "store")]
    namespace: Option<String>,
}

/// Shows which store it is, whether it can be used, what is in it, and what about its set-up is unsafe
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sallygate store status\n  sallygate store status --store .sallygate/store.redb"
)]
pub struct Status {
    #[command(flatten)]
    which: Which,
}

/// Saves everything that lasts to a new file (mode 600)
///
/// The file of an embedded store is in use while a gateway runs: stop that one first. A Redis can be saved at any time.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Example:\n  sallygate store backup monday.ndjson"
)]
pub struct Backup {
    /// The file to write; it must not exist
    #[arg(value_name = "FILE")]
    backup: PathBuf,
    #[command(flatten)]
    which: Which,
}

/// Fills the store from a backup, after proving that it is whole
///
/// Grants are as old as the backup: a client that has refreshed its token since then has to sign in again.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Example:\n  sallygate store restore monday.ndjson"
)]
pub struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    backup: PathBuf,
    /// Write over records that are in the store. Others stay, revocations among them.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    which: Which,
}

impl std::fmt::Debug for Which {
    // The address may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Which").finish_non_exhaustive()
    }
}

impl Which {
    /// Where the store is: as the command line says, or else the configuration.
    fn settings(&self, env: &Environment, out: &mut Output<'_>) -> Option<Settings> {
        let Some(named) = &self.store else {
            let config = self.source.config_without_upstream(env, out)?;
            return Some(gateway::store_settings(&config));
        };
        let mut settings = Settings::default();
        if named.contains("://") {
            settings.url = Some(Secret::new(named.clone()));
        } else {
            settings.path = PathBuf::from(named);
        }
        settings.redis.ca_file.clone_from(&self.ca_file);
        if let Some(namespace) = &self.namespace {
            settings.redis.namespace.clone_from(namespace);
        }
        Some(settings)
    }
}

/// A store that has to be there.
fn open_existing(
    settings: &Settings,
    clock: &Clock,
) -> Result<Arc<dyn crate::store::Store>, String> {
    if settings.url.is_none() && !settings.path.exists() {
        return Err(format!("there is no store at {}", settings.path.display()));
    }
    open(settings, clock).map_err(|error| error.to_string())
}

impl Store {
    pub(super) fn run(&self, env: &Environment, out: &mut Output<'_>) -> Exit {
        let which = match self {
            Self::Status(status) => &status.which,
            Self::Backup(backup) => &backup.which,
            Self::Restore(restore) => &restore.which,
        };
        let Some(settings) = which.settings(env, out) else {
            return Exit::Failed;
        };
        let done = match runtime() {
            Err(error) => Err(error.to_string()),
            Ok(runtime) => runtime.block_on(async {
                match self {
                    Self::Status(_) => status(&settings, out).await,
                    Self::Backup(backup) => backup.run(&settings, out).await,
                    Self::Restore(restore) => restore.run(&settings, out).await,
                }
            }),
        };
        match done {
            Ok(()) => Exit::Done,
            Err(problem) => {
                out.trouble(problem);
                Exit::Failed
            }
        }
    }
}

async fn status(settings: &Settings, out: &mut Output<'_>) -> Result<(), String> {
    let store = open_existing(settings, &Clock::system())?;
    out.line(store.describe());
    store.ready().await.map_err(|error| error.to_string())?;
    let counts = backup::counts(&*store).await;
    for (table, count) in counts.map_err(|error| error.to_string())? {
        out.line(format_args!("{:>12} {count}", table.name()));
    }
    for warning in store.warnings().await.map_err(|error| error.to_string())? {
        out.trouble(format_args!("warning: {warning}"));
    }
    Ok(())
}

impl Backup {
    async fn run(&self, settings: &Settings, out: &mut Output<'_>) -> Result<(), String> {
        let clock = Clock::system();
        let store = open_existing(settings, &clock)?;
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", self.backup.display());
        let file = private(&self.backup).map_err(|error| failed(&error))?;
        let mut to = BufWriter::new(file);
        let saved = match backup::write(&*store, clock.now(), &mut to).await {
            Ok(count) => sync(to).map(|()| count).map_err(|error| failed(&error)),
            Err(error) => Err(error.to_string()),
        };
        // Half a backup would only mislead.
        let count = saved.inspect_err(|_| drop(std::fs::remove_file(&self.backup)))?;
        out.line(format_args!("{count} records in {}", self.backup.display()));
        Ok(())
    }
}

fn private(file: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
}

fn sync(mut to: BufWriter<File>) -> std::io::Result<()> {
    to.flush()?;
    to.get_ref().sync_all()
}

impl Restore {
    async fn run(&self, settings: &Settings, out: &mut Output<'_>) -> Result<(), String> {
        let clock = Clock::system();
        let mut from = File::open(&self.backup)
            .map_err(|error| format!("{}: {error}", self.backup.display()))?;
        let store = open(settings, &clock).map_err(|error| error.to_string())?;
        let over = if self.force {
            Over::Anything
        } else {
            Over::Nothing
        };
        let restored = backup::restore(&*store, clock.now(), &mut from, over).await;
        let count = restored.map_err(|error| match error {
            backup::BackupError::NotEmpty => format!("{error}: --force"),
            error => error.to_string(),
        })?;
        out.line(format_args!("{count} records restored"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, run};
    use crate::store::{Key, Redb, Store as _, Table, redb};

    /// What a command line ends with and says.
    fn sallygate(words: &[&str]) -> (Exit, String) {
        sallygate_in(&Environment::default(), words)
    }

    fn sallygate_in(env: &Environment, words: &[&str]) -> (Exit, String) {
        let words = ["sallygate", "store"].iter().chain(words);
        let cli = Cli::try_parse_from(words).unwrap();
        let (mut result, mut trouble) = (Vec::new(), Vec::new());
        let exit = run(&cli, env, &mut Output::new(&mut result, &mut trouble));
        result.append(&mut trouble);
        (exit, String::from_utf8(result).unwrap())
    }

    struct Place(tempfile::TempDir);

    impl Place {
        fn path(&self, name: &str) -> String {
            self.0.path().join(name).to_str().unwrap().to_owned()
        }

        fn store(&self, name: &str) -> Redb {
            let path = self.path(name);
            Redb::open(
                Path::new(&path),
                &redb::Settings::default(),
                &Clock::system(),
            )
            .unwrap()
        }

        fn put(&self, name: &str, id: &str) {
            let store = self.store(name);
            let key = Key::new(Table::Grant, id);
            let put = store.put(&key, b"canary-not-a-real-hash".to_vec(), None);
            runtime().unwrap().block_on(put).unwrap();
        }
    }

    fn place() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    #[test]
    fn what_cannot_be_saved_or_restored_is_said() {
        let place = place();
        let (store, backup) = (place.path("store.redb"), place.path("backup"));
        let (exit, said) = sallygate(&["backup", &backup, "--store", &store]);
        assert_eq!(exit, Exit::Failed);
        assert!(said.contains("no store at"), "{said}");
        place.put("store.redb", "one");
        let busy = place.store("store.redb");
        for words in [
            &["status"][..],
            &["backup", &backup],
            &["restore", "/dev/null"],
        ] {
            let (exit, said) = sallygate(&[words, &["--store", &store]].concat());
            assert_eq!(exit, Exit::Failed);
            assert!(said.contains("in use by another process"), "{said}");
        }
        drop(busy);
        std::fs::write(&backup, "mine").unwrap();
        let (exit, _) = sallygate(&["backup", &backup, "--store", &store]);
        assert_eq!(exit, Exit::Failed);
        assert_eq!(std::fs::read_to_string(&backup).unwrap(), "mine");
        let (exit, said) = sallygate(&["restore", &backup, "--store", &store, "--force"]);
        assert_eq!(exit, Exit::Failed);
        assert!(said.contains("damaged"), "{said}");
    }

    #[test]
    fn without_a_name_it_is_the_configured_store() {
        let place = place();
        let env = Environment::default().with("SALLYGATE_STATE_DIR", &place.path("state"));
        let (exit, said) = sallygate_in(&env, &["status"]);
        assert_eq!(exit, Exit::Failed);
        assert!(said.contains(&place.path("state")), "{said}");
        place.put("state/store.redb", "one");
        let (exit, said) = sallygate_in(&env, &["status"]);
        assert_eq!(exit, Exit::Done, "{said}");
        assert!(said.contains("       grant 1"), "{said}");
    }

    #[test]
    fn an_address_with_a_password_is_not_repeated() {
        let url = "redis://:canary-password@127.0.0.1:1/";
        let (exit, said) = sallygate(&["status", "--store", url]);
        assert_eq!(exit, Exit::Failed);
        assert!(said.contains("not available"), "{said}");
        assert!(!said.contains("canary"), "{said}");
        let cli = Cli::try_parse_from(["sallygate", "store", "status", "--store", url]);
        assert!(!format!("{:?}", cli.unwrap()).contains("canary"));
    }

    #[test]
    fn a_backup_moves_a_store_and_is_its_owners_alone() {
        let place = place();
        let (old, new, backup) = (place.path("old"), place.path("new"), place.path("backup"));
        place.put("old", "one");
        let (exit, said) = sallygate(&["backup", &backup, "--store", &old]);
        assert_eq!(exit, Exit::Done, "{said}");
        let mode = std::fs::metadata(&backup).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for (force, wanted) in [
            (false, Exit::Done),
            (false, Exit::Failed),
            (true, Exit::Done),
        ] {
            let mut words = vec!["restore", &backup, "--store", &new];
            words.extend(force.then_some("--force"));
            let (exit, said) = sallygate(&words);
            assert_eq!(exit, wanted, "{said}");
            assert_eq!(said.contains("--force"), wanted == Exit::Failed, "{said}");
        }
        let (exit, said) = sallygate(&["status", "--store", &new]);
        assert_eq!(exit, Exit::Done);
        assert!(said.contains("       grant 1"), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
}
