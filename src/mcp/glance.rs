//! A glance at an answer before it is read: one pass over its quotes that says which of our questions it could possibly
//! concern. Most answers concern none of them and are never parsed. A name can hide behind an escape, so an answer with
//! `\u` concerns all of them.

use memchr::memchr2_iter;

/// What an answer may hold. `false` is certain, `true` is worth a closer look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// A list that has to be filtered.
    pub list: bool,
    /// A JSON-RPC error, or a result that is marked as one.
    pub failure: bool,
    /// A task that was created.
    pub task: bool,
}

/// The members under which lists stand.
const LISTS: [&str; 5] = [
    "tools",
    "prompts",
    "resources",
    "resourceTemplates",
    "tasks",
];

/// Looks at a message of the upstream.
pub fn glance(message: &[u8]) -> Glance {
    let mut seen = Glance::default();
    for at in memchr2_iter(b'"', b'\\', message) {
        let after = message.get(at + 1..).unwrap_or_default();
        let escaped = message.get(at) == Some(&b'\\');
        match after.first() {
            Some(b'u') if escaped => {
                return Glance {
                    list: true,
                    failure: true,
                    task: true,
                };
            }
            Some(b'e') => seen.failure |= after.starts_with(b"error\""),
            Some(b'i') => seen.failure |= is_marked(after),
            Some(b't') if after.starts_with(b"taskId\"") => seen.task = true,
            Some(b't' | b'p' | b'r' | b'T' | b'P' | b'R') => {
                seen.list |= LISTS.iter().any(|name| is_named(after, name));
            }
            _ => {}
        }
    }
    seen
}

/// Whether a name that begins here is this one for some reader: many match without regard to case, and Go's takes `ſ` for
/// `s` and the Kelvin sign for `k` as well.
fn is_named(mut after: &[u8], name: &str) -> bool {
    for letter in name.bytes() {
        after = match (letter, after) {
            (b's', [0xc5, 0xbf, rest @ ..]) | (b'k', [0xe2, 0x84, 0xaa, rest @ ..]) => rest,
            (letter, [first, rest @ ..]) if first.eq_ignore_ascii_case(&letter) => rest,
            _ => return false,
        };
    }
    // A reader written in C stops at a NUL.
    matches!(after.first(), Some(b'"' | 0))
}

/// Whether this is the name `isError` with any value but one that begins as `false` does.
fn is_marked(name: &[u8]) -> bool {
    let Some(after) = name.strip_prefix(b"isError\"") else {
        return false;
    };
    let value = after
        .iter()
        .find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b':'));
    value != Some(&b'f')
}

#[cfg(test)]
mod tests {
    use super::super::errors::is_failure;
    use super::super::tasks::created;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_ordinary_answer_concerns_nothing() {
        for answer in [
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"hello"}],"isError":false}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"the \"tools\" and an \"error\""}]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"isError" : false}}"#,
            "",
            "\\",
            "\"",
        ] {
            assert_eq!(glance(answer.as_bytes()), Glance::default(), "{answer}");
        }
    }

    #[test]
    fn what_may_concern_us_is_seen_in_every_spelling() {
        for list in [
            "tools",
            "prompts",
            "resources",
            "resourceTemplates",
            "tasks",
        ] {
            let answer = format!(r#"{{"result":{{"{list}":[]}}}}"#);
            assert!(glance(answer.as_bytes()).list, "{list}");
            let shouted = format!(r#"{{"result":{{"{}":[]}}}}"#, list.to_uppercase());
            assert!(glance(shouted.as_bytes()).list, "{shouted}");
        }
        for imitation in [
            "tool\u{17f}",
            "ta\u{17f}\u{212a}\u{17f}",
            "Resources",
            "PROMPT\u{17f}",
        ] {
            let answer = format!(r#"{{"result":{{"{imitation}":[]}}}}"#);
            assert!(glance(answer.as_bytes()).list, "{imitation}");
        }
        for failure in [
            r#"{"error":{}}"#,
            r#"{"result":{"isError":true}}"#,
            r#"{"result":{"isError": true}}"#,
            "{\"result\":{\"isError\"\n:\ttrue}}",
            r#"{"result":{"isError":false,"isError":true}}"#,
            r#"{"result":{"is\u0045rror":true}}"#,
        ] {
            assert!(glance(failure.as_bytes()).failure, "{failure}");
        }
        assert!(glance(br#"{"result":{"task":{"taskId":"t"}}}"#).task);
        let all = glance(br#"{"result":{"to\u006fls":[]}}"#);
        assert!(all.list && all.failure && all.task);
    }

    proptest! {
        #[test]
        fn whatever_a_reader_finds_the_glance_has_seen(
            answer in r#"\{"result":\{("(isError|is\\u0045rror|task|taskId|error|a)" ?: ?(true|false|\{"taskId":"t"\}|"x"),?){0,4}\}(,"error":\{\})?\}"#
        ) {
            let seen = glance(answer.as_bytes());
            prop_assert!(seen.failure || !is_failure(answer.as_bytes()));
            prop_assert!(seen.task || created(answer.as_bytes()).is_none());
        }
    }
}
