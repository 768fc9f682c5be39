//! What variables and options change.

use super::*;

#[test]
fn overrides_that_lead_nowhere_are_refused_and_strange_names_warned_about() {
    let folder = Folder::new();
    for (name, value, said) in [
        (
            "SALLYGATE_LISTEN__ADDRES",
            "x",
            "variable SALLYGATE_LISTEN__ADDRES: listen.addres: unknown setting; did you mean `address`?",
        ),
        (
            "SALLYGATE_LISTEN__ADDRESS",
            "somewhere",
            "variable SALLYGATE_LISTEN__ADDRESS: listen.address: `somewhere` is not an IP address and a port; \
             write it as `127.0.0.1:8443` or `[::]:8443`",
        ),
        (
            "SALLYGATE_UPSTREAM__URL__X",
            "x",
            "variable SALLYGATE_UPSTREAM__URL__X: upstream.url.x: `x` leads nowhere; \
             name the levels as the file does; list items are counted from 0 without gaps",
        ),
        (
            "ENABLED_TOOLS",
            " ",
            "variable ENABLED_TOOLS: policy.tools.enabled: is set but empty; unset it or give it a value",
        ),
        (
            "MAX_REQUESTS_PER_MINUTE",
            "lots",
            "variable MAX_REQUESTS_PER_MINUTE: quotas.tiers.free.per_minute: `lots` is not a whole number; \
             use a whole number from 1 to 1000000",
        ),
    ] {
        assert_eq!(folder.mistakes("", &[(name, value)]), [said]);
    }
    assert_eq!(
        folder.warnings(
            "",
            &[
                ("SALLYGATE_LISTEN_ADDRESS", "x"),
                ("SALLYGATE_PORT_8443_TCP", "x"),
                ("SALLYGATE_SERVICE_HOST", "x")
            ]
        ),
        [
            "variable SALLYGATE_LISTEN_ADDRESS: names no setting and is ignored; \
          levels are parted by two underscores: SALLYGATE_LISTEN__..."
        ]
    );
}

#[test]
fn overrides_win_over_the_file_and_the_long_name_over_the_shared_one() {
    let env = [
        ("SALLYGATE_LISTEN__ADDRESS", "127.0.0.1:9000"),
        ("SALLYGATE_LISTEN__PLAIN_HTTP", "true"),
        (
            "SALLYGATE_CORS__ALLOWED_ORIGINS",
            "https://a.test,https://b.test",
        ),
        ("SALLYGATE_AUDIT__ENABLED", "yes"),
        ("SALLYGATE_LIMITS__BODY_BYTES", "2MiB"),
        ("MAX_PAYLOAD_SIZE", "3MiB"),
        ("LOG_LEVEL", "DEBUG"),
        ("LOG_FORMAT", "json"),
        ("MAX_CONCURRENT_REQUESTS", "7"),
    ];
    let config = Folder::new().good("listen: {address: \"127.0.0.1:1\"}\n", &env);
    assert_eq!(config.listen.public_url, "http://127.0.0.1:9000");
    assert_eq!(config.cors.allowed_origins.len(), 2);
    assert_eq!(config.limits.body_bytes.as_u64(), 2 << 20);
    assert_eq!(
        (config.logs.level, config.logs.format),
        ("debug", LogFormat::Json)
    );
    assert_eq!(config.quotas.tiers["free"].concurrency, 7);
    assert_eq!(
        config.origin("listen.address"),
        Origin::Variable("SALLYGATE_LISTEN__ADDRESS".into())
    );

    let env = [
        (
            "SALLYGATE_ROUTES__0__UPSTREAM__URL",
            "http://127.0.0.1:7/mcp",
        ),
        ("JWT_SECRET", KEY),
    ];
    let (config, _) = Folder::new().load("", &env).unwrap();
    assert_eq!(config.routes.len(), 1);
}

#[test]
fn a_reference_can_stand_for_a_whole_list() {
    let text = "policy: {tools: {enabled: \"${TOOLS}\", disabled: \"${NO_TOOLS}\"}}\n";
    let folder = Folder::new();
    let tools = folder
        .good(text, &[("TOOLS", "a,b"), ("NO_TOOLS", "c")])
        .policy
        .tools;
    assert_eq!(
        (tools.enabled.unwrap(), tools.disabled),
        (vec!["a".into(), "b".into()], vec!["c".into()])
    );
    assert_eq!(
        folder.mistakes(text, &[("TOOLS", "a,b")]),
        ["line 2: policy.tools.disabled: the environment variable `NO_TOOLS` is not set"]
    );
}

#[test]
fn r086_a_report_names_the_variable_and_not_what_it_holds() {
    let secret = "canary-not-a-real-secret-0123456789";
    let folder = Folder::new();
    let env = [("TOKEN", secret), ("SHORT", "an")];
    for (text, told) in [
        (
            "audit: {enabled: \"${TOKEN}\"}\n",
            "line 2: audit.enabled: `${TOKEN}` is neither true nor false",
        ),
        (
            "limits: {head_timeout: \"${TOKEN}\"}\n",
            "line 2: limits.head_timeout: `${TOKEN}` does not begin with a whole number",
        ),
        (
            "listen: {address: \"${TOKEN}\"}\n",
            "line 2: listen.address: `${TOKEN}` is not an IP address and a port; write it as `127.0.0.1:8443` or `[::]:8443`",
        ),
        (
            "logs: {format: \"${SHORT}\"}\n",
            "line 2: logs.format: `an` is not known here; use one of text, json",
        ),
    ] {
        assert_eq!(folder.mistakes(text, &env), [told]);
    }
}

#[test]
fn c47_both_tool_lists_are_kept_and_warned_about() {
    let env = [("ENABLED_TOOLS", "a, b"), ("DISABLED_TOOLS", "b")];
    let folder = Folder::new();
    let tools = folder.good("", &env).policy.tools;
    assert_eq!(tools.enabled.unwrap(), ["a", "b"]);
    assert_eq!(tools.disabled, ["b"]);
    assert_eq!(
        folder.warnings("", &env),
        [
            "variable DISABLED_TOOLS: policy.tools.disabled: is written beside `enabled`; \
          a tool in both is disabled; keep one list to be clear"
        ]
    );
}

#[test]
fn r277_switching_the_audit_trail_off_is_warned_about() {
    assert_eq!(
        Folder::new().warnings("", &[("ENABLE_AUDIT_LOGGING", "false")]),
        [
            "variable ENABLE_AUDIT_LOGGING: audit.enabled: no audit trail is written; \
          remove it; what happened cannot be shown afterwards"
        ]
    );
    assert!(Folder::new().good("", &[]).audit.enabled);
}

#[test]
fn one_upstream_needs_no_file_and_no_key() {
    let (config, _) = from_upstream("http://127.0.0.1:3000/mcp", &Environment::default()).unwrap();
    assert_eq!((config.routes.len(), config.auth.keys.len()), (1, 0));
    assert_eq!(config.state_dir, Path::new(".sallygate"));
    assert_eq!(config.audit.dir, Path::new(".sallygate/audit-logs"));
    assert_eq!(
        from_upstream("nowhere", &Environment::default())
            .unwrap_err()
            .to_string(),
        "option --upstream: upstream.url: is not an absolute URL: relative URL without a base; write it as `https://host/path`"
    );
}
