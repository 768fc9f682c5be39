//! The endpoints.
