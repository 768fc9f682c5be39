//! `audit`, `logs`, `metrics` and `sessions` as they may be written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{Literal, Span};

/// The audit trail.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Audit {
    /// Turning the trail off is warned about, and refused in strict mode.
    pub(in crate::config) enabled: bool,
    /// Folder of the trail. By default `audit-logs` in `state_dir`.
    pub(in crate::config) dir: Option<String>,
    /// How long files are kept.
    #[schemars(extend("x-min" = "1d", "x-max" = "3650d"))]
    pub(in crate::config) retention: Span,
    /// Key of the hash chain that makes changes to the trail visible: at least 32 random bytes. By default a key that is
    /// made at the first start and kept in `state_dir`.
    pub(in crate::config) chain_key: Option<Literal>,
    /// File that holds the key, instead of `chain_key`.
    pub(in crate::config) chain_key_file: Option<String>,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            enabled: true,
            dir: None,
            retention: Span::seconds(90 * 86_400),
            chain_key: None,
            chain_key_file: None,
        }
    }
}

/// The program's own log.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Logs {
    /// `text` for people, `json` for machines.
    pub(in crate::config) format: LogFormat,
    /// The least important lines that are written.
    pub(in crate::config) level: LogLevel,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Importance of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// The listener for metrics and health checks.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Metrics {
    /// Address and port to listen on.
    pub(in crate::config) address: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:9464".into(),
        }
    }
}

/// Sessions.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Sessions {
    /// Key that seals session ids: at least 32 random bytes, the same for all replicas. By default a random one for each
    /// start, which ends sessions at a restart.
    pub(in crate::config) key: Option<Literal>,
    /// File that holds the key, instead of `key`.
    pub(in crate::config) key_file: Option<String>,
    /// How long a session may last.
    #[schemars(extend("x-min" = "1m", "x-max" = "30d"))]
    pub(in crate::config) max_age: Span,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            key: None,
            key_file: None,
            max_age: Span::seconds(86_400),
        }
    }
}
