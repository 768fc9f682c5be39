//! `sallygate run`: the gateway itself.

use std::error::Error;

use clap::Args;

use super::check::examine;
use super::serving::{ordered_to_stop, runtime};
use super::start::Source;
use super::{Exit, Output};
use crate::clock::Clock;
use crate::config::{Config, Environment, Warning};
use crate::gateway::{Gateway, log_settings};
use crate::listener::descriptors;
use crate::telemetry::logs;

/// Protects one or more MCP servers
///
/// With --upstream, everything else has a safe default: TLS with a development certificate on 127.0.0.1:8443, a signing key
/// made on the first run (both in .sallygate), the free tier's limits, an audit trail, and metrics on 127.0.0.1:9464. Make
/// a token with `sallygate token mint`. SIGTERM drains: no new connections, requests in flight finish.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  sallygate run --upstream http://127.0.0.1:3000/mcp\n  sallygate run --config /etc/sallygate/sallygate.yaml --strict"
)]
pub struct Run {
    #[command(flatten)]
    source: Source,
    /// Refuse to start as long as anything is warned about, as `sallygate check --strict` does
    #[arg(long)]
    strict: bool,
}

impl Run {
    pub(super) fn run(&self, env: &Environment, out: &mut Output<'_>) -> Exit {
        let Some((config, warnings)) = self.source.config(env, out) else {
            return Exit::Failed;
        };
        if (self.strict || config.strict) && !self.nothing_is_odd(&config, warnings, out) {
            return Exit::Failed;
        }
        if let Err(error) = logs::start(&log_settings(&config), Clock::system()) {
            out.trouble(error);
        }
        if let Err(error) = descriptors::raise() {
            tracing::warn!(%error, "the limit of file descriptors cannot be raised");
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

impl Run {
    /// Looks as `check` does (R277, R595). Warnings of reading the configuration were printed when it was read.
    fn nothing_is_odd(&self, config: &Config, said: Vec<Warning>, out: &mut Output<'_>) -> bool {
        let read = said.len();
        let file = self.source.file();
        let findings = examine(config, said, file.as_deref(), &Clock::system());
        for error in &findings.errors {
            out.trouble(format_args!("error: {error}"));
        }
        for warning in findings.warnings.iter().skip(read) {
            out.trouble(format_args!("warning: {warning}"));
        }
        let fine = findings.are_fine(true);
        if !fine {
            out.trouble("not started: strict mode wants every warning acted on first");
        }
        fine
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
pub(super) fn explained(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::path::Path;

    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, run};

    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeefe";

    /// Runs the gateway in a folder of its own; it must end by itself, so every row is one that does not start.
    fn refused(folder: &Path, settings: &str, options: &[&str]) -> String {
        let file = folder.join("sallygate.yaml");
        let text = format!("upstream: {{url: \"http://127.0.0.1:1/mcp\"}}\n{settings}");
        std::fs::write(&file, text).unwrap();
        let words = ["sallygate", "run", "--config", file.to_str().unwrap()];
        let cli = Cli::try_parse_from(words.iter().chain(options)).unwrap();
        let env = [("JWT_SECRET", KEY)].into_iter().collect();
        let (mut result, mut trouble) = (Vec::new(), Vec::new());
        let exit = run(&cli, &env, &mut Output::new(&mut result, &mut trouble));
        assert_eq!((exit, result), (Exit::Failed, Vec::new()));
        let said = String::from_utf8(trouble).unwrap();
        said.replace(folder.to_str().unwrap(), "DIR")
    }

    #[test]
    fn r277_r595_strict_mode_refuses_to_start_on_warnings() {
        let folder = tempfile::tempdir().unwrap();
        let off = "audit: {enabled: false}\n";
        for (settings, options) in [
            (off.to_owned(), vec!["--strict"]),
            (format!("strict: true\n{off}"), vec![]),
        ] {
            let said = refused(folder.path(), &settings, &options);
            assert!(
                said.contains("audit.enabled: no audit trail is written"),
                "{said}"
            );
            assert_eq!(said.matches("no audit trail").count(), 1, "{said}");
            assert!(
                said.ends_with("not started: strict mode wants every warning acted on first\n"),
                "{said}"
            );
        }
    }

    #[test]
    fn strict_mode_looks_as_far_as_check_does() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("a.cedar"),
            "forbid(principal, action, resource);",
        )
        .unwrap();
        let said = refused(folder.path(), "policy: {files: [a.cedar]}\n", &["--strict"]);
        assert!(
            said.contains("warning: ") && said.contains("no rule permits a tool"),
            "{said}"
        );
    }

    #[test]
    fn a_start_that_fails_says_which_setting_is_to_blame() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let listen = "listen: {address: \"127.0.0.1:0\", plain_http: true, public_url: \"http://127.0.0.1\"}\n";
        let folder = tempfile::tempdir().unwrap();
        let here =
            format!("listen: {{address: \"{address}\"}}\nmetrics: {{address: \"127.0.0.1:0\"}}\n");
        let said = refused(folder.path(), &here, &[]);
        assert!(
            said.contains(&format!("cannot listen on {address} (listen.address): ")),
            "{said}"
        );
        let folder = tempfile::tempdir().unwrap();
        let said = refused(
            folder.path(),
            &format!("{listen}metrics: {{address: \"{address}\"}}\n"),
            &[],
        );
        assert!(
            said.contains(&format!("cannot listen on {address} (metrics.address): ")),
            "{said}"
        );
    }

    #[test]
    fn a_trail_in_use_and_files_of_no_use_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let trail = crate::audit::Settings {
            directory: folder.path().join("trail"),
            ..crate::audit::Settings::default()
        };
        let key = crate::audit::ChainKey::new(crate::secret::Secret::new(vec![7; 32])).unwrap();
        let _in_use = crate::audit::Sink::open(&trail, key, Clock::system()).unwrap();
        let said = refused(folder.path(), "audit: {dir: trail}\n", &[]);
        assert!(
            said.contains("audit directory DIR/trail is in use by another process"),
            "{said}"
        );
        for name in ["cert.pem", "key.pem", "a.cedar"] {
            std::fs::write(folder.path().join(name), "no such thing").unwrap();
        }
        let tls = "listen: {public_url: \"https://localhost\", tls: {cert_file: cert.pem, key_file: key.pem}}\n";
        assert!(refused(folder.path(), tls, &[]).contains("DIR/cert.pem holds no certificate"));
        let said = refused(folder.path(), "policy: {files: [a.cedar]}\n", &[]);
        assert!(said.contains("DIR/a.cedar:1: "), "{said}");
    }
}
