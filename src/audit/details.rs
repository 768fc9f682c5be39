//! What a line says about the arguments of a call (C41). Arguments are content: the trail keeps the ones that identify
//! things, and of free text only its length and a keyed hash, by which two calls with the same text can be recognised.
//! The arguments are read as they came, member by member; no tree is built of them.

use std::fmt;
use std::io::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::record::line::quoted;
use crate::mcp::{Json, JsonKind};
use crate::random;
use crate::redact::totals::counting;
use crate::redact::{self, REDACTED, Rules};
use crate::secret::Secret;

/// Arguments beyond this number are only counted.
const MAX_ARGUMENTS: usize = 32;

/// An identifier longer than this is treated as free text.
const MAX_ID: usize = 128;

/// Arguments with a longer name are only counted: names come from downstream too.
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
pub struct Summary {
    content: Content,
    /// Keyed once: each hash goes on from a copy of this state.
    keyed: Option<Hmac<Sha256>>,
}

impl fmt::Debug for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Summary")
            .field("content", &self.content)
            .finish_non_exhaustive()
    }
}

impl Summary {
    /// With a key for the hashes; texts are guessable, so a bare hash would give them away.
    pub fn new(content: Content, key: &Secret<Vec<u8>>) -> Self {
        Self {
            content,
            keyed: Hmac::new_from_slice(key.expose()).ok(),
        }
    }

    /// The details of a call with these arguments, as a JSON object without secrets; nothing if they are no object.
    pub fn of(&self, arguments: Json<'_>) -> Option<String> {
        if !arguments.is_object() {
            return None;
        }
        let mut sketch = Sketch {
            summary: self,
            out: Vec::with_capacity(256),
            members: 0,
            shown: 0,
            hid_a_name: false,
        };
        sketch.out.push(b'{');
        for member in arguments.members() {
            sketch.member(&member.name, member.value);
        }
        sketch.end()
    }

    /// `h_` and 16 hex digits.
    fn hash(&self, text: &str) -> String {
        let Some(mut mac) = self.keyed.clone() else {
            return String::new();
        };
        mac.update(text.as_bytes());
        let digest = mac.finalize().into_bytes();
        let (short, _) = digest.split_at(8);
        ["h_", &random::to_hex(short)].concat()
    }

    fn is_shown(&self, name: &str, value: Json<'_>) -> bool {
        match value.kind() {
            JsonKind::Number => names_an_id(name) || self.shows_names(name),
            JsonKind::String => value.text().is_some_and(|text| {
                let is_token = |text: &str| {
                    text.bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte))
                };
                text.len() <= MAX_ID
                    && ((names_an_id(name) && is_token(&text)) || self.shows_names(name))
            }),
            JsonKind::Null | JsonKind::Boolean | JsonKind::Array | JsonKind::Object => false,
        }
    }

    fn shows_names(&self, name: &str) -> bool {
        self.content == Content::Names && names_a_name(name)
    }
}

/// The details in the making.
struct Sketch<'s> {
    summary: &'s Summary,
    out: Vec<u8>,
    members: usize,
    shown: usize,
    /// A name that was itself a secret stands in the details; there is room for one.
    hid_a_name: bool,
}

impl Sketch<'_> {
    fn member(&mut self, name: &str, value: Json<'_>) {
        self.members += 1;
        let is_counted_only = self.summary.content == Content::None
            || self.members > MAX_ARGUMENTS
            || name.len() > MAX_NAME;
        if is_counted_only {
            return;
        }
        let kept = counting(|tally| redact::text_by(Rules::Audit, name, tally));
        if kept != name && std::mem::replace(&mut self.hid_a_name, true) {
            return;
        }
        if self.shown > 0 {
            self.out.push(b',');
        }
        self.shown += 1;
        quoted(&kept, &mut self.out);
        self.out.push(b':');
        if redact::is_secret_word(name) {
            quoted(REDACTED, &mut self.out);
        } else {
            self.value(name, value);
        }
    }

    fn value(&mut self, name: &str, value: Json<'_>) {
        match value.kind() {
            JsonKind::Null | JsonKind::Boolean => self.raw(value),
            _ if self.summary.is_shown(name, value) => self.shown(name, value),
            JsonKind::Number => self.out.extend_from_slice(br#"{"type":"number"}"#),
            JsonKind::String => {
                let text = value.text().unwrap_or_default();
                let hash = self.summary.hash(&text);
                // Writing to memory does not fail.
                let _ = write!(self.out, r#"{{"length":{},"hash":"{hash}"}}"#, text.len());
            }
            JsonKind::Array => self.array(name, value),
            JsonKind::Object => {
                let _ = write!(self.out, r#"{{"members":{}}}"#, value.members().count());
            }
        }
    }

    fn shown(&mut self, name: &str, value: Json<'_>) {
        match value.text() {
            Some(text) => {
                let kept = counting(|tally| redact::field_by(Rules::Audit, name, &text, tally));
                quoted(&kept, &mut self.out);
            }
            None => self.raw(value),
        }
    }

    fn raw(&mut self, value: Json<'_>) {
        self.out.extend_from_slice(value.raw().as_bytes());
    }

    /// A few identifiers are shown; of everything else the number.
    fn array(&mut self, name: &str, value: Json<'_>) {
        let count = value.elements().count();
        let is_shown = count <= MAX_ARGUMENTS
            && value
                .elements()
                .all(|item| self.summary.is_shown(name, item));
        if !is_shown {
            let _ = write!(self.out, r#"{{"items":{count}}}"#);
            return;
        }
        self.out.push(b'[');
        for (index, item) in value.elements().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.shown(name, item);
        }
        self.out.push(b']');
    }

    fn end(mut self) -> Option<String> {
        if self.shown < self.members {
            let comma = if self.shown > 0 { "," } else { "" };
            let _ = write!(self.out, r#"{comma}"argument_count":{}"#, self.members);
        }
        self.out.push(b'}');
        String::from_utf8(self.out).ok()
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
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(name))
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
    use serde_json::{Value, json};

    use super::*;
    use crate::mcp::{self, json::check};

    fn summary(content: Content) -> Summary {
        Summary::new(content, &Secret::new(b"canary-not-a-real-key".to_vec()))
    }

    fn said(summary: &Summary, text: &str) -> Option<Value> {
        let json = check(text.as_bytes(), mcp::Rules::REQUEST).unwrap();
        Some(serde_json::from_str(&summary.of(json)?).unwrap())
    }

    fn details(content: Content, arguments: &Value) -> Value {
        said(&summary(content), &arguments.to_string()).unwrap()
    }

    #[test]
    fn r185_c41_free_text_becomes_length_and_hash_and_ids_stay() {
        let details = details(
            Content::Ids,
            &json!({
                "list_id": "90144360426", "taskIds": ["a1", "b2"], "page": 2, "archived": false,
                "task_name": "Review PR #123", "description": "canary text", "custom": {"a": 1},
                "note_id": "an id with blanks is a text", "points": 5, "nothing": null,
                "mixed_ids": ["a1", "b 2"], "escaped": "tab\t"
            }),
        );
        let shown = details.to_string();
        for canary in ["Review", "canary", "blanks", "b 2", "tab"] {
            assert!(!shown.contains(canary), "{canary}");
        }
        assert_eq!(details["list_id"], "90144360426");
        assert_eq!(details["taskIds"], json!(["a1", "b2"]));
        assert_eq!(details["page"], 2);
        assert_eq!(details["archived"], false);
        assert_eq!(details["nothing"], Value::Null);
        assert_eq!(details["description"]["length"], 11);
        assert_eq!(details["escaped"]["length"], 4);
        assert_eq!(details["custom"], json!({"members": 1}));
        assert_eq!(details["mixed_ids"], json!({"items": 2}));
        assert_eq!(details["points"], json!({"type": "number"}));
        assert_eq!(details.get("argument_count"), None);
    }

    #[test]
    fn r222_r223_secrets_do_not_get_into_the_trail_as_identifiers_or_names() {
        let details = details(
            Content::Names,
            &json!({
                "password": "canary-1", "API_KEY": 12, "access_token": ["canary-2"],
                "id": "pk_1_CANARY3", "ids": ["ghp_CANARY4CANARY4CANARY4"], "name": "someone@canary.example",
                "pk_9_CANARY5": 1, "pk_9_CANARY6": 2
            }),
        );
        let shown = details.to_string();
        assert!(!shown.to_lowercase().contains("canary"), "{shown}");
        assert_eq!(details["password"], REDACTED);
        assert_eq!(details["API_KEY"], REDACTED);
        assert_eq!(details[REDACTED], json!({"type": "number"}));
        assert_eq!(
            details["argument_count"], 8,
            "one of the two secret names is only counted"
        );
    }

    #[test]
    fn c41_the_hash_depends_on_the_key() {
        let text = json!({"text": "same"}).to_string();
        let hash = |key: &[u8]| {
            let summary = Summary::new(Content::Ids, &Secret::new(key.to_vec()));
            said(&summary, &text).unwrap()["text"]["hash"].clone()
        };
        assert_eq!(hash(b"one"), hash(b"one"));
        assert_ne!(hash(b"one"), hash(b"two"));
    }

    #[test]
    fn c41_the_setting_names_restores_names_and_none_shows_only_the_count() {
        let arguments = json!({"task_name": "Review PR #123", "list_id": "1"});
        assert_eq!(
            details(Content::Names, &arguments)["task_name"],
            "Review PR #123"
        );
        assert_eq!(
            details(Content::None, &arguments),
            json!({"argument_count": 2})
        );
    }

    #[test]
    fn many_arguments_and_long_names_are_counted_and_no_object_gives_nothing() {
        let many: serde_json::Map<_, _> = (0..40).map(|n| (format!("a{n}_id"), n.into())).collect();
        let shown = details(Content::Ids, &Value::Object(many));
        assert_eq!(shown.as_object().unwrap().len(), MAX_ARGUMENTS + 1);
        assert_eq!(shown["argument_count"], 40);
        let long = details(Content::Ids, &json!({"x".repeat(65): 1}));
        assert_eq!(long, json!({"argument_count": 1}));
        for text in ["[]", "1", "null", "\"a\""] {
            assert!(said(&summary(Content::Ids), text).is_none(), "{text}");
        }
        assert_eq!(details(Content::Ids, &json!({})), json!({}));
    }
}
