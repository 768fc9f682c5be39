//! Legacy session ids, sealed. Towards the client, `Mcp-Session-Id` is the upstream's own id encrypted together with the
//! user, the route and an expiry (AES-256-GCM). So a session id is bound to whoever opened it, no replica has to remember
//! it, and an id that is forged, foreign, expired or of another route cannot be told from one that never existed.

use std::time::Duration;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use sha2::Sha256;

use crate::auth::Principal;
use crate::clock::Timestamp;
use crate::random;
use crate::secret::Secret;

const NONCE: usize = 12;
/// The longest upstream session id that is sealed; longer ones have no honest reason.
const MAX_UPSTREAM_ID: usize = 1024;
const MAX_SEALED: usize = 2048;
const LABEL: &[u8] = b"sallygate session seal v1";

/// Why a session id was not sealed or opened. To the caller all of them are an unknown session (404).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The id was not made by us, or for another user or route, or was changed.
    #[error("session id is not genuine for this user and route")]
    NotGenuine,
    /// The id was genuine once.
    #[error("session has expired")]
    Expired,
    /// The upstream's id is longer than a session id has reason to be, or not visible ASCII (MCP transport).
    #[error("upstream's session id is not acceptable")]
    Unsealable,
    /// No key could be derived from the secret.
    #[error("no session key can be derived")]
    Key,
}

/// Seals and opens session ids under one key.
pub struct SessionSeal {
    cipher: Aes256Gcm,
    max_age: Duration,
}

impl std::fmt::Debug for SessionSeal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionSeal")
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}

impl SessionSeal {
    /// A seal under a key derived from `secret`, which every replica of a gateway must share.
    ///
    /// # Errors
    /// [`SessionError::Key`] when no key can be derived.
    pub fn new(secret: &Secret<Vec<u8>>, max_age: Duration) -> Result<Self, SessionError> {
        let mut key = Key::<Aes256Gcm>::default();
        Hkdf::<Sha256>::new(None, secret.expose())
            .expand(LABEL, &mut key)
            .map_err(|_| SessionError::Key)?;
        Ok(Self {
            cipher: Aes256Gcm::new(&key),
            max_age,
        })
    }

    /// The id that the client sees for an upstream's session.
    ///
    /// # Errors
    /// [`SessionError::Unsealable`] when the upstream's id is no session id.
    pub fn seal(
        &self,
        upstream_id: &[u8],
        principal: &Principal,
        route: &str,
        now: Timestamp,
    ) -> Result<String, SessionError> {
        if upstream_id.is_empty()
            || upstream_id.len() > MAX_UPSTREAM_ID
            || !upstream_id.iter().all(u8::is_ascii_graphic)
        {
            return Err(SessionError::Unsealable);
        }
        let nonce = random::bytes::<NONCE>().map_err(|_| SessionError::Unsealable)?;
        let mut plain = now.plus(self.max_age).millis().to_be_bytes().to_vec();
        plain.extend_from_slice(upstream_id);
        let bound = binding(principal, route);
        let sealed = self
            .cipher
            .encrypt(
                &Nonce::from(nonce),
                Payload {
                    msg: &plain,
                    aad: &bound,
                },
            )
            .map_err(|_| SessionError::Unsealable)?;
        let mut out = nonce.to_vec();
        out.extend_from_slice(&sealed);
        Ok(URL_SAFE_NO_PAD.encode(out))
    }

    /// The upstream's id behind a client's.
    ///
    /// # Errors
    /// [`SessionError::NotGenuine`] or [`SessionError::Expired`].
    pub fn open(
        &self,
        sealed: &[u8],
        principal: &Principal,
        route: &str,
        now: Timestamp,
    ) -> Result<Vec<u8>, SessionError> {
        if sealed.len() > MAX_SEALED {
            return Err(SessionError::NotGenuine);
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(sealed)
            .map_err(|_| SessionError::NotGenuine)?;
        let (nonce, cipher) = bytes
            .split_first_chunk::<NONCE>()
            .ok_or(SessionError::NotGenuine)?;
        let bound = binding(principal, route);
        let plain = self
            .cipher
            .decrypt(
                &Nonce::from(*nonce),
                Payload {
                    msg: cipher,
                    aad: &bound,
                },
            )
            .map_err(|_| SessionError::NotGenuine)?;
        let (expires, id) = plain
            .split_first_chunk::<8>()
            .ok_or(SessionError::NotGenuine)?;
        if Timestamp::from_millis(i64::from_be_bytes(*expires)) <= now {
            return Err(SessionError::Expired);
        }
        Ok(id.to_vec())
    }
}

/// Who and where a session belongs to, each part with its length so that no two pairs read alike.
fn binding(principal: &Principal, route: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    for part in [principal.user().as_str(), principal.issuer(), route] {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part.as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    fn seal() -> SessionSeal {
        SessionSeal::new(&Secret::new(vec![7; 32]), Duration::from_secs(3600)).unwrap()
    }

    fn alice() -> Principal {
        Principal::for_tests("alice", "free", &[])
    }

    #[test]
    fn r013_another_users_session_id_is_unknown() {
        let sealed = seal().seal(b"upstream-1", &alice(), "mcp", NOW).unwrap();
        let bob = Principal::for_tests("bob", "free", &[]);
        assert_eq!(
            seal().open(sealed.as_bytes(), &bob, "mcp", NOW),
            Err(SessionError::NotGenuine)
        );
        assert_eq!(
            seal().open(sealed.as_bytes(), &alice(), "other", NOW),
            Err(SessionError::NotGenuine)
        );
        let other_key =
            SessionSeal::new(&Secret::new(vec![8; 32]), Duration::from_secs(3600)).unwrap();
        assert_eq!(
            other_key.open(sealed.as_bytes(), &alice(), "mcp", NOW),
            Err(SessionError::NotGenuine)
        );
    }

    #[test]
    fn every_changed_byte_and_every_foreign_text_is_unknown() {
        let sealed = seal().seal(b"upstream-1", &alice(), "mcp", NOW).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(
                seal().open(&changed, &alice(), "mcp", NOW).is_err(),
                "byte {at}"
            );
        }
        for foreign in ["", "upstream-1", "AAAA", "====", &"A".repeat(5000)] {
            assert_eq!(
                seal().open(foreign.as_bytes(), &alice(), "mcp", NOW),
                Err(SessionError::NotGenuine),
                "{foreign}"
            );
        }
    }

    #[test]
    fn a_session_ends_with_its_age() {
        let sealed = seal().seal(b"upstream-1", &alice(), "mcp", NOW).unwrap();
        let last = NOW.plus(Duration::from_millis(3_599_999));
        assert_eq!(
            seal()
                .open(sealed.as_bytes(), &alice(), "mcp", last)
                .unwrap(),
            b"upstream-1"
        );
        let over = NOW.plus(Duration::from_secs(3600));
        assert_eq!(
            seal().open(sealed.as_bytes(), &alice(), "mcp", over),
            Err(SessionError::Expired)
        );
    }

    #[test]
    fn an_upstream_id_with_control_characters_is_never_passed_on() {
        for id in [&b""[..], b"a\r\nSet-Cookie: x", b"a b", &[b'a'; 1025]] {
            assert_eq!(
                seal().seal(id, &alice(), "mcp", NOW),
                Err(SessionError::Unsealable)
            );
        }
    }

    #[test]
    fn the_sealed_id_is_visible_ascii_and_hides_the_upstreams() {
        let (one, two) = (
            seal().seal(b"upstream-1", &alice(), "mcp", NOW).unwrap(),
            seal().seal(b"upstream-1", &alice(), "mcp", NOW).unwrap(),
        );
        assert_ne!(one, two);
        assert!(one.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(!one.contains("upstream"));
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_sealed_is_opened_for_its_own_and_for_nobody_else(
            id in "[!-~]{1,1024}",
            user in "[a-z]{1,20}",
            age in 0_i64..3_599,
        ) {
            let owner = Principal::for_tests(&user, "free", &[]);
            let sealed = seal().seal(id.as_bytes(), &owner, "route", NOW).unwrap();
            let later = Timestamp::from_seconds(NOW.seconds() + age);
            let opened = seal().open(sealed.as_bytes(), &owner, "route", later);
            proptest::prop_assert_eq!(opened, Ok(id.into_bytes()));
            let other = Principal::for_tests(&format!("{user}x"), "free", &[]);
            let refused = seal().open(sealed.as_bytes(), &other, "route", later);
            proptest::prop_assert_eq!(refused, Err(SessionError::NotGenuine));
        }
    }
}
