//! The guard before the HTTP/1 parser judges alike in whatever pieces octets come, and what it passes is cut by a strict
//! second reader into the same requests. The first byte says how large the pieces are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sallygate::listener::wire::{Fault, Judgement, Rules, judge};

const RULES: Rules = Rules {
    head_bytes: 4096,
    field_count: 32,
    is_encrypted: true,
};
/// A request that is in order wherever one may begin.
const GOOD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fuzz_target!(|data: &[u8]| {
    let [size, octets @ ..] = data else { return };
    let whole = judge(RULES, [octets]);
    for size in [1, usize::from(*size) + 2] {
        let pieces = judge(RULES, octets.chunks(size));
        assert_eq!(whole, pieces, "pieces change the verdict");
    }
    let passed = &whole.passed;
    assert!(octets.starts_with(passed), "octets were changed");
    let (heads, is_between) = requests(passed);
    assert_eq!(heads, whole.heads, "another reader counts other requests");
    match whole.fault {
        Some(fault) => assert_eq!(is_between, !fault.is_in_body(), "{fault:?} elsewhere"),
        None if is_between => assert!(octets.len() - passed.len() < RULES.head_bytes, "held"),
        None => assert_eq!(octets, passed, "a body is held back"),
    }
    let again = judge(RULES, [&passed[..]]);
    let expected = Judgement {
        fault: None::<Fault>,
        ..whole.clone()
    };
    assert_eq!(again, expected, "what passed does not pass again");
    if is_between {
        let more = judge(RULES, [&passed[..], GOOD]);
        assert_eq!((more.heads, more.fault), (heads + 1, None), "what follows");
    }
});

/// How many requests a strict reader finds, and whether the last of them is complete.
fn requests(mut rest: &[u8]) -> (u64, bool) {
    let mut count = 0;
    while !rest.is_empty() {
        for _ in 0..2 {
            rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
        }
        let end = rest.windows(4).position(|window| window == b"\r\n\r\n");
        let (head, body) = rest.split_at(end.expect("heads pass as a whole") + 4);
        count += 1;
        match behind(framing(head), body) {
            Some(behind) => rest = behind,
            None => return (count, false),
        }
    }
    (count, true)
}

#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
}

/// The only framing of a head that nobody could read in another way.
fn framing(head: &[u8]) -> Framing {
    let text: Vec<char> = head.iter().copied().map(char::from).collect();
    let text = String::from_iter(text);
    for line in text.split("\r\n") {
        assert!(!line.starts_with([' ', '\t']), "folded: {line:?}");
        let is_bad = |c: char| c.is_ascii_control() && c != '\t';
        assert!(!line.contains(is_bad), "a control character: {line:?}");
    }
    let mut lines = [httparse::EMPTY_HEADER; RULES.field_count];
    let mut request = httparse::Request::new(&mut lines);
    let parsed = request.parse(head).expect("a head");
    assert_eq!(parsed, httparse::Status::Complete(head.len()), "its end");
    let (method, target) = (request.method.expect("one"), request.path.expect("one"));
    let all = |name: &str| -> Vec<&str> {
        // Some readers take an underscore for a hyphen.
        let lines = request.headers.iter();
        let lines = lines.filter(|line| line.name.replace('_', "-").eq_ignore_ascii_case(name));
        lines
            .map(|line| std::str::from_utf8(line.value).expect("ASCII"))
            .collect()
    };
    let [host] = all("host")[..] else {
        panic!("not one host: {text:?}");
    };
    let target: http::Uri = target.parse().expect("a target");
    if let Some(authority) = target.authority() {
        assert!(authority.as_str().eq_ignore_ascii_case(host), "two hosts");
    }
    assert!(all("upgrade").is_empty(), "another protocol");
    let framing = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => Framing::Length(0),
        ([length], []) => {
            let number: u64 = length.parse().expect("a length");
            assert_eq!(number.to_string(), *length, "one spelling");
            Framing::Length(number.try_into().expect("fits"))
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") && request.version == Some(1) => {
            Framing::Chunked
        }
        more => panic!("framed by {more:?}"),
    };
    if ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"].contains(&method) {
        assert!(matches!(framing, Framing::Length(0)), "a body of {method}");
    }
    framing
}

/// What follows a body; nothing while it is not complete.
fn behind(framing: Framing, mut rest: &[u8]) -> Option<&[u8]> {
    if let Framing::Length(length) = framing {
        return rest.get(length..);
    }
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let digits = std::str::from_utf8(&rest[..end]).expect("a size");
        let is_plain = (1..=8).contains(&digits.len()) && !digits.contains('+');
        assert!(is_plain, "a chunk size of {digits:?}");
        let size = usize::from_str_radix(digits, 16).expect("a size");
        rest = rest.get(end + 2 + size..)?;
        let close = rest.get(..2)?;
        assert_eq!(close, b"\r\n", "behind a chunk of {size}");
        rest = &rest[2..];
        if size == 0 {
            return Some(rest);
        }
    }
}
