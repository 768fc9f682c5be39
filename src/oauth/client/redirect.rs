//! Where users are sent back to. An address is compared as text, except for the port of loopback hosts, which native programs
//! do not know beforehand (RFC 8252 section 7.3, C37).

use url::{Host, Url};

/// The longest redirect URI.
pub(in crate::oauth) const MAX_BYTES: usize = 1024;

/// Private-use schemes without a dot that well-known programs use. Others must be a reversed domain name (RFC 8252 section
/// 7.1), which belongs to somebody.
const KNOWN_SCHEMES: [&str; 8] = [
    "cursor",
    "vscode",
    "vscode-insiders",
    "vscodium",
    "windsurf",
    "claude",
    "zed",
    "goose",
];

/// Why an address cannot be redirected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::oauth) enum RedirectError {
    #[error("a redirect URI is longer than 1024 bytes")]
    TooLong,
    #[error("a redirect URI is no absolute URI, or not in its normal form")]
    Malformed,
    #[error("a redirect URI has a fragment")]
    Fragment,
    #[error("a redirect URI has a user or a password")]
    User,
    #[error("a redirect URI has a wildcard")]
    Wildcard,
    #[error("a redirect URI has a dot segment")]
    DotSegment,
    #[error(
        "a redirect URI is neither https, nor http on the loopback, nor of a private-use scheme"
    )]
    Scheme,
}

/// What kind of address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::oauth) enum Kind {
    /// A site.
    Web,
    /// A program that listens on this machine.
    Loopback,
    /// A program that the system starts.
    Private,
}

/// Checks an address that a client wants to be redirected to.
pub(in crate::oauth) fn check(text: &str) -> Result<Kind, RedirectError> {
    if text.len() > MAX_BYTES {
        return Err(RedirectError::TooLong);
    }
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible || text.contains(['\\', '"', '<', '>', '^', '`', '{', '|', '}']) {
        return Err(RedirectError::Malformed);
    }
    let url = Url::parse(text).map_err(|_| RedirectError::Malformed)?;
    if text.contains('#') {
        return Err(RedirectError::Fragment);
    }
    if text.contains('*') {
        return Err(RedirectError::Wildcard);
    }
    if !url.username().is_empty() || url.password().is_some() || authority(text).contains('@') {
        return Err(RedirectError::User);
    }
    if has_dot_segment(text) {
        return Err(RedirectError::DotSegment);
    }
    kind(text, &url)
}

fn kind(text: &str, url: &Url) -> Result<Kind, RedirectError> {
    let scheme = url.scheme();
    // Another spelling of the scheme or the host would be compared as another address, or as none.
    let normal = text.starts_with(scheme)
        && url.host_str().is_none_or(|host| {
            let authority = authority(text);
            let rest = authority.strip_prefix(host);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        });
    match scheme {
        _ if !normal => Err(RedirectError::Malformed),
        "https" if text.starts_with("https://") && url.has_host() => match is_this_machine(url) {
            true => Ok(Kind::Loopback),
            false => Ok(Kind::Web),
        },
        "http" if loopback(text).is_some() => Ok(Kind::Loopback),
        "http" | "https" => Err(RedirectError::Scheme),
        _ if KNOWN_SCHEMES.contains(&scheme) => Ok(Kind::Private),
        _ if is_reversed_domain(scheme) => Ok(Kind::Private),
        _ => Err(RedirectError::Scheme),
    }
}

/// Whether whoever answers there is a program on the user's own machine, with TLS or without (RFC 6761 section 6.3).
fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// `com.example.program`: at least one dot, between words.
fn is_reversed_domain(scheme: &str) -> bool {
    scheme.contains('.')
        && scheme
            .split('.')
            .all(|label| !label.is_empty() && !label.starts_with('-'))
}

/// What stands between `//` and the path.
fn authority(text: &str) -> &str {
    let Some((_, rest)) = text.split_once("://") else {
        return "";
    };
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// `.` and `..` in any spelling: what is compared as text must not be read as another path.
fn has_dot_segment(text: &str) -> bool {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let decoded = path.to_ascii_lowercase().replace("%2e", ".");
    decoded
        .split('/')
        .any(|segment| matches!(segment, "." | ".."))
}

/// The host and what follows the port of an http address on the loopback.
fn loopback(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("http://")?;
    let host = ["localhost", "127.0.0.1", "[::1]"]
        .into_iter()
        .find(|host| rest.starts_with(host))?;
    let after = rest.strip_prefix(host)?;
    let (port, path) = match after.strip_prefix(':') {
        Some(digits) => {
            let end = digits
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(digits.len());
            let (port, path) = digits.split_at_checked(end)?;
            (Some(port), path)
        }
        None => (None, after),
    };
    let port_fits = port.is_none_or(|port| {
        !port.starts_with('0') && port.parse::<u16>().is_ok_and(|number| number > 0)
    });
    let path_fits = path.is_empty() || path.starts_with(['/', '?']);
    (port_fits && path_fits).then_some((host, path))
}

/// Whether a client that registered `known` may be answered at `asked`.
pub(in crate::oauth) fn matches(known: &str, asked: &str) -> bool {
    if known == asked {
        return true;
    }
    match (loopback(known), loopback(asked)) {
        (Some(known), Some(asked)) => known == asked,
        _ => false,
    }
}

/// The host to show, or the scheme of a program's own address.
pub(in crate::oauth) fn host(text: &str) -> String {
    match Url::parse(text) {
        Ok(url) => match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() && is_web(&url) => name.to_owned(),
            Some(host) if is_web(&url) => host.to_string(),
            _ => format!("{}:", url.scheme()),
        },
        Err(_) => String::new(),
    }
}

/// The source by which a page's `form-action` names the address.
pub(in crate::oauth) fn form_target(text: &str) -> String {
    match Url::parse(text) {
        Ok(url) if is_web(&url) => url.origin().ascii_serialization(),
        Ok(url) => format!("{}:", url.scheme()),
        Err(_) => String::new(),
    }
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// The address with further parameters.
pub(in crate::oauth) fn with_params(to: &str, params: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(params);
    let mark = match to.rsplit_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    format!("{to}{mark}{}", query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_no_client_may_have() {
        for text in [
            "",
            "/callback",
            "//client.test/cb",
            "client.test/cb",
            "http://client.test/cb",
            "http://10.0.0.1/cb",
            "http://127.0.0.2/cb",
            "http://0.0.0.0/cb",
            "http://127.1/cb",
            "http://2130706433/cb",
            "http://0x7f.0.0.1/cb",
            "http://localhost.evil.test/cb",
            "http://localhostevil/cb",
            "http://evil.localhost/cb",
            "http://localhost@evil.test/cb",
            "http://localhost:8080@evil.test/cb",
            "http://localhost:0/cb",
            "http://localhost:08080/cb",
            "http://localhost:65536/cb",
            "http://localhost:/cb",
            "http://localhost:80a/cb",
            "http://LOCALHOST/cb",
            "HTTP://localhost/cb",
            "http:localhost/cb",
            "http:///localhost/cb",
            "http:\\\\localhost/cb",
            "http://[::ffff:127.0.0.1]/cb",
            "http://[0:0:0:0:0:0:0:1]/cb",
            "https://user@client.test/cb",
            "https://user:pw@client.test/cb",
            "https://@client.test/cb",
            "https://client.test/cb#x",
            "https://client.test/cb#",
            "https://*.client.test/cb",
            "https://client.test/*",
            "https://client.test/a/../b",
            "https://client.test/a/%2e%2E/b",
            "https://client.test/./b",
            "https://Client.test/cb",
            "https://client.test\\@evil.test/cb",
            "https://client.test/c b",
            "https://client.test/c\u{0}b",
            "https://client.test/c\r\nb",
            "https://clïent.test/cb",
            "https:client.test/cb",
            "https:///client.test",
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "java\tscript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "blob:https://client.test/x",
            "vbscript:x",
            "about:blank",
            "ftp://client.test/cb",
            "ws://client.test/cb",
            "intent://x#Intent;end",
            "view-source:https://client.test",
            "myprogram:/cb",
            "mailto:a@b.test",
            ".com:/cb",
            "com..example:/cb",
        ] {
            assert!(check(text).is_err(), "{text:?}");
        }
        assert!(check(&format!("https://client.test/{}", "x".repeat(1024))).is_err());
    }

    #[test]
    fn addresses_that_clients_have() {
        for (text, expected) in [
            ("https://client.test/cb", Kind::Web),
            ("https://client.test:8443/cb?x=1", Kind::Web),
            ("https://client.test", Kind::Web),
            ("http://localhost:8080/callback", Kind::Loopback),
            ("http://localhost/callback", Kind::Loopback),
            ("http://127.0.0.1:33418", Kind::Loopback),
            ("http://127.0.0.1:33418/", Kind::Loopback),
            ("http://[::1]:1/cb", Kind::Loopback),
            ("https://localhost:8443/cb", Kind::Loopback),
            ("https://127.0.0.1/cb", Kind::Loopback),
            ("https://127.9.9.9/cb", Kind::Loopback),
            ("https://[::1]:8443/cb", Kind::Loopback),
            ("https://app.localhost/cb", Kind::Loopback),
            ("https://localhost.client.test/cb", Kind::Web),
            (
                "cursor://anysphere.cursor-retrieval/oauth/callback",
                Kind::Private,
            ),
            ("vscode://vscode.github-authentication/did", Kind::Private),
            ("com.example.program:/oauth2redirect", Kind::Private),
        ] {
            assert_eq!(check(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn r543_c37_an_address_is_the_same_text_or_another_port_of_the_loopback() {
        let known = "https://client.test/cb";
        for asked in [
            "https://client.test/cb/",
            "https://client.test/cb/x",
            "https://client.test/cb?x",
            "https://client.test/cb#x",
            "https://client.test/CB",
            "https://client.test/%63b",
            "https://client.test:443/cb",
            "https://client.test:8443/cb",
            "https://CLIENT.test/cb",
            "https://a.client.test/cb",
            "https://client.test.evil.test/cb",
            "https://client.test@evil.test/cb",
            "http://client.test/cb",
            "",
        ] {
            assert!(!matches(known, asked), "{asked}");
        }
        assert!(matches(known, known));
    }

    #[test]
    fn rfc8252_s7_3_r555_c37_only_the_port_of_a_loopback_address_may_change() {
        for known in [
            "http://localhost:8080/callback",
            "http://localhost/callback",
        ] {
            for asked in [
                "http://localhost:8080/callback",
                "http://localhost:49152/callback",
            ] {
                assert!(matches(known, asked), "{known} {asked}");
            }
            for asked in [
                "http://localhost.example/callback",
                "http://localhost:49152/other",
                "http://localhost:49152/callback/",
                "http://localhost:49152/callback?x=1",
                "http://127.0.0.1:49152/callback",
                "http://[::1]:49152/callback",
                "https://localhost:49152/callback",
                "http://localhost:0/callback",
                "http://localhost:99999/callback",
                "http://localhost:1@evil.test/callback",
                "http://localhost:1.evil.test/callback",
                "http://LOCALHOST:1/callback",
            ] {
                assert!(!matches(known, asked), "{known} {asked}");
            }
        }
        assert!(matches("http://127.0.0.1/cb", "http://127.0.0.1:5/cb"));
        assert!(matches("http://[::1]/cb", "http://[::1]:5/cb"));
    }

    #[test]
    fn parameters_are_added_to_what_is_there() {
        let with = |to| with_params(to, &[("state", "a b&c"), ("iss", "https://gw.test")]);
        let added = "state=a+b%26c&iss=https%3A%2F%2Fgw.test";
        assert_eq!(
            with("https://c.test/cb"),
            format!("https://c.test/cb?{added}")
        );
        assert_eq!(
            with("https://c.test/cb?x=1"),
            format!("https://c.test/cb?x=1&{added}")
        );
        assert_eq!(
            with("https://c.test/cb?"),
            format!("https://c.test/cb?{added}")
        );
        assert_eq!(with("com.example:/cb"), format!("com.example:/cb?{added}"));
    }

    #[test]
    fn what_people_and_pages_are_told_about_an_address() {
        for (text, shown, target) in [
            ("https://c.test:8443/cb", "c.test", "https://c.test:8443"),
            ("http://127.0.0.1:5/cb", "127.0.0.1", "http://127.0.0.1:5"),
            ("cursor://any/cb", "cursor:", "cursor:"),
        ] {
            assert_eq!(
                (host(text).as_str(), form_target(text).as_str()),
                (shown, target)
            );
        }
    }
}
