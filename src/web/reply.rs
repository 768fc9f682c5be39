//! Whole answers of the gateway's own endpoints, and what the audit trail says about them.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, PRAGMA, REFERRER_POLICY, SET_COOKIE,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::audit::event::{Event, Severity};

/// What the audit line of a visit says beside method, path and address.
#[derive(Clone, Debug, Default)]
pub struct Note {
    /// The kind of the line; `http_request` by default.
    pub event: Option<Event>,
    /// A finer name than the event's.
    pub action: Option<&'static str>,
    /// More or less attention than the event's.
    pub severity: Option<Severity>,
    /// Why it was refused: a stable word. An answer with a note that has none was served.
    pub refused: Option<&'static str>,
    /// The user, once known.
    pub user: Option<String>,
    /// The team, once known.
    pub team: Option<String>,
    /// The `jti` of a token that was made or presented.
    pub token_id: Option<String>,
    /// Further facts: never secrets, never whole tokens.
    pub details: Vec<(&'static str, Value)>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// What the audit line says.
    pub note: Note,
}

impl Reply {
    /// Nothing but a status.
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            note: Note::default(),
        }
    }

    /// A JSON document. Nobody may keep it: most of ours hold tokens (RFC 6749 section 5.1).
    pub fn json(status: StatusCode, document: &impl Serialize) -> Self {
        let mut reply = Self::empty(status);
        match serde_json::to_vec(document) {
            Ok(body) => reply.body = body.into(),
            Err(_) => reply.status = StatusCode::INTERNAL_SERVER_ERROR,
        }
        let json = HeaderValue::from_static("application/json");
        reply.headers.insert(CONTENT_TYPE, json);
        reply
            .headers
            .insert(PRAGMA, HeaderValue::from_static("no-cache"));
        reply
    }

    /// A page, with the policy that says what may run in it and where its forms may go.
    pub fn page(status: StatusCode, html: String, policy: &str) -> Self {
        let mut reply = Self::empty(status);
        reply.body = html.into();
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        reply.headers.insert(CONTENT_TYPE, html);
        // A policy that cannot be said leaves the strictest one in force.
        if let Ok(policy) = HeaderValue::from_str(policy) {
            reply.headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        // With `no-referrer` a browser would send `Origin: null` with the page's own forms, as a foreign frame does.
        let referrer = HeaderValue::from_static("same-origin");
        reply.headers.insert(REFERRER_POLICY, referrer);
        reply
    }

    /// On to another address, with GET and without the body (RFC 9700 section 4.12: 303).
    pub fn redirect(to: &str) -> Self {
        let mut reply = Self::empty(StatusCode::SEE_OTHER);
        match HeaderValue::from_str(to) {
            Ok(to) => drop(reply.headers.insert(LOCATION, to)),
            Err(_) => reply.status = StatusCode::INTERNAL_SERVER_ERROR,
        }
        reply
    }

    /// The flat error body of OAuth endpoints (RFC 6749 section 5.2, C54); the code is the reason in the audit line.
    pub fn oauth_error(
        status: StatusCode,
        code: &'static str,
        description: impl Into<Cow<'static, str>>,
    ) -> Self {
        let description = description.into();
        let document = json!({ "error": code, "error_description": description });
        Self::json(status, &document).refused(code)
    }

    /// The nested error body of all other endpoints (C54); the code is the reason in the audit line.
    pub fn error(
        status: StatusCode,
        code: &'static str,
        message: &str,
        details: Option<Value>,
        request_id: &str,
    ) -> Self {
        let mut error = json!({ "code": code, "message": message });
        if let (Some(details), Some(members)) = (details, error.as_object_mut()) {
            members.insert("details".into(), details);
        }
        let document = json!({ "error": error, "request_id": request_id });
        Self::json(status, &document).refused(code)
    }

    /// The same, with a header.
    pub fn with(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// The same, with a cookie.
    pub fn cookie(self, cookie: Option<HeaderValue>) -> Self {
        match cookie {
            Some(cookie) => self.with(SET_COOKIE, cookie),
            None => self,
        }
    }

    /// The same, with a line of this kind.
    pub fn event(mut self, event: Event) -> Self {
        self.note.event = Some(event);
        self
    }

    /// The same, with a finer name than the event's.
    pub fn action(mut self, action: &'static str) -> Self {
        self.note.action = Some(action);
        self
    }

    /// The same, with another severity than the event's.
    pub fn severity(mut self, severity: Severity) -> Self {
        self.note.severity = Some(severity);
        self
    }

    /// The same, refused for this reason.
    pub fn refused(mut self, reason: &'static str) -> Self {
        self.note.refused = Some(reason);
        self
    }

    /// The same, about this user.
    pub fn user(mut self, user: &str) -> Self {
        self.note.user = Some(user.to_owned());
        self
    }

    /// The same, with a further fact in its line.
    pub fn detail(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.note.details.push((name, value.into()));
        self
    }
}
