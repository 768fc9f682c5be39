//! The one place where refusals become answers, and where every answer gets the headers that all answers carry.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use super::body::ReplyBody;
use super::denial::Answer;

/// The id by which an answer, its audit line and its log lines are found together (R173).
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// JSON, as every body that the gateway itself writes is labelled.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The answer to a refusal.
pub fn refuse(answer: Answer, request_id: &str) -> Response<ReplyBody> {
    match answer {
        Answer::Status(status) => plain(status, HeaderMap::new(), Bytes::new()),
        Answer::Rpc {
            status,
            body,
            headers,
        } => plain(status, headers, body),
        Answer::Http {
            status,
            code,
            message,
            details,
            headers,
        } => plain(status, headers, nested(code, &message, details, request_id)),
    }
}

/// An answer with a JSON body, or none.
pub fn plain(status: StatusCode, mut headers: HeaderMap, body: Bytes) -> Response<ReplyBody> {
    if !body.is_empty() {
        headers.insert(CONTENT_TYPE, JSON);
    }
    let mut response = Response::new(ReplyBody::full(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The nested error body of the seeds, with the request id (C54).
fn nested(code: &str, message: &str, details: Option<Value>, request_id: &str) -> Bytes {
    let mut error = json!({ "code": code, "message": message });
    if let (Some(details), Some(members)) = (details, error.as_object_mut()) {
        members.insert("details".into(), details);
    }
    json!({ "error": error, "request_id": request_id })
        .to_string()
        .into()
}

/// The headers that every answer carries (R074, R325). HSTS only where TLS is ours: over plain HTTP it means nothing
/// (RFC 6797 section 7.2).
pub fn secure(headers: &mut HeaderMap, request_id: &str, encrypted: bool) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers
        .entry(REFERRER_POLICY)
        .or_insert(HeaderValue::from_static("no-referrer"));
    // Only our own pages bring a policy of their own; what an upstream says about it is not passed on.
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'",
        ));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if encrypted {
        headers.insert(
            STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000; includeSubDomains"),
        );
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r074_r325_every_answer_carries_the_security_headers() {
        let mut headers = HeaderMap::new();
        secure(&mut headers, "req_1", true);
        for name in [
            "x-content-type-options",
            "x-frame-options",
            "referrer-policy",
            "content-security-policy",
            "cache-control",
            "strict-transport-security",
            "x-request-id",
        ] {
            assert!(headers.contains_key(name), "{name}");
        }
        let mut plain = HeaderMap::new();
        secure(&mut plain, "req_1", false);
        assert!(
            !plain.contains_key("strict-transport-security"),
            "HSTS over plain HTTP means nothing"
        );
    }

    #[test]
    fn c54_http_errors_are_nested_and_carry_the_request_id() {
        let body = nested("payload_too_large", "The body is too large", None, "req_1");
        let expected = r#"{"error":{"code":"payload_too_large","message":"The body is too large"},"request_id":"req_1"}"#;
        assert_eq!(body, expected);
    }
}
