//! `sallygate vault`: what is sealed under which key, a change of keys, and the way in from the seed's store. Keys come from
//! the configuration and from files, never from the command line (C56). A gateway that runs does it itself.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::desk::{Desk, Needs, Order, absolute, at_desk};
use super::start::Source;
use super::{Exit, Output};
use crate::config::{Config, Environment, VaultMode};

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
/// Put the new key into ENCRYPTION_KEY and the old one into ENCRYPTION_KEY_PREVIOUS of every process first. A gateway that
/// runs does it beside its traffic. It may be stopped at any time, and goes on where it was when this is run again.
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
/// value and metadata. Nothing is written if any value cannot be read. A gateway that runs reads both files itself.
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
        self.act(&config, out).unwrap_or_else(|problem| {
            out.trouble(problem);
            Exit::Failed
        })
    }

    fn act(&self, config: &Config, out: &mut Output<'_>) -> Result<Exit, String> {
        if config.vault.mode == VaultMode::Memory {
            return Err(
                "credentials are kept in memory alone (vault.mode), and end with the gateway"
                    .into(),
            );
        }
        at_desk(config, Needs::Vault, async |desk| match self {
            Self::Status(_) => status(desk, out).await,
            Self::Rotate(rotate) => rotate.act(desk, out).await,
            Self::Import(import) => import.act(desk, out).await,
        })
    }
}

/// What a document of the gateway says; nothing where an older one does not say it.
fn number(document: &Value, name: &str) -> u64 {
    document.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn is(document: &Value, name: &str) -> bool {
    document.get(name).and_then(Value::as_bool) == Some(true)
}

async fn status(desk: &Desk, out: &mut Output<'_>) -> Result<Exit, String> {
    let status = desk.order(&Order::get("/vault/status")).await?;
    show(&status, out);
    Ok(match number(&status, "damaged") {
        0 => Exit::Done,
        _ => Exit::Failed,
    })
}

fn show(status: &Value, out: &mut Output<'_>) {
    let (secrets, users) = (number(status, "secrets"), number(status, "users"));
    out.line(format_args!("{secrets} secrets of {users} users"));
    let keys = status.get("keys").and_then(Value::as_array);
    for key in keys.into_iter().flatten() {
        let text = |name| key.get(name).and_then(Value::as_str);
        let (name, state) = (text("name").unwrap_or("?"), text("state").unwrap_or("?"));
        let since = text("created_at").unwrap_or("an unknown time");
        let fate = match is(key, "may_be_removed") {
            true => ", may be removed",
            false => "",
        };
        let (users, secrets) = (number(key, "users"), number(key, "secrets"));
        out.line(format_args!(
            "{name}  {state}, since {since}: {users} users, {secrets} secrets{fate}"
        ));
    }
    let between = number(status, "half_renewed");
    if between > 0 {
        out.line(format_args!("{between} users between two data keys"));
    }
    if let Some(rotation) = status.get("rotation").filter(|it| it.is_object()) {
        let users = number(rotation, "users");
        out.line(match is(rotation, "running") {
            true => format!("a rotation is under way: {users} users done"),
            false => {
                format!("a rotation stopped after {users} users; `sallygate vault rotate` goes on")
            }
        });
    }
    let damaged = number(status, "damaged");
    if damaged > 0 {
        out.trouble(format_args!(
            "{damaged} users have a data key that was tampered with"
        ));
    }
}

impl Rotate {
    async fn act(&self, desk: &Desk, out: &mut Output<'_>) -> Result<Exit, String> {
        let wish = json!({ "data_keys": self.data_keys, "retire": self.retire });
        let begin = Order::post("/vault/rotate").with(&wish);
        desk.order(&begin).await?;
        let done = loop {
            let state = desk.order(&Order::get("/vault/rotation")).await;
            let state = state.map_err(|problem| {
                format!("{problem}; what is done stays done, and `sallygate vault rotate` goes on")
            })?;
            if !is(&state, "running") {
                break state;
            }
            out.trouble(format_args!("{} users done", number(&state, "users")));
        };
        out.line(format_args!(
            "{} users, {} secrets sealed anew, {} keys retired",
            number(&done, "users"),
            number(&done, "secrets"),
            number(&done, "retired")
        ));
        let damaged = number(&done, "damaged");
        if damaged > 0 {
            out.trouble(format_args!(
                "{damaged} records were tampered with and left as they are; see the audit trail"
            ));
        }
        if !is(&done, "done") {
            out.trouble(
                "others still seal under a previous key; give them the new one and run it again",
            );
        }
        Ok(match is(&done, "done") && damaged == 0 {
            true => Exit::Done,
            false => Exit::Failed,
        })
    }
}

impl Import {
    async fn act(&self, desk: &Desk, out: &mut Output<'_>) -> Result<Exit, String> {
        let wish = json!({
            "dump": absolute(&self.dump)?,
            "key_file": absolute(&self.key_file)?,
            "replace": self.replace,
        });
        let import = Order::post("/vault/import").with(&wish);
        let imported = desk.order(&import).await?;
        out.line(format_args!(
            "{} secrets sealed",
            number(&imported, "secrets")
        ));
        Ok(Exit::Done)
    }
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
        assert!(!folder.path().join("state/encryption.key").exists());
    }

    #[test]
    fn a_passphrase_is_stretched_where_the_configuration_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let env = [
            ("ENCRYPTION_KEY", "canary phrases!!"),
            ("SALLYGATE_VAULT__KDF", "argon2id"),
        ];
        let (exit, text) = said(&folder, &["status"], &env[..1]);
        assert_eq!(exit, Exit::Failed);
        assert!(text.contains("a key needs at least 32"), "{text}");
        let (exit, text) = said(&folder, &["status"], &env);
        assert_eq!(exit, Exit::Done, "{text}");
        let (_, again) = said(&folder, &["status"], &env);
        assert_eq!(text, again, "the same text is the same key");
    }

    #[test]
    fn one_key_before_the_current_one_opens_what_it_sealed() {
        const NEXT: &str = "ee112233445566778899aabbccddeeff00112233445566778899aabbccddeefe";
        let folder = tempfile::tempdir().unwrap();
        let old = [("ENCRYPTION_KEY", KEY)];
        let new = [("ENCRYPTION_KEY", NEXT), ("ENCRYPTION_KEY_PREVIOUS", KEY)];
        assert_eq!(said(&folder, &["status"], &old).0, Exit::Done);
        let (exit, text) = said(&folder, &["status"], &new[..1]);
        assert_eq!(exit, Exit::Failed);
        assert!(text.contains("nothing was changed"), "{text}");
        let (exit, text) = said(&folder, &["rotate", "--retire"], &new);
        assert_eq!(exit, Exit::Done, "{text}");
        assert!(text.contains("1 keys retired"), "{text}");
        assert_eq!(said(&folder, &["status"], &new[..1]).0, Exit::Done);
        let (exit, text) = said(&folder, &["status"], &old);
        assert_eq!(exit, Exit::Failed);
        assert!(text.contains("was retired"), "{text}");
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
