//! The gateway's own pages and endpoints: a request is read whole, under the limits of its head, and what was done about it
//! is noted in the one line that every request has.

use std::sync::Arc;

use http::Response;
use http::request::Parts;
use hyper::body::Incoming;

use super::body::ReplyBody;
use super::denial::Denial;
use super::trail::Trail;
use crate::account::Account;
use crate::limits::{self, Armed};
use crate::listener::Peer;
use crate::oauth::Server;
use crate::web::{Reply, Visit};

/// The gateway's own endpoints.
#[derive(Clone)]
pub struct Site {
    /// The authorization server.
    pub oauth: Arc<Server>,
    /// Signing in, and the account.
    pub account: Arc<Account>,
}

/// The longest body that an endpoint of ours reads.
const BODY_MAX_BYTES: usize = 64 * 1024;

/// One visit: the whole request is read, the endpoint answers, and the trail notes what it did.
///
/// # Errors
/// A [`Denial`] for a body over the limits.
pub(super) async fn visited(
    site: &Site,
    is_account: bool,
    request: (&Parts, &mut Incoming),
    armed: &Armed,
    peer: &Peer,
    trail: &mut Trail,
) -> Result<Response<ReplyBody>, Denial> {
    let visit = visit(request, armed, peer, trail).await?;
    let reply = match is_account {
        true => site.account.answer(&visit).await,
        false => site.oauth.answer(&visit).await,
    };
    Ok(answer(reply, trail))
}

async fn visit(
    (head, body): (&Parts, &mut Incoming),
    armed: &Armed,
    peer: &Peer,
    trail: &Trail,
) -> Result<Visit, Denial> {
    let armed = armed.at_most(BODY_MAX_BYTES);
    let bytes = limits::body::read(body, &head.headers, &armed).await?;
    Ok(Visit::new(
        head,
        bytes,
        peer.address.ip(),
        trail.request_id(),
    ))
}

/// The answer, and what the trail says about it.
fn answer(reply: Reply, trail: &mut Trail) -> Response<ReplyBody> {
    let Reply {
        status,
        headers,
        body,
        note,
    } = reply;
    trail.noted(note);
    let mut response = Response::new(ReplyBody::full(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
