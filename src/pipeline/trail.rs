//! The trail of one request: its audit line and its figures, gathered stage by stage and written exactly once, when the
//! answer has ended. A trail that is dropped on the way, because the caller went away or a stage panicked, writes itself.

use std::time::Instant;

use http::StatusCode;
use http::request::Parts;

use super::denial::Denial;
use super::read::Errand;
use super::route::Route;
use super::tally::Tally;
use super::workspace;
use crate::audit::details::Summary;
use crate::audit::{Event, Record, Slot};
use crate::auth::Principal;
use crate::clock::Clock;
use crate::listener::Peer;
use crate::mcp::Operation;
use crate::quota::Admission;
use crate::random::{self, NoRandomness};
use crate::stage::Stage;
use crate::telemetry::Metrics;
use crate::web::Note;
use std::sync::Arc;

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The last byte was handed over.
    Complete,
    /// The caller went away before.
    CallerLeft,
    /// The upstream failed in the middle, for this reason.
    Broken(&'static str),
    /// It was cut, because its principal may no longer act, for this reason.
    Revoked(&'static str),
}

impl End {
    /// The reason in lines and metrics of an answer that was cut.
    pub const REVOKED: &'static str = "revoked";
}

/// What is known of a request so far.
pub struct Trail {
    /// The line in the making and its place in the sink; taken when it is written.
    line: Option<(Slot, Box<Record>)>,
    request_id: String,
    clock: Clock,
    started: Instant,
    stage_began: Instant,
    tally: Tally,
    /// Held until the answer ends: a stream occupies its place among the user's concurrent requests to its last byte.
    admission: Option<Admission>,
}

impl Trail {
    /// Begins the trail of a request whose audit line has its place reserved.
    ///
    /// # Errors
    /// When there is no randomness for a request id.
    pub fn begin(
        head: &Parts,
        peer: &Peer,
        slot: Slot,
        clock: &Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, NoRandomness> {
        let mut trail = Self::begin_unread(peer, slot, clock, metrics, head.method.as_str())?;
        trail.record(|record| {
            record.method(head.method.as_str()).path(head.uri.path());
            if let Some(agent) = head
                .headers
                .get(http::header::USER_AGENT)
                .and_then(|agent| agent.to_str().ok())
            {
                record.user_agent(agent);
            }
        });
        Ok(trail)
    }

    /// Begins the trail of octets that nobody could read as a request: of those there is nothing to say but who sent them.
    ///
    /// # Errors
    /// When there is no randomness for a request id.
    pub fn begin_unread(
        peer: &Peer,
        slot: Slot,
        clock: &Clock,
        metrics: Arc<Metrics>,
        method: &str,
    ) -> Result<Self, NoRandomness> {
        let request_id = request_id()?;
        let started = clock.monotonic();
        let mut record = Box::new(Record::new(Event::HttpRequest, clock.now(), &request_id));
        record.address(peer.address.ip());
        if let Some(shown) = &peer.certificate {
            record.detail("client_certificate", shown.described());
        }
        Ok(Self {
            line: Some((slot, record)),
            request_id,
            clock: clock.clone(),
            started,
            stage_began: started,
            tally: Tally::new(metrics, method),
            admission: None,
        })
    }

    /// The id that the answer, the log lines and the audit line share.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    fn record(&mut self, edit: impl FnOnce(&mut Record)) {
        if let Some((_, record)) = &mut self.line {
            edit(record);
        }
    }

    /// A stage has passed; its time is noted.
    pub fn passed(&mut self, stage: Stage) {
        let now = self.clock.monotonic();
        self.tally
            .passed(stage, now.saturating_duration_since(self.stage_began));
        self.stage_began = now;
    }

    /// The request is for this route.
    pub fn route(&mut self, route: &Arc<Route>) {
        self.record(|record| {
            record.route(route.name()).event(Event::McpRequest);
        });
        self.tally.route(route);
    }

    /// The caller is known.
    pub fn principal(&mut self, principal: &Arc<Principal>) {
        self.record(|record| {
            record.user(principal.user().as_str());
            if let Some(team) = principal.team() {
                record.team(team);
            }
            if let Some(jti) = principal.token_id() {
                record.token_id(jti);
            }
            record
                .tier(principal.tier())
                .fingerprint(principal.fingerprint());
        });
        self.tally.principal(principal);
    }

    /// What the request came for is known.
    pub fn errand(&mut self, errand: &Errand, summary: &Summary) {
        let Errand::Send { message, .. } = errand else {
            return;
        };
        let tool = match message.operation() {
            Operation::CallTool { name, .. } => Some(name),
            _ => None,
        };
        self.tally
            .message(message.method().unwrap_or("response"), tool);
        self.record(|record| {
            if let Some(method) = message.method() {
                record.rpc_method(method);
            }
            if let Some(name) = tool {
                record.event(Event::ToolInvocation).tool(name);
                let arguments = message.arguments();
                record.arguments(arguments.and_then(|arguments| summary.of(arguments)));
            }
        });
    }

    /// This policy rule allowed it.
    pub fn allowed_by(&mut self, rule: &str) {
        self.record(|record| {
            record.rule(rule);
        });
    }

    /// The figures, for those who gather them.
    pub const fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// The caller's place is kept until the answer ends.
    pub fn keep(&mut self, admission: Admission) {
        self.admission = Some(admission);
    }

    /// An endpoint of our own has answered, and says what is to be said about it.
    pub fn noted(&mut self, note: Note) {
        if let Some(reason) = note.refused {
            self.tally.noted(reason);
        }
        self.record(|record| {
            let refusal = note.refused.map(|_| Event::AuthFailure);
            if let Some(event) = note.event.or(refusal) {
                record.event(event);
            }
            if let Some(action) = note.action {
                record.action(action);
            }
            if let Some(severity) = note.severity {
                record.severity(severity);
            }
            if let Some(user) = &note.user {
                record.user(user);
            }
            if let Some(team) = &note.team {
                record.team(team);
            }
            if let Some(jti) = &note.token_id {
                record.token_id(jti);
            }
            if let Some(reason) = note.refused {
                record.refused(Stage::Auth, reason).failed(reason, "");
            }
            for (name, value) in note.details {
                record.detail(name, value);
            }
        });
    }

    /// The request was refused.
    pub fn refused(&mut self, denial: &Denial) {
        let detail = denial.detail.as_deref().unwrap_or_default();
        self.record(|record| {
            if let Some(event) = event_of(denial) {
                record.event(event);
            }
            if denial.reason == workspace::FOREIGN {
                record.action(workspace::FOREIGN_ACTION);
            }
            record
                .refused(denial.stage, denial.reason)
                .failed(denial.reason, detail);
            if let Some(rule) = &denial.rule {
                record.rule(rule);
            }
        });
        self.tally.refused(denial);
        tracing::debug!(
            request_id = self.request_id,
            stage = denial.stage.name(),
            reason = denial.reason,
            detail,
            "refused"
        );
    }

    /// The head of the answer is known.
    pub fn answered(&mut self, status: StatusCode) {
        self.record(|record| {
            record.http_status(status.as_u16());
        });
    }

    /// The answer has ended. Writes the line.
    pub fn finish(mut self, end: End) {
        self.write(end);
    }

    fn write(&mut self, end: End) {
        let Some((slot, mut record)) = self.line.take() else {
            return;
        };
        let failed = self.tally.failed();
        let end = match (failed.why_cut(), failed.broken(), end) {
            (Some(reason), ..) => End::Revoked(reason),
            (None, Some(reason), End::Complete) => End::Broken(reason),
            (None, _, end) => end,
        };
        match end {
            End::Complete => {}
            End::CallerLeft => {
                record.detail("ended", "caller_left");
            }
            End::Broken(reason) => {
                record.refused(Stage::Upstream, reason).failed(reason, "");
            }
            End::Revoked(why) => {
                record
                    .refused(Stage::Auth, End::REVOKED)
                    .failed(why, "")
                    .detail("ended", why);
            }
        }
        if self.tally.failed().is_marked() {
            record.failed("upstream_error", "");
        }
        let took = self
            .clock
            .monotonic()
            .saturating_duration_since(self.started);
        record.finished(self.clock.now(), took);
        self.tally.finish(end, took);
        slot.write(record);
    }
}

/// A new id, which no caller can choose or guess (R173).
///
/// # Errors
/// When there is no randomness.
pub fn request_id() -> Result<String, NoRandomness> {
    random::identifier::<8>().map(|hex| ["req_", &hex].concat())
}

impl Drop for Trail {
    fn drop(&mut self) {
        self.write(End::CallerLeft);
    }
}

/// The kind of line that a refusal leaves (R195, R196, R197). What failed behind the gateway was allowed by it.
fn event_of(denial: &Denial) -> Option<Event> {
    Some(match denial.stage {
        Stage::Tls | Stage::Limits | Stage::Read => Event::RequestRefused,
        Stage::Auth => Event::AuthFailure,
        Stage::Quota => Event::RateLimited,
        Stage::Policy if ["foreign_task", workspace::FOREIGN].contains(&denial.reason) => {
            Event::UnauthorizedAccess
        }
        Stage::Policy => Event::AccessDenied,
        Stage::Screen if denial.reason == "foreign_session" => Event::UnauthorizedAccess,
        Stage::Screen => Event::RequestRefused,
        Stage::Upstream => return None,
    })
}
