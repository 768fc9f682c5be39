//! The keyed hash chain. Each line ends with `prev`, the seal of the line before it, and `mac`, its own seal:
//! HMAC-SHA256 under the chain's key over everything before `,"mac":`, of which `prev` is a part. Without the key no line
//! can be changed, added, moved or left out; what a chain alone cannot show, a tail that was cut off, is shown by the
//! signed [`Head`], which is kept beside the files and can be kept elsewhere too.
//!
//! Checkpoints are lines of the chain that name the key in use, so a new key can take over inside a chain. A later
//! rewriting of lines (C34) needs no other form: it seals the rewritten lines anew and says so in a `redaction` line.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::random;
use crate::secret::Secret;

/// The shortest key that is accepted, in bytes.
pub const MIN_KEY: usize = 32;

/// A seal in lowercase hex.
pub(in crate::audit) const SEAL_DIGITS: usize = 64;

/// The `prev` of the very first line.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

const MAC_FIELD: &[u8] = br#","mac":""#;
const LINE_END: &[u8] = br#""}"#;

/// The key is too short to seal anything.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an audit key needs at least {MIN_KEY} bytes, this one has {0}")]
pub struct WeakKey(pub usize);

/// The key of a chain.
#[derive(Clone)]
pub struct ChainKey {
    id: String,
    /// Keyed once: each seal goes on from a copy of this state.
    keyed: Hmac<Sha256>,
}

impl fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainKey").field("id", &self.id).finish()
    }
}

impl ChainKey {
    /// From at least [`MIN_KEY`] secret bytes.
    ///
    /// # Errors
    /// [`WeakKey`] when there are fewer.
    pub fn new(secret: Secret<Vec<u8>>) -> Result<Self, WeakKey> {
        let length = secret.expose().len();
        if length < MIN_KEY {
            return Err(WeakKey(length));
        }
        let mut digest = Sha256::new_with_prefix(b"sallygate audit key id\n");
        digest.update(secret.expose());
        let id = format!(
            "ak_{}",
            random::to_hex(digest.finalize().get(..6).unwrap_or_default())
        );
        let keyed = Hmac::<Sha256>::new_from_slice(secret.expose()).map_err(|_| WeakKey(length))?;
        Ok(Self { id, keyed })
    }

    /// The public name of the key, in checkpoints.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A key for the hashes in details, from which this one cannot be found.
    pub fn details_key(&self) -> Secret<Vec<u8>> {
        Secret::new(self.raw(b"details", b"").to_vec())
    }

    fn raw(&self, purpose: &[u8], message: &[u8]) -> [u8; 32] {
        let mut mac = self.keyed.clone();
        mac.update(purpose);
        mac.update(b"\n");
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    fn seal(&self, body: &[u8]) -> String {
        random::to_hex(&self.raw(b"line", body))
    }
}

/// Keys by which old lines can still be verified.
#[derive(Clone, Debug)]
pub struct KeyRing(Vec<ChainKey>);

impl KeyRing {
    /// The current key first.
    pub const fn new(keys: Vec<ChainKey>) -> Self {
        Self(keys)
    }

    /// The key of that name.
    pub fn key(&self, id: &str) -> Option<&ChainKey> {
        self.0.iter().find(|key| key.id == id)
    }

    pub(in crate::audit) fn iter(&self) -> impl Iterator<Item = &ChainKey> {
        self.0.iter()
    }
}

/// A place in the chain: a line's number and its seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The number of the line; the first is 1.
    pub seq: u64,
    /// Its `mac`.
    pub mac: String,
}

impl Link {
    /// Before the first line.
    pub fn genesis() -> Self {
        Self {
            seq: 0,
            mac: GENESIS.into(),
        }
    }
}

/// Seals the body that begins at `start`, appends the seal and a line break, and gives the new end of the chain.
pub(in crate::audit) fn seal(key: &ChainKey, seq: u64, out: &mut Vec<u8>, start: usize) -> Link {
    let mac = key.seal(out.get(start..).unwrap_or_default());
    out.extend_from_slice(MAC_FIELD);
    out.extend_from_slice(mac.as_bytes());
    out.extend_from_slice(LINE_END);
    out.push(b'\n');
    Link { seq, mac }
}

/// A line cut into its body and its seal, or nothing if it has not that form.
pub(in crate::audit) fn split(line: &[u8]) -> Option<(&[u8], &str)> {
    let rest = line.strip_suffix(LINE_END)?;
    let (rest, mac) = rest.split_at_checked(rest.len().checked_sub(SEAL_DIGITS)?)?;
    let body = rest.strip_suffix(MAC_FIELD)?;
    Some((body, std::str::from_utf8(mac).ok()?))
}

/// Whether this key made the seal of this body.
pub(in crate::audit) fn is_sealed(key: &ChainKey, body: &[u8], mac: &str) -> bool {
    Secret::new(key.seal(body)).ct_eq(mac.as_bytes())
}

/// The signed end of the chain: how many lines there are and which is the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last line.
    pub link: Link,
    /// When this was signed.
    pub at: Timestamp,
    /// The name of the key that signed it.
    pub key_id: String,
    signature: String,
}

impl Head {
    /// Signs the end of a chain.
    pub fn sign(key: &ChainKey, link: Link, at: Timestamp) -> Self {
        let signature = random::to_hex(&key.raw(b"head", &Self::message(&link, at)));
        Self {
            link,
            at,
            key_id: key.id.clone(),
            signature,
        }
    }

    /// Whether a key of the ring signed it.
    pub fn is_genuine(&self, ring: &KeyRing) -> bool {
        ring.key(&self.key_id)
            .is_some_and(|key| *self == Self::sign(key, self.link.clone(), self.at))
    }

    /// One line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::json!({
            "seq": self.link.seq, "mac": self.link.mac, "at": self.at.millis(),
            "key_id": self.key_id, "signature": self.signature
        })
        .to_string()
    }

    /// Reads what [`Head::to_json`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
        Some(Self {
            link: Link {
                seq: value.get("seq")?.as_u64()?,
                mac: text("mac")?,
            },
            at: Timestamp::from_millis(value.get("at")?.as_i64()?),
            key_id: text("key_id")?,
            signature: text("signature")?,
        })
    }

    fn message(link: &Link, at: Timestamp) -> Vec<u8> {
        format!("{}\n{}\n{}", link.seq, link.mac, at.millis()).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> ChainKey {
        ChainKey::new(Secret::new(vec![byte; 32])).unwrap()
    }

    #[test]
    fn short_keys_are_refused() {
        let short = ChainKey::new(Secret::new(vec![1; 31]));
        assert_eq!(short.map(|_| ()), Err(WeakKey(31)));
        assert_ne!(key(1).id(), key(2).id());
    }

    #[test]
    fn a_seal_fits_one_body_and_one_key() {
        let mut out = br#"{"seq":1,"prev":"00""#.to_vec();
        let link = seal(&key(1), 1, &mut out, 0);
        let (body, mac) = split(out.trim_ascii_end()).unwrap();
        assert_eq!(mac, link.mac);
        assert!(is_sealed(&key(1), body, mac));
        assert!(!is_sealed(&key(2), body, mac));
        assert!(!is_sealed(&key(1), br#"{"seq":2,"prev":"00""#, mac));
        for broken in ["", "{}", r#"{"mac":"00"}"#, r#"{"a":1,"mac":"#] {
            assert_eq!(split(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn a_head_is_genuine_only_as_it_was_signed() {
        let ring = KeyRing::new(vec![key(1)]);
        let link = Link {
            seq: 9,
            mac: GENESIS.into(),
        };
        let head = Head::sign(&key(1), link.clone(), Timestamp::from_seconds(5));
        assert!(Head::parse(&head.to_json()).unwrap().is_genuine(&ring));
        let lower = head.to_json().replace("\"seq\":9", "\"seq\":8");
        assert!(!Head::parse(&lower).unwrap().is_genuine(&ring));
        let foreign = Head::sign(&key(2), link, Timestamp::from_seconds(5));
        assert!(!foreign.is_genuine(&ring));
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_sealed_is_split_again_and_a_head_is_read_again(
            body in "\\{\"a\":\"[ -!#-\\[\\]-~]{0,300}\"",
            seq in proptest::prelude::any::<u64>(),
            at in 0_i64..4_000_000_000_000,
        ) {
            let mut out = body.clone().into_bytes();
            let link = seal(&key(1), seq, &mut out, 0);
            let line = out.strip_suffix(b"\n").unwrap();
            let (read, mac) = split(line).unwrap();
            proptest::prop_assert_eq!(read, body.as_bytes());
            proptest::prop_assert_eq!(mac, &link.mac);
            let head = Head::sign(&key(1), link, Timestamp::from_millis(at));
            let read = Head::parse(&head.to_json()).unwrap();
            proptest::prop_assert_eq!(&read, &head);
            proptest::prop_assert!(read.is_genuine(&KeyRing::new(vec![key(1)])));
        }
    }
}
