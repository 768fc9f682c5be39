//! The environment, handed in once as a map: what `${NAME}` in the file refers to, and the variables that override it.
//! Nothing deeper in the program reads the process's environment.

use std::collections::BTreeMap;
use std::fmt;

/// Environment variables by name. The values may be secrets, so they are never formatted.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The same with one variable more, or other.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut variables = self.0.clone();
        variables.insert(name.into(), value.into());
        Self(variables)
    }

    /// The variables of this process; one that is not UTF-8 counts as absent.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of a variable.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Every variable, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why a `${...}` cannot be replaced (R589, R590).
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::config) enum ExpandError {
    #[error("the environment variable `{0}` is not set")]
    Unset(String),
    #[error("the environment variable `{0}` is empty")]
    Empty(String),
    #[error(
        "`${{{0}}}` is not a variable name; only ${{NAME}} is read, without defaults or nesting"
    )]
    BadName(String),
    #[error("`${{` has no closing `}}`; write `$${{` for the characters themselves")]
    Open,
}

/// A text with its references replaced, once: what a variable holds is not read again.
pub(in crate::config) struct Expanded<'t> {
    pub(in crate::config) text: String,
    /// The variables that it referred to.
    pub(in crate::config) names: Vec<&'t str>,
}

/// Replaces every `${NAME}`; `$${` stands for `${` itself.
pub(in crate::config) fn expand<'t>(
    text: &'t str,
    env: &Environment,
) -> Result<Expanded<'t>, ExpandError> {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut names) = (text, Vec::new());
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(escaped) = before.strip_suffix('$') {
            out.push_str(escaped);
            out.push_str("${");
            rest = after;
            continue;
        }
        let (name, behind) = after.split_once('}').ok_or(ExpandError::Open)?;
        out.push_str(before);
        out.push_str(variable(name, env)?);
        names.push(name);
        rest = behind;
    }
    out.push_str(rest);
    Ok(Expanded { text: out, names })
}

fn variable<'e>(name: &str, env: &'e Environment) -> Result<&'e str, ExpandError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(ExpandError::BadName(name.into()));
    }
    match env.value(name) {
        None => Err(ExpandError::Unset(name.into())),
        Some("") => Err(ExpandError::Empty(name.into())),
        Some(value) => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Environment {
        [("A", "one"), ("B_2", "${A}"), ("EMPTY", "")]
            .into_iter()
            .collect()
    }

    #[test]
    fn r589_r590_unset_empty_nested_and_open_references_are_refused_by_name() {
        for (text, error) in [
            ("${NOPE}", ExpandError::Unset("NOPE".into())),
            ("x${EMPTY}", ExpandError::Empty("EMPTY".into())),
            ("${A${B_2}}", ExpandError::BadName("A${B_2".into())),
            ("${A:-x}", ExpandError::BadName("A:-x".into())),
            ("${}", ExpandError::BadName(String::new())),
            ("${1A}", ExpandError::BadName("1A".into())),
            ("Bearer ${A", ExpandError::Open),
        ] {
            assert_eq!(expand(text, &env()).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn r588_r589_references_are_replaced_inside_a_text_once() {
        for (text, read, names) in [
            ("Bearer ${A}", "Bearer one", vec!["A"]),
            ("${A}-${A}", "one-one", vec!["A", "A"]),
            ("${B_2}", "${A}", vec!["B_2"]),
            ("$${A}", "${A}", vec![]),
            ("cost $5, 100%", "cost $5, 100%", vec![]),
        ] {
            let expanded = expand(text, &env()).unwrap();
            assert_eq!((expanded.text.as_str(), expanded.names), (read, names));
        }
    }

    #[test]
    fn r086_an_environment_shows_names_and_no_values() {
        assert_eq!(format!("{:?}", env()), r#"{"A", "B_2", "EMPTY"}"#);
    }
}
