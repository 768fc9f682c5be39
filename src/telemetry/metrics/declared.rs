//! The list of metrics: names, help texts, labels and buckets.

use prometheus::core::Collector;
use prometheus::{
    Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// From 10 µs, for the work of a stage.
const STAGE_BUCKETS: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05,
    0.25, 1.0,
];

/// From half a millisecond, for whole requests.
const REQUEST_BUCKETS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// OpenTelemetry's semantic conventions for MCP prescribe these.
const OPERATION_BUCKETS: &[f64] = &[
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// Few, because each tool has them.
const TOOL_BUCKETS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

macro_rules! declare {
    ($($field:ident: $kind:ident = $name:literal, $help:literal $(, [$($label:literal),+])? $(, $buckets:ident)?;)+) => {
        #[derive(Debug)]
        pub(super) struct Declared {
            pub(super) registry: Registry,
            $(pub(super) $field: $kind,)+
        }

        impl Declared {
            pub(super) fn new() -> prometheus::Result<Self> {
                let registry = Registry::new();
                $(let $field = declare!(@make registry, $kind, $name, $help $(, [$($label),+])? $(, $buckets)?);)+
                Ok(Self { registry, $($field,)+ })
            }
        }
    };
    (@make $registry:ident, HistogramVec, $name:literal, $help:literal, [$($label:literal),+], $buckets:ident) => {
        kept(&$registry, HistogramVec::new(HistogramOpts::new($name, $help).buckets($buckets.to_vec()), &[$($label),+])?)?
    };
    (@make $registry:ident, $kind:ident, $name:literal, $help:literal, [$($label:literal),+]) => {
        kept(&$registry, $kind::new(Opts::new($name, $help), &[$($label),+])?)?
    };
    (@make $registry:ident, $kind:ident, $name:literal, $help:literal) => {
        kept(&$registry, $kind::new($name, $help)?)?
    };
}

fn kept<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> prometheus::Result<C> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

declare! {
    requests: IntCounterVec = "sallygate_requests_total",
        "Requests by route, method of the message and outcome.", ["route", "method", "outcome"];
    request_duration: HistogramVec = "sallygate_request_duration_seconds",
        "Time from the head of a request to the end of its answer.", ["route"], REQUEST_BUCKETS;
    stage_duration: HistogramVec = "sallygate_stage_duration_seconds",
        "Time spent in each stage.", ["stage"], STAGE_BUCKETS;
    tool_calls: IntCounterVec = "sallygate_tool_calls_total",
        "Tool calls by tool and outcome; tools that no upstream listed count as other.", ["tool", "outcome"];
    tool_duration: HistogramVec = "sallygate_tool_duration_seconds",
        "Time that tool calls took.", ["tool"], TOOL_BUCKETS;
    auth_validations: IntCounterVec = "sallygate_auth_validations_total",
        "Credentials by what became of them.", ["result"];
    rate_limited: IntCounterVec = "sallygate_rate_limited_total",
        "Requests refused by a quota, by tier and by what was exceeded.", ["tier", "scope"];
    policy_decisions: IntCounterVec = "sallygate_policy_decisions_total",
        "Decisions of the policy.", ["decision"];
    denials: IntCounterVec = "sallygate_denials_total",
        "Requests refused, by stage and reason.", ["stage", "reason"];
    active_connections: IntGauge = "sallygate_active_connections",
        "Downstream connections that are open.";
    active_streams: IntGauge = "sallygate_active_streams",
        "Event streams that are open.";
    tls_handshakes: IntCounterVec = "sallygate_tls_handshakes_total",
        "TLS handshakes by result.", ["result"];
    turned_away: IntCounterVec = "sallygate_connections_refused_total",
        "Connections closed before a handshake, by reason.", ["reason"];
    client_certificates: IntCounterVec = "sallygate_client_certificates_total",
        "Certificates of callers by what became of them; absent counts where one is required.", ["result"];
    accept_errors: IntCounter = "sallygate_accept_errors_total",
        "Times that no connection could be accepted, for instance for want of file descriptors.";
    panics: IntCounter = "sallygate_connection_panics_total",
        "Connections that a mistake of ours has ended.";
    upstream_requests: IntCounterVec = "sallygate_upstream_requests_total",
        "Exchanges with upstreams by route and outcome.", ["route", "outcome"];
    upstream_duration: HistogramVec = "sallygate_upstream_duration_seconds",
        "Time until an upstream's answer was complete.", ["route"], REQUEST_BUCKETS;
    upstream_state: IntGaugeVec = "sallygate_upstream_state",
        "How the circuit breaker of a route stands: 0 closed, 1 half-open, 2 open.", ["route"];
    jwks_keys: IntGaugeVec = "sallygate_jwks_keys_loaded",
        "Verification keys that are loaded, by issuer.", ["issuer"];
    jwks_errors: IntCounterVec = "sallygate_jwks_refresh_errors_total",
        "Failed fetches of verification keys, by issuer.", ["issuer"];
    audit_errors: IntCounter = "sallygate_audit_write_errors_total",
        "Failed writes of audit lines; while they fail, requests are refused.";
    audit_depth: IntGauge = "sallygate_audit_queue_depth",
        "Audit lines reserved or waiting to be written.";
    audit_bytes: IntGauge = "sallygate_audit_queue_bytes",
        "Memory that waiting audit lines take, about.";
    audit_waiting: Gauge = "sallygate_audit_oldest_unwritten_seconds",
        "How long the oldest audit line has waited for the disk.";
    audit_refusing: IntGauge = "sallygate_audit_refusing",
        "1 while requests are refused because audit lines cannot be kept.";
    audit_untidy: IntCounter = "sallygate_audit_tidy_errors_total",
        "Times that closed audit files could not be compressed or removed.";
    redactions: IntCounterVec = "sallygate_redactions_total",
        "Redactions made, by kind.", ["kind"];
    certificate_expiry: IntGauge = "sallygate_certificate_expiry_timestamp_seconds",
        "When the server certificate ends, in seconds since the Unix epoch.";
    operations: HistogramVec = "mcp_server_operation_duration_seconds",
        "Time that each method of the protocol took.", ["mcp_method_name"], OPERATION_BUCKETS;
    build: IntGaugeVec = "sallygate_build_info",
        "Always 1; the label says which version runs.", ["version"];
    memory: IntGauge = "process_resident_memory_bytes",
        "Memory of the process that is resident.";
    descriptors: IntGauge = "process_open_fds",
        "File descriptors of the process that are open.";
}
