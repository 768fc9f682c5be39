//! Literal secrets in a configuration file are found by what they look like, and by where they stand, so that a file can
//! be shown to others and kept in version control (R044, R442, R492, R591-R594).

/// How likely a setting is to hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Place {
    /// It is one by definition: any literal is.
    Secret,
    /// It may be one, such as the value of a header: names and looks decide.
    Maybe,
    /// It is none, but people put them anywhere: only known forms count.
    Open,
}

/// How the warning about a literal secret reads.
pub const LITERAL_SECRET: &str = "holds a literal secret";

const PREFIXES: [&str; 14] = [
    "sk_live_",
    "sk_test_",
    "sk-",
    "pk_",
    "rk_live_",
    "ghp_",
    "gho_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "eyJ",
    "-----BEGIN",
];
const SECRET_WORDS: [&str; 8] = [
    "authorization",
    "api-key",
    "apikey",
    "api_key",
    "token",
    "secret",
    "password",
    "cookie",
];
const QUERY_WORDS: [&str; 5] = ["token=", "key=", "secret=", "password=", "signature="];
const LONG: usize = 24;
const BITS_PER_CHARACTER: f64 = 3.5;

/// Does the text, written literally under `key`, look like a secret?
pub(in crate::config) fn literal_secret(key: &str, text: &str, place: Place) -> bool {
    let value = credential(text);
    let known = PREFIXES
        .iter()
        .any(|prefix| value.starts_with(prefix) && value.len() >= prefix.len() + 5);
    let in_url = text.contains("://")
        && (QUERY_WORDS.iter().any(|word| text.contains(word)) || userinfo(text));
    match place {
        Place::Secret => true,
        Place::Maybe => known || in_url || named_secret(key) || random_looking(value),
        Place::Open => known || in_url,
    }
}

/// The name of a variable that a literal could move into.
pub(in crate::config) fn variable_name(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            c if c.is_ascii_alphanumeric() => c.to_ascii_uppercase(),
            _ => '_',
        })
        .collect()
}

/// What follows the scheme of an `Authorization` value.
fn credential(text: &str) -> &str {
    ["Bearer ", "bearer ", "Basic ", "Token "]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .unwrap_or(text)
}

fn named_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

fn userinfo(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| url.password().is_some())
}

/// Long, without spaces, and with more disorder than words have.
fn random_looking(text: &str) -> bool {
    text.len() >= LONG
        && !text.contains([' ', '/', '.'])
        && text.contains(|c: char| c.is_ascii_digit())
        && entropy(text) >= BITS_PER_CHARACTER
}

fn entropy(text: &str) -> f64 {
    let mut counts = std::collections::BTreeMap::<u8, u32>::new();
    for byte in text.bytes() {
        *counts.entry(byte).or_default() += 1;
    }
    let total = f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX));
    -counts
        .values()
        .map(|count| f64::from(*count) / total)
        .map(|share| share * share.log2())
        .sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r591_r594_literals_are_known_by_form_name_and_disorder() {
        for (key, text, place) in [
            ("X-Custom", "sk_live_canary-not-real", Place::Maybe),
            ("X-Custom", "Bearer eyJcanary.not.real", Place::Maybe),
            ("X-Custom", "pk_canary_not_real", Place::Maybe),
            ("X-Api-Key", "short", Place::Maybe),
            ("X-Custom", "q8Zr2Lw0Xc7Vb5Nm3Kj1Hg9T", Place::Maybe),
            ("url", "https://a.test/?token=canary", Place::Open),
            ("url", "https://user:canary@a.test/", Place::Open),
            ("name", "ghp_canarynotreal", Place::Open),
            ("secret", "anything", Place::Secret),
        ] {
            assert!(literal_secret(key, text, place), "{key}: {text}");
        }
    }

    #[test]
    fn ordinary_words_are_no_secrets() {
        for (key, text, place) in [
            ("X-Tenant", "acme", Place::Maybe),
            (
                "X-Forwarded-Prefix",
                "/some/long/path/of/24/letters",
                Place::Maybe,
            ),
            (
                "User-Agent",
                "sallygate gateway of the platform team 2",
                Place::Maybe,
            ),
            ("url", "https://mcp.example.com/mcp", Place::Open),
            ("name", "default", Place::Open),
        ] {
            assert!(!literal_secret(key, text, place), "{key}: {text}");
        }
    }
}
