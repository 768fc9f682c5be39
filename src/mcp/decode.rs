//! From bytes to the parts of a [`Message`](super::Message): the envelope of JSON-RPC 2.0 and, for the methods on which
//! the gateway decides, the shape of their parameters. A member that only looks like one of the protocol's is refused,
//! because some reader behind us takes it for the real one.

use super::fold::imitated;
use super::json::{JsonError, check};
use super::message::{Id, Kind, Limits, Parts, Subject};
use super::params::Params;
use super::view::Json;

/// A body that is not one well-formed MCP message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct DecodeError {
    /// The id to answer to, where it could be read.
    pub id: Option<Id>,
    /// What is wrong.
    #[source]
    pub fault: Fault,
}

/// What is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not one document that all read alike.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// An array: batches left MCP with revision 2025-06-18, and some servers still execute every element.
    #[error("batches are not accepted")]
    Batch,
    /// Neither object nor array.
    #[error("the message is not an object")]
    NotAnObject,
    /// A member whose name only looks like `known`.
    #[error("a member imitates `{known}`")]
    Imitation {
        /// The protocol's own member.
        known: &'static str,
    },
    /// `jsonrpc` is missing or not `"2.0"`.
    #[error("`jsonrpc` is not \"2.0\"")]
    Version,
    /// `id` is `null` beside a method.
    #[error("`id` is null")]
    NullId,
    /// `id` is neither string nor integer.
    #[error("`id` is neither a string nor an integer")]
    Id,
    /// `method` is not a string, or empty.
    #[error("`method` is not a name")]
    Method,
    /// None of `method`, `result`, `error`.
    #[error("neither a method nor a result nor an error")]
    NoSubject,
    /// More than one of `method`, `result`, `error`, or parameters beside an outcome.
    #[error("both a call and an outcome")]
    TwoSubjects,
    /// `params` is there and not an object.
    #[error("`params` is not an object")]
    Params,
    /// A parameter is missing or of the wrong kind.
    #[error("`params.{member}` must be {wanted}")]
    Parameter {
        /// Which one.
        member: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// A part is longer than its limit.
    #[error("`{member}` is longer than {limit}")]
    TooLong {
        /// Which one.
        member: &'static str,
        /// The limit.
        limit: usize,
    },
}

impl Fault {
    /// The JSON-RPC error code (JSON-RPC 2.0 section 5.1).
    pub const fn code(&self) -> i64 {
        match self {
            Self::Json(error) if !error.is_ambiguity() => -32700,
            Self::Parameter { .. } => -32602,
            _ => -32600,
        }
    }
}

/// Reads the parts of one message.
pub(super) fn parts(bytes: &[u8], limits: &Limits) -> Result<Parts, DecodeError> {
    let nameless = |fault| DecodeError { id: None, fault };
    let json = check(bytes, limits.json).map_err(|e| nameless(e.into()))?;
    if json.is_array() {
        return Err(nameless(Fault::Batch));
    }
    if !json.is_object() {
        return Err(nameless(Fault::NotAnObject));
    }
    let envelope = Envelope::read(json).map_err(nameless)?;
    let id = envelope.id.and_then(Id::read);
    let id = id.filter(|id| id.raw().len() <= limits.id);
    match envelope.parts(limits, id.clone()) {
        Ok(parts) => Ok(parts),
        Err(fault) => Err(DecodeError { id, fault }),
    }
}

/// The members of JSON-RPC itself.
const ENVELOPE: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

#[derive(Default)]
struct Envelope<'a> {
    version: Option<Json<'a>>,
    id: Option<Json<'a>>,
    method: Option<Json<'a>>,
    params: Option<Json<'a>>,
    result: Option<Json<'a>>,
    error: Option<Json<'a>>,
}

impl<'a> Envelope<'a> {
    fn read(json: Json<'a>) -> Result<Self, Fault> {
        let mut envelope = Self::default();
        for member in json.members() {
            let slot = match member.name.as_ref() {
                "jsonrpc" => &mut envelope.version,
                "id" => &mut envelope.id,
                "method" => &mut envelope.method,
                "params" => &mut envelope.params,
                "result" => &mut envelope.result,
                "error" => &mut envelope.error,
                other => {
                    refuse_imitation(other, &ENVELOPE)?;
                    continue;
                }
            };
            *slot = Some(member.value);
        }
        Ok(envelope)
    }

    fn parts(&self, limits: &Limits, id: Option<Id>) -> Result<Parts, Fault> {
        if self.version.and_then(Json::text).as_deref() != Some("2.0") {
            return Err(Fault::Version);
        }
        match (self.method, self.result, self.error) {
            (Some(method), None, None) => self.call(method, limits, id),
            (None, Some(_), None) | (None, None, Some(_)) => self.outcome(limits, id),
            (None, None, None) => Err(Fault::NoSubject),
            _ => Err(Fault::TwoSubjects),
        }
    }

    /// A request or a notification.
    fn call(&self, method: Json<'a>, limits: &Limits, id: Option<Id>) -> Result<Parts, Fault> {
        self.refuse_bad_id(limits, &id)?;
        let method = method.text().filter(|m| !m.is_empty());
        let method = method.ok_or(Fault::Method)?;
        within(method.len(), limits.name, "method")?;
        if self.params.is_some_and(|params| !params.is_object()) {
            return Err(Fault::Params);
        }
        let params = Params::read(self.params, limits)?;
        Ok(Parts {
            kind: match id {
                Some(_) => Kind::Request,
                None => Kind::Notification,
            },
            id,
            subject: params.subject(&method)?,
            meta_version: params.meta_version()?,
            method: Some(method.into()),
            params: self.params.map(Json::range),
        })
    }

    /// A result or an error. An error may have no id or `null` when the request could not be read.
    fn outcome(&self, limits: &Limits, id: Option<Id>) -> Result<Parts, Fault> {
        if self.params.is_some() {
            return Err(Fault::TwoSubjects);
        }
        let nameless = self.id.is_none_or(Json::is_null);
        if !(nameless && self.error.is_some()) {
            self.refuse_bad_id(limits, &id)?;
            if id.is_none() {
                return Err(Fault::Id);
            }
        }
        Ok(Parts {
            kind: Kind::Response,
            id,
            method: None,
            params: None,
            meta_version: None,
            subject: Subject::Response,
        })
    }

    fn refuse_bad_id(&self, limits: &Limits, read: &Option<Id>) -> Result<(), Fault> {
        match self.id {
            Some(sent) if sent.is_null() => Err(Fault::NullId),
            Some(sent) if read.is_none() => {
                within(sent.raw().len(), limits.id, "id")?;
                Err(Fault::Id)
            }
            _ => Ok(()),
        }
    }
}

/// Refuses a name that only looks like one of the protocol's.
pub(super) fn refuse_imitation(name: &str, known: &[&'static str]) -> Result<(), Fault> {
    match imitated(name, known) {
        Some(known) => Err(Fault::Imitation { known }),
        None => Ok(()),
    }
}

/// Refuses what is longer than its limit.
pub(super) fn within(length: usize, limit: usize, member: &'static str) -> Result<(), Fault> {
    if length > limit {
        return Err(Fault::TooLong { member, limit });
    }
    Ok(())
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
