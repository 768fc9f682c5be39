//! What a line says about the arguments of a call (C41). Arguments are content: the trail keeps the ones that identify
//! things, and of free text only its length and a keyed hash, by which two calls with the same text can be recognised.
//! The arguments are read as they came, member by member; no tree is built of them.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Deserializer;
use serde_json::value::RawValue;
use sha2::Sha256;

use crate::random;
use crate::redact::{self, REDACTED, Rules, Tally};
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
    pub fn of(&self, arguments: &str) -> Option<Box<RawValue>> {
        let mut sketch = Sketch {
            summary: self,
            out: Vec::with_capacity(256),
            members: 0,
            shown: 0,
            hid_a_name: false,
        };
        sketch.out.push(b'{');
        Deserializer::from_str(arguments)
            .deserialize_map(&mut sketch)
            .ok()?;
        RawValue::from_string(sketch.end()?).ok()
    }

    /// `h_` and 16 hex digits.
    fn hash(&self, text: &str) -> Option<String> {
        let mut mac = self.keyed.clone()?;
        mac.update(text.as_bytes());
        let digest = mac.finalize().into_bytes();
        Some(["h_", &random::to_hex(digest.get(..8)?)].concat())
    }

    fn is_shown(&self, name: &str, value: &Shape<'_>) -> bool {
        match value {
            Shape::Number => names_an_id(name) || self.shows_names(name),
            Shape::Text(text) if text.len() <= MAX_ID => {
                let is_token = |text: &str| {
                    text.bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte))
                };
                (names_an_id(name) && is_token(text)) || self.shows_names(name)
            }
            Shape::Text(_) | Shape::Word | Shape::Array | Shape::Object => false,
        }
    }

    fn shows_names(&self, name: &str) -> bool {
        self.content == Content::Names && names_a_name(name)
    }
}

/// One value, as far as it is looked into.
enum Shape<'a> {
    /// `null`, `true` or `false`.
    Word,
    Number,
    Text(Cow<'a, str>),
    Array,
    Object,
}

impl<'a> Shape<'a> {
    fn of(raw: &'a RawValue) -> Option<Self> {
        let text = raw.get();
        Some(match text.bytes().next()? {
            b'{' => Self::Object,
            b'[' => Self::Array,
            b'n' | b't' | b'f' => Self::Word,
            b'"' if text.contains('\\') => {
                Self::Text(serde_json::from_str::<String>(text).ok()?.into())
            }
            b'"' => Self::Text(text.get(1..text.len() - 1)?.into()),
            _ => Self::Number,
        })
    }
}

/// The name of a member, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

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
    fn member(&mut self, name: &str, raw: &RawValue) -> Option<()> {
        self.members += 1;
        if self.summary.content == Content::None
            || self.members > MAX_ARGUMENTS
            || name.len() > MAX_NAME
        {
            return Some(());
        }
        let kept = redact::text_by(Rules::Audit, name, &mut Tally::default());
        if kept != name && std::mem::replace(&mut self.hid_a_name, true) {
            return Some(());
        }
        if self.shown > 0 {
            self.out.push(b',');
        }
        self.shown += 1;
        self.text(&kept)?;
        self.out.push(b':');
        if redact::is_secret_word(name) {
            return self.text(REDACTED);
        }
        self.value(name, raw)
    }

    fn value(&mut self, name: &str, raw: &RawValue) -> Option<()> {
        let shape = Shape::of(raw)?;
        match &shape {
            Shape::Word => self.out.extend_from_slice(raw.get().as_bytes()),
            shape if self.summary.is_shown(name, shape) => self.shown(name, shape, raw)?,
            Shape::Number => self.out.extend_from_slice(br#"{"type":"number"}"#),
            Shape::Text(text) => {
                let hash = self.summary.hash(text)?;
                write!(self.out, r#"{{"length":{},"hash":"{hash}"}}"#, text.len()).ok()?;
            }
            Shape::Array => self.array(name, raw)?,
            Shape::Object => {
                let members = serde_json::from_str::<Counted>(raw.get()).ok()?.0;
                write!(self.out, r#"{{"members":{members}}}"#).ok()?;
            }
        }
        Some(())
    }

    fn shown(&mut self, name: &str, shape: &Shape<'_>, raw: &RawValue) -> Option<()> {
        match shape {
            Shape::Text(text) => {
                let kept = redact::field_by(Rules::Audit, name, text, &mut Tally::default());
                self.text(&kept)
            }
            _ => {
                self.out.extend_from_slice(raw.get().as_bytes());
                Some(())
            }
        }
    }

    /// A few identifiers are shown; of everything else the number.
    fn array(&mut self, name: &str, raw: &RawValue) -> Option<()> {
        let items: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
        let shapes = items.iter().map(|item| Shape::of(item));
        let shapes: Option<Vec<_>> = match items.len() <= MAX_ARGUMENTS {
            true => shapes.collect(),
            false => None,
        };
        let shapes =
            shapes.filter(|shapes| shapes.iter().all(|item| self.summary.is_shown(name, item)));
        let Some(shapes) = shapes else {
            return write!(self.out, r#"{{"items":{}}}"#, items.len()).ok();
        };
        self.out.push(b'[');
        for (index, (shape, raw)) in shapes.iter().zip(items).enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.shown(name, shape, raw)?;
        }
        self.out.push(b']');
        Some(())
    }

    fn text(&mut self, text: &str) -> Option<()> {
        serde_json::to_writer(&mut self.out, text).ok()
    }

    fn end(mut self) -> Option<String> {
        if self.shown < self.members {
            let comma = if self.shown > 0 { "," } else { "" };
            write!(self.out, r#"{comma}"argument_count":{}"#, self.members).ok()?;
        }
        self.out.push(b'}');
        String::from_utf8(self.out).ok()
    }
}

impl<'de> Visitor<'de> for &mut Sketch<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the arguments of a call")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<(), M::Error> {
        while let Some(Name(name)) = members.next_key()? {
            let raw: &RawValue = members.next_value()?;
            self.member(&name, raw)
                .ok_or_else(|| serde::de::Error::custom("unreadable"))?;
        }
        Ok(())
    }
}

/// How many members an object has.
struct Counted(usize);

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Counting;
        impl<'de> Visitor<'de> for Counting {
            type Value = usize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<usize, M::Error> {
                let mut count = 0;
                while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(count)
            }
        }
        from.deserialize_map(Counting).map(Self)
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
    use serde_json::{Value, json};

    use super::*;

    fn summary(content: Content) -> Summary {
        Summary::new(content, &Secret::new(b"canary-not-a-real-key".to_vec()))
    }

    fn details(content: Content, arguments: &Value) -> Value {
        let raw = summary(content).of(&arguments.to_string()).unwrap();
        serde_json::from_str(raw.get()).unwrap()
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
            let raw = Summary::new(Content::Ids, &Secret::new(key.to_vec()))
                .of(&text)
                .unwrap();
            serde_json::from_str::<Value>(raw.get()).unwrap()["text"]["hash"].clone()
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
        for text in ["[]", "1", "null", "\"a\"", "{", ""] {
            assert!(summary(Content::Ids).of(text).is_none(), "{text}");
        }
        assert_eq!(details(Content::Ids, &json!({})), json!({}));
    }
}
