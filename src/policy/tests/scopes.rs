//! Missing scopes: when they are named, and when the thing stays hidden.

use super::*;

#[test]
fn a_token_without_the_scope_is_told_every_scope_that_it_needs() {
    let policies = configured(scoped());
    for (scopes, name, decision) in [
        (vec![], "get_task", "scope:task:read"),
        (vec!["task:write"], "get_task", "scope:task:read"),
        (
            vec!["task:read"],
            "delete_task",
            "scope:task:delete task:read task:write",
        ),
        (
            vec!["task:read", "task:write"],
            "delete_task",
            "scope:task:delete task:read task:write",
        ),
        (vec!["task:read"], "get_task", "permit:allow-all"),
        (
            vec!["task:read", "task:write", "task:delete"],
            "delete_task",
            "permit:allow-all",
        ),
        (vec![], "ping_all", "permit:allow-all"),
    ] {
        assert_eq!(
            word(&policies, &free(&scopes), tool(name)),
            decision,
            "{scopes:?} {name}"
        );
        assert!(
            policies.lists(&free(&scopes), tool(name)),
            "{name} is listed so that scopes can be asked for"
        );
    }
}

#[test]
fn r480_read_write_and_delete_scopes_are_apart() {
    let policies = configured(Rules {
        scopes: [
            ("get_*".to_owned(), owned(&["task:read"])),
            ("create_*".to_owned(), owned(&["task:write"])),
            ("delete_*".to_owned(), owned(&["task:delete"])),
        ]
        .into(),
        ..Rules::default()
    });
    for (scope, allowed) in [
        ("task:read", "get_task"),
        ("task:write", "create_task"),
        ("task:delete", "delete_task"),
    ] {
        for name in ["get_task", "create_task", "delete_task"] {
            let permitted = policies.decide(&free(&[scope]), tool(name)).is_ok();
            assert_eq!(permitted, name == allowed, "{scope} {name}");
        }
    }
}

#[test]
fn scopes_are_named_only_if_they_are_all_that_is_missing() {
    let mut rules = scoped();
    rules.tools = lists(None, &["delete_task"]);
    let policies = configured(rules);
    assert_eq!(
        word(&policies, &free(&[]), tool("delete_task")),
        "hidden:disabled-tools"
    );
    assert!(!policies.lists(&free(&[]), tool("delete_task")));

    let silent = with_file(
        "permit(principal, action, resource == Tool::\"other\");",
        scoped(),
    );
    assert_eq!(
        word(&silent, &free(&[]), tool("get_task")),
        "hidden:default-deny"
    );
    assert!(!silent.lists(&free(&[]), tool("get_task")));

    let contrary = with_file(
        "permit(principal, action, resource); @id(\"odd\") forbid(principal, action, resource) \
         when { principal.scopes.contains(\"task:read\") };",
        scoped(),
    );
    assert_eq!(word(&contrary, &free(&[]), tool("get_task")), "hidden:odd");
}

#[test]
fn required_scopes_are_required_for_everything() {
    let policies = configured(Rules {
        required_scopes: owned(&["mcp:read"]),
        ..scoped()
    });
    for ask in [
        Ask::Method { name: "initialize" },
        Ask::Prompt { name: "greet" },
        Ask::Resource { uri: "file:///a" },
        tool("plain"),
    ] {
        assert_eq!(
            word(&policies, &free(&[]), ask),
            "scope:mcp:read",
            "{ask:?}"
        );
        assert!(
            policies.decide(&free(&["mcp:read"]), ask).is_ok(),
            "{ask:?}"
        );
    }
    assert_eq!(
        word(&policies, &free(&[]), tool("get_task")),
        "scope:mcp:read task:read"
    );
}

#[test]
fn scopes_and_arguments_together_ask_for_scopes_only_if_those_are_the_obstacle() {
    let policies = with_file(
        "permit(principal, action == Action::\"call_tool\", resource) \
         when { context.arguments has n && context.arguments.n < 5 };",
        Rules {
            scopes: [("a".to_owned(), owned(&["task:read"]))].into(),
            ..Rules::default()
        },
    );
    for (scopes, arguments, decision) in [
        (vec![], "{\"n\":5}", "arguments:default-deny"),
        (vec![], "{\"n\":4}", "scope:task:read"),
        (vec!["task:read"], "{\"n\":4}", "permit:test.cedar:1"),
    ] {
        assert_eq!(
            word(&policies, &free(&scopes), call("a", arguments)),
            decision,
            "{scopes:?} {arguments}"
        );
    }
}
