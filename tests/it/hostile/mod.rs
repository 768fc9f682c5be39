//! A hostile world: peers that are malformed, slow or too many.

mod http2;
mod http2_broken;
mod http2_floods;
mod http2_heads;
mod http2_odd;
mod overload;
mod slow;
