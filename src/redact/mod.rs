//! What must not be read later is taken out before it is written.
//!
//! - **Protects** people and credentials from the places where text is kept: log lines, audit lines, error texts.
//! - **Assumes** nothing about the text; it may be hostile, and every pass over it takes linear time.
//! - **Hands on** the same text or JSON value with secrets, personal data and binary blobs replaced.
//! - **Refuses** nothing: what it cannot judge because it is too deep or too large is replaced as a whole.
//!
//! Two questions are asked: does the *name* of a field say that its value is secret ([`is_sensitive`]), and does the
//! *value* look like one (`patterns`). Masked identifiers are a third matter: operational logs mask them, the audit
//! trail keeps them ([`Rules::Audit`], C57).

mod cards;
mod keys;
mod pairs;
mod patterns;
mod plain;
pub mod totals;

use std::borrow::Cow;

use serde_json::{Map, Value};

pub use keys::{is_secret_word, is_sensitive};

/// What stands in the place of a secret (R225).
pub const REDACTED: &str = "[REDACTED]";

/// Values nested deeper than this are replaced as a whole.
pub const MAX_DEPTH: usize = 32;

/// Texts longer than this are cut before they are judged, so that one field cannot occupy a log line's writer for long.
pub const MAX_TEXT: usize = 64 * 1024;

/// Arrays and objects are cut after this many entries.
pub const MAX_ENTRIES: usize = 1024;

/// How often the passes are repeated until nothing changes: a replacement can uncover a new boundary.
const MAX_PASSES: usize = 4;

/// Which rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Everything: secrets and personal data are removed, identifiers are masked.
    Logs,
    /// Secrets and personal data are removed, identifiers stay: the trail is useless without them.
    Audit,
}

/// What was found; the label of `redactions_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A field whose name says that it is secret.
    Named,
    /// A private key in PEM form.
    PrivateKey,
    /// A JSON Web Token.
    Jwt,
    /// The credentials of an `Authorization` header, or of a URL.
    Credentials,
    /// A token with a prefix that its issuer is known for, or one of great length.
    ApiKey,
    /// Thirty-two or more hexadecimal digits.
    Hex,
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// A payment card number.
    Card,
    /// A UUID, which is masked.
    Uuid,
    /// A blob of base64, or bytes that are no text.
    Binary,
    /// Something too deep or too large to be judged.
    Oversize,
}

impl Kind {
    /// Every kind, in the order of their counts in a [`Tally`].
    pub const ALL: [Self; 12] = [
        Self::Named,
        Self::PrivateKey,
        Self::Jwt,
        Self::Credentials,
        Self::ApiKey,
        Self::Hex,
        Self::Email,
        Self::Phone,
        Self::Card,
        Self::Uuid,
        Self::Binary,
        Self::Oversize,
    ];

    /// The word used as a metric label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::PrivateKey => "private_key",
            Self::Jwt => "jwt",
            Self::Credentials => "credentials",
            Self::ApiKey => "api_key",
            Self::Hex => "hex",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Card => "card",
            Self::Uuid => "uuid",
            Self::Binary => "binary",
            Self::Oversize => "oversize",
        }
    }
}

/// How many redactions of each kind were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([u32; Kind::ALL.len()]);

impl Tally {
    pub(in crate::redact) fn add(&mut self, kind: Kind) {
        if let Some(count) = self.0.get_mut(kind as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// The kinds that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u32)> {
        Kind::ALL
            .into_iter()
            .zip(self.0)
            .filter(|(_, count)| *count > 0)
    }
}

/// A text for a log line.
pub fn text(text: &str) -> Cow<'_, str> {
    totals::counting(|tally| text_by(Rules::Logs, text, tally))
}

/// A JSON value for a log line.
pub fn json(value: &Value) -> Value {
    totals::counting(|tally| json_by(Rules::Logs, value, tally))
}

/// The value of one named field, for a log line.
pub fn field<'t>(name: &str, value: &'t str) -> Cow<'t, str> {
    totals::counting(|tally| field_by(Rules::Logs, name, value, tally))
}

/// Bytes of unknown content: their text if they are text, else their number (R510).
pub fn bytes(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => self::text(text),
        Err(_) => Cow::Owned(format!("[BINARY {} bytes]", bytes.len())),
    }
}

/// [`text`] under the given rules, counting what was found.
pub fn text_by<'t>(rules: Rules, text: &'t str, tally: &mut Tally) -> Cow<'t, str> {
    if plain::is_plain(text) {
        return Cow::Borrowed(text);
    }
    slowly(rules, text, tally)
}

/// The same for any text.
fn slowly<'t>(rules: Rules, text: &'t str, tally: &mut Tally) -> Cow<'t, str> {
    let (kept, cut) = within(text, MAX_TEXT);
    let mut current = Cow::Borrowed(kept);
    for _ in 0..MAX_PASSES {
        match pass(rules, &current, tally) {
            Some(changed) => current = Cow::Owned(changed),
            None => break,
        }
    }
    if cut > 0 {
        tally.add(Kind::Oversize);
        current.to_mut().push_str(&format!("…[{cut} bytes cut]"));
    }
    current
}

/// [`json`] under the given rules, counting what was found.
pub fn json_by(rules: Rules, value: &Value, tally: &mut Tally) -> Value {
    nested(rules, value, MAX_DEPTH, tally)
}

/// [`field`] under the given rules, counting what was found.
pub fn field_by<'t>(rules: Rules, name: &str, value: &'t str, tally: &mut Tally) -> Cow<'t, str> {
    if is_sensitive(name) {
        tally.add(Kind::Named);
        return Cow::Borrowed(REDACTED);
    }
    let rules = if keys::names_an_id(name) {
        Rules::Audit
    } else {
        rules
    };
    text_by(rules, value, tally)
}

fn pass(rules: Rules, text: &str, tally: &mut Tally) -> Option<String> {
    let named = pairs::redact(text, tally);
    let carded = cards::redact(named.as_deref().unwrap_or(text), tally).or(named);
    patterns::redact(rules, carded.as_deref().unwrap_or(text), tally).or(carded)
}

fn nested(rules: Rules, value: &Value, depth: usize, tally: &mut Tally) -> Value {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        Value::String(text) => Value::String(text_by(rules, text, tally).into_owned()),
        Value::Array(_) | Value::Object(_) if depth == 0 => {
            tally.add(Kind::Oversize);
            Value::String(REDACTED.into())
        }
        Value::Array(items) => Value::Array(
            items
                .iter()
                .take(MAX_ENTRIES)
                .map(|item| nested(rules, item, depth - 1, tally))
                .collect(),
        ),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .take(MAX_ENTRIES)
                .map(|(name, value)| member(rules, name, value, depth, tally))
                .collect::<Map<_, _>>(),
        ),
    }
}

fn member(
    rules: Rules,
    name: &str,
    value: &Value,
    depth: usize,
    tally: &mut Tally,
) -> (String, Value) {
    // A name can itself be a secret: somebody may have used a token as the key of a map. What is left of it then is the
    // name that readers see, and it judges the value as well.
    let shown = text_by(rules, name, tally);
    let value = match value {
        _ if is_secret_word(name) || is_secret_word(&shown) => {
            tally.add(Kind::Named);
            Value::String(REDACTED.into())
        }
        Value::String(text) if shown != name => {
            let once = field_by(rules, name, text, tally);
            Value::String(field_by(rules, &shown, &once, tally).into_owned())
        }
        Value::String(text) => Value::String(field_by(rules, name, text, tally).into_owned()),
        other => nested(rules, other, depth - 1, tally),
    };
    (shown.into_owned(), value)
}

/// The longest prefix of at most `limit` bytes that ends between characters, and how many bytes follow it.
fn within(text: &str, limit: usize) -> (&str, usize) {
    let end = (0..=limit.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    let (kept, rest) = text.split_at(end.unwrap_or_default());
    (kept, rest.len())
}

#[cfg(test)]
mod props;
#[cfg(test)]
mod tests;
