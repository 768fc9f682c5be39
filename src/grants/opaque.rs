//! Opaque strings that the gateway issues: a fixed prefix, base62, and a checksum, so that scanners find leaked ones and
//! nothing mistyped reaches the store (C55). What they stand for is kept under their hash alone.

use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use crate::random::{self, NoRandomness};
use crate::secret::Secret;

/// An authorization code.
pub const CODE: &str = "mcp_ac_";
/// A refresh token.
pub const REFRESH: &str = "mcp_rt_";
/// The secret of a registered client.
pub const CLIENT_SECRET: &str = "mcp_cs_";
/// The id of a registered client. Not a secret.
pub const CLIENT: &str = "mcp_client_";

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Digits that hold a CRC-32.
const CHECKSUM_DIGITS: usize = 6;

/// A new one, of `N` random bytes.
///
/// # Errors
/// [`NoRandomness`].
pub fn draw<const N: usize>(prefix: &str) -> Result<Secret<String>, NoRandomness> {
    let mut bytes = random::bytes::<N>()?;
    let text = write(prefix, &bytes);
    bytes.zeroize();
    Ok(text)
}

/// The one spelling of these bytes.
pub fn write(prefix: &str, bytes: &[u8]) -> Secret<String> {
    let mut text = String::with_capacity(prefix.len() + width(bytes.len()) + CHECKSUM_DIGITS);
    text.push_str(prefix);
    text.push_str(Secret::new(to_base62(bytes, width(bytes.len()))).expose());
    let checksum = crc32fast::hash(text.as_bytes()).to_be_bytes();
    text.push_str(&to_base62(&checksum, CHECKSUM_DIGITS));
    Secret::new(text)
}

/// The `count` bytes behind a text, if it has this prefix, the right length and a good checksum.
pub fn read(prefix: &str, text: &str, count: usize) -> Option<Secret<Vec<u8>>> {
    let digits = text.strip_prefix(prefix)?;
    let (body, checksum) = digits.split_at_checked(width(count))?;
    let head = text.get(..prefix.len() + body.len())?;
    let expected = crc32fast::hash(head.as_bytes()).to_be_bytes();
    if checksum != to_base62(&expected, CHECKSUM_DIGITS) {
        return None;
    }
    from_base62(body, count).map(Secret::new)
}

/// Under which an opaque string is kept: 64 hex digits of SHA-256. There is nothing to salt, since what is hashed is
/// random.
pub fn hash(text: &str) -> String {
    random::to_hex(&Sha256::digest(text.as_bytes()))
}

/// Digits that hold so many bytes: a digit holds a little more than 5.954 bits.
const fn width(bytes: usize) -> usize {
    (bytes * 8000).div_ceil(5954)
}

fn to_base62(bytes: &[u8], width: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = vec![b'0'; width];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest << 8 | u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            rest = value % 62;
        }
        *digit = DIGITS.get(rest as usize).copied().unwrap_or(b'0');
    }
    number.zeroize();
    digits.into_iter().map(char::from).collect()
}

fn from_base62(text: &str, count: usize) -> Option<Vec<u8>> {
    let mut number = vec![0_u8; count];
    for character in text.bytes() {
        let digit = DIGITS.iter().position(|known| *known == character)?;
        let mut carry = u32::try_from(digit).ok()?;
        for byte in number.iter_mut().rev() {
            let value = u32::from(*byte) * 62 + carry;
            *byte = value.to_le_bytes()[0];
            carry = value >> 8;
        }
        // A number that does not fit would be a second spelling of another one.
        if carry != 0 {
            return None;
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_written_by_us_is_not_read() {
        let good = write(CODE, &[7; 32]);
        let text = good.expose();
        assert!(read(CODE, text, 32).is_some());
        assert!(read(REFRESH, text, 32).is_none());
        assert!(read(CODE, text, 31).is_none());
        assert!(read(CODE, &format!("{text}0"), 32).is_none());
        assert!(read(CODE, text.get(1..).unwrap(), 32).is_none());
        assert!(read(CODE, text.get(..text.len() - 1).unwrap(), 32).is_none());
        for at in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(read(CODE, &changed, 32).is_none(), "{at}");
        }
        for odd in ["", "mcp_ac_", "mcp_ac_é", "mcp_ac_\u{0}"] {
            assert!(read(CODE, odd, 32).is_none(), "{odd:?}");
        }
    }

    #[test]
    fn a_number_too_large_for_its_bytes_is_no_second_spelling() {
        assert!(from_base62(&"z".repeat(width(32)), 32).is_none());
        assert_eq!(from_base62("48", 1), None);
        assert_eq!(from_base62("47", 1), Some(vec![255]));
    }

    #[test]
    fn c55_r607_bytes_come_back_and_scanners_see_the_prefix() {
        let pattern = regex::Regex::new("mcp_[a-zA-Z0-9]+").unwrap();
        for bytes in [vec![0; 68], vec![255; 68], (0..68).collect()] {
            let text = write(REFRESH, &bytes);
            assert_eq!(read(REFRESH, text.expose(), 68).unwrap().expose(), &bytes);
            assert_eq!(text.expose().len(), 7 + 92 + 6);
            assert!(pattern.is_match(text.expose()));
        }
        let (one, two) = (draw::<32>(CODE).unwrap(), draw::<32>(CODE).unwrap());
        assert_ne!(one.expose(), two.expose());
        assert_eq!(hash(one.expose()).len(), 64);
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_written_is_read_again(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 1..96)) {
            for prefix in [CODE, REFRESH, CLIENT_SECRET, CLIENT] {
                let text = write(prefix, &bytes);
                let read = read(prefix, text.expose(), bytes.len()).unwrap();
                proptest::prop_assert_eq!(read.expose(), &bytes);
            }
        }
    }
}
