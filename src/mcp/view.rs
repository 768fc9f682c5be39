//! Looking into a document that passed [`check`](super::json::check). A [`Json`] is one value of it as the bytes that
//! were sent: numbers keep every digit, strings their spelling, and a part can be cut out or replaced without touching
//! the rest. It has no other constructor, so holding one means that the strict reading happened.

use std::borrow::Cow;
use std::ops::Range;

/// One value inside a checked document.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a> {
    document: &'a str,
    start: usize,
    end: usize,
}

/// The six kinds of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonKind {
    /// `{...}`
    Object,
    /// `[...]`
    Array,
    /// `"..."`
    String,
    /// A number, of any spelling.
    Number,
    /// `true` or `false`
    Boolean,
    /// `null`
    Null,
}

/// One member of an object.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// Its name, unescaped.
    pub name: Cow<'a, str>,
    /// Its value.
    pub value: Json<'a>,
    /// Where the name begins, at its quote.
    pub offset: usize,
}

impl<'a> Json<'a> {
    pub(super) const fn checked(document: &'a str, start: usize, end: usize) -> Self {
        Self {
            document,
            start,
            end,
        }
    }

    /// The value as it was sent, without surrounding white space.
    pub fn raw(self) -> &'a str {
        self.document.get(self.start..self.end).unwrap_or_default()
    }

    /// Where it stands in the document.
    pub const fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// What kind of value this is.
    pub fn kind(self) -> JsonKind {
        match self.raw().bytes().next() {
            Some(b'{') => JsonKind::Object,
            Some(b'[') => JsonKind::Array,
            Some(b'"') => JsonKind::String,
            Some(b't' | b'f') => JsonKind::Boolean,
            Some(b'n') => JsonKind::Null,
            _ => JsonKind::Number,
        }
    }

    /// Whether this is an object.
    pub fn is_object(self) -> bool {
        self.kind() == JsonKind::Object
    }

    /// Whether this is an array.
    pub fn is_array(self) -> bool {
        self.kind() == JsonKind::Array
    }

    /// Whether this is `null`.
    pub fn is_null(self) -> bool {
        self.kind() == JsonKind::Null
    }

    /// The text of a string, unescaped; borrowed when it has no escapes.
    pub fn text(self) -> Option<Cow<'a, str>> {
        let inner = self.raw().strip_prefix('"')?.strip_suffix('"')?;
        Some(unescape(inner))
    }

    /// The literal of a whole number, without fraction and exponent.
    pub fn integer(self) -> Option<&'a str> {
        let raw = self.raw();
        let digits = raw.strip_prefix('-').unwrap_or(raw);
        digits.bytes().all(|b| b.is_ascii_digit()).then_some(raw)
    }

    /// The members of an object in the order sent; none for any other value.
    pub fn members(self) -> Members<'a> {
        Members(Cursor::into_container(self, JsonKind::Object))
    }

    /// The elements of an array in the order sent; none for any other value.
    pub fn elements(self) -> Elements<'a> {
        Elements(Cursor::into_container(self, JsonKind::Array))
    }

    /// The member of that exact name.
    pub fn member(self, name: &str) -> Option<Self> {
        self.members().find(|m| m.name == name).map(|m| m.value)
    }
}

/// Iterator over the members of an object.
#[derive(Clone, Debug)]
pub struct Members<'a>(Cursor<'a>);

/// Iterator over the elements of an array.
#[derive(Clone, Debug)]
pub struct Elements<'a>(Cursor<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let name = self.0.value()?;
        let value = self.0.value()?;
        Some(Member {
            name: name.text()?,
            value,
            offset: name.start,
        })
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Json<'a>;

    fn next(&mut self) -> Option<Json<'a>> {
        self.0.value()
    }
}

/// Walks over the values directly inside one container, relying on the document being well formed.
#[derive(Clone, Debug)]
struct Cursor<'a> {
    document: &'a str,
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    fn into_container(container: Json<'a>, kind: JsonKind) -> Self {
        let inside = container.kind() == kind;
        Self {
            document: container.document,
            at: container.start + usize::from(inside),
            end: if inside {
                container.end.saturating_sub(1)
            } else {
                container.start
            },
        }
    }

    fn value(&mut self) -> Option<Json<'a>> {
        let inside = self.document.as_bytes().get(self.at..self.end)?;
        let lead = inside.iter().position(|b| !is_between(*b))?;
        let start = self.at + lead;
        self.at = start + length(inside.get(lead..)?);
        Some(Json::checked(self.document, start, self.at))
    }
}

/// White space and the marks that separate values.
const fn is_between(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':')
}

/// The length of the value at the start of `text`.
fn length(text: &[u8]) -> usize {
    match text.first() {
        Some(b'"') => string_length(text),
        Some(b'{' | b'[') => container_length(text),
        _ => text
            .iter()
            .position(|b| is_between(*b) || matches!(b, b'}' | b']'))
            .unwrap_or(text.len()),
    }
}

fn string_length(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(step) = text
        .get(at..)
        .and_then(|rest| rest.iter().position(|b| matches!(b, b'"' | b'\\')))
    {
        at += step;
        match text.get(at) {
            Some(b'"') => return at + 1,
            _ => at += 2,
        }
    }
    text.len()
}

fn container_length(text: &[u8]) -> usize {
    let (mut at, mut depth) = (0_usize, 0_usize);
    while let Some(rest) = text.get(at..)
        && let Some(step) = rest.iter().position(|b| is_mark(*b))
    {
        at += step;
        match text.get(at) {
            Some(b'"') => at += string_length(rest.get(step..).unwrap_or_default()),
            Some(b'{' | b'[') => (at, depth) = (at + 1, depth + 1),
            _ => (at, depth) = (at + 1, depth.saturating_sub(1)),
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// What says where a container ends.
const fn is_mark(byte: u8) -> bool {
    matches!(byte, b'"' | b'{' | b'}' | b'[' | b']')
}

/// The meaning of what stands between the quotes of a checked string.
pub(super) fn unescape(inner: &str) -> Cow<'_, str> {
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => escaped(&mut chars),
            plain => plain,
        });
    }
    Cow::Owned(out)
}

fn escaped(chars: &mut std::str::Chars<'_>) -> char {
    match chars.next() {
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('u') => {
            let mut code = unit(chars);
            if (0xd800..0xdc00).contains(&code) {
                chars.by_ref().take(2).for_each(drop);
                let low = unit(chars);
                code = 0x10000 + ((code - 0xd800) << 10) + low.saturating_sub(0xdc00);
            }
            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        Some(same) => same,
        None => char::REPLACEMENT_CHARACTER,
    }
}

fn unit(chars: &mut std::str::Chars<'_>) -> u32 {
    chars
        .by_ref()
        .take(4)
        .fold(0, |code, c| code * 16 + c.to_digit(16).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use crate::mcp::json::{Rules, check};

    #[test]
    fn members_and_elements_keep_their_bytes() {
        let text =
            br#" { "a" : [1, 2.50 ,{"x":"]}\""},[]] ,"\u0062":"\ud83d\ude00\n","c":{},"d":null } "#;
        let json = check(text, Rules::REQUEST).unwrap();
        let seen: Vec<_> = json
            .members()
            .map(|m| (m.name.into_owned(), m.value.raw()))
            .collect();
        assert_eq!(
            seen,
            [
                ("a".into(), r#"[1, 2.50 ,{"x":"]}\""},[]]"#),
                ("b".into(), r#""\ud83d\ude00\n""#),
                ("c".into(), "{}"),
                ("d".into(), "null"),
            ]
        );
        let elements: Vec<_> = json
            .member("a")
            .unwrap()
            .elements()
            .map(super::Json::raw)
            .collect();
        assert_eq!(elements, ["1", "2.50", r#"{"x":"]}\""}"#, "[]"]);
        assert_eq!(json.member("b").unwrap().text().unwrap(), "\u{1f600}\n");
        assert!(json.member("zz").is_none());
        assert_eq!(json.member("c").unwrap().elements().count(), 0);
        assert_eq!(json.member("d").unwrap().members().count(), 0);
    }

    #[test]
    fn only_whole_numbers_are_integers() {
        for (text, yes) in [
            ("1", true),
            ("-7", true),
            ("9007199254740993", true),
            ("1.0", false),
            ("1e3", false),
            ("\"1\"", false),
            ("null", false),
        ] {
            let json = check(text.as_bytes(), Rules::REQUEST).unwrap();
            assert_eq!(json.integer().is_some(), yes, "{text}");
        }
    }
}
