//! HTTP/1 as octets, before any parser sees them.
//!
//! - **Protects** every reader behind it, ours and those of proxies before us, from messages that two of them would cut in
//!   different places: request smuggling lives on what a lenient parser settles silently.
//! - **Assumes** nothing. It works on the octets that left TLS, and does not care how they were cut into pieces.
//! - **Hands on** whole heads and framed bodies, unchanged, to the parser; requests that are pipelined in order, since with
//!   unambiguous framing there is nothing hidden in them (RFC 9112 section 9.3.2).
//! - **Refuses** whatever cannot be read in exactly one way, for one of the closed list of [`Fault`]s, and closes the
//!   connection: behind such a message nobody knows where the next one begins (RFC 9112 section 11.2).
//!
//! A refused head never reaches the parser. In its place the parser gets a mark, a request in asterisk-form that no caller
//! can send because this guard lets none pass; it is answered in order, by whoever answers everything else, and says
//! `Connection: close`. A fault in a body breaks the body off.

mod chunks;
mod follow;
mod guard;
mod head;
mod octets;

pub mod fault;

pub use fault::Fault;
pub use follow::Follower;
pub use guard::{Findings, Guard};

/// What bounds a head.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Octets of a head.
    pub head_bytes: usize,
    /// Header lines of a head.
    pub field_count: usize,
    /// Whether the octets came through TLS.
    pub is_encrypted: bool,
}

/// What became of some octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The heads that were in order.
    pub heads: u64,
    /// The octets that may be read.
    pub passed: Vec<u8>,
    /// Why no more than these.
    pub fault: Option<Fault>,
}

/// Judges the octets of one connection, in the pieces in which they arrived, exactly as [`Guard`] does.
pub fn judge<'o>(rules: Rules, pieces: impl IntoIterator<Item = &'o [u8]>) -> Judgement {
    let mut follower = Follower::new(rules);
    let mut passed = Vec::new();
    for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
        let here = follower.take(piece);
        passed.extend_from_slice(piece.get(..here).unwrap_or_default());
        passed.extend_from_slice(follower.settled());
        follower.release(follower.settled().len());
    }
    Judgement {
        heads: follower.heads(),
        passed,
        fault: follower.fault(),
    }
}

#[cfg(test)]
mod tests;
