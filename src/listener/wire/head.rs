//! The head of one request, judged line by line as it arrives: every octet of it is looked at once, however it was cut
//! into pieces. What comes out is the one thing that the connection's reader has to know: how the body is framed.

use std::ops::Range;

use super::octets::{are_host, are_target, are_token, hold_control, is_token, split, trimmed};
use super::{Fault, Rules};

/// How the body behind a head is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many octets, often none.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// So many empty lines are overlooked before a request (RFC 9112 section 2.2 asks for one).
const EMPTY_LINES: u8 = 2;

/// What the types behind the parser can hold of a target and of a header's name, however long heads may be.
const TARGET_BYTES: usize = 65_000;
const NAME_BYTES: usize = 32_000;

/// Readers with signed numbers would take anything above it for something else.
const LENGTH_MAX: u64 = i64::MAX as u64;

/// A head that is being judged.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Where the line begins that is not complete yet.
    line: usize,
    /// Up to where its end was looked for.
    searched: usize,
    empty_lines: u8,
    request: Option<RequestLine>,
    fields: Fields,
}

#[derive(Debug)]
struct RequestLine {
    is_old: bool,
    may_have_body: bool,
    authority: Option<Range<usize>>,
}

#[derive(Debug, Default)]
struct Fields {
    count: usize,
    host: Option<Range<usize>>,
    length: Option<u64>,
    is_coded: bool,
    expects: bool,
}

impl Head {
    /// Judges the lines that have come since. `head` is the whole head so far, from its first octet. Answers its length and
    /// the framing of the body once it is complete.
    pub(super) fn read(
        &mut self,
        head: &[u8],
        rules: &Rules,
    ) -> Result<Option<(usize, Framing)>, Fault> {
        loop {
            self.begins_well(head)?;
            let within = head.get(..rules.head_bytes).unwrap_or(head);
            let unseen = within.get(self.searched..).unwrap_or_default();
            let Some(found) = memchr::memchr(b'\n', unseen) else {
                self.searched = within.len();
                return if within.len() < rules.head_bytes {
                    Ok(None)
                } else {
                    Err(self.too_long())
                };
            };
            let start = self.line;
            let end = self.searched.saturating_add(found);
            self.line = end.saturating_add(1);
            self.searched = self.line;
            let line = head.get(start..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").ok_or(Fault::LineEnd)?;
            match &self.request {
                None if line.is_empty() => self.empty_line()?,
                None => self.request = Some(RequestLine::parse(line, start)?),
                Some(request) if line.is_empty() => {
                    let framing = self.fields.framing(request, head)?;
                    return Ok(Some((self.line, framing)));
                }
                Some(_) => self.fields.add(line, start, rules)?,
            }
        }
    }

    /// What is no HTTP at all, such as a TLS handshake on a plain port, is known by its first octet.
    fn begins_well(&self, head: &[u8]) -> Result<(), Fault> {
        match (&self.request, head.get(self.line)) {
            (None, Some(first)) if !is_token(*first) && !matches!(first, b'\r' | b'\n') => {
                Err(Fault::RequestLine)
            }
            _ => Ok(()),
        }
    }

    const fn too_long(&self) -> Fault {
        match self.request {
            None => Fault::TargetBytes,
            Some(_) => Fault::HeadBytes,
        }
    }

    fn empty_line(&mut self) -> Result<(), Fault> {
        self.empty_lines = self.empty_lines.saturating_add(1);
        if self.empty_lines > EMPTY_LINES {
            return Err(Fault::EmptyLines);
        }
        Ok(())
    }
}

impl RequestLine {
    /// `method SP request-target SP HTTP-version` (RFC 9112 section 3), which begins at `start`.
    fn parse(line: &[u8], start: usize) -> Result<Self, Fault> {
        let fault = || spoilt(line).unwrap_or(Fault::RequestLine);
        let (method, rest) = split(line, b' ').ok_or_else(fault)?;
        let (target, version) = split(rest, b' ').ok_or_else(fault)?;
        if !are_token(method) || target.is_empty() {
            return Err(fault());
        }
        let is_old = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Fault::Version);
            }
            _ => return Err(fault()),
        };
        if target.len() > TARGET_BYTES {
            return Err(Fault::TargetBytes);
        }
        if method == b"CONNECT" || !are_target(target) {
            return Err(spoilt(line).unwrap_or(Fault::Target));
        }
        let place = start.saturating_add(method.len()).saturating_add(1);
        Ok(Self {
            is_old,
            may_have_body: !matches!(method, b"GET" | b"HEAD" | b"DELETE" | b"OPTIONS" | b"TRACE"),
            authority: authority(target, place)?,
        })
    }
}

/// Where the authority of a target in absolute-form lies; nothing in origin-form. There is no other form for us: a proxy
/// is asked by authority-form, and asterisk-form marks what was refused here (RFC 9112 section 3.2).
fn authority(target: &[u8], place: usize) -> Result<Option<Range<usize>>, Fault> {
    if target.starts_with(b"/") {
        return Ok(None);
    }
    let (scheme, rest) = split(target, b':').ok_or(Fault::Target)?;
    let rest = rest.strip_prefix(b"//").ok_or(Fault::Target)?;
    let length = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    let is_ours = scheme.eq_ignore_ascii_case(b"https") || scheme.eq_ignore_ascii_case(b"http");
    if !is_ours || !are_host(rest.get(..length).unwrap_or_default()) {
        return Err(Fault::Target);
    }
    let start = place
        .saturating_add(target.len())
        .saturating_sub(rest.len());
    Ok(Some(start..start.saturating_add(length)))
}

impl Fields {
    /// One header line, which begins at `start`.
    fn add(&mut self, line: &[u8], start: usize, rules: &Rules) -> Result<(), Fault> {
        self.count = self.count.saturating_add(1);
        if self.count > rules.field_count {
            return Err(Fault::FieldCount);
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(Fault::Folded);
        }
        let fault = || spoilt(line).unwrap_or(Fault::Field);
        let (name, behind) = split(line, b':').ok_or_else(fault)?;
        if !are_token(name) || hold_control(behind) {
            return Err(fault());
        }
        if name.len() > NAME_BYTES {
            return Err(Fault::HeadBytes);
        }
        let (skipped, value) = trimmed(behind);
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                let at = start.saturating_add(name.len()).saturating_add(1);
                self.host(value, at.saturating_add(skipped))
            }
            6 if name.eq_ignore_ascii_case(b"expect") => self.expect(value),
            7 if name.eq_ignore_ascii_case(b"upgrade") => upgrade(value, rules),
            14 if is_twin(name, b"content_length") => Err(Fault::FramingTwin),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.length(value),
            17 if is_twin(name, b"transfer_encoding") => Err(Fault::FramingTwin),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.coding(value),
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8], at: usize) -> Result<(), Fault> {
        if self.host.is_some() || !are_host(value) {
            return Err(Fault::Host);
        }
        self.host = Some(at..at.saturating_add(value.len()));
        Ok(())
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.expects || !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Fault::Expectation);
        }
        self.expects = true;
        Ok(())
    }

    /// One plain decimal number. A repeated one is refused even if it says the same: whoever sends two has joined two
    /// messages, and the next reader may believe the other (RFC 9110 section 8.6).
    fn length(&mut self, value: &[u8]) -> Result<(), Fault> {
        let is_plain = match value {
            [] => false,
            [b'0', _, ..] => false,
            digits => digits.iter().all(u8::is_ascii_digit),
        };
        if self.length.is_some() || !is_plain {
            return Err(Fault::Length);
        }
        let number = value.iter().try_fold(0_u64, |number, digit| {
            let digit = digit.wrapping_sub(b'0');
            number.checked_mul(10)?.checked_add(digit.into())
        });
        let number = number.filter(|number| *number <= LENGTH_MAX);
        self.length = Some(number.ok_or(Fault::Length)?);
        Ok(())
    }

    /// `chunked` and nothing else. Other codings below it are not implemented; any other last coding leaves the length of
    /// the message unknown (RFC 9112 section 6.3).
    fn coding(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.is_coded {
            return Err(Fault::Coding);
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            self.is_coded = true;
            return Ok(());
        }
        let is_chunked = |coding: &[u8]| trimmed(coding).1.eq_ignore_ascii_case(b"chunked");
        let mut codings = value.rsplit(|octet| *octet == b',');
        let is_last = codings.next().is_some_and(is_chunked);
        let mut below = codings.peekable();
        if is_last
            && below.peek().is_some()
            && below.all(|coding| are_token(trimmed(coding).1) && !is_chunked(coding))
        {
            return Err(Fault::CodingUnknown);
        }
        Err(Fault::Coding)
    }

    /// The framing of the body, now that every line is known.
    fn framing(&self, request: &RequestLine, head: &[u8]) -> Result<Framing, Fault> {
        let host = self.host.clone().and_then(|host| head.get(host));
        let host = host.ok_or(Fault::Host)?;
        if let Some(authority) = &request.authority {
            let authority = head.get(authority.clone()).unwrap_or_default();
            if !authority.eq_ignore_ascii_case(host) {
                return Err(Fault::Host);
            }
        }
        let framing = match (self.is_coded, self.length) {
            (true, Some(_)) => return Err(Fault::LengthAndCoding),
            (true, None) if request.is_old => return Err(Fault::CodingTooEarly),
            (true, None) => Framing::Chunked,
            (false, length) => Framing::Length(length.unwrap_or(0)),
        };
        if !request.may_have_body && framing != Framing::Length(0) {
            return Err(Fault::UnexpectedBody);
        }
        Ok(framing)
    }
}

/// Whether this is the name with an underscore, which CGI and its heirs cannot tell from the one with a hyphen.
fn is_twin(name: &[u8], twin: &[u8]) -> bool {
    name.eq_ignore_ascii_case(twin)
}

/// Over plain HTTP, some clients offer HTTP/2 at every first request and go on in HTTP/1.1 when nobody takes it up
/// (RFC 9110 section 7.8). Over TLS there is no honest reason for it, and anything else is a tunnel.
fn upgrade(value: &[u8], rules: &Rules) -> Result<(), Fault> {
    if !rules.is_encrypted && value.eq_ignore_ascii_case(b"h2c") {
        return Ok(());
    }
    Err(Fault::Upgrade)
}

/// What an unreadable line is spoilt by, if it is a single octet.
fn spoilt(line: &[u8]) -> Option<Fault> {
    if line.contains(&b'\r') {
        Some(Fault::LineEnd)
    } else {
        hold_control(line).then_some(Fault::ControlByte)
    }
}
