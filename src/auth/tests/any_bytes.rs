//! Whatever the bytes, the stage answers with a principal or a reason. No input makes it stop, and nothing but the token
//! that was signed is accepted.

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use proptest::prelude::*;

use crate::auth::support::b64;
use crate::auth::{AuthError, Bearer};

use super::rig::Rig;

/// Failing inputs are printed, not kept in files.
fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn outcome(rig: &Rig, token: &str) -> Result<(), AuthError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(rig.verify(token)).map(drop)
}

fn rig() -> Rig {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(Rig::own())
}

#[test]
fn r429_any_header_line_is_answered() {
    proptest!(config(), |(line in proptest::collection::vec(any::<u8>(), 0..200), query in ".{0,40}")| {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(&line) {
            headers.insert(AUTHORIZATION, value);
        }
        prop_assert!(Bearer::from_request(&headers, Some(&query), 100).is_err());
    });
}

#[test]
fn r429_any_header_and_payload_under_a_good_signature_are_answered() {
    let rig = rig();
    proptest!(config(), |(header in "\\PC{0,60}", payload in "\\PC{0,60}")| {
        prop_assert!(outcome(&rig, &rig.signer.sign(&header, &payload)).is_err());
        let good = rig.signer.header().to_string();
        prop_assert!(outcome(&rig, &rig.signer.sign(&good, &payload)).is_err());
    });
}

#[test]
fn r116_a_token_with_any_character_changed_is_refused() {
    let rig = rig();
    let good = rig.good();
    proptest!(config(), |(at in any::<prop::sample::Index>(), with in "[A-Za-z0-9._=+/ -]")| {
        let mut bytes = good.clone().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != with.as_bytes()[0]);
        bytes[at] = with.as_bytes()[0];
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert!(outcome(&rig, &changed).is_err(), "{at}");
    });
    assert_eq!(outcome(&rig, &good), Ok(()));
}

#[test]
fn any_claim_values_under_a_good_signature_are_answered() {
    let rig = rig();
    let scalar = "(null|true|-?[0-9]{1,25}(\\.[0-9]{1,5})?(e[+-]?[0-9]{1,3})?|\"[a-z\\\\]{0,5}\")";
    let names = ["exp", "nbf", "iat", "aud", "sub", "scope", "jti", "iss"];
    proptest!(config(), |(name in prop::sample::select(names.to_vec()), value in scalar)| {
        let payload = super::bad_tokens::with(&rig.claims(), name, Some(&value));
        let header = rig.signer.header().to_string();
        let token = rig.signer.sign(&header, &payload);
        if let Err(refusal) = outcome(&rig, &token) {
            prop_assert!(!refusal.reason().is_empty());
            prop_assert!(refusal.status().is_client_error());
        }
        // The unsigned twin is never accepted, whatever it says.
        let (input, _) = token.rsplit_once('.').unwrap();
        let unsigned = [input, &b64(&[0; 32])].join(".");
        prop_assert!(outcome(&rig, &unsigned).is_err());
    });
}
