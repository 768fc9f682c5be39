//! Stage 2: the head of a request, and the bounds under which its body may be read.
//!
//! - **Protects** every later stage from oversized, ambiguous and cross-site requests.
//! - **Assumes** that HTTP was parsed, and nothing else: the parser is more lenient than a gateway may be.
//! - **Hands on** an [`Armed`]: the head was checked, and the body can be read only through the limits it carries.
//! - **Refuses** more than one Host, a Host or Origin that is not listed (DNS rebinding), too many or too large headers,
//!   headers that other software takes for others, long URIs, content codings, and bodies over the size or the time limit.
//!
//! No cryptography happens before this stage has passed.

pub mod body;
pub mod cors;
pub mod crowd;
pub mod failures;
pub mod forwarded;
pub mod origin;
pub mod twins;

use std::time::Duration;

use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use crate::listener::wire::Fault;
use crate::units::ByteSize;
use origin::{AllowedHosts, AllowedOrigins};

/// What bounds a request. Every field has a safe default.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Header lines of one request.
    pub header_count: usize,
    /// Bytes of all header names and values of one request.
    pub header_bytes: ByteSize,
    /// Bytes of the request target.
    pub uri_bytes: ByteSize,
    /// Bytes of a body (R501, C30).
    pub body_bytes: ByteSize,
    /// Time for the whole body to arrive.
    pub body_timeout: Duration,
    /// Values of Host that are ours.
    pub hosts: AllowedHosts,
    /// Values of Origin that may call us from a browser.
    pub origins: AllowedOrigins,
    /// Proxies of the operator's own in front of us, whose word about the caller's address is taken.
    pub trusted_hops: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            header_count: 100,
            header_bytes: ByteSize::kib(32),
            uri_bytes: ByteSize::kib(8),
            body_bytes: ByteSize::mib(1),
            body_timeout: Duration::from_secs(10),
            hosts: AllowedHosts::default(),
            origins: AllowedOrigins::default(),
            trusted_hops: 0,
        }
    }
}

/// Why a request was refused before anybody asked who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// More header lines than allowed.
    #[error("too many headers")]
    HeaderCount,
    /// More header bytes than allowed.
    #[error("headers are too large")]
    HeaderBytes,
    /// A longer request target than allowed.
    #[error("request target is too long")]
    UriBytes,
    /// A value that begins or ends with whitespace (RFC 9113 section 8.2.1). HTTP/1 cannot say it, and readers differ in what
    /// they make of it.
    #[error("a header value begins or ends with whitespace")]
    HeaderPadded,
    /// A target whose scheme is not the one that is spoken (RFC 9110 section 4.3.4).
    #[error("scheme of the request target is not the one that is spoken")]
    Scheme,
    /// No Host, several, or one that disagrees with the request target (RFC 9112 section 3.2).
    #[error("host is missing, repeated or contradictory")]
    HostAmbiguous,
    /// A Host that is not listed: the request was not meant for us (DNS rebinding).
    #[error("host is not one of ours")]
    HostForeign,
    /// An Origin that is not listed (MCP transport, section Security).
    #[error("origin is not allowed")]
    OriginForeign,
    /// A transfer coding other than plain `chunked`, or framing given twice.
    #[error("message framing is ambiguous")]
    Framing,
    /// A header whose name other software takes for that of one that matters.
    #[error("a header is spelled with an underscore")]
    Twin,
    /// The body is coded, so that its meaning differs from its bytes.
    #[error("content coding is not accepted")]
    ContentEncoding,
    /// The body is not declared as JSON.
    #[error("content type is not application/json")]
    ContentType,
    /// The body is larger than allowed.
    #[error("body is too large")]
    BodyBytes,
    /// The body did not arrive in time.
    #[error("body did not arrive in time")]
    BodyTimeout,
    /// The peer broke off in the middle of the body.
    #[error("body broke off")]
    BodyBroken,
    /// The framing inside the body cannot be read in one way.
    #[error("body is malformed")]
    BodyMalformed(#[source] Fault),
}

/// The proof that a head passed this stage. The body is read only with it.
#[derive(Debug)]
pub struct Armed {
    origin: Option<HeaderValue>,
    body_bytes: usize,
    body_timeout: Duration,
}

impl Armed {
    /// The allowed Origin of the request, where a browser sent one: what CORS answers echo.
    pub const fn origin(&self) -> Option<&HeaderValue> {
        self.origin.as_ref()
    }

    /// The same for a body of fewer bytes.
    pub fn at_most(&self, body_bytes: usize) -> Self {
        Self {
            origin: self.origin.clone(),
            body_bytes: self.body_bytes.min(body_bytes),
            body_timeout: self.body_timeout,
        }
    }
}

/// Checks the head of a request and arms the limits of its body.
///
/// # Errors
/// The first [`LimitsError`] in the order of what is cheapest to know.
pub fn arm(head: &Parts, encrypted: bool, settings: &Settings) -> Result<Armed, LimitsError> {
    sizes(head, settings)?;
    framing(&head.headers)?;
    names(&head.headers)?;
    scheme(head, encrypted)?;
    let host = origin::host_of(head)?;
    if !settings.hosts.contain(host) {
        return Err(LimitsError::HostForeign);
    }
    let origin = origin_of(&head.headers, &settings.origins)?;
    Ok(Armed {
        origin,
        body_bytes: settings.body_bytes.as_usize(),
        body_timeout: settings.body_timeout,
    })
}

/// The media type under which a message may arrive: JSON (MCP transport).
///
/// # Errors
/// [`LimitsError::ContentType`].
pub fn expect_json(headers: &HeaderMap) -> Result<(), LimitsError> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (Some(only), None) if is_json(only) => Ok(()),
        _ => Err(LimitsError::ContentType),
    }
}

/// `application/json`, in any case, with no parameter but `charset=utf-8`.
fn is_json(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else {
        return false;
    };
    let mut parts = text.split(';').map(str::trim);
    parts
        .next()
        .is_some_and(|media| media.eq_ignore_ascii_case("application/json"))
        && parts.all(|parameter| {
            let plain = parameter.replace('"', "");
            plain.is_empty() || plain.eq_ignore_ascii_case("charset=utf-8")
        })
}

fn sizes(head: &Parts, settings: &Settings) -> Result<(), LimitsError> {
    let target = head
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    if target > settings.uri_bytes.as_usize() {
        return Err(LimitsError::UriBytes);
    }
    if head.headers.len() > settings.header_count {
        return Err(LimitsError::HeaderCount);
    }
    let mut bytes = 0;
    for (name, value) in &head.headers {
        let value = value.as_bytes();
        bytes += name.as_str().len() + value.len();
        let is_blank = |end: Option<&u8>| matches!(end, Some(b' ' | b'\t'));
        if is_blank(value.first()) || is_blank(value.last()) {
            return Err(LimitsError::HeaderPadded);
        }
    }
    if bytes > settings.header_bytes.as_usize() {
        return Err(LimitsError::HeaderBytes);
    }
    Ok(())
}

/// HTTP/2 names a scheme with every request, HTTP/1 with some. Where TLS ends before us, both may be meant.
fn scheme(head: &Parts, encrypted: bool) -> Result<(), LimitsError> {
    match head.uri.scheme_str() {
        None | Some("https") => Ok(()),
        Some("http") if !encrypted => Ok(()),
        Some(_) => Err(LimitsError::Scheme),
    }
}

/// In HTTP/1 the guard on the wire has refused whatever is ambiguous; this is the same rule for what reaches us in another way.
fn framing(headers: &HeaderMap) -> Result<(), LimitsError> {
    let lengths = headers.get_all(CONTENT_LENGTH).iter().count();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) if lengths <= 1 => Ok(()),
        (Some(coding), None)
            if lengths == 0 && coding.as_bytes().eq_ignore_ascii_case(b"chunked") =>
        {
            Ok(())
        }
        _ => Err(LimitsError::Framing),
    }
}

/// No twins, and no coding of the body, whatever the request is for: what is inspected in one form would be used in another.
fn names(headers: &HeaderMap) -> Result<(), LimitsError> {
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(LimitsError::ContentEncoding);
    }
    if headers.keys().any(|name| twins::is_twin(name.as_str())) {
        return Err(LimitsError::Twin);
    }
    Ok(())
}

fn origin_of(
    headers: &HeaderMap,
    allowed: &AllowedOrigins,
) -> Result<Option<HeaderValue>, LimitsError> {
    let mut origins = headers.get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => Ok(None),
        (Some(origin), None) if allowed.contain(origin) => Ok(Some(origin.clone())),
        _ => Err(LimitsError::OriginForeign),
    }
}

/// Whether the head carries a Host line of its own; in HTTP/2 the authority usually stands alone.
fn host_lines(headers: &HeaderMap) -> (Option<&HeaderValue>, bool) {
    let mut hosts = headers.get_all(HOST).iter();
    (hosts.next(), hosts.next().is_some())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn settings() -> Settings {
        Settings {
            hosts: AllowedHosts::new(["gateway.test", "127.0.0.1:8443"]),
            origins: AllowedOrigins::new(["https://claude.ai"]),
            ..Settings::default()
        }
    }

    fn head(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Parts {
        build(Request::post("/mcp"))
            .body(())
            .unwrap()
            .into_parts()
            .0
    }

    fn refused(
        build: impl FnOnce(http::request::Builder) -> http::request::Builder,
    ) -> LimitsError {
        arm(&head(build), true, &settings()).unwrap_err()
    }

    #[test]
    fn an_ambiguous_or_foreign_host_is_refused() {
        assert_eq!(refused(|r| r), LimitsError::HostAmbiguous);
        assert_eq!(
            refused(|r| r
                .header("host", "gateway.test")
                .header("host", "gateway.test")),
            LimitsError::HostAmbiguous
        );
        for host in [
            "evil.test",
            "gateway.test.evil.test",
            "gateway.test:8443",
            "127.0.0.1",
            "",
            "gateway.test, evil.test",
        ] {
            assert_eq!(
                refused(|r| r.header("host", host)),
                LimitsError::HostForeign,
                "{host:?}"
            );
        }
        assert_eq!(
            refused(|r| r
                .uri("https://evil.test/mcp")
                .header("host", "gateway.test")),
            LimitsError::HostAmbiguous,
            "the authority of the target and the Host line must agree"
        );
    }

    #[test]
    fn r432_an_evil_origin_with_a_good_host_is_refused_and_the_reverse_too() {
        for origin in [
            "https://evil.test",
            "null",
            "https://claude.ai.evil.test",
            "http://claude.ai",
            "https://claude.ai:8443",
        ] {
            assert_eq!(
                refused(|r| r.header("host", "gateway.test").header("origin", origin)),
                LimitsError::OriginForeign,
                "{origin}"
            );
        }
        assert_eq!(
            refused(|r| r
                .header("host", "evil.test")
                .header("origin", "https://claude.ai")),
            LimitsError::HostForeign
        );
        assert_eq!(
            refused(|r| {
                r.header("host", "gateway.test")
                    .header("origin", "https://claude.ai")
                    .header("origin", "https://evil.test")
            }),
            LimitsError::OriginForeign
        );
    }

    #[test]
    fn sizes_and_framing_are_bounded() {
        assert_eq!(
            refused(|r| r.uri(format!("/{}", "a".repeat(9000)))),
            LimitsError::UriBytes
        );
        assert_eq!(
            refused(|r| (0..101).fold(r, |r, n| r.header(format!("x-{n}"), "1"))),
            LimitsError::HeaderCount
        );
        assert_eq!(
            refused(|r| r.header("x-big", "a".repeat(33 * 1024))),
            LimitsError::HeaderBytes
        );
        for (name, value) in [
            ("transfer-encoding", "gzip, chunked"),
            ("transfer-encoding", "chunked, chunked"),
        ] {
            assert_eq!(
                refused(|r| r.header(name, value)),
                LimitsError::Framing,
                "{value}"
            );
        }
        assert_eq!(
            refused(|r| r
                .header("transfer-encoding", "chunked")
                .header("content-length", "3")),
            LimitsError::Framing
        );
    }

    #[test]
    fn a_coded_body_and_a_twin_are_refused_whatever_the_request_is_for() {
        for coding in ["gzip", "identity", "br", ""] {
            for method in ["GET", "POST"] {
                assert_eq!(
                    refused(|r| r.method(method).header("content-encoding", coding)),
                    LimitsError::ContentEncoding,
                    "{method} {coding}"
                );
            }
        }
        assert_eq!(
            refused(|r| r.header("x_forwarded_for", "127.0.0.1")),
            LimitsError::Twin
        );
    }

    #[test]
    fn rfc9113_s8_2_1_a_padded_value_is_refused() {
        for value in [" 1", "1 ", "\t1", "1\t", " "] {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            assert_eq!(
                refused(|r| r.header("host", "gateway.test").header("x-padded", &value)),
                LimitsError::HeaderPadded,
                "{value:?}"
            );
        }
    }

    #[test]
    fn rfc9110_s4_3_4_a_scheme_that_is_not_spoken_is_refused() {
        let at = |scheme: &str, encrypted| {
            let head = head(|r| r.uri(format!("{scheme}://gateway.test/mcp")));
            arm(&head, encrypted, &settings()).map(drop)
        };
        for (scheme, encrypted) in [("http", true), ("ftp", true), ("ftp", false), ("ws", false)] {
            assert_eq!(at(scheme, encrypted), Err(LimitsError::Scheme), "{scheme}");
        }
        for (scheme, encrypted) in [("https", true), ("https", false), ("http", false)] {
            assert_eq!(at(scheme, encrypted), Ok(()), "{scheme}");
        }
    }

    #[test]
    fn listed_hosts_and_origins_pass() {
        let armed = arm(
            &head(|r| {
                r.header("host", "Gateway.TEST")
                    .header("origin", "https://claude.ai")
            }),
            true,
            &settings(),
        )
        .unwrap();
        assert_eq!(armed.origin().unwrap(), "https://claude.ai");
        assert!(
            arm(
                &head(|r| r.uri("https://127.0.0.1:8443/mcp")),
                true,
                &settings()
            )
            .is_ok(),
            "HTTP/2 has an authority only"
        );
    }

    #[test]
    fn r389_only_plain_json_is_read() {
        let with = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(name, HeaderValue::from_static(value));
            headers
        };
        for value in [
            "text/plain",
            "application/jsonp",
            "application/json-seq",
            "application/json; charset=utf-16",
            "",
        ] {
            assert_eq!(
                expect_json(&with("content-type", value)),
                Err(LimitsError::ContentType),
                "{value}"
            );
        }
        assert_eq!(
            expect_json(&HeaderMap::new()),
            Err(LimitsError::ContentType)
        );
        for value in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ] {
            assert_eq!(expect_json(&with("content-type", value)), Ok(()), "{value}");
        }
    }
}
