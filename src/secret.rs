//! Values that must never be printed. A [`Secret`] has no useful `Debug`, no `Display` and no `Serialize`, is zeroised
//! when dropped, and is opened only by [`Secret::expose`], which a search finds (R058, R086).

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A value that is wiped on drop and never formatted.
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes ownership of a secret value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Every call of this is a place to review.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize + AsRef<[u8]>> Secret<T> {
    /// Compares in time that depends on the lengths alone (R019).
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        self.0.as_ref().ct_eq(other).into()
    }
}

/// Whether two secrets are the same one, in time that depends on their lengths alone.
impl<T: Zeroize + AsRef<[u8]>> PartialEq for Secret<T> {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other.0.as_ref())
    }
}

impl<T: Zeroize + AsRef<[u8]>> Eq for Secret<T> {}

impl<T: Zeroize + Clone> Clone for Secret<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r058_r086_a_secret_never_shows_in_debug_output() {
        let secret = Secret::new(String::from("canary-not-a-real-secret"));
        assert_eq!(format!("{secret:?}"), "[REDACTED]");
    }

    #[test]
    fn r019_comparison_is_by_value() {
        let secret = Secret::new(b"one".to_vec());
        assert!(secret.ct_eq(b"one"));
        assert!(!secret.ct_eq(b"two"));
        assert!(!secret.ct_eq(b"longer than it"));
    }
}
