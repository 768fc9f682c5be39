//! Randomness comes from one place: the operating system. Failure to get any is the caller's to report; nothing here
//! falls back to a weaker source.

use std::cell::RefCell;

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system has no randomness to give")]
pub struct NoRandomness;

/// `N` random bytes from the operating system.
///
/// # Errors
/// When the system's source is unavailable.
pub fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut out = [0_u8; N];
    getrandom::fill(&mut out).map_err(|_| NoRandomness)?;
    Ok(out)
}

/// `2 * N` lowercase hex digits made of `N` random bytes.
///
/// # Errors
/// When the system's source is unavailable.
pub fn hex<const N: usize>() -> Result<String, NoRandomness> {
    Ok(to_hex(&bytes::<N>()?))
}

/// How many bytes for identifiers a thread asks the operating system for at a time.
const STOCK: usize = 512;

thread_local! {
    /// What the operating system gave this thread for identifiers, and how much of it is left.
    static ASKED: RefCell<([u8; STOCK], usize)> = const { RefCell::new(([0; STOCK], 0)) };
}

/// `2 * N` lowercase hex digits for an identifier that nobody can choose or guess and that opens nothing. The bytes are the
/// operating system's like all others, but a thread asks for many at a time: a system call for each request would cost more
/// than everything else that an identifier needs. Secrets are never taken from here, since the stock lies in memory.
///
/// # Errors
/// When the system's source is unavailable.
pub fn identifier<const N: usize>() -> Result<String, NoRandomness> {
    ASKED.with_borrow_mut(|(stock, left)| {
        if *left < N {
            *stock = bytes()?;
            *left = STOCK;
        }
        let from = *left - N;
        let id = to_hex(stock.get(from..*left).ok_or(NoRandomness)?);
        *left = from;
        Ok(id)
    })
}

/// Lowercase hex of any bytes.
pub fn to_hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
    let mut out = vec![0; bytes.len() * 2];
    for (place, byte) in out.chunks_exact_mut(2).zip(bytes) {
        place.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    // Digits are text.
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r091_two_draws_differ_and_have_the_asked_length() {
        let (one, two) = (hex::<32>().unwrap(), hex::<32>().unwrap());
        assert_eq!(one.len(), 64);
        assert_ne!(one, two);
    }

    #[test]
    fn r173_identifiers_differ_over_many_stocks() {
        let ids: std::collections::BTreeSet<_> =
            (0..1000).map(|_| identifier::<8>().unwrap()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 16));
        assert_eq!(to_hex(&[0, 9, 10, 0xaf, 0xff]), "00090aafff");
    }
}
