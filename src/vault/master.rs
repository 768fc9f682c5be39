//! Master keys: what becomes of `ENCRYPTION_KEY`. Random bytes go through HKDF, which makes a key for this purpose of them
//! and costs nothing; a passphrase is stretched by Argon2id with a salt that the store keeps (C07). Both give the same key to
//! every process that has the same text and the same store (R057).

use std::collections::BTreeSet;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::error::{VaultError, WeakKey};
use super::records::StretchRecord;
use super::seal::{KEY_BYTES, KeyId, SealKey};
use crate::random;
use crate::secret::Secret;

/// The least that Argon2id may cost: OWASP's first choice, 19 MiB and two passes.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// The most that a store may ask for, so that a changed record cannot exhaust the machine.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 16;

const SALT_BYTES: usize = 16;
const PASSPHRASE_BYTES: usize = 16;
/// Fewest different bytes in a key; 32 random bytes have fewer than 20 less than once in a million million draws.
const DIFFERENT: usize = 10;
const LABEL: &[u8] = b"sallygate vault master key v2";

/// How a key is made of the configured text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kdf {
    /// Bytes that read as text are a passphrase, all others are random.
    #[default]
    Auto,
    /// At least 32 random bytes.
    Hkdf,
    /// A passphrase.
    Argon2id,
}

impl Kdf {
    /// The derivation that this means for some material.
    fn settle(self, material: &[u8]) -> Derivation {
        match self {
            Self::Hkdf => Derivation::Hkdf,
            Self::Argon2id => Derivation::Argon2id,
            Self::Auto if reads_as_text(material) => Derivation::Argon2id,
            Self::Auto => Derivation::Hkdf,
        }
    }
}

/// 32 random bytes read as text less than once in 10^14 draws.
fn reads_as_text(material: &[u8]) -> bool {
    std::str::from_utf8(material).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// A way to make a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::vault) enum Derivation {
    Hkdf,
    Argon2id,
}

impl Derivation {
    pub(in crate::vault) const fn name(self) -> &'static str {
        match self {
            Self::Hkdf => "hkdf-sha256",
            Self::Argon2id => "argon2id",
        }
    }
}

/// Key material whose derivation is settled and which is strong enough for it.
#[derive(Debug)]
pub(in crate::vault) struct Material<'m> {
    pub(in crate::vault) derivation: Derivation,
    bytes: &'m Secret<Vec<u8>>,
}

impl<'m> Material<'m> {
    pub(in crate::vault) fn check(bytes: &'m Secret<Vec<u8>>, kdf: Kdf) -> Result<Self, WeakKey> {
        let derivation = kdf.settle(bytes.expose());
        let length = bytes.expose().len();
        match derivation {
            Derivation::Hkdf if length < KEY_BYTES => return Err(WeakKey::Short(length)),
            Derivation::Argon2id if length < PASSPHRASE_BYTES => {
                return Err(WeakKey::ShortPassphrase(length));
            }
            _ => {}
        }
        let different: BTreeSet<&u8> = bytes.expose().iter().collect();
        if different.len() < DIFFERENT {
            return Err(WeakKey::Repeating);
        }
        Ok(Self { derivation, bytes })
    }

    /// The key. Takes a moment and some memory if it is a passphrase.
    pub(in crate::vault) fn derive(&self, stretch: &StretchRecord) -> Result<SealKey, VaultError> {
        match self.derivation {
            Derivation::Hkdf => labelled(self.bytes.expose()),
            Derivation::Argon2id => {
                let stretched = stretched(self.bytes.expose(), stretch)?;
                labelled(stretched.as_ref())
            }
        }
    }
}

fn labelled(material: &[u8]) -> Result<SealKey, VaultError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    Hkdf::<Sha256>::new(None, material)
        .expand(LABEL, key.as_mut())
        .map_err(|_| VaultError::Derivation("HKDF"))?;
    Ok(SealKey::new(Secret::new(*key)))
}

fn stretched(
    passphrase: &[u8],
    how: &StretchRecord,
) -> Result<Zeroizing<[u8; KEY_BYTES]>, VaultError> {
    let refused = VaultError::Derivation;
    let salt = STANDARD.decode(&how.salt).map_err(|_| refused("salt"))?;
    if salt.len() < SALT_BYTES {
        return Err(refused("salt"));
    }
    // Weaker than the least would be an attack on the passphrase, stronger than the most one on the machine.
    if !(MEMORY_KIB..=MEMORY_KIB_MAX).contains(&how.memory_kib)
        || !(PASSES..=PASSES_MAX).contains(&how.passes)
        || !(LANES..=LANES_MAX).contains(&how.lanes)
    {
        return Err(refused("cost"));
    }
    let cost = Params::new(how.memory_kib, how.passes, how.lanes, Some(KEY_BYTES))
        .map_err(|_| refused("cost"))?;
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, cost)
        .hash_password_into(passphrase, &salt, key.as_mut())
        .map_err(|_| refused("Argon2id"))?;
    Ok(key)
}

impl StretchRecord {
    /// A new salt, at today's cost.
    pub(in crate::vault) fn new() -> Result<Self, VaultError> {
        Ok(Self {
            salt: STANDARD.encode(random::bytes::<SALT_BYTES>()?),
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
        })
    }
}

/// The master keys that this process was given.
#[derive(Debug)]
pub(in crate::vault) struct Masters {
    /// Seals and opens.
    pub(in crate::vault) current: SealKey,
    /// Open what was sealed before.
    pub(in crate::vault) previous: Vec<SealKey>,
}

impl Masters {
    pub(in crate::vault) fn find(&self, id: KeyId) -> Option<&SealKey> {
        self.iter().find(|key| key.id() == id)
    }

    pub(in crate::vault) fn iter(&self) -> impl Iterator<Item = &SealKey> {
        std::iter::once(&self.current).chain(&self.previous)
    }

    /// Their names, for people.
    pub(in crate::vault) fn names(&self) -> String {
        let names: Vec<_> = self.iter().map(|key| key.id().to_string()).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch() -> StretchRecord {
        StretchRecord {
            salt: STANDARD.encode([9; 16]),
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
        }
    }

    fn secret(bytes: &[u8]) -> Secret<Vec<u8>> {
        Secret::new(bytes.to_vec())
    }

    fn random_looking() -> Secret<Vec<u8>> {
        secret(&(0..32_u8).map(|n| 255 - n * 7).collect::<Vec<u8>>())
    }

    #[test]
    fn r082_weak_keys_are_refused_without_showing_them() {
        for (bytes, kdf, error) in [
            (&b""[..], Kdf::Auto, WeakKey::ShortPassphrase(0)),
            (b"canary", Kdf::Auto, WeakKey::ShortPassphrase(6)),
            (&[200; 31], Kdf::Auto, WeakKey::Short(31)),
            (
                b"canary-not-a-real-passphrase",
                Kdf::Hkdf,
                WeakKey::Short(28),
            ),
            (&[200; 32], Kdf::Hkdf, WeakKey::Repeating),
            (&[b'a'; 64], Kdf::Argon2id, WeakKey::Repeating),
        ] {
            let refused = Material::check(&secret(bytes), kdf).err();
            assert_eq!(refused, Some(error));
            assert!(!error.to_string().contains("canary"));
        }
    }

    #[test]
    fn c07_random_bytes_are_labelled_and_texts_are_stretched() {
        let (random, text) = (random_looking(), secret(b"canary not a real passphrase"));
        let auto = |bytes| Material::check(bytes, Kdf::Auto).unwrap().derivation;
        assert_eq!(auto(&random), Derivation::Hkdf);
        assert_eq!(auto(&text), Derivation::Argon2id);
        let forced = Material::check(&random, Kdf::Argon2id).unwrap();
        assert_eq!(forced.derivation, Derivation::Argon2id);
    }

    #[test]
    fn r057_the_same_text_and_store_give_the_same_key_and_others_others() {
        let (random, text) = (random_looking(), secret(b"canary not a real passphrase"));
        let derive = |bytes, stretch: &StretchRecord| {
            let material = Material::check(bytes, Kdf::Auto).unwrap();
            material.derive(stretch).unwrap().id()
        };
        assert_eq!(derive(&random, &stretch()), derive(&random, &stretch()));
        assert_eq!(derive(&text, &stretch()), derive(&text, &stretch()));
        assert_ne!(derive(&random, &stretch()), derive(&text, &stretch()));
        let salted = StretchRecord {
            salt: STANDARD.encode([8; 16]),
            ..stretch()
        };
        assert_ne!(derive(&text, &stretch()), derive(&text, &salted));
    }

    /// The names of keys that Python's `cryptography` derived from the same material.
    #[test]
    fn c07_both_derivations_are_the_ones_that_others_know() {
        let (random, text) = (random_looking(), secret(b"canary not a real passphrase"));
        for (bytes, name) in [
            (&random, "vk_f29ec82fb1a924e3"),
            (&text, "vk_f2f195b33ce47fcd"),
        ] {
            let material = Material::check(bytes, Kdf::Auto).unwrap();
            assert_eq!(material.derive(&stretch()).unwrap().id().to_string(), name);
        }
    }

    #[test]
    fn a_store_cannot_weaken_the_stretching_or_exhaust_the_machine() {
        let changes: [fn(&mut StretchRecord); 7] = [
            |how| how.memory_kib = 8,
            |how| how.memory_kib = u32::MAX,
            |how| how.passes = 1,
            |how| how.passes = u32::MAX,
            |how| how.lanes = u32::MAX,
            |how| how.salt = STANDARD.encode([1; 8]),
            |how| how.salt = "?".into(),
        ];
        for change in changes {
            let mut how = stretch();
            change(&mut how);
            let refused = stretched(b"canary", &how).map(|_| ());
            assert!(matches!(refused, Err(VaultError::Derivation(_))), "{how:?}");
        }
    }
}
