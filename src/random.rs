//! Randomness comes from one place: the operating system. Failure to get any is the caller's to report; nothing here
//! falls back to a weaker source.

use std::fmt::Write;

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

/// Lowercase hex of any bytes.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
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
}
