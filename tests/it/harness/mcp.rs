//! An MCP client that is as correct as a test wants it to be: it fills in every header that a revision asks for, and
//! hands out the request before it is sent, so that a test can spoil exactly one thing.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName};
use hyper::{Method, Request, Response};
use hyper_util::client::legacy::Error;
use serde_json::{Value, json};

use super::client::{Client, Reply};
use super::sse::EventStream;

/// The modern revision.
pub(crate) const MODERN: &str = "2026-07-28";
/// The legacy revision that [`Mcp::initialize`] asks for.
pub(crate) const LEGACY: &str = "2025-11-25";

/// A request that a test may still change.
pub(crate) type Draft = Request<Full<Bytes>>;

/// A caller of one MCP endpoint.
#[derive(Clone)]
pub(crate) struct Mcp {
    client: Client,
    url: String,
    token: Option<String>,
    session: Option<String>,
}

impl Mcp {
    /// A caller without a token.
    pub(crate) fn at(client: &Client, url: &str) -> Self {
        Self {
            client: client.clone(),
            url: url.to_owned(),
            token: None,
            session: None,
        }
    }

    /// The same caller with a bearer token.
    pub(crate) fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// The same caller in a session.
    pub(crate) fn in_session(mut self, session: &str) -> Self {
        self.session = Some(session.to_owned());
        self
    }

    /// The session that [`Mcp::initialize`] opened.
    pub(crate) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// The legacy handshake, both steps.
    pub(crate) async fn initialize(&mut self) -> Reply {
        let params = json!({"protocolVersion": LEGACY, "capabilities": {},
            "clientInfo": {"name": "test", "version": "0"}});
        self.session = None;
        let mut draft = self.legacy_draft("initialize", params);
        draft.headers_mut().remove("mcp-protocol-version");
        let reply = self.send(draft).await;
        self.session = reply.header("mcp-session-id").map(String::from);
        let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let accepted = self.send(self.legacy_body(&done)).await;
        assert_eq!(accepted.status, 202);
        reply
    }

    /// A legacy request and its answer.
    pub(crate) async fn legacy(&self, method: &str, params: Value) -> Reply {
        self.send(self.legacy_draft(method, params)).await
    }

    /// A modern request and its answer.
    pub(crate) async fn modern(&self, method: &str, params: Value) -> Reply {
        self.send(self.modern_draft(method, params)).await
    }

    /// A legacy `tools/call` and its answer.
    pub(crate) async fn call_legacy(&self, tool: &str, arguments: Value) -> Reply {
        let params = json!({"name": tool, "arguments": arguments});
        self.legacy("tools/call", params).await
    }

    /// A modern `tools/call` and its answer.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Reply {
        let params = json!({"name": tool, "arguments": arguments});
        self.modern("tools/call", params).await
    }

    /// Sends what a test has made of a draft.
    pub(crate) async fn send(&self, draft: Draft) -> Reply {
        self.client.send(draft).await
    }

    /// Sends a draft and hands out the answer before its body.
    pub(crate) async fn attempt(&self, draft: Draft) -> Result<Response<Incoming>, Error> {
        self.client.attempt(draft).await
    }

    /// Sends a draft whose answer has to be an event stream.
    pub(crate) async fn open(&self, draft: Draft) -> EventStream {
        self.client.open(draft).await
    }

    /// A legacy request with id 1.
    pub(crate) fn legacy_draft(&self, method: &str, params: Value) -> Draft {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.legacy_body(&message)
    }

    /// Any legacy message.
    pub(crate) fn legacy_body(&self, message: &Value) -> Draft {
        let mut draft = self.draft(Method::POST, message.to_string());
        self.add_session(draft.headers_mut());
        draft
    }

    /// Any legacy body, also one that is no message.
    pub(crate) fn legacy_text(&self, body: &str) -> Draft {
        let mut draft = self.draft(Method::POST, body.to_owned());
        self.add_session(draft.headers_mut());
        draft
    }

    /// Any modern body, with the headers of this method and name.
    pub(crate) fn modern_text(&self, method: &str, name: Option<&str>, body: &str) -> Draft {
        let mut draft = self.draft(Method::POST, body.to_owned());
        set(&mut draft, "mcp-protocol-version", MODERN);
        set(&mut draft, "mcp-method", method);
        if let Some(name) = name {
            set(&mut draft, "mcp-name", name);
        }
        draft
    }

    /// The GET that opens the legacy stream, or the DELETE that ends the session.
    pub(crate) fn legacy_bare(&self, method: Method) -> Draft {
        let mut draft = self.draft(method, String::new());
        self.add_session(draft.headers_mut());
        draft
    }

    /// A modern request with id 1: `_meta` and mirrored headers as they have to be.
    pub(crate) fn modern_draft(&self, method: &str, mut params: Value) -> Draft {
        let meta = params
            .as_object_mut()
            .unwrap()
            .entry("_meta")
            .or_insert_with(|| json!({}));
        meta["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
        meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
        let name = params.get("name").or_else(|| params.get("uri"));
        let name = name.and_then(Value::as_str).map(String::from);
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.modern_text(method, name.as_deref(), &message.to_string())
    }

    fn draft(&self, method: Method, body: String) -> Draft {
        let mut draft = Request::builder()
            .method(method)
            .uri(&self.url)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(Full::from(body))
            .unwrap();
        if let Some(token) = &self.token {
            set(&mut draft, "authorization", &format!("Bearer {token}"));
        }
        draft
    }

    fn add_session(&self, headers: &mut HeaderMap) {
        headers.insert("mcp-protocol-version", LEGACY.parse().unwrap());
        if let Some(session) = &self.session {
            headers.insert("mcp-session-id", session.parse().unwrap());
        }
    }
}

/// Sets a header of a draft.
pub(crate) fn set(draft: &mut Draft, name: &str, value: &str) {
    let name: HeaderName = name.parse().unwrap();
    draft.headers_mut().insert(name, value.parse().unwrap());
}
