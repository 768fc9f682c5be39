//! The kinds of values that YAML has no word for: durations, sizes, and texts that may be secret.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::secret::Secret;
use crate::units::{ByteSize, parse_duration};

/// A duration such as `30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Span(pub(in crate::config) Duration);

impl Span {
    pub(in crate::config) const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        parse_duration(&text).map(Self).map_err(D::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_secs(), self.0.subsec_millis()) {
            (seconds, millis) if millis > 0 => {
                write!(f, "{}ms", seconds * 1000 + u64::from(millis))
            }
            (0, _) => f.write_str("0s"),
            (seconds, _) if seconds % 86_400 == 0 && seconds > 86_400 => {
                write!(f, "{}d", seconds / 86_400)
            }
            (seconds, _) if seconds % 3600 == 0 => write!(f, "{}h", seconds / 3600),
            (seconds, _) if seconds % 60 == 0 && seconds > 600 => write!(f, "{}m", seconds / 60),
            (seconds, _) => write!(f, "{seconds}s"),
        }
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer"], "x-kind": "duration"})
    }
}

/// A size such as `1MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Size(pub(in crate::config) ByteSize);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        ByteSize::parse(&text).map(Self).map_err(D::Error::custom)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0.to_string().replace(' ', ""))
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer"], "x-kind": "size"})
    }
}

/// Texts by name, where it matters which was written first.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Rows(pub(in crate::config) Vec<(String, String)>);

impl<'de> Deserialize<'de> for Rows {
    /// Whoever checks the shape hands over pairs, since a table keeps no order.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vec::deserialize(from).map(Self)
    }
}

impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, text)| (name, text)))
    }
}

impl JsonSchema for Rows {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Rows".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object", "additionalProperties": {"type": "string"}, "x-ordered": true
        })
    }
}

/// A text that is a secret.
#[derive(Clone, Debug)]
pub(in crate::config) struct Literal(pub(in crate::config) Secret<String>);

/// A text that may be a secret: the value of a header.
#[derive(Clone, Debug)]
pub(in crate::config) struct HeaderText(pub(in crate::config) Secret<String>);

macro_rules! secret_text {
    ($name:ident, $mark:literal) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from).map(Secret::new).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str("[REDACTED]")
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "x-secret": $mark})
            }
        }
    };
}

secret_text!(Literal, "always");
secret_text!(HeaderText, "maybe");
