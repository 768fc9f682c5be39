//! The rim of the gateway over real sockets and as a real process: the command line, TLS, HTTP as bytes, Host and Origin,
//! credentials, quotas, the audit trail, secrets, and the operators' listener. Refusals first.

mod bodies;
mod bytes;
mod command_line;
mod credentials;
mod demo;
mod issuers;
mod ops;
mod origins;
mod quotas;
mod tls;
