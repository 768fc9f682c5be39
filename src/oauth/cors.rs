//! Which answers pages of other sites may read. Clients that live in a browser register, exchange codes and read metadata from
//! wherever they are; no cookie goes with it, so nothing of a user's is at stake.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
};
use http::{HeaderValue, StatusCode};

use crate::web::Reply;

/// An answer that any page may read.
pub(super) fn public(mut reply: Reply) -> Reply {
    let any = HeaderValue::from_static("*");
    reply.headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, any);
    let exposed = HeaderValue::from_static("WWW-Authenticate, Retry-After");
    reply.headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    reply
}

/// The answer to a preflight.
pub(super) fn preflight() -> Reply {
    let headers = "Authorization, Content-Type, Accept, MCP-Protocol-Version";
    public(Reply::empty(StatusCode::NO_CONTENT))
        .with(
            ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET, POST"),
        )
        .with(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(headers),
        )
        .with(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"))
}
