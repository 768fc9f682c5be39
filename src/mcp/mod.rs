//! MCP and JSON-RPC as a gateway must read them: what a message asks for, of which era of the protocol it is, whether
//! its headers tell the truth about it, and what an answer shows to whom.
//!
//! - **Protects** every decision after it from a message that two readers read differently.
//! - **Assumes** nothing about bytes, from either side; only that they were read under the byte limits.
//! - **Hands on** a [`Message`], whose bytes are forwarded as they came.
//! - **Refuses** batches, repeated or imitated member names, more than one document, half-formed envelopes, headers that
//!   disagree with the body, and lists in which a name could hide.

pub mod agreement;
pub mod catalogue;
pub mod decode;
pub mod envelope;
pub mod era;
pub mod errors;
pub mod fold;
mod glance;
pub mod json;
mod lexeme;
pub mod lists;
pub mod message;
mod names;
mod params;
pub mod sse;
pub mod tasks;
pub mod view;

pub use agreement::{Agreed, Disagreement, agree};
pub use catalogue::{CatalogueLimits, Mirror, ToolHeaders};
pub use decode::{DecodeError, Fault};
pub use envelope::{Envelope, Misfit, Sort};
pub use era::{Era, EraError, Revision};
pub use glance::{Glance, glance};
pub use json::{JsonError, Rules};
pub use lists::{Answer, Filtered, Item, ListError, ListShape};
pub use message::{Id, Kind, Limits, Message, Operation, Reference};
pub use view::{Json, JsonKind, Member};
