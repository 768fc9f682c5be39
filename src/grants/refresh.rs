//! The refresh token: which grant it belongs to, which step of its family it is, a secret, and a code that only we can
//! make. So a token that is too old is known as ours and ends its family, and a forged one touches nothing.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::opaque;
use crate::random;
use crate::secret::Secret;

const ID: usize = 16;
const SECRET: usize = 32;
const CODE: usize = 16;
const NONCE: usize = 12;
const ALL: usize = ID + 4 + SECRET + CODE;

const CODE_LABEL: &[u8] = b"sallygate refresh token v1";
const SUCCESSOR_LABEL: &[u8] = b"sallygate refresh successor v1";

/// What a refresh token says about itself, once its code was found to be ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::grants) struct Reading {
    /// The grant, as 32 hex digits.
    pub(in crate::grants) grant: String,
    /// How often the family was rotated before it.
    pub(in crate::grants) step: u32,
}

/// Makes and recognises refresh tokens under one key of the server.
#[derive(Clone)]
pub(in crate::grants) struct Press(Secret<[u8; 32]>);

impl Press {
    pub(in crate::grants) const fn new(key: Secret<[u8; 32]>) -> Self {
        Self(key)
    }

    /// A new token; none without randomness, or for a grant whose id is not 32 hex digits.
    pub(in crate::grants) fn strike(&self, grant: &str, step: u32) -> Option<Secret<String>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(ALL));
        bytes.extend_from_slice(&from_hex(grant)?);
        bytes.extend_from_slice(&step.to_be_bytes());
        let secret = Zeroizing::new(random::bytes::<SECRET>().ok()?);
        bytes.extend_from_slice(secret.as_slice());
        let code = self.code(&bytes)?;
        bytes.extend_from_slice(&code);
        Some(opaque::write(opaque::REFRESH, &bytes))
    }

    /// What a token says, if we made it.
    pub(in crate::grants) fn read(&self, token: &str) -> Option<Reading> {
        let bytes = opaque::read(opaque::REFRESH, token, ALL)?;
        let (said, code) = bytes.expose().split_at_checked(ALL - CODE)?;
        let mut mac = self.mac()?;
        mac.update(said);
        mac.verify_truncated_left(code).ok()?;
        let (grant, rest) = said.split_first_chunk::<ID>()?;
        let (step, _) = rest.split_first_chunk::<4>()?;
        Some(Reading {
            grant: random::to_hex(grant),
            step: u32::from_be_bytes(*step),
        })
    }

    fn code(&self, said: &[u8]) -> Option<[u8; CODE]> {
        let mut mac = self.mac()?;
        mac.update(said);
        let digest = mac.finalize().into_bytes();
        digest.first_chunk::<CODE>().copied()
    }

    fn mac(&self) -> Option<Hmac<Sha256>> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.0.expose()).ok()?;
        mac.update(CODE_LABEL);
        Some(mac)
    }
}

/// Seals a token's successor under a key that only whoever holds the token can derive: a response that was lost can be
/// given once more, and the store alone gives nobody a token.
pub(in crate::grants) fn seal_successor(token: &str, successor: &str) -> Option<String> {
    let nonce = random::bytes::<NONCE>().ok()?;
    let payload = Payload {
        msg: successor.as_bytes(),
        aad: SUCCESSOR_LABEL,
    };
    let sealed = cipher(token)?.encrypt(&Nonce::from(nonce), payload).ok()?;
    let mut out = nonce.to_vec();
    out.extend_from_slice(&sealed);
    Some(URL_SAFE_NO_PAD.encode(out))
}

/// The successor of a token.
pub(in crate::grants) fn open_successor(token: &str, sealed: &str) -> Option<Secret<String>> {
    let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE>()?;
    let payload = Payload {
        msg: sealed,
        aad: SUCCESSOR_LABEL,
    };
    let plain = cipher(token)?.decrypt(&Nonce::from(*nonce), payload).ok()?;
    String::from_utf8(plain).ok().map(Secret::new)
}

fn cipher(token: &str) -> Option<Aes256Gcm> {
    let mut key = Zeroizing::new([0_u8; 32]);
    Hkdf::<Sha256>::new(None, token.as_bytes())
        .expand(SUCCESSOR_LABEL, key.as_mut())
        .ok()?;
    Some(Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key)))
}

fn from_hex(text: &str) -> Option<[u8; ID]> {
    u128::from_str_radix(text, 16)
        .ok()
        .filter(|_| text.len() == 2 * ID)
        .map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANT: &str = "00112233445566778899aabbccddeeff";

    fn press(byte: u8) -> Press {
        Press::new(Secret::new([byte; 32]))
    }

    #[test]
    fn a_token_of_another_key_is_not_ours() {
        let token = press(1).strike(GRANT, 3).unwrap();
        assert_eq!(press(2).read(token.expose()), None);
        let read = press(1).read(token.expose()).unwrap();
        assert_eq!((read.grant.as_str(), read.step), (GRANT, 3));
    }

    #[test]
    fn no_part_of_a_token_can_be_changed() {
        let token = press(1).strike(GRANT, 3).unwrap();
        let bytes = opaque::read(opaque::REFRESH, token.expose(), ALL).unwrap();
        for at in 0..ALL {
            let mut changed = bytes.expose().clone();
            changed[at] ^= 1;
            // The checksum is right again: only the code tells.
            let forged = opaque::write(opaque::REFRESH, &changed);
            assert_eq!(press(1).read(forged.expose()), None, "{at}");
        }
    }

    #[test]
    fn a_successor_opens_for_its_predecessor_alone() {
        let sealed = seal_successor("canary-not-a-real-token-1", "canary-successor").unwrap();
        assert!(open_successor("canary-not-a-real-token-2", &sealed).is_none());
        assert!(open_successor("canary-not-a-real-token-1", sealed.get(1..).unwrap()).is_none());
        assert!(open_successor("canary-not-a-real-token-1", "").is_none());
        let opened = open_successor("canary-not-a-real-token-1", &sealed).unwrap();
        assert_eq!(opened.expose(), "canary-successor");
        assert!(!sealed.contains("canary"));
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_struck_is_read_again_and_whatever_is_sealed_is_opened(
            grant in "[0-9a-f]{32}",
            step in proptest::prelude::any::<u32>(),
            successor in ".{0,200}",
        ) {
            let token = press(1).strike(&grant, step).unwrap();
            let read = press(1).read(token.expose()).unwrap();
            proptest::prop_assert_eq!((read.grant, read.step), (grant, step));
            let sealed = seal_successor(token.expose(), &successor).unwrap();
            let opened = open_successor(token.expose(), &sealed).unwrap();
            proptest::prop_assert_eq!(opened.expose(), &successor);
        }
    }
}
