//! `sallygate store`: what is in the store, and how it is saved and brought back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::desk::{Desk, Needs, Order, absolute, at_desk};
use super::serving::runtime;
use super::start::Source;
use super::{Exit, Output};
use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::control::{self, Refusal};
use crate::secret::Secret;
use crate::store::backup::Over;
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
/// A gateway that runs with the store writes the file itself, beside its traffic.
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
    /// The store that the command line names, where it does.
    fn named(&self, clock: &Clock) -> Option<Result<Arc<dyn crate::store::Store>, String>> {
        let named = self.store.as_ref()?;
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
        Some(open(&settings, clock).map_err(|error| error.to_string()))
    }

    /// The file that has to be there, since opening would make it.
    fn is_there(&self, file: &Path) -> Result<(), String> {
        let named = self.store.as_ref();
        let file = match named {
            Some(named) if named.contains("://") => return Ok(()),
            Some(named) => Path::new(named),
            None => file,
        };
        match file.exists() {
            true => Ok(()),
            false => Err(format!("there is no store at {}", file.display())),
        }
    }
}

impl Store {
    pub(super) fn run(&self, env: &Environment, out: &mut Output<'_>) -> Exit {
        let which = match self {
            Self::Status(status) => &status.which,
            Self::Backup(backup) => &backup.which,
            Self::Restore(restore) => &restore.which,
        };
        let done = match which.store {
            Some(_) => self.on_named(which),
            None => match which.source.config_without_upstream(env, out) {
                Some(config) => self.on_configured(which, &config),
                None => return Exit::Failed,
            },
        };
        match done {
            Ok(document) => {
                self.tell(&document, out);
                Exit::Done
            }
            Err(problem) => {
                out.trouble(problem);
                Exit::Failed
            }
        }
    }

    /// The store of a configuration: the gateway that runs with it has it, or nobody.
    fn on_configured(&self, which: &Which, config: &Config) -> Result<Value, String> {
        let restores = matches!(self, Self::Restore(_));
        if config.store.url.is_none() && !restores {
            which.is_there(&config.store.file)?;
        }
        let order = match self {
            Self::Status(_) => Order::get("/store/status"),
            Self::Backup(it) => {
                Order::post("/store/backup").with(&json!({ "file": absolute(&it.backup)? }))
            }
            Self::Restore(it) => {
                let file = absolute(&it.backup)?;
                Order::post("/store/restore").with(&json!({ "file": file, "force": it.force }))
            }
        };
        at_desk(config, Needs::Store, async |desk| match desk {
            Desk::Gateway(_) if restores => {
                Err("a gateway runs with this store; stop it first".into())
            }
            desk => desk.order(&order).await,
        })
    }

    /// A store that no configuration speaks of; there is no trail for it either.
    fn on_named(&self, which: &Which) -> Result<Value, String> {
        if !matches!(self, Self::Restore(_)) {
            which.is_there(Path::new(""))?;
        }
        let runtime = runtime().map_err(|error| error.to_string())?;
        let _entered = runtime.enter();
        let clock = Clock::system();
        let store = which.named(&clock).ok_or("no store is named")??;
        let done = async {
            match self {
                Self::Status(_) => control::status_of(&*store).await,
                Self::Backup(it) => {
                    let file = absolute(&it.backup).map_err(Refusal::invalid)?;
                    control::save(store, &clock, file).await
                }
                Self::Restore(it) => {
                    let file = absolute(&it.backup).map_err(Refusal::invalid)?;
                    let over = match it.force {
                        true => Over::Anything,
                        false => Over::Nothing,
                    };
                    control::refill(store, &clock, file, over).await
                }
            }
        };
        runtime.block_on(done).map_err(|refusal| refusal.message)
    }

    fn tell(&self, document: &Value, out: &mut Output<'_>) {
        let count = document.get("records").and_then(Value::as_u64).unwrap_or(0);
        match self {
            Self::Status(_) => tell_status(document, out),
            Self::Backup(it) => {
                out.line(format_args!("{count} records in {}", it.backup.display()));
            }
            Self::Restore(_) => out.line(format_args!("{count} records restored")),
        }
    }
}

fn tell_status(document: &Value, out: &mut Output<'_>) {
    out.line(document.get("store").and_then(Value::as_str).unwrap_or("?"));
    let records = document.get("records").and_then(Value::as_object);
    for (table, count) in records.into_iter().flatten() {
        out.line(format_args!("{table:>12} {count}"));
    }
    let warnings = document.get("warnings").and_then(Value::as_array);
    for warning in warnings.into_iter().flatten().filter_map(Value::as_str) {
        out.trouble(format_args!("warning: {warning}"));
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
