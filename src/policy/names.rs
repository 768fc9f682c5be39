//! The argument names that rules read. A caller who spells one of them in another case passes by the rule, and a server that
//! matches names without regard to case (encoding/json of Go does) takes it for the real one. So whoever imitates a name
//! that a rule reads is refused, as imitations of the protocol's own members are.

use std::collections::BTreeSet;

use serde_json::Value;

use super::arguments::ArgumentsError;
use super::shape::Shape;
use crate::mcp::fold::fold;

/// Names of arguments, at any depth.
#[derive(Debug, Default)]
pub(super) struct Names {
    exact: BTreeSet<String>,
    folded: BTreeSet<String>,
}

impl Names {
    /// One more rule reads these.
    pub(super) fn add(&mut self, arguments: &Shape) {
        match arguments {
            Shape::Record(members) => {
                for (name, inner) in members {
                    self.exact.insert(name.clone());
                    self.folded.insert(fold(name).into_owned());
                    self.add(inner);
                }
            }
            Shape::Set(inner) => self.add(inner),
            Shape::Any | Shape::Bool | Shape::Long | Shape::Text | Shape::Extension(_) => {}
        }
    }

    /// Refuses arguments of which a name at any depth only looks like one that a rule reads.
    pub(super) fn refuse_imitations(&self, raw: Option<&str>) -> Result<(), ArgumentsError> {
        let Some(raw) = raw.filter(|_| !self.exact.is_empty()) else {
            return Ok(());
        };
        let arguments: Value = serde_json::from_str(raw)
            .map_err(|error| ArgumentsError::Unreadable(error.to_string()))?;
        match self.imitation(&arguments) {
            Some(name) => Err(ArgumentsError::Imitation(name.to_owned())),
            None => Ok(()),
        }
    }

    fn imitation<'a>(&self, value: &'a Value) -> Option<&'a str> {
        match value {
            Value::Object(members) => members.iter().find_map(|(name, inner)| {
                let imitates =
                    !self.exact.contains(name) && self.folded.contains(fold(name).as_ref());
                imitates
                    .then_some(name.as_str())
                    .or_else(|| self.imitation(inner))
            }),
            Value::Array(elements) => elements.iter().find_map(|element| self.imitation(element)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
    }
}
