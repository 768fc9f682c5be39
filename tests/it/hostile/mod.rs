//! The hostile world: peers that lie about where their messages end, never finish, or send more than anybody asked for, orders
//! to stop, and another configuration in the middle of it.

mod differential;
mod door;
mod drain;
mod http1;
mod http1_rows;
mod http2;
mod http2_floods;
mod http2_odd;
mod mutual;
mod overload;
mod proxied;
mod reload;
mod reload_load;
mod reload_state;
mod reload_streams;
mod slow;
mod upstream;
mod upstream_breaker;
mod upstream_retry;
mod upstream_streams;
mod upstream_tls;
