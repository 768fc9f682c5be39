//! `sallygate user`: who is known, and who may no longer come in. A gateway that runs is told through its socket; without one
//! the order is carried out here, on the same records and with the same line in the audit trail.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::desk::{Desk, Needs, Order, at_desk};
use super::start::Source;
use super::{Exit, Output};
use crate::config::Environment;
use crate::control::escaped;

/// Lists users and ends what they hold
///
/// An order to a gateway that runs takes effect at once, on open streams too; other gateways of the same store follow within
/// a second.
#[derive(Debug, Subcommand)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  sallygate user list\n  sallygate user disable 12345\n  sallygate user logout okta.jane@example.com --json"
)]
pub enum User {
    /// Lists the users that are known
    List(How),
    /// Shows one user and their sessions
    Show(Whom),
    /// Shuts a user out, with whatever token they hold
    Disable(Whom),
    /// Lets a user come in again, with a new login
    Enable(Whom),
    /// Ends all sessions and tokens of a user, who may sign in again
    Logout(Whom),
    /// Ends what a user holds and removes everything that is kept about them
    Erase(Whom),
}

/// Where and how.
#[derive(Debug, Args)]
pub struct How {
    #[command(flatten)]
    source: Source,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Whom it is about.
#[derive(Debug, Args)]
pub struct Whom {
    /// The user's id, as lists and audit lines show it
    id: String,
    #[command(flatten)]
    how: How,
}

impl User {
    fn how(&self) -> &How {
        match self {
            Self::List(how) => how,
            Self::Show(whom)
            | Self::Disable(whom)
            | Self::Enable(whom)
            | Self::Logout(whom)
            | Self::Erase(whom) => &whom.how,
        }
    }

    fn order(&self) -> Order {
        let post = |whom: &Whom, verb| Order::post(format!("/users/{}/{verb}", escaped(&whom.id)));
        match self {
            Self::List(_) => Order::get("/users"),
            Self::Show(whom) => Order::get(format!("/users/{}", escaped(&whom.id))),
            Self::Disable(whom) => post(whom, "disable"),
            Self::Enable(whom) => post(whom, "enable"),
            Self::Logout(whom) => post(whom, "logout"),
            Self::Erase(whom) => post(whom, "erase"),
        }
    }

    pub(super) fn run(&self, env: &Environment, out: &mut Output<'_>) -> Exit {
        let Some(config) = self.how().source.config_without_upstream(env, out) else {
            return Exit::Failed;
        };
        let done = at_desk(&config, Needs::People, async |desk| {
            self.order_of(desk).await
        });
        match done {
            Ok(document) if self.how().json => out.line(document),
            Ok(document) => self.tell(&document, out),
            Err(problem) => {
                out.trouble(problem);
                return Exit::Failed;
            }
        }
        Exit::Done
    }

    async fn order_of(&self, desk: &Desk) -> Result<Value, String> {
        let order = self.order();
        let mut document = desk.order(&order).await?;
        // A list comes in pages.
        while let Some(after) = document.get("next").and_then(Value::as_str).map(escaped) {
            let mut page = desk.order(&order.asking(format!("after={after}"))).await?;
            append(&mut document, &mut page);
        }
        Ok(document)
    }

    fn tell(&self, document: &Value, out: &mut Output<'_>) {
        let text = |value: &Value, name: &str| match value.get(name) {
            Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => "-".to_owned(),
            Some(other) => other.to_string(),
        };
        // A misspelt name shows in this.
        let seen = |user: &Value| match user.get("signed_in_at") {
            Some(Value::String(_)) => "",
            _ => " (never signed in here)",
        };
        let state = |user: &Value| match user.get("disabled").and_then(Value::as_bool) {
            Some(true) => "disabled",
            _ => "active",
        };
        match self {
            Self::List(_) => {
                let users = document.get("users").and_then(Value::as_array);
                for user in users.into_iter().flatten() {
                    let (id, tier) = (text(user, "id"), text(user, "tier"));
                    let (email, seen) = (text(user, "email"), text(user, "signed_in_at"));
                    out.line(format_args!(
                        "{id}  {}  tier {tier}  {email}  last sign-in {seen}",
                        state(user)
                    ));
                }
            }
            Self::Show(_) => {
                let members = document.as_object();
                for name in members.into_iter().flat_map(|members| members.keys()) {
                    out.line(format_args!("{name}: {}", text(document, name)));
                }
            }
            Self::Disable(_) | Self::Enable(_) | Self::Logout(_) => out.line(format_args!(
                "{}{} is {}; sessions ended: {}",
                text(document, "id"),
                seen(document),
                state(document),
                text(document, "sessions_ended"),
            )),
            Self::Erase(_) => out.line(format_args!(
                "{} is erased; sessions ended: {}, secrets removed: {}",
                text(document, "id"),
                text(document, "sessions_ended"),
                text(document, "secrets_removed"),
            )),
        }
    }
}

fn append(document: &mut Value, page: &mut Value) {
    let next = page.get_mut("next").map(Value::take).unwrap_or_default();
    let more = page.get_mut("users").and_then(Value::as_array_mut);
    let users = document.get_mut("users").and_then(Value::as_array_mut);
    if let (Some(users), Some(more)) = (users, more) {
        users.append(more);
    }
    if let Some(known) = document.get_mut("next") {
        *known = next;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, run};
    use crate::clock::Clock;
    use crate::control;
    use crate::gateway::Gateway;

    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeefe";

    /// Runs the verb in a folder with a configuration.
    fn user(dir: &Path, words: &str) -> (Exit, String) {
        let file = dir.join("sallygate.yaml");
        if !file.exists() {
            std::fs::write(&file, SETTINGS).unwrap();
        }
        let words = ["sallygate", "user"]
            .into_iter()
            .chain(words.split_whitespace())
            .chain(["--config", file.to_str().unwrap()]);
        let cli = Cli::try_parse_from(words).unwrap();
        let env = [("JWT_SECRET", KEY)].into_iter().collect();
        let (mut result, mut trouble) = (Vec::new(), Vec::new());
        let exit = run(&cli, &env, &mut Output::new(&mut result, &mut trouble));
        result.append(&mut trouble);
        (exit, String::from_utf8(result).unwrap())
    }

    const SETTINGS: &str = "upstream: {url: \"http://127.0.0.1:1/mcp\"}
listen: {address: \"127.0.0.1:0\", plain_http: true, public_url: \"http://127.0.0.1\"}
metrics: {address: \"127.0.0.1:0\"}
";

    #[test]
    fn r285_without_a_gateway_the_records_are_changed_here_and_a_line_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        assert_eq!(user(dir, "list"), (Exit::Done, String::new()));
        let (exit, said) = user(dir, "enable nobody");
        assert_eq!(exit, Exit::Failed);
        assert!(said.ends_with("no user `nobody` is known\n"), "{said}");
        let (exit, said) = user(dir, "disable okta|jane");
        assert_eq!(
            (exit, said.as_str()),
            (
                Exit::Done,
                "okta|jane (never signed in here) is disabled; sessions ended: 0\n"
            )
        );
        let (_, said) = user(dir, "list");
        assert!(said.starts_with("okta|jane  disabled  tier "), "{said}");
        let (_, said) = user(dir, "show okta|jane --json");
        let shown: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(shown["disabled"], true);
        let (_, said) = user(dir, "enable okta|jane");
        assert!(
            said.starts_with("okta|jane (never signed in here) is active"),
            "{said}"
        );
        let (_, said) = user(dir, "erase okta|jane");
        assert!(said.starts_with("okta|jane is erased"), "{said}");
        assert_eq!(user(dir, "list"), (Exit::Done, String::new()));
        let lines = audit_lines(dir);
        assert!(lines.contains("\"action\":\"user_disable\""), "{lines}");
    }

    /// All that the trail of this folder holds.
    fn audit_lines(dir: &Path) -> String {
        let mut text = String::new();
        let mut folders = vec![dir.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.to_string_lossy().ends_with(".jsonl") {
                    text.push_str(&std::fs::read_to_string(path).unwrap());
                }
            }
        }
        text
    }

    #[test]
    fn a_gateway_that_runs_takes_the_order() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_owned();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        std::fs::write(dir.join("sallygate.yaml"), SETTINGS).unwrap();
        let env: Environment = [("JWT_SECRET", KEY)].into_iter().collect();
        let (config, _) = crate::config::load(&dir.join("sallygate.yaml"), &env).unwrap();
        let gateway = runtime
            .block_on(Gateway::start(&config, Clock::system()))
            .unwrap();
        let view = gateway.revocations.view();
        let (exit, said) = user(&dir, "disable 12345");
        assert_eq!(
            (
                exit,
                said.contains("12345 (never signed in here) is disabled")
            ),
            (Exit::Done, true),
            "{said}"
        );
        assert!(view.standing("12345").disabled);
        let (_, said) = user(&dir, "list --json");
        let listed: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(listed["users"][0]["id"], "12345");
        let (exit, said) = user(&dir, "erase 12345");
        assert_eq!(exit, Exit::Done, "{said}");
        assert!(user(&dir, "show 12345").1.contains("no user `12345`"));
        runtime.block_on(gateway.drain());
        assert!(!config.state_dir.join(control::SOCKET).exists());
    }
}
