//! Everything for which the bytes of an HTTP/1 connection are refused. The list is closed, because each entry is a label of
//! a metric and a reason in the audit trail; none of them carries a byte that a caller chose.

use http::StatusCode;

/// Why the bytes of a connection cannot be read in exactly one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// More than two empty lines before a request (RFC 9112 section 2.2).
    #[error("too many empty lines before the request")]
    EmptyLines,
    /// A line that ends in LF alone, or a CR that ends none (RFC 9112 section 2.2).
    #[error("a line end is not CRLF")]
    LineEnd,
    /// NUL or another control character (RFC 9110 section 5.5).
    #[error("a control character in the head")]
    ControlByte,
    /// No method, target and version with one space between (RFC 9112 section 3).
    #[error("the request line cannot be read")]
    RequestLine,
    /// Any form of target but the path and the URL, or bytes that no URL holds (RFC 9112 section 3.2).
    #[error("the request target cannot be read")]
    Target,
    /// A version other than 1.0 and 1.1 (RFC 9110 section 15.6.6).
    #[error("the version of HTTP is not served")]
    Version,
    /// A header line without a colon, or with a name that is no token right before it (RFC 9112 section 5.1).
    #[error("a header line cannot be read")]
    Field,
    /// A header line that goes on in the next one (RFC 9112 section 5.2).
    #[error("a header line is folded")]
    Folded,
    /// The request line is longer than a head may be.
    #[error("the request target is too long")]
    TargetBytes,
    /// The head is longer than it may be.
    #[error("the head is too long")]
    HeadBytes,
    /// More header lines than there may be.
    #[error("too many header lines")]
    FieldCount,
    /// The peer stopped sending in the middle of a head (RFC 9112 section 8).
    #[error("the head broke off")]
    Truncated,
    /// No Host, several, one that is none, or another than the target names (RFC 9112 section 3.2).
    #[error("host is missing, repeated, malformed or contradictory")]
    Host,
    /// A Content-Length that is given twice or is no plain number (RFC 9112 section 6.3).
    #[error("content-length is repeated or no plain number")]
    Length,
    /// A transfer coding that does not end in `chunked`, or names it twice (RFC 9112 section 6.3).
    #[error("transfer-encoding is anything but one chunked")]
    Coding,
    /// A transfer coding that we do not know, below `chunked` (RFC 9112 section 6.1).
    #[error("the transfer coding is not implemented")]
    CodingUnknown,
    /// A transfer coding in HTTP/1.0 (RFC 9112 section 6.1).
    #[error("transfer-encoding in HTTP/1.0")]
    CodingTooEarly,
    /// Two framings at once (RFC 9112 section 6.3).
    #[error("content-length beside transfer-encoding")]
    LengthAndCoding,
    /// A name that other software takes for that of a framing header.
    #[error("a framing header spelled with an underscore")]
    FramingTwin,
    /// A body where the method has no meaning for one (RFC 9110 section 9.3.1).
    #[error("a body with a method that has none")]
    UnexpectedBody,
    /// The wish to go on in another protocol (RFC 9110 section 7.8).
    #[error("an upgrade of the protocol is asked for")]
    Upgrade,
    /// An expectation other than `100-continue` (RFC 9110 section 10.1.1).
    #[error("an expectation that cannot be met")]
    Expectation,
    /// A chunk size that is no short hexadecimal number alone on its line (RFC 9112 section 7.1).
    #[error("a chunk size cannot be read")]
    ChunkSize,
    /// Anything behind a chunk size (RFC 9112 section 7.1.1).
    #[error("a chunk has an extension")]
    ChunkExtension,
    /// Bytes between the end of a chunk and its line end (RFC 9112 section 7.1).
    #[error("a chunk is longer than its size")]
    ChunkEnd,
    /// A field behind the last chunk (RFC 9112 section 7.1.2).
    #[error("a trailer field")]
    Trailer,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 26] = [
        Self::EmptyLines,
        Self::LineEnd,
        Self::ControlByte,
        Self::RequestLine,
        Self::Target,
        Self::Version,
        Self::Field,
        Self::Folded,
        Self::TargetBytes,
        Self::HeadBytes,
        Self::FieldCount,
        Self::Truncated,
        Self::Host,
        Self::Length,
        Self::Coding,
        Self::CodingUnknown,
        Self::CodingTooEarly,
        Self::LengthAndCoding,
        Self::FramingTwin,
        Self::UnexpectedBody,
        Self::Upgrade,
        Self::Expectation,
        Self::ChunkSize,
        Self::ChunkExtension,
        Self::ChunkEnd,
        Self::Trailer,
    ];

    /// The stable word in metrics, log lines and audit lines.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::EmptyLines => "empty_lines",
            Self::LineEnd => "line_end",
            Self::ControlByte => "control_byte",
            Self::RequestLine => "request_line",
            Self::Target => "request_target",
            Self::Version => "http_version",
            Self::Field => "header_line",
            Self::Folded => "folded_header",
            Self::TargetBytes => "uri_too_long",
            Self::HeadBytes | Self::FieldCount => "headers_too_large",
            Self::Truncated => "truncated_head",
            Self::Host => "invalid_host",
            Self::Length => "content_length",
            Self::Coding => "transfer_encoding",
            Self::CodingUnknown => "transfer_coding_unknown",
            Self::CodingTooEarly => "transfer_encoding_in_http_1_0",
            Self::LengthAndCoding => "length_and_coding",
            Self::FramingTwin => "underscore_twin",
            Self::UnexpectedBody => "unexpected_body",
            Self::Upgrade => "upgrade",
            Self::Expectation => "expectation",
            Self::ChunkSize => "chunk_size",
            Self::ChunkExtension => "chunk_extension",
            Self::ChunkEnd => "chunk_end",
            Self::Trailer => "trailer",
        }
    }

    /// The status that the caller gets.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::TargetBytes => StatusCode::URI_TOO_LONG,
            Self::HeadBytes | Self::FieldCount => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::CodingUnknown => StatusCode::NOT_IMPLEMENTED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Whether it lies in the body of a request whose head was in order.
    pub const fn is_in_body(self) -> bool {
        matches!(
            self,
            Self::ChunkSize | Self::ChunkExtension | Self::ChunkEnd | Self::Trailer
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_fault_is_a_client_s_and_has_a_short_label() {
        let reasons: BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.reason()).collect();
        assert_eq!(
            reasons.len(),
            Fault::ALL.len() - 1,
            "one reason is shared, by what is too large"
        );
        for fault in Fault::ALL {
            let status = fault.status();
            assert!(
                status.is_client_error() || [501, 505].contains(&status.as_u16()),
                "{fault:?}"
            );
            assert!(fault.reason().len() < 32, "{fault:?}");
        }
    }
}
