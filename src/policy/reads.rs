//! A static look at a rule: does it read the arguments of the call, does it ask who exactly is calling? The first splits
//! the rules into those that a list can be filtered by and those that need the call; the second says how far a decision
//! can be shared between callers. Both look at the rule's JSON tree and count as read whatever they do not recognise.

use serde_json::Value;

/// What callers of one class have in common.
const SHARED_ATTRIBUTES: [&str; 4] = ["tier", "team", "scopes", "roles"];

/// Does this rule look at the arguments?
pub(super) fn reads_arguments(rule: &Value) -> bool {
    conditions(rule).any(|condition| mentions(condition, "context", &["route"]))
}

/// Does this rule depend on more of the caller than the class?
pub(super) fn reads_identity(rule: &Value) -> bool {
    let scope = rule.get("principal");
    let anybody = match scope.and_then(|it| it.get("op")).and_then(Value::as_str) {
        Some("All") => true,
        Some("is") => scope.is_some_and(|it| it.get("in").is_none()),
        _ => false,
    };
    !anybody
        || conditions(rule).any(|condition| mentions(condition, "principal", &SHARED_ATTRIBUTES))
}

/// Can this rule apply to this action?
pub(super) fn is_about(rule: &Value, action: &str) -> bool {
    let Some(scope) = rule.get("action") else {
        return true;
    };
    let named = |entity: &Value| entity.get("id").and_then(Value::as_str) == Some(action);
    scope.get("op").and_then(Value::as_str) == Some("All")
        || scope.get("entity").is_some_and(named)
        || scope
            .get("entities")
            .and_then(Value::as_array)
            .is_some_and(|all| all.iter().any(named))
}

/// The rule as a permit without whatever reads arguments: it applies wherever the rule could apply with some arguments.
pub(super) fn without_arguments(rule: &Value) -> Value {
    let kept: Vec<Value> = conditions(rule).flat_map(free_parts).collect();
    let mut out = rule.clone();
    if let Some(members) = out.as_object_mut() {
        members.insert("effect".into(), "permit".into());
        members.insert("conditions".into(), kept.into());
    }
    out
}

fn conditions(rule: &Value) -> impl Iterator<Item = &Value> {
    rule.get("conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// The parts of a `when` that must hold whatever the arguments are. An `unless` that reads arguments has none.
fn free_parts(condition: &Value) -> Vec<Value> {
    if !mentions(condition, "context", &["route"]) {
        return vec![condition.clone()];
    }
    let is_when = condition.get("kind").and_then(Value::as_str) == Some("when");
    let mut parts = Vec::new();
    if let Some(body) = condition.get("body").filter(|_| is_when) {
        conjuncts(body, &mut parts);
    }
    parts
        .into_iter()
        .filter(|part| !mentions(part, "context", &["route"]))
        .map(|part| serde_json::json!({"kind": "when", "body": part}))
        .collect()
}

fn conjuncts<'a>(expression: &'a Value, out: &mut Vec<&'a Value>) {
    match expression.get("&&") {
        Some(both) => {
            for side in [both.get("left"), both.get("right")].into_iter().flatten() {
                conjuncts(side, out);
            }
        }
        None => out.push(expression),
    }
}

/// Does the tree mention a variable other than by one of its harmless attributes?
fn mentions(tree: &Value, variable: &str, harmless: &[&str]) -> bool {
    match tree {
        Value::Object(members) => {
            if members.get("Var").and_then(Value::as_str) == Some(variable) {
                return true;
            }
            let step = members.get(".").or_else(|| members.get("has"));
            if let Some((attribute, left)) = step.and_then(attribute_of) {
                let is_variable = left.get("Var").and_then(Value::as_str) == Some(variable);
                if is_variable && harmless.contains(&attribute) {
                    return false;
                }
            }
            members
                .values()
                .any(|inner| mentions(inner, variable, harmless))
        }
        Value::Array(items) => items
            .iter()
            .any(|inner| mentions(inner, variable, harmless)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn attribute_of(step: &Value) -> Option<(&str, &Value)> {
    Some((step.get("attr")?.as_str()?, step.get("left")?))
}

#[cfg(test)]
mod tests {
    use cedar_policy::Policy;

    use super::*;

    fn tree(text: &str) -> Value {
        Policy::parse(None, text).unwrap().to_json().unwrap()
    }

    #[test]
    fn every_way_to_reach_the_arguments_is_seen() {
        for (condition, expected) in [
            ("context.arguments.a == 1", true),
            ("context.arguments has a", true),
            ("context has arguments", true),
            ("context[\"arguments\"] has a", true),
            ("context == {route: \"x\"}", true),
            ("[context].contains(context)", true),
            ("if context.arguments has a then true else false", true),
            ("context.route == \"x\"", false),
            ("context has route", false),
            ("resource.name == \"arguments\"", false),
            ("resource.name like \"context.arguments*\"", false),
        ] {
            let text = format!("permit(principal, action, resource) when {{ {condition} }};");
            assert_eq!(reads_arguments(&tree(&text)), expected, "{condition}");
        }
    }

    #[test]
    fn every_way_to_ask_who_is_calling_is_seen() {
        for (text, expected) in [
            ("permit(principal == User::\"a\", action, resource);", true),
            ("permit(principal in User::\"a\", action, resource);", true),
            (
                "permit(principal, action, resource) when { principal == User::\"a\" };",
                true,
            ),
            (
                "permit(principal, action, resource) when { principal.issuer == \"x\" };",
                true,
            ),
            (
                "permit(principal, action, resource) unless { principal is User };",
                true,
            ),
            ("permit(principal is User, action, resource);", false),
            (
                "permit(principal, action, resource) when { principal.tier == \"x\" };",
                false,
            ),
            (
                "permit(principal, action, resource) when { principal has team };",
                false,
            ),
        ] {
            assert_eq!(reads_identity(&tree(text)), expected, "{text}");
        }
    }

    #[test]
    fn without_arguments_keeps_what_must_hold_anyway() {
        let text = "forbid(principal, action, resource == Tool::\"a\") \
                    when { principal.tier == \"x\" && context.arguments has a && context.arguments.a == 1 } \
                    when { resource.read_only } unless { context.arguments has b };";
        let stripped = without_arguments(&tree(text));
        assert_eq!(stripped["effect"], "permit");
        assert_eq!(stripped["conditions"].as_array().unwrap().len(), 2);
        assert!(!reads_arguments(&stripped));
        assert_eq!(stripped["resource"], tree(text)["resource"]);
    }
}
