//! File descriptors: every connection is one, and so is every file and every call to an upstream. As many as the system
//! allows are asked for, and some are kept from connections, so that those which are served go on when no more can be.

use std::io;

use tracing::warn;

/// Descriptors that connections leave to the rest: the store, the audit trail, the calls to upstreams.
pub const RESERVE: u64 = 512;

/// Raises the soft limit to the hard one. Says how many descriptors the process may have.
///
/// # Errors
/// When the system does not say, or does not allow it.
pub fn raise() -> io::Result<u64> {
    rlimit::increase_nofile_limit(u64::MAX)
}

/// How many of so many connections can be held. Warns where it is not all of them.
pub fn room_for(connections: usize) -> usize {
    let Ok(limit) = rlimit::Resource::NOFILE.get_soft() else {
        return connections;
    };
    let room = room_of(limit);
    if room < connections {
        warn!(
            limit,
            connections,
            room,
            "the system allows too few file descriptors for limits.connections; fewer connections are held"
        );
    }
    room.min(connections)
}

/// A limit that is small in any case is shared in halves.
fn room_of(limit: u64) -> usize {
    let reserve = RESERVE.min(limit / 2);
    usize::try_from(limit.saturating_sub(reserve))
        .unwrap_or(usize::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_left_to_the_rest() {
        for (limit, room) in [
            (0, 1),
            (1, 1),
            (64, 32),
            (1024, 512),
            (65_536, 65_024),
            (u64::MAX, usize::MAX - 512),
        ] {
            assert_eq!(room_of(limit), room, "{limit}");
        }
    }

    #[test]
    fn no_more_connections_are_held_than_were_asked_for() {
        assert_eq!(room_for(1), 1);
        assert!(room_for(usize::MAX) < usize::MAX);
    }
}
