//! Payment card numbers: 13 to 19 digits, alone or in groups, that pass the Luhn check (R506). A sliding window over
//! groups is used instead of a pattern, because a number that happens to stand before a card must not hide it.

use super::{Kind, REDACTED, Tally};

const SHORTEST: usize = 13;
const LONGEST: usize = 19;

/// The text without card numbers, or nothing if there are none.
pub(super) fn redact(text: &str, tally: &mut Tally) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out: Option<String> = None;
    let (mut at, mut copied) = (0, 0);
    while at < bytes.len() {
        let starts_group = is_digit(bytes, at) && (at == 0 || !is_digit(bytes, at - 1));
        match starts_group.then(|| card_at(bytes, at)).flatten() {
            Some(end) => {
                let out = out.get_or_insert_with(|| String::with_capacity(text.len()));
                out.push_str(text.get(copied..at).unwrap_or_default());
                out.push_str(REDACTED);
                tally.add(Kind::Card);
                (at, copied) = (end, end);
            }
            None => at += 1,
        }
    }
    out.map(|mut out| {
        out.push_str(text.get(copied..).unwrap_or_default());
        out
    })
}

/// Where the card that begins here ends, if there is one; the longest is taken.
fn card_at(bytes: &[u8], start: usize) -> Option<usize> {
    // Cards begin with 2 to 6; times in milliseconds or nanoseconds begin with 1 for another two decades.
    if !matches!(bytes.get(start), Some(b'2'..=b'6')) {
        return None;
    }
    let mut digits = [0_u8; LONGEST];
    let (mut count, mut at, mut found) = (0, start, None);
    while let Some(&byte) = bytes.get(at) {
        if byte.is_ascii_digit() {
            let Some(slot) = digits.get_mut(count) else {
                break;
            };
            *slot = byte - b'0';
            count += 1;
            let ends_group = !is_digit(bytes, at + 1);
            if ends_group && count >= SHORTEST && luhn(digits.get(..count).unwrap_or_default()) {
                found = Some(at + 1);
            }
        } else if !(matches!(byte, b' ' | b'-') && is_digit(bytes, at + 1)) {
            break;
        }
        at += 1;
    }
    found
}

fn is_digit(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_some_and(u8::is_ascii_digit)
}

/// ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}
