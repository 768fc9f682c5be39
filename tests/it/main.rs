//! The integration tests: one binary, so that it is linked once and its modules share one harness. `harness` holds the
//! fakes and readers; every other module proves promises.

// Everything here is test code, also the functions that no attribute marks as such.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod attacks;
mod credential;
mod essays;
mod floors;
mod harness;
mod harness_proof;
mod hostile;
mod login;
mod relay;
mod requirements;
mod revocation;
mod rim;
mod sample_server;
mod security;
mod store;
mod vault;
