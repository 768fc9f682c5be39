//! An answer that is one piece: JSON, or nothing. Lists are read whole and filtered; the beginning of a call's answer is
//! read to recognise an unknown tool; everything else is passed on as it comes.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::unfold;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};

use super::body::ReplyBody;
use super::exchange::{Relayed, declared};
use super::lens::{Lens, Seen};
use super::screen::View;
use crate::upstream::UpstreamError;

/// Answers to anything but a list are looked at up to this size if they declare it, and pass as they come otherwise. Only a
/// server that answers what was not asked would put a list into one.
const LOOKED_AT: usize = 64 * 1024;
/// How much of a call's answer that comes in pieces is held back: an upstream says "unknown tool" much shorter.
const SMALL: usize = 4096;

/// Relays an answer that is no stream.
///
/// # Errors
/// [`UpstreamError`] when a part that must be inspected is too large, unreadable or does not come.
pub async fn relay(answer: Response<Incoming>, lens: Lens) -> Result<Relayed, UpstreamError> {
    let idle = lens.route().upstream().idle_timeout();
    let total = lens.route().upstream().total_timeout();
    let (head, body) = answer.into_parts();
    let limit = match lens.view() {
        View::List => lens.route().answers().list_bytes,
        View::Call(_) | View::Other => match declared(&head.headers) {
            Some(length) if length <= LOOKED_AT as u64 => LOOKED_AT,
            None if matches!(lens.view(), View::Call(_)) => SMALL,
            Some(_) | None => 0,
        },
    };
    let mut begun = Begun {
        body,
        idle,
        until: Instant::now() + total,
        whole: false,
    };
    let start = begun.up_to(limit).await?;
    if !begun.whole {
        return match lens.view() {
            View::List => Err(UpstreamError::TooLarge),
            View::Call(_) | View::Other => Ok(Relayed::Answer(Response::new(begun.rest(start)))),
        };
    }
    let as_it_came = |body| Relayed::Answer(Response::new(ReplyBody::full(body)));
    if start.is_empty() && !head.status.is_success() {
        return Ok(as_it_came(start));
    }
    if !is_json(&head.headers) {
        // A list under another label would be read by no filter, though perhaps by a client.
        let list = *lens.view() == View::List && head.status.is_success() && !start.is_empty();
        return if list {
            Err(UpstreamError::Unreadable("content type".into()))
        } else {
            Ok(as_it_came(start))
        };
    }
    Ok(match lens.message(&start)? {
        Seen::Same => as_it_came(start),
        Seen::Instead(changed) => as_it_came(changed),
        Seen::UnknownTool(body) => Relayed::UnknownTool(body),
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
    /// Reads until the end or until more than `limit` bytes are there, whichever comes first.
    async fn up_to(&mut self, limit: usize) -> Result<Bytes, UpstreamError> {
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while first.len() + rest.len() <= limit {
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
