//! The hostile world: peers that lie about where their messages end, never finish, or send more than anybody asked for.

mod http1;
mod http1_rows;
