//! What operators see: log lines, metrics, and the listener that answers probes and scrapes.
//!
//! - **Protects** secrets and people from logs and labels: every line is redacted, no label is chosen by a caller.
//! - **Assumes** nothing about the texts it is given.
//! - **Hands on** handles that are resolved once and counted without a lock.
//! - **Refuses** label values beyond their bounds: they are counted as `other`.

pub mod labels;
pub mod logs;
pub mod metrics;
pub mod ops;
pub mod seldom;

pub use labels::{AuthResult, RequestOutcome, ToolOutcome, UpstreamOutcome};
pub use metrics::{Metrics, Route};
pub use ops::{Ops, Readiness};
pub use seldom::Seldom;
