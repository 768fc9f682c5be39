//! The hostile world: what callers and upstreams do on purpose or because they are broken.

mod upstream;
mod upstream_breaker;
mod upstream_retry;
mod upstream_streams;
mod upstream_tls;
