//! `sallygate check`: everything that can be found wrong before a restart finds it. The configuration itself, then what it
//! names: certificates, policies, key files and who may read them.

mod certificates;
mod policies;
mod surroundings;

use clap::Args;
use serde::Serialize;

use super::{ConfigFile, Exit, Output};
use crate::clock::Clock;
use crate::config::{Environment, Mistake, Warning, load};

/// Finds every mistake before a restart does
///
/// Reads the configuration as `run` would and reports all mistakes at once, each with its line. Then looks at what the
/// configuration names: certificates (readable, matching their key, not expired, made for the public URL), policies, key
/// files and their modes, the .env file and .gitignore beside the configuration.
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
struct Findings {
    errors: Vec<Mistake>,
    warnings: Vec<Warning>,
}

impl Findings {
    fn error(&mut self, mistake: Mistake) {
        self.errors.push(mistake);
    }

    fn warning(&mut self, warning: Warning) {
        self.warnings.push(warning);
    }
}

impl Check {
    pub(super) fn run(&self, env: &Environment, out: &mut Output<'_>) -> Exit {
        let findings = self.look(env, &Clock::system());
        let failed = !findings.errors.is_empty() || (self.strict && !findings.warnings.is_empty());
        if self.json {
            self.print_json(&findings, failed, out);
        } else {
            self.print_text(&findings, failed, out);
        }
        if failed { Exit::Failed } else { Exit::Done }
    }

    fn look(&self, env: &Environment, clock: &Clock) -> Findings {
        let mut findings = Findings::default();
        match load(&self.config.file, env) {
            Err(mistakes) => findings.errors = mistakes.list,
            Ok((config, warnings)) => {
                findings.warnings = warnings;
                certificates::look(&config, clock.now(), &mut findings);
                policies::look(&config, &mut findings);
                surroundings::look_at_file(&self.config.file, &mut findings);
                surroundings::look_at_key_files(&config, &mut findings);
                surroundings::look_at_state(&config, &mut findings);
            }
        }
        surroundings::look_beside(&self.config.file, &mut findings);
        findings
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
