//! Tokens made by hand, good and bad ones: a test says header and claims, so it can forge what no library would issue.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

/// A key for tests. It protects nothing.
pub(crate) const KEY: &[u8] = b"canary-not-a-real-key-of-32-bytes-or-more";

/// A compact token with these parts, signed with HMAC-SHA256 whatever the header says.
pub(crate) fn signed(header: &Value, claims: &Value, key: &[u8]) -> String {
    let content = unsigned(header, claims);
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(content.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    format!("{content}.{signature}")
}

/// The first two parts of a token, joined by a dot; add one for `alg: none`.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}
