//! A refusal, whatever stage it comes from: the stage, a stable reason code, what the caller learns, and what the operator
//! learns. Each stage's error becomes one of these here; only [`respond`](super::respond) turns it into an answer.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONNECTION};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;

use crate::limits::LimitsError;
use crate::listener::wire::Fault;
use crate::stage::Stage;

/// A refusal on its way to the caller and to the audit trail.
#[derive(Debug)]
pub struct Denial {
    /// The stage that refused.
    pub stage: Stage,
    /// The stable reason code of logs, metrics and audit lines.
    pub reason: &'static str,
    /// The policy rule that decided, where one did.
    pub rule: Option<String>,
    /// What the operator learns beyond the reason. Never sent to the caller.
    pub detail: Option<String>,
    /// What the caller gets.
    pub answer: Answer,
}

/// What a caller gets for a refusal (C54).
#[derive(Debug)]
pub enum Answer {
    /// The nested error body of the HTTP level: `{error: {code, message, details}, request_id}`.
    Http {
        /// The status.
        status: StatusCode,
        /// `error.code`.
        code: &'static str,
        /// `error.message`.
        message: Cow<'static, str>,
        /// `error.details`, where there are any.
        details: Option<Value>,
        /// Headers that belong to this refusal, such as a challenge.
        headers: HeaderMap,
    },
    /// A JSON-RPC error, complete.
    Rpc {
        /// The status.
        status: StatusCode,
        /// The body.
        body: Bytes,
        /// Headers that belong to this refusal, such as when to come back.
        headers: HeaderMap,
    },
    /// A status alone, for messages that have no answer in JSON-RPC.
    Status(StatusCode),
}

impl Denial {
    /// A refusal with a nested HTTP error body.
    pub fn http(
        stage: Stage,
        status: StatusCode,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let answer = Answer::Http {
            status,
            code,
            message: message.into(),
            details: None,
            headers: HeaderMap::new(),
        };
        Self {
            stage,
            reason: code,
            rule: None,
            detail: None,
            answer,
        }
    }

    /// A refusal with a JSON-RPC error body.
    pub fn rpc(stage: Stage, reason: &'static str, status: StatusCode, body: Bytes) -> Self {
        Self {
            stage,
            reason,
            rule: None,
            detail: None,
            answer: Answer::Rpc {
                status,
                body,
                headers: HeaderMap::new(),
            },
        }
    }

    /// The same, with what the operator should know.
    pub fn because(mut self, detail: impl ToString) -> Self {
        self.detail = Some(detail.to_string());
        self
    }
}

impl From<LimitsError> for Denial {
    fn from(error: LimitsError) -> Self {
        use LimitsError as E;
        let (status, code, message) = match error {
            E::HeaderCount | E::HeaderBytes => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers_too_large",
                "The request's headers are too large",
            ),
            E::UriBytes => (
                StatusCode::URI_TOO_LONG,
                "uri_too_long",
                "The request target is too long",
            ),
            E::HeaderPadded => (
                StatusCode::BAD_REQUEST,
                "invalid_header",
                "A header value begins or ends with whitespace",
            ),
            E::Scheme => (
                StatusCode::BAD_REQUEST,
                "invalid_scheme",
                "The scheme of the target is not the one that is spoken here",
            ),
            E::HostAmbiguous => (
                StatusCode::BAD_REQUEST,
                "invalid_host",
                "Exactly one Host is needed",
            ),
            E::HostForeign => (
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected_request",
                "This Host is not served here; the operator can add it to listen.allowed_hosts",
            ),
            E::OriginForeign => (
                StatusCode::FORBIDDEN,
                "origin_not_allowed",
                "This Origin may not call; the operator can add it to cors.allowed_origins",
            ),
            E::Framing => (
                StatusCode::BAD_REQUEST,
                "invalid_framing",
                "The message framing is ambiguous",
            ),
            E::Twin => (
                StatusCode::BAD_REQUEST,
                "underscore_twin",
                "A header is spelled with an underscore in place of a hyphen",
            ),
            E::ContentEncoding => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_content_encoding",
                "Send the body uncompressed, without Content-Encoding",
            ),
            E::ContentType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Content-Type must be application/json",
            ),
            E::BodyBytes => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                "The body is too large",
            ),
            E::BodyTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                "The body did not arrive in time",
            ),
            E::BodyBroken => (
                StatusCode::BAD_REQUEST,
                "incomplete_body",
                "The body broke off",
            ),
            E::BodyMalformed(fault) => return fault.into(),
        };
        let stage = match error {
            E::ContentType | E::BodyBytes | E::BodyTimeout | E::BodyBroken => Stage::Read,
            _ => Stage::Limits,
        };
        let mut denial = Self::http(stage, status, code, message);
        // RFC 9110 section 15.5.16: what would have been accepted.
        if let (E::ContentEncoding, Answer::Http { headers, .. }) = (error, &mut denial.answer) {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        denial
    }
}

impl From<Fault> for Denial {
    /// What a caller is told is coarser than the reason: enough to mend a client, too little to map a parser.
    fn from(fault: Fault) -> Self {
        use Fault as F;
        let (code, message) = match fault {
            F::TargetBytes => ("uri_too_long", "The request target is too long"),
            F::HeadBytes | F::FieldCount => {
                ("headers_too_large", "The request's headers are too large")
            }
            F::Host => ("invalid_host", "Exactly one Host is needed"),
            F::Version => (
                "http_version_not_supported",
                "HTTP/1.1, HTTP/1.0 and, over TLS, HTTP/2 are served",
            ),
            F::Length
            | F::Coding
            | F::CodingTooEarly
            | F::LengthAndCoding
            | F::FramingTwin
            | F::ChunkSize
            | F::ChunkExtension
            | F::ChunkEnd
            | F::Trailer => ("invalid_framing", "The message framing is ambiguous"),
            F::CodingUnknown => (
                "transfer_coding_not_implemented",
                "No transfer coding but chunked is accepted",
            ),
            F::UnexpectedBody => ("unexpected_body", "A request with this method has no body"),
            F::Upgrade => ("upgrade_refused", "No other protocol is spoken here"),
            F::Expectation => (
                "expectation_failed",
                "No expectation but 100-continue can be met",
            ),
            F::EmptyLines
            | F::LineEnd
            | F::ControlByte
            | F::RequestLine
            | F::Target
            | F::Field
            | F::Folded
            | F::Truncated => ("malformed_request", "This is not a request in HTTP/1.1"),
        };
        let mut denial = Self::http(Stage::Limits, fault.status(), code, message).because(fault);
        denial.reason = fault.reason();
        // Faults come from HTTP/1 alone, and none leaves a connection on which the next request could be found.
        if let Answer::Http { headers, .. } = &mut denial.answer {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        denial
    }
}
