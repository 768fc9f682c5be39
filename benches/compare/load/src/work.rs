//! What is asked and what is answered: the requests of every workload and the answers of the MCP server, byte for byte the
//! same for every proxy.

use bytes::Bytes;
use clap::ValueEnum;
use serde_json::{Value, json};

/// The revision of the protocol that is spoken: one without sessions, so that every request stands alone.
const REVISION: &str = "2026-07-28";
/// How many tools the list has; with descriptions and schemas it is about 38 kB.
const TOOLS: usize = 50;
/// How many events the stream has: all but the last are progress.
pub(crate) const EVENTS: usize = 100;
/// How large the text of the large result is.
const BLOB: usize = 64 * 1024;

/// A workload's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// A `tools/call` of 300 bytes with an answer of 300 bytes.
    Call,
    /// `tools/list`.
    List,
    /// A `tools/call` whose answer has as many bytes as the list.
    Same,
    /// A `tools/call` whose answer is 64 kB of text.
    Blob,
    /// A `tools/call` whose answer is a stream of 100 events.
    Stream,
}

impl Work {
    /// The method that it calls.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::List => "tools/list",
            _ => "tools/call",
        }
    }

    /// The tool that it calls, if any.
    pub(crate) fn tool(self) -> Option<&'static str> {
        match self {
            Self::Call => Some("task_00_read"),
            Self::List => None,
            Self::Same => Some("task_01_read"),
            Self::Blob => Some("task_02_read"),
            Self::Stream => Some("task_03_read"),
        }
    }

    /// Which of the workloads a request belongs to, by the header that names its tool.
    pub(crate) fn of(tool: Option<&[u8]>) -> Option<Self> {
        let Some(tool) = tool else {
            return Some(Self::List);
        };
        [Self::Call, Self::Same, Self::Blob, Self::Stream]
            .into_iter()
            .find(|work| work.tool().is_some_and(|name| name.as_bytes() == tool))
    }

    /// The body of the request.
    pub(crate) fn body(self) -> Bytes {
        let mut params = json!({"_meta": {
            "io.modelcontextprotocol/protocolVersion": REVISION,
            "io.modelcontextprotocol/clientCapabilities": {},
        }});
        if let Some(tool) = self.tool() {
            params["name"] = tool.into();
            params["arguments"] =
                json!({"task_id": "86a1b2c3d", "include_comments": true, "page": 1});
        }
        if self == Self::Stream {
            params["_meta"]["progressToken"] = "p1".into();
        }
        message(json!({"id": 1, "method": self.method(), "params": params}))
    }

    /// The headers of the request, without those that frame it.
    pub(crate) fn headers(self, token: &str) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("authorization", format!("Bearer {token}")),
            ("content-type", "application/json".into()),
            ("accept", "application/json, text/event-stream".into()),
            ("user-agent", "sallygate-load".into()),
            ("mcp-protocol-version", REVISION.into()),
            ("mcp-method", self.method().into()),
        ];
        if let Some(tool) = self.tool() {
            headers.push(("mcp-name", tool.into()));
        }
        headers
    }
}

/// The answers, made once.
#[derive(Clone)]
pub(crate) struct Answers {
    call: Bytes,
    list: Bytes,
    same: Bytes,
    blob: Bytes,
    /// The events of the stream, each with its blank line.
    pub(crate) events: Vec<Bytes>,
}

impl Answers {
    /// Makes all of them.
    pub(crate) fn new() -> Self {
        let list = list();
        let frame = text("").len();
        Self {
            call: text(&filler(180)),
            same: text(&filler(list.len() - frame)),
            blob: text(&filler(BLOB)),
            list,
            events: events(),
        }
    }

    /// The answer to a request, unless it is the stream.
    pub(crate) fn of(&self, work: Work) -> Option<Bytes> {
        match work {
            Work::Call => Some(self.call.clone()),
            Work::List => Some(self.list.clone()),
            Work::Same => Some(self.same.clone()),
            Work::Blob => Some(self.blob.clone()),
            Work::Stream => None,
        }
    }
}

/// The result of a tool that says this.
fn text(words: &str) -> Bytes {
    message(json!({"id": 1, "result": {
        "resultType": "complete",
        "content": [{"type": "text", "text": words}],
        "isError": false,
    }}))
}

/// Fifty tools, of which every fifth deletes something.
fn list() -> Bytes {
    let tools: Vec<Value> = (0..TOOLS).map(tool).collect();
    message(json!({"id": 1, "result": {
        "resultType": "complete", "tools": tools, "ttlMs": 60_000, "cacheScope": "private",
    }}))
}

fn tool(number: usize) -> Value {
    let verb = if number % 5 == 4 { "delete" } else { "read" };
    json!({
        "name": format!("task_{number:02}_{verb}"),
        "title": format!("Task tool number {number}"),
        "description": filler(180),
        "inputSchema": {
            "type": "object",
            "properties": {
                "task_id": {"type": "string", "description": filler(60), "minLength": 1, "maxLength": 64},
                "include_comments": {"type": "boolean", "description": filler(50), "default": false},
                "page": {"type": "integer", "description": filler(40), "minimum": 0},
            },
            "required": ["task_id"],
            "additionalProperties": false,
        },
        "annotations": {"readOnlyHint": verb == "read", "openWorldHint": false},
    })
}

fn events() -> Vec<Bytes> {
    let progress = |number: usize| {
        message(json!({"method": "notifications/progress", "params": {
            "progressToken": "p1", "progress": number, "total": EVENTS, "message": filler(60),
        }}))
    };
    let mut events: Vec<Bytes> = (1..EVENTS).map(|number| event(&progress(number))).collect();
    events.push(event(&text(&filler(180))));
    events
}

fn event(message: &[u8]) -> Bytes {
    [b"event: message\ndata: ".as_slice(), message, b"\n\n"]
        .concat()
        .into()
}

fn message(mut fields: Value) -> Bytes {
    fields["jsonrpc"] = "2.0".into();
    fields.to_string().into()
}

/// Plain words of this many bytes.
fn filler(bytes: usize) -> String {
    "every good gate opens for the right people only and says so "
        .chars()
        .cycle()
        .take(bytes)
        .collect()
}
