//! What the gateway signs for a token endpoint: who it is itself (`private_key_jwt`, RFC 7523), and for whom it asks. Each
//! lives a minute and has an id of its own, so that it can be used once.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::{SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::error::EndpointError;
use crate::clock::Clock;
use crate::random;
use crate::secret::Secret;

/// How long an assertion lives, in seconds.
const LIFE: i64 = 60;

/// A private key and its name.
#[derive(Clone, Debug, PartialEq)]
pub struct KeySettings {
    /// PEM file with an RSA, P-256 or Ed25519 key (PKCS#8; RSA also PKCS#1).
    pub file: PathBuf,
    /// The name of the key in the header of what it signs, if the other side wants one.
    pub id: Option<String>,
}

/// Why a key cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read key file {path}")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds no key of a kind that is known.
    #[error("{0} holds no RSA, P-256 or Ed25519 private key in PEM form")]
    Unknown(PathBuf),
}

/// Signs assertions.
#[derive(Debug)]
pub(super) struct Signer {
    key: Key,
    id: Option<String>,
    clock: Clock,
}

#[derive(Debug)]
enum Key {
    /// RS256 and EdDSA.
    Plain(Box<dyn rustls::sign::Signer>, &'static str),
    /// ES256, whose signature JWS wants as two plain numbers.
    P256(EncodingKey),
}

impl Signer {
    pub(super) fn new(settings: &KeySettings, clock: Clock) -> Result<Self, KeyError> {
        let path = &settings.file;
        let pem = std::fs::read(path).map_err(|source| KeyError::Unreadable {
            path: path.clone(),
            source,
        })?;
        let pem = Secret::new(pem);
        let key = parse(pem.expose()).ok_or_else(|| KeyError::Unknown(path.clone()))?;
        Ok(Self {
            key,
            id: settings.id.clone(),
            clock,
        })
    }

    /// An assertion with these claims, and those that every one has.
    pub(super) fn sign(
        &self,
        issuer: &str,
        subject: &str,
        audience: &str,
    ) -> Result<Secret<String>, EndpointError> {
        let now = self.clock.now().seconds();
        let id = random::hex::<16>().map_err(|_| EndpointError::Unsigned)?;
        let claims = json!({
            "iss": issuer, "sub": subject, "aud": audience, "jti": id,
            "iat": now, "nbf": now, "exp": now.saturating_add(LIFE),
        });
        let mut header = json!({"alg": self.algorithm(), "typ": "JWT"});
        if let (Some(id), Some(header)) = (&self.id, header.as_object_mut()) {
            header.insert("kid".into(), Value::from(id.as_str()));
        }
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let input = format!("{header}.{claims}");
        let signature = self.signature(input.as_bytes())?;
        Ok(Secret::new(format!("{input}.{signature}")))
    }

    const fn algorithm(&self) -> &'static str {
        match &self.key {
            Key::Plain(_, algorithm) => algorithm,
            Key::P256(_) => "ES256",
        }
    }

    fn signature(&self, input: &[u8]) -> Result<String, EndpointError> {
        match &self.key {
            Key::Plain(signer, _) => signer
                .sign(input)
                .map(|signature| URL_SAFE_NO_PAD.encode(signature))
                .map_err(|_| EndpointError::Unsigned),
            Key::P256(key) => {
                crypto::sign(input, key, Algorithm::ES256).map_err(|_| EndpointError::Unsigned)
            }
        }
    }
}

fn parse(pem: &[u8]) -> Option<Key> {
    let der = PrivateKeyDer::from_pem_slice(pem).ok()?;
    let key = any_supported_type(&der).ok()?;
    match key.algorithm() {
        SignatureAlgorithm::RSA => {
            let signer = key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])?;
            Some(Key::Plain(signer, "RS256"))
        }
        SignatureAlgorithm::ED25519 => {
            let signer = key.choose_scheme(&[SignatureScheme::ED25519])?;
            Some(Key::Plain(signer, "EdDSA"))
        }
        SignatureAlgorithm::ECDSA => {
            key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256])?;
            let key = EncodingKey::from_ec_der(der.secret_der());
            // A key in the older form can be read above and not here.
            crypto::sign(b"", &key, Algorithm::ES256).ok()?;
            Some(Key::P256(key))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::DecodingKey;
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;
    use crate::clock::Timestamp;

    fn signer(pem: &str) -> Result<Signer, KeyError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        std::fs::write(&file, pem).unwrap();
        let id = Some("k1".into());
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        Signer::new(&KeySettings { file, id }, clock)
    }

    #[test]
    fn what_is_no_key_that_can_sign_is_refused_when_it_is_read() {
        let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let public = KeyPair::generate().unwrap().public_key_pem();
        for pem in ["", "canary-not-a-real-key", &p384.serialize_pem(), &public] {
            assert!(matches!(signer(pem), Err(KeyError::Unknown(_))), "{pem}");
        }
        let missing = KeySettings {
            file: "/nowhere/key.pem".into(),
            id: None,
        };
        let refused = Signer::new(&missing, Clock::system());
        assert!(matches!(refused, Err(KeyError::Unreadable { .. })));
    }

    #[test]
    fn rfc7523_s3_an_assertion_names_both_sides_lives_a_minute_and_has_an_id() {
        for (kind, algorithm) in [
            (&PKCS_ECDSA_P256_SHA256, Algorithm::ES256),
            (&PKCS_ED25519, Algorithm::EdDSA),
        ] {
            let pair = KeyPair::generate_for(kind).unwrap();
            let signer = signer(&pair.serialize_pem()).unwrap();
            let [one, two] =
                [1, 2].map(|_| signer.sign("gw", "user_1", "https://as.test/t").unwrap());
            let public = match algorithm {
                Algorithm::ES256 => DecodingKey::from_ec_der(pair.public_key_raw()),
                _ => DecodingKey::from_ed_der(pair.public_key_raw()),
            };
            let (input, signature) = one.expose().rsplit_once('.').unwrap();
            assert!(crypto::verify(signature, input.as_bytes(), &public, algorithm).unwrap());
            let [header, claims] = [0, 1].map(|at| {
                let part = one.expose().split('.').nth(at).unwrap();
                let json = URL_SAFE_NO_PAD.decode(part).unwrap();
                serde_json::from_slice::<Value>(&json).unwrap()
            });
            assert_eq!(header["kid"], "k1");
            assert_eq!(claims["aud"], "https://as.test/t");
            assert_eq!(
                (&claims["iss"], &claims["sub"]),
                (&"gw".into(), &"user_1".into())
            );
            assert_eq!(claims["exp"], 1_800_000_060);
            assert_ne!(one.expose(), two.expose());
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let pair = KeyPair::generate().unwrap();
        let shown = format!("{:?}", signer(&pair.serialize_pem()).unwrap());
        let der = format!("{:?}", pair.serialize_der());
        assert!(!shown.contains(der.get(1..40).unwrap()), "{shown}");
    }
}
