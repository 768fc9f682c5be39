//! Decisions by table: who asks for what under which configuration, and which rule decides.

mod calls;
mod files;
mod lists;
mod scopes;

use super::*;

/// A configuration in words: lists for everybody.
fn lists(enabled: Option<&[&str]>, disabled: &[&str]) -> ToolLists {
    ToolLists {
        enabled: enabled.map(owned),
        disabled: owned(disabled),
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn configured(rules: Rules) -> Policies {
    let settings = Settings {
        route: "main".to_owned(),
        everywhere: rules,
        ..Settings::default()
    };
    Policies::compile(&settings).unwrap()
}

fn written(text: &str) -> Policies {
    with_file(text, Rules::default())
}

fn with_file(text: &str, rules: Rules) -> Policies {
    let settings = Settings {
        route: "main".to_owned(),
        files: vec![PolicyFile {
            name: "test.cedar".to_owned(),
            text: text.to_owned(),
        }],
        here: rules,
        ..Settings::default()
    };
    Policies::compile(&settings).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

fn free(scopes: &[&str]) -> Principal {
    Principal::for_tests("12345", "free", scopes)
}

fn tool(name: &str) -> Ask<'_> {
    Ask::Tool {
        name,
        arguments: None,
    }
}

fn call<'a>(name: &'a str, arguments: &'a str) -> Ask<'a> {
    Ask::Tool {
        name,
        arguments: Some(arguments),
    }
}

/// The decision in one word, with the rule: `permit:allow-all`, `hidden:disabled-tools`, ...
fn word(policies: &Policies, principal: &Principal, ask: Ask<'_>) -> String {
    match policies.decide(principal, ask) {
        Ok(permit) => format!("permit:{}", permit.rule()),
        Err(PolicyError::Hidden { rule }) => format!("hidden:{rule}"),
        Err(PolicyError::ArgumentsRefused { rule }) => format!("arguments:{rule}"),
        Err(PolicyError::InsufficientScope { needed }) => format!("scope:{}", needed.join(" ")),
        Err(PolicyError::MethodNotAllowed { rule }) => format!("method:{rule}"),
        Err(PolicyError::Unreadable(_)) => "unreadable".to_owned(),
        Err(PolicyError::EngineFailure { rule, .. }) => format!("failure:{rule}"),
    }
}

/// Scopes by tool.
fn scoped() -> Rules {
    Rules {
        scopes: [
            ("*_task".to_owned(), owned(&["task:read"])),
            ("delete_*".to_owned(), owned(&["task:delete", "task:write"])),
        ]
        .into(),
        ..Rules::default()
    }
}
