//! A hostile world: peers that are malformed, slow or too many.

mod overload;
