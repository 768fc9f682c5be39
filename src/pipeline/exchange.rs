//! Stage 7 as the pipeline does it: sends what was cleared, judges the head of the answer, and relays the rest.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;

use super::body::ReplyBody;
use super::denial::{Answer, Denial};
use super::lens::Lens;
use super::respond::plain;
use super::route::Route;
use super::screen::Cleared;
use super::{reply, stream};
use crate::auth::Principal;
use crate::mcp::{Id, errors};
use crate::session::SessionSeal;
use crate::stage::Stage;
use crate::upstream::credential::{CredentialError, Credentials};
use crate::upstream::headers::{self, SESSION_ID};
use crate::upstream::{Upstream, UpstreamError};

/// How the gateway keeps a stream alive and ends it.
pub use stream::Pace;

/// What became of the upstream's answer.
pub enum Relayed {
    /// The caller gets it.
    Answer(Response<ReplyBody>),
    /// The upstream does not know the thing that was asked for. The caller gets this body, with status and headers as for a hidden one: neither
    /// may be the upstream's, or they would tell the two apart.
    Unknown(Bytes),
    /// The caller gets the status, and this body of ours or none at all.
    Ours(Bytes),
}

/// Sends what was cleared and relays the answer.
///
/// # Errors
/// A 502 or 504 with a JSON-RPC error where there is no answer that could be relayed; a 403 where the upstream needs a
/// credential that the user has not given, and a 503 where that cannot be known.
///
/// # Cancel safety
/// Dropping the future ends the exchange with the upstream.
pub async fn exchange(
    (route, principal): (&Route, &Principal),
    cleared: Cleared,
    lens: Lens,
    seal: &SessionSeal,
    pace: Pace,
) -> Result<Response<ReplyBody>, Denial> {
    let id = cleared.id.clone();
    let pass = match route.breaker().admit() {
        Ok(pass) => pass,
        Err(open) => return Err(failed(&open.into(), id.as_ref())),
    };
    let opens_session = cleared.opens_session;
    let attempted = match send(cleared, &lens).await {
        Ok(sent) => relay(sent, opens_session, lens, seal, pace)
            .await
            .map_err(Unsent::from),
        Err(unsent) => Err(unsent),
    };
    match attempted {
        Ok(answer) => {
            pass.succeeded();
            Ok(answer)
        }
        Err(Unsent::Credential(error)) => Err(withheld(&error, id.as_ref())),
        Err(Unsent::Upstream(error)) => {
            match error.blame(principal.user().as_str()) {
                Some(blame) => pass.failed(blame),
                None => pass.succeeded(),
            }
            Err(failed(&error, id.as_ref()))
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
enum Unsent {
    Credential(CredentialError),
    Upstream(UpstreamError),
}

impl From<CredentialError> for Unsent {
    fn from(error: CredentialError) -> Self {
        Self::Credential(error)
    }
}

impl From<UpstreamError> for Unsent {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(error)
    }
}

/// Sends the request, with a credential where the upstream wants to see one. A credential may have ended before its time,
/// so the first 401 is answered with a fresh one, where there is one, and the second is believed: a request that was refused
/// for its credential was not carried out.
async fn send(cleared: Cleared, lens: &Lens) -> Result<Response<Incoming>, Unsent> {
    let upstream: &Upstream = lens.route().upstream();
    let Cleared {
        method,
        headers,
        body,
        ..
    } = cleared;
    match upstream.credentials() {
        None => Ok(upstream.exchange(method, headers, body).await?),
        // Boxed: all requests would otherwise carry the room that only these need.
        Some(credentials) => {
            let request = (method, headers, body);
            Box::pin(send_shown(upstream, credentials, lens.principal(), request)).await
        }
    }
}

/// The same with a credential that the upstream wants to see.
async fn send_shown(
    upstream: &Upstream,
    credentials: &Credentials,
    principal: &Principal,
    (method, mut headers, body): (Method, HeaderMap, Bytes),
) -> Result<Response<Incoming>, Unsent> {
    let first = credentials.apply(principal, &mut headers).await?;
    let sent = upstream
        .exchange(method.clone(), headers.clone(), body.clone())
        .await?;
    if sent.status() != StatusCode::UNAUTHORIZED {
        return Ok(sent);
    }
    drop(sent);
    let second = credentials.replace(principal, first, &mut headers).await?;
    let sent = upstream.exchange(method, headers, body).await?;
    if sent.status() == StatusCode::UNAUTHORIZED {
        return Err(credentials.refused(principal, second).into());
    }
    Ok(sent)
}

async fn relay(
    sent: Response<Incoming>,
    opens_session: bool,
    lens: Lens,
    seal: &SessionSeal,
    pace: Pace,
) -> Result<Response<ReplyBody>, UpstreamError> {
    judge(&sent)?;
    let mut outgoing = headers::toward_downstream(sent.headers());
    if opens_session {
        session(sent.headers(), &mut outgoing, &lens, seal)?;
    }
    let status = sent.status();
    let relayed = if is_stream(sent.headers()) {
        Box::pin(stream::relay(sent.into_body(), lens, pace)).await?
    } else {
        reply::relay(sent, lens).await?
    };
    let mut response = match relayed {
        Relayed::Answer(response) => response,
        Relayed::Unknown(body) => return Ok(plain(StatusCode::OK, HeaderMap::new(), body)),
        Relayed::Ours(body) => {
            outgoing.remove(CONTENT_TYPE);
            plain(status, HeaderMap::new(), body)
        }
    };
    *response.status_mut() = status;
    // A body that was rewritten into JSON keeps its own label.
    for (name, value) in std::mem::take(response.headers_mut()) {
        if let Some(name) = name {
            outgoing.insert(name, value);
        }
    }
    *response.headers_mut() = outgoing;
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
    let mut denial =
        Denial::rpc(Stage::Upstream, error.reason(), status, body).because(chain(error));
    if let (UpstreamError::Open(open), Answer::Rpc { headers, .. }) = (error, &mut denial.answer) {
        // Whole seconds (RFC 9110 section 10.2.3), never fewer than are left.
        let seconds = open.retry_after.as_millis().div_ceil(1000).max(1);
        if let Ok(seconds) = HeaderValue::try_from(seconds.to_string()) {
            headers.insert(RETRY_AFTER, seconds);
        }
    }
    denial
}

/// What the caller can do about a credential that is not there. An error of the protocol that asks for a visit to a web
/// page is retired (MCP 2026-07-28), so the page stands in the message, and among the data for programs.
fn withheld(error: &CredentialError, id: Option<&Id>) -> Denial {
    let status = error.status();
    let provider = error.provider();
    let data = serde_json::json!({
        "code": error.reason(),
        "provider": provider.map(|one| &*one.provider),
        "login_url": provider.and_then(|one| one.sign_in.as_deref()),
    });
    let data = match provider {
        Some(_) => data,
        None => serde_json::json!({ "code": error.reason() }),
    };
    let code = i64::from(status.as_u16());
    let body = errors::error(id.into(), code, &error.public(), Some(data));
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
