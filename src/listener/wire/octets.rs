//! Which octets may stand where. Nothing here allocates; each question is answered in one pass.

/// Which octets may be part of a method or of a header's name (`tchar`, RFC 9110 section 5.6.2): one bit for each of ASCII,
/// in two halves that fit a register each.
const TOKEN: [u64; 2] = {
    let mut allowed = 0_u128;
    let mut rest: &[u8] =
        b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    while let [octet, behind @ ..] = rest {
        allowed |= 1_u128 << *octet;
        rest = behind;
    }
    [allowed as u64, (allowed >> 64) as u64]
};

/// Whether the octet may be part of a token.
pub(super) fn is_token(octet: u8) -> bool {
    let [low, high] = TOKEN;
    let half = if octet < 64 { low } else { high };
    octet.is_ascii() & (half.wrapping_shr(octet.into()) & 1 == 1)
}

/// Whether all of it is one token.
pub(super) fn are_token(octets: &[u8]) -> bool {
    let all = octets
        .iter()
        .fold(true, |all, octet| all & is_token(*octet));
    all && !octets.is_empty()
}

/// Whether a control character other than the tab is among them (RFC 9110 section 5.5).
pub(super) fn hold_control(octets: &[u8]) -> bool {
    // Without a way out of the loop, so that many octets are compared at once.
    octets.iter().fold(false, |found, octet| {
        found | ((*octet < b' ') & (*octet != b'\t')) | (*octet == 0x7f)
    })
}

/// Whether all of it may stand in a path or query. Stricter than what parsers take: fragments never travel, and quotation
/// marks, angle brackets, backslashes and backticks are read in several ways.
pub(super) fn are_target(octets: &[u8]) -> bool {
    octets.iter().all(|octet| {
        matches!(octet, 0x21..=0x7e) && !matches!(octet, b'"' | b'#' | b'<' | b'>' | b'\\' | b'`')
    })
}

/// Whether it is a host with or without a port, in the letters that names and addresses are made of (RFC 9110 section 7.2).
/// User information, lists and percent signs are for nobody to interpret.
pub(super) fn are_host(octets: &[u8]) -> bool {
    let Some((first, _)) = octets.split_first() else {
        return false;
    };
    *first != b':'
        && octets.iter().all(|octet| {
            octet.is_ascii_alphanumeric()
                || matches!(octet, b'-' | b'.' | b'_' | b'~' | b':' | b'[' | b']')
        })
}

/// Where the value lies between the optional white space around it (RFC 9110 section 5.6.3).
pub(super) fn trimmed(octets: &[u8]) -> (usize, &[u8]) {
    let is_space = |octet: &u8| matches!(octet, b' ' | b'\t');
    let start = octets.iter().take_while(|octet| is_space(octet)).count();
    let rest = octets.get(start..).unwrap_or_default();
    let spaces = rest
        .iter()
        .rev()
        .take_while(|octet| is_space(octet))
        .count();
    let value = rest
        .get(..rest.len().saturating_sub(spaces))
        .unwrap_or_default();
    (start, value)
}

/// What stands before and behind the first such octet.
pub(super) fn split(octets: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(at, octets)?;
    let (before, behind) = octets.split_at_checked(at)?;
    Some((before, behind.get(1..)?))
}
