//! Strings and numbers, the two lexemes of JSON in which readers differ: what an escape means, what half of a surrogate
//! pair becomes, and how large a number may be.

use super::json::{JsonError, Scanner};

impl Scanner<'_> {
    /// Passes over a string; says whether it holds escapes.
    pub(super) fn string(&mut self) -> Result<bool, JsonError> {
        self.at += 1;
        let mut escaped = false;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let plain = rest
                .iter()
                .position(|b| *b < 0x20 || *b == b'"' || *b == b'\\')
                .unwrap_or(rest.len());
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(JsonError::ControlCharacter { offset: self.at }),
                None => return Err(self.surprise()),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let offset = self.at;
        match self.bytes.get(offset + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let low = match self.unit(offset)? {
                    0xd800..=0xdbff => self.unit(offset + 6).ok(),
                    0xdc00..=0xdfff => None,
                    _ => {
                        self.at += 6;
                        return Ok(());
                    }
                };
                if !matches!(low, Some(0xdc00..=0xdfff)) {
                    return Err(JsonError::LoneSurrogate { offset });
                }
                self.at += 12;
            }
            Some(_) => return Err(JsonError::BadEscape { offset }),
            None => {
                self.at += 1;
                return Err(self.surprise());
            }
        }
        Ok(())
    }

    /// The sixteen bits of the `\uXXXX` at `offset`.
    fn unit(&self, offset: usize) -> Result<u32, JsonError> {
        let bad = JsonError::BadEscape { offset };
        let digits = match self.bytes.get(offset..offset + 6) {
            Some([b'\\', b'u', digits @ ..]) => digits,
            _ => return Err(bad),
        };
        digits.iter().try_fold(0, |value, digit| {
            let digit = char::from(*digit).to_digit(16).ok_or(bad)?;
            Ok(value * 16 + digit)
        })
    }

    /// Passes over a number.
    pub(super) fn number(&mut self) -> Result<(), JsonError> {
        let offset = self.at;
        let bad = JsonError::BadNumber { offset };
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let first = self.peek();
        let whole = self.digits();
        if whole == 0 || (whole > 1 && first == Some(b'0')) {
            return Err(bad);
        }
        let mut far = whole > SAFE_DIGITS;
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(bad);
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(bad);
            }
            far = true;
        }
        if far {
            self.in_range(offset)?;
        }
        Ok(())
    }

    fn in_range(&self, offset: usize) -> Result<(), JsonError> {
        let text = self.text.get(offset..self.at).unwrap_or_default();
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(()),
            _ => Err(JsonError::NumberOutOfRange { offset }),
        }
    }

    fn digits(&mut self) -> usize {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += count;
        count
    }
}

/// More whole digits than this may pass the largest double, which has 309.
const SAFE_DIGITS: usize = 300;
