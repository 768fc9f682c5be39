//! Names with an underscore that much software behind gateways cannot tell from the same name with a hyphen: CGI and its
//! heirs turn both into one variable. Whoever checks the one and forwards the other has checked nothing, so twins of headers
//! that decide anything are refused in both HTTPs.

/// Headers that somebody decides by.
const NAMES: [&str; 17] = [
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "proxy-authorization",
    "last-event-id",
    "mcp-protocol-version",
    "mcp-session-id",
    "mcp-method",
    "mcp-name",
    "sec-fetch-site",
    "sec-fetch-mode",
    "x-api-key",
    "x-auth-token",
    "x-real-ip",
    "x-request-id",
    "x-http-method-override",
];

/// What the names of more of them begin with.
const FAMILIES: [&str; 5] = [
    "mcp-param-",
    "x-forwarded-",
    "x-original-",
    "x-auth-request-",
    "x-envoy-",
];

/// Whether the name, in small letters as header maps keep it, is the twin of another.
pub fn is_twin(name: &str) -> bool {
    name.contains('_')
        && (NAMES.iter().any(|known| is_twin_of(name, known))
            || FAMILIES.iter().any(|family| {
                name.get(..family.len())
                    .is_some_and(|start| is_twin_of(start, family))
            }))
}

fn is_twin_of(name: &str, known: &str) -> bool {
    let hyphened = |octet: u8| if octet == b'_' { b'-' } else { octet };
    name != known && name.bytes().map(hyphened).eq(known.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_twin_of_a_header_that_matters_is_one() {
        for name in [
            "content_length",
            "transfer_encoding",
            "mcp_session_id",
            "mcp-session_id",
            "mcp_method",
            "mcp_param_region",
            "mcp-param_region",
            "x_forwarded_for",
            "x_forwarded-host",
            "x-real_ip",
            "last_event_id",
        ] {
            assert!(is_twin(name), "{name}");
        }
        for name in [
            "content-length",
            "mcp-session-id",
            "mcp-param-region_of_user",
            "x-forwarded-for",
            "my_header",
            "x_forwarded",
            "_",
            "",
        ] {
            assert!(!is_twin(name), "{name}");
        }
    }
}
