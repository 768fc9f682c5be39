//! JSON-RPC as the sample server reads and writes it: one message a body, and the list of everything that can be wrong
//! with one, each with its code in the era of the caller.

use serde_json::{Map, Value, json};

/// JSON members of an object.
pub(super) type Members = Map<String, Value>;

/// Which of the two families of protocol revisions a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    /// Revisions with a handshake and sessions.
    Legacy,
    /// 2026-07-28 and later: every request stands alone.
    Modern,
}

/// The revisions of the legacy era that we speak, newest first. 2025-03-26 is left out because it obliges a server to
/// accept batches; its clients are offered the newest.
pub(super) const LEGACY_REVISIONS: [&str; 2] = ["2025-11-25", "2025-06-18"];
/// The revision of the modern era.
pub(super) const MODERN_REVISION: &str = "2026-07-28";
/// Where a modern request names its revision.
pub(super) const META_REVISION: &str = "io.modelcontextprotocol/protocolVersion";

/// A request that wants an answer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: Value,
    pub(super) method: String,
    pub(super) params: Members,
}

/// One message from downstream.
#[derive(Debug)]
pub(super) enum Incoming {
    Request(Request),
    Notification {
        method: String,
        params: Members,
    },
    /// An answer to a question that we never ask.
    Response,
}

impl Incoming {
    /// Reads exactly one message.
    pub(super) fn read(body: &[u8]) -> Result<Self, Fault> {
        let value: Value = serde_json::from_slice(body).map_err(|_| Fault::Parse)?;
        let Value::Object(mut message) = value else {
            return Err(Fault::InvalidRequest("the body has to be one object"));
        };
        if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return Err(Fault::InvalidRequest("`jsonrpc` has to be \"2.0\""));
        }
        let is_answer = message.contains_key("result") || message.contains_key("error");
        let method = match message.remove("method") {
            Some(Value::String(method)) if !is_answer => method,
            None if is_answer && message.contains_key("id") => return Ok(Self::Response),
            _ => return Err(Fault::InvalidRequest("`method` has to be a string")),
        };
        let params = match message.remove("params") {
            None => Members::new(),
            Some(Value::Object(params)) => params,
            Some(_) => return Err(Fault::InvalidRequest("`params` has to be an object")),
        };
        match message.remove("id") {
            None => Ok(Self::Notification { method, params }),
            Some(id) if is_id(&id) => Ok(Self::Request(Request { id, method, params })),
            Some(_) => Err(Fault::InvalidRequest(
                "`id` has to be a string or an integer",
            )),
        }
    }

    /// `params._meta`, where the message has any.
    pub(super) fn meta(&self) -> Option<&Members> {
        match self {
            Self::Request(Request { params, .. }) | Self::Notification { params, .. } => {
                meta(params)
            }
            Self::Response => None,
        }
    }
}

/// `_meta` of some params.
pub(super) fn meta(params: &Members) -> Option<&Members> {
    params.get("_meta")?.as_object()
}

fn is_id(id: &Value) -> bool {
    id.is_string() || id.is_i64() || id.is_u64()
}

/// Everything that can be wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("Parse error")]
    Parse,
    #[error("Invalid request: {0}")]
    InvalidRequest(&'static str),
    #[error("Method not found: {0}")]
    UnknownMethod(String),
    #[error("Invalid params: {0}")]
    InvalidParams(String),
    #[error("Unknown tool: {0}")]
    UnknownTool(String),
    #[error("Unknown prompt: {0}")]
    UnknownPrompt(String),
    #[error("Resource not found: {0}")]
    UnknownResource(String),
    #[error("Header mismatch: {0}")]
    HeaderMismatch(String),
    #[error("Unsupported protocol version: {0}")]
    UnsupportedRevision(String),
    #[error("Internal error")]
    Internal,
    /// This and the next are codes of ours, which lie outside the range that JSON-RPC reserves.
    #[error("Session not found")]
    UnknownSession,
    #[error("Too many calls are running")]
    Busy,
}

impl Fault {
    fn code(&self, era: Era) -> i32 {
        match self {
            Self::Parse => -32700,
            Self::InvalidRequest(_) => -32600,
            Self::UnknownMethod(_) => -32601,
            Self::InvalidParams(_) | Self::UnknownTool(_) | Self::UnknownPrompt(_) => -32602,
            Self::UnknownResource(_) => match era {
                Era::Legacy => -32002,
                Era::Modern => -32602,
            },
            Self::HeaderMismatch(_) => -32020,
            Self::UnsupportedRevision(_) => -32022,
            Self::Internal => -32603,
            Self::UnknownSession => 404,
            Self::Busy => 503,
        }
    }

    fn data(&self) -> Option<Value> {
        match self {
            Self::UnknownResource(uri) => Some(json!({"uri": uri})),
            Self::UnsupportedRevision(requested) => {
                Some(json!({"supported": [MODERN_REVISION], "requested": requested}))
            }
            _ => None,
        }
    }

    /// The error answer; without an id when the request's could not be read.
    pub(super) fn answer(&self, id: Option<&Value>, era: Era) -> Value {
        let mut error = json!({"code": self.code(era), "message": self.to_string()});
        if let (Some(data), Some(error)) = (self.data(), error.as_object_mut()) {
            error.insert("data".into(), data);
        }
        match id {
            Some(id) => json!({"jsonrpc": "2.0", "id": id, "error": error}),
            None => json!({"jsonrpc": "2.0", "error": error}),
        }
    }
}

/// The answer to a request that went well.
pub(super) fn success(id: &Value, result: Members) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

/// A message that wants no answer.
pub(super) fn notification(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

/// A string member that has to be there.
pub(super) fn required<'a>(params: &'a Members, name: &str) -> Result<&'a str, Fault> {
    params
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| Fault::InvalidParams(format!("`{name}` has to be a string")))
}

/// An object member that may be absent.
pub(super) fn optional_object(params: &mut Members, name: &str) -> Result<Members, Fault> {
    match params.remove(name) {
        None => Ok(Members::new()),
        Some(Value::Object(members)) => Ok(members),
        Some(_) => Err(Fault::InvalidParams(format!(
            "`{name}` has to be an object"
        ))),
    }
}
