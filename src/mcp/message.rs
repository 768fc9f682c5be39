//! One JSON-RPC message and what it asks for. The bytes are kept as they came and forwarded untouched; beside them stand
//! only the few parts on which the gateway decides, read once and strictly.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::decode::{self, DecodeError};
use super::json::Rules;
use super::view::Json;

/// What one message may cost to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How strictly the document is read, and how deep it may nest.
    pub json: Rules,
    /// Bytes of an `id` as sent. It is echoed and logged.
    pub id: usize,
    /// Bytes of a method, tool, prompt or task name. They become map keys and log fields.
    pub name: usize,
    /// Bytes of a resource URI.
    pub uri: usize,
    /// Resources that one `subscriptions/listen` may name; each is decided on.
    pub listened: usize,
}

impl Limits {
    /// For messages from downstream.
    pub const REQUEST: Self = Self {
        json: Rules::REQUEST,
        id: 256,
        name: 1024,
        uri: 8192,
        listened: 256,
    };

    /// For messages from upstream.
    pub const ANSWER: Self = Self {
        json: Rules::ANSWER,
        ..Self::REQUEST
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::REQUEST
    }
}

/// Exactly one JSON-RPC 2.0 message that every reader reads alike.
#[derive(Clone, Debug)]
pub struct Message {
    bytes: Bytes,
    parts: Parts,
}

/// What is remembered of a message beside its bytes; filled in by [`decode`].
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) kind: Kind,
    pub(super) id: Option<Id>,
    pub(super) method: Option<Box<str>>,
    pub(super) params: Option<Range<usize>>,
    pub(super) meta_version: Option<Box<str>>,
    pub(super) subject: Subject,
}

/// The owned twin of [`Operation`].
#[derive(Clone, Debug)]
pub(super) enum Subject {
    Tool(Box<str>, Option<Range<usize>>),
    Prompt(Box<str>, Option<Range<usize>>),
    Read(Box<str>),
    Subscribe(Box<str>),
    Unsubscribe(Box<str>),
    CompletePrompt(Box<str>),
    CompleteResource(Box<str>),
    ListTools,
    ListPrompts,
    ListResources,
    ListTemplates,
    Initialize,
    Discover,
    Listen(Vec<Box<str>>),
    Task(Option<Box<str>>),
    Other,
    Response,
}

/// Which of the three kinds a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Has a method and an id; an answer is due.
    Request,
    /// Has a method and no id.
    Notification,
    /// Has a result or an error.
    Response,
}

/// What a message asks for, as policy must see it. A call without an id is a call all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// `tools/call`, also as a task and as a retry with `inputResponses`.
    CallTool {
        /// `params.name`
        name: &'a str,
        /// `params.arguments`, as sent.
        arguments: Option<&'a str>,
    },
    /// `prompts/get`
    GetPrompt {
        /// `params.name`
        name: &'a str,
        /// `params.arguments`, as sent.
        arguments: Option<&'a str>,
    },
    /// `resources/read`
    ReadResource {
        /// `params.uri`
        uri: &'a str,
    },
    /// `resources/subscribe`
    Subscribe {
        /// `params.uri`
        uri: &'a str,
    },
    /// `resources/unsubscribe`
    Unsubscribe {
        /// `params.uri`
        uri: &'a str,
    },
    /// `completion/complete`
    Complete {
        /// `params.ref`
        reference: Reference<'a>,
    },
    /// `tools/list`
    ListTools,
    /// `prompts/list`
    ListPrompts,
    /// `resources/list`
    ListResources,
    /// `resources/templates/list`
    ListTemplates,
    /// `initialize`
    Initialize,
    /// `server/discover`
    Discover,
    /// `subscriptions/listen`
    Listen {
        /// `params.notifications.resourceSubscriptions`: each may show that a resource exists and changes.
        resources: &'a [Box<str>],
    },
    /// Any `tasks/...` method.
    Task {
        /// The method.
        method: &'a str,
        /// `params.taskId`; every task method but `tasks/list` has one.
        task_id: Option<&'a str>,
    },
    /// Any other request or notification.
    Other {
        /// The method.
        method: &'a str,
    },
    /// A result or an error.
    Response,
}

/// What a completion is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    /// `ref/prompt` with its name.
    Prompt(&'a str),
    /// `ref/resource` with its URI or URI template.
    Resource(&'a str),
}

/// The id of a request, as the JSON text that was sent, so that an answer of ours echoes it byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Id(Box<str>);

impl Id {
    /// A string or an integer; nothing else is an id in MCP (base protocol, Requests).
    pub fn read(json: Json<'_>) -> Option<Self> {
        (json.text().is_some() || json.integer().is_some()).then(|| Self(json.raw().into()))
    }

    /// Whether this value is the id, however its sender spells it: servers write strings without escapes and numbers as
    /// their own numbers come.
    pub fn is(&self, json: Json<'_>) -> bool {
        if self.raw() == json.raw() {
            return true;
        }
        match json.text() {
            Some(text) => serde_json::from_str::<String>(self.raw()).is_ok_and(|own| own == text),
            None => {
                let number = |raw: &str| raw.parse::<f64>().ok().filter(|one| one.is_finite());
                let own = number(self.raw());
                own.is_some() && own == number(json.raw())
            }
        }
    }

    /// The JSON text.
    pub fn raw(&self) -> &str {
        &self.0
    }
}

impl From<i64> for Id {
    fn from(number: i64) -> Self {
        Self(number.to_string().into())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Message {
    /// Reads a body as exactly one message.
    ///
    /// # Errors
    /// [`DecodeError`], which knows the JSON-RPC code and, where it could be read, the id to answer to.
    pub fn decode(bytes: Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        let parts = decode::parts(&bytes, limits)?;
        Ok(Self { bytes, parts })
    }

    /// Request, notification or response.
    pub const fn kind(&self) -> Kind {
        self.parts.kind
    }

    /// The method; none for a response.
    pub fn method(&self) -> Option<&str> {
        self.parts.method.as_deref()
    }

    /// The id; none for a notification.
    pub const fn id(&self) -> Option<&Id> {
        self.parts.id.as_ref()
    }

    /// `params` as sent.
    pub fn params(&self) -> Option<&str> {
        self.parts.params.as_ref().map(|range| self.slice(range))
    }

    /// The arguments of a call of a tool, to look into.
    pub fn arguments(&self) -> Option<Json<'_>> {
        let Subject::Tool(_, Some(range)) = &self.parts.subject else {
            return None;
        };
        let text = self.slice(range);
        Some(Json::checked(text, 0, text.len()))
    }

    /// The revision that the body itself names: `params._meta["io.modelcontextprotocol/protocolVersion"]`.
    pub fn meta_protocol_version(&self) -> Option<&str> {
        self.parts.meta_version.as_deref()
    }

    /// The bytes as they came.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes as they came, to send on.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// What the message asks for.
    pub fn operation(&self) -> Operation<'_> {
        let method = self.method().unwrap_or_default();
        match &self.parts.subject {
            Subject::Tool(name, arguments) => Operation::CallTool {
                name,
                arguments: arguments.as_ref().map(|range| self.slice(range)),
            },
            Subject::Prompt(name, arguments) => Operation::GetPrompt {
                name,
                arguments: arguments.as_ref().map(|range| self.slice(range)),
            },
            Subject::Read(uri) => Operation::ReadResource { uri },
            Subject::Subscribe(uri) => Operation::Subscribe { uri },
            Subject::Unsubscribe(uri) => Operation::Unsubscribe { uri },
            Subject::CompletePrompt(name) => Operation::Complete {
                reference: Reference::Prompt(name),
            },
            Subject::CompleteResource(uri) => Operation::Complete {
                reference: Reference::Resource(uri),
            },
            Subject::ListTools => Operation::ListTools,
            Subject::ListPrompts => Operation::ListPrompts,
            Subject::ListResources => Operation::ListResources,
            Subject::ListTemplates => Operation::ListTemplates,
            Subject::Initialize => Operation::Initialize,
            Subject::Discover => Operation::Discover,
            Subject::Listen(resources) => Operation::Listen { resources },
            Subject::Task(task_id) => Operation::Task {
                method,
                task_id: task_id.as_deref(),
            },
            Subject::Other => Operation::Other { method },
            Subject::Response => Operation::Response,
        }
    }

    /// A part of the body, which was checked to be UTF-8 as a whole. Were a range ever wrong, the empty text would be no
    /// JSON, and whoever reads it would refuse.
    fn slice(&self, range: &Range<usize>) -> &str {
        self.bytes
            .get(range.clone())
            .and_then(|part| std::str::from_utf8(part).ok())
            .unwrap_or_default()
    }
}
