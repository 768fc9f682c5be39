//! An answer that is one piece: JSON, or nothing. Lists are read whole and filtered; the beginning of a call's answer is
//! read to recognise an unknown tool; everything else is passed on as it comes.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::unfold;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};

use super::body::ReplyBody;
use super::exchange::{Relayed, declared};
use super::lens::{Lens, Place, Seen};
use super::screen::View;
use crate::mcp::errors::{self, ReplyTo};
use crate::upstream::UpstreamError;

/// Answers to anything but a list are looked at up to this size if they declare it, and pass as they come otherwise. Only a
/// server that answers what was not asked would put a list into one.
const LOOKED_AT: usize = 64 * 1024;
/// How much of a call's answer that comes in pieces is held back: an upstream says "unknown tool" much shorter.
const SMALL: usize = 4096;

/// Relays an answer that is no stream.
///
/// # Errors
/// [`UpstreamError`] when it is no answer, or a part that must be inspected is too large, unreadable or does not come.
pub async fn relay(answer: Response<Incoming>, lens: Lens) -> Result<Relayed, UpstreamError> {
    let (head, body) = answer.into_parts();
    let begun = Begun::new(body, &lens);
    if !head.status.is_success() {
        return refused(head.status, begun, &lens).await;
    }
    if lens.id().is_none() {
        // Nothing is due but the status; a stream that was asked for would not have come here.
        return match lens.is_long_lived() {
            true => Err(UpstreamError::Unreadable("content type".into())),
            false => Ok(Relayed::Ours(Bytes::new())),
        };
    }
    // A success without content says that no answer will come (RFC 9110 sections 15.3.3, 15.3.5 and 15.3.6).
    if [202, 204, 205].contains(&head.status.as_u16()) {
        return Err(UpstreamError::Unreadable("no answer".into()));
    }
    // A list under another label would be read by no filter, though perhaps by a client.
    if !is_json(&head.headers) {
        return Err(UpstreamError::Unreadable("content type".into()));
    }
    answered(&head.headers, begun, lens).await
}

/// The answer that the caller waits for.
async fn answered(
    headers: &HeaderMap,
    mut begun: Begun,
    lens: Lens,
) -> Result<Relayed, UpstreamError> {
    let limit = match lens.view() {
        View::List => lens.route().answers().list_bytes,
        View::Named(_) | View::Other => match declared(headers) {
            Some(length) if length <= LOOKED_AT as u64 => LOOKED_AT,
            None if matches!(lens.view(), View::Named(_)) => SMALL,
            Some(_) | None => 0,
        },
    };
    let start = begun.up_to(limit).await?;
    if !start.trim_ascii_start().starts_with(b"{") {
        // Also what is packed without saying so.
        return Err(UpstreamError::Unreadable("not one message".into()));
    }
    if !begun.whole {
        return match lens.view() {
            View::List => Err(UpstreamError::TooLarge),
            View::Named(_) | View::Other => Ok(Relayed::Answer(Response::new(begun.rest(start)))),
        };
    }
    let as_it_came = |body| Relayed::Answer(Response::new(ReplyBody::full(body)));
    Ok(match lens.message(&start, Place::Whole)? {
        Seen::Same => as_it_came(start),
        Seen::Instead(changed) => as_it_came(changed),
        Seen::Unknown(body) => Relayed::Unknown(body),
        Seen::Hidden => Relayed::Ours(Bytes::new()),
    })
}

/// A refusal of the upstream. Its status passes, since clients go by it (a session that is gone is a 404); of its words only
/// those of the protocol.
async fn refused(
    status: StatusCode,
    mut begun: Begun,
    lens: &Lens,
) -> Result<Relayed, UpstreamError> {
    let said = begun.up_to(LOOKED_AT).await?;
    if said.is_empty() {
        return Ok(Relayed::Ours(said));
    }
    let looked_at = match begun.whole {
        true => lens.refusal(&said),
        false => Seen::Hidden,
    };
    Ok(match looked_at {
        Seen::Same => Relayed::Answer(Response::new(ReplyBody::full(said))),
        Seen::Unknown(body) => Relayed::Unknown(body),
        Seen::Instead(body) => Relayed::Ours(body),
        Seen::Hidden => Relayed::Ours(lens.id().map_or_else(Bytes::new, |id| {
            let data = serde_json::json!({ "code": "upstream_refused" });
            let code = i64::from(status.as_u16());
            errors::error(
                ReplyTo::Id(id),
                code,
                "The MCP server refused the request",
                Some(data),
            )
        })),
    })
}

/// An answer whose body is being read.
struct Begun {
    body: Incoming,
    idle: Duration,
    until: Instant,
    whole: bool,
}

impl Begun {
    fn new(body: Incoming, lens: &Lens) -> Self {
        let upstream = lens.route().upstream();
        Self {
            body,
            idle: upstream.idle_timeout(),
            until: Instant::now() + upstream.total_timeout(),
            whole: false,
        }
    }

    /// Reads until the end or until more than `limit` bytes are there, whichever comes first.
    async fn up_to(&mut self, limit: usize) -> Result<Bytes, UpstreamError> {
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while first.len() + rest.len() <= limit || (first.is_empty() && limit == 0) {
            match self.next().await? {
                None => {
                    self.whole = true;
                    break;
                }
                Some(piece) if first.is_empty() => first = piece,
                Some(piece) => rest.extend_from_slice(&piece),
            }
        }
        if rest.is_empty() {
            return Ok(first);
        }
        let mut all = BytesMut::with_capacity(first.len() + rest.len());
        all.extend_from_slice(&first);
        all.extend_from_slice(&rest);
        Ok(all.freeze())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        loop {
            let frame = timeout(self.idle, timeout_at(self.until, self.body.frame()))
                .await
                .map_err(|_| UpstreamError::IdleTimeout)?
                .map_err(|_| UpstreamError::IdleTimeout)?;
            match frame {
                None => return Ok(None),
                Some(Err(_)) => return Err(UpstreamError::BodyBroken),
                // Trailers say nothing that MCP knows.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// What was read, and then the rest as it comes.
    fn rest(self, start: Bytes) -> ReplyBody {
        let state = (Some(start), self, false);
        ReplyBody::pieces(Box::pin(unfold(
            state,
            |(start, mut begun, ended)| async move {
                if ended {
                    return None;
                }
                if let Some(start) = start.filter(|start| !start.is_empty()) {
                    return Some((Ok(start), (None, begun, false)));
                }
                match begun.next().await {
                    Ok(None) => None,
                    Ok(Some(piece)) => Some((Ok(piece), (None, begun, false))),
                    Err(error) => Some((Err(error), (None, begun, true))),
                }
            },
        )))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}
