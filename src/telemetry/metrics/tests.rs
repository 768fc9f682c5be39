//! Labels stay bounded whatever callers send, and every figure appears under its name.

use super::*;

fn value(text: &str, series: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[test]
fn r210_tools_that_callers_invent_are_counted_as_other() {
    let metrics = Metrics::new().unwrap();
    metrics.learn_tools(["clickup_task_create"]);
    for number in 0..1_000 {
        metrics
            .tool(&format!("invented_{number}"))
            .called(ToolOutcome::Denied, Duration::ZERO);
    }
    metrics
        .tool("clickup_task_create")
        .called(ToolOutcome::Success, Duration::from_millis(40));
    let text = metrics.render();
    assert!(!text.contains("invented"));
    assert_eq!(
        value(
            &text,
            r#"sallygate_tool_calls_total{outcome="denied",tool="other"}"#
        ),
        Some(1_000.0)
    );
    assert_eq!(
        value(
            &text,
            r#"sallygate_tool_duration_seconds_bucket{tool="clickup_task_create",le="0.05"}"#
        ),
        Some(1.0)
    );
}

#[test]
fn labels_are_capped_in_number() {
    let metrics = Metrics::new().unwrap();
    let names: Vec<String> = (0..1_000)
        .map(|number| format!("listed_{number}"))
        .collect();
    metrics.learn_tools(names.iter().map(String::as_str));
    for name in &names {
        metrics
            .tool(name)
            .called(ToolOutcome::Success, Duration::ZERO);
        metrics.rate_limited(name, "minute");
    }
    let text = metrics.render();
    let count = |metric: &str| text.lines().filter(|line| line.starts_with(metric)).count();
    assert_eq!(
        count("sallygate_tool_duration_seconds_count"),
        MAX_TOOLS + 1
    );
    assert_eq!(count("sallygate_rate_limited_total"), MAX_PAIRS + 1);
}

#[test]
fn unknown_methods_are_counted_as_other() {
    let metrics = Metrics::new().unwrap();
    let route = metrics.route("clickup");
    for method in ["tools/call", "canary/\"\n{}", "TOOLS/CALL"] {
        route.request(
            Method::of(method),
            RequestOutcome::Answered,
            Duration::from_millis(3),
        );
        metrics.operation(Method::of(method), Duration::from_millis(3));
    }
    let text = metrics.render();
    assert!(!text.contains("canary"));
    let requests = r#"sallygate_requests_total{method="other",outcome="answered",route="clickup"}"#;
    assert_eq!(value(&text, requests), Some(2.0));
    let operations = r#"mcp_server_operation_duration_seconds_count{mcp_method_name="tools/call"}"#;
    assert_eq!(value(&text, operations), Some(1.0));
}

#[test]
fn r209_r212_r213_r075_each_event_is_counted_under_its_name() {
    let metrics = Metrics::new().unwrap();
    let route = metrics.route("clickup");
    route.request(
        Method::of("ping"),
        RequestOutcome::Denied,
        Duration::from_millis(3),
    );
    route.upstream(UpstreamOutcome::Timeout, Duration::from_secs(2));
    metrics.stage(Stage::Auth, Duration::from_micros(40));
    metrics.denied(Stage::Auth, "token_expired");
    metrics.authenticated(AuthResult::OutOfTime);
    metrics.rate_limited("free", "minute");
    metrics.policy_decided(false);
    metrics.handshake(false);
    metrics.redacted("email", 3);
    metrics.jwks_loaded("okta", 2);
    metrics.jwks_failed("okta");
    metrics.audit(&AuditFigures {
        depth: 5,
        errors: 2,
        ..AuditFigures::default()
    });
    metrics.audit(&AuditFigures {
        depth: 4,
        errors: 3,
        ..AuditFigures::default()
    });
    metrics.certificate_expires(1_800_000_000);
    let text = metrics.render();
    for (series, expected) in [
        (
            r#"sallygate_request_duration_seconds_bucket{route="clickup",le="0.005"}"#,
            1.0,
        ),
        (
            r#"sallygate_request_duration_seconds_bucket{route="clickup",le="0.0025"}"#,
            0.0,
        ),
        (
            r#"sallygate_upstream_requests_total{outcome="timeout",route="clickup"}"#,
            1.0,
        ),
        (
            r#"sallygate_stage_duration_seconds_bucket{stage="auth",le="0.00005"}"#,
            1.0,
        ),
        (
            r#"sallygate_denials_total{reason="token_expired",stage="auth"}"#,
            1.0,
        ),
        (
            r#"sallygate_auth_validations_total{result="out_of_time"}"#,
            1.0,
        ),
        (r#"sallygate_auth_validations_total{result="valid"}"#, 0.0),
        (
            r#"sallygate_rate_limited_total{scope="minute",tier="free"}"#,
            1.0,
        ),
        (r#"sallygate_policy_decisions_total{decision="deny"}"#, 1.0),
        (r#"sallygate_tls_handshakes_total{result="failed"}"#, 1.0),
        (r#"sallygate_redactions_total{kind="email"}"#, 3.0),
        (r#"sallygate_jwks_keys_loaded{issuer="okta"}"#, 2.0),
        (r#"sallygate_jwks_refresh_errors_total{issuer="okta"}"#, 1.0),
        ("sallygate_audit_queue_depth", 4.0),
        ("sallygate_audit_write_errors_total", 3.0),
        (
            "sallygate_certificate_expiry_timestamp_seconds",
            1_800_000_000.0,
        ),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}");
    }
    assert!(text.contains("sallygate_build_info{version="));
}

#[test]
fn connections_and_streams_are_counted_while_they_live() {
    let metrics = Metrics::new().unwrap();
    let (one, stream) = (metrics.connection(), metrics.stream());
    let two = metrics.connection();
    assert_eq!(
        value(&metrics.render(), "sallygate_active_connections"),
        Some(2.0)
    );
    drop((one, two, stream));
    let text = metrics.render();
    assert_eq!(value(&text, "sallygate_active_connections"), Some(0.0));
    assert_eq!(value(&text, "sallygate_active_streams"), Some(0.0));
}
