//! A user is sent only to an address that the client registered, as a second reader of addresses sees it. An entry is the
//! registered address, a rule, the one that is asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sallygate::oauth::proof;
use sallygate_fuzz::parts;
use url::{Host, Url};

fuzz_target!(|data: &[u8]| {
    let (known, asked) = parts(data);
    let (Ok(known), Ok(asked)) = (std::str::from_utf8(known), std::str::from_utf8(asked)) else {
        return;
    };
    if !proof::may_register(known) {
        return;
    }
    let registered = Url::parse(known).expect("an address");
    sound(known, &registered);
    if !proof::may_redirect(known, asked) {
        return;
    }
    let wanted = Url::parse(asked).expect("an address");
    sound(asked, &wanted);
    assert_eq!(registered.scheme(), wanted.scheme());
    assert_eq!(registered.host(), wanted.host());
    assert_eq!(registered.path(), wanted.path());
    assert_eq!(registered.query(), wanted.query());
    if known != asked {
        assert_eq!(wanted.scheme(), "http");
        let local = match wanted.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        assert!(local, "{asked:?} is not this machine");
    }
    let answer = proof::redirection(asked, &[("code", "a&b=c#d"), ("state", "\r\nx: y")]);
    let answer = Url::parse(&answer).expect("an address");
    assert_eq!(answer.host(), wanted.host());
    assert_eq!(answer.port(), wanted.port());
    assert_eq!(answer.path(), wanted.path());
    assert_eq!(answer.fragment(), None);
    let query: Vec<_> = answer.query_pairs().collect();
    let [.., (code, is), (state, said)] = query.as_slice() else {
        panic!("the answer is lost");
    };
    assert_eq!((&**code, &**is), ("code", "a&b=c#d"));
    assert_eq!((&**state, &**said), ("state", "\r\nx: y"));
});

fn sound(text: &str, url: &Url) {
    assert!(text.bytes().all(|b| b.is_ascii_graphic()));
    assert_eq!(url.fragment(), None);
    assert!(url.username().is_empty() && url.password().is_none());
    assert!(matches!(url.scheme(), "https") || url.scheme() != "javascript");
    assert!(
        ![
            "data",
            "javascript",
            "file",
            "vbscript",
            "blob",
            "about",
            "ftp",
            "ws",
            "wss"
        ]
        .contains(&url.scheme())
    );
    if url.scheme() == "http" {
        assert!(
            matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")),
            "{text:?}"
        );
    }
    if let (Some(host), "https" | "http") = (url.host_str(), url.scheme()) {
        assert!(
            text.contains(host),
            "{text:?} is another spelling of {host:?}"
        );
    }
}
