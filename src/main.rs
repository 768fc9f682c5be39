//! The binary: parse the command line, run the verb, end with its exit code.

use std::io::{stderr, stdout};
use std::process::ExitCode;

use clap::Parser;
use sallygate::cli::{Cli, Output, run};
use sallygate::config::Environment;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Not locked for long: a verb that serves writes its log from other threads.
    let (mut result, mut trouble) = (stdout(), stderr());
    run(
        &cli,
        &Environment::of_process(),
        &mut Output::new(&mut result, &mut trouble),
    )
    .into()
}
