//! Which revision of the protocol a request speaks. Up to 2025-11-25 (the legacy era) a session is opened with
//! `initialize` and the version header is advice; from 2026-07-28 (the modern era) every request names its revision
//! twice, in the header and in `params._meta`, and whoever reads the body must check that both agree.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::status::StatusCode;

use super::message::{Kind, Message};

/// The header that names the revision.
pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// A dated revision of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revision {
    /// 2024-11-05
    V2024_11_05,
    /// 2025-03-26
    V2025_03_26,
    /// 2025-06-18
    V2025_06_18,
    /// 2025-11-25, the last with sessions
    V2025_11_25,
    /// 2026-07-28, the first without
    V2026_07_28,
}

impl Revision {
    /// Every revision we know, newest first: what `data.supported` offers.
    pub const ALL: [Self; 5] = [
        Self::V2026_07_28,
        Self::V2025_11_25,
        Self::V2025_06_18,
        Self::V2025_03_26,
        Self::V2024_11_05,
    ];

    /// The date, as it stands in headers and bodies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// The revision of that date.
    pub fn parse(date: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.name() == date)
    }

    /// Whether it belongs to the modern era.
    pub fn is_modern(self) -> bool {
        self >= Self::V2026_07_28
    }

    const fn era(self) -> Era {
        match self {
            Self::V2026_07_28 => Era::Modern(self),
            Self::V2024_11_05 | Self::V2025_03_26 | Self::V2025_06_18 | Self::V2025_11_25 => {
                Era::Legacy(Some(self))
            }
        }
    }
}

/// The era of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// With sessions; the header may be absent.
    Legacy(Option<Revision>),
    /// Everything in each request.
    Modern(Revision),
}

/// The request does not say consistently which revision it speaks. Always answered with 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EraError {
    /// The header stands more than once, or is no text.
    #[error("the protocol version header is not one readable value")]
    Unreadable,
    /// The body names a revision and the header does not.
    #[error("the protocol version header is missing")]
    HeaderMissing,
    /// Header and body name different revisions.
    #[error("the protocol version header and the body disagree")]
    Disagreement,
    /// The header names a modern revision and the body names none.
    #[error("`_meta` names no protocol version")]
    MetaMissing,
    /// Nobody knows this revision.
    #[error("unsupported protocol version")]
    Unknown {
        /// What was asked for.
        requested: String,
    },
    /// The modern era knows no responses from downstream.
    #[error("a response cannot be sent in this protocol version")]
    ResponseForbidden,
}

impl EraError {
    /// The HTTP status.
    pub const fn status(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }

    /// The JSON-RPC error code. A client of both eras falls back to the old one unless it recognises this.
    pub const fn code(&self) -> i64 {
        match self {
            Self::Unreadable | Self::HeaderMissing | Self::Disagreement => -32020,
            Self::MetaMissing => -32602,
            Self::Unknown { .. } => -32022,
            Self::ResponseForbidden => -32600,
        }
    }
}

impl Era {
    /// Decides the era of a message from its header and its body.
    ///
    /// # Errors
    /// [`EraError`] when they disagree where they must agree, or name a revision that nobody knows.
    pub fn of(headers: &HeaderMap, message: &Message) -> Result<Self, EraError> {
        let header = header(headers)?;
        match (header, message.meta_protocol_version()) {
            (None, None) => Ok(Self::Legacy(None)),
            (Some(header), None) => match known(header)? {
                Self::Modern(_) if message.kind() == Kind::Response => {
                    Err(EraError::ResponseForbidden)
                }
                // Which members a modern notification carries is left open by the specification.
                Self::Modern(_) if message.kind() == Kind::Request => Err(EraError::MetaMissing),
                era => Ok(era),
            },
            (Some(header), Some(body)) if header == body => known(header),
            (header, Some(body)) => both_legacy(header, body),
        }
    }

    /// The era that the header alone claims, for requests without a body.
    ///
    /// # Errors
    /// [`EraError`] when the header is unreadable or names a revision that nobody knows.
    pub fn claimed(headers: &HeaderMap) -> Result<Self, EraError> {
        header(headers)?.map_or(Ok(Self::Legacy(None)), known)
    }

    /// Whether this is the modern era.
    pub const fn is_modern(self) -> bool {
        matches!(self, Self::Modern(_))
    }

    /// The revision, where the request names one.
    pub const fn revision(self) -> Option<Revision> {
        match self {
            Self::Legacy(revision) => revision,
            Self::Modern(revision) => Some(revision),
        }
    }
}

/// Header and body differ, which is harmless only as long as both stay in the legacy era, where neither is binding.
fn both_legacy(header: Option<&str>, body: &str) -> Result<Era, EraError> {
    let legacy = |date| Revision::parse(date).filter(|r| !r.is_modern());
    match (header.map(legacy), legacy(body)) {
        (None, Some(body)) => Ok(body.era()),
        (Some(Some(header)), Some(_)) => Ok(header.era()),
        (None, None) => Err(EraError::HeaderMissing),
        (Some(_), _) => Err(EraError::Disagreement),
    }
}

fn known(date: &str) -> Result<Era, EraError> {
    Revision::parse(date)
        .map(Revision::era)
        .ok_or_else(|| EraError::Unknown {
            requested: date.into(),
        })
}

fn header(headers: &HeaderMap) -> Result<Option<&str>, EraError> {
    let mut values = headers.get_all(PROTOCOL_VERSION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => trimmed(value).map(Some).ok_or(EraError::Unreadable),
        (Some(_), Some(_)) => Err(EraError::Unreadable),
    }
}

/// A header value of visible ASCII without the white space around it, which HTTP/1.1 strips and HTTP/2 does not
/// (RFC 9110 section 5.5).
pub(super) fn trimmed(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok().map(|v| v.trim_matches([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::mcp::Limits;

    fn era(header: Option<&'static str>, body: Option<&str>) -> Result<Era, EraError> {
        let meta = body.map_or_else(String::new, |v| {
            format!(r#","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"{v}"}}}}"#)
        });
        of(
            header,
            &format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list"{meta}}}"#),
        )
    }

    fn of(header: Option<&'static str>, body: &str) -> Result<Era, EraError> {
        let mut headers = HeaderMap::new();
        if let Some(value) = header {
            headers.insert(PROTOCOL_VERSION, HeaderValue::from_str(value).unwrap());
        }
        let body = Bytes::copy_from_slice(body.as_bytes());
        Era::of(
            &headers,
            &Message::decode(body, &Limits::default()).unwrap(),
        )
    }

    #[test]
    fn mcp_2026_07_28_header_and_meta_must_name_the_same_revision() {
        use EraError::*;
        let unknown = |v: &str| Unknown {
            requested: v.into(),
        };
        for (header, body, expected, code) in [
            (None, Some("2026-07-28"), HeaderMissing, -32020),
            (Some("2025-11-25"), Some("2026-07-28"), Disagreement, -32020),
            (Some("2099-01-01"), Some("2026-07-28"), Disagreement, -32020),
            (Some("2026-07-28"), Some("2025-11-25"), Disagreement, -32020),
            (Some("2026-07-28"), Some("2099-01-01"), Disagreement, -32020),
            (Some("2025-06-18"), Some("2099-01-01"), Disagreement, -32020),
            (None, Some("2099-01-01"), HeaderMissing, -32020),
            (Some("2026-07-28"), None, MetaMissing, -32602),
            (
                Some("2099-01-01"),
                Some("2099-01-01"),
                unknown("2099-01-01"),
                -32022,
            ),
            (Some("2099-01-01"), None, unknown("2099-01-01"), -32022),
            (Some("bogus"), None, unknown("bogus"), -32022),
            (Some(""), None, unknown(""), -32022),
            (Some("\u{e9}"), None, Unreadable, -32020),
        ] {
            let error = era(header, body).expect_err(header.unwrap_or("none"));
            assert_eq!(error, expected, "{header:?} {body:?}");
            assert_eq!(error.code(), code);
            assert_eq!(error.status(), 400);
        }
    }

    #[test]
    fn a_repeated_version_header_is_refused() {
        let mut headers = HeaderMap::new();
        headers.append(PROTOCOL_VERSION, HeaderValue::from_static("2025-06-18"));
        headers.append(PROTOCOL_VERSION, HeaderValue::from_static("2025-06-18"));
        assert_eq!(Era::claimed(&headers), Err(EraError::Unreadable));
    }

    #[test]
    fn responses_belong_to_the_legacy_era() {
        let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        assert_eq!(
            of(Some("2026-07-28"), response),
            Err(EraError::ResponseForbidden)
        );
        assert!(of(Some("2025-06-18"), response).is_ok());
        assert!(of(None, response).is_ok());
    }

    #[test]
    fn the_era_of_honest_requests() {
        use Revision::*;
        for (header, body, expected) in [
            (None, None, Era::Legacy(None)),
            (Some("2025-06-18"), None, Era::Legacy(Some(V2025_06_18))),
            (Some(" 2025-11-25\t"), None, Era::Legacy(Some(V2025_11_25))),
            (None, Some("2025-11-25"), Era::Legacy(Some(V2025_11_25))),
            (
                Some("2025-06-18"),
                Some("2025-11-25"),
                Era::Legacy(Some(V2025_06_18)),
            ),
            (
                Some("2026-07-28"),
                Some("2026-07-28"),
                Era::Modern(V2026_07_28),
            ),
        ] {
            assert_eq!(era(header, body), Ok(expected), "{header:?} {body:?}");
        }
        let notification = r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#;
        assert!(of(Some("2026-07-28"), notification).unwrap().is_modern());
    }

    #[test]
    fn every_revision_parses_from_its_name() {
        for revision in Revision::ALL {
            assert_eq!(Revision::parse(revision.name()), Some(revision));
            assert_eq!(revision.era().is_modern(), revision.is_modern());
            assert_eq!(revision.era().revision(), Some(revision));
        }
    }
}
