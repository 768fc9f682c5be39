//! CORS for the origins that stage 2 let pass (C44): the exact origin is echoed, `Vary: Origin` always says that the answer
//! depends on it, and `*` is never sent.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};

const METHODS: &str = "GET, POST, DELETE, OPTIONS";
const HEADERS: &str = "Authorization, Content-Type, Accept, Last-Event-ID, MCP-Protocol-Version, Mcp-Session-Id, Mcp-Method, \
                       Mcp-Name";
const EXPOSED: &str = "WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, X-Request-Id, X-RateLimit-Limit, \
                       X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After";
/// Long enough to spare the round trip, short enough that a changed list bites the same hour.
const MAX_AGE_SECONDS: &str = "600";
/// Names that a browser may ask for in a preflight; more are cut.
const ASKED_HEADERS: usize = 32;

/// Whether a request is a preflight (Fetch standard, section CORS protocol).
pub fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The headers of a preflight's answer: the methods and headers that MCP needs, and of the asked headers those that MCP
/// lets tools define (`Mcp-Param-*`).
pub fn preflight(head: &Parts, origin: &HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::new();
    allow(&mut headers, origin);
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(METHODS),
    );
    let params = asked_params(head);
    let names = if params.is_empty() {
        HEADERS.to_owned()
    } else {
        format!("{HEADERS}, {}", params.join(", "))
    };
    if let Ok(names) = HeaderValue::try_from(names) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    headers.insert(
        ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static(MAX_AGE_SECONDS),
    );
    headers
}

/// Marks any other answer as readable by the page that asked.
pub fn expose(headers: &mut HeaderMap, origin: &HeaderValue) {
    allow(headers, origin);
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
}

fn allow(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        HeaderValue::from_static("true"),
    );
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

fn asked_params(head: &Parts) -> Vec<String> {
    head.headers
        .get(ACCESS_CONTROL_REQUEST_HEADERS)
        .and_then(|asked| asked.to_str().ok())
        .into_iter()
        .flat_map(|asked| asked.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| name.strip_prefix("mcp-param-").is_some_and(is_token))
        .take(ASKED_HEADERS)
        .collect()
}

fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn r433_c44_a_preflight_echoes_the_exact_origin_and_never_a_star() {
        let head = Request::options("/mcp")
            .header("origin", "https://claude.ai")
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization, mcp-param-region, x-evil, mcp-param-a b",
            )
            .body(())
            .unwrap()
            .into_parts()
            .0;
        assert!(is_preflight(&head));
        let headers = preflight(&head, &HeaderValue::from_static("https://claude.ai"));
        assert_eq!(headers["access-control-allow-origin"], "https://claude.ai");
        assert_eq!(headers["access-control-allow-credentials"], "true");
        assert_eq!(headers["vary"], "Origin");
        let names = headers["access-control-allow-headers"].to_str().unwrap();
        assert!(
            names.contains("Authorization") && names.ends_with("mcp-param-region"),
            "{names}"
        );
        assert!(!names.contains("evil") && !names.contains("a b"), "{names}");
    }

    #[test]
    fn an_options_request_without_the_cors_headers_is_no_preflight() {
        let head = Request::options("/mcp")
            .header("origin", "https://claude.ai")
            .body(())
            .unwrap()
            .into_parts()
            .0;
        assert!(!is_preflight(&head));
    }
}
