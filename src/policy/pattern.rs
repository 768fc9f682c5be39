//! Names of tools as operators write them in lists: exact, or with `*` for any run of characters. The same pattern is
//! asked in two places, here and inside the policy engine, and must mean the same in both.

use serde_json::{Value, json};

/// An exact name, or one with `*` in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamePattern(Box<str>);

impl NamePattern {
    /// Reads a pattern. Every text is one; only `*` is special.
    pub fn parse(text: &str) -> Self {
        Self(text.into())
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Does it name this?
    pub fn matches(&self, name: &str) -> bool {
        let Some((first, others)) = self.0.split_once('*') else {
            return *self.0 == *name;
        };
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let (middle, last) = others.rsplit_once('*').unwrap_or(("", others));
        for part in middle.split('*') {
            match rest.split_once(part) {
                Some((_, after)) if !part.is_empty() => rest = after,
                Some(_) => {}
                None => return false,
            }
        }
        rest.ends_with(last)
    }

    /// The same question as a Cedar expression about the `name` of the resource. Built as a tree and not as text, so no
    /// name can break out of it.
    pub(super) fn condition(&self) -> Value {
        let name = json!({".": {"left": {"Var": "resource"}, "attr": "name"}});
        if self.0.contains('*') {
            json!({"like": {"left": name, "pattern": self.elements()}})
        } else {
            json!({"==": {"left": name, "right": {"Value": &*self.0}}})
        }
    }

    fn elements(&self) -> Vec<Value> {
        let mut elements = Vec::new();
        for (index, literal) in self.0.split('*').enumerate() {
            if index > 0 {
                elements.push(json!("Wildcard"));
            }
            if !literal.is_empty() {
                elements.push(json!({"Literal": literal}));
            }
        }
        elements
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::{Context, Entities, EvalResult, Expression, Request};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stands_for_any_run_and_nothing_else_is_special() {
        for (pattern, name, expected) in [
            ("get_task", "get_task", true),
            ("get_task", "get_tasks", false),
            ("get_task", "Get_task", false),
            ("get_*", "get_", true),
            ("get_*", "get_task", true),
            ("get_*", "forget_task", false),
            ("*_task", "get_task", true),
            ("*_task", "get_tasks", false),
            ("*a*b*", "xaxbx", true),
            ("*a*b*", "xbxax", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("g?t", "get", false),
            ("g.t", "get", false),
            ("**", "anything", true),
            ("a*b*c", "abcbc", true),
            ("a*bc*c", "abc", false),
        ] {
            assert_eq!(
                NamePattern::parse(pattern).matches(name),
                expected,
                "{pattern} {name}"
            );
        }
    }

    /// What Cedar itself says about the same pattern and name.
    fn cedar_says(pattern: &str, name: &str) -> bool {
        let text: String = pattern
            .chars()
            .map(|c| match c {
                '*' => "*".to_owned(),
                other => other.escape_default().to_string(),
            })
            .collect();
        let quoted: String = name.chars().flat_map(char::escape_default).collect();
        let expression: Expression = format!("\"{quoted}\" like \"{text}\"").parse().unwrap();
        let uid: cedar_policy::EntityUid = "User::\"x\"".parse().unwrap();
        let request = Request::new(uid.clone(), uid.clone(), uid, Context::empty(), None).unwrap();
        cedar_policy::eval_expression(&request, &Entities::empty(), &expression).unwrap()
            == EvalResult::Bool(true)
    }

    proptest! {
        #[test]
        fn a_pattern_means_the_same_here_and_in_the_engine(pattern in "[ab*]{0,6}", name in "[ab]{0,8}") {
            prop_assert_eq!(NamePattern::parse(&pattern).matches(&name), cedar_says(&pattern, &name));
        }
    }
}
