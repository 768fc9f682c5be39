//! The envelope: one secret, sealed with AES-256-GCM under one key, tied to its place. Pure: no store, no clock.
//!
//! ```text
//! format (1 byte) | key id (8) | nonce (12) | ciphertext | tag (16)
//! ```
//!
//! Sealed in with it, but not kept in it, are the [`Place`] that it belongs to and the format and key id themselves, so that
//! an envelope that is moved to another user, another name or another record does not open (C08). Nonces are random: 96 bits
//! are safe for 2^32 seals under one key (NIST SP 800-38D 8.3), and each user has a key of his own.

use std::fmt;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use sha2::{Digest, Sha256};

use crate::random::{self, NoRandomness, to_hex};
use crate::secret::Secret;

/// The format that is written; 1 is that of the seed, which has no such byte (see [`super::v1`]).
pub const FORMAT: u8 = 2;
/// The cipher, as metadata names it (R067).
pub const ALGORITHM: &str = "AES-256-GCM";
/// The bytes of a key (R048).
pub const KEY_BYTES: usize = 32;

const ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// An envelope of nothing.
const SHORTEST: usize = 1 + ID_BYTES + NONCE_BYTES + TAG_BYTES;

/// Why an envelope does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It is shorter than any envelope.
    #[error("it is cut short")]
    Truncated,
    /// It has a format that this version does not know.
    #[error("it has format {0}, which is not known")]
    Format(u8),
    /// It was sealed under another key.
    #[error("it is sealed under {0}")]
    OtherKey(KeyId),
    /// It was changed, or belongs to another place.
    #[error("it was changed, or moved from another place")]
    NotGenuine,
}

/// The name of a key, made from the key: it tells keys apart and nothing about them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; ID_BYTES]);

impl KeyId {
    fn of(key: &[u8; KEY_BYTES]) -> Self {
        let mut digest = Sha256::new_with_prefix(b"sallygate vault key id\0");
        digest.update(key);
        let digest = digest.finalize();
        let mut id = [0; ID_BYTES];
        for (to, from) in id.iter_mut().zip(digest) {
            *to = from;
        }
        Self(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vk_{}", to_hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A key that seals, and its name.
pub struct SealKey {
    id: KeyId,
    bytes: Secret<[u8; KEY_BYTES]>,
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SealKey").field(&self.id).finish()
    }
}

impl SealKey {
    /// The key of these bytes.
    pub fn new(bytes: Secret<[u8; KEY_BYTES]>) -> Self {
        Self {
            id: KeyId::of(bytes.expose()),
            bytes,
        }
    }

    /// A new random key.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn random() -> Result<Self, NoRandomness> {
        random::bytes().map(|bytes| Self::new(Secret::new(bytes)))
    }

    /// The key of a slice that has the right length.
    pub(in crate::vault) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; KEY_BYTES] = bytes.try_into().ok()?;
        Some(Self::new(Secret::new(bytes)))
    }

    /// Its name.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// This key, sealed under another one.
    pub(in crate::vault) fn wrap(
        &self,
        under: &Self,
        place: &Place<'_>,
    ) -> Result<Vec<u8>, NoRandomness> {
        under.seal(place, self.bytes.expose())
    }

    /// Seals a text for a place.
    ///
    /// # Errors
    /// [`NoRandomness`] when there is no nonce to be had.
    pub fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, NoRandomness> {
        let nonce = random::bytes::<NONCE_BYTES>()?;
        let payload = Payload {
            msg: plain,
            aad: &place.bound(FORMAT, self.id),
        };
        // Encrypting fails for texts of 64 GiB alone.
        let sealed = self
            .cipher()
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| NoRandomness)?;
        let mut envelope = Vec::with_capacity(SHORTEST + plain.len());
        envelope.push(FORMAT);
        envelope.extend_from_slice(&self.id.0);
        envelope.extend_from_slice(&nonce);
        envelope.extend_from_slice(&sealed);
        Ok(envelope)
    }

    /// Opens an envelope that was sealed for this place under this key.
    ///
    /// # Errors
    /// [`SealError`]; nothing of the text is given away with it.
    pub fn open(&self, place: &Place<'_>, envelope: &[u8]) -> Result<Secret<Vec<u8>>, SealError> {
        let parts = Parts::of(envelope)?;
        if parts.key != self.id {
            return Err(SealError::OtherKey(parts.key));
        }
        let payload = Payload {
            msg: parts.sealed,
            aad: &place.bound(parts.format, parts.key),
        };
        self.cipher()
            .decrypt(&Nonce::from(parts.nonce), payload)
            .map(Secret::new)
            .map_err(|_| SealError::NotGenuine)
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&Key::<Aes256Gcm>::from(*self.bytes.expose()))
    }
}

/// Under which key an envelope was sealed, as it says itself.
///
/// # Errors
/// [`SealError`] when it is no envelope.
pub fn key_of(envelope: &[u8]) -> Result<KeyId, SealError> {
    Parts::of(envelope).map(|parts| parts.key)
}

/// What an envelope consists of.
struct Parts<'e> {
    format: u8,
    key: KeyId,
    nonce: [u8; NONCE_BYTES],
    sealed: &'e [u8],
}

impl<'e> Parts<'e> {
    fn of(envelope: &'e [u8]) -> Result<Self, SealError> {
        let (format, rest) = envelope.split_first().ok_or(SealError::Truncated)?;
        if *format != FORMAT {
            return Err(SealError::Format(*format));
        }
        let (key, rest) = rest.split_first_chunk().ok_or(SealError::Truncated)?;
        let (nonce, sealed) = rest.split_first_chunk().ok_or(SealError::Truncated)?;
        if sealed.len() < TAG_BYTES {
            return Err(SealError::Truncated);
        }
        Ok(Self {
            format: *format,
            key: KeyId(*key),
            nonce: *nonce,
            sealed,
        })
    }
}

/// What kind of thing is sealed: keys and secrets never open as each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A value by which a master key is recognised.
    Check,
    /// The data key in use of a user, under a master key.
    DataKey,
    /// The data key before it, while secrets are still sealed under it.
    PreviousDataKey,
    /// A secret of a user, under the user's data key.
    Secret,
}

impl Purpose {
    const fn label(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::DataKey => "data key",
            Self::PreviousDataKey => "previous data key",
            Self::Secret => "secret",
        }
    }
}

/// What an envelope is tied to.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// What it is.
    pub purpose: Purpose,
    /// Whose it is.
    pub user: &'p str,
    /// Which of the user's it is.
    pub record: &'p str,
    /// What stands beside it in the clear and must not be changed either.
    pub facts: &'p [&'p str],
}

impl Place<'_> {
    /// All of it as bytes. Every part has its length in front, so that no two places have the same bytes.
    fn bound(&self, format: u8, key: KeyId) -> Vec<u8> {
        let mut bytes = b"sallygate vault\0".to_vec();
        bytes.push(format);
        bytes.extend_from_slice(&key.0);
        let named = [self.purpose.label(), self.user, self.record];
        for part in named.iter().chain(self.facts) {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    const CANARY: &[u8] = b"canary-not-a-real-pk_123456";

    fn key(byte: u8) -> SealKey {
        SealKey::new(Secret::new([byte; KEY_BYTES]))
    }

    fn place<'p>(user: &'p str, record: &'p str, facts: &'p [&'p str]) -> Place<'p> {
        Place {
            purpose: Purpose::Secret,
            user,
            record,
            facts,
        }
    }

    #[test]
    fn r050_r062_every_flipped_bit_and_every_cut_is_refused() {
        let here = place("12345", "api_key", &["now"]);
        let sealed = key(1).seal(&here, CANARY).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(key(1).open(&here, &changed).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(
                key(1).open(&here, &sealed[..length]).is_err(),
                "{length} bytes"
            );
        }
        assert_eq!(key(1).open(&here, &sealed).unwrap().expose(), CANARY);
    }

    #[test]
    fn c08_an_envelope_opens_at_its_own_place_alone() {
        let here = place("12345", "api_key", &["a", "b"]);
        let sealed = key(1).seal(&here, CANARY).unwrap();
        for other in [
            place("67890", "api_key", &["a", "b"]),
            place("12345", "refresh_token", &["a", "b"]),
            place("12345a", "pi_key", &["a", "b"]),
            place("12345", "api_key", &["ab", ""]),
            place("12345", "api_key", &["a"]),
            Place {
                purpose: Purpose::DataKey,
                ..here
            },
        ] {
            let opened = key(1).open(&other, &sealed).map(|_| ());
            assert_eq!(opened, Err(SealError::NotGenuine), "{other:?}");
        }
    }

    #[test]
    fn an_envelope_names_its_key_and_a_foreign_format() {
        let here = place("u", "n", &[]);
        let mut sealed = key(1).seal(&here, CANARY).unwrap();
        assert_eq!(key_of(&sealed), Ok(key(1).id()));
        assert_eq!(
            key(2).open(&here, &sealed).map(|_| ()),
            Err(SealError::OtherKey(key(1).id()))
        );
        sealed[0] = 3;
        assert_eq!(key_of(&sealed), Err(SealError::Format(3)));
    }

    #[test]
    fn r048_r056_keys_of_other_lengths_are_refused() {
        for length in [0, 16, 24, 31, 33] {
            assert!(SealKey::from_slice(&vec![7; length]).is_none(), "{length}");
        }
        assert!(SealKey::from_slice(&[7; 32]).is_some());
    }

    #[test]
    fn r059_no_two_seals_share_a_nonce() {
        let (key, here) = (key(1), place("u", "n", &[]));
        let mut nonces = BTreeSet::new();
        for _ in 0..100_000 {
            let sealed = key.seal(&here, b"").unwrap();
            nonces.insert(Parts::of(&sealed).map(|parts| parts.nonce).unwrap());
        }
        assert_eq!(nonces.len(), 100_000);
    }

    #[test]
    fn r047_the_cipher_is_the_one_that_others_call_aes_256_gcm() {
        // Sealed by OpenSSL's AES-256-GCM under 32 bytes of 7, with the nonce 00 01 .. 0b, for the place below.
        let here = place("12345", "api_key", &["2026-11-20T00:00:00Z"]);
        let envelope = STANDARD.decode(FOREIGN).unwrap();
        assert_eq!(
            key(7).open(&here, &envelope).unwrap().expose(),
            b"pk_123456_canary-not-a-real-key"
        );
    }

    const FOREIGN: &str = "AtOtHfcF5MweAAECAwQFBgcICQoLaOq2QS867XxB7Yb9jDkeg8xS2fo1A1pDc68Pl+WyFGbS5CEbHl+7aZ9+olc1Bds=";

    #[test]
    fn r058_a_key_shows_its_name_and_nothing_else() {
        let shown = format!("{:?}", key(0x41));
        assert!(shown.starts_with("SealKey(vk_"), "{shown}");
        assert_eq!(shown.len(), "SealKey(vk_0123456789abcdef)".len());
    }

    proptest! {
        #[test]
        fn r049_r063_texts_of_every_length_come_back_and_grow_by_37_bytes(text in proptest::collection::vec(any::<u8>(), 0..4096)) {
            let here = place("u", "n", &[]);
            let sealed = key(1).seal(&here, &text).unwrap();
            prop_assert_eq!(sealed.len(), text.len() + SHORTEST);
            let opened = key(1).open(&here, &sealed).unwrap();
            prop_assert_eq!(opened.expose(), &text);
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(key(1).open(&place("u", "n", &[]), &bytes).is_err());
        }
    }
}
