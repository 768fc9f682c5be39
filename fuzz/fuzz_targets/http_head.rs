//! Whatever head the parser lets through: what stage 2 then accepts has one host of ours, no foreign origin, one framing,
//! and stays within its sizes. An entry is a request head.
#![no_main]

use std::net::IpAddr;
use std::sync::LazyLock;

use http::{HeaderName, HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use sallygate::limits::origin::{AllowedHosts, AllowedOrigins};
use sallygate::limits::{self, Settings, forwarded};
use sallygate::routes::{self, Door};

const HOSTS: [&str; 2] = ["gateway.test", "127.0.0.1:8443"];
const ORIGIN: &str = "https://claude.ai";
const ROUTES: [&str; 2] = ["/mcp", "/b/mcp"];
static SETTINGS: LazyLock<Settings> = LazyLock::new(|| Settings {
    hosts: AllowedHosts::new(HOSTS),
    origins: AllowedOrigins::new([ORIGIN]),
    ..Settings::default()
});

fuzz_target!(|data: &[u8]| {
    let mut lines = [httparse::EMPTY_HEADER; 128];
    let mut head = httparse::Request::new(&mut lines);
    if !matches!(head.parse(data), Ok(httparse::Status::Complete(_))) {
        return;
    }
    let (Some(method), Some(target)) = (head.method, head.path) else {
        return;
    };
    let mut request = Request::builder().method(method).uri(target);
    for line in head.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes());
        let value = HeaderValue::from_bytes(line.value);
        if let (Ok(name), Ok(value)) = (name, value) {
            request = request.header(name, value);
        }
    }
    let Ok(request) = request.body(()) else {
        return;
    };
    let (parts, ()) = request.into_parts();

    let connected = IpAddr::from([10, 0, 0, 1]);
    assert_eq!(forwarded::caller(connected, &parts.headers, 0), connected);
    let _ = forwarded::caller(connected, &parts.headers, 1);
    let _ = limits::expect_json(&parts.headers);
    let path = parts.uri.path();
    match routes::door(&ROUTES, path, |route| *route) {
        Some(Door::Mcp(route)) => assert_eq!(*route, path),
        Some(Door::Health) => assert_eq!(path, routes::HEALTH),
        Some(Door::Metadata(route)) => {
            assert!(path == routes::RESOURCE_METADATA || path.ends_with(*route));
        }
        Some(Door::Oauth | Door::Account) | None => {}
    }

    let Ok(armed) = limits::arm(&parts, true, &SETTINGS) else {
        return;
    };
    let headers = &parts.headers;
    let all = |name: &str| {
        headers
            .get_all(name)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect::<Vec<_>>()
    };
    let authority = parts
        .uri
        .authority()
        .map(|a| a.as_str().to_ascii_lowercase());
    let lines = all("host");
    assert!(lines.len() <= 1, "two hosts");
    let line = lines
        .first()
        .map(|line| String::from_utf8_lossy(line).to_ascii_lowercase());
    for said in [&authority, &line].into_iter().flatten() {
        assert!(HOSTS.contains(&said.as_str()), "{said:?}");
    }
    assert!(authority.is_some() || line.is_some(), "no host");
    match all("origin").as_slice() {
        [] => assert_eq!(armed.origin(), None),
        [only] => assert_eq!(*only, ORIGIN.as_bytes()),
        more => panic!("{more:?}"),
    }
    let (codings, lengths) = (all("transfer-encoding"), all("content-length"));
    assert!(codings.len() + lengths.len() <= 1, "framed twice");
    assert!(
        codings
            .iter()
            .all(|coding| coding.eq_ignore_ascii_case(b"chunked"))
    );
    assert!(headers.len() <= 100);
});
