//! Orders over a real socket.
