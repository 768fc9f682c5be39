//! Stage 5 as the pipeline asks it: which questions a message raises, and how a refusal looks to the caller. A tool, prompt
//! or resource that the caller may not know of is answered exactly as one that does not exist.

use http::StatusCode;
use serde_json::json;

use super::denial::{Answer, Denial};
use super::lens::Lens;
use super::read::Errand;
use super::route::Route;
use super::screen::{Named, View};
use crate::auth::{Challenge, Principal};
use crate::mcp::errors::{self, ReplyTo};
use crate::mcp::{Era, Message, Operation, Reference};
use crate::policy::{Ask, Permit, PolicyError};
use crate::stage::Stage;

/// What policy calls the legacy GET stream.
const LISTEN: &str = "http/get";
/// The stream of the stateless era.
const SUBSCRIBE: &str = "subscriptions/listen";
/// What policy calls the end of a legacy session.
const END: &str = "http/delete";
/// What policy calls a client's answer to a question of the server.
const ANSWER: &str = "response";
/// Our own code for "a rule refuses these arguments": outside the ranges that JSON-RPC and MCP keep.
const REFUSED_BY_POLICY: i64 = 403;
/// What MCP servers answer for a task that is none (2025-11-25, Tasks, Error Handling).
const TASK_NOT_FOUND: i64 = -32602;

/// Asks policy about everything that the errand needs.
///
/// # Errors
/// The refusal of the first question that is refused.
pub fn permit(route: &Route, principal: &Principal, errand: &Errand) -> Result<Permit, Denial> {
    let decide = |name| route.policies().decide(principal, Ask::Method { name });
    match errand {
        Errand::Listen => decide(LISTEN).map_err(|error| door_refused(error, route)),
        Errand::End => decide(END).map_err(|error| door_refused(error, route)),
        Errand::Send { message, era } => {
            let method = message.method().unwrap_or(ANSWER);
            if let Operation::Task {
                task_id: Some(task_id),
                ..
            } = message.operation()
                && route.tasks().is_foreign(task_id, principal)
            {
                let body = errors::plain(message.id().into(), TASK_NOT_FOUND, "Task not found");
                return Err(answer(message, "foreign_task", body));
            }
            let mut permit = None;
            for ask in asks(message.operation(), method) {
                let given = route.policies().decide(principal, ask);
                permit = Some(given.map_err(|error| refused(error, ask, message, *era, route))?);
            }
            permit.ok_or_else(|| method_refused(message, *era))
        }
    }
}

/// Whether what an open answer is about would still be allowed by this route. A list is filtered by the set that it was asked
/// of, so nothing is asked about it again.
pub(super) fn still(route: &Route, principal: &Principal, lens: &Lens) -> bool {
    let policies = route.policies();
    match lens.view() {
        View::Named(thing) => {
            let ask = match thing {
                Named::Tool(name) => Ask::Tool {
                    name,
                    arguments: None,
                },
                Named::Prompt(name) => Ask::Prompt { name },
                Named::Resource(uri) => Ask::Resource { uri },
            };
            policies.lists(principal, ask)
        }
        View::List | View::Other if lens.is_long_lived() => {
            let name = match lens.is_modern() {
                true => SUBSCRIBE,
                false => LISTEN,
            };
            policies.decide(principal, Ask::Method { name }).is_ok()
        }
        View::List | View::Other => true,
    }
}

/// The questions that one message raises: about the thing it names, or about its method where it names none.
fn asks<'a>(operation: Operation<'a>, method: &'a str) -> impl Iterator<Item = Ask<'a>> {
    let one = match operation {
        Operation::CallTool { name, arguments } => Ask::Tool { name, arguments },
        Operation::GetPrompt { name, .. }
        | Operation::Complete {
            reference: Reference::Prompt(name),
        } => Ask::Prompt { name },
        Operation::ReadResource { uri }
        | Operation::Subscribe { uri }
        | Operation::Unsubscribe { uri }
        | Operation::Complete {
            reference: Reference::Resource(uri),
        } => Ask::Resource { uri },
        Operation::ListTools
        | Operation::ListPrompts
        | Operation::ListResources
        | Operation::ListTemplates
        | Operation::Initialize
        | Operation::Discover
        | Operation::Listen { .. }
        | Operation::Task { .. }
        | Operation::Other { .. }
        | Operation::Response => Ask::Method { name: method },
    };
    let listened = match operation {
        Operation::Listen { resources } => resources,
        _ => &[],
    };
    std::iter::once(one).chain(listened.iter().map(|uri| Ask::Resource { uri }))
}

fn refused(error: PolicyError, ask: Ask<'_>, message: &Message, era: Era, route: &Route) -> Denial {
    let mut denial = match &error {
        PolicyError::Hidden { .. } => hidden(ask, message, era),
        PolicyError::MethodNotAllowed { .. } => method_refused(message, era),
        PolicyError::InsufficientScope { needed } => insufficient_scope(needed, route),
        PolicyError::ArgumentsRefused { .. }
        | PolicyError::Unreadable(_)
        | PolicyError::EngineFailure { .. } => {
            let text = "Refused by policy: these arguments are not allowed";
            answer(
                message,
                "arguments_refused",
                errors::plain(message.id().into(), REFUSED_BY_POLICY, text),
            )
        }
    };
    denial.rule = error.rule().map(|rule| rule.as_str().to_owned());
    denial.because(error)
}

/// A name that the caller may not know of does not exist (200 and -32602, as MCP servers answer an unknown one).
fn hidden(ask: Ask<'_>, message: &Message, era: Era) -> Denial {
    let id = ReplyTo::from(message.id());
    match ask {
        Ask::Tool { name, .. } => answer(message, "hidden_tool", errors::unknown_tool(id, name)),
        Ask::Prompt { name } => answer(message, "hidden_prompt", errors::unknown_prompt(id, name)),
        Ask::Resource { uri } => answer(
            message,
            "hidden_resource",
            errors::resource_not_found(id, uri, era),
        ),
        Ask::Method { .. } => method_refused(message, era),
    }
}

fn method_refused(message: &Message, era: Era) -> Denial {
    let status = if era.is_modern() {
        StatusCode::NOT_FOUND
    } else {
        StatusCode::OK
    };
    let body = errors::method_not_found(message.id().into());
    let mut denial = answer(message, "method_refused", body);
    if let Answer::Rpc { status: given, .. } = &mut denial.answer {
        *given = status;
    }
    denial
}

fn door_refused(error: PolicyError, route: &Route) -> Denial {
    match &error {
        PolicyError::InsufficientScope { needed } => insufficient_scope(needed, route),
        _ => Denial::http(
            Stage::Policy,
            StatusCode::FORBIDDEN,
            "forbidden",
            "This is not allowed here",
        )
        .because(error),
    }
}

/// A message without an id gets no JSON-RPC answer: an unknown one is accepted and dropped, and so is a refused one.
fn answer(message: &Message, reason: &'static str, body: bytes::Bytes) -> Denial {
    let mut denial = Denial::rpc(Stage::Policy, reason, StatusCode::OK, body);
    if message.id().is_none() {
        denial.answer = Answer::Status(StatusCode::ACCEPTED);
    }
    denial
}

/// RFC 6750 section 3.1 and MCP authorization: all scopes of the operation in one challenge.
fn insufficient_scope(needed: &[String], route: &Route) -> Denial {
    let challenge =
        Challenge::insufficient_scope(route.resource(), needed.iter().map(String::as_str));
    let mut denial = Denial::http(
        Stage::Policy,
        StatusCode::FORBIDDEN,
        "insufficient_scope",
        "The token lacks a scope that this operation needs",
    );
    if let Answer::Http {
        headers, details, ..
    } = &mut denial.answer
    {
        headers.insert(http::header::WWW_AUTHENTICATE, challenge.header());
        *details = Some(json!({ "required_scopes": needed }));
    }
    denial
}
