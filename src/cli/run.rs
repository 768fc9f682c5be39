//! `sallygate run`: the gateway itself.

use clap::Args;

use super::serving::{ordered_to_stop, runtime};
use super::start::Source;
use super::{Exit, Output};
use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::gateway::{Gateway, StartError, log_settings};
use crate::telemetry::logs;

/// Protects one or more MCP servers
///
/// With --upstream, everything else has a safe default: TLS with a development certificate on 127.0.0.1:8443, a signing key
/// made on the first run (both in .sallygate), the free tier's limits, an audit trail, and metrics on 127.0.0.1:9464. Make
/// a token with `sallygate token mint`. SIGTERM drains: no new connections, requests in flight finish.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  sallygate run --upstream http://127.0.0.1:3000/mcp\n  sallygate run --config /etc/sallygate/sallygate.yaml"
)]
pub struct Run {
    #[command(flatten)]
    source: Source,
}

impl Run {
    pub(super) fn run(&self, env: &Environment, out: &mut Output<'_>) -> Exit {
        let Some(config) = self.source.config(env, out) else {
            return Exit::Failed;
        };
        if let Err(error) = logs::start(&log_settings(&config), Clock::system()) {
            out.trouble(error);
        }
        match runtime().map(|runtime| runtime.block_on(serve(&config, out))) {
            Ok(exit) => exit,
            Err(error) => {
                out.trouble(format_args!("the runtime cannot be started: {error}"));
                Exit::Failed
            }
        }
    }
}

async fn serve(config: &Config, out: &mut Output<'_>) -> Exit {
    let gateway = match Gateway::start(config, Clock::system()).await {
        Ok(gateway) => gateway,
        Err(error) => {
            out.trouble(explained(&error));
            return Exit::Failed;
        }
    };
    if let Some(ca) = &gateway.ca_file {
        tracing::info!(ca_file = %ca.display(), "development certificate: clients must trust this authority");
    }
    if let Err(error) = ordered_to_stop().await {
        out.trouble(format_args!("signals cannot be received: {error}"));
    }
    if gateway.drain().await {
        Exit::Done
    } else {
        Exit::Failed
    }
}

/// An error with everything that led to it, on one line.
pub(super) fn explained(error: &StartError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
