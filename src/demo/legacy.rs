//! The legacy era, 2025-06-18 and 2025-11-25: a handshake opens a session, every later request names it, a GET stream
//! carries what the server says unasked, DELETE ends it (MCP 2025-11-25, lifecycle and transports).

use std::sync::Arc;

use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::http::{self, Body};
use super::offer::{self, Called};
use super::rpc::{
    Era, Fault, Incoming, LEGACY_REVISIONS, Members, Request, notification, required, success,
};
use super::sessions::Session;
use super::stream::{self, Disconnect};
use super::{Sample, resources};

const SESSION: &str = "mcp-session-id";

/// Answers a POST.
pub(super) fn post(sample: &Sample, headers: &HeaderMap, message: Incoming) -> Response<Body> {
    if let Err(fault) = check_revision(headers) {
        return refuse(StatusCode::BAD_REQUEST, &fault);
    }
    let message = match message {
        Incoming::Request(request) if request.method == "initialize" => {
            return initialize(sample, &request);
        }
        other => other,
    };
    let session = match named_session(sample, headers) {
        Ok(session) => session,
        Err(refused) => return *refused,
    };
    match message {
        Incoming::Request(request) => answer(sample, &session, request),
        Incoming::Notification { method, params } => {
            if let (true, Some(id)) = (method == "notifications/cancelled", params.get("requestId"))
            {
                sample.running.cancel(&session.id, id);
            }
            http::empty(StatusCode::ACCEPTED)
        }
        Incoming::Response => http::empty(StatusCode::ACCEPTED),
    }
}

/// Answers a GET: the stream for what the server says unasked.
pub(super) fn listen(sample: &Arc<Sample>, headers: &HeaderMap) -> Response<Body> {
    if let Err(fault) = check_revision(headers) {
        return refuse(StatusCode::BAD_REQUEST, &fault);
    }
    if !http::accepts(headers, "text/event-stream") {
        return http::empty(StatusCode::NOT_ACCEPTABLE);
    }
    let session = match named_session(sample, headers) {
        Ok(session) => session,
        Err(refused) => return *refused,
    };
    let Some(listening) = session.listen() else {
        return http::empty(StatusCode::CONFLICT);
    };
    let (events, body) = stream::open(sample.settings.keep_alive);
    let changes = sample.changes.subscribe();
    let sample = sample.clone();
    tokio::spawn(async move {
        let session = listening.session();
        let update = |uri: &str| session.is_subscribed(uri).then(|| updated(uri));
        stream::relay_changes(&sample, changes, &events, update, session.ended()).await;
    });
    http::event_stream(body)
}

/// Answers a DELETE.
pub(super) fn end(sample: &Sample, headers: &HeaderMap) -> Response<Body> {
    match named_session(sample, headers) {
        Ok(session) => {
            sample.sessions.end(&session);
            http::empty(StatusCode::NO_CONTENT)
        }
        Err(refused) => *refused,
    }
}

fn initialize(sample: &Sample, request: &Request) -> Response<Body> {
    let begun = required(&request.params, "protocolVersion").and_then(|asked| {
        let revision = LEGACY_REVISIONS.into_iter().find(|known| *known == asked);
        Ok((
            revision.unwrap_or(LEGACY_REVISIONS[0]),
            sample.sessions.begin()?,
        ))
    });
    let (revision, session) = match begun {
        Ok(begun) => begun,
        Err(fault) => return conclude(&request.id, Err(fault)),
    };
    let mut result = Members::new();
    result.insert("protocolVersion".into(), revision.into());
    result.insert("capabilities".into(), offer::capabilities());
    result.insert("serverInfo".into(), offer::server_info());
    result.insert("instructions".into(), offer::INSTRUCTIONS.into());
    let mut response = conclude(&request.id, Ok(result));
    // Hex digits are always a header value.
    if let Ok(id) = HeaderValue::from_str(&session.id) {
        response.headers_mut().insert(SESSION, id);
    }
    response
}

fn answer(sample: &Sample, session: &Session, request: Request) -> Response<Body> {
    let Request { id, method, params } = request;
    let result = match method.as_str() {
        "ping" => Ok(Members::new()),
        "resources/subscribe" => subscribe(sample, session, &params),
        "resources/unsubscribe" => required(&params, "uri").map(|uri| {
            session.unsubscribe(uri);
            Members::new()
        }),
        "tools/call" => return call(sample, session, id, params),
        method => offer::answer(sample, method, params),
    };
    conclude(&id, result)
}

fn call(sample: &Sample, session: &Session, id: Value, params: Members) -> Response<Body> {
    let plan = match offer::call(sample, params) {
        Ok(Called::Counting(plan)) => plan,
        Ok(Called::Over(result)) => return conclude(&id, Ok(result)),
        Err(fault) => return conclude(&id, Err(fault)),
    };
    match sample.running.begin_legacy(session.id.clone(), &id) {
        Ok(place) => {
            let finish = move |result| success(&id, result);
            let body = stream::count(sample, plan, place, Disconnect::MeansNothing, finish);
            http::event_stream(body)
        }
        Err(fault) => conclude(&id, Err(fault)),
    }
}

fn subscribe(sample: &Sample, session: &Session, params: &Members) -> Result<Members, Fault> {
    let uri = required(params, "uri")?;
    if !resources::exists(sample, uri) {
        return Err(Fault::UnknownResource(uri.to_owned()));
    }
    session.subscribe(uri.to_owned())?;
    Ok(Members::new())
}

fn updated(uri: &str) -> Value {
    notification("notifications/resources/updated", json!({"uri": uri}))
}

/// An absent header is allowed: the session remembers what was agreed.
fn check_revision(headers: &HeaderMap) -> Result<(), Fault> {
    match http::single(headers, http::REVISION)? {
        Some(revision) if !LEGACY_REVISIONS.contains(&revision) => {
            Err(Fault::InvalidRequest("unsupported `MCP-Protocol-Version`"))
        }
        _ => Ok(()),
    }
}

/// The session that the request names: 400 without one, 404 for one that is over, so that the client starts anew.
fn named_session(
    sample: &Sample,
    headers: &HeaderMap,
) -> Result<Arc<Session>, Box<Response<Body>>> {
    match http::single(headers, SESSION) {
        Ok(Some(id)) => sample
            .sessions
            .find(id)
            .ok_or_else(|| Box::new(refuse(StatusCode::NOT_FOUND, &Fault::UnknownSession))),
        Ok(None) => {
            let fault = Fault::InvalidRequest("`Mcp-Session-Id` is missing");
            Err(Box::new(refuse(StatusCode::BAD_REQUEST, &fault)))
        }
        Err(fault) => Err(Box::new(refuse(StatusCode::BAD_REQUEST, &fault))),
    }
}

fn conclude(id: &Value, result: Result<Members, Fault>) -> Response<Body> {
    let answer = match result {
        Ok(result) => success(id, result),
        Err(fault) => fault.answer(Some(id), Era::Legacy),
    };
    http::json(StatusCode::OK, &answer)
}

fn refuse(status: StatusCode, fault: &Fault) -> Response<Body> {
    http::json(status, &fault.answer(None, Era::Legacy))
}
