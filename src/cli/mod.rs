//! The command line: what each verb is called, how it is explained, and with which number it ends. Each verb has its own
//! file and prints through [`Output`], so that tests read what people read.

mod again;
mod audit;
mod check;
mod config;
mod demo;
mod desk;
mod init;
mod keys;
mod output;
mod reload;
mod run;
mod serving;
mod start;
mod store;
mod token;
mod user;
mod vault;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{DEFAULT_FILE, Environment};

pub use again::source;
pub use output::Output;

/// The security gateway in front of any MCP server.
///
/// Sallygate stands between MCP clients and one or more MCP servers. Every request passes TLS, size and time limits,
/// token checks, quotas and tool policy before it reaches a server, and leaves one line in the audit trail.
#[derive(Debug, Parser)]
#[command(name = "sallygate", version, verbatim_doc_comment, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 something was found wrong or failed, 2 wrong usage.";

/// The verbs.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "each verb explains itself in its own file")]
pub enum Command {
    Demo(demo::Demo),
    Run(run::Run),
    Check(check::Check),
    Init(init::Init),
    #[command(subcommand)]
    Config(config::Config),
    #[command(subcommand)]
    Keys(keys::Keys),
    #[command(subcommand)]
    Token(token::Token),
    #[command(subcommand)]
    Audit(audit::Audit),
    #[command(subcommand)]
    User(user::User),
    #[command(subcommand)]
    Vault(vault::VaultVerb),
    #[command(subcommand)]
    Store(store::Store),
    Reload(reload::Reload),
}

/// Which configuration a verb reads.
#[derive(Clone, Debug, Args)]
pub struct ConfigFile {
    /// The configuration file
    #[arg(short = 'c', long = "config", value_name = "FILE", env = "SALLYGATE_CONFIG", default_value = DEFAULT_FILE)]
    pub file: PathBuf,
}

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, nothing wrong.
    Done,
    /// Something was found wrong, or failed.
    Failed,
    /// The command was not understood.
    Usage,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::from(1),
            Exit::Usage => Self::from(2),
        }
    }
}

/// Runs a verb.
pub fn run(cli: &Cli, env: &Environment, out: &mut Output<'_>) -> Exit {
    match &cli.command {
        Command::Demo(demo) => demo.run(out),
        Command::Run(run) => run.run(env, out),
        Command::Check(check) => check.run(env, out),
        Command::Init(init) => init.run(out),
        Command::Config(config) => config.run(env, out),
        Command::Keys(keys) => keys.run(out),
        Command::Token(token) => token.run(env, out),
        Command::Audit(audit) => audit.run(out),
        Command::User(user) => user.run(env, out),
        Command::Vault(vault) => vault.run(env, out),
        Command::Store(store) => store.run(env, out),
        Command::Reload(reload) => reload.run(env, out),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_explains_itself() {
        Cli::command().debug_assert();
        let help = Cli::command().render_long_help().to_string();
        for verb in ["check", "init", "config", "keys", "Exit codes"] {
            assert!(help.contains(verb), "{help}");
        }
    }

    #[test]
    fn wrong_usage_is_refused() {
        for line in [
            "",
            "fly",
            "check --strictly",
            "keys",
            "config",
            "keys generate --out",
        ] {
            let words = std::iter::once("sallygate").chain(line.split_whitespace());
            let error = Cli::try_parse_from(words).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
