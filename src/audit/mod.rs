//! The trail: one line for each request and each act of an operator, in a chain that shows every later change.
//!
//! - **Protects** the ability to say afterwards who did what: lines cannot be changed, removed, reordered or invented
//!   unnoticed by anybody without the chain's key.
//! - **Assumes** that one process writes to one directory (kept by a lock) and that the key is kept elsewhere.
//! - **Hands on** a [`Slot`] before work starts: whoever holds one can write a line.
//! - **Refuses** new slots while lines cannot be written, so that no request is served unseen; it recovers by itself. Lines
//!   that were promised are kept until the disk has them, within a bound.
//!
//! Three kinds of files an hour (R202, R203) hold **one** chain: lines are numbered across the kinds, so a whole file
//! that vanishes leaves a hole, and reading the files of an hour by number restores the order in which things happened.

pub mod chain;
pub mod details;
pub mod disk;
pub mod event;
pub mod files;
mod keeper;
mod lane;
pub mod query;
pub mod reader;
pub mod record;
mod resume;
pub mod sink;
pub mod verify;
mod writer;

pub use chain::{ChainKey, KeyRing};
pub use details::{Content, Summary};
pub use event::{Event, Kind, Outcome, Severity};
pub use record::Record;
pub use sink::{AuditError, Captured, Refused, Settings, Sink, Slot, Stats};
