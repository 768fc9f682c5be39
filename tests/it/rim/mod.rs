//! The rim of the gateway over real sockets and as a real process: the command line, TLS, HTTP as bytes, Host and Origin,
//! credentials, quotas, the audit trail, secrets, and the operators' listener. Refusals first.

mod bodies;
mod bytes;
mod canary;
mod command_line;
mod credentials;
mod demo;
mod issuers;
mod ops;
mod origins;
mod quotas;
mod tls;
mod trail;
mod users;

/// A free port. Another process could take it before it is used; nothing else here takes ports of its own choice.
fn free_port() -> u16 {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    probe.local_addr().unwrap().port()
}
