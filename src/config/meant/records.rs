//! What `audit`, `logs`, `metrics` and `sessions` mean.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Review;
use crate::config::raw;
use crate::secret::Secret;

/// The audit trail.
#[derive(Clone, Debug)]
pub struct Audit {
    /// Is it written at all?
    pub enabled: bool,
    /// Its folder.
    pub dir: PathBuf,
    /// How long files are kept.
    pub retention: Duration,
    /// Key of the hash chain; without one, a key is made and kept in the state folder.
    pub chain_key: Option<Secret<Vec<u8>>>,
}

/// The program's own log.
#[derive(Clone, Debug)]
pub struct Logs {
    /// Form of the lines.
    pub format: LogFormat,
    /// The least important level: `error`, `warn`, `info`, `debug` or `trace`.
    pub level: &'static str,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// The listener for metrics and health.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Address and port to listen on.
    pub address: SocketAddr,
}

/// Sealing of session ids.
#[derive(Clone, Debug, PartialEq)]
pub struct Sessions {
    /// The key; without one, a random key for each start.
    pub key: Option<Secret<Vec<u8>>>,
    /// How long a session may last.
    pub max_age: Duration,
}

impl From<&raw::Logs> for Logs {
    fn from(raw: &raw::Logs) -> Self {
        Self {
            format: match raw.format {
                raw::LogFormat::Text => LogFormat::Text,
                raw::LogFormat::Json => LogFormat::Json,
            },
            level: match raw.level {
                raw::LogLevel::Error => "error",
                raw::LogLevel::Warn => "warn",
                raw::LogLevel::Info => "info",
                raw::LogLevel::Debug => "debug",
                raw::LogLevel::Trace => "trace",
            },
        }
    }
}

pub(super) fn audit(raw: &raw::Audit, state_dir: &Path, review: &mut Review) -> Audit {
    if !raw.enabled {
        review.warn(
            "audit.enabled",
            "no audit trail is written",
            "remove it; what happened cannot be shown afterwards",
        );
    }
    Audit {
        enabled: raw.enabled,
        dir: match &raw.dir {
            Some(dir) => review.file(dir),
            None => state_dir.join("audit-logs"),
        },
        retention: raw.retention.0,
        chain_key: review.key(
            "audit.chain_key",
            raw.chain_key.as_ref(),
            raw.chain_key_file.as_deref(),
        ),
    }
}

pub(super) fn metrics(raw: &raw::Metrics, review: &mut Review) -> Option<Metrics> {
    let address = super::listen::address("metrics.address", &raw.address, review)?;
    Some(Metrics { address })
}

pub(super) fn sessions(raw: &raw::Sessions, review: &mut Review) -> Sessions {
    Sessions {
        key: review.key("sessions.key", raw.key.as_ref(), raw.key_file.as_deref()),
        max_age: raw.max_age.0,
    }
}
