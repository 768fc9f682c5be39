//! A token issuer for tests: makes keys at run time, publishes them as JSON Web Keys and signs anything, however odd.
//! Uses the cryptography directly, so that what is tested is not also what made the test.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A key with its id and algorithm.
pub(crate) struct Signer {
    pub(crate) kid: String,
    key: Key,
}

enum Key {
    Hs256(Vec<u8>),
    Rs256(RsaKeyPair),
    Ps256(RsaKeyPair),
    Es256(EcdsaKeyPair),
    Es384(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

#[allow(dead_code, reason = "shared by test suites that each use a part of it")]
impl Signer {
    pub(crate) fn hs256(kid: &str, secret: &[u8]) -> Self {
        Self::with(kid, Key::Hs256(secret.to_vec()))
    }

    pub(crate) fn rs256(kid: &str) -> Self {
        Self::with(kid, Key::Rs256(rsa(KeySize::Rsa2048)))
    }

    pub(crate) fn ps256(kid: &str) -> Self {
        Self::with(kid, Key::Ps256(rsa(KeySize::Rsa2048)))
    }

    pub(crate) fn es256(kid: &str) -> Self {
        Self::with(kid, Key::Es256(ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING)))
    }

    pub(crate) fn es384(kid: &str) -> Self {
        Self::with(kid, Key::Es384(ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING)))
    }

    pub(crate) fn eddsa(kid: &str) -> Self {
        Self::with(kid, Key::EdDsa(Ed25519KeyPair::generate().unwrap()))
    }

    fn with(kid: &str, key: Key) -> Self {
        Self {
            kid: kid.to_owned(),
            key,
        }
    }

    /// The JWA name of the algorithm.
    pub(crate) fn algorithm(&self) -> &'static str {
        match self.key {
            Key::Hs256(_) => "HS256",
            Key::Rs256(_) => "RS256",
            Key::Ps256(_) => "PS256",
            Key::Es256(_) => "ES256",
            Key::Es384(_) => "ES384",
            Key::EdDsa(_) => "EdDSA",
        }
    }

    /// The public key as a JSON Web Key; of an HMAC key, the secret itself.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = match &self.key {
            Key::Hs256(secret) => json!({"kty": "oct", "k": b64(secret)}),
            Key::Rs256(pair) | Key::Ps256(pair) => {
                let public = pair.public_key();
                json!({"kty": "RSA", "n": b64(public.modulus().big_endian_without_leading_zero()),
                    "e": b64(public.exponent().big_endian_without_leading_zero())})
            }
            Key::Es256(pair) => point("P-256", pair.public_key().as_ref()),
            Key::Es384(pair) => point("P-384", pair.public_key().as_ref()),
            Key::EdDsa(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key().as_ref())})
            }
        };
        jwk["kid"] = self.kid.as_str().into();
        jwk["alg"] = self.algorithm().into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// The public key in every form that an attacker may try as an HMAC secret: DER, PEM with and without its last line
    /// break, and the raw numbers.
    pub(crate) fn public_forms(&self) -> Vec<Vec<u8>> {
        let (der, raw): (Vec<u8>, Vec<u8>) = match &self.key {
            Key::Hs256(_) => return Vec::new(),
            Key::Rs256(pair) | Key::Ps256(pair) => {
                let public = pair.public_key();
                let der = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(public);
                (
                    der.unwrap().as_ref().to_vec(),
                    public.modulus().big_endian_without_leading_zero().to_vec(),
                )
            }
            Key::Es256(pair) | Key::Es384(pair) => {
                let der = pair.public_key().as_der().unwrap();
                (der.as_ref().to_vec(), pair.public_key().as_ref().to_vec())
            }
            Key::EdDsa(pair) => {
                let der = pair.public_key().as_der().unwrap();
                (der.as_ref().to_vec(), pair.public_key().as_ref().to_vec())
            }
        };
        let pem = pem(&der);
        let jwk = self.jwk();
        let text = jwk["n"].as_str().or(jwk["x"].as_str()).unwrap().to_owned();
        vec![
            der,
            raw,
            pem.trim_end().as_bytes().to_vec(),
            pem.into_bytes(),
            text.into_bytes(),
            jwk.to_string().into_bytes(),
        ]
    }

    /// A good header for this key.
    pub(crate) fn header(&self) -> Value {
        json!({"alg": self.algorithm(), "typ": "JWT", "kid": self.kid})
    }

    /// A token with the good header.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&self.header().to_string(), &claims.to_string())
    }

    /// A correctly signed token of any header and payload text.
    pub(crate) fn sign(&self, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", b64(header.as_bytes()), b64(payload.as_bytes()));
        let signature = self.signature(input.as_bytes());
        format!("{input}.{}", b64(&signature))
    }

    /// The bare signature of any bytes.
    pub(crate) fn signature(&self, input: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Hs256(secret) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input)
                .as_ref()
                .to_vec(),
            Key::Rs256(pair) => rsa_signature(pair, &RSA_PKCS1_SHA256, input),
            Key::Ps256(pair) => rsa_signature(pair, &RSA_PSS_SHA256, input),
            Key::Es256(pair) | Key::Es384(pair) => {
                pair.sign(&random, input).unwrap().as_ref().to_vec()
            }
            Key::EdDsa(pair) => pair.sign(input).as_ref().to_vec(),
        }
    }
}

#[allow(dead_code, reason = "shared by test suites that each use a part of it")]
/// A visibly fake secret of 32 bytes, different for each seed.
pub(crate) fn secret(seed: u8) -> Vec<u8> {
    (0..32_u8)
        .map(|n| n.wrapping_mul(37).wrapping_add(seed))
        .collect()
}

/// base64url without padding.
pub(crate) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa(size: KeySize) -> RsaKeyPair {
    RsaKeyPair::generate(size).unwrap()
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    EcdsaKeyPair::generate(algorithm).unwrap()
}

fn rsa_signature(
    pair: &RsaKeyPair,
    encoding: &'static dyn aws_lc_rs::signature::RsaEncoding,
    input: &[u8],
) -> Vec<u8> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), input, &mut signature)
        .unwrap();
    signature
}

fn point(curve: &str, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at((point.len() - 1) / 2);
    json!({"kty": "EC", "crv": curve, "x": b64(x), "y": b64(y)})
}

fn pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        lines.join("\n")
    )
}
