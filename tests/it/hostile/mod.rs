//! The hostile world: clients, upstreams and bytes that want the gateway to fall over or to look away.

mod differential;
