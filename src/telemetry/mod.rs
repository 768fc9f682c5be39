//! stub
#![allow(missing_docs)]
pub mod metrics;
pub mod ops;
