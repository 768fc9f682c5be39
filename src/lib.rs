//! Sallygate: the security gateway that stands in front of any MCP server.
//!
//! Read [`pipeline`] first: it is the order in which every request is checked, one line a stage. `docs/architecture.md`
//! is the map. The modules below are listed by floor; a file imports from lower floors only, which `tests/it/floors.rs`
//! keeps.

// floor 0: words everybody uses
pub mod clock;
pub mod random;
pub mod secret;
pub mod stage;
pub mod units;

// floor 1: pure decisions, no IO
pub mod audit;
pub mod auth;
pub mod redact;

// floor 3: IO
pub mod telemetry;
