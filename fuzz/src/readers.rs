//! Readers of JSON as other programs have them. Members keep the text of their values, so that nothing is compared after a
//! number or an escape was rewritten.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The members of an object, in order, with all repetitions.
#[derive(Debug)]
pub struct Members<'a>(pub Vec<(String, &'a str)>);

impl<'a> Members<'a> {
    /// The members of a text that is an object.
    pub fn of(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// What a reader sees that keeps the first member of a name.
    pub fn first(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }

    /// What a reader sees that keeps the last one.
    pub fn last(&self, name: &str) -> Option<&'a str> {
        self.0.iter().rfind(|(n, _)| n == name).map(|(_, v)| *v)
    }

    /// What Go's encoding/json sees: the last member whose name folds to this one.
    pub fn folded(&self, name: &str) -> Option<&'a str> {
        let alike = |n: &str| fold(n) == fold(name);
        self.0.iter().rfind(|(n, _)| alike(n)).map(|(_, v)| *v)
    }

    /// What a reader written in C sees, for whom a name ends at its first NUL.
    pub fn cut(&self, name: &str) -> Option<&'a str> {
        let alike = |n: &str| n.split('\0').next() == Some(name);
        self.0.iter().rfind(|(n, _)| alike(n)).map(|(_, v)| *v)
    }

    /// The member on which all readers agree.
    ///
    /// # Panics
    /// When they do not: that is the finding.
    pub fn agreed(&self, name: &str) -> Option<&'a str> {
        let seen = self.last(name);
        assert_eq!(self.first(name), seen, "first and last `{name}` differ");
        assert_eq!(self.folded(name), seen, "`{name}` is imitated by case");
        assert_eq!(self.cut(name), seen, "`{name}` is imitated by NUL");
        seen
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    members.push((name, value.get()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// The elements of a text that is an array.
pub fn elements(text: &str) -> Option<Vec<&str>> {
    let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(elements.into_iter().map(RawValue::get).collect())
}

/// The meaning of a text that is a JSON string.
pub fn string(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

/// Simple case folding as Go's `strings.EqualFold` has it, in the part of Unicode where it reaches ASCII letters.
pub fn fold(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            other => other.to_ascii_lowercase(),
        })
        .collect()
}

/// Whether no object at any depth has a name twice, folded or not.
pub fn has_repetition(text: &str) -> bool {
    if let Some(Members(members)) = Members::of(text) {
        let mut names: Vec<String> = members.iter().map(|(name, _)| fold(name)).collect();
        names.sort_unstable();
        return names.windows(2).any(|pair| pair[0] == pair[1])
            || members.iter().any(|(_, value)| has_repetition(value));
    }
    elements(text).is_some_and(|all| all.into_iter().any(has_repetition))
}

/// The document as serde_json reads it.
pub fn value(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}

/// A server-sent event as a browser dispatches it (HTML section 9.2.6), with its own fields only.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dispatched {
    pub data: Vec<u8>,
    pub id: Option<Vec<u8>>,
    pub event: Option<Vec<u8>>,
    pub retry: Option<u64>,
}

/// All events with data of a whole stream, by the letter of the specification.
pub fn events(stream: &[u8]) -> Vec<Dispatched> {
    let mut stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let mut events = Vec::new();
    let mut current = Dispatched::default();
    let mut data: Option<Vec<u8>> = None;
    while let Some(end) = stream.iter().position(|b| matches!(b, b'\r' | b'\n')) {
        let line = &stream[..end];
        let width = if stream[end..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        stream = &stream[end + width..];
        if line.is_empty() {
            if let Some(mut data) = data.take() {
                data.pop();
                events.push(Dispatched { data, ..current });
            }
            current = Dispatched::default();
            continue;
        }
        let colon = line.iter().position(|b| *b == b':');
        let (name, value) = match colon {
            Some(0) => continue,
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                let data = data.get_or_insert_default();
                data.extend_from_slice(value);
                data.push(b'\n');
            }
            b"event" => current.event = Some(value.to_vec()),
            b"id" if !value.contains(&0) => current.id = Some(value.to_vec()),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let number = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
                current.retry = number.or(current.retry);
            }
            _ => {}
        }
    }
    events
}
