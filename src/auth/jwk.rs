//! One verification key, pinned to exactly one algorithm when it is loaded. The token's header may only confirm that
//! algorithm; it never chooses one, so a public key can never be taken for an HMAC secret.

use base64::Engine;
use jsonwebtoken::{Algorithm as JwtAlgorithm, DecodingKey, crypto};
use serde_json::{Map, Value};

use super::bearer::Bearer;
use super::error::AuthError;
use super::header::{Algorithm, KEY_ID_MAX_BYTES};
use super::keys::ANY_BASE64URL;

/// A key that verifies tokens of one algorithm.
#[derive(Clone)]
pub(in crate::auth) struct VerificationKey {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl VerificationKey {
    /// Reads one member of a JWKS, where it can verify tokens: asymmetric, public, meant for signatures, strong enough,
    /// and of one allowed algorithm. Gives its id too.
    pub(in crate::auth) fn of_jwk(
        key: &Value,
        allowed: &[Algorithm],
    ) -> Option<(Option<String>, Self)> {
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
            Self {
                algorithm,
                key: decoding,
            },
        ))
    }

    /// Our own key, which both signs and verifies.
    pub(in crate::auth) fn hs256(secret: &[u8]) -> Self {
        Self {
            algorithm: Algorithm::Hs256,
            key: DecodingKey::from_secret(secret),
        }
    }

    /// The one algorithm that this key verifies.
    pub(in crate::auth) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Verifies the signature of a token, under the key's own algorithm.
    pub(in crate::auth) fn verify(&self, token: &Bearer<'_>) -> Result<(), AuthError> {
        let input = token.signing_input().as_bytes();
        match crypto::verify(token.signature(), input, &self.key, library(self.algorithm)) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(AuthError::InvalidSignature),
        }
    }
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

/// Smallest RSA modulus (RFC 7518 section 3.3), and the largest that is worth the time.
const RSA_MIN_BITS: usize = 2048;
const RSA_MAX_BITS: usize = 8192;
