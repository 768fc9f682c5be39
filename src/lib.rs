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
pub mod auth;

// floor 2: what the operator wrote
pub mod config;

// floor 6: the command line and what it puts together
pub mod cli;
