//! The figures of one request: gathered beside its audit line and counted when it ends. Everything that is a label comes
//! from a closed set or was declared when the gateway started.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::denial::Denial;
use super::route::Route;
use super::trail::End;
use crate::auth::Principal;
use crate::stage::Stage;
use crate::telemetry::metrics::{Active, Method, Tool};
use crate::telemetry::{AuthResult, Metrics, RequestOutcome, ToolOutcome, UpstreamOutcome};

/// What whoever reads the answer finds out about it after its head was sent.
#[derive(Clone, Debug, Default)]
pub struct Failed(Arc<Findings>);

#[derive(Debug, Default)]
struct Findings {
    is_error: AtomicBool,
    broken: OnceLock<&'static str>,
    cut: OnceLock<&'static str>,
}

impl Failed {
    /// The answer is an error of the upstream's own.
    pub fn mark(&self) {
        self.0.is_error.store(true, Ordering::Relaxed);
    }

    /// Whether it is.
    pub fn is_marked(&self) -> bool {
        self.0.is_error.load(Ordering::Relaxed)
    }

    /// The answer broke off for this reason, although the caller was told so in a body that ends well.
    pub fn broke(&self, reason: &'static str) {
        let _ = self.0.broken.set(reason);
    }

    /// The answer was cut, because its principal may no longer act, for this reason.
    pub fn cut(&self, reason: &'static str) {
        let _ = self.0.cut.set(reason);
    }

    /// Why the answer was cut, if it was.
    pub fn why_cut(&self) -> Option<&'static str> {
        self.0.cut.get().copied()
    }

    /// Why the answer broke off, if it did.
    pub fn broken(&self) -> Option<&'static str> {
        self.0.broken.get().copied()
    }
}

/// What is counted of one request.
pub struct Tally {
    metrics: Arc<Metrics>,
    route: Option<Arc<Route>>,
    method: Method,
    tool: Option<Arc<Tool>>,
    principal: Option<Arc<Principal>>,
    refused: Option<Stage>,
    exchange: Option<Duration>,
    /// How the exchange with the upstream failed, if it did.
    failure: Option<UpstreamOutcome>,
    failed: Failed,
    stream: Option<Active>,
}

impl Tally {
    /// Nothing yet, but the HTTP method.
    pub fn new(metrics: Arc<Metrics>, method: &str) -> Self {
        Self {
            metrics,
            method: Method::of(method),
            route: None,
            tool: None,
            principal: None,
            refused: None,
            exchange: None,
            failure: None,
            failed: Failed::default(),
            stream: None,
        }
    }

    /// The counters of the gateway.
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// A stage has passed in this time.
    pub fn passed(&mut self, stage: Stage, took: Duration) {
        self.metrics.stage(stage, took);
        match stage {
            Stage::Auth => self.metrics.authenticated(AuthResult::Valid),
            Stage::Policy => self.metrics.policy_decided(true),
            Stage::Upstream => self.exchange = Some(took),
            Stage::Tls | Stage::Limits | Stage::Quota | Stage::Read | Stage::Screen => {}
        }
    }

    /// The request is for this route.
    pub fn route(&mut self, route: &Arc<Route>) {
        self.route = Some(Arc::clone(route));
    }

    /// The caller is known.
    pub fn principal(&mut self, principal: &Arc<Principal>) {
        self.principal = Some(Arc::clone(principal));
    }

    /// The message has this method, and calls this tool.
    pub fn message(&mut self, method: &str, tool: Option<&str>) {
        self.method = Method::of(method);
        self.tool = tool.map(|name| self.metrics.tool(name));
    }

    /// The answer is a stream, counted until it ends.
    pub fn streams(&mut self) {
        self.stream = Some(self.metrics.stream());
    }

    /// Where the reader of the answer says that it is an error.
    pub const fn failed(&self) -> &Failed {
        &self.failed
    }

    /// The request was refused.
    pub fn refused(&mut self, denial: &Denial) {
        self.refused = Some(denial.stage);
        if denial.stage == Stage::Upstream {
            self.failure = failure(denial.reason);
        }
        self.metrics.denied(denial.stage, denial.reason);
        match denial.stage {
            Stage::Auth => self.metrics.authenticated(judged(denial.reason)),
            Stage::Quota => self.metrics.rate_limited(self.tier(), denial.reason),
            Stage::Policy => self.metrics.policy_decided(false),
            Stage::Tls | Stage::Limits | Stage::Read | Stage::Screen | Stage::Upstream => {}
        }
    }

    fn tier(&self) -> &str {
        self.principal.as_ref().map_or("none", |it| it.tier())
    }

    /// An endpoint of our own refused, for this reason.
    pub fn noted(&mut self, reason: &'static str) {
        self.refused = Some(Stage::Auth);
        self.metrics.denied(Stage::Auth, reason);
    }

    /// The answer has ended, after this time.
    pub fn finish(&mut self, end: End, took: Duration) {
        self.stream = None;
        let stage = match end {
            End::Broken(reason) => Some((Stage::Upstream, reason)),
            End::Revoked(_) => Some((Stage::Auth, End::REVOKED)),
            End::Complete | End::CallerLeft => None,
        };
        if let Some((stage, reason)) = stage {
            self.refused = Some(stage);
            if stage == Stage::Upstream {
                self.failure = failure(reason);
            }
            self.metrics.denied(stage, reason);
        }
        let Some(route) = &self.route else { return };
        let outcome = match (self.refused, end) {
            (Some(Stage::Upstream), _) => RequestOutcome::UpstreamFailed,
            (Some(_), _) => RequestOutcome::Denied,
            (None, End::CallerLeft) => RequestOutcome::DownstreamGone,
            (None, End::Complete | End::Broken(_) | End::Revoked(_)) => RequestOutcome::Answered,
        };
        route.meter().request(self.method, outcome, took);
        self.metrics.operation(self.method, took);
        if let Some(outcome) = self.exchanged() {
            route
                .meter()
                .upstream(outcome, self.exchange.unwrap_or(took));
        }
        if let Some(tool) = &self.tool {
            tool.called(self.called(), took);
        }
    }

    fn exchanged(&self) -> Option<UpstreamOutcome> {
        match (self.refused, self.exchange) {
            (Some(Stage::Upstream), _) => self.failure,
            (_, Some(_)) => Some(UpstreamOutcome::Answered),
            (_, None) => None,
        }
    }

    fn called(&self) -> ToolOutcome {
        match self.refused {
            Some(Stage::Upstream) => ToolOutcome::Failed,
            Some(_) => ToolOutcome::Denied,
            None if self.failed.is_marked() => ToolOutcome::Error,
            None => ToolOutcome::Success,
        }
    }
}

/// How an exchange failed, by the reason of its refusal; none where nothing was sent.
fn failure(reason: &str) -> Option<UpstreamOutcome> {
    Some(match reason {
        "upstream_unavailable" => return None,
        "upstream_unreachable" => UpstreamOutcome::Unreachable,
        "network_timeout" | "upstream_silent" => UpstreamOutcome::Timeout,
        "upstream_failed" => UpstreamOutcome::ServerError,
        _ => UpstreamOutcome::Broken,
    })
}

/// What became of a credential, by the reason of its refusal (R212).
fn judged(reason: &str) -> AuthResult {
    match reason {
        "missing_credential" => AuthResult::Missing,
        "unknown_key" | "wrong_algorithm" | "invalid_signature" => AuthResult::BadSignature,
        "token_expired" | "not_yet_valid" => AuthResult::OutOfTime,
        "wrong_issuer" | "wrong_audience" => AuthResult::WrongParty,
        "token_revoked" | "user_disabled" => AuthResult::Revoked,
        "keys_unavailable" | "revocation_unknown" => AuthResult::Unavailable,
        _ => AuthResult::Malformed,
    }
}
