//! Policy files: mistakes, and what the shipped ones do.

use super::*;

#[test]
fn with_a_policy_file_silence_refuses_and_lists_only_narrow() {
    let policies = with_file(
        "@id(\"look\") permit(principal, action == Action::\"call_tool\", resource) when { resource.name like \"get_*\" };",
        Rules {
            tools: lists(Some(&["get_task", "create_task"]), &[]),
            ..Rules::default()
        },
    );
    for (ask, decision) in [
        (tool("create_task"), "hidden:default-deny"),
        (tool("get_list"), "hidden:route:enabled-tools"),
        (tool("get_task"), "permit:look"),
        (Ask::Prompt { name: "greet" }, "hidden:default-deny"),
        (Ask::Resource { uri: "file:///a" }, "hidden:default-deny"),
    ] {
        assert_eq!(word(&policies, &free(&[]), ask), decision, "{ask:?}");
    }
}

#[test]
fn names_that_look_like_cedar_stay_names() {
    let odd = "x\") || true || (resource.name == \"\\u{0}*";
    let policies = configured(Rules {
        tools: lists(Some(&[odd]), &[]),
        ..Rules::default()
    });
    assert_eq!(
        word(&policies, &free(&[]), tool("anything")),
        "hidden:enabled-tools"
    );
    let prefix = odd.trim_end_matches('*');
    assert_eq!(
        word(&policies, &free(&[]), tool(&format!("{prefix}tail"))),
        "permit:allow-all"
    );
    let quoted = configured(Rules {
        tools: lists(None, &["a\"b\\c"]),
        ..Rules::default()
    });
    assert_eq!(
        word(&quoted, &free(&[]), tool("a\"b\\c")),
        "hidden:disabled-tools"
    );
}

#[test]
fn every_mistake_of_every_file_is_reported_at_once() {
    let file = |name: &str, text: &str| PolicyFile {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    let settings = Settings {
        files: vec![
            file(
                "one.cedar",
                "permit(principal, action, resource) when { principal.x == 1 };",
            ),
            file("two.cedar", "\n\npermit(principal action);"),
            file(
                "three.cedar",
                "\n@id(\"plumbing\") permit(principal, action, resource);",
            ),
        ],
        ..Settings::default()
    };
    let mistakes = Policies::compile(&settings).err().unwrap();
    let places: BTreeSet<(&str, usize)> = mistakes
        .iter()
        .map(|it| (it.file.as_str(), it.line))
        .collect();
    assert_eq!(
        places,
        [("one.cedar", 1), ("three.cedar", 2), ("two.cedar", 3)].into()
    );
}

#[test]
fn no_name_makes_a_rule_of_a_file_disappear() {
    for name in ["allow-all", "allow-all-methods", "enabled-tools"] {
        let policies = written(&format!(
            "permit(principal, action, resource); @id(\"{name}\") forbid(principal, action, resource == Tool::\"a\");"
        ));
        assert_eq!(
            word(&policies, &free(&[]), tool("a")),
            format!("hidden:{name}")
        );
    }
    for name in ["plumbing", "default-deny"] {
        let settings = Settings {
            files: vec![PolicyFile {
                name: "test.cedar".to_owned(),
                text: format!("@id(\"{name}\") forbid(principal, action, resource);"),
            }],
            ..Settings::default()
        };
        let mistakes = Policies::compile(&settings).err().unwrap();
        assert!(
            mistakes[0].message.contains("taken"),
            "{name}: {mistakes:?}"
        );
    }
}

#[test]
fn files_that_permit_no_tool_are_warned_about() {
    for (text, warned) in [
        ("forbid(principal, action, resource == Tool::\"a\");", true),
        (
            "permit(principal, action == Action::\"get_prompt\", resource);",
            true,
        ),
        (
            "permit(principal, action in [Action::\"get_prompt\", Action::\"call_tool\"], resource);",
            false,
        ),
        (
            "permit(principal, action, resource) when { principal.tier == \"free\" };",
            false,
        ),
    ] {
        let warnings = written(text).warnings().to_vec();
        let found = warnings
            .iter()
            .any(|it| it.message.contains("no rule permits a tool"));
        assert_eq!(found, warned, "{text}: {warnings:?}");
    }
}

#[test]
fn a_compiled_policy_can_be_shared_by_threads() {
    fn shared(_: &(impl Send + Sync)) {}
    shared(&Policies::compile(&Settings::default()).unwrap());
}

#[test]
fn denying_by_default_permits_only_what_a_list_names() {
    let closed = |everywhere| {
        Policies::compile(&Settings {
            everywhere,
            deny_by_default: true,
            ..Settings::default()
        })
        .unwrap()
    };
    let hidden = "hidden:default-deny";
    let free_only = [("free".to_owned(), lists(Some(&["get_task"]), &[]))];
    let half = [
        ("free".to_owned(), lists(Some(&["get_task"]), &[])),
        ("premium".to_owned(), lists(None, &["delete_task"])),
    ];
    let tiers = |tiers: &[(String, ToolLists)]| Rules {
        tiers: tiers.iter().cloned().collect(),
        ..Rules::default()
    };
    for (rules, of_get, of_delete) in [
        (Rules::default(), hidden, hidden),
        (
            Rules {
                tools: lists(None, &["delete_task"]),
                ..Rules::default()
            },
            hidden,
            "hidden:disabled-tools",
        ),
        (
            Rules {
                tools: lists(Some(&["get_task"]), &[]),
                ..Rules::default()
            },
            "permit:listed-tools",
            "hidden:enabled-tools",
        ),
        (
            tiers(&free_only),
            "permit:listed-tools",
            "hidden:tier:free:enabled",
        ),
        (tiers(&half), hidden, "hidden:tier:free:enabled"),
    ] {
        let policies = closed(rules.clone());
        let caller = free(&[]);
        assert_eq!(
            word(&policies, &caller, tool("get_task")),
            of_get,
            "{rules:?}"
        );
        assert_eq!(
            word(&policies, &caller, tool("delete_task")),
            of_delete,
            "{rules:?}"
        );
        for other in [
            Ask::Prompt { name: "greet" },
            Ask::Resource { uri: "file:///a" },
        ] {
            assert_eq!(word(&policies, &caller, other), hidden, "{rules:?}");
        }
        assert_eq!(
            word(&policies, &caller, Ask::Method { name: "ping" }),
            "permit:plumbing"
        );
    }
}

#[test]
fn every_shipped_policy_loads_without_a_warning() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".cedar") {
            continue;
        }
        seen += 1;
        // The base rules are always there; loading them as a file too would be two rules of one name.
        let files = if name == "base.cedar" {
            Vec::new()
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            vec![PolicyFile {
                name: name.clone(),
                text,
            }]
        };
        let settings = Settings {
            files,
            ..Settings::default()
        };
        let policies =
            Policies::compile(&settings).unwrap_or_else(|mistakes| panic!("{name}: {mistakes:?}"));
        assert_eq!(policies.warnings(), [], "{name}");
    }
    assert_eq!(seen, 5);
}

#[test]
fn the_shipped_examples_do_what_they_say() {
    let example = |text: &str| {
        with_file(
            text,
            Rules {
                read_only_tools: owned(&["get_task"]),
                ..Rules::default()
            },
        )
    };
    let read_only = example(include_str!("../../../policies/read-only.cedar"));
    assert_eq!(
        word(&read_only, &free(&[]), tool("create_task")),
        "hidden:default-deny"
    );
    assert_eq!(
        word(&read_only, &free(&[]), tool("get_task")),
        "permit:look"
    );
    assert_eq!(
        word(&read_only, &free(&[]), Ask::Prompt { name: "a" }),
        "permit:read"
    );
    let tiers = example(include_str!("../../../policies/tiers.cedar"));
    let premium = |scopes: &[&str]| Principal::for_tests("p", "premium", scopes);
    for (principal, name, decision) in [
        (free(&["task:write"]), "create_task", "hidden:default-deny"),
        (premium(&[]), "create_task", "hidden:default-deny"),
        (
            premium(&["task:write"]),
            "delete_task",
            "hidden:nobody:delete",
        ),
        (
            premium(&["task:write"]),
            "bulk_update",
            "hidden:default-deny",
        ),
        (
            premium(&["task:write"]),
            "create_task",
            "permit:premium:write",
        ),
        (free(&[]), "get_task", "permit:free:look"),
    ] {
        assert_eq!(
            word(&tiers, &principal, tool(name)),
            decision,
            "{} {name}",
            principal.tier()
        );
    }
}
