//! What a line says about the arguments of a call (C41). Arguments are content: the trail keeps the ones that identify
//! things, and of free text only its length and a keyed hash, by which two calls with the same text can be recognised.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::record::prefix;
use crate::random;
use crate::secret::Secret;

/// Arguments beyond this number are only counted.
const MAX_ARGUMENTS: usize = 32;

/// An identifier longer than this is treated as free text.
const MAX_ID: usize = 128;

/// Names longer than this are cut: they come from downstream too.
const MAX_NAME: usize = 64;

/// How much of the arguments a line shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Identifiers only.
    #[default]
    Ids,
    /// Identifiers, and names and titles up to 128 bytes.
    Names,
    /// Nothing but how many there were.
    None,
}

/// Turns arguments into details.
#[derive(Debug)]
pub struct Summary {
    content: Content,
    key: Secret<Vec<u8>>,
}

impl Summary {
    /// With a key for the hashes; texts are guessable, so a bare hash would give them away.
    pub const fn new(content: Content, key: Secret<Vec<u8>>) -> Self {
        Self { content, key }
    }

    /// The details of a call with these arguments.
    pub fn of(&self, arguments: &Value) -> Map<String, Value> {
        let Value::Object(arguments) = arguments else {
            return Map::new();
        };
        let mut details = Map::new();
        if self.content != Content::None {
            for (name, value) in arguments.iter().take(MAX_ARGUMENTS) {
                let name = prefix(name, MAX_NAME);
                details.insert(name.to_owned(), self.value(name, value));
            }
        }
        if details.len() < arguments.len() {
            details.insert("argument_count".into(), arguments.len().into());
        }
        details
    }

    fn value(&self, name: &str, value: &Value) -> Value {
        match value {
            Value::Null | Value::Bool(_) => value.clone(),
            Value::Number(_) | Value::String(_) if self.is_shown(name, value) => value.clone(),
            Value::Array(items)
                if items.len() <= MAX_ARGUMENTS
                    && items.iter().all(|item| self.is_shown(name, item)) =>
            {
                value.clone()
            }
            Value::String(text) => json!({"length": text.len(), "hash": self.hash(text)}),
            Value::Number(_) => json!({"type": "number"}),
            Value::Array(items) => json!({"items": items.len()}),
            Value::Object(members) => json!({"members": members.len()}),
        }
    }

    fn is_shown(&self, name: &str, value: &Value) -> bool {
        let is_short = match value {
            Value::Number(_) => true,
            Value::String(text) => text.len() <= MAX_ID,
            _ => false,
        };
        let is_token = value.as_str().is_none_or(|text| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte))
        });
        is_short
            && ((names_an_id(name) && is_token)
                || (self.content == Content::Names && names_a_name(name)))
    }

    fn hash(&self, text: &str) -> Value {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.key.expose()) else {
            return Value::Null;
        };
        mac.update(text.as_bytes());
        let digest = mac.finalize().into_bytes();
        format!("h_{}", random::to_hex(digest.get(..8).unwrap_or_default())).into()
    }
}

/// `id`, `ids`, `list_id`, `taskId`, `team_ids`, and the few words that sort calls without saying what is in them.
fn names_an_id(name: &str) -> bool {
    const WORDS: [&str; 12] = [
        "id",
        "ids",
        "status",
        "priority",
        "page",
        "limit",
        "offset",
        "cursor",
        "order_by",
        "archived",
        "include_closed",
        "type",
    ];
    WORDS.contains(&name.to_ascii_lowercase().as_str())
        || ["_id", "_ids", "Id", "Ids", "-id", "ID"]
            .iter()
            .any(|end| name.ends_with(end))
}

fn names_a_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "title" || name.ends_with("name")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(content: Content) -> Summary {
        Summary::new(content, Secret::new(b"canary-not-a-real-key".to_vec()))
    }

    #[test]
    fn r185_c41_free_text_becomes_length_and_hash_and_ids_stay() {
        let details = summary(Content::Ids).of(&json!({
            "list_id": "90144360426", "taskIds": ["a1", "b2"], "page": 2, "archived": false,
            "task_name": "Review PR #123", "description": "canary text", "custom": {"a": 1},
            "note_id": "an id with blanks is a text", "points": 5
        }));
        let shown = Value::Object(details.clone()).to_string();
        for canary in ["Review", "canary", "blanks"] {
            assert!(!shown.contains(canary), "{canary}");
        }
        assert_eq!(details["list_id"], "90144360426");
        assert_eq!(details["taskIds"], json!(["a1", "b2"]));
        assert_eq!(details["description"]["length"], 11);
        assert_eq!(details["custom"], json!({"members": 1}));
        assert_eq!(details["points"], json!({"type": "number"}));
    }

    #[test]
    fn c41_the_hash_depends_on_the_key() {
        let one = summary(Content::Ids).of(&json!({"text": "same"}));
        let two = Summary::new(Content::Ids, Secret::new(b"another".to_vec()))
            .of(&json!({"text": "same"}));
        assert_eq!(one, summary(Content::Ids).of(&json!({"text": "same"})));
        assert_ne!(one["text"]["hash"], two["text"]["hash"]);
    }

    #[test]
    fn c41_the_setting_names_restores_names_and_none_shows_only_the_count() {
        let arguments = json!({"task_name": "Review PR #123", "list_id": "1"});
        assert_eq!(
            summary(Content::Names).of(&arguments)["task_name"],
            "Review PR #123"
        );
        assert_eq!(
            Value::Object(summary(Content::None).of(&arguments)),
            json!({"argument_count": 2})
        );
    }
}
