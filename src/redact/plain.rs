//! The quick way for texts in which no rule can find anything: short words, paths, names of clients and tools. One pass over
//! the bytes, no pattern. It may only err on the side of the patterns; a property test holds it to them.

/// A run of letters, digits, `_`, `-` and `/` of this length may be hexadecimal digits, a UUID, base64 or a token.
const LONG_RUN: usize = 32;
/// Longer texts are not what this is for.
const LONGEST: usize = 512;
/// The fewest digits of a telephone number with its separators.
const PHONE: usize = 7;
/// The fewest digits of a card number.
const CARD: usize = 13;

/// Beginnings of words that are known of tokens; the patterns say what has to follow.
const PREFIXES: [&[u8]; 19] = [
    b"pk_",
    b"rk_",
    b"sk_",
    b"sk-",
    b"mcp_",
    b"gho_",
    b"ghp_",
    b"ghr_",
    b"ghs_",
    b"ghu_",
    b"github_pat_",
    b"glpat-",
    b"xox",
    b"npm_",
    b"AKIA",
    b"ASIA",
    b"AROA",
    b"AIDA",
    b"AIza",
];

/// Whether no rule has anything to say about this text. `false` says nothing.
pub(super) fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() > LONGEST {
        return false;
    }
    let (mut run, mut digits, mut before) = (0, 0, b' ');
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => run += 1,
            b'0'..=b'9' => {
                run += 1;
                digits += 1;
            }
            // "-----BEGIN", and numbers whose groups are parted.
            b'-' if before == b'-' => return false,
            b'-' | b'/' => run += 1,
            // "Bearer x" and its like: a blank after a word that ends as one of the schemes does.
            b' ' if matches!(before, b'r' | b'R' | b'c' | b'C' | b'p' | b'P') => return false,
            b' ' | b'.' | b',' => run = 0,
            // A separator of name and value, `@`, `%`, `+`, brackets, quotes, and everything that is not ASCII.
            _ => return false,
        }
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if run >= LONG_RUN || (byte == b'e' && rest(bytes, at).starts_with(b"eyJ")) {
            return false;
        }
        if is_word(byte) && !is_word(before) && begins_a_token(rest(bytes, at)) {
            return false;
        }
        before = byte;
    }
    digits < PHONE || (digits == bytes.len() && digits < CARD && !bytes.starts_with(b"00"))
}

fn rest(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at..).unwrap_or_default()
}

fn begins_a_token(word: &[u8]) -> bool {
    matches!(
        word.first(),
        Some(b'p' | b'r' | b's' | b'm' | b'g' | b'x' | b'n' | b'A')
    ) && PREFIXES.iter().any(|prefix| word.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Rules, Tally, slowly};
    use super::*;

    fn untouched(text: &str) {
        for rules in [Rules::Logs, Rules::Audit] {
            let mut tally = Tally::default();
            assert_eq!(slowly(rules, text, &mut tally), text, "{rules:?}");
            assert_eq!(tally.iter().count(), 0, "{text:?} {rules:?}");
        }
    }

    #[test]
    fn what_requests_are_full_of_is_plain() {
        for text in [
            "tools/call",
            "POST",
            "/mcp",
            "Claude Desktop/1.0",
            "python-httpx/0.27.2",
            "clickup_task_create",
            "90144360426",
            "github_create_pull_request",
        ] {
            assert!(is_plain(text), "{text}");
            untouched(text);
        }
    }

    #[test]
    fn r222_what_a_rule_may_know_is_left_to_the_rules() {
        for text in [
            "Bearer abcdef123456",
            "a token eyJhbGciOiJub25lIn0.e30.",
            "pk_1_ABC",
            "550e8400-e29b-41d4-a716-446655440000",
            "deadbeef-dead-beef-dead-beefdeadbeef",
            "someone@example.com",
            "password=hunter2",
            "4111 1111 1111 1111",
            "4111111111111111",
            "0049301234567",
            "call 212-555-1234",
            "AKIAABCDEFGHIJKLMNOP",
            "-----BEGIN PRIVATE KEY-----",
        ] {
            assert!(!is_plain(text), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn no_rule_changes_a_plain_text(text in "([a-zA-Z]{1,9}|[0-9]{1,5}|[ ._/,-]|eyJ|pk_|sk-|mcp_|gho_|npm_|AKIA|xox|glpat-|bearer |basic |dpop |00|[0-9a-f]{8}-|[A-Za-z0-9_/-]{16}){0,12}") {
            if is_plain(&text) {
                untouched(&text);
            }
        }

        #[test]
        fn no_rule_changes_a_plain_text_of_any_kind(text in "\\PC{0,24}") {
            if is_plain(&text) {
                untouched(&text);
            }
        }
    }
}
