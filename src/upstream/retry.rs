//! When a request may be sent a second time: only if it is certain that nobody acted on the first. Over HTTP/1.1 that is
//! for the pool to know, which sees whether anything was written. Over HTTP/2 the upstream itself says it: a refused stream
//! (RFC 9113 section 8.7), or one beyond the last that a GOAWAY lets through (section 6.8). What kind of request it is plays
//! no part.

use std::error::Error;

use h2::Reason;

/// Whether the upstream says of a request that it did not and will not look at it.
pub(super) fn was_not_looked_at(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            // A GOAWAY is the error of those streams alone that lie beyond its last one.
            let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
            return error.is_remote() && (refused || error.is_go_away());
        }
        cause = error.source();
    }
    false
}
