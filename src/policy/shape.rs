//! Reads off a rule which type it takes each argument of a call to have. Cedar's schemas have no open records, and the
//! arguments of tools that we have never seen have no schema of ours; so each rule is checked against the types that it
//! uses itself. That finds a misspelt attribute, a missing `has`, and one argument used as two types.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// The type that a rule gives to a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Shape {
    /// Nothing is known; written as a string.
    #[default]
    Any,
    Bool,
    Long,
    Text,
    Extension(&'static str),
    Set(Box<Self>),
    Record(BTreeMap<String, Self>),
}

/// One argument is used as two types.
#[derive(Debug, PartialEq)]
pub(super) struct Clash {
    pub(super) argument: String,
    pub(super) one: String,
    pub(super) other: String,
}

/// The shape of `context.arguments` as a rule's JSON tree uses it.
pub(super) fn of_arguments(rule: &Value) -> Result<Shape, Clash> {
    let mut root = Shape::Record(BTreeMap::new());
    for condition in rule
        .get("conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if let Some(body) = condition.get("body") {
            infer(body, Shape::Bool, &mut root)?;
        }
    }
    Ok(root)
}

/// The members of `context.arguments` that an expression names, or `None` if it is something else.
fn path_of(expression: &Value) -> Option<Vec<&str>> {
    let step = expression.get(".")?;
    let attribute = step.get("attr")?.as_str()?;
    let left = step.get("left")?;
    if attribute == "arguments" && left.get("Var").and_then(Value::as_str) == Some("context") {
        return Some(Vec::new());
    }
    let mut path = path_of(left)?;
    path.push(attribute);
    Some(path)
}

fn infer(expression: &Value, expected: Shape, root: &mut Shape) -> Result<(), Clash> {
    if let Some(path) = path_of(expression) {
        return root.learn(&path, &expected, "");
    }
    let Some((operator, operands)) = single(expression) else {
        return each(expression, &Shape::Any, root);
    };
    match operator {
        "Value" | "Var" => Ok(()),
        "&&" | "||" | "!" => each(operands, &Shape::Bool, root),
        "<" | "<=" | ">" | ">=" | "+" | "-" | "*" | "neg" => each(operands, &Shape::Long, root),
        "lessThan" | "lessThanOrEqual" | "greaterThan" | "greaterThanOrEqual" => {
            each(operands, &Shape::Extension("decimal"), root)
        }
        "like" => side(operands, "left", Shape::Text, root),
        "isEmpty" => side(operands, "arg", Shape::Set(Box::default()), root),
        "has" => has(operands, root),
        "==" | "!=" | "containsAll" | "containsAny" => {
            let (left, right) = (
                type_of(operands.get("left")),
                type_of(operands.get("right")),
            );
            side(operands, "left", right, root)?;
            side(operands, "right", left, root)
        }
        "contains" => {
            let element = match type_of(operands.get("left")) {
                Shape::Set(element) => *element,
                _ => Shape::Any,
            };
            let set = Shape::Set(Box::new(type_of(operands.get("right"))));
            side(operands, "left", set, root)?;
            side(operands, "right", element, root)
        }
        "if-then-else" => {
            side(operands, "if", Shape::Bool, root)?;
            side(operands, "then", expected.clone(), root)?;
            side(operands, "else", expected, root)
        }
        "Set" => match expected {
            Shape::Set(element) => each(operands, &element, root),
            _ => each(operands, &Shape::Any, root),
        },
        _ => each(operands, &Shape::Any, root),
    }
}

fn single(expression: &Value) -> Option<(&str, &Value)> {
    let members = expression
        .as_object()
        .filter(|members| members.len() == 1)?;
    members
        .iter()
        .next()
        .map(|(key, value)| (key.as_str(), value))
}

fn each(operands: &Value, expected: &Shape, root: &mut Shape) -> Result<(), Clash> {
    match operands {
        Value::Object(members) => members
            .values()
            .try_for_each(|operand| infer(operand, expected.clone(), root)),
        Value::Array(items) => items
            .iter()
            .try_for_each(|operand| infer(operand, expected.clone(), root)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn side(operands: &Value, name: &str, expected: Shape, root: &mut Shape) -> Result<(), Clash> {
    operands
        .get(name)
        .map_or(Ok(()), |operand| infer(operand, expected, root))
}

fn has(operands: &Value, root: &mut Shape) -> Result<(), Clash> {
    let (Some(left), Some(attribute)) = (
        operands.get("left"),
        operands.get("attr").and_then(Value::as_str),
    ) else {
        return each(operands, &Shape::Any, root);
    };
    match path_of(left) {
        Some(mut path) => {
            path.push(attribute);
            root.learn(&path, &Shape::Any, "")
        }
        None => infer(left, Shape::Any, root),
    }
}

/// The type of an expression that is no argument, as far as it shows.
fn type_of(expression: Option<&Value>) -> Shape {
    let Some((operator, operands)) = expression.and_then(single) else {
        return Shape::Any;
    };
    match operator {
        "Value" => match operands {
            Value::Bool(_) => Shape::Bool,
            Value::Number(_) => Shape::Long,
            Value::String(_) => Shape::Text,
            Value::Array(items) => Shape::Set(Box::new(match items.first() {
                Some(Value::Number(_)) => Shape::Long,
                Some(Value::Bool(_)) => Shape::Bool,
                Some(Value::String(_)) => Shape::Text,
                _ => Shape::Any,
            })),
            Value::Null | Value::Object(_) => Shape::Any,
        },
        "Set" => Shape::Set(Box::new(type_of(
            operands.as_array().and_then(|items| items.first()),
        ))),
        "+" | "-" | "*" | "neg" => Shape::Long,
        "decimal" => Shape::Extension("decimal"),
        "." => match operands.get("attr").and_then(Value::as_str) {
            _ if expression.and_then(path_of).is_some() => Shape::Any,
            Some("scopes" | "roles") => Shape::Set(Box::new(Shape::Text)),
            Some("read_only") => Shape::Bool,
            Some(_) => Shape::Text,
            None => Shape::Any,
        },
        _ => Shape::Any,
    }
}

impl Shape {
    /// Notes that the member at `path` is used as `shape`.
    fn learn(&mut self, path: &[&str], shape: &Self, at: &str) -> Result<(), Clash> {
        let Some((first, rest)) = path.split_first() else {
            return self.unify(shape, at);
        };
        if *self == Self::Any {
            *self = Self::Record(BTreeMap::new());
        }
        match self {
            Self::Record(members) => {
                let at = if at.is_empty() {
                    (*first).to_owned()
                } else {
                    format!("{at}.{first}")
                };
                members
                    .entry((*first).to_owned())
                    .or_default()
                    .learn(rest, shape, &at)
            }
            other => Err(Clash {
                argument: at.to_owned(),
                one: other.to_string(),
                other: "a record".to_owned(),
            }),
        }
    }

    fn unify(&mut self, shape: &Self, at: &str) -> Result<(), Clash> {
        match (&mut *self, shape) {
            (_, Self::Any) => Ok(()),
            (Self::Any, known) => {
                *self = known.clone();
                Ok(())
            }
            (Self::Set(mine), Self::Set(theirs)) => mine.unify(theirs, at),
            (mine, theirs) if mine == theirs => Ok(()),
            (mine, theirs) => Err(Clash {
                argument: at.to_owned(),
                one: mine.to_string(),
                other: theirs.to_string(),
            }),
        }
    }
}

/// As Cedar's schema language writes the type. Every member is optional: a call may leave out any argument.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any | Self::Text => f.write_str("String"),
            Self::Bool => f.write_str("Bool"),
            Self::Long => f.write_str("Long"),
            Self::Extension(name) => f.write_str(name),
            Self::Set(element) => write!(f, "Set<{element}>"),
            Self::Record(members) => {
                f.write_str("{")?;
                for (name, shape) in members {
                    write!(f, "\"{}\"?: {shape}, ", name.escape_default())?;
                }
                f.write_str("}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::Policy;

    use super::*;

    fn shape(condition: &str) -> Result<String, Clash> {
        let text = format!("permit(principal, action, resource) when {{ {condition} }};");
        let tree = Policy::parse(None, text).unwrap().to_json().unwrap();
        of_arguments(&tree).map(|shape| shape.to_string())
    }

    #[test]
    fn one_argument_used_as_two_types_is_a_clash() {
        for condition in [
            "context.arguments.a == 1 && context.arguments.a like \"x*\"",
            "context.arguments.a.b == 1 && context.arguments.a == \"x\"",
            "context.arguments.a.contains(1) && context.arguments.a.contains(\"x\")",
        ] {
            assert!(shape(condition).is_err(), "{condition}");
        }
    }

    #[test]
    fn types_are_read_off_their_use() {
        for (condition, expected) in [
            ("context.arguments.a == 1", "{\"a\"?: Long, }"),
            ("1 < context.arguments.a + 2", "{\"a\"?: Long, }"),
            ("context.arguments.a", "{\"a\"?: Bool, }"),
            ("context.arguments has a", "{\"a\"?: String, }"),
            (
                "context.arguments.a.b like \"x*\"",
                "{\"a\"?: {\"b\"?: String, }, }",
            ),
            ("[1, 2].contains(context.arguments.a)", "{\"a\"?: Long, }"),
            (
                "context.arguments.a.contains(principal.tier)",
                "{\"a\"?: Set<String>, }",
            ),
            (
                "context.arguments.a.containsAny([1])",
                "{\"a\"?: Set<Long>, }",
            ),
            (
                "principal.scopes.containsAll(context.arguments.a)",
                "{\"a\"?: Set<String>, }",
            ),
            (
                "context.arguments.a.lessThan(decimal(\"1.5\"))",
                "{\"a\"?: decimal, }",
            ),
            (
                "context.arguments[\"a b\"] == \"x\"",
                "{\"a b\"?: String, }",
            ),
            (
                "context.arguments has a.b && context.arguments.a.b == 1",
                "{\"a\"?: {\"b\"?: Long, }, }",
            ),
        ] {
            assert_eq!(shape(condition).as_deref(), Ok(expected), "{condition}");
        }
    }
}
