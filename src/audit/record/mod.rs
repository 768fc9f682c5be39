//! The one schema of audit lines (C18): what both sources of requirements ask for, in one fixed order of fields. A
//! [`Record`] is filled while a request passes through and becomes exactly one line, bounded in length, with every line
//! break inside it escaped (R205).

pub(in crate::audit) mod line;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde_json::{Map, Value};

use line::Line;

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

/// Bytes in which the texts of an ordinary request have room.
const ROOM: usize = 384;

/// One line of the trail in the making. Texts are cut to their limits as they are set.
#[derive(Clone, Debug)]
pub struct Record {
    texts: Texts,
    at: Timestamp,
    request_id: Span,
    event: Event,
    action: Option<&'static str>,
    severity: Option<Severity>,
    user_id: Option<Span>,
    team_id: Option<Span>,
    tool_name: Option<Span>,
    method: Option<Span>,
    path: Option<Span>,
    ip_address: Option<IpAddr>,
    user_agent: Option<Span>,
    jwt_token_id: Option<Span>,
    outcome: Outcome,
    duration: Duration,
    stage: Option<Stage>,
    reason: Option<&'static str>,
    rule: Option<Span>,
    route: Option<Span>,
    rpc_method: Option<Span>,
    known: Known,
    details: Map<String, Value>,
    error: Option<Failure>,
}

/// The texts of one record, one behind the other: a line in the making is one piece of memory and not fifteen.
#[derive(Clone, Debug)]
struct Texts(String);

/// Where a text of a record stands.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
}

impl Texts {
    /// At most `limit` bytes of a text, with a mark that says how much is missing.
    fn put(&mut self, text: &str, limit: usize) -> Span {
        let start = self.0.len();
        if text.len() <= limit {
            self.0.push_str(text);
        } else {
            let kept = prefix(text, limit);
            let _ = write!(self.0, "{kept}…[+{}]", text.len() - kept.len());
        }
        Span {
            start,
            end: self.0.len(),
        }
    }

    fn get(&self, span: Span) -> &str {
        self.0.get(span.start..span.end).unwrap_or_default()
    }
}

/// The details that the gateway itself says about every request, and that need no second look: they are found in no map.
#[derive(Clone, Debug, Default)]
struct Known {
    tier: Option<Span>,
    fingerprint: Option<Span>,
    arguments: Option<String>,
    http_status: Option<u16>,
}

/// The `error` field.
#[derive(Clone, Debug)]
struct Failure {
    code: Span,
    message: Span,
}

impl Record {
    /// A record of something that succeeds unless the record is told otherwise.
    pub fn new(event: Event, at: Timestamp, request_id: &str) -> Self {
        let mut texts = Texts(String::with_capacity(ROOM));
        Self {
            at,
            request_id: texts.put(request_id, MAX_ID),
            texts,
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
            known: Known::default(),
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
        self.user_id = Some(self.texts.put(user, MAX_USER));
        self
    }

    /// The user's team.
    pub fn team(&mut self, team: &str) -> &mut Self {
        self.team_id = Some(self.texts.put(team, MAX_ID));
        self
    }

    /// The token's `jti` (R182), never the token.
    pub fn token_id(&mut self, jti: &str) -> &mut Self {
        self.jwt_token_id = Some(self.texts.put(jti, MAX_ID));
        self
    }

    /// The tool that was called.
    pub fn tool(&mut self, name: &str) -> &mut Self {
        self.tool_name = Some(self.texts.put(name, MAX_TOOL));
        self
    }

    /// The HTTP method.
    pub fn method(&mut self, method: &str) -> &mut Self {
        self.method = Some(self.texts.put(method, MAX_ID));
        self
    }

    /// The path; its query and fragment are left out (R179).
    pub fn path(&mut self, path: &str) -> &mut Self {
        let bare = path.split(['?', '#']).next().unwrap_or_default();
        self.path = Some(self.texts.put(bare, MAX_PATH));
        self
    }

    /// The downstream's address.
    pub fn address(&mut self, address: IpAddr) -> &mut Self {
        self.ip_address = Some(address.to_canonical());
        self
    }

    /// The downstream's description of itself, without control characters (R181).
    pub fn user_agent(&mut self, agent: &str) -> &mut Self {
        let is_clean = !agent.chars().any(char::is_control);
        let agent = if is_clean {
            Cow::Borrowed(agent)
        } else {
            let shown = agent.chars().filter(|c| !c.is_control());
            Cow::Owned(shown.take(MAX_AGENT * 2).collect())
        };
        self.user_agent = Some(self.texts.put(&agent, MAX_AGENT));
        self
    }

    /// The route that was taken.
    pub fn route(&mut self, route: &str) -> &mut Self {
        self.route = Some(self.texts.put(route, MAX_ID));
        self
    }

    /// The method of the JSON-RPC message.
    pub fn rpc_method(&mut self, method: &str) -> &mut Self {
        self.rpc_method = Some(self.texts.put(method, MAX_TOOL));
        self
    }

    /// The policy rule that decided.
    pub fn rule(&mut self, rule: &str) -> &mut Self {
        self.rule = Some(self.texts.put(rule, MAX_RULE));
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
    pub fn failed(&mut self, code: impl AsRef<str>, message: &str) -> &mut Self {
        self.outcome = Outcome::Error;
        self.error = Some(Failure {
            code: self.texts.put(code.as_ref(), MAX_ID),
            message: self.texts.put(message, MAX_MESSAGE),
        });
        self
    }

    /// One more detail. Values are judged again when the line is written; arguments go through `details` first (C41).
    pub fn detail(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// The tier of the user's limits.
    pub fn tier(&mut self, tier: &str) -> &mut Self {
        self.known.tier = Some(self.texts.put(tier, MAX_ID));
        self
    }

    /// The keyed hash of the token (C32).
    pub fn fingerprint(&mut self, fingerprint: &str) -> &mut Self {
        self.known.fingerprint = Some(self.texts.put(fingerprint, MAX_ID));
        self
    }

    /// The arguments of the call as [`super::details::Summary`] prepared them (C41).
    pub fn arguments(&mut self, summary: Option<String>) -> &mut Self {
        self.known.arguments = summary;
        self
    }

    /// The status of the answer.
    pub fn http_status(&mut self, status: u16) -> &mut Self {
        self.known.http_status = Some(status);
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
        let slots = [
            &mut self.tool_name,
            &mut self.method,
            &mut self.path,
            &mut self.user_agent,
            &mut self.rpc_method,
        ];
        let message = self.error.as_mut().map(|error| &mut error.message);
        for slot in slots.into_iter().flatten().chain(message) {
            if let Some(changed) = text(self.texts.get(*slot)) {
                *slot = self.texts.put(&changed, usize::MAX);
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
        let arguments = self.known.arguments.as_ref().map_or(0, String::len);
        size_of::<Self>() + self.texts.0.capacity() + arguments + members(&self.details)
    }

    /// Appends the line without its closing brace and `mac`: the body that the chain seals.
    pub(in crate::audit) fn write_body(&self, seq: u64, prev: &str, out: &mut Vec<u8>) {
        let text = |span: Option<Span>| span.map(|span| self.texts.get(span));
        // Rounded up: what happened took time (R193).
        let millis = self.duration.as_micros().div_ceil(1000);
        let mut line = Line::open(out);
        line.text("timestamp", &self.at.rfc3339_millis())
            .text("request_id", self.texts.get(self.request_id))
            .number("seq", seq)
            .number("schema_version", SCHEMA_VERSION.into())
            .text("kind", self.event.kind().name())
            .text("event_type", self.event.name())
            .text("action", self.action.unwrap_or(self.event.name()))
            .text(
                "severity",
                self.severity.unwrap_or(self.event.severity()).name(),
            )
            .maybe("user_id", text(self.user_id))
            .maybe("team_id", text(self.team_id))
            .maybe("tool_name", text(self.tool_name))
            .maybe("method", text(self.method))
            .maybe("path", text(self.path))
            .address("ip_address", self.ip_address)
            .maybe("user_agent", text(self.user_agent))
            .maybe("jwt_token_id", text(self.jwt_token_id))
            .text("status", self.outcome.name())
            .number("duration_ms", u64::try_from(millis).unwrap_or(u64::MAX))
            .maybe("stage", self.stage.map(Stage::name))
            .maybe("reason", self.reason)
            .maybe("rule", text(self.rule))
            .maybe("route", text(self.route))
            .maybe("rpc_method", text(self.rpc_method))
            .object("details", |details| self.write_details(details));
        match &self.error {
            None => line.raw("error", b"null"),
            Some(error) => line.object("error", |inner| {
                inner
                    .text("code", self.texts.get(error.code))
                    .text("message", self.texts.get(error.message));
            }),
        };
        line.text("prev", prev);
    }

    /// What is known of every request first, then the rest in the order in which it was said; or a statement that all of it
    /// was too long.
    fn write_details(&self, line: &mut Line<'_>) {
        let known = &self.known;
        let arguments = known.arguments.as_ref().map_or(0, String::len);
        let others = match self.details.is_empty() {
            true => 0,
            false => serde_json::to_string(&self.details).map_or(usize::MAX, |text| text.len()),
        };
        let bytes = arguments.saturating_add(others);
        if bytes > MAX_DETAILS {
            line.raw("truncated", b"true")
                .number("bytes", u64::try_from(bytes).unwrap_or(u64::MAX));
            return;
        }
        for (name, text) in [("tier", known.tier), ("fingerprint", known.fingerprint)] {
            if let Some(text) = text {
                line.text(name, self.texts.get(text));
            }
        }
        if let Some(arguments) = &known.arguments {
            line.raw("arguments", arguments.as_bytes());
        }
        if let Some(status) = known.http_status {
            line.number("http_status", status.into());
        }
        for (name, value) in &self.details {
            line.value(name, value);
        }
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

/// The longest beginning of at most `limit` bytes that ends between characters.
pub(in crate::audit) fn prefix(text: &str, limit: usize) -> &str {
    (0..=limit.min(text.len()))
        .rev()
        .find_map(|end| text.get(..end))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
