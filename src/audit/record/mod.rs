//! The one schema of audit lines (C18): what both sources of requirements ask for, in one fixed order of fields. A
//! [`Record`] is filled while a request passes through and becomes exactly one line, bounded in length, with every line
//! break inside it escaped (R205).

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::event::{Event, Kind, Outcome, Severity};
use crate::clock::Timestamp;
use crate::stage::Stage;

/// The version of the schema, raised when a field changes its meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// The longest values of each field, in bytes; longer ones are cut and marked.
const MAX_ID: usize = 128;
const MAX_USER: usize = 256;
const MAX_TOOL: usize = 128;
const MAX_PATH: usize = 512;
const MAX_AGENT: usize = 256;
const MAX_RULE: usize = 256;
const MAX_MESSAGE: usize = 512;
const MAX_DETAILS: usize = 8 * 1024;

/// One line of the trail in the making. Texts are cut to their limits as they are set.
#[derive(Clone, Debug)]
pub struct Record {
    at: Timestamp,
    request_id: String,
    event: Event,
    action: Option<&'static str>,
    severity: Option<Severity>,
    user_id: Option<String>,
    team_id: Option<String>,
    tool_name: Option<String>,
    method: Option<String>,
    path: Option<String>,
    ip_address: Option<IpAddr>,
    user_agent: Option<String>,
    jwt_token_id: Option<String>,
    outcome: Outcome,
    duration: Duration,
    stage: Option<Stage>,
    reason: Option<&'static str>,
    rule: Option<String>,
    route: Option<String>,
    rpc_method: Option<String>,
    details: Map<String, Value>,
    error: Option<Failure>,
}

/// The `error` field.
#[derive(Clone, Debug, Serialize)]
struct Failure {
    code: Cow<'static, str>,
    message: String,
}

impl Record {
    /// A record of something that succeeds unless the record is told otherwise.
    pub fn new(event: Event, at: Timestamp, request_id: &str) -> Self {
        Self {
            at,
            request_id: capped(request_id, MAX_ID),
            event,
            action: None,
            severity: None,
            user_id: None,
            team_id: None,
            tool_name: None,
            method: None,
            path: None,
            ip_address: None,
            user_agent: None,
            jwt_token_id: None,
            outcome: Outcome::Success,
            duration: Duration::ZERO,
            stage: None,
            reason: None,
            rule: None,
            route: None,
            rpc_method: None,
            details: Map::new(),
            error: None,
        }
    }

    /// It turned out to be another event.
    pub fn event(&mut self, event: Event) -> &mut Self {
        self.event = event;
        self
    }

    /// A finer name of the action than the event's.
    pub fn action(&mut self, action: &'static str) -> &mut Self {
        self.action = Some(action);
        self
    }

    /// Another severity than the event's.
    pub fn severity(&mut self, severity: Severity) -> &mut Self {
        self.severity = Some(severity);
        self
    }

    /// Who it was; null only before authentication (R166).
    pub fn user(&mut self, user: &str) -> &mut Self {
        self.user_id = Some(capped(user, MAX_USER));
        self
    }

    /// The user's team.
    pub fn team(&mut self, team: &str) -> &mut Self {
        self.team_id = Some(capped(team, MAX_ID));
        self
    }

    /// The token's `jti` (R182), never the token.
    pub fn token_id(&mut self, jti: &str) -> &mut Self {
        self.jwt_token_id = Some(capped(jti, MAX_ID));
        self
    }

    /// The tool that was called.
    pub fn tool(&mut self, name: &str) -> &mut Self {
        self.tool_name = Some(capped(name, MAX_TOOL));
        self
    }

    /// The HTTP method.
    pub fn method(&mut self, method: &str) -> &mut Self {
        self.method = Some(capped(method, MAX_ID));
        self
    }

    /// The path; its query and fragment are left out (R179).
    pub fn path(&mut self, path: &str) -> &mut Self {
        let bare = path.split(['?', '#']).next().unwrap_or_default();
        self.path = Some(capped(bare, MAX_PATH));
        self
    }

    /// The downstream's address.
    pub fn address(&mut self, address: IpAddr) -> &mut Self {
        self.ip_address = Some(address.to_canonical());
        self
    }

    /// The downstream's description of itself, without control characters (R181).
    pub fn user_agent(&mut self, agent: &str) -> &mut Self {
        let clean: String = agent
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_AGENT * 2)
            .collect();
        self.user_agent = Some(capped(&clean, MAX_AGENT));
        self
    }

    /// The route that was taken.
    pub fn route(&mut self, route: &str) -> &mut Self {
        self.route = Some(capped(route, MAX_ID));
        self
    }

    /// The method of the JSON-RPC message.
    pub fn rpc_method(&mut self, method: &str) -> &mut Self {
        self.rpc_method = Some(capped(method, MAX_TOOL));
        self
    }

    /// The policy rule that decided.
    pub fn rule(&mut self, rule: &str) -> &mut Self {
        self.rule = Some(capped(rule, MAX_RULE));
        self
    }

    /// A stage refused, for this reason.
    pub fn refused(&mut self, stage: Stage, reason: &'static str) -> &mut Self {
        self.outcome = Outcome::Error;
        self.stage = Some(stage);
        self.reason = Some(reason);
        self
    }

    /// It failed, with this code and this text for operators.
    pub fn failed(&mut self, code: impl Into<Cow<'static, str>>, message: &str) -> &mut Self {
        let code = code.into();
        let code = if code.len() > MAX_ID {
            capped(&code, MAX_ID).into()
        } else {
            code
        };
        self.outcome = Outcome::Error;
        self.error = Some(Failure {
            code,
            message: capped(message, MAX_MESSAGE),
        });
        self
    }

    /// One more detail. Values are judged again when the line is written; arguments go through `details` first (C41).
    pub fn detail(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// The end: its moment becomes the line's timestamp.
    pub fn finished(&mut self, at: Timestamp, duration: Duration) -> &mut Self {
        self.at = at;
        self.duration = duration;
        self
    }

    /// The moment that the line will carry.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// The file that the line will go to.
    pub const fn kind(&self) -> Kind {
        self.event.kind()
    }

    /// Whether what was attempted came about.
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Shortens the address to its network: /24 or /48 (C48).
    pub fn truncate_address(&mut self) {
        self.ip_address = self.ip_address.map(|address| match address {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                Ipv4Addr::new(a, b, c, 0).into()
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
            }
        });
    }

    /// Passes every text that came from outside through `text`, and the details through `json`. Identifiers of users,
    /// requests and tokens stay as they are: the trail is about them (C57).
    pub fn scrub(&mut self, text: impl Fn(&str) -> Option<String>, json: impl Fn(&Value) -> Value) {
        let texts = [
            &mut self.tool_name,
            &mut self.method,
            &mut self.path,
            &mut self.user_agent,
            &mut self.rpc_method,
        ];
        let message = self.error.as_mut().map(|error| &mut error.message);
        for slot in texts.into_iter().flatten().chain(message) {
            if let Some(changed) = text(slot) {
                *slot = changed;
            }
        }
        if !self.details.is_empty()
            && let Value::Object(details) = json(&Value::Object(std::mem::take(&mut self.details)))
        {
            self.details = details;
        }
    }

    /// About how much memory it takes, so that what waits for a slow disk can be bounded.
    pub(in crate::audit) fn weight(&self) -> usize {
        let texts = [
            &self.user_id,
            &self.team_id,
            &self.tool_name,
            &self.path,
            &self.user_agent,
            &self.jwt_token_id,
            &self.rule,
            &self.rpc_method,
        ];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        size_of::<Self>() + texts + members(&self.details)
    }

    /// Appends the line without its closing brace and `mac`: the body that the chain seals.
    pub(in crate::audit) fn write_body(&self, seq: u64, prev: &str, out: &mut Vec<u8>) {
        let start = out.len();
        let details = self.bounded_details();
        let line = Line {
            timestamp: self.at.rfc3339_millis(),
            request_id: &self.request_id,
            seq,
            schema_version: SCHEMA_VERSION,
            kind: self.event.kind().name(),
            event_type: self.event.name(),
            action: self.action.unwrap_or(self.event.name()),
            severity: self.severity.unwrap_or(self.event.severity()).name(),
            user_id: self.user_id.as_deref(),
            team_id: self.team_id.as_deref(),
            tool_name: self.tool_name.as_deref(),
            method: self.method.as_deref(),
            path: self.path.as_deref(),
            ip_address: self.ip_address,
            user_agent: self.user_agent.as_deref(),
            jwt_token_id: self.jwt_token_id.as_deref(),
            status: self.outcome.name(),
            // Rounded up: what happened took time (R193).
            duration_ms: u64::try_from(self.duration.as_micros().div_ceil(1000))
                .unwrap_or(u64::MAX),
            stage: self.stage.map(Stage::name),
            reason: self.reason,
            rule: self.rule.as_deref(),
            route: self.route.as_deref(),
            rpc_method: self.rpc_method.as_deref(),
            details: &details,
            error: self.error.as_ref(),
            prev,
        };
        // Writing to memory fails only if a map has keys that are no text, and these have.
        match serde_json::to_writer(&mut *out, &line) {
            Ok(()) => out.truncate(out.len().saturating_sub(1)),
            Err(_) => out.truncate(start),
        }
    }

    /// The details, or a statement that they were too long.
    fn bounded_details(&self) -> Cow<'_, Map<String, Value>> {
        if self.details.is_empty() {
            return Cow::Borrowed(&self.details);
        }
        let bytes = serde_json::to_string(&self.details).map_or(usize::MAX, |text| text.len());
        if bytes <= MAX_DETAILS {
            return Cow::Borrowed(&self.details);
        }
        let mut short = Map::new();
        short.insert("truncated".into(), true.into());
        short.insert("bytes".into(), bytes.into());
        Cow::Owned(short)
    }
}

/// What a member costs beside its texts.
const MEMBER: usize = 64;

/// About how much memory these take.
fn members(members: &Map<String, Value>) -> usize {
    members
        .iter()
        .map(|(name, value)| name.len() + weight(value))
        .sum()
}

fn weight(value: &Value) -> usize {
    MEMBER
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(weight).sum(),
            Value::Object(nested) => members(nested),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

/// The fields in the order of the line.
#[derive(Serialize)]
struct Line<'r> {
    timestamp: String,
    request_id: &'r str,
    seq: u64,
    schema_version: u32,
    kind: &'static str,
    event_type: &'static str,
    action: &'static str,
    severity: &'static str,
    user_id: Option<&'r str>,
    team_id: Option<&'r str>,
    tool_name: Option<&'r str>,
    method: Option<&'r str>,
    path: Option<&'r str>,
    ip_address: Option<IpAddr>,
    user_agent: Option<&'r str>,
    jwt_token_id: Option<&'r str>,
    status: &'static str,
    duration_ms: u64,
    stage: Option<&'static str>,
    reason: Option<&'static str>,
    rule: Option<&'r str>,
    route: Option<&'r str>,
    rpc_method: Option<&'r str>,
    details: &'r Map<String, Value>,
    error: Option<&'r Failure>,
    prev: &'r str,
}

/// At most `limit` bytes of a text, with a mark that says how much is missing.
fn capped(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let kept = prefix(text, limit);
    format!("{kept}…[+{}]", text.len() - kept.len())
}

/// The longest beginning of at most `limit` bytes that ends between characters.
pub(in crate::audit) fn prefix(text: &str, limit: usize) -> &str {
    (0..=limit.min(text.len()))
        .rev()
        .find_map(|end| text.get(..end))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
