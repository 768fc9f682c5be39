//! Sizes and durations as people write them in a config file: `1MiB`, `30s`, `24h`. A bare number means bytes, or
//! seconds.

use std::fmt;
use std::time::Duration;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

/// What was written is no size or no duration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// The text has no leading number.
    #[error("`{0}` does not begin with a whole number")]
    NoNumber(String),
    /// The unit is not one of those allowed.
    #[error("`{0}` has an unknown unit; use one of {1}")]
    UnknownUnit(String, &'static str),
    /// The number does not fit.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

const SIZE_UNITS: &str = "B, KB, KiB, MB, MiB, GB, GiB";
const DURATION_UNITS: &str = "ms, s, m, h, d";

impl ByteSize {
    /// From a count of bytes.
    pub const fn bytes(count: u64) -> Self {
        Self(count)
    }

    /// From a count of 1024-byte units.
    pub const fn kib(count: u64) -> Self {
        Self(count * 1024)
    }

    /// From a count of 1048576-byte units.
    pub const fn mib(count: u64) -> Self {
        Self(count * 1024 * 1024)
    }

    /// The count of bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The count of bytes as a length in memory, saturating on small machines.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Reads `1MiB`, `512 KB` or `1024`.
    ///
    /// ```
    /// use sallygate::units::ByteSize;
    ///
    /// assert_eq!(ByteSize::parse("1MiB"), Ok(ByteSize::mib(1)));
    /// assert!(ByteSize::parse("1 parsec").is_err());
    /// ```
    ///
    /// # Errors
    /// [`UnitError`] when the text is not a size.
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text)?;
        let factor = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1_000,
            "kib" | "k" => 1 << 10,
            "mb" => 1_000_000,
            "mib" | "m" => 1 << 20,
            "gb" => 1_000_000_000,
            "gib" | "g" => 1 << 30,
            _ => return Err(UnitError::UnknownUnit(text.into(), SIZE_UNITS)),
        };
        number
            .checked_mul(factor)
            .map(Self)
            .ok_or_else(|| UnitError::TooLarge(text.into()))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 20 && n.is_multiple_of(1 << 20) => write!(f, "{} MiB", n >> 20),
            n if n >= 1 << 10 && n.is_multiple_of(1 << 10) => write!(f, "{} KiB", n >> 10),
            n => write!(f, "{n} B"),
        }
    }
}

/// Reads `250ms`, `30s`, `5m`, `24h`, `90d` or a bare number of seconds.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(sallygate::units::parse_duration("5m"), Ok(Duration::from_secs(300)));
/// ```
///
/// # Errors
/// [`UnitError`] when the text is not a duration.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = split(text)?;
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(UnitError::UnknownUnit(text.into(), DURATION_UNITS)),
    };
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or_else(|| UnitError::TooLarge(text.into()))
}

fn split(text: &str) -> Result<(u64, &str), UnitError> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() {
        return Err(UnitError::NoNumber(text.into()));
    }
    let number = digits
        .parse()
        .map_err(|_| UnitError::TooLarge(text.into()))?;
    Ok((number, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("1024", 1024),
            ("1MiB", 1 << 20),
            ("2 KiB", 2048),
            ("1MB", 1_000_000),
            ("0", 0),
        ] {
            assert_eq!(ByteSize::parse(text), Ok(ByteSize::bytes(bytes)), "{text}");
        }
        for text in [
            "",
            "MiB",
            "-1",
            "1 parsec",
            "99999999999999999999",
            "18446744073709551615GiB",
        ] {
            assert!(ByteSize::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn r384_durations_are_read_in_seconds_and_in_hours() {
        for (text, seconds) in [
            ("86400", 86_400),
            ("24h", 86_400),
            ("5m", 300),
            ("90d", 7_776_000),
            ("1000ms", 1),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for text in ["", "h", "1.5h", "-3s", "3 fortnights"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
