//! A hostile world: peers and upstreams that are malformed, slow or too many, on purpose or because they are broken.

mod overload;
mod upstream;
mod upstream_breaker;
mod upstream_process;
mod upstream_retry;
mod upstream_streams;
mod upstream_tls;
