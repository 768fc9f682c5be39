//! Key sets as issuers publish them, and as an issuer never should.

use serde_json::Value;

use crate::auth::header::{Algorithm, Header};
use crate::auth::keys::{KeyError, KeySet};
use crate::auth::settings::FetchSettings;
use crate::auth::support::{Signer, b64};
use crate::auth::{AuthError, Bearer};

fn parse(keys: &[Value]) -> Result<KeySet, KeyError> {
    let document = serde_json::json!({ "keys": keys }).to_string();
    KeySet::parse(
        document.as_bytes(),
        &Algorithm::ASYMMETRIC,
        &FetchSettings::default(),
    )
}

fn header(algorithm: &str, kid: &str) -> Header {
    let encoded = b64(serde_json::json!({"alg": algorithm, "kid": kid})
        .to_string()
        .as_bytes());
    Header::read(&Bearer::parse(&format!("{encoded}.e30.AAAA"), 8192).unwrap()).unwrap()
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
    let modulus = |bytes: usize, first: u8| {
        let mut modulus = vec![0xff; bytes];
        modulus[0] = first;
        Value::from(b64(&modulus))
    };
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
        with(&rsa, "n", modulus(128, 0xff)),
        with(&rsa, "n", modulus(256, 0x7f)),
        with(&rsa, "n", modulus(1025, 1)),
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
