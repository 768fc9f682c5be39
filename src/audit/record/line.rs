//! One line as text. The fields stand in one fixed order, so the line is written as it goes and no tree is made of it; what
//! this has to know about JSON is how a string is quoted.

use std::io::Write as _;
use std::net::IpAddr;

use serde_json::Value;

/// A JSON object in the making, at the end of a buffer.
pub(super) struct Line<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
}

impl<'o> Line<'o> {
    /// Begins an object.
    pub(super) fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self {
            out,
            is_first: true,
        }
    }

    /// The next member's name, one of our own words.
    fn name(&mut self, name: &'static str) -> &mut Vec<u8> {
        let mark: &[u8] = match std::mem::replace(&mut self.is_first, false) {
            true => b"\"",
            false => b",\"",
        };
        self.out.extend_from_slice(mark);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// A text.
    pub(super) fn text(&mut self, name: &'static str, text: &str) -> &mut Self {
        quoted(text, self.name(name));
        self
    }

    /// A text, or `null`.
    pub(super) fn maybe(&mut self, name: &'static str, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(name, text),
            None => self.raw(name, b"null"),
        }
    }

    /// A whole number.
    pub(super) fn number(&mut self, name: &'static str, number: u64) -> &mut Self {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(number).as_bytes();
        self.raw(name, digits)
    }

    /// An address, or `null`.
    pub(super) fn address(&mut self, name: &'static str, address: Option<IpAddr>) -> &mut Self {
        match address {
            Some(address) => {
                // Writing to memory does not fail.
                let _ = write!(self.name(name), "\"{address}\"");
                self
            }
            None => self.raw(name, b"null"),
        }
    }

    /// What is JSON already.
    pub(super) fn raw(&mut self, name: &'static str, json: &[u8]) -> &mut Self {
        self.name(name).extend_from_slice(json);
        self
    }

    /// A value of any kind, under a name of any kind.
    pub(super) fn value(&mut self, name: &str, value: &Value) -> &mut Self {
        if !std::mem::replace(&mut self.is_first, false) {
            self.out.push(b',');
        }
        quoted(name, self.out);
        self.out.push(b':');
        // Writing to memory fails only if a map has keys that are no text, and these have.
        if serde_json::to_writer(&mut *self.out, value).is_err() {
            self.out.extend_from_slice(b"null");
        }
        self
    }

    /// An object inside this one.
    pub(super) fn object(
        &mut self,
        name: &'static str,
        fill: impl FnOnce(&mut Line<'_>),
    ) -> &mut Self {
        let mut inner = Line::open(self.name(name));
        fill(&mut inner);
        inner.close();
        self
    }

    /// Ends the object.
    pub(super) fn close(self) {
        self.out.push(b'}');
    }
}

/// A JSON string (RFC 8259 section 7). Nearly every text of a line can stand as it is; the others are left to the library.
pub(in crate::audit) fn quoted(text: &str, out: &mut Vec<u8>) {
    let is_plain = text.bytes().fold(true, |plain, byte| {
        plain & (byte >= 0x20) & (byte != b'"') & (byte != b'\\')
    });
    if is_plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else if serde_json::to_writer(&mut *out, text).is_err() {
        out.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn r205_every_text_is_one_string_that_reads_back(text in "(\\PC|[\\x00-\\x1f\"\\\\\u{2028}]){0,40}") {
            let mut out = Vec::new();
            quoted(&text, &mut out);
            prop_assert!(!out.contains(&b'\n') && !out.contains(&b'\r'));
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text.clone());
            prop_assert_eq!(out, serde_json::to_vec(&text).unwrap());
        }
    }

    #[test]
    fn an_object_is_what_the_library_would_write() {
        let mut out = b"before".to_vec();
        let mut line = Line::open(&mut out);
        line.text("a", "1\n")
            .maybe("b", None)
            .maybe("c", Some("x"))
            .number("d", 7)
            .address("e", Some("2001:db8::1".parse().unwrap()))
            .address("f", None)
            .raw("g", b"[1]")
            .value("h", &serde_json::json!({"k": null}))
            .object("i", |inner| {
                inner.number("j", 1);
            })
            .object("k", |_| {});
        line.close();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            r#"before{"a":"1\n","b":null,"c":"x","d":7,"e":"2001:db8::1","f":null,"g":[1],"h":{"k":null},"i":{"j":1},"k":{}}"#
        );
    }
}
