//! Calls decided with their arguments, and decisions that are remembered.

use super::*;

/// One permit that reads arguments, one that does not, and a forbid that does.
fn reading() -> Policies {
    written(
        "@id(\"look\") permit(principal, action == Action::\"call_tool\", resource) when { resource.name like \"get_*\" };
         @id(\"few\") permit(principal, action == Action::\"call_tool\", resource == Tool::\"bulk\")
           when { principal.tier == \"premium\" && context.arguments has count && context.arguments.count <= 50 };
         @id(\"not 13\") forbid(principal, action == Action::\"call_tool\", resource == Tool::\"get_list\")
           when { context.arguments has list && context.arguments.list == 13 };",
    )
}

#[test]
fn a_call_is_decided_with_its_real_arguments() {
    let policies = reading();
    let premium = Principal::for_tests("p", "premium", &[]);
    for (principal, ask, decision) in [
        (
            &premium,
            call("bulk", "{\"count\":51}"),
            "arguments:default-deny",
        ),
        (
            &premium,
            call("bulk", "{\"count\":5.1e1}"),
            "arguments:default-deny",
        ),
        (&premium, call("bulk", "{\"count\":\"1\"}"), "failure:few"),
        (&premium, call("bulk", "{\"count\":1e30}"), "failure:few"),
        (
            &premium,
            call("bulk", "{\"count\":null}"),
            "arguments:default-deny",
        ),
        (&premium, call("bulk", "{}"), "arguments:default-deny"),
        (&premium, tool("bulk"), "arguments:default-deny"),
        (&premium, call("bulk", "[]"), "unreadable"),
        (
            &premium,
            call("bulk", "{\"count\":1,\"count\":1}"),
            "unreadable",
        ),
        (
            &free(&[]),
            call("bulk", "{\"count\":1}"),
            "hidden:default-deny",
        ),
        (
            &free(&[]),
            call("get_list", "{\"list\":13}"),
            "arguments:not 13",
        ),
        (
            &free(&[]),
            call("get_list", "{\"list\":13.0}"),
            "arguments:not 13",
        ),
        (
            &free(&[]),
            call("get_list", "{\"list\":0.13e2}"),
            "arguments:not 13",
        ),
        (&free(&[]), call("get_list", "not json"), "unreadable"),
        (&premium, call("bulk", "{\"count\":50}"), "permit:few"),
        (&free(&[]), call("get_list", "{\"list\":14}"), "permit:look"),
        (
            &free(&[]),
            call("get_task", "not json, but no rule looks"),
            "permit:look",
        ),
    ] {
        assert_eq!(word(&policies, principal, ask), decision, "{ask:?}");
    }
}

#[test]
fn a_tool_is_listed_unless_no_arguments_could_make_it_callable() {
    let policies = reading();
    let premium = Principal::for_tests("p", "premium", &[]);
    for (principal, name, listed) in [
        (&free(&[]), "bulk", false),
        (&free(&[]), "create_task", false),
        (&premium, "bulk", true),
        (&free(&[]), "get_list", true),
        (&free(&[]), "get_task", true),
    ] {
        assert_eq!(
            policies.lists(principal, tool(name)),
            listed,
            "{} {name}",
            principal.tier()
        );
    }
}

#[test]
fn a_rule_that_fails_refuses_even_if_others_permit() {
    let policies = written(
        "permit(principal, action, resource);
         @id(\"broken\") forbid(principal, action == Action::\"call_tool\", resource)
           when { context.arguments has n && context.arguments.n + 9223372036854775807 > 0 };
         @id(\"plain\") forbid(principal, action == Action::\"get_prompt\", resource)
           when { 9223372036854775807 + 1 > 0 };",
    );
    assert_eq!(
        word(&policies, &free(&[]), call("a", "{\"n\":1}")),
        "failure:broken"
    );
    assert_eq!(
        word(&policies, &free(&[]), Ask::Prompt { name: "a" }),
        "failure:plain"
    );
    assert!(!policies.lists(&free(&[]), Ask::Prompt { name: "a" }));
    assert_eq!(
        word(&policies, &free(&[]), call("a", "{}")),
        "permit:test.cedar:1"
    );
}

#[test]
fn remembered_decisions_are_not_shared_where_rules_tell_users_apart() {
    let policies = written(
        "@id(\"own\") permit(principal == User::\"alice\", action == Action::\"call_tool\", resource);
         @id(\"issuer\") forbid(principal, action, resource) when { principal.issuer == \"https://evil.test\" };",
    );
    let (alice, bob) = (
        Principal::for_tests("alice", "free", &[]),
        Principal::for_tests("bob", "free", &[]),
    );
    for _ in 0..2 {
        assert_eq!(word(&policies, &alice, tool("a")), "permit:own");
        assert_eq!(word(&policies, &bob, tool("a")), "hidden:default-deny");
    }
}

#[test]
fn remembered_decisions_are_not_shared_between_classes_kinds_or_names() {
    let policies = with_file(
        "permit(principal, action == Action::\"call_tool\", resource == Tool::\"a\") when { principal.tier == \"free\" };",
        scoped(),
    );
    for _ in 0..2 {
        assert!(policies.decide(&free(&[]), tool("a")).is_ok());
        assert!(
            policies
                .decide(&Principal::for_tests("x", "other", &[]), tool("a"))
                .is_err()
        );
        assert!(policies.decide(&free(&[]), tool("b")).is_err());
        assert!(
            policies
                .decide(&free(&[]), Ask::Prompt { name: "a" })
                .is_err()
        );
        assert!(
            policies
                .decide(&free(&[]), Ask::Resource { uri: "a" })
                .is_err()
        );
    }
}

#[test]
fn an_argument_that_imitates_one_that_a_rule_reads_is_refused() {
    let file = PolicyFile {
        name: "paths.cedar".into(),
        text: r#"
            @id("all") permit (principal, action, resource);
            @id("no-etc") forbid (principal, action == Action::"call_tool", resource)
            when { context.arguments has path && context.arguments.path like "/etc*" };
            @id("no-root") forbid (principal, action == Action::"call_tool", resource)
            when { context.arguments has options && context.arguments.options has owner &&
                   context.arguments.options.owner == "root" };
        "#
        .into(),
    };
    let policies = Policies::compile(&Settings {
        files: vec![file],
        ..Settings::default()
    })
    .unwrap();
    let free = Principal::for_tests("f", "free", &[]);
    let decide = |arguments| policies.decide(&free, call("read", arguments));
    assert!(matches!(
        decide(r#"{"path":"/etc/passwd"}"#),
        Err(PolicyError::ArgumentsRefused { .. })
    ));
    for imitation in [
        r#"{"Path":"/etc/passwd"}"#,
        r#"{"PATH":"/etc/passwd"}"#,
        r#"{"path":"/tmp","other":[{"Owner":"root"}]}"#,
        r#"{"options":{"oWner":"root"}}"#,
        r#"{"option\u017f":{"owner":"root"}}"#,
    ] {
        let refused = decide(imitation);
        assert!(
            matches!(
                refused,
                Err(PolicyError::Unreadable(ArgumentsError::Imitation(_)))
            ),
            "{imitation}"
        );
    }
    for fine in [
        r#"{"path":"/tmp","paths":1,"Other":2}"#,
        "{}",
        r#"{"options":{"owner":"alice"}}"#,
    ] {
        assert!(decide(fine).is_ok(), "{fine}");
    }
}
