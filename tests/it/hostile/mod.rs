//! The hostile world: peers that lie about where their messages end, never finish, or send more than anybody asked for; disks
//! that fail, clocks that leap, strangers in crowds, and generated input that wants past the filter.

mod audit;
mod clock;
mod differential;
mod door;
mod http1;
mod http1_rows;
mod http2;
mod http2_broken;
mod http2_floods;
mod http2_heads;
mod http2_odd;
mod memory;
mod mutual;
mod overload;
mod props;
mod proxied;
mod slow;
mod upstream;
mod upstream_breaker;
mod upstream_process;
mod upstream_retry;
mod upstream_streams;
mod upstream_tls;
