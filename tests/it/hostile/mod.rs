//! A hostile world: peers that are malformed, slow or too many, that lie about who they are, or show what nobody vouches for.

mod door;
mod mutual;
mod overload;
mod proxied;
