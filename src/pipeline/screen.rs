//! Stage 6: the message's own consistency.
//!
//! - **Protects** the upstream from requests whose headers say one thing and whose body another, and sessions from users
//!   who did not open them.
//! - **Assumes** a [`Permit`]: the thing that the body names may be used.
//! - **Hands on** a [`Cleared`]: what will be sent, and how the answer must be looked at on its way out.
//! - **Refuses** mirrored headers that disagree with the body, and session ids that are not genuine for this user and route.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::denial::Denial;
use super::read::Errand;
use super::route::Route;
use crate::auth::Principal;
use crate::clock::Timestamp;
use crate::mcp::{Era, Id, Kind, Operation, ToolHeaders, agreement, errors};
use crate::policy::Permit;
use crate::session::SessionSeal;
use crate::stage::Stage;
use crate::upstream::headers::SESSION_ID;

/// Our own code for a session that is not, or not this user's.
const SESSION_NOT_FOUND: i64 = 404;

/// The proof that a request may be sent, and what is sent.
#[derive(Debug)]
pub struct Cleared {
    /// The HTTP method.
    pub(super) method: Method,
    /// The headers that travel.
    pub(super) headers: HeaderMap,
    /// The bytes of the message, as they came.
    pub(super) body: Bytes,
    /// What the answer must be looked at for.
    pub(super) view: View,
    /// The id that an error of ours answers to.
    pub(super) id: Option<Id>,
    /// Whether an answer is due: to a request, and not to a client's own answer, which has an id as well.
    pub(super) is_request: bool,
    /// The era of the request.
    pub(super) era: Era,
    /// Whether the answer is a stream by its nature: it is open until one side ends it.
    pub(super) long_lived: bool,
    /// Whether the answer may open a session.
    pub(super) opens_session: bool,
}

/// What an answer must be looked at for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// A list: it is filtered.
    List,
    /// The answer about a thing with a name: an unknown one must look like a hidden one.
    Named(Named),
    /// Anything else: should a list come by, it is filtered too.
    Other,
}

/// A thing that a request asks for by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A tool that is called.
    Tool(Box<str>),
    /// A prompt.
    Prompt(Box<str>),
    /// A resource, by its URI.
    Resource(Box<str>),
}

/// Clears a permitted errand for sending.
///
/// # Errors
/// A disagreement between headers and body (400, -32020) or a session that is not genuine (404).
pub fn clear(
    _permit: &Permit,
    errand: Errand,
    head: &Parts,
    principal: &Principal,
    route: &Route,
    sessions: (&SessionSeal, Timestamp),
) -> Result<Cleared, Denial> {
    agree(&errand, &head.headers, route.catalogue())?;
    let mut cleared = outline(errand, head, route);
    if !cleared.era.is_modern() {
        session(&mut cleared, &head.headers, principal, route, sessions)?;
    }
    Ok(cleared)
}

/// What a caller learns who was refused. A request that would have been refused here all the same, had its tool been one
/// that does not exist, is answered as such: otherwise a wrong header would tell hidden tools from unknown ones. What the
/// operator learns is still that policy refused.
pub fn cover(
    mut denial: Denial,
    errand: &Errand,
    head: &Parts,
    principal: &Principal,
    route: &Route,
    sessions: (&SessionSeal, Timestamp),
) -> Denial {
    let Errand::Send { message, era } = errand else {
        return denial;
    };
    // What a hidden tool declared about its headers must not show; an unknown one has declared nothing.
    let objection = agree(errand, &head.headers, &ToolHeaders::default()).and_then(|()| {
        let id = message.id();
        if era.is_modern() {
            return Ok(());
        }
        genuine(id, &head.headers, principal, route, sessions).map(|_| ())
    });
    if let Err(objection) = objection {
        denial.answer = objection.answer;
    }
    denial
}

fn agree(errand: &Errand, headers: &HeaderMap, tools: &ToolHeaders) -> Result<(), Denial> {
    let Errand::Send { message, era } = errand else {
        return Ok(());
    };
    match agreement::agree(headers, message, *era, tools) {
        Ok(_) => Ok(()),
        Err(disagreement) => {
            let body = errors::header_mismatch(message.id().into(), &disagreement.to_string());
            let status = disagreement.status();
            Err(Denial::rpc(Stage::Screen, "header_mismatch", status, body).because(&disagreement))
        }
    }
}

fn outline(errand: Errand, head: &Parts, route: &Route) -> Cleared {
    let headers = route.upstream().outgoing(&head.headers);
    let method = head.method.clone();
    match errand {
        Errand::Listen | Errand::End => Cleared {
            long_lived: matches!(errand, Errand::Listen),
            method,
            headers,
            body: Bytes::new(),
            view: View::Other,
            id: None,
            is_request: false,
            era: Era::Legacy(None),
            opens_session: false,
        },
        Errand::Send { message, era } => {
            let operation = message.operation();
            let view = match operation {
                Operation::ListTools
                | Operation::ListPrompts
                | Operation::ListResources
                | Operation::ListTemplates
                | Operation::Task {
                    method: "tasks/list",
                    ..
                } => View::List,
                _ if message.kind() != Kind::Request => View::Other,
                Operation::CallTool { name, .. } => View::Named(Named::Tool(name.into())),
                Operation::GetPrompt { name, .. } => View::Named(Named::Prompt(name.into())),
                Operation::ReadResource { uri } => View::Named(Named::Resource(uri.into())),
                _ => View::Other,
            };
            Cleared {
                long_lived: matches!(operation, Operation::Listen { .. }),
                opens_session: matches!(operation, Operation::Initialize),
                is_request: message.kind() == Kind::Request,
                id: message.id().cloned(),
                method,
                headers,
                view,
                era,
                body: message.into_bytes(),
            }
        }
    }
}

/// Replaces the sealed session id by the upstream's own. The modern era has no sessions and its header is dropped.
fn session(
    cleared: &mut Cleared,
    incoming: &HeaderMap,
    principal: &Principal,
    route: &Route,
    sessions: (&SessionSeal, Timestamp),
) -> Result<(), Denial> {
    if let Some(id) = genuine(cleared.id.as_ref(), incoming, principal, route, sessions)? {
        cleared.headers.insert(SESSION_ID, id);
    }
    Ok(())
}

/// The upstream's session id behind the caller's, if there is any.
fn genuine(
    id: Option<&Id>,
    incoming: &HeaderMap,
    principal: &Principal,
    route: &Route,
    (seal, now): (&SessionSeal, Timestamp),
) -> Result<Option<HeaderValue>, Denial> {
    let mut ids = incoming.get_all(SESSION_ID).iter();
    let (Some(sealed), extra) = (ids.next(), ids.next()) else {
        return Ok(None);
    };
    let opened = match extra {
        None => seal
            .open(sealed.as_bytes(), principal, route.name(), now)
            .ok(),
        Some(_) => None,
    };
    let genuine = opened.and_then(|id| HeaderValue::from_bytes(&id).ok());
    let Some(mut genuine) = genuine else {
        let body = errors::plain(id.into(), SESSION_NOT_FOUND, "Session not found");
        return Err(Denial::rpc(
            Stage::Screen,
            "foreign_session",
            StatusCode::NOT_FOUND,
            body,
        ));
    };
    genuine.set_sensitive(true);
    Ok(Some(genuine))
}
