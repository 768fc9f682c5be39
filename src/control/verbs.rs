//! The orders that are understood, each with its path and the part that carries it out. Parts register their own; what is not
//! registered does not exist.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::form_urlencoded;

use crate::audit::{Event, Record, Sink};
use crate::clock::Clock;
use crate::random;

/// One order.
#[derive(Clone, Debug)]
pub struct Call {
    /// What stands in the path where the pattern has `{}`, decoded.
    pub names: Vec<String>,
    /// The query, without its question mark.
    pub query: String,
    /// The body.
    pub body: Bytes,
    /// Who gives it: the user id of the process at the other end.
    pub uid: u32,
}

impl Call {
    /// The first name of the path.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// What the body says.
    ///
    /// # Errors
    /// [`Refusal`] when it is not of that shape.
    pub fn said<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, "bad_body", error))
    }

    /// A parameter of the query.
    pub fn param(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
    }
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The status of the answer.
    pub status: StatusCode,
    /// A stable word.
    pub code: &'static str,
    /// What the operator reads.
    pub message: String,
}

impl Refusal {
    /// With a status, a word and a text.
    pub fn new(status: StatusCode, code: &'static str, message: impl ToString) -> Self {
        let message = message.to_string();
        Self {
            status,
            code,
            message,
        }
    }

    /// There is no such thing.
    pub fn unknown(message: impl ToString) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// The order makes no sense.
    pub fn invalid(message: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// Something failed behind the verb.
    pub fn failed(message: impl ToString) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "failed", message)
    }
}

/// What becomes of an order.
pub type Outcome = Result<Value, Refusal>;
/// An order that is being carried out.
pub type Acting = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Something that can be ordered. Functions that take a [`Call`] and return a future are verbs.
pub trait Verb: Send + Sync {
    /// Carries the order out.
    fn act(&self, call: Call) -> Acting;
}

impl<F, Fut> Verb for F
where
    F: Fn(Call) -> Fut + Send + Sync,
    Fut: Future<Output = Outcome> + Send + 'static,
{
    fn act(&self, call: Call) -> Acting {
        Box::pin(self(call))
    }
}

struct Entry {
    method: Method,
    pattern: &'static str,
    action: &'static str,
    verb: Arc<dyn Verb>,
}

/// The orders that are understood, and the trail in which each leaves a line.
pub struct Verbs {
    entries: Vec<Entry>,
    audit: Sink,
    clock: Clock,
}

impl Verbs {
    /// None yet.
    pub const fn new(audit: Sink, clock: Clock) -> Self {
        Self {
            entries: Vec::new(),
            audit,
            clock,
        }
    }

    /// The same with a further one: `on(Method::POST, "/users/{}/disable", "user_disable", verb)`. The action is what its
    /// audit lines are called.
    pub fn on(
        mut self,
        method: Method,
        pattern: &'static str,
        action: &'static str,
        verb: impl Verb + 'static,
    ) -> Self {
        self.entries.push(Entry {
            method,
            pattern,
            action,
            verb: Arc::new(verb),
        });
        self
    }

    /// Carries an order out and writes its line.
    ///
    /// # Errors
    /// [`Refusal`], also for orders that are not understood and for any that could not be recorded.
    pub async fn act(&self, method: &Method, path: &str, call: Call) -> Outcome {
        let (entry, names) = self.find(method, path)?;
        let slot = self.audit.reserve().map_err(|refused| {
            Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "audit_unavailable",
                format!("nothing is done that cannot be recorded: {refused}"),
            )
        })?;
        let request_id = random::hex::<8>().map_err(Refusal::failed)?;
        let mut record = Record::new(
            Event::AdminAction,
            self.clock.now(),
            &format!("req_{request_id}"),
        );
        record
            .action(entry.action)
            .method(method.as_str())
            .path(path)
            .detail("uid", call.uid);
        if let Some(subject) = names.first() {
            record.detail("subject", subject.as_str());
        }
        let began = self.clock.monotonic();
        let outcome = entry.verb.act(Call { names, ..call }).await;
        if let Err(refusal) = &outcome {
            record.failed(refusal.code, &refusal.message);
        }
        let took = self.clock.monotonic().saturating_duration_since(began);
        record.finished(self.clock.now(), took);
        slot.write(record);
        outcome
    }

    fn find(&self, method: &Method, path: &str) -> Result<(&Entry, Vec<String>), Refusal> {
        let mut known = false;
        for entry in &self.entries {
            let Some(names) = matched(entry.pattern, path) else {
                continue;
            };
            if entry.method == *method {
                return Ok((entry, names));
            }
            known = true;
        }
        Err(if known {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            Refusal::new(status, "method_not_allowed", "not by this method")
        } else {
            Refusal::unknown("no such order")
        })
    }
}

impl fmt::Debug for Verbs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns = self.entries.iter().map(|entry| entry.pattern);
        f.debug_list().entries(patterns).finish()
    }
}

/// What stands for each `{}` of the pattern, if the path is of that shape.
pub(super) fn matched(pattern: &str, path: &str) -> Option<Vec<String>> {
    let (mut parts, mut names) = (path.split('/'), Vec::new());
    for wanted in pattern.split('/') {
        let part = parts.next()?;
        if wanted == "{}" {
            names.push(decoded(part).filter(|name| !name.is_empty())?);
        } else if wanted != part {
            return None;
        }
    }
    parts.next().is_none().then_some(names)
}

/// A part of a path without its percent escapes (RFC 3986 section 2.1).
fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.contains(char::is_control)).then_some(text)
}
