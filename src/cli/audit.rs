//! `sallygate audit`: prove that the trail is whole, and read it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Exit, Output};
use crate::audit::query::{Filter, View, parse_date, query};
use crate::audit::verify::verify;
use crate::audit::{ChainKey, Kind, KeyRing, Severity};
use crate::secret::Secret;

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
