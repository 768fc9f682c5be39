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
pub mod mcp;
pub mod policy;
pub mod quota;
pub mod redact;
pub mod routes;

// floor 2: what the operator wrote
pub mod config;

// floor 3: IO
pub mod devcert;
pub mod fetch;
pub mod grants;
pub mod keyfile;
pub mod limits;
pub mod listener;
pub mod login;
pub mod revocation;
pub mod session;
pub mod store;
pub mod telemetry;
pub mod trust;
pub mod upstream;
pub mod users;
pub mod vault;
pub mod web;

// floor 4: servers that live in the binary
pub mod account;
pub mod demo;
pub mod oauth;

// floor 5: the order
pub mod pipeline;

// floor 6: everything joined
pub mod cli;
pub mod control;
pub mod gateway;
