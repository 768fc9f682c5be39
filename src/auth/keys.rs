//! The keys that we know: our own ring, and the sets that foreign issuers publish. A token finds its key by id, and only
//! there.

use std::collections::{HashMap, HashSet};
use std::fmt;

use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::{Algorithm as JwtAlgorithm, EncodingKey, crypto};
use serde_json::Value;

use super::error::AuthError;
use super::header::{Algorithm, Header, KEY_ID_MAX_BYTES};
use super::jwk::VerificationKey;
use super::settings::{FetchSettings, OwnKey};
use super::strict;

/// Keys that cannot be used. Nothing in here shows a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No key to sign with.
    #[error("no signing key is configured")]
    NoKeys,
    /// A key id that is empty, too long or not printable.
    #[error("key {0} has no usable id")]
    KeyId(usize),
    /// Two keys with one id.
    #[error("two keys have the id `{0}`")]
    DuplicateKeyId(String),
    /// A secret below 32 bytes (R126).
    #[error("the secret of key `{kid}` has {bytes} bytes; it needs 32")]
    TooShort {
        /// The key's id.
        kid: String,
        /// How long it is.
        bytes: usize,
    },
    /// A secret that no random source made.
    #[error("the secret of key `{0}` repeats itself; make a random one")]
    NotRandom(String),
    /// The document is not a JWKS.
    #[error("the document is no JSON Web Key Set")]
    NotJwks,
    /// More keys than the limit.
    #[error("the key set holds {found} keys, more than {limit}")]
    TooMany {
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// No key of the document can be used.
    #[error("none of the {0} keys of the set can be used")]
    NoneUsable(usize),
}

/// A set of keys, found by key id.
#[derive(Clone, Default)]
pub struct KeySet {
    named: HashMap<String, VerificationKey>,
    unnamed: Vec<VerificationKey>,
}

impl KeySet {
    /// Reads a JWKS (RFC 7517). Keys that cannot verify tokens of the allowed algorithms are left out, as are all keys
    /// that share an id: which of them is meant would be the token's choice.
    ///
    /// # Errors
    /// [`KeyError`] when it is no JWKS, holds too many keys, or none that can be used.
    pub fn parse(
        document: &[u8],
        allowed: &[Algorithm],
        limits: &FetchSettings,
    ) -> Result<Self, KeyError> {
        let members = strict::object(document).ok_or(KeyError::NotJwks)?;
        let Some(Value::Array(keys)) = members.get("keys") else {
            return Err(KeyError::NotJwks);
        };
        if keys.len() > limits.keys_max {
            return Err(KeyError::TooMany {
                found: keys.len(),
                limit: limits.keys_max,
            });
        }
        let mut set = Self::default();
        let mut shared = HashSet::new();
        for (kid, key) in keys
            .iter()
            .filter_map(|key| VerificationKey::of_jwk(key, allowed))
        {
            match kid {
                None => set.unnamed.push(key),
                Some(kid) if set.named.contains_key(&kid) => drop(shared.insert(kid)),
                Some(kid) => drop(set.named.insert(kid, key)),
            }
        }
        set.named.retain(|kid, _| !shared.contains(kid));
        if set.is_empty() {
            return Err(KeyError::NoneUsable(keys.len()));
        }
        Ok(set)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.named.len() + self.unnamed.len()
    }

    /// Is there no key at all?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key that a header names. A header without a key id is answered only where one key alone has its algorithm.
    pub(in crate::auth) fn find(&self, header: &Header) -> Result<&VerificationKey, AuthError> {
        let Some(kid) = &header.key_id else {
            let mut fitting = self
                .named
                .values()
                .chain(&self.unnamed)
                .filter(|key| key.algorithm() == header.algorithm);
            return match (fitting.next(), fitting.next()) {
                (Some(key), None) => Ok(key),
                _ => Err(AuthError::UnknownKey),
            };
        };
        let key = self.named.get(kid).ok_or(AuthError::UnknownKey)?;
        if key.algorithm() == header.algorithm {
            Ok(key)
        } else {
            Err(AuthError::WrongAlgorithm)
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.named.keys()).finish()
    }
}

/// Our own HS256 keys: the first signs, all verify (C03).
#[derive(Clone)]
pub struct KeyRing {
    signing_id: String,
    signing: EncodingKey,
    keys: KeySet,
}

impl KeyRing {
    /// Reads the configured secrets.
    ///
    /// # Errors
    /// [`KeyError`] for the first key that has no usable id or secret.
    pub fn parse(keys: &[OwnKey]) -> Result<Self, KeyError> {
        let mut ring: Option<Self> = None;
        for (index, key) in keys.iter().enumerate() {
            let id_fits = !key.kid.is_empty()
                && key.kid.len() <= KEY_ID_MAX_BYTES
                && key.kid.chars().all(|c| c.is_ascii_graphic());
            if !id_fits {
                return Err(KeyError::KeyId(index));
            }
            let secret = signing_secret(key)?;
            let ring = ring.get_or_insert_with(|| Self {
                signing_id: key.kid.clone(),
                signing: EncodingKey::from_secret(secret),
                keys: KeySet::default(),
            });
            let verifying = VerificationKey::hs256(secret);
            if ring.keys.named.insert(key.kid.clone(), verifying).is_some() {
                return Err(KeyError::DuplicateKeyId(key.kid.clone()));
            }
        }
        ring.ok_or(KeyError::NoKeys)
    }

    /// The id of the key that signs.
    pub fn signing_id(&self) -> &str {
        &self.signing_id
    }

    pub(in crate::auth) const fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// Signs the first two parts of a token; the third, where the library can.
    pub(in crate::auth) fn sign(&self, input: &str) -> Option<String> {
        crypto::sign(input.as_bytes(), &self.signing, JwtAlgorithm::HS256).ok()
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyRing").field(&self.keys).finish()
    }
}

/// The bytes of a secret, if they can be random (R126).
fn signing_secret(key: &OwnKey) -> Result<&[u8], KeyError> {
    let secret = key.secret.expose().as_slice();
    if secret.len() < SECRET_MIN_BYTES {
        return Err(KeyError::TooShort {
            kid: key.kid.clone(),
            bytes: secret.len(),
        });
    }
    if secret.iter().collect::<HashSet<_>>().len() < DISTINCT_BYTES_MIN {
        return Err(KeyError::NotRandom(key.kid.clone()));
    }
    Ok(secret)
}

const PADDED_OR_NOT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
pub(in crate::auth) const ANY_BASE64URL: GeneralPurpose =
    GeneralPurpose::new(&alphabet::URL_SAFE, PADDED_OR_NOT);

/// Shortest HS256 secret (R126, RFC 7518 section 3.2).
const SECRET_MIN_BYTES: usize = 32;

/// A secret may be text, and 64 random hex digits have no more than 16 different ones. Fewer than this many come once in more
/// than 10^8 draws.
const DISTINCT_BYTES_MIN: usize = 10;

#[cfg(test)]
mod tests {
    use crate::auth::support::secret;
    use crate::secret::Secret;

    use super::*;

    fn own(kid: &str, secret: &[u8]) -> OwnKey {
        OwnKey {
            kid: kid.into(),
            secret: Secret::new(secret.to_vec()),
        }
    }

    #[test]
    fn r126_weak_secrets_are_refused_and_never_shown() {
        let canary = "canary-not-a-real-secret!";
        let short = |bytes| KeyError::TooShort {
            kid: "a".into(),
            bytes,
        };
        for (secret, refusal) in [
            (String::new(), short(0)),
            (
                String::from_utf8_lossy(b"canary-not-a-real-secret-31-byt").into(),
                short(31),
            ),
            (canary.into(), short(25)),
            ("ab".repeat(32), KeyError::NotRandom("a".into())),
            ("ab01".repeat(16), KeyError::NotRandom("a".into())),
        ] {
            let refused = KeyRing::parse(&[own("a", secret.as_bytes())]).unwrap_err();
            assert_eq!(refused, refusal);
            assert!(!format!("{refused} {refused:?}").contains(canary));
        }
    }

    #[test]
    fn c03_a_ring_needs_distinct_ids_and_its_first_key_signs() {
        assert_eq!(KeyRing::parse(&[]).unwrap_err(), KeyError::NoKeys);
        let (one, two) = (secret(1), secret(2));
        let refused = KeyRing::parse(&[own("a", &one), own("a", &two)]).unwrap_err();
        assert_eq!(refused, KeyError::DuplicateKeyId("a".into()));
        for kid in ["", "a b", "a\n", &"k".repeat(257)] {
            let refused = KeyRing::parse(&[own(kid, &one)]).unwrap_err();
            assert_eq!(refused, KeyError::KeyId(0), "{kid:?}");
        }
        let ring = KeyRing::parse(&[own("new", &two), own("old", &one)]).unwrap();
        assert_eq!((ring.signing_id(), ring.keys().len()), ("new", 2));
    }
}
