//! What the verbs that need a working configuration share: reading it, or making one up for a single upstream, and giving
//! it a signing key where it has none.

use std::path::PathBuf;

use clap::Args;

use super::Output;
use crate::config::{self, Config, Environment, Key, Warning};
use crate::keyfile;
use crate::secret::Secret;

/// The signing key that is made on the first run without a configuration.
const SIGNING_KEY: &str = "signing.key";
/// What it is called in the tokens.
const SIGNING_KEY_ID: &str = "local";
/// Stands in for an upstream where none is needed, to make tokens for instance.
const NO_UPSTREAM: &str = "http://127.0.0.1:1/mcp";

/// What is said where there is no configuration.
pub(super) const NO_FILE: &str = "there is no sallygate.yaml here; name an upstream (--upstream URL) or a file (--config FILE), or run \
     `sallygate init`";

/// Where a configuration comes from.
#[derive(Clone, Debug, Args)]
pub(super) struct Source {
    /// The configuration file; sallygate.yaml if it is there
    #[arg(
        short = 'c',
        long = "config",
        value_name = "FILE",
        env = "SALLYGATE_CONFIG",
        conflicts_with = "upstream"
    )]
    file: Option<PathBuf>,
    /// Protect this one MCP server, with everything else at its safe default
    #[arg(short = 'u', long, value_name = "URL")]
    upstream: Option<String>,
    /// Listen on this address instead of the configured one
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
}

impl Source {
    /// Reads the configuration, prints its warnings, and makes sure that there is a key. Mistakes are printed, all of them.
    pub(super) fn config(
        &self,
        env: &Environment,
        out: &mut Output<'_>,
    ) -> Option<(Config, Vec<Warning>)> {
        match self.read(env) {
            Some(read) => complete(read, out),
            None => {
                out.trouble(NO_FILE);
                None
            }
        }
    }

    /// What a configuration says, without a key of its own where it names none; `None` where there is no configuration.
    pub(super) fn read(
        &self,
        env: &Environment,
    ) -> Option<Result<(Config, Vec<Warning>), config::Mistakes>> {
        let env = match &self.listen {
            Some(address) => env.with("SALLYGATE_LISTEN__ADDRESS", address),
            None => env.clone(),
        };
        match (&self.upstream, self.file()) {
            (Some(url), _) => Some(config::from_upstream(url, &env)),
            (None, Some(file)) => Some(config::load(&file, &env)),
            (None, None) => None,
        }
    }

    /// The configuration in this file.
    pub(super) fn of_file(file: PathBuf) -> Self {
        Self {
            file: Some(file),
            upstream: None,
            listen: None,
        }
    }

    /// The same without an upstream, for verbs that talk to none.
    pub(super) fn config_without_upstream(
        &self,
        env: &Environment,
        out: &mut Output<'_>,
    ) -> Option<Config> {
        if self.upstream.is_some() || self.file().is_some() {
            return self.config(env, out).map(|(config, _)| config);
        }
        complete(config::from_upstream(NO_UPSTREAM, env), out).map(|(config, _)| config)
    }

    /// The file that is read, where there is one.
    pub(super) fn file(&self) -> Option<PathBuf> {
        if self.upstream.is_some() {
            return None;
        }
        let standard = || Some(PathBuf::from(config::DEFAULT_FILE)).filter(|file| file.exists());
        self.file.clone().or_else(standard)
    }
}

fn complete(
    read: Result<(Config, Vec<Warning>), config::Mistakes>,
    out: &mut Output<'_>,
) -> Option<(Config, Vec<Warning>)> {
    match read {
        Err(mistakes) => {
            out.trouble(mistakes);
            None
        }
        Ok((mut config, warnings)) => {
            for warning in &warnings {
                out.trouble(format_args!("warning: {warning}"));
            }
            match with_key(&mut config) {
                Ok(()) => Some((config, warnings)),
                Err(error) => {
                    out.trouble(error);
                    None
                }
            }
        }
    }
}

/// A configuration that trusts nobody at all could serve nobody: it gets a key of its own, kept in the state folder.
pub(super) fn with_key(config: &mut Config) -> Result<(), keyfile::KeyFileError> {
    if config.auth.keys.is_empty() && config.auth.issuers.is_empty() {
        let text = keyfile::ensure(&config.state_dir, SIGNING_KEY)?;
        let secret = Secret::new(text.expose().clone().into_bytes());
        config.auth.keys.push(Key {
            kid: SIGNING_KEY_ID.into(),
            secret,
        });
    }
    Ok(())
}
