//! Values that give themselves away by their form (R503 to R507, R510). One pass of a `RegexSet` says which patterns
//! occur at all; only those are then replaced. The `regex` crate never backtracks, so every pass is linear in the text.

use std::sync::LazyLock;

use regex::{Captures, Regex, RegexSet};

use super::{Kind, REDACTED, Rules, Tally};

/// One pattern and what becomes of a match; `None` leaves the match as it is.
struct Pattern {
    kind: Kind,
    expression: &'static str,
    replacement: fn(&Captures<'_>) -> Option<String>,
}

/// Order matters: the wider form first, so that a narrower one does not cut it in two.
const PATTERNS: [Pattern; 11] = [
    Pattern {
        kind: Kind::PrivateKey,
        expression: r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)",
        replacement: whole,
    },
    Pattern {
        kind: Kind::Jwt,
        expression: r"eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)*",
        replacement: whole,
    },
    Pattern {
        kind: Kind::Credentials,
        expression: r"(?i)((?-u:\b)(?:(?:bearer|basic|dpop)(?:[ \t]+|%20|\+))+)([A-Za-z0-9._~+/=%-]+)",
        replacement: scheme,
    },
    Pattern {
        kind: Kind::Credentials,
        expression: r"(://)[^/\s:@]*:[^/\s@]+@",
        replacement: |found| Some(format!("{}{REDACTED}@", group(found, 1))),
    },
    Pattern {
        kind: Kind::ApiKey,
        // ClickUp, Stripe, our own, AWS, GitHub, GitLab, Slack, Google, OpenAI and npm.
        expression: r"(?x)(?-u:\b)(?:
            pk_[0-9]+_[A-Za-z0-9]+ | [prs]k_(?:live|test)_[A-Za-z0-9]+ | [ps]k_[A-Za-z0-9]{16,}
            | mcp_[A-Za-z0-9_-]{16,} | (?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}
            | gh[oprsu]_[A-Za-z0-9]{16,} | github_pat_[A-Za-z0-9_]{16,} | glpat-[A-Za-z0-9_-]{16,}
            | xox[abeprs]-[A-Za-z0-9-]{8,} | AIza[A-Za-z0-9_-]{30,} | sk-[A-Za-z0-9_-]{20,} | npm_[A-Za-z0-9]{30,}
            )",
        replacement: prefixed,
    },
    Pattern {
        kind: Kind::Email,
        expression: r"[A-Za-z0-9._%+\-\x{80}-\x{10FFFF}]+(?:@|%40)[A-Za-z0-9.\-\x{80}-\x{10FFFF}]+\.[A-Za-z\x{80}-\x{10FFFF}]{2,}",
        replacement: whole,
    },
    Pattern {
        kind: Kind::Uuid,
        expression: r"(?-u:\b)[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?-u:\b)",
        replacement: |found| Some(masked(group(found, 0))),
    },
    Pattern {
        kind: Kind::Hex,
        expression: r"(?-u:\b)(?:[A-Za-z0-9]{1,12}_)?[0-9a-fA-F]{32,}(?-u:\b)",
        replacement: whole,
    },
    Pattern {
        kind: Kind::Binary,
        expression: r"[A-Za-z0-9+/_-]{64,}={0,2}",
        replacement: blob,
    },
    Pattern {
        kind: Kind::ApiKey,
        expression: r"[A-Za-z0-9_-]{40,}",
        replacement: |found| is_mixed(group(found, 0)).then(|| REDACTED.into()),
    },
    Pattern {
        kind: Kind::Phone,
        // +CC…, 00CC…, (AAA) EEE-NNNN and AAA-EEE-NNNN. Times and dates have other groups and no country code.
        expression: r"(^|[^A-Za-z0-9+.\-])((?:\+|00)[1-9](?:[ ().\-/]{0,2}[0-9]){7,14}|\([2-9][0-9]{2}\) ?[0-9]{3}[ .-]?[0-9]{4}|[2-9][0-9]{2}([.-])[0-9]{3}[.-][0-9]{4})(?-u:\b)",
        replacement: |found| Some(format!("{}{REDACTED}", group(found, 1))),
    },
];

static SET: LazyLock<Option<(RegexSet, Vec<Regex>)>> = LazyLock::new(|| {
    let expressions = || PATTERNS.iter().map(|pattern| pattern.expression);
    let set = RegexSet::new(expressions()).ok()?;
    let each = expressions()
        .map(Regex::new)
        .collect::<Result<_, _>>()
        .ok()?;
    Some((set, each))
});

/// The text without secret values, or nothing if it is unchanged.
pub(super) fn redact(rules: Rules, text: &str, tally: &mut Tally) -> Option<String> {
    let Some((set, each)) = &*SET else {
        // The patterns are constants and a test compiles them. Should they ever not, nothing passes unread.
        return (text != REDACTED).then(|| REDACTED.into());
    };
    let mut out: Option<String> = None;
    for index in set.matches(text) {
        let (Some(pattern), Some(regex)) = (PATTERNS.get(index), each.get(index)) else {
            continue;
        };
        if rules == Rules::Audit && matches!(pattern.kind, Kind::Uuid | Kind::Hex) {
            continue;
        }
        let current = out.as_deref().unwrap_or(text);
        if let Some(changed) = replace(pattern, regex, current, tally) {
            out = Some(changed);
        }
    }
    out
}

fn replace(pattern: &Pattern, regex: &Regex, text: &str, tally: &mut Tally) -> Option<String> {
    let mut changed = false;
    let replaced = regex.replace_all(text, |found: &Captures<'_>| {
        let whole = group(found, 0);
        match (pattern.replacement)(found) {
            Some(replacement) if replacement != whole => {
                changed = true;
                tally.add(pattern.kind);
                replacement
            }
            _ => whole.to_owned(),
        }
    });
    changed.then(|| replaced.into_owned())
}

fn group<'t>(found: &Captures<'t>, index: usize) -> &'t str {
    found.get(index).map_or("", |part| part.as_str())
}

fn whole(_: &Captures<'_>) -> Option<String> {
    Some(REDACTED.into())
}

/// "A bearer token is needed" is prose; `Bearer a1b2c3d4` is not. In `token_type=Bearer expires_in=3600` the next pair
/// follows.
fn scheme(found: &Captures<'_>) -> Option<String> {
    let value = group(found, 2);
    let is_name = |name: &str| {
        name.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    if value
        .split_once('=')
        .is_some_and(|(name, rest)| !rest.trim_matches('=').is_empty() && is_name(name))
    {
        return None;
    }
    let likely = value.len() >= 20
        || (value.len() >= 6
            && value
                .bytes()
                .any(|byte| byte.is_ascii_digit() || byte == b'='));
    likely.then(|| format!("{}{REDACTED}", group(found, 1)))
}

/// `mcp_server_operation_duration` and its like are names of metrics and columns; a token has digits or capitals. The name
/// of a client is no secret, and operators need it.
fn prefixed(found: &Captures<'_>) -> Option<String> {
    let value = group(found, 0);
    if value.starts_with("mcp_client_") {
        return None;
    }
    value
        .bytes()
        .any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        .then(|| REDACTED.into())
}

fn blob(found: &Captures<'_>) -> Option<String> {
    let text = group(found, 0);
    let slashes = text.bytes().filter(|byte| *byte == b'/').count();
    // Chance puts a slash at every 64th place of base64; in a path it comes far more often.
    let is_path = slashes.saturating_mul(16) > text.len();
    let digits = text.trim_end_matches('=').len();
    (is_mixed(text) && !is_path)
        .then(|| format!("[BINARY {} bytes]", digits / 4 * 3 + (digits % 4) * 3 / 4))
}

/// Random text of this length has all three kinds of characters; long words and constants do not.
fn is_mixed(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().any(|byte| byte.is_ascii_uppercase())
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// `550e…0000`: enough to recognise an identifier that one already knows, not enough to use it (R507).
fn masked(id: &str) -> String {
    let (head, tail) = (id.get(..4), id.get(id.len().saturating_sub(4)..));
    format!("{}…{}", head.unwrap_or_default(), tail.unwrap_or_default())
}
