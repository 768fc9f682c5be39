//! Whatever a stranger writes: nothing falls over, and an address that matches leads where the known one does.

use proptest::prelude::*;
use url::Url;

use crate::grants::opaque;
use crate::oauth::client::metadata::Raw;
use crate::oauth::client::redirect;

const KNOWN: [&str; 5] = [
    "http://localhost:8080/callback",
    "http://127.0.0.1/cb?x=1",
    "http://[::1]:5",
    "https://client.test/cb",
    "cursor://any/cb",
];

/// A known address with something put into the place of a part of it.
fn bent() -> impl Strategy<Value = (&'static str, String)> {
    let put = "[a-z0-9:/@.\\[\\]?#%\\\\ \t*-]{0,12}";
    (
        prop::sample::select(&KNOWN[..]),
        0..40_usize,
        0..12_usize,
        put,
    )
        .prop_map(|(known, at, cut, put)| {
            let (head, tail) = known.split_at(at.min(known.len()));
            let tail = tail.get(cut.min(tail.len())..).unwrap_or_default();
            (known, format!("{head}{put}{tail}"))
        })
}

proptest! {
    // Failing inputs are printed, not kept in files.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rfc6749_s3_1_2_an_address_that_matches_leads_to_the_same_place((known, asked) in bent()) {
        if redirect::matches(known, &asked) {
            let (known, asked) = (Url::parse(known).unwrap(), Url::parse(&asked).unwrap());
            prop_assert_eq!(known.scheme(), asked.scheme());
            prop_assert_eq!(known.host_str(), asked.host_str());
            prop_assert_eq!(known.path(), asked.path());
            prop_assert_eq!(known.query(), asked.query());
            prop_assert_eq!(asked.fragment(), None);
            prop_assert_eq!(asked.username(), "");
        }
    }

    #[test]
    fn an_address_that_is_accepted_is_read_by_browsers_as_it_is_written((_, text) in bent()) {
        if let Ok(kind) = redirect::check(&text) {
            let url = Url::parse(&text).unwrap();
            prop_assert_eq!(url.username(), "");
            prop_assert_eq!(url.fragment(), None);
            match kind {
                redirect::Kind::Web => prop_assert_eq!(url.scheme(), "https"),
                redirect::Kind::Loopback => prop_assert!(crate::fetch::is_loopback(&url)),
                redirect::Kind::Private => prop_assert!(!matches!(url.scheme(), "http" | "https")),
            }
        }
    }

    #[test]
    fn nothing_falls_over_any_text(text in any::<String>(), bytes in any::<Vec<u8>>()) {
        let _ = redirect::check(&text);
        let _ = redirect::host(&text);
        let _ = redirect::form_target(&text);
        let _ = redirect::with_params(&text, &[("a", &text)]);
        let _ = opaque::read(opaque::CODE, &text, 32);
        let _ = opaque::read(opaque::CODE, &format!("mcp_ac_{text}"), 32);
        let _ = Raw::parse(&bytes);
        let _ = Raw::parse(text.as_bytes());
    }

    #[test]
    fn c55_every_number_of_bytes_comes_back(bytes in any::<[u8; 32]>()) {
        let text = opaque::write(opaque::CODE, &bytes);
        let read = opaque::read(opaque::CODE, text.expose(), 32).unwrap();
        prop_assert_eq!(read.expose().as_slice(), &bytes[..]);
    }
}
