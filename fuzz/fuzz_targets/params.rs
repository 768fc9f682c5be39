//! A form, a query or a cookie is read in one way or not at all. An entry is cookie lines, a rule, the form.
#![no_main]

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE};
use http::{HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use sallygate::web::{Params, Visit};
use sallygate_fuzz::parts;

fuzz_target!(|data: &[u8]| {
    let (lines, form) = parts(data);
    let mut request = Request::post("/oauth/token");
    let mut cookies = Vec::new();
    for line in lines.split(|b| *b == b'\n').take(8) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            cookies.push(value.clone());
            request = request.header(COOKIE, value);
        }
    }
    let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let (head, ()) = request.body(()).expect("a request").into_parts();
    let body = Bytes::copy_from_slice(form);
    let visit = Visit::new(&head, body, IpAddr::from([127, 0, 0, 1]), "req");
    let found = visit.cookie("__Host-login").map(str::to_owned);
    let pairs: Vec<(String, String)> = cookies
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let ours: Vec<_> = pairs
        .iter()
        .filter(|(name, _)| name == "__Host-login")
        .collect();
    match ours.as_slice() {
        [(_, only)] => assert_eq!(found.as_ref(), Some(only)),
        _ => assert_eq!(found, None),
    }
    let Ok(params) = visit.form() else { return };
    assert_eq!(Some(&params), Params::parse(form).ok().as_ref());
    let all: Vec<_> = url::form_urlencoded::parse(form).collect();
    assert!(all.len() <= 64);
    for (name, value) in &all {
        let same = all.iter().filter(|(other, _)| other == name).count();
        assert!(
            same == 1 || name == "resource",
            "{name:?} stands {same} times"
        );
        if !value.is_empty() {
            assert!(params.all(name).any(|known| known == value));
        }
        assert!(!value.contains('\0'));
    }
    // Chance may learn any word, so what is absent is asked of the other reader.
    let absent = !all.iter().any(|(name, _)| name == "client_id");
    assert!(!absent || params.find("client_id").is_none());
});
