//! `sallygate reload`: has the gateway that runs read its configuration again, and says what came of it.

use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use http::Method;
use serde_json::Value;

use super::run::explained;
use super::serving::runtime;
use super::{ConfigFile, Exit, Output};
use crate::config::{self, Environment};
use crate::control::{self, Answer};

/// Has the gateway that runs read its configuration again
///
/// The gateway does so by itself when a file that its configuration names is changed, and at SIGHUP. This verb waits for the
/// outcome and prints it: the settings that are different now, or everything that is wrong. A configuration that is refused
/// changes nothing.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  sallygate reload\n  sallygate reload --config /etc/sallygate/sallygate.yaml\n  sallygate reload --state-dir /var/lib/sallygate\n\nExit codes: 0 in force, 1 refused or no gateway, 2 wrong usage."
)]
pub struct Reload {
    #[command(flatten)]
    config: ConfigFile,
    /// Find the gateway by its state folder instead of by its configuration
    #[arg(long, value_name = "FOLDER")]
    state_dir: Option<PathBuf>,
}

impl Reload {
    pub(super) fn run(&self, env: &Environment, out: &mut Output<'_>) -> Exit {
        match self.order(env) {
            Ok(answer) => told(&answer, out),
            Err(trouble) => {
                out.trouble(trouble);
                Exit::Failed
            }
        }
    }

    fn order(&self, env: &Environment) -> Result<Answer, String> {
        let named = self.state_dir.clone();
        let state_dir = named.or_else(|| config::state_dir(&self.config.file, env));
        let state_dir = state_dir.ok_or_else(|| {
            let file = self.config.file.display();
            format!("{file} cannot be read; name the gateway's state folder (--state-dir FOLDER)")
        })?;
        let runtime =
            runtime().map_err(|error| format!("the runtime cannot be started: {error}"))?;
        let asked = control::ask(&state_dir, Method::POST, "/reload", Bytes::new());
        let answer = runtime.block_on(asked).map_err(|error| explained(&error))?;
        let nobody = || {
            format!(
                "no gateway runs with the state folder {}",
                state_dir.display()
            )
        };
        answer.ok_or_else(nobody)
    }
}

fn told(answer: &Answer, out: &mut Output<'_>) -> Exit {
    if !answer.status.is_success() {
        let said = answer.document.pointer("/error/message");
        for line in said.and_then(Value::as_str).unwrap_or_default().lines() {
            out.line(line);
        }
        out.line("refused: the configuration in force stays in force");
        return Exit::Failed;
    }
    let texts = |member: &str| -> Vec<&str> {
        let list = answer.document.get(member).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    };
    for warning in texts("warnings") {
        out.line(format_args!("warning: {warning}"));
    }
    let changed = texts("changed");
    for name in &changed {
        out.line(format_args!("changed: {name}"));
    }
    out.line(match changed.is_empty() {
        true => "unchanged: what is written is in force".to_owned(),
        false => format!("reloaded: {} settings are different now", changed.len()),
    });
    Exit::Done
}
