//! Names that say that their value is secret. The words are matched as the requirements ask: anywhere in the name and
//! without regard to case (R222, R223); `-`, `_` and missing separators are one spelling. The short list of exceptions
//! holds names that only count or describe tokens.

/// Words that make a name secret wherever they stand in it. The first seven are R222's; the others come from C40.
const WORDS: [&str; 14] = [
    "password",
    "apikey",
    "token",
    "secret",
    "authorization",
    "jwt",
    "refreshtoken",
    "cookie",
    "codeverifier",
    "privatekey",
    "passwd",
    "passphrase",
    "credential",
    "clientassertion",
];

/// Names that are secret only as a whole, and only if the value is a text: as parts of names (`status_code`,
/// `statement`) or with numbers (the `code` of a JSON-RPC error) they are harmless.
const WHOLE: [&str; 4] = ["code", "state", "pwd", "authcode"];

/// Names that contain a secret word and are no secrets: counts, kinds and addresses.
const HARMLESS: [&str; 27] = [
    "tokens",
    "maxtokens",
    "mintokens",
    "tokentype",
    "tokencount",
    "tokenlimit",
    "tokensused",
    "totaltokens",
    "inputtokens",
    "outputtokens",
    "prompttokens",
    "completiontokens",
    "cachedtokens",
    "tokenid",
    "jwttokenid",
    "tokenendpoint",
    "tokenexpiresin",
    "tokenexpiresat",
    "tokenendpointauthmethod",
    "tokenendpointauthmethodssupported",
    "authorizationendpoint",
    "authorizationserver",
    "authorizationservers",
    "tokenizer",
    "jwtid",
    "jwtalgorithm",
    "tokenfingerprint",
];

/// Names whose values identify something and are kept whole even where identifiers are masked.
const IDS: [&str; 12] = [
    "requestid",
    "traceid",
    "spanid",
    "userid",
    "teamid",
    "tokenid",
    "jwttokenid",
    "jti",
    "keyid",
    "kid",
    "mac",
    "prev",
];

/// Longer names are judged by their beginning; no real field name comes near it.
const MAX_NAME: usize = 128;

/// Whether a text under this name is a secret.
pub fn is_sensitive(name: &str) -> bool {
    let name = Plain::of(name);
    name.is_secret_word() || WHOLE.contains(&name.as_str())
}

/// Whether anything under this name is a secret, be it text, number or object.
pub fn is_secret_word(name: &str) -> bool {
    Plain::of(name).is_secret_word()
}

/// Whether values under this name are identifiers that stay readable.
pub(super) fn names_an_id(name: &str) -> bool {
    IDS.contains(&Plain::of(name).as_str())
}

/// A name in lower case without separators, held on the stack.
struct Plain {
    bytes: [u8; MAX_NAME],
    length: usize,
}

impl Plain {
    fn of(name: &str) -> Self {
        let mut plain = Self {
            bytes: [0; MAX_NAME],
            length: 0,
        };
        let letters = name
            .bytes()
            .filter(|byte| !matches!(byte, b'_' | b'-' | b'.' | b' '));
        for (slot, byte) in plain.bytes.iter_mut().zip(letters) {
            // Other alphabets cannot spell the words; one placeholder keeps the text valid.
            *slot = if byte.is_ascii() {
                byte.to_ascii_lowercase()
            } else {
                b'?'
            };
            plain.length += 1;
        }
        plain
    }

    fn as_str(&self) -> &str {
        self.bytes
            .get(..self.length)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }

    fn is_secret_word(&self) -> bool {
        let name = self.as_str();
        WORDS.iter().any(|word| name.contains(word)) && !HARMLESS.contains(&name)
    }
}
