//! Any text is either a set of rules or a list of mistakes; what the rules permit is listed, is decided the same way again,
//! and nothing that the lists forbid is permitted. An entry is rules in Cedar, a rule, the arguments of a call.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use sallygate::auth::Principal;
use sallygate::policy::{Ask, Policies, PolicyFile, Rules, Settings, ToolLists};
use sallygate_fuzz::{callers, parts};

static PEOPLE: LazyLock<[Arc<Principal>; 2]> = LazyLock::new(|| {
    [
        callers::principal("alice", "premium", &["mcp:read", "mcp:write"]),
        callers::principal("bob", "free", &[]),
    ]
});

fuzz_target!(|data: &[u8]| {
    let (text, arguments) = parts(data);
    let (Ok(text), Ok(arguments)) = (std::str::from_utf8(text), std::str::from_utf8(arguments))
    else {
        return;
    };
    let settings = Settings {
        route: "default".into(),
        files: vec![PolicyFile {
            name: "fuzz.cedar".into(),
            text: text.into(),
        }],
        everywhere: Rules {
            tools: ToolLists {
                enabled: None,
                disabled: vec!["never_*".into()],
            },
            ..Rules::default()
        },
        ..Settings::default()
    };
    let lines = text.lines().count() + 1;
    let policies = match Policies::compile(&settings) {
        Ok(policies) => policies,
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            for mistake in mistakes
                .iter()
                .filter(|mistake| mistake.file == "fuzz.cedar")
            {
                assert!((1..=lines).contains(&mistake.line), "{mistake} of {lines}");
            }
            return;
        }
    };
    for principal in PEOPLE.iter() {
        for name in ["get_task", "never_this", "bulk"] {
            let call = |arguments| Ask::Tool { name, arguments };
            for arguments in [Some(arguments), Some("{}"), None] {
                let decided = policies.decide(principal, call(arguments));
                let again = policies.decide(principal, call(arguments));
                assert_eq!(
                    format!("{decided:?}"),
                    format!("{again:?}"),
                    "memory changes the decision"
                );
                if decided.is_ok() {
                    assert!(policies.lists(principal, call(None)), "callable and hidden");
                    assert_ne!(name, "never_this", "a disabled tool");
                }
            }
            assert!(!policies.lists(
                principal,
                Ask::Tool {
                    name: "never_this",
                    arguments: None
                }
            ));
        }
        let _ = policies.decide(principal, Ask::Resource { uri: "file:///x" });
        let _ = policies.decide(principal, Ask::Prompt { name: "p" });
        let _ = policies.decide(
            principal,
            Ask::Method {
                name: "logging/setLevel",
            },
        );
    }
});
