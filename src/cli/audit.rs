//! `sallygate audit`: prove that the trail is whole, and read it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Exit, Output};
use crate::audit::query::{Filter, View, parse_date, query};
use crate::audit::verify::verify;
use crate::audit::{ChainKey, KeyRing, Kind, Severity};
use crate::config::key_bytes;

/// Proves and reads the audit trail
#[derive(Debug, Subcommand)]
pub enum Audit {
    Verify(Verify),
    Query(Query),
}

/// Proves that no line was changed, removed, reordered or cut off
///
/// Needs the chain's key: without it nobody can tell a genuine line from an invented one. Name older keys too if the key
/// was changed.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Example:\n  sallygate audit verify --dir .sallygate/audit-logs --key-file .sallygate/audit.key"
)]
pub struct Verify {
    /// The folder of the trail
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// A file with a key of the chain; repeat for older keys
    #[arg(long = "key-file", value_name = "FILE", required = true)]
    key_files: Vec<PathBuf>,
}

/// Prints lines of the trail, compressed hours included
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sallygate audit query --dir .sallygate/audit-logs --severity high\n  sallygate audit query --dir .sallygate/audit-logs --user alice --timeline"
)]
pub struct Query {
    /// The folder of the trail
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Only this day, as 2026-11-21 (UTC)
    #[arg(long, value_name = "DATE")]
    date: Option<String>,
    /// Only this hour of the day (UTC)
    #[arg(long, value_name = "HOUR")]
    hour: Option<u8>,
    /// Only this user
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Only this kind: auth-events, tool-invocations or security-events
    #[arg(long)]
    kind: Option<String>,
    /// Only this severity or a higher one
    #[arg(long)]
    severity: Option<String>,
    /// Print time, action and status alone, in order
    #[arg(long)]
    timeline: bool,
}

impl Audit {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Exit {
        let outcome = match self {
            Self::Verify(verify) => verify.run(out),
            Self::Query(query) => query.run(out),
        };
        outcome.unwrap_or_else(|problem| {
            out.trouble(problem);
            Exit::Failed
        })
    }
}

impl Verify {
    fn run(&self, out: &mut Output<'_>) -> Result<Exit, String> {
        let keys = self
            .key_files
            .iter()
            .map(read_key)
            .collect::<Result<Vec<_>, _>>()?;
        let report = verify(&self.dir, &KeyRing::new(keys), &[])
            .map_err(|error| format!("{} cannot be read: {error}", self.dir.display()))?;
        for finding in &report.findings {
            out.trouble(finding);
        }
        if report.more_findings > 0 {
            out.trouble(format_args!("and {} more", report.more_findings));
        }
        if !report.is_intact() {
            return Ok(Exit::Failed);
        }
        for (from, to) in &report.lost {
            out.line(format_args!(
                "lines {from} to {to} were lost in a crash, before they were flushed"
            ));
        }
        let last = report.last.map_or(0, |link| link.seq);
        out.line(format_args!(
            "intact: {} lines in {} files, the last is number {last}",
            report.lines, report.files
        ));
        Ok(Exit::Done)
    }
}

impl Query {
    fn run(&self, out: &mut Output<'_>) -> Result<Exit, String> {
        let view = if self.timeline {
            View::Timeline
        } else {
            View::Lines
        };
        let mut text = Vec::new();
        let found = query(&self.dir, &self.filter()?, view, &mut text)
            .map_err(|error| format!("{} cannot be read: {error}", self.dir.display()))?;
        for line in String::from_utf8_lossy(&text).lines() {
            out.line(line);
        }
        Ok(if found == 0 { Exit::Failed } else { Exit::Done })
    }

    fn filter(&self) -> Result<Filter, String> {
        Ok(Filter {
            date: read(
                self.date.as_deref(),
                "a date such as 2026-11-21",
                parse_date,
            )?,
            kind: read(
                self.kind.as_deref(),
                "auth-events, tool-invocations or security-events",
                Kind::parse,
            )?,
            severity: read(
                self.severity.as_deref(),
                "info, low, medium, high or critical",
                Severity::parse,
            )?,
            hour: self.hour,
            user: self.user.clone(),
            ..Filter::default()
        })
    }
}

fn read<T>(
    text: Option<&str>,
    wanted: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, String> {
    text.map(|text| parse(text).ok_or_else(|| format!("`{text}` is not {wanted}")))
        .transpose()
}

/// The key of a chain as the gateway reads it: the text of the file.
fn read_key(file: &PathBuf) -> Result<ChainKey, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    ChainKey::new(key_bytes(text.trim())).map_err(|error| error.to_string())
}
