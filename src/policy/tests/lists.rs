//! Lists, switches and methods: what the configuration alone decides.

use super::*;

#[test]
fn r027_r030_enabled_tools_are_the_only_usable_ones() {
    let policies = configured(Rules {
        tools: lists(Some(&["get_task", "search_*"]), &[]),
        ..Rules::default()
    });
    for (name, decision) in [
        ("delete_task", "hidden:enabled-tools"),
        ("Get_Task", "hidden:enabled-tools"),
        ("get_task ", "hidden:enabled-tools"),
        ("get_task", "permit:allow-all"),
        ("search_docs", "permit:allow-all"),
    ] {
        assert_eq!(word(&policies, &free(&[]), tool(name)), decision, "{name}");
        let listed = policies.lists(&free(&[]), tool(name));
        assert_eq!(listed, decision.starts_with("permit"), "{name}");
    }
    assert!(policies.lists(&free(&[]), Ask::Prompt { name: "greet" }));
    assert!(policies.lists(&free(&[]), Ask::Resource { uri: "file:///a" }));
}

#[test]
fn r028_r030_disabled_tools_are_removed_and_the_rest_stays() {
    let policies = configured(Rules {
        tools: lists(None, &["delete_*"]),
        ..Rules::default()
    });
    assert_eq!(
        word(&policies, &free(&[]), tool("delete_task")),
        "hidden:disabled-tools"
    );
    assert!(!policies.lists(&free(&[]), tool("delete_task")));
    assert_eq!(
        word(&policies, &free(&[]), tool("get_task")),
        "permit:allow-all"
    );
    assert!(policies.lists(&free(&[]), tool("get_task")));
}

#[test]
fn c47_with_both_lists_disabling_wins() {
    let policies = configured(Rules {
        tools: lists(Some(&["a", "b"]), &["b"]),
        ..Rules::default()
    });
    assert_eq!(
        word(&policies, &free(&[]), tool("b")),
        "hidden:disabled-tools"
    );
    assert_eq!(word(&policies, &free(&[]), tool("a")), "permit:allow-all");
}

#[test]
fn c49_an_empty_list_enables_nothing_and_an_unnamed_tier_gets_nothing() {
    let empty = configured(Rules {
        tools: lists(Some(&[]), &[]),
        ..Rules::default()
    });
    assert_eq!(word(&empty, &free(&[]), tool("a")), "hidden:enabled-tools");
    let tiers = configured(Rules {
        tiers: [
            ("free".to_owned(), lists(Some(&["get_*"]), &["get_secret"])),
            ("premium".to_owned(), lists(None, &["admin_*"])),
        ]
        .into(),
        ..Rules::default()
    });
    for (tier, name, decision) in [
        ("free", "get_secret", "hidden:tier:free:disabled"),
        ("free", "create_task", "hidden:tier:free:enabled"),
        ("premium", "admin_reset", "hidden:tier:premium:disabled"),
        ("unheard-of", "get_task", "hidden:tier:unlisted"),
        ("", "get_task", "hidden:tier:unlisted"),
        ("free", "get_task", "permit:allow-all"),
        ("premium", "create_task", "permit:allow-all"),
    ] {
        let principal = Principal::for_tests("u", tier, &[]);
        assert_eq!(
            word(&tiers, &principal, tool(name)),
            decision,
            "{tier} {name}"
        );
    }
}

#[test]
fn lists_of_a_route_narrow_those_for_all_routes() {
    let settings = Settings {
        everywhere: Rules {
            tools: lists(Some(&["a", "b"]), &[]),
            ..Rules::default()
        },
        here: Rules {
            tools: lists(Some(&["b", "c"]), &[]),
            ..Rules::default()
        },
        ..Settings::default()
    };
    let policies = Policies::compile(&settings).unwrap();
    for (name, decision) in [
        ("a", "hidden:route:enabled-tools"),
        ("c", "hidden:enabled-tools"),
        ("b", "permit:allow-all"),
    ] {
        assert_eq!(word(&policies, &free(&[]), tool(name)), decision, "{name}");
    }
}

#[test]
fn read_only_believes_the_operator_alone() {
    let policies = configured(Rules {
        read_only: true,
        read_only_tools: owned(&["get_*"]),
        ..Rules::default()
    });
    assert_eq!(
        word(&policies, &free(&[]), tool("list_tasks")),
        "hidden:read-only"
    );
    assert_eq!(
        word(&policies, &free(&[]), tool("get_task")),
        "permit:allow-all"
    );
}

#[test]
fn methods_are_decided_by_the_base_rules() {
    let open = Policies::compile(&Settings::default()).unwrap();
    let closed = written("permit(principal, action == Action::\"call_tool\", resource);");
    for (name, when_open, when_closed) in [
        (
            "sampling/createMessage",
            "method:server-side-methods",
            "method:server-side-methods",
        ),
        (
            "elicitation/create",
            "method:server-side-methods",
            "method:server-side-methods",
        ),
        (
            "roots/list",
            "method:server-side-methods",
            "method:server-side-methods",
        ),
        (
            "tools/call",
            "method:calls-are-not-methods",
            "method:calls-are-not-methods",
        ),
        (
            "prompts/get",
            "method:calls-are-not-methods",
            "method:calls-are-not-methods",
        ),
        (
            "resources/read",
            "method:calls-are-not-methods",
            "method:calls-are-not-methods",
        ),
        (
            "x/unheard-of",
            "permit:allow-all-methods",
            "method:default-deny",
        ),
        (
            "Initialize",
            "permit:allow-all-methods",
            "method:default-deny",
        ),
        ("initialize", "permit:allow-all-methods", "permit:plumbing"),
        (
            "notifications/roots/list_changed",
            "permit:allow-all-methods",
            "permit:plumbing",
        ),
        ("tasks/get", "permit:allow-all-methods", "permit:plumbing"),
        (
            "server/discover",
            "permit:allow-all-methods",
            "permit:plumbing",
        ),
        (
            "subscriptions/listen",
            "permit:allow-all-methods",
            "permit:plumbing",
        ),
        (
            "completion/complete",
            "permit:allow-all-methods",
            "permit:plumbing",
        ),
    ] {
        assert_eq!(
            word(&open, &free(&[]), Ask::Method { name }),
            when_open,
            "{name}"
        );
        assert_eq!(
            word(&closed, &free(&[]), Ask::Method { name }),
            when_closed,
            "{name}"
        );
    }
}

#[test]
fn as_soon_as_a_list_is_configured_unknown_methods_are_refused() {
    let policies = configured(Rules {
        tools: lists(None, &["x"]),
        ..Rules::default()
    });
    assert_eq!(
        word(&policies, &free(&[]), Ask::Method { name: "x/y" }),
        "method:default-deny"
    );
}
