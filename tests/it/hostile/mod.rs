//! A hostile world: peers that are malformed, slow or too many, orders to stop, and another configuration in the middle of it.

mod drain;
mod overload;
mod reload;
mod reload_load;
mod reload_state;
mod reload_streams;
