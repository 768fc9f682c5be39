//! Whatever a request carries as credentials: at most one token comes out, and it is believed only with a good signature.
//! An entry is header lines, a rule, the query.
#![no_main]

use std::sync::LazyLock;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use sallygate::auth::Verifier;
use sallygate_fuzz::{callers, parts};

static VERIFIER: LazyLock<Verifier> = LazyLock::new(callers::verifier);

fuzz_target!(|data: &[u8]| {
    let (lines, query) = parts(data);
    let query = std::str::from_utf8(query).ok();
    let mut headers = HeaderMap::new();
    for line in lines.split(|b| *b == b'\n').take(4) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(AUTHORIZATION, value);
        }
    }
    let Ok(bearer) = VERIFIER.bearer(&headers, query) else {
        return;
    };
    assert_eq!(headers.len(), 1, "one of several credentials was chosen");
    let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    assert!(!pairs.into_iter().any(|(name, _)| name == "access_token"));
    let line = headers[AUTHORIZATION].to_str().expect("plain text");
    let (scheme, token) = line.split_once(' ').expect("a scheme and a token");
    let token = token.trim_start_matches(' ');
    assert!(scheme.eq_ignore_ascii_case("bearer"));
    assert!(
        token
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    );
    assert_eq!(token.split('.').count(), 3);
    assert!(
        !format!("{bearer:?}").contains(token),
        "a token in a log line"
    );
    if callers::verify(&VERIFIER, &bearer).is_ok() {
        assert!(callers::is_signed(token), "believed without a signature");
    }
});
