//! Stage 7 as the pipeline does it: sends what was cleared, judges the head of the answer, and relays the rest.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use hyper::body::Incoming;

use super::body::ReplyBody;
use super::denial::Denial;
use super::lens::Lens;
use super::respond::plain;
use super::screen::Cleared;
use super::{reply, stream};
use crate::mcp::{Id, errors};
use crate::session::SessionSeal;
use crate::stage::Stage;
use crate::upstream::UpstreamError;
use crate::upstream::headers::{self, SESSION_ID};

/// How the gateway keeps a stream alive and ends it.
pub use stream::Pace;

/// What became of the upstream's answer.
pub enum Relayed {
    /// The caller gets it.
    Answer(Response<ReplyBody>),
    /// The upstream does not know the tool. The caller gets this body, with status and headers as for a hidden tool: neither
    /// may be the upstream's, or they would tell the two apart.
    UnknownTool(Bytes),
}

/// Sends what was cleared and relays the answer.
///
/// # Errors
/// A 502 or 504 with a JSON-RPC error where there is no answer that could be relayed.
///
/// # Cancel safety
/// Dropping the future ends the exchange with the upstream.
pub async fn exchange(
    cleared: Cleared,
    lens: Lens,
    seal: &SessionSeal,
    pace: Pace,
) -> Result<Response<ReplyBody>, Denial> {
    let id = cleared.id.clone();
    relay(cleared, lens, seal, pace)
        .await
        .map_err(|error| failed(&error, id.as_ref()))
}

async fn relay(
    cleared: Cleared,
    lens: Lens,
    seal: &SessionSeal,
    pace: Pace,
) -> Result<Response<ReplyBody>, UpstreamError> {
    let upstream = lens.route().upstream();
    let sent = upstream
        .exchange(cleared.method, cleared.headers, cleared.body)
        .await?;
    judge(&sent)?;
    let mut outgoing = headers::toward_downstream(sent.headers());
    if cleared.opens_session {
        session(sent.headers(), &mut outgoing, &lens, seal)?;
    }
    let status = sent.status();
    let relayed = if is_stream(sent.headers()) {
        stream::relay(sent.into_body(), lens, pace).await?
    } else {
        reply::relay(sent, lens).await?
    };
    let mut response = match relayed {
        Relayed::Answer(response) => response,
        Relayed::UnknownTool(body) => return Ok(plain(StatusCode::OK, HeaderMap::new(), body)),
    };
    *response.status_mut() = status;
    // A body that was rewritten into JSON keeps its own label.
    for (name, value) in &outgoing {
        response
            .headers_mut()
            .entry(name)
            .or_insert_with(|| value.clone());
    }
    Ok(response)
}

/// What no caller may be handed: a way around the gateway, a challenge for the gateway's own credentials, a failure without
/// words, or bytes whose meaning we cannot see.
fn judge(answer: &Response<Incoming>) -> Result<(), UpstreamError> {
    let status = answer.status();
    if answer.headers().contains_key(CONTENT_ENCODING) {
        return Err(UpstreamError::Coded);
    }
    match status {
        status if status.is_redirection() || status.is_informational() => {
            Err(UpstreamError::Redirect(status))
        }
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            Err(UpstreamError::Unauthorized(status))
        }
        status if status.is_server_error() => Err(UpstreamError::Failed(status)),
        _ => Ok(()),
    }
}

/// Seals the session that the upstream opened, for this user alone.
fn session(
    incoming: &HeaderMap,
    outgoing: &mut HeaderMap,
    lens: &Lens,
    seal: &SessionSeal,
) -> Result<(), UpstreamError> {
    let Some(id) = incoming.get(SESSION_ID) else {
        return Ok(());
    };
    let sealed = lens
        .seal(seal, id.as_bytes())
        .ok()
        .and_then(|sealed| HeaderValue::try_from(sealed).ok())
        .ok_or_else(|| UpstreamError::Unreadable("session id".into()))?;
    outgoing.insert(SESSION_ID, sealed);
    Ok(())
}

/// Whether an answer is labelled as an event stream.
pub fn is_stream(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media| media.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// The upstream's failure as the caller sees it: whose fault, and nothing of its insides (R509). The word for it is among the
/// error's data, since JSON-RPC keeps `code` for numbers (R434).
fn failed(error: &UpstreamError, id: Option<&Id>) -> Denial {
    let status = error.status();
    let data = serde_json::json!({ "code": error.reason() });
    let body = errors::error(
        id.into(),
        i64::from(status.as_u16()),
        error.public(),
        Some(data),
    );
    Denial::rpc(Stage::Upstream, error.reason(), status, body).because(chain(error))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The length that an answer declares.
pub(super) fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
