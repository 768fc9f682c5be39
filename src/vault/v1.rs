//! The seed's format, for reading alone: `base64(IV | ciphertext | tag)` under a key that PBKDF2 makes of the text of its
//! `ENCRYPTION_KEY`, with a fixed salt and 100,000 rounds (R052-R062). It ties a value to nobody: whoever can write the
//! seed's store can give one user another's credential. So it is read once, at import, and never written.

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pbkdf2::pbkdf2_hmac;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::seal::KEY_BYTES;
use crate::secret::Secret;

const ROUNDS: u32 = 100_000;
const SALT: &[u8] = b"clickup-mcp-salt-v1";
const IV_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// Why a value of the seed's is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum V1Error {
    /// It is not standard base64.
    #[error("is not base64")]
    Base64,
    /// It is shorter than an IV and a tag.
    #[error("is cut short")]
    Truncated,
    /// The key is another one, or the value was changed.
    #[error("does not open: the key is another one, or the value was changed")]
    NotGenuine,
    /// It opened and is no text.
    #[error("is no text")]
    NotText,
}

/// The key of a seed's store. To make one takes a moment; make it once.
pub struct V1Key(Aes256Gcm);

impl std::fmt::Debug for V1Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("V1Key")
    }
}

impl V1Key {
    /// From the text of the seed's `ENCRYPTION_KEY`, hex digits as they stand.
    pub fn derive(text: &Secret<String>) -> Self {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        pbkdf2_hmac::<Sha256>(text.expose().as_bytes(), SALT, ROUNDS, key.as_mut());
        Self(Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key)))
    }

    /// Opens a value.
    ///
    /// # Errors
    /// [`V1Error`].
    pub fn open(&self, value: &str) -> Result<Secret<String>, V1Error> {
        let bytes = STANDARD.decode(value).map_err(|_| V1Error::Base64)?;
        let (iv, sealed) = bytes
            .split_first_chunk::<IV_BYTES>()
            .ok_or(V1Error::Truncated)?;
        if sealed.len() < TAG_BYTES {
            return Err(V1Error::Truncated);
        }
        let text = self
            .0
            .decrypt(&Nonce::from(*iv), sealed)
            .map_err(|_| V1Error::NotGenuine)?;
        text_of(Secret::new(text)).ok_or(V1Error::NotText)
    }
}

/// The text that some bytes are, without leaving a copy behind.
pub(in crate::vault) fn text_of(bytes: Secret<Vec<u8>>) -> Option<Secret<String>> {
    let text = std::str::from_utf8(bytes.expose()).ok()?.to_owned();
    Some(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Web Crypto in Node, by the code of the seed, with the IV 00 01 .. 0b; Python's `cryptography` made the same.
    const KEY_TEXT: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const VALUE: &str =
        "AAECAwQFBgcICQoLI+FaGkhFFmtRzVabTCAon6ujuyabY21YM2boadYNqTCueaxJrlmTF0ynMGJBdyw=";
    const PLAIN: &str = "pk_123456_canary-not-a-real-key";

    fn key(text: &str) -> V1Key {
        V1Key::derive(&Secret::new(text.into()))
    }

    #[test]
    fn r050_r061_r062_what_was_cut_changed_or_written_otherwise_is_refused() {
        let key = key(KEY_TEXT);
        let refused = |value: &str| key.open(value).map(|_| ()).unwrap_err();
        let bytes = STANDARD.decode(VALUE).unwrap();
        for length in 0..IV_BYTES + TAG_BYTES {
            let cut = STANDARD.encode(&bytes[..length]);
            assert_eq!(refused(&cut), V1Error::Truncated, "{length}");
        }
        assert_eq!(refused(&VALUE.replace('+', "-")), V1Error::Base64);
        assert_eq!(refused(VALUE.trim_end_matches('=')), V1Error::Base64);
        assert_eq!(refused(""), V1Error::Truncated);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(refused(&STANDARD.encode(changed)), V1Error::NotGenuine);
        }
    }

    #[test]
    fn r052_r053_r054_r055_r060_a_value_of_the_seed_is_read() {
        assert_eq!(key(KEY_TEXT).open(VALUE).unwrap().expose(), PLAIN);
        let upper = key(&KEY_TEXT.to_uppercase()).open(VALUE);
        assert_eq!(upper.map(|_| ()), Err(V1Error::NotGenuine));
    }
}
