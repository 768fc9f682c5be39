//! Turns the configured lists and switches into Cedar rules. Every one of them forbids: a list narrows what something
//! else permits, so two lists can only agree, and disabling wins over enabling (C47) without a special case.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::pattern::NamePattern;
use super::settings::{Rules, Settings, ToolLists};

/// A rule made of the configuration: its name and its Cedar tree.
pub(super) struct HouseRule {
    pub(super) name: String,
    pub(super) tree: Value,
    /// Forbids only because scopes are missing, so that granting them would help.
    pub(super) asks_for_scopes: bool,
}

/// All rules that the configuration of this route amounts to.
pub(super) fn rules(settings: &Settings) -> Vec<HouseRule> {
    let mut out = Vec::new();
    of(&settings.everywhere, "", &mut out);
    of(&settings.here, "route:", &mut out);
    out
}

fn of(rules: &Rules, prefix: &str, out: &mut Vec<HouseRule>) {
    let mut add = |name: &str, tree: Value, asks_for_scopes: bool| {
        out.push(HouseRule {
            name: format!("{prefix}{name}"),
            tree,
            asks_for_scopes,
        });
    };
    lists(
        &rules.tools,
        "enabled-tools",
        "disabled-tools",
        None,
        &mut add,
    );
    tiers(rules, &mut add);
    if rules.read_only {
        let declared = json!({".": {"left": {"Var": "resource"}, "attr": "read_only"}});
        add("read-only", forbid_tool(not(declared)), false);
    }
    for (pattern, scopes) in rules.scopes.iter().filter(|(_, scopes)| !scopes.is_empty()) {
        let named = NamePattern::parse(pattern).condition();
        let tree = forbid_tool(and(named, not(holds_all(scopes))));
        add(&format!("scopes:{pattern}"), tree, true);
    }
    if !rules.required_scopes.is_empty() {
        let tree = forbid(json!({"op": "All"}), not(holds_all(&rules.required_scopes)));
        add("required-scopes", tree, true);
    }
}

fn lists(
    lists: &ToolLists,
    enabled: &str,
    disabled: &str,
    tier: Option<&str>,
    add: &mut impl FnMut(&str, Value, bool),
) {
    let for_tier = |condition: Value| match tier {
        Some(tier) => and(
            json!({"==": {"left": of_principal("tier"), "right": {"Value": tier}}}),
            condition,
        ),
        None => condition,
    };
    if let Some(names) = &lists.enabled {
        add(enabled, forbid_tool(for_tier(not(any_of(names)))), false);
    }
    if !lists.disabled.is_empty() {
        add(
            disabled,
            forbid_tool(for_tier(any_of(&lists.disabled))),
            false,
        );
    }
}

fn tiers(rules: &Rules, add: &mut impl FnMut(&str, Value, bool)) {
    for (tier, of_tier) in &rules.tiers {
        let (enabled, disabled) = (
            format!("tier:{tier}:enabled"),
            format!("tier:{tier}:disabled"),
        );
        lists(of_tier, &enabled, &disabled, Some(tier), add);
    }
    if rules.tiers.values().any(|lists| lists.enabled.is_some()) {
        let named: Vec<Value> = rules
            .tiers
            .keys()
            .map(|tier| json!({"Value": tier}))
            .collect();
        let known = json!({"contains": {"left": {"Set": named}, "right": of_principal("tier")}});
        add("tier:unlisted", forbid_tool(not(known)), false);
    }
}

fn of_principal(attribute: &str) -> Value {
    json!({".": {"left": {"Var": "principal"}, "attr": attribute}})
}

fn holds_all(scopes: &[String]) -> Value {
    let wanted: Vec<Value> = scopes.iter().map(|scope| json!({"Value": scope})).collect();
    json!({"containsAll": {"left": of_principal("scopes"), "right": {"Set": wanted}}})
}

fn any_of(names: &[String]) -> Value {
    names
        .iter()
        .map(|name| NamePattern::parse(name).condition())
        .reduce(|left, right| json!({"||": {"left": left, "right": right}}))
        .unwrap_or_else(|| json!({"Value": false}))
}

fn not(condition: Value) -> Value {
    json!({"!": {"arg": condition}})
}

fn and(left: Value, right: Value) -> Value {
    json!({"&&": {"left": left, "right": right}})
}

fn forbid_tool(condition: Value) -> Value {
    let call = json!({"op": "==", "entity": {"type": "Action", "id": "call_tool"}});
    forbid(call, condition)
}

fn forbid(action: Value, condition: Value) -> Value {
    json!({
        "effect": "forbid",
        "principal": {"op": "All"},
        "action": action,
        "resource": {"op": "All"},
        "conditions": [{"kind": "when", "body": condition}],
    })
}

/// Which scopes each tool needs, and which everything needs.
pub(super) struct ScopeTable {
    required: BTreeSet<String>,
    tools: Vec<(NamePattern, Vec<String>)>,
}

impl ScopeTable {
    pub(super) fn of(settings: &Settings) -> Self {
        let both = [&settings.everywhere, &settings.here];
        Self {
            required: both
                .iter()
                .flat_map(|rules| rules.required_scopes.iter().cloned())
                .collect(),
            tools: both
                .iter()
                .flat_map(|rules| &rules.scopes)
                .map(|(pattern, scopes)| (NamePattern::parse(pattern), scopes.clone()))
                .collect(),
        }
    }

    /// Every scope that an operation needs, held or not: what a challenge must name. `tool` is its name if it is a tool.
    pub(super) fn needed(&self, tool: Option<&str>) -> Arc<[String]> {
        let mut needed = self.required.clone();
        for (pattern, scopes) in &self.tools {
            if tool.is_some_and(|name| pattern.matches(name)) {
                needed.extend(scopes.iter().cloned());
            }
        }
        needed.into_iter().collect()
    }
}

/// The tools that the operator declared read-only.
pub(super) fn read_only_tools(settings: &Settings) -> Vec<NamePattern> {
    [&settings.everywhere, &settings.here]
        .iter()
        .flat_map(|rules| &rules.read_only_tools)
        .map(|name| NamePattern::parse(name))
        .collect()
}
