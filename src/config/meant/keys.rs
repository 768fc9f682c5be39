//! Keys as people hand them over: 64 hex digits, base64 of 32 bytes, or a long text. What cannot have 256 bits of
//! randomness in it is refused (R082-R084).

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::random::to_hex;
use crate::secret::Secret;

/// Fewest bytes in a key.
pub(in crate::config) const KEY_BYTES: usize = 32;
/// Fewest bytes in a passphrase.
pub(in crate::config) const PASSPHRASE_BYTES: usize = 16;
/// Fewest different bytes in a key. 32 random bytes have fewer than 20 less than once in a million million draws; texts
/// made of hex digits have up to 16.
const DIFFERENT: usize = 10;

/// Why a key is refused. The key itself is never part of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::config) enum WeakKey {
    #[error("has {0} bytes, a key needs at least {1}")]
    Short(usize, usize),
    #[error("repeats itself, so it is not random")]
    Repeating,
}

/// The bytes of a key. 64 or more hex digits are read as hex, base64 of exactly 32 bytes as base64, anything else stands
/// for its own bytes.
pub fn decode(text: &str) -> Secret<Vec<u8>> {
    let bytes = hex(text).or_else(|| {
        let bytes = STANDARD.decode(text).ok()?;
        (bytes.len() == KEY_BYTES).then_some(bytes)
    });
    Secret::new(bytes.unwrap_or_else(|| text.as_bytes().to_vec()))
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if text.len() < 2 * KEY_BYTES || !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

/// Could the key be random, or a passphrase of at least so many bytes that is worth stretching?
pub(in crate::config) fn strong(key: &[u8], least: usize) -> Result<(), WeakKey> {
    if key.len() < least {
        return Err(WeakKey::Short(key.len(), least));
    }
    let different: BTreeSet<u8> = key.iter().copied().collect();
    if different.len() < DIFFERENT {
        return Err(WeakKey::Repeating);
    }
    Ok(())
}

/// A name for a key, made from the key: it stays the same wherever in the ring the key stands.
pub(in crate::config) fn name(key: &Secret<Vec<u8>>) -> String {
    let mut digest = Sha256::new();
    digest.update(b"sallygate key name\0");
    digest.update(key.expose());
    let digest = digest.finalize();
    format!("k-{}", to_hex(digest.get(..4).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r082_r083_short_and_repeating_keys_are_refused() {
        for (text, error) in [
            ("", WeakKey::Short(0, KEY_BYTES)),
            ("canary", WeakKey::Short(6, KEY_BYTES)),
            (
                "canary-not-a-real-secret-31-byt",
                WeakKey::Short(31, KEY_BYTES),
            ),
            (&"a".repeat(64), WeakKey::Repeating),
            (&"00".repeat(32), WeakKey::Repeating),
            (&"abc".repeat(30), WeakKey::Repeating),
        ] {
            assert_eq!(
                strong(decode(text).expose(), KEY_BYTES),
                Err(error),
                "{text}"
            );
        }
    }

    #[test]
    fn r084_hex_and_base64_are_decoded_and_other_text_stands_for_itself() {
        let bytes: Vec<u8> = (0..32).collect();
        let plain = "canary-not-a-real-secret-but-long-enough";
        for (text, meant) in [
            (to_hex(&bytes), bytes.clone()),
            (to_hex(&bytes).to_uppercase(), bytes.clone()),
            (STANDARD.encode(&bytes), bytes.clone()),
            (plain.to_owned(), plain.as_bytes().to_vec()),
        ] {
            let key = decode(&text);
            assert_eq!(key.expose(), &meant);
            assert_eq!(strong(key.expose(), KEY_BYTES), Ok(()));
        }
    }
}
