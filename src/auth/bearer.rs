//! Exactly one credential from exactly one place. A [`Bearer`] is a token whose outer form was checked and nothing else:
//! three canonical base64url parts, so that one token has one spelling.

use std::fmt;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderMap};

use super::certificate::ClientCertificate;
use super::error::AuthError;

/// The text of one bearer token, well formed and not yet believed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Bearer<'a> {
    text: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    signing_input: &'a str,
    certificate: Option<&'a Arc<ClientCertificate>>,
}

impl<'a> Bearer<'a> {
    /// Takes the credential of a request: one `Authorization` line, the scheme Bearer, one token of at most `max_bytes`.
    ///
    /// # Errors
    /// [`AuthError`] for anything else, and for `access_token` in the query string even beside a good header (R400).
    pub fn from_request(
        headers: &'a HeaderMap,
        query: Option<&str>,
        max_bytes: usize,
    ) -> Result<Self, AuthError> {
        if query.is_some_and(names_access_token) {
            return Err(AuthError::InQuery);
        }
        let mut lines = headers.get_all(AUTHORIZATION).iter();
        let line = lines.next().ok_or(AuthError::Missing)?;
        if lines.next().is_some() {
            return Err(AuthError::Multiple);
        }
        let (scheme, token) = split_scheme(line.as_bytes());
        if !scheme.eq_ignore_ascii_case(b"bearer") {
            return Err(AuthError::WrongScheme);
        }
        if token.len() > max_bytes {
            return Err(AuthError::TooLarge { limit: max_bytes });
        }
        if memchr::memchr(b',', token).is_some() {
            return Err(AuthError::Multiple);
        }
        Self::parse(
            std::str::from_utf8(token).map_err(|_| AuthError::Malformed("characters"))?,
            max_bytes,
        )
    }

    /// Checks the form of a token that came from elsewhere than a header, such as the command line.
    ///
    /// # Errors
    /// [`AuthError::TooLarge`] or [`AuthError::Malformed`].
    pub fn parse(text: &'a str, max_bytes: usize) -> Result<Self, AuthError> {
        if text.len() > max_bytes {
            return Err(AuthError::TooLarge { limit: max_bytes });
        }
        let last = memchr::memrchr(b'.', text.as_bytes());
        let (signing_input, signature) = parted(text, last)?;
        let first = memchr::memchr(b'.', signing_input.as_bytes());
        let (header, payload) = parted(signing_input, first)?;
        for part in [header, payload, signature] {
            check_base64url(part)?;
        }
        Ok(Self {
            text,
            header,
            payload,
            signature,
            signing_input,
            certificate: None,
        })
    }

    /// The same, as it came over a connection whose caller showed this certificate.
    pub const fn over(mut self, certificate: Option<&'a Arc<ClientCertificate>>) -> Self {
        self.certificate = certificate;
        self
    }

    /// The certificate of the connection that it came over.
    pub(in crate::auth) const fn certificate(&self) -> Option<&'a Arc<ClientCertificate>> {
        self.certificate
    }

    /// The whole token. What is done with it must not show it to anybody (R124).
    pub(in crate::auth) const fn text(&self) -> &'a str {
        self.text
    }

    pub(in crate::auth) const fn header(&self) -> &'a str {
        self.header
    }

    pub(in crate::auth) const fn payload(&self) -> &'a str {
        self.payload
    }

    pub(in crate::auth) const fn signature(&self) -> &'a str {
        self.signature
    }

    /// What the signature is computed over (RFC 7515 section 5.1).
    pub(in crate::auth) const fn signing_input(&self) -> &'a str {
        self.signing_input
    }
}

impl fmt::Debug for Bearer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer([REDACTED])")
    }
}

/// What stands before and behind a dot.
fn parted(text: &str, dot: Option<usize>) -> Result<(&str, &str), AuthError> {
    dot.and_then(|dot| Some((text.get(..dot)?, text.get(dot + 1..)?)))
        .ok_or(AuthError::Malformed("part count"))
}

/// `credentials = auth-scheme 1*SP token68` (RFC 9110 section 11.4).
fn split_scheme(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|&b| b == b' ').unwrap_or(line.len());
    let (scheme, rest) = line.split_at(end);
    let start = rest.iter().position(|&b| b != b' ').unwrap_or(rest.len());
    (scheme, rest.split_at(start).1)
}

fn names_access_token(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes())
        .any(|(name, _)| name.trim().eq_ignore_ascii_case("access_token"))
}

/// Refuses an empty part, characters outside base64url, an impossible length, and unused bits that are not zero: a
/// decoder that ignores those gives one signature many spellings.
fn check_base64url(part: &str) -> Result<(), AuthError> {
    let bytes = part.as_bytes();
    let Some(&last) = bytes.last() else {
        return Err(AuthError::Malformed("empty part"));
    };
    if memchr::memchr(b'.', bytes).is_some() {
        return Err(AuthError::Malformed("part count"));
    }
    // Without a way out in the middle, the loop is done many bytes at a time.
    let is_clean = bytes.iter().fold(true, |clean, &byte| {
        clean & (byte.is_ascii_alphanumeric() | (byte == b'-') | (byte == b'_'))
    });
    if !is_clean {
        return Err(AuthError::Malformed("characters"));
    }
    let unused = match bytes.len() % 4 {
        0 => 0,
        2 => 0b1111,
        3 => 0b11,
        _ => return Err(AuthError::Malformed("length")),
    };
    if sextet(last) & unused == 0 {
        Ok(())
    } else {
        Err(AuthError::Malformed("trailing bits"))
    }
}

const fn sextet(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'-' => 62,
        _ => 63,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.AAAA";

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for line in lines {
            map.append(AUTHORIZATION, HeaderValue::from_bytes(line).unwrap());
        }
        map
    }

    fn refusal(lines: &[&[u8]], query: Option<&str>) -> &'static str {
        Bearer::from_request(&headers(lines), query, 8192)
            .unwrap_err()
            .reason()
    }

    #[test]
    fn a_request_without_exactly_one_bearer_line_is_refused() {
        let good = format!("Bearer {TOKEN}");
        let twice = format!("Bearer {TOKEN}, Bearer {TOKEN}");
        let comma = format!("Bearer {TOKEN},{TOKEN}");
        let tab = format!("Bearer\t{TOKEN}");
        let glued = format!("Bearer{TOKEN}");
        for (lines, reason) in [
            (vec![], "missing_credential"),
            (
                vec![good.as_bytes(), good.as_bytes()],
                "multiple_credentials",
            ),
            (
                vec![good.as_bytes(), b"Basic YTpi".as_slice()],
                "multiple_credentials",
            ),
            (vec![twice.as_bytes()], "multiple_credentials"),
            (vec![comma.as_bytes()], "multiple_credentials"),
            (vec![b"Basic YTpi".as_slice()], "wrong_scheme"),
            (vec![b"DPoP a.b.c".as_slice()], "wrong_scheme"),
            (vec![b"".as_slice()], "wrong_scheme"),
            (vec![TOKEN.as_bytes()], "wrong_scheme"),
            (vec![glued.as_bytes()], "wrong_scheme"),
            (vec![tab.as_bytes()], "wrong_scheme"),
            (vec![b"Bearer".as_slice()], "token_malformed"),
            (vec![b"Bearer ".as_slice()], "token_malformed"),
            (vec![b"Bearer \xff\xfe.a.b".as_slice()], "token_malformed"),
        ] {
            assert_eq!(refusal(&lines, None), reason, "{lines:?}");
        }
    }

    #[test]
    fn r400_r447_a_token_in_the_query_is_refused_even_beside_a_good_header() {
        let good = format!("Bearer {TOKEN}");
        for query in [
            format!("access_token={TOKEN}"),
            format!("a=1&access_token={TOKEN}"),
            "access_token=".into(),
            "access_token".into(),
            format!("%61ccess%5Ftoken={TOKEN}"),
            format!("Access_Token={TOKEN}"),
            format!("+access_token={TOKEN}"),
        ] {
            assert_eq!(
                refusal(&[good.as_bytes()], Some(&query)),
                "token_in_query",
                "{query}"
            );
            assert_eq!(refusal(&[], Some(&query)), "token_in_query", "{query}");
        }
        assert_eq!(AuthError::InQuery.status(), 400);
        let map = headers(&[good.as_bytes()]);
        assert!(Bearer::from_request(&map, Some("my_access_token=1&q=access_token"), 99).is_ok());
    }

    #[test]
    fn r429_r430_r431_bad_form_is_malformed() {
        let [header, payload, signature] = ["eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiJhIn0", "AAAA"];
        for text in [
            header.to_owned(),
            format!("{header}.{payload}"),
            format!("{header}.{payload}."),
            format!("{header}..{signature}"),
            format!(".{payload}.{signature}"),
            "..".into(),
            format!("{header}.{payload}.{signature}.{signature}"),
            format!("{header}.{payload}.{signature}."),
            format!(".{header}.{payload}.{signature}"),
            format!("{header}.{payload}.{signature}.a.b"),
            format!("{header}. {payload}.{signature}"),
            format!("{header}.{payload}\n.{signature}"),
            format!("{header}.{payload}.{signature} "),
            format!("{header}.{payload}.AA\r\nAA"),
            format!("{header}.{payload}.A+AA"),
            format!("{header}.{payload}.A/AA"),
            format!("{header}.{payload}.AAA="),
            format!("{header}.{payload}.AA=="),
            format!("{header}.{payload}.AAAAA"),
            format!("{header}.{payload}.AAB"),
            format!("{header}.{payload}.AB"),
            format!("{header}.{payload}.A%41A"),
            format!("{header}.{payload}.AAéA"),
            format!("{header}.{payload}.AA\0A"),
        ] {
            let refused = Bearer::parse(&text, 8192).unwrap_err();
            assert_eq!(refused.code(), "token_malformed", "{text:?}");
        }
    }

    #[test]
    fn an_oversized_token_is_refused_before_anything_else_is_looked_at() {
        let line = format!("Bearer {}", "!".repeat(101));
        let refused = Bearer::from_request(&headers(&[line.as_bytes()]), None, 100).unwrap_err();
        assert_eq!(refused, AuthError::TooLarge { limit: 100 });
    }

    #[test]
    fn rfc6750_s2_1_one_token_in_one_header_is_taken() {
        for line in [
            format!("Bearer {TOKEN}"),
            format!("bearer {TOKEN}"),
            format!("BEARER   {TOKEN}"),
        ] {
            let map = headers(&[line.as_bytes()]);
            let bearer = Bearer::from_request(&map, Some("cursor=1"), 8192).unwrap();
            assert_eq!(bearer.text(), TOKEN);
            assert_eq!(bearer.header(), "eyJhbGciOiJIUzI1NiJ9");
            assert_eq!(bearer.signature(), "AAAA");
            assert_eq!(
                bearer.signing_input(),
                "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0"
            );
        }
    }

    #[test]
    fn a_bearer_never_shows_in_debug_output() {
        let bearer = Bearer::parse(TOKEN, 8192).unwrap();
        assert_eq!(format!("{bearer:?}"), "Bearer([REDACTED])");
    }
}
