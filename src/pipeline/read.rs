//! Between stages 4 and 5: what a request came for. The body of a POST is read here and nowhere else, and only for a
//! caller who holds an [`Admission`]: whoever has no token or no quota left never makes us buffer.

use http::header::ALLOW;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use hyper::body::Incoming;

use super::denial::{Answer, Denial};
use crate::limits::{self, Armed};
use crate::mcp::errors::{self, ReplyTo};
use crate::mcp::{self, Era, EraError, Id, Message};
use crate::quota::Admission;
use crate::stage::Stage;

/// What a request came for.
#[derive(Debug)]
pub enum Errand {
    /// One message, POSTed.
    Send {
        /// The message.
        message: Message,
        /// The era it belongs to.
        era: Era,
    },
    /// The legacy stream of what the server has to say, opened by GET.
    Listen,
    /// The end of a legacy session, by DELETE.
    End,
}

/// Finds out what a request came for.
///
/// # Errors
/// A [`Denial`] with a JSON-RPC body where the request was a message, so that clients of both eras recognise it.
pub async fn errand(
    head: &Parts,
    body: &mut Incoming,
    armed: &Armed,
    _admitted: &Admission,
    limits: &mcp::Limits,
) -> Result<Errand, Denial> {
    match head.method {
        Method::POST => {
            limits::expect_json(&head.headers)?;
            let bytes = limits::body::read(body, &head.headers, armed).await?;
            let message = Message::decode(bytes, limits).map_err(|error| undecodable(&error))?;
            let era =
                Era::of(&head.headers, &message).map_err(|error| no_era(&error, message.id()))?;
            Ok(Errand::Send { message, era })
        }
        Method::GET | Method::DELETE => match Era::claimed(&head.headers) {
            Ok(Era::Legacy(_)) if head.method == Method::GET => Ok(Errand::Listen),
            Ok(Era::Legacy(_)) => Ok(Errand::End),
            // MCP 2026-07-28, transport: POST is the only method.
            Ok(Era::Modern(_)) => Err(not_allowed("POST")),
            Err(error) => Err(no_era(&error, None)),
        },
        _ => Err(not_allowed("GET, POST, DELETE")),
    }
}

fn undecodable(error: &mcp::DecodeError) -> Denial {
    let to = error.id.as_ref().map_or(ReplyTo::Null, ReplyTo::Id);
    let body = errors::plain(to, error.fault.code(), &error.to_string());
    Denial::rpc(
        Stage::Read,
        "invalid_message",
        StatusCode::BAD_REQUEST,
        body,
    )
    .because(error)
}

/// A request that does not say consistently which revision it speaks. Clients of both eras recognise these bodies; without
/// one they would fall back to the older era.
fn no_era(error: &EraError, id: Option<&Id>) -> Denial {
    let body = match error {
        EraError::Unknown { requested } => errors::unsupported_version(id.into(), requested),
        _ => errors::plain(id.into(), error.code(), &error.to_string()),
    };
    Denial::rpc(Stage::Read, "protocol_version", error.status(), body).because(error)
}

/// The answer to a method that the path does not have (RFC 9110 section 15.5.6 asks for Allow).
pub fn not_allowed(allow: &'static str) -> Denial {
    let mut denial = Denial::http(
        Stage::Read,
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This method is not served here",
    );
    if let Answer::Http { headers, .. } = &mut denial.answer {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    denial
}
