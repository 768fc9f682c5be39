//! Every metric, declared once with its help text and its labels. Handles are resolved when a route or tool becomes
//! known; counting is then one atomic addition. No label value is chosen by a caller and none names a user.

mod declared;
mod process;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::{Histogram, IntCounter, IntGauge, TextEncoder};

use self::declared::Declared;
use super::labels::{
    AuthResult, METHODS, OTHER, RequestOutcome, ToolOutcome, UpstreamOutcome, method_index,
};
use crate::stage::Stage;
use crate::upstream::breaker::State;

/// At most so many tools have a label of their own.
pub const MAX_TOOLS: usize = 200;

/// At most so many pairs of tier and scope, or of stage and reason, are told apart.
const MAX_PAIRS: usize = 500;

/// The metrics cannot be declared; a mistake of ours, found at the start.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be declared")]
pub struct MetricsError(#[from] prometheus::Error);

/// The state of the audit trail, as its metrics show it. The counts are those since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditFigures {
    /// Lines reserved or waiting.
    pub depth: usize,
    /// About how much memory the waiting ones take.
    pub bytes: usize,
    /// Rounds of writing that failed.
    pub errors: u64,
    /// Times that closed files could not be compressed or removed.
    pub untidy: u64,
    /// How long the oldest line has waited for the disk.
    pub waiting: Duration,
    /// Whether requests are refused.
    pub refusing: bool,
}

/// All metrics of the gateway.
#[derive(Debug)]
pub struct Metrics {
    declared: Declared,
    stages: Vec<Histogram>,
    auth: Vec<IntCounter>,
    policy: [IntCounter; 2],
    handshakes: [IntCounter; 2],
    methods: Vec<OnceLock<Histogram>>,
    tools: Cells<Box<str>, Arc<Tool>>,
    other_tool: Arc<Tool>,
    denials: Cells<(Stage, &'static str), IntCounter>,
    limited: Cells<(Box<str>, &'static str), IntCounter>,
}

impl Metrics {
    /// Declares them all.
    ///
    /// # Errors
    /// [`MetricsError`] when two have one name.
    pub fn new() -> Result<Arc<Self>, MetricsError> {
        let declared = Declared::new()?;
        let each = |values: &[&str], vec: &prometheus::IntCounterVec| -> Vec<IntCounter> {
            values
                .iter()
                .map(|value| vec.with_label_values(&[*value]))
                .collect()
        };
        let auth: Vec<_> = AuthResult::ALL.iter().map(|result| result.name()).collect();
        let pair = |vec: &prometheus::IntCounterVec, [yes, no]: [&str; 2]| {
            [vec.with_label_values(&[yes]), vec.with_label_values(&[no])]
        };
        Ok(Arc::new(Self {
            stages: Stage::ALL
                .iter()
                .map(|stage| declared.stage_duration.with_label_values(&[stage.name()]))
                .collect(),
            auth: each(&auth, &declared.auth_validations),
            policy: pair(&declared.policy_decisions, ["allow", "deny"]),
            handshakes: pair(&declared.tls_handshakes, ["ok", "failed"]),
            methods: METHODS.iter().map(|_| OnceLock::new()).collect(),
            tools: Cells::new(MAX_TOOLS),
            other_tool: Arc::new(Tool::resolve(&declared, OTHER)),
            denials: Cells::new(MAX_PAIRS),
            limited: Cells::new(MAX_PAIRS),
            declared,
        }))
    }

    /// The handles of a route; resolve them once, when the route is configured.
    pub fn route(self: &Arc<Self>, name: &str) -> Route {
        let upstream = |outcome: &UpstreamOutcome| {
            let values = [name, outcome.name()];
            self.declared.upstream_requests.with_label_values(&values)
        };
        Route {
            metrics: Arc::clone(self),
            name: name.into(),
            requests: (0..METHODS.len() * RequestOutcome::ALL.len())
                .map(|_| OnceLock::new())
                .collect(),
            duration: self.declared.request_duration.with_label_values(&[name]),
            upstream: UpstreamOutcome::ALL.iter().map(upstream).collect(),
            upstream_duration: self.declared.upstream_duration.with_label_values(&[name]),
            upstream_state: self.declared.upstream_state.with_label_values(&[name]),
        }
    }

    /// A stage took this long.
    pub fn stage(&self, stage: Stage, took: Duration) {
        if let Some(histogram) = self.stages.get(stage as usize) {
            histogram.observe(took.as_secs_f64());
        }
    }

    /// A stage refused. Reasons are our own constants.
    pub fn denied(&self, stage: Stage, reason: &'static str) {
        let vec = &self.declared.denials;
        self.denials
            .of((stage, reason), || {
                vec.with_label_values(&[stage.name(), reason])
            })
            .unwrap_or_else(|| vec.with_label_values(&[stage.name(), OTHER]))
            .inc();
    }

    /// A credential was judged.
    pub fn authenticated(&self, result: AuthResult) {
        if let Some(counter) = self.auth.get(result as usize) {
            counter.inc();
        }
    }

    /// A quota refused (R213). Tiers come from the configuration.
    pub fn rate_limited(&self, tier: &str, scope: &'static str) {
        let vec = &self.declared.rate_limited;
        self.limited
            .of((tier.into(), scope), || {
                vec.with_label_values(&[tier, scope])
            })
            .unwrap_or_else(|| vec.with_label_values(&[OTHER, scope]))
            .inc();
    }

    /// A policy decided.
    pub fn policy_decided(&self, is_allowed: bool) {
        let [allow, deny] = &self.policy;
        if is_allowed { allow.inc() } else { deny.inc() }
    }

    /// A TLS handshake ended.
    pub fn handshake(&self, is_complete: bool) {
        let [ok, failed] = &self.handshakes;
        if is_complete { ok.inc() } else { failed.inc() }
    }

    /// A connection was closed before its handshake. Reasons are our own constants.
    pub fn turned_away(&self, reason: &'static str) {
        let vec = &self.declared.turned_away;
        vec.with_label_values(&[reason]).inc();
    }

    /// The certificate of a caller was judged, or missed. Results are our own constants.
    pub fn certificate_shown(&self, result: &'static str) {
        let vec = &self.declared.client_certificates;
        vec.with_label_values(&[result]).inc();
    }

    /// No connection could be accepted.
    pub fn accept_failed(&self) {
        self.declared.accept_errors.inc();
    }

    /// A panic has ended a connection.
    pub fn connection_panicked(&self) {
        self.declared.panics.inc();
    }

    /// Gives tools labels of their own, as far as there is room: tools that are configured or that an upstream listed,
    /// never a name that only a caller used.
    pub fn learn_tools<'n>(&self, names: impl IntoIterator<Item = &'n str>) {
        for name in names {
            self.tools.of(name.into(), || {
                Arc::new(Tool::resolve(&self.declared, name))
            });
        }
    }

    /// The handles of a tool, or of all that have none of their own.
    pub fn tool(&self, name: &str) -> Arc<Tool> {
        let known = self.tools.known.load();
        Arc::clone(known.get(name).unwrap_or(&self.other_tool))
    }

    /// A method of the protocol was handled, by OpenTelemetry's name.
    pub fn operation(&self, Method(index): Method, took: Duration) {
        if let (Some(cell), Some(name)) = (self.methods.get(index), METHODS.get(index)) {
            cell.get_or_init(|| self.declared.operations.with_label_values(&[*name]))
                .observe(took.as_secs_f64());
        }
    }

    /// Counts a connection for as long as the value lives.
    pub fn connection(&self) -> Active {
        Active::enter(&self.declared.active_connections)
    }

    /// Counts a stream for as long as the value lives.
    pub fn stream(&self) -> Active {
        Active::enter(&self.declared.active_streams)
    }

    /// So much was redacted since the start. Kinds are our own constants.
    pub fn redacted(&self, kind: &'static str, total: u64) {
        let counted = self.declared.redactions.with_label_values(&[kind]);
        counted.inc_by(total.saturating_sub(counted.get()));
    }

    /// So many verification keys of an issuer are loaded. Issuers are named by the configuration.
    pub fn jwks_loaded(&self, issuer: &str, keys: usize) {
        self.declared
            .jwks_keys
            .with_label_values(&[issuer])
            .set(i64::try_from(keys).unwrap_or(i64::MAX));
    }

    /// Keys of an issuer could not be fetched.
    pub fn jwks_failed(&self, issuer: &str) {
        let vec = &self.declared.jwks_errors;
        vec.with_label_values(&[issuer]).inc();
    }

    /// The state of the audit trail.
    pub fn audit(&self, figures: &AuditFigures) {
        let whole = |figure: usize| i64::try_from(figure).unwrap_or(i64::MAX);
        let declared = &self.declared;
        declared.audit_depth.set(whole(figures.depth));
        declared.audit_bytes.set(whole(figures.bytes));
        declared.audit_waiting.set(figures.waiting.as_secs_f64());
        declared.audit_refusing.set(figures.refusing.into());
        for (counted, count) in [
            (&declared.audit_errors, figures.errors),
            (&declared.audit_untidy, figures.untidy),
        ] {
            counted.inc_by(count.saturating_sub(counted.get()));
        }
    }

    /// The certificate in use ends at this moment, in seconds since the Unix epoch (R075).
    pub fn certificate_expires(&self, seconds: i64) {
        self.declared.certificate_expiry.set(seconds);
    }

    /// Everything in the text format of Prometheus.
    pub fn render(&self) -> String {
        process::observe(&self.declared);
        let families = self.declared.registry.gather();
        TextEncoder::new()
            .encode_to_string(&families)
            .unwrap_or_default()
    }
}

/// The handles of one route.
#[derive(Debug)]
pub struct Route {
    metrics: Arc<Metrics>,
    name: Box<str>,
    requests: Vec<OnceLock<IntCounter>>,
    duration: Histogram,
    upstream: Vec<IntCounter>,
    upstream_duration: Histogram,
    upstream_state: IntGauge,
}

impl Route {
    /// A request ended (R209). `method` is the message's method, or `response`, or the HTTP method of an exchange
    /// without a message.
    pub fn request(&self, Method(method): Method, outcome: RequestOutcome, took: Duration) {
        let cell = self
            .requests
            .get(method * RequestOutcome::ALL.len() + outcome as usize);
        if let (Some(cell), Some(method)) = (cell, METHODS.get(method)) {
            let vec = &self.metrics.declared.requests;
            cell.get_or_init(|| vec.with_label_values(&[&*self.name, method, outcome.name()]))
                .inc();
        }
        self.duration.observe(took.as_secs_f64());
    }

    /// The gauge of the route's circuit breaker.
    pub fn upstream_gauge(&self) -> UpstreamGauge {
        UpstreamGauge(self.upstream_state.clone())
    }

    /// An exchange with the upstream ended.
    pub fn upstream(&self, outcome: UpstreamOutcome, took: Duration) {
        if let Some(counter) = self.upstream.get(outcome as usize) {
            counter.inc();
        }
        self.upstream_duration.observe(took.as_secs_f64());
    }
}

/// How the circuit breaker of a route stands.
#[derive(Clone, Debug)]
pub struct UpstreamGauge(IntGauge);

impl UpstreamGauge {
    /// It stands like this.
    pub fn set(&self, state: State) {
        self.0.set(match state {
            State::Closed => 0,
            State::HalfOpen => 1,
            State::Open => 2,
        });
    }
}

/// Something that is counted while it lives.
#[derive(Debug)]
pub struct Active(IntGauge);

impl Active {
    fn enter(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A method by its place among those that have a label of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method(usize);

impl Method {
    /// The place of a method of the protocol, or of HTTP for an exchange without a message.
    pub fn of(name: &str) -> Self {
        Self(method_index(name))
    }
}

/// The handles of one tool.
#[derive(Debug)]
pub struct Tool {
    outcomes: Vec<IntCounter>,
    duration: Histogram,
}

impl Tool {
    /// A call ended (R210).
    pub fn called(&self, outcome: ToolOutcome, took: Duration) {
        if let Some(counter) = self.outcomes.get(outcome as usize) {
            counter.inc();
        }
        self.duration.observe(took.as_secs_f64());
    }

    fn resolve(declared: &Declared, name: &str) -> Self {
        Self {
            outcomes: ToolOutcome::ALL
                .iter()
                .map(|outcome| {
                    declared
                        .tool_calls
                        .with_label_values(&[name, outcome.name()])
                })
                .collect(),
            duration: declared.tool_duration.with_label_values(&[name]),
        }
    }
}

/// Handles found by a key, read without a lock and bounded in number.
#[derive(Debug)]
struct Cells<K, V> {
    known: ArcSwap<HashMap<K, V>>,
    limit: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> Cells<K, V> {
    fn new(limit: usize) -> Self {
        Self {
            known: ArcSwap::default(),
            limit,
        }
    }

    /// The handle of a key, resolved if it is new; nothing once there are too many.
    fn of(&self, key: K, resolve: impl FnOnce() -> V) -> Option<V> {
        let known = self.known.load();
        if let Some(value) = known.get(&key) {
            return Some(value.clone());
        }
        if known.len() >= self.limit {
            return None;
        }
        let value = resolve();
        self.known.rcu(|known| {
            let mut more = HashMap::clone(known);
            if more.len() < self.limit {
                more.insert(key.clone(), value.clone());
            }
            more
        });
        Some(value)
    }
}

#[cfg(test)]
mod tests;
