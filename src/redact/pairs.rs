//! Secrets that a name gives away inside running text: `password=…`, `"api_key": "…"`, `Authorization: …`,
//! `?code=…&state=…`. At each `=` or `:` we look back for the name and forward for the value, both within a bound, so
//! the pass stays linear.

use super::keys;
use super::{Kind, REDACTED, Tally};

/// How far a name is looked for before its separator.
const LONGEST_NAME: usize = 64;

/// The text with the values of secret names replaced, or nothing if there are none.
pub(super) fn redact(text: &str, tally: &mut Tally) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out: Option<String> = None;
    let (mut at, mut copied) = (0, 0);
    while let Some(step) = bytes
        .get(at..)
        .and_then(|rest| rest.iter().position(|byte| matches!(byte, b'=' | b':')))
    {
        let separator = at + step;
        at = separator + 1;
        let Some((from, to)) = secret_after(text, separator) else {
            continue;
        };
        let out = out.get_or_insert_with(|| String::with_capacity(text.len()));
        out.push_str(text.get(copied..from).unwrap_or_default());
        out.push_str(REDACTED);
        tally.add(Kind::Named);
        (at, copied) = (to, to);
    }
    out.map(|mut out| {
        out.push_str(text.get(copied..).unwrap_or_default());
        out
    })
}

/// Where the secret that belongs to this separator stands.
fn secret_after(text: &str, separator: usize) -> Option<(usize, usize)> {
    let name = name_before(text.as_bytes(), separator)?;
    if !keys::is_sensitive(name) {
        return None;
    }
    let ground = Ground::of(name, text.as_bytes().get(separator) == Some(&b'='));
    let value = Value::after(text.as_bytes(), separator, ground)?;
    let secret = text.get(value.from..value.to)?;
    (secret != REDACTED && (value.quoted || ground.judges(secret)))
        .then_some((value.from, value.to))
}

/// How a name and its separator let a bare value be judged. Prose says "invalid token: expired" and "state: running", so
/// a value after a colon needs more than its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ground {
    /// After `=`, or after a name that is never followed by prose.
    Sure,
    /// A header of many values, secret to the end of its line.
    Line,
    /// Secret if it has a digit or is long.
    Likely,
    /// A number after `code:` is a status; an OAuth code there would be quoted or a query parameter.
    QuotedOnly,
}

impl Ground {
    fn of(name: &str, is_equals: bool) -> Self {
        let lower = name.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        match is_equals {
            true => Self::Sure,
            false if has(&["cookie"]) => Self::Line,
            false if has(&["password", "api_key", "apikey", "api-key"]) => Self::Sure,
            false if keys::is_secret_word(name) => Self::Likely,
            false => Self::QuotedOnly,
        }
    }

    fn judges(self, secret: &str) -> bool {
        match self {
            Self::Sure | Self::Line => true,
            Self::Likely => secret.len() >= 20 || secret.bytes().any(|byte| byte.is_ascii_digit()),
            Self::QuotedOnly => false,
        }
    }
}

/// The name that ends before the separator, past blanks, quotes and backslashes.
fn name_before(bytes: &[u8], separator: usize) -> Option<&str> {
    let head = bytes.get(..separator)?;
    let end = head.iter().rposition(|byte| !is_wrapping(*byte))? + 1;
    let floor = end.saturating_sub(LONGEST_NAME);
    let name = head.get(floor..end)?;
    let start = name
        .iter()
        .rposition(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')))
        .map_or(0, |before| before + 1);
    std::str::from_utf8(name.get(start..)?).ok()
}

fn is_wrapping(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'\\')
}

/// The value that follows a separator.
struct Value {
    from: usize,
    to: usize,
    quoted: bool,
}

impl Value {
    /// Looks forward only as far as it takes to decide, so that many separators do not each read to the end.
    fn after(bytes: &[u8], separator: usize, ground: Ground) -> Option<Self> {
        let mut from = separator + 1;
        let (mut quote, mut escaped) = (None, false);
        while let Some(&byte) = bytes.get(from).filter(|byte| is_wrapping(**byte)) {
            from += 1;
            match byte {
                b'"' | b'\'' => {
                    quote = Some(byte);
                    break;
                }
                b'\\' => escaped = true,
                _ => {}
            }
        }
        if quote.is_none() && ground == Ground::QuotedOnly {
            return None;
        }
        let rest = bytes.get(from..)?;
        let mut to = from + Self::length(rest, quote, escaped, ground == Ground::Line);
        if quote.is_none() && ground == Ground::Sure {
            to += Self::behind_scheme(bytes.get(from..to)?, bytes.get(to..)?);
        }
        (to > from).then_some(Self {
            from,
            to,
            quoted: quote.is_some(),
        })
    }

    /// How much further a bare value goes that so far is the name of a scheme: `token=Bearer x`. Left behind alone, the
    /// credentials would no longer be known as such.
    fn behind_scheme(value: &[u8], rest: &[u8]) -> usize {
        const SCHEMES: [&[u8]; 3] = [b"bearer", b"basic", b"dpop"];
        let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
        let (mut value, mut end) = (value, 0);
        // Somebody who writes two schemes has written the credentials behind the second.
        while SCHEMES.iter().any(|name| name.eq_ignore_ascii_case(value)) {
            let behind = rest.get(end..).unwrap_or_default();
            let blanks = behind.iter().take_while(is_blank).count();
            let credentials = behind.get(blanks..).unwrap_or_default();
            let length = Self::length(credentials, None, false, false);
            if length == 0 {
                break;
            }
            value = credentials.get(..length).unwrap_or_default();
            end += blanks + length;
        }
        end
    }

    /// A quoted value runs to its quote; a bare one to the next blank or delimiter, or to the end of its line.
    fn length(rest: &[u8], quote: Option<u8>, escaped: bool, is_line: bool) -> usize {
        let mut skip = false;
        rest.iter()
            .position(|&byte| match quote {
                _ if skip => {
                    skip = false;
                    false
                }
                Some(_) if escaped => byte == b'\\',
                Some(quote) if byte != b'\\' => byte == quote,
                Some(_) => {
                    skip = true;
                    false
                }
                None if is_line => matches!(byte, b'\r' | b'\n' | b'"' | b'\\'),
                None => matches!(
                    byte,
                    b' ' | b'\t'
                        | b'\r'
                        | b'\n'
                        | b'"'
                        | b'\''
                        | b'\\'
                        | b','
                        | b';'
                        | b'&'
                        | b')'
                        | b'}'
                ),
            })
            .unwrap_or(rest.len())
    }
}
