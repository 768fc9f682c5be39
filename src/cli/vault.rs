//! `sallygate vault`: what is sealed under which key, a change of keys, and the way in from the seed's store. Keys come from
//! the configuration and from files, never from the command line (C56).

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::run::explained;
use super::start::Source;
use super::{Exit, Output};
use crate::audit::{ChainKey, Settings as TrailSettings, Sink};
use crate::clock::Clock;
use crate::config::{Config, Environment, VaultMode, key_bytes};
use crate::keyfile;
use crate::secret::Secret;
use crate::store::{Redb, Store, redb};
use crate::vault::v1::V1Key;
use crate::vault::{DUMP_MAX_BYTES, Dump, Keeping, Progress, Rotation, Settings, Status, Vault};

/// Earlier keys, parted by commas: they open and do not seal.
const PREVIOUS: &str = "ENCRYPTION_KEY_PREVIOUS";
/// The key of the audit chain, where the configuration names none.
const AUDIT_KEY: &str = "audit.key";
/// Users between two lines of progress.
const REPORT_EVERY: u64 = 1_000;

/// Looks into the vault, rotates its keys, and fills it
#[derive(Debug, Subcommand)]
pub enum VaultVerb {
    Status(StatusVerb),
    Rotate(Rotate),
    Import(Import),
}

/// Says how much is sealed under which key, and which key may go
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sallygate vault status")]
pub struct StatusVerb {
    #[command(flatten)]
    source: Source,
}

/// Seals everything anew under the current key
///
/// Put the new key into ENCRYPTION_KEY and the old one into ENCRYPTION_KEY_PREVIOUS of every process first. It may be
/// stopped at any time, and goes on where it was when it is run again. The embedded store belongs to one process at a
/// time: with it, the gateway has to be stopped meanwhile.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  sallygate vault rotate\n  sallygate vault rotate --data-keys --retire"
)]
pub struct Rotate {
    #[command(flatten)]
    source: Source,
    /// Give each user a new data key too, and seal every secret anew: after a store was in foreign hands
    #[arg(long)]
    data_keys: bool,
    /// Retire the previous keys when nothing is sealed under them: no process seals with them again
    #[arg(long)]
    retire: bool,
}

/// Takes over secrets from a store whose values are base64(IV, ciphertext, tag) under PBKDF2
///
/// The dump is a JSON object of keys and values (user:12345:api_key or 12345/api_key), or an array of records with key,
/// value and metadata. Nothing is written if any value cannot be read.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Example:\n  sallygate vault import --file dump.json --key-file old-encryption-key"
)]
pub struct Import {
    #[command(flatten)]
    source: Source,
    /// The dump
    #[arg(long = "file", value_name = "FILE")]
    dump: PathBuf,
    /// A file with the text of the old ENCRYPTION_KEY
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// Replace secrets that are there already
    #[arg(long)]
    replace: bool,
}

impl VaultVerb {
    pub(super) fn run(&self, env: &Environment, out: &mut Output<'_>) -> Exit {
        let source = match self {
            Self::Status(status) => &status.source,
            Self::Rotate(rotate) => &rotate.source,
            Self::Import(import) => &import.source,
        };
        let Some(config) = source.config_without_upstream(env, out) else {
            return Exit::Failed;
        };
        let outcome = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| explained(&error))
            .and_then(|runtime| runtime.block_on(self.act(&config, env, out)));
        outcome.unwrap_or_else(|problem| {
            out.trouble(problem);
            Exit::Failed
        })
    }

    async fn act(
        &self,
        config: &Config,
        env: &Environment,
        out: &mut Output<'_>,
    ) -> Result<Exit, String> {
        let clock = Clock::system();
        if config.vault.mode == VaultMode::Memory {
            return Err(
                "credentials are kept in memory alone (vault.mode), and end with the gateway"
                    .into(),
            );
        }
        let store = open_store(config, &clock)?;
        let trail = trail(config, clock.clone())?;
        let opened = Vault::open(store, &settings(config, env), clock, trail.clone()).await;
        let done = match opened {
            Ok(vault) => self.act_on(&vault, out).await,
            Err(error) => Err(explained(&error)),
        };
        if !trail.close().await {
            return Err("the audit trail could not be closed".into());
        }
        done
    }

    async fn act_on(&self, vault: &Vault, out: &mut Output<'_>) -> Result<Exit, String> {
        match self {
            Self::Status(_) => status(vault, out).await,
            Self::Rotate(rotate) => rotate.act(vault, out).await,
            Self::Import(import) => import.act(vault, out).await,
        }
    }
}

/// The store of the configuration.
fn open_store(config: &Config, clock: &Clock) -> Result<Arc<dyn Store>, String> {
    if config.store.url.is_some() {
        return Err("this version cannot reach a Redis from here".into());
    }
    let store = Redb::open(&config.store.file, &redb::Settings::default(), clock);
    Ok(Arc::new(store.map_err(|error| explained(&error))?))
}

fn settings(config: &Config, env: &Environment) -> Settings {
    let previous = env.value(PREVIOUS).unwrap_or_default();
    Settings {
        keeping: match config.vault.mode {
            VaultMode::Vault => Keeping::Vault,
            VaultMode::Keychain => Keeping::Keychain,
            VaultMode::Memory => Keeping::Memory,
        },
        cache_ttl: config.vault.cache,
        key: config.encryption_key.clone(),
        previous: previous
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(key_bytes)
            .collect(),
        ..Settings::default()
    }
}

/// A trail of its own beside the gateway's, which belongs to the gateway while that runs.
fn trail(config: &Config, clock: Clock) -> Result<Sink, String> {
    if !config.audit.enabled {
        return Ok(Sink::discard(clock));
    }
    let secret = match &config.audit.chain_key {
        Some(key) => key.clone(),
        None => {
            let text = keyfile::ensure(&config.state_dir, AUDIT_KEY);
            key_bytes(text.map_err(|error| explained(&error))?.expose())
        }
    };
    let key = ChainKey::new(secret).map_err(|error| error.to_string())?;
    let mut name = config.audit.dir.clone().into_os_string();
    name.push("-vault");
    let settings = TrailSettings {
        directory: name.into(),
        retention: config.audit.retention,
        ..TrailSettings::default()
    };
    Sink::open(&settings, key, clock).map_err(|error| explained(&error))
}

async fn status(vault: &Vault, out: &mut Output<'_>) -> Result<Exit, String> {
    let status = vault.status().await.map_err(|error| explained(&error))?;
    show(&status, out);
    Ok(match status.damaged {
        0 => Exit::Done,
        _ => Exit::Failed,
    })
}

fn show(status: &Status, out: &mut Output<'_>) {
    out.line(format_args!(
        "{} secrets of {} users",
        status.secrets, status.users
    ));
    for key in &status.keys {
        let state = match (&key.retired_at, key.is_current, key.is_given) {
            (Some(_), ..) => "retired",
            (None, true, _) => "current",
            (None, false, true) => "previous",
            (None, false, false) => "not given",
        };
        let since = key.created_at.as_deref().unwrap_or("an unknown time");
        let fate = match key.may_be_removed() {
            true => ", may be removed",
            false => "",
        };
        out.line(format_args!(
            "{}  {state}, since {since}: {} users, {} secrets{fate}",
            key.name, key.users, key.secrets
        ));
    }
    if status.half_renewed > 0 {
        out.line(format_args!(
            "{} users between two data keys",
            status.half_renewed
        ));
    }
    if let Some(rotation) = &status.rotation {
        out.line(format_args!(
            "a rotation stopped after {} users; `sallygate vault rotate` goes on",
            rotation.users
        ));
    }
    if status.damaged > 0 {
        out.trouble(format_args!(
            "{} users have a data key that was tampered with",
            status.damaged
        ));
    }
}

impl Rotate {
    async fn act(&self, vault: &Vault, out: &mut Output<'_>) -> Result<Exit, String> {
        let what = Rotation {
            data_keys: self.data_keys,
            retire: self.retire,
        };
        let report = |progress: &Progress| {
            if progress.users.is_multiple_of(REPORT_EVERY) {
                out.trouble(format_args!("{} users done", progress.users));
            }
            ControlFlow::Continue(())
        };
        let done = vault.rotate(what, report).await;
        let done = done.map_err(|error| explained(&error))?;
        out.line(format_args!(
            "{} users, {} secrets sealed anew, {} keys retired",
            done.users, done.secrets, done.retired
        ));
        if done.damaged > 0 {
            out.trouble(format_args!(
                "{} records were tampered with and left as they are; see the audit trail",
                done.damaged
            ));
        }
        if !done.is_done {
            out.trouble(
                "others still seal under a previous key; give them the new one and run it again",
            );
        }
        Ok(match done.is_done && done.damaged == 0 {
            true => Exit::Done,
            false => Exit::Failed,
        })
    }
}

impl Import {
    async fn act(&self, vault: &Vault, out: &mut Output<'_>) -> Result<Exit, String> {
        let key = Secret::new(read(&self.key_file)?);
        let key = V1Key::derive(&Secret::new(key.expose().trim().to_owned()));
        let dump = Secret::new(read(&self.dump)?);
        let dump = Dump::parse(dump.expose()).map_err(|error| error.to_string())?;
        let imported = vault.import(&dump, &key, self.replace).await;
        let imported = imported.map_err(|error| explained(&error))?;
        out.line(format_args!("{} secrets sealed", imported.secrets));
        Ok(Exit::Done)
    }
}

fn read(file: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", file.display());
    let size = std::fs::metadata(file).map_err(unreadable)?.len();
    if size > DUMP_MAX_BYTES {
        return Err(format!(
            "{} has more than {DUMP_MAX_BYTES} bytes",
            file.display()
        ));
    }
    std::fs::read_to_string(file).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tempfile::TempDir;

    use super::*;
    use crate::cli::{Cli, run};

    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeefe";
    const SIGNING: &str = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeefe";
    const V1: &str =
        "AAECAwQFBgcICQoLI+FaGkhFFmtRzVabTCAon6ujuyabY21YM2boadYNqTCueaxJrlmTF0ynMGJBdyw=";
    const V1_TEXT: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n";

    fn said(folder: &TempDir, words: &[&str], env: &[(&str, &str)]) -> (Exit, String) {
        let state = folder.path().join("state");
        let state = state.to_str().unwrap();
        let file = folder.path().join("sallygate.yaml");
        let text = "upstream: {url: \"http://127.0.0.1:1/mcp\"}\nvault: {mode: vault}\n";
        std::fs::write(&file, text).unwrap();
        let own = [("JWT_SECRET", SIGNING), ("SALLYGATE_STATE_DIR", state)];
        let env = own.iter().chain(env).copied().collect();
        let config = ["--config", file.to_str().unwrap()];
        let words = ["sallygate", "vault"].iter().chain(words).chain(&config);
        let cli = Cli::try_parse_from(words).unwrap();
        let (mut result, mut trouble) = (Vec::new(), Vec::new());
        let exit = run(&cli, &env, &mut Output::new(&mut result, &mut trouble));
        result.append(&mut trouble);
        (exit, String::from_utf8(result).unwrap())
    }

    fn file(folder: &TempDir, name: &str, text: &str) -> String {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    }

    #[test]
    fn r082_without_a_key_the_verbs_say_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let (exit, text) = said(&folder, &["status"], &[]);
        assert_eq!(exit, Exit::Failed);
        assert!(text.contains("ENCRYPTION_KEY"), "{text}");
    }

    #[test]
    fn an_import_that_cannot_be_read_fails_and_shows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let dump = file(
            &folder,
            "dump.json",
            &format!(r#"{{"user:1:api_key": "{V1}"}}"#),
        );
        let wrong = file(&folder, "wrong", "canary-not-a-real-key");
        let words = ["import", "--file", &dump, "--key-file", &wrong];
        let (exit, text) = said(&folder, &words, &[("ENCRYPTION_KEY", KEY)]);
        assert_eq!(exit, Exit::Failed);
        assert!(
            text.contains("1/api_key") && text.contains("does not open"),
            "{text}"
        );
        assert!(!text.contains("canary") && !text.contains(V1), "{text}");
    }

    #[test]
    fn r052_a_dump_of_the_seed_is_imported_and_the_other_verbs_end_well() {
        let folder = tempfile::tempdir().unwrap();
        let dump = file(
            &folder,
            "dump.json",
            &format!(r#"{{"user:1:api_key": "{V1}"}}"#),
        );
        let key = file(&folder, "key", V1_TEXT);
        let env = [("ENCRYPTION_KEY", KEY)];
        let words = ["import", "--file", &dump, "--key-file", &key];
        let imported = said(&folder, &words, &env);
        assert_eq!(imported, (Exit::Done, "1 secrets sealed\n".into()));
        let (exit, text) = said(&folder, &["status"], &env);
        assert_eq!(exit, Exit::Done, "{text}");
        assert!(text.starts_with("1 secrets of 1 users\n"), "{text}");
        assert!(text.contains("current"), "{text}");
        let (exit, text) = said(&folder, &["rotate", "--data-keys", "--retire"], &env);
        assert_eq!(exit, Exit::Done, "{text}");
        assert!(text.starts_with("1 users, 1 secrets sealed anew"), "{text}");
    }
}
