//! Keys, each pinned to exactly one algorithm when it is loaded. The token's header may only confirm that algorithm; it
//! never chooses one, so a public key can never be taken for an HMAC secret.

use std::collections::{HashMap, HashSet};
use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::{Algorithm as JwtAlgorithm, DecodingKey, EncodingKey, crypto};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::bearer::Bearer;
use super::error::AuthError;
use super::header::{Algorithm, Header, KEY_ID_MAX_BYTES};
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
    /// A secret in neither form.
    #[error("the secret of key `{0}` is neither hex nor base64")]
    Encoding(String),
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

/// A key that verifies tokens of one algorithm.
#[derive(Clone)]
pub(in crate::auth) struct VerificationKey {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl VerificationKey {
    /// Verifies the signature of a token, under the key's own algorithm.
    pub(in crate::auth) fn verify(&self, token: &Bearer<'_>) -> Result<(), AuthError> {
        let input = token.signing_input().as_bytes();
        match crypto::verify(token.signature(), input, &self.key, library(self.algorithm)) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(AuthError::InvalidSignature),
        }
    }
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
        for (kid, key) in keys.iter().filter_map(|key| public_key(key, allowed)) {
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
                .filter(|key| key.algorithm == header.algorithm);
            return match (fitting.next(), fitting.next()) {
                (Some(key), None) => Ok(key),
                _ => Err(AuthError::UnknownKey),
            };
        };
        let key = self.named.get(kid).ok_or(AuthError::UnknownKey)?;
        if key.algorithm == header.algorithm {
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
                signing: EncodingKey::from_secret(&secret),
                keys: KeySet::default(),
            });
            let verifying = VerificationKey {
                algorithm: Algorithm::Hs256,
                key: DecodingKey::from_secret(&secret),
            };
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

/// The bytes of a secret: hex where it is nothing but hex digits in pairs, else base64 in either alphabet, padded or not.
fn signing_secret(key: &OwnKey) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let text = key.secret.expose().trim();
    let decoded = from_hex(text)
        .or_else(|| ANY_BASE64.decode(text).ok())
        .or_else(|| ANY_BASE64URL.decode(text).ok())
        .map(Zeroizing::new)
        .ok_or_else(|| KeyError::Encoding(key.kid.clone()))?;
    if decoded.len() < SECRET_MIN_BYTES {
        return Err(KeyError::TooShort {
            kid: key.kid.clone(),
            bytes: decoded.len(),
        });
    }
    if decoded.iter().collect::<HashSet<_>>().len() < DISTINCT_BYTES_MIN {
        return Err(KeyError::NotRandom(key.kid.clone()));
    }
    Ok(decoded)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|d| d as u8);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    pairs
        .iter()
        .map(|[high, low]| Some(digit(high)? << 4 | digit(low)?))
        .collect()
}

/// One member of a JWKS, where it can verify tokens: asymmetric, public, meant for signatures, strong enough, and of one
/// allowed algorithm.
fn public_key(key: &Value, allowed: &[Algorithm]) -> Option<(Option<String>, VerificationKey)> {
    let key = key.as_object()?;
    let kid = match key.get("kid") {
        None => None,
        Some(kid) => Some(
            kid.as_str()
                .filter(|kid| kid.len() <= KEY_ID_MAX_BYTES)?
                .to_owned(),
        ),
    };
    if !meant_for_signatures(key) || key.contains_key("d") || key.contains_key("k") {
        return None;
    }
    let (fitting, decoding): (&[Algorithm], _) = match key.get("kty")?.as_str()? {
        "RSA" => (&[Algorithm::Rs256, Algorithm::Ps256], rsa(key)?),
        "EC" => match key.get("crv")?.as_str()? {
            "P-256" => (&[Algorithm::Es256], curve_point(key, 32)?),
            "P-384" => (&[Algorithm::Es384], curve_point(key, 48)?),
            _ => return None,
        },
        "OKP" => (&[Algorithm::EdDsa], edwards_point(key)?),
        _ => return None,
    };
    let algorithm = pin(key.get("alg"), fitting, allowed)?;
    Some((
        kid,
        VerificationKey {
            algorithm,
            key: decoding,
        },
    ))
}

/// The one algorithm of a key: the one that it names, else the first allowed one that fits its type.
fn pin(named: Option<&Value>, fitting: &[Algorithm], allowed: &[Algorithm]) -> Option<Algorithm> {
    let candidate = |algorithm: &&Algorithm| fitting.contains(algorithm);
    match named {
        None => allowed.iter().find(candidate).copied(),
        Some(name) => {
            let named = Algorithm::parse(name.as_str()?)?;
            allowed
                .iter()
                .filter(candidate)
                .find(|algorithm| **algorithm == named)
                .copied()
        }
    }
}

fn meant_for_signatures(key: &Map<String, Value>) -> bool {
    let usage = key.get("use").is_none_or(|usage| usage == "sig");
    let operations = key.get("key_ops").is_none_or(|operations| {
        operations
            .as_array()
            .is_some_and(|list| list.iter().any(|operation| operation == "verify"))
    });
    usage && operations
}

fn rsa(key: &Map<String, Value>) -> Option<DecodingKey> {
    let modulus = number(key, "n")?;
    let exponent = number(key, "e")?;
    let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
    let odd = exponent.last()? & 1 == 1 && modulus.last()? & 1 == 1;
    let exponent_fits = exponent.len() <= 4 && exponent.as_slice() != [1];
    (odd && exponent_fits && (RSA_MIN_BITS..=RSA_MAX_BITS).contains(&bits))
        .then(|| DecodingKey::from_rsa_raw_components(&modulus, &exponent))
}

/// The uncompressed form of a point: 4, x, y (SEC 1 section 2.3.3).
fn curve_point(key: &Map<String, Value>, size: usize) -> Option<DecodingKey> {
    let mut point = vec![4];
    for name in ["x", "y"] {
        let coordinate = bytes(key, name)?;
        if coordinate.len() != size {
            return None;
        }
        point.extend(coordinate);
    }
    Some(DecodingKey::from_ec_der(&point))
}

fn edwards_point(key: &Map<String, Value>) -> Option<DecodingKey> {
    let point = bytes(key, "x")?;
    (key.get("crv")? == "Ed25519" && point.len() == 32).then(|| DecodingKey::from_ed_der(&point))
}

/// A big-endian number without its leading zeros.
fn number(key: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    let bytes = bytes(key, name)?;
    Some(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
}

fn bytes(key: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    ANY_BASE64URL.decode(key.get(name)?.as_str()?).ok()
}

const fn library(algorithm: Algorithm) -> JwtAlgorithm {
    match algorithm {
        Algorithm::Hs256 => JwtAlgorithm::HS256,
        Algorithm::Rs256 => JwtAlgorithm::RS256,
        Algorithm::Ps256 => JwtAlgorithm::PS256,
        Algorithm::Es256 => JwtAlgorithm::ES256,
        Algorithm::Es384 => JwtAlgorithm::ES384,
        Algorithm::EdDsa => JwtAlgorithm::EdDSA,
    }
}

const PADDED_OR_NOT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const ANY_BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, PADDED_OR_NOT);
const ANY_BASE64URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, PADDED_OR_NOT);

/// Shortest HS256 secret (R126, RFC 7518 section 3.2).
const SECRET_MIN_BYTES: usize = 32;

/// Of 32 random bytes, fewer than this many distinct ones come once in more than 10^20 draws.
const DISTINCT_BYTES_MIN: usize = 16;

/// Smallest RSA modulus (RFC 7518 section 3.3), and the largest that is worth the time.
const RSA_MIN_BITS: usize = 2048;
const RSA_MAX_BITS: usize = 8192;

#[cfg(test)]
mod tests {
    use crate::auth::support::{Signer, hex_secret};
    use crate::secret::Secret;

    use super::*;

    fn own(kid: &str, secret: &str) -> OwnKey {
        OwnKey {
            kid: kid.into(),
            secret: Secret::new(secret.into()),
        }
    }

    fn parse(keys: &[Value]) -> Result<KeySet, KeyError> {
        let document = serde_json::json!({ "keys": keys }).to_string();
        KeySet::parse(
            document.as_bytes(),
            &Algorithm::ASYMMETRIC,
            &FetchSettings::default(),
        )
    }

    fn header(algorithm: &str, kid: &str) -> Header {
        let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .encode(serde_json::json!({"alg": algorithm, "kid": kid}).to_string());
        Header::read(&Bearer::parse(&format!("{encoded}.e30.AAAA"), 8192).unwrap()).unwrap()
    }

    #[test]
    fn r126_weak_secrets_are_refused_and_never_shown() {
        let canary = "canary-not-a-real-secret!";
        let same = "ab".repeat(32);
        let two = "ab01".repeat(16);
        for (secret, refusal) in [
            (
                "",
                KeyError::TooShort {
                    kid: "a".into(),
                    bytes: 0,
                },
            ),
            (
                &hex_secret(1)[..62],
                KeyError::TooShort {
                    kid: "a".into(),
                    bytes: 31,
                },
            ),
            (
                "c2hvcnQ=",
                KeyError::TooShort {
                    kid: "a".into(),
                    bytes: 5,
                },
            ),
            (canary, KeyError::Encoding("a".into())),
            (&same, KeyError::NotRandom("a".into())),
            (&two, KeyError::NotRandom("a".into())),
        ] {
            let refused = KeyRing::parse(&[own("a", secret)]).unwrap_err();
            assert_eq!(refused, refusal);
            assert!(!format!("{refused} {refused:?}").contains(canary));
        }
    }

    #[test]
    fn c03_a_ring_needs_distinct_ids_and_its_first_key_signs() {
        assert_eq!(KeyRing::parse(&[]).unwrap_err(), KeyError::NoKeys);
        let (one, two) = (hex_secret(1), hex_secret(2));
        let refused = KeyRing::parse(&[own("a", &one), own("a", &two)]).unwrap_err();
        assert_eq!(refused, KeyError::DuplicateKeyId("a".into()));
        for kid in ["", "a b", "a\n", &"k".repeat(257)] {
            let refused = KeyRing::parse(&[own(kid, &one)]).unwrap_err();
            assert_eq!(refused, KeyError::KeyId(0), "{kid:?}");
        }
        let ring = KeyRing::parse(&[own("new", &two), own("old", &one)]).unwrap();
        assert_eq!((ring.signing_id(), ring.keys().len()), ("new", 2));
    }

    #[test]
    fn hex_and_base64_are_two_spellings_of_one_secret() {
        let bytes: Vec<u8> = (0..=255).step_by(7).take(33).collect();
        let hex = crate::random::to_hex(&bytes);
        let padded = base64::engine::general_purpose::STANDARD.encode(&bytes);
        let url = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&bytes);
        for text in [
            hex.clone(),
            hex.to_uppercase(),
            padded,
            url,
            format!(" {hex}\n"),
        ] {
            assert_eq!(*signing_secret(&own("a", &text)).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn keys_that_must_not_verify_tokens_are_left_out() {
        let rsa = Signer::rs256("a").jwk();
        let ec = Signer::es256("a").jwk();
        let ed = Signer::eddsa("a").jwk();
        let with = |key: &Value, name: &str, value: Value| {
            let mut key = key.clone();
            key[name] = value;
            key
        };
        let small = Value::from("A".repeat(170) + "B");
        for key in [
            serde_json::json!({"kty": "oct", "kid": "a", "alg": "HS256", "k": "AAAA"}),
            with(&rsa, "use", "enc".into()),
            with(&rsa, "key_ops", serde_json::json!(["sign"])),
            with(&rsa, "alg", "RSA-OAEP".into()),
            with(&rsa, "alg", "HS256".into()),
            with(&rsa, "alg", "none".into()),
            with(&rsa, "alg", "ES256".into()),
            with(&rsa, "alg", 1.into()),
            with(&rsa, "kty", "EC".into()),
            with(&rsa, "n", small),
            with(&rsa, "n", "".into()),
            with(&rsa, "n", "*".into()),
            with(&rsa, "e", "AQ".into()),
            with(&rsa, "e", "AQAA".into()),
            with(&rsa, "e", "".into()),
            with(&rsa, "d", "AQAB".into()),
            with(&rsa, "k", "AQAB".into()),
            with(&rsa, "kid", 1.into()),
            with(&ec, "alg", "ES384".into()),
            with(&ec, "crv", "P-384".into()),
            with(&ec, "crv", "P-521".into()),
            with(&ec, "crv", "secp256k1".into()),
            with(&ec, "x", "AAAA".into()),
            with(&ed, "crv", "Ed448".into()),
            with(&ed, "crv", "X25519".into()),
            with(&ed, "x", "AAAA".into()),
            with(&ed, "alg", "RS256".into()),
            serde_json::json!("a key"),
            serde_json::json!({}),
        ] {
            let parsed = parse(std::slice::from_ref(&key));
            assert_eq!(parsed.unwrap_err(), KeyError::NoneUsable(1), "{key}");
        }
    }

    #[test]
    fn two_keys_of_one_id_are_both_left_out() {
        let (one, two, three) = (Signer::es256("a"), Signer::eddsa("a"), Signer::es256("b"));
        let set = parse(&[one.jwk(), two.jwk(), three.jwk(), one.jwk()]).unwrap();
        assert_eq!(set.len(), 1);
        assert!(matches!(
            set.find(&header("ES256", "a")),
            Err(AuthError::UnknownKey)
        ));
        assert!(set.find(&header("ES256", "b")).is_ok());
    }

    #[test]
    fn a_document_that_is_no_bounded_key_set_is_refused() {
        for document in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
            let refused = KeySet::parse(
                document.as_bytes(),
                &Algorithm::ASYMMETRIC,
                &FetchSettings::default(),
            );
            assert_eq!(refused.unwrap_err(), KeyError::NotJwks, "{document}");
        }
        let key = Signer::es256("a").jwk();
        assert_eq!(
            parse(&vec![key; 65]).unwrap_err(),
            KeyError::TooMany {
                found: 65,
                limit: 64
            }
        );
    }

    #[test]
    fn a_key_without_alg_is_pinned_to_the_first_allowed_one_that_fits() {
        let mut key = Signer::rs256("a").jwk();
        key.as_object_mut().unwrap().remove("alg");
        let document = serde_json::json!({ "keys": [key] }).to_string();
        let find = |allowed: &[Algorithm], algorithm| {
            KeySet::parse(document.as_bytes(), allowed, &FetchSettings::default())
                .map(|set| set.find(&header(algorithm, "a")).is_ok())
        };
        assert_eq!(find(&Algorithm::ASYMMETRIC, "RS256"), Ok(true));
        assert_eq!(find(&Algorithm::ASYMMETRIC, "PS256"), Ok(false));
        assert_eq!(find(&[Algorithm::Ps256], "PS256"), Ok(true));
        assert_eq!(
            find(&[Algorithm::Es256], "RS256"),
            Err(KeyError::NoneUsable(1))
        );
    }
}
