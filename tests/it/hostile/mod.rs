//! The gateway among enemies: clients that flood it, lie about who they are, or show what nobody vouches for.

mod door;
mod mutual;
mod proxied;
