//! Which headers travel, in both directions: allow-lists, so that a header nobody thought of stays outside. `Authorization`,
//! cookies, forwarding headers, codings and hop-by-hop headers are on neither list (MCP authorization: a gateway never
//! passes the client's token on).

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, RETRY_AFTER, USER_AGENT};

/// The revision that the two ends speak.
pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The method, mirrored from the body (revision 2026-07-28).
pub const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// The tool, prompt, resource or task, mirrored from the body (revision 2026-07-28).
pub const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// The legacy session.
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// Where a legacy stream is resumed.
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What arguments that are mirrored into headers begin with (revision 2026-07-28).
pub const PARAM_PREFIX: &str = "mcp-param-";
/// Tells other proxies not to hold a stream back.
pub const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

const TOWARD_UPSTREAM: [HeaderName; 10] = [
    ACCEPT,
    CONTENT_TYPE,
    USER_AGENT,
    PROTOCOL_VERSION,
    METHOD,
    NAME,
    LAST_EVENT_ID,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("accept-language"),
];

const TOWARD_DOWNSTREAM: [HeaderName; 4] =
    [CONTENT_TYPE, RETRY_AFTER, PROTOCOL_VERSION, ACCEL_BUFFERING];

/// The caller's headers that the upstream sees. The session id is not among them: it is sealed, and the pipeline opens it.
pub fn toward_upstream(incoming: &HeaderMap, forward: &[HeaderName]) -> HeaderMap {
    let mut outgoing = HeaderMap::with_capacity(incoming.len());
    for (name, value) in incoming {
        let listed = TOWARD_UPSTREAM.contains(name) || forward.contains(name);
        if listed || name.as_str().starts_with(PARAM_PREFIX) {
            outgoing.append(name, value.clone());
        }
    }
    outgoing
}

/// The upstream's headers that the caller sees.
pub fn toward_downstream(incoming: &HeaderMap) -> HeaderMap {
    // What is added later has room as well. The HTTP library keeps the map as long as the connection, so room counts.
    let mut outgoing = HeaderMap::with_capacity(12);
    for name in &TOWARD_DOWNSTREAM {
        if let Some(value) = incoming.get(name) {
            outgoing.insert(name, value.clone());
        }
    }
    outgoing
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn the_clients_credentials_and_cookies_never_travel() {
        let secret = [
            "authorization",
            "cookie",
            "proxy-authorization",
            "x-forwarded-for",
            "forwarded",
            "host",
            "origin",
            "connection",
            "transfer-encoding",
            "accept-encoding",
            "mcp-session-id",
            "x-api-key",
            "mcp_method",
            "te",
            "upgrade",
        ];
        let incoming: HeaderMap = secret
            .iter()
            .map(|name| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static("canary-not-a-real-secret"),
                )
            })
            .collect();
        assert!(toward_upstream(&incoming, &[]).is_empty());
        assert!(
            toward_downstream(&map(&[
                ("set-cookie", "a=b"),
                ("www-authenticate", "Basic"),
                ("server", "x")
            ]))
            .is_empty()
        );
    }

    #[test]
    fn what_the_protocol_needs_travels_unchanged() {
        let incoming = map(&[
            ("accept", "application/json"),
            ("mcp-param-region", "eu"),
            ("last-event-id", "7"),
            ("x-team", "1"),
        ]);
        let outgoing = toward_upstream(&incoming, &[HeaderName::from_static("x-team")]);
        assert_eq!(
            outgoing.len(),
            4,
            "an unrecognised Mcp-Param header is forwarded unchanged"
        );
    }
}
