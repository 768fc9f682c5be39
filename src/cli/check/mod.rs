//! `sallygate check`: everything that can be found wrong before a restart finds it. The configuration itself, then what it
//! names: certificates, policies, key files and who may read them, and small trials of the parts. It needs no free port and
//! starts nothing, so it can be run beside the gateway that it is about.

mod certificates;
mod policies;
mod surroundings;
mod trial;

use clap::Args;
use serde::Serialize;
use tokio::runtime::Builder;

use std::path::Path;

use super::{ConfigFile, Exit, Output};
use crate::clock::Clock;
use crate::config::{Config, Environment, Mistake, Warning, load};

/// Finds every mistake before a restart does
///
/// Reads the configuration as `run` would and reports all mistakes at once, each with its line. Then looks at what the
/// configuration names: certificates (readable, matching their key, not expired, made for the public URL), policies
/// (compiled for every route), keys of issuers, key files and their modes, the .env file and .gitignore beside the
/// configuration. Writes a line into an audit trail of its own, reads it back and removes it. Needs no free port.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  sallygate check\n  sallygate check --config /etc/sallygate/sallygate.yaml --strict\n  sallygate check --json | jq '.findings[] | select(.severity == \"error\")'\n\nExit codes: 0 nothing wrong, 1 errors (with --strict also warnings), 2 wrong usage."
)]
pub struct Check {
    #[command(flatten)]
    config: ConfigFile,
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What was found, apart by weight.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) errors: Vec<Mistake>,
    pub(super) warnings: Vec<Warning>,
}

impl Findings {
    fn error(&mut self, mistake: Mistake) {
        self.errors.push(mistake);
    }

    fn warning(&mut self, warning: Warning) {
        self.warnings.push(warning);
    }

    fn error_once(&mut self, mistake: Mistake) {
        if !self.errors.contains(&mistake) {
            self.errors.push(mistake);
        }
    }

    fn warning_once(&mut self, warning: Warning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Is nothing wrong, and with `strict` nothing warned about either?
    pub(super) fn are_fine(&self, strict: bool) -> bool {
        self.errors.is_empty() && (!strict || self.warnings.is_empty())
    }
}

/// Looks at everything that a configuration without mistakes names, in the file that it was read from. `warnings` are
/// those of reading it.
pub(super) fn examine(
    config: &Config,
    warnings: Vec<Warning>,
    file: Option<&Path>,
    clock: &Clock,
) -> Findings {
    let mut findings = Findings {
        warnings,
        ..Findings::default()
    };
    certificates::look(config, clock.now(), &mut findings);
    policies::look(config, &mut findings);
    if let Some(file) = file {
        surroundings::look_at_file(file, &mut findings);
    }
    surroundings::look_at_key_files(config, &mut findings);
    surroundings::look_at_state(config, &mut findings);
    match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(trial::everything(config, clock, &mut findings)),
        Err(error) => findings.error(Mistake::new("", format!("no trial can be made: {error}"))),
    }
    if let Some(file) = file {
        surroundings::look_beside(file, &mut findings);
    }
    findings
}

/// The same for a configuration that a gateway is to take over while it runs: it tries its parts itself when it makes them,
/// and its trail is being written to.
pub(super) fn examine_again(
    config: &Config,
    warnings: Vec<Warning>,
    file: Option<&Path>,
    clock: &Clock,
) -> Findings {
    let mut findings = Findings {
        warnings,
        ..Findings::default()
    };
    certificates::look(config, clock.now(), &mut findings);
    policies::look(config, &mut findings);
    // Who else may read the files: the gateway has started with them as they are, so it is told and not refused.
    let mut around = Findings::default();
    if let Some(file) = file {
        surroundings::look_at_file(file, &mut around);
    }
    surroundings::look_at_key_files(config, &mut around);
    findings.warnings.extend(around.errors);
    findings.warnings.extend(around.warnings);
    findings
}

impl Check {
    pub(super) fn run(&self, env: &Environment, out: &mut Output<'_>) -> Exit {
        let (findings, strict) = self.look(env, &Clock::system());
        let failed = !findings.are_fine(strict);
        if self.json {
            self.print_json(&findings, failed, out);
        } else {
            self.print_text(&findings, failed, out);
        }
        if failed { Exit::Failed } else { Exit::Done }
    }

    /// What is found, and whether warnings count as much as errors.
    fn look(&self, env: &Environment, clock: &Clock) -> (Findings, bool) {
        let file = &self.config.file;
        match load(file, env) {
            Ok((config, warnings)) => {
                let strict = self.strict || config.strict;
                (examine(&config, warnings, Some(file), clock), strict)
            }
            Err(mistakes) => {
                let mut findings = Findings {
                    errors: mistakes.list,
                    ..Findings::default()
                };
                surroundings::look_beside(file, &mut findings);
                (findings, self.strict)
            }
        }
    }

    fn print_text(&self, findings: &Findings, failed: bool, out: &mut Output<'_>) {
        let file = self.config.file.display();
        let lines = findings
            .errors
            .iter()
            .map(|one| ("error", one))
            .chain(findings.warnings.iter().map(|one| ("warning", one)));
        for (severity, finding) in lines {
            out.line(format_args!("{severity}: {file}: {finding}"));
        }
        let verdict = if failed { "not ok" } else { "ok" };
        let (errors, warnings) = (findings.errors.len(), findings.warnings.len());
        out.line(format_args!(
            "{verdict}: {errors} errors, {warnings} warnings"
        ));
    }

    fn print_json(&self, findings: &Findings, failed: bool, out: &mut Output<'_>) {
        let entry = |severity, one: &Mistake| Finding {
            severity,
            setting: one.path.clone(),
            line: one.line(),
            message: one.message.clone(),
            help: one.help.clone(),
        };
        let errors = findings.errors.iter().map(|one| entry("error", one));
        let report = Report {
            ok: !failed,
            file: self.config.file.display().to_string(),
            findings: errors
                .chain(findings.warnings.iter().map(|one| entry("warning", one)))
                .collect(),
        };
        out.line(serde_json::to_string_pretty(&report).unwrap_or_default());
    }
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    file: String,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    severity: &'static str,
    setting: String,
    line: Option<usize>,
    message: String,
    help: Option<String>,
}

#[cfg(test)]
mod tests;
