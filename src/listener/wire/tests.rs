//! What is refused, what is read, and that neither depends on how the octets were cut; and that the parser behind the guard
//! reads exactly what the guard let pass.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

const RULES: Rules = Rules {
    head_bytes: 1024,
    field_count: 8,
    is_encrypted: true,
};

fn fault(octets: impl AsRef<[u8]>) -> Option<Fault> {
    judge(RULES, [octets.as_ref()]).fault
}

/// A head with a Host and these lines.
fn head(lines: &str) -> String {
    format!("POST /mcp HTTP/1.1\r\nHost: gw.test\r\n{lines}\r\n")
}

fn chunked(body: &str) -> String {
    format!("{}{body}", head("Transfer-Encoding: chunked\r\n"))
}

#[test]
fn rfc9112_s6_3_framing_that_two_readers_could_settle_differently_is_refused() {
    for (lines, expected) in [
        (
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            Fault::LengthAndCoding,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            Fault::LengthAndCoding,
        ),
        ("Content-Length: 3\r\nContent-Length: 3\r\n", Fault::Length),
        ("Content-Length: 3, 3\r\n", Fault::Length),
        ("Content-Length: +3\r\n", Fault::Length),
        ("Content-Length: -3\r\n", Fault::Length),
        ("Content-Length: 0x3\r\n", Fault::Length),
        ("Content-Length: 03\r\n", Fault::Length),
        ("Content-Length: 3 3\r\n", Fault::Length),
        ("Content-Length: 3.0\r\n", Fault::Length),
        ("Content-Length:\r\n", Fault::Length),
        ("Content-Length: 9223372036854775808\r\n", Fault::Length),
        ("Content-Length: 18446744073709551616\r\n", Fault::Length),
        ("content_length: 3\r\n", Fault::FramingTwin),
        ("TRANSFER_ENCODING: chunked\r\n", Fault::FramingTwin),
        ("Transfer-Encoding: identity\r\n", Fault::Coding),
        ("Transfer-Encoding: gzip\r\n", Fault::Coding),
        ("Transfer-Encoding: chunked, gzip\r\n", Fault::Coding),
        ("Transfer-Encoding: chunked, chunked\r\n", Fault::Coding),
        ("Transfer-Encoding: chunked,\r\n", Fault::Coding),
        ("Transfer-Encoding: , chunked\r\n", Fault::Coding),
        ("Transfer-Encoding: xchunked\r\n", Fault::Coding),
        ("Transfer-Encoding: \"chunked\"\r\n", Fault::Coding),
        ("Transfer-Encoding: chunked;q=1\r\n", Fault::Coding),
        ("Transfer-Encoding:\r\n", Fault::Coding),
        ("Transfer-Encoding: \x0bchunked\r\n", Fault::ControlByte),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Fault::Coding,
        ),
        ("Transfer-Encoding: gzip, chunked\r\n", Fault::CodingUnknown),
    ] {
        assert_eq!(fault(head(lines)), Some(expected), "{lines:?}");
    }
    let old = chunked("0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(fault(old), Some(Fault::CodingTooEarly));
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"] {
        for lines in ["Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n"] {
            let request = head(lines).replace("POST", method);
            assert_eq!(
                fault(request),
                Some(Fault::UnexpectedBody),
                "{method} {lines:?}"
            );
        }
    }
}

#[test]
fn rfc9112_s2_2_s5_lines_that_parsers_forgive_are_refused() {
    for (octets, expected) in [
        (
            "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            Fault::EmptyLines,
        ),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Fault::LineEnd),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", Fault::LineEnd),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", Fault::LineEnd),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", Fault::LineEnd),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
            Fault::LineEnd,
        ),
        ("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", Fault::LineEnd),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n",
            Fault::ControlByte,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX\x01: b\r\n\r\n",
            Fault::ControlByte,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n",
            Fault::ControlByte,
        ),
        ("GET /\x08 HTTP/1.1\r\nHost: a\r\n\r\n", Fault::ControlByte),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Fault::Folded),
        ("GET / HTTP/1.1\r\nHost: a\r\n\tb\r\n\r\n", Fault::Folded),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Fault::Field),
        ("GET / HTTP/1.1\r\nHost\r\n\r\n", Fault::Field),
        ("GET / HTTP/1.1\r\n: a\r\n\r\n", Fault::Field),
        ("GET / HTTP/1.1\r\nX(Y): a\r\n\r\n", Fault::Field),
        ("GET / HTTP/1.1\r\nX\u{e9}: a\r\n\r\n", Fault::Field),
        (" GET / HTTP/1.1\r\n", Fault::RequestLine),
        ("\x16\x03\x01\x02", Fault::RequestLine),
        ("GET  / HTTP/1.1\r\n", Fault::RequestLine),
        ("GET /  HTTP/1.1\r\n", Fault::RequestLine),
        ("GET /\tHTTP/1.1\r\n", Fault::RequestLine),
        ("GET / HTTP/1.1 \r\n", Fault::RequestLine),
        ("GET / x HTTP/1.1\r\n", Fault::RequestLine),
        ("GET / http/1.1\r\n", Fault::RequestLine),
        ("GET / HTTP/1.10\r\n", Fault::RequestLine),
        ("GET /\r\n", Fault::RequestLine),
        ("G(T / HTTP/1.1\r\n", Fault::RequestLine),
        ("GET / HTTP/1.2\r\n", Fault::Version),
        ("GET / HTTP/0.9\r\n", Fault::Version),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Fault::Version),
    ] {
        assert_eq!(fault(octets), Some(expected), "{octets:?}");
    }
}

#[test]
fn rfc9112_s3_2_targets_and_hosts_that_name_two_places_are_refused() {
    for target in [
        "*",
        "gw.test:443",
        "http:/gw.test/",
        "ftp://gw.test/",
        "http://",
        "http:///mcp",
        "http://u@gw.test/",
        "/mcp#x",
        "/m\\cp",
        "/\u{e9}",
        "/\"x\"",
        "/<x>",
        "mcp",
        "?x",
        "https://gw.test#/mcp",
    ] {
        let request = head("").replace("/mcp", target);
        assert_eq!(fault(request), Some(Fault::Target), "{target}");
    }
    assert_eq!(
        fault("CONNECT /mcp HTTP/1.1\r\nHost: gw.test\r\n\r\n"),
        Some(Fault::Target)
    );
    for host in [
        "",
        "gw.test, gw.test",
        "u@gw.test",
        "gw.test/",
        "gw test",
        "gw.test\r\nHost: gw.test",
        "gw%2etest",
        ":443",
    ] {
        let request = head("").replace("gw.test", host);
        assert_eq!(fault(request), Some(Fault::Host), "{host:?}");
    }
    assert_eq!(fault("GET / HTTP/1.1\r\n\r\n"), Some(Fault::Host));
    assert_eq!(fault("GET / HTTP/1.0\r\n\r\n"), Some(Fault::Host));
    for target in [
        "https://other.test/mcp",
        "https://gw.test:8443/mcp",
        "https://gw.test.evil/mcp",
    ] {
        let request = head("").replace("/mcp", target);
        assert_eq!(fault(request), Some(Fault::Host), "{target}");
    }
}

#[test]
fn rfc9110_s7_8_s10_1_1_wishes_that_are_not_granted_are_refused() {
    for (line, expected) in [
        ("Upgrade: websocket\r\n", Fault::Upgrade),
        ("Upgrade: h2c\r\n", Fault::Upgrade),
        ("Expect: 200-ok\r\n", Fault::Expectation),
        ("Expect: 100-continue, x\r\n", Fault::Expectation),
        (
            "Expect: 100-continue\r\nExpect: 100-continue\r\n",
            Fault::Expectation,
        ),
    ] {
        assert_eq!(fault(head(line)), Some(expected), "{line:?}");
    }
    let plain = Rules {
        is_encrypted: false,
        ..RULES
    };
    let offers = |line: &str| judge(plain, [head(line).as_bytes()]).fault;
    assert_eq!(
        offers("Upgrade: h2c\r\n"),
        None,
        "an offer that nobody takes up"
    );
    assert_eq!(offers("Upgrade: h2c, websocket\r\n"), Some(Fault::Upgrade));
}

#[test]
fn rfc9112_s7_1_chunks_that_two_readers_could_cut_differently_are_refused() {
    for (body, expected) in [
        ("\r\n", Fault::ChunkSize),
        (" 1\r\n", Fault::ChunkSize),
        ("1 \r\n", Fault::ChunkSize),
        ("+1\r\n", Fault::ChunkSize),
        ("-1\r\n", Fault::ChunkSize),
        ("0x1\r\n", Fault::ChunkSize),
        ("g\r\n", Fault::ChunkSize),
        ("1\n", Fault::ChunkSize),
        ("1\rx", Fault::ChunkSize),
        ("000000001\r\n", Fault::ChunkSize),
        ("fffffffff\r\n", Fault::ChunkSize),
        ("1;a=b\r\n", Fault::ChunkExtension),
        ("0;a\r\n", Fault::ChunkExtension),
        ("1\r\nab\r\n", Fault::ChunkEnd),
        ("1\r\na\n", Fault::ChunkEnd),
        ("1\r\na\rb", Fault::ChunkEnd),
        ("0\r\nX: y\r\n\r\n", Fault::Trailer),
        ("0\r\n\n", Fault::Trailer),
        ("0\r\n\rx", Fault::Trailer),
    ] {
        let request = chunked(body);
        let judged = judge(RULES, [request.as_bytes()]);
        assert_eq!(judged.fault, Some(expected), "{body:?}");
        assert!(expected.is_in_body() && judged.heads == 1, "{body:?}");
        assert!(judged.passed.len() < request.len(), "{body:?}");
    }
}

#[test]
fn heads_are_bounded_before_they_are_buffered() {
    let long = |length: usize| format!("GET /{}", "a".repeat(length));
    assert_eq!(
        fault(long(1019)),
        Some(Fault::TargetBytes),
        "without waiting for its end"
    );
    assert_eq!(fault(long(1018)), None);
    let wide = |length: usize| head(&format!("X: {}\r\n", "a".repeat(length)));
    let rest = wide(0).len();
    assert_eq!(fault(wide(1025 - rest)), Some(Fault::HeadBytes));
    assert_eq!(fault(wide(1024 - rest)), None, "exactly as long as may be");
    assert_eq!(fault(head(&"X: a\r\n".repeat(8))), Some(Fault::FieldCount));
    assert_eq!(fault(head(&"X: a\r\n".repeat(7))), None);
}

#[test]
fn a_head_that_breaks_off_is_a_fault_and_an_empty_line_behind_a_request_is_none() {
    let ended = |octets: &str| {
        let mut follower = Follower::new(RULES);
        let passed = follower.take(octets.as_bytes());
        follower.end();
        (passed, follower.fault())
    };
    assert_eq!(ended("GET / HT"), (0, Some(Fault::Truncated)));
    let whole = head("");
    assert_eq!(
        ended(&format!("{whole}GE")),
        (whole.len(), Some(Fault::Truncated))
    );
    assert_eq!(ended(&format!("{whole}\r\n")), (whole.len(), None));
    assert_eq!(ended(""), (0, None));
    let body = head("Content-Length: 3\r\n");
    assert_eq!(ended(&format!("{body}ab")).1, None, "its reader finds out");
}

#[test]
fn rfc9112_s9_3_2_pipelined_requests_pass_in_order_up_to_the_first_that_is_none() {
    let good = [
        head(""),
        format!("\r\n{}abc", head("content-LENGTH: 3\r\n")),
        chunked("2\r\nab\r\n00A\r\n0123456789\r\n000\r\n\r\n"),
        "GET https://GW.test:443/mcp?x HTTP/1.0\r\nhost:\tgw.TEST:443 \r\nContent-Length: 0\r\n\r\n".into(),
        head("Expect: 100-Continue\r\nX:\r\nY: \u{e9}\t\r\n").replace("/mcp", "/a^{b}|[c]?d%zz"),
        chunked("0\r\n\r\n"),
    ];
    let all = good.concat();
    let judged = judge(RULES, [all.as_bytes()]);
    assert_eq!(judged.fault, None);
    assert_eq!((judged.heads, judged.passed.len()), (6, all.len()));
    let spoilt = format!("{all}GET /smuggled HTTP/1.1\nHost: gw.test\r\n\r\n");
    let judged = judge(RULES, [spoilt.as_bytes()]);
    assert_eq!(judged.fault, Some(Fault::LineEnd));
    assert_eq!(
        judged.passed,
        all.as_bytes(),
        "not one octet of the refused head"
    );
}

/// Pieces of requests, good and bad, from which anything may be glued together.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let words = select(vec![
        "GET ",
        "POST ",
        "/mcp",
        "https://gw.test/mcp",
        " ",
        "\t",
        " HTTP/1.1",
        " HTTP/1.0",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        "Host: gw.test\r\n",
        "Host:",
        "host: a:1\r\n",
        "Content-Length: 3\r\n",
        "Content-Length: ",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: ",
        "chunked",
        ", ",
        "gzip",
        "0\r\n\r\n",
        "3\r\nabc\r\n",
        "1;a\r\n",
        "abc",
        "10",
        ":",
        "X: y\r\n",
        "Expect: 100-continue\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n",
        "\0",
        "\u{e9}",
        "#",
        "*",
    ]);
    let piece = prop_oneof![
        12 => words.prop_map(|word| word.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_judgement_does_not_depend_on_how_the_octets_were_cut(octets in octets(), cuts in vec(any::<Index>(), 0..6)) {
        let whole = judge(RULES, [&octets[..]]);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(octets.len() + 1)).collect();
        cuts.extend([0, octets.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &octets[pair[0]..pair[1]]);
        prop_assert_eq!(&whole, &judge(RULES, pieces));
        prop_assert_eq!(&whole, &judge(RULES, octets.chunks(1)));
        prop_assert!(octets.starts_with(&whole.passed), "unchanged, and nothing out of order");
    }

    #[test]
    fn the_parser_reads_every_head_that_passes_and_frames_it_alike(octets in octets()) {
        let judged = judge(RULES, [&octets[..]]);
        let mut rest = &judged.passed[..];
        for _ in 0..judged.heads {
            let mut headers = [httparse::EMPTY_HEADER; 16];
            let mut request = httparse::Request::new(&mut headers);
            let parsed = request.parse(rest);
            let Ok(httparse::Status::Complete(length)) = parsed else {
                return Err(TestCaseError::fail(format!("{parsed:?} for {rest:?}")));
            };
            let target: Result<http::Uri, _> = request.path.unwrap_or_default().parse();
            prop_assert!(target.is_ok(), "{:?}", request.path);
            let value = |name: &str| {
                let mut found = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
                let first = found.next().map(|header| std::str::from_utf8(header.value).unwrap().to_owned());
                assert!(found.next().is_none(), "one {name} at most");
                first
            };
            prop_assert!(value("host").is_some());
            rest = &rest[length..];
            let body = match (value("content-length"), value("transfer-encoding")) {
                (None, None) => 0,
                (Some(length), None) => length.parse::<usize>().unwrap(),
                (None, Some(_)) => dechunked(rest),
                both => return Err(TestCaseError::fail(format!("{both:?}"))),
            };
            rest = &rest[body.min(rest.len())..];
        }
        // Behind the last message at most the empty lines may be left that no head has followed yet.
        prop_assert!(rest.is_empty(), "{rest:?} was passed and belongs to no message");
    }

    #[test]
    fn the_parser_never_has_to_answer_by_itself(octets in octets(), cut in any::<Index>()) {
        let judged = judge(RULES, [&octets[..]]);
        let (requests, marks, said) = conversation(&octets, cut.index(octets.len() + 1));
        let answers = said.matches("HTTP/1.").count();
        let ours = [" 200 OK\r\n", " 100 Continue\r\n"];
        prop_assert_eq!(ours.iter().map(|ours| said.matches(ours).count()).sum::<usize>(), answers, "{}", said);
        prop_assert!(requests as u64 <= judged.heads && marks <= 1);
        // HTTP/1.0 ends the connection behind its first request.
        if !octets.windows(8).any(|octets| octets == b"HTTP/1.0") {
            prop_assert_eq!(requests as u64, judged.heads);
            let is_marked = judged.fault.is_some_and(|fault| !fault.is_in_body());
            prop_assert_eq!(marks, usize::from(is_marked));
        }
    }

    #[test]
    fn nothing_makes_it_panic_or_pass_more_than_came(octets in vec(any::<u8>(), 0..300)) {
        prop_assert!(judge(RULES, [&octets[..]]).passed.len() <= octets.len());
    }
}

/// How long a chunked body is, by the parser behind the guard; all that is there if it has no end yet.
fn dechunked(mut octets: &[u8]) -> usize {
    let all = octets.len();
    while let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(octets) {
        let size = usize::try_from(size).unwrap();
        let taken = (line + size + 2).min(octets.len());
        octets = &octets[taken..];
        if size == 0 {
            return all - octets.len();
        }
    }
    all
}

/// What the parser makes of these octets behind the guard: how many requests, how many marks, and everything that was
/// answered. Every call is answered 200.
fn conversation(octets: &[u8], cut: usize) -> (usize, usize, String) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(async {
        let (mut peer, io) = duplex(64 * 1024);
        let (guard, findings) = Guard::new(io, RULES);
        let calls = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let counts = Arc::clone(&calls);
        let service = service_fn(move |request: Request<Incoming>| {
            counts[usize::from(findings.of(&request).is_some())].fetch_add(1, Ordering::SeqCst);
            async move {
                let _ = request.into_body().collect().await;
                Ok::<_, Infallible>(Response::new(String::new()))
            }
        });
        let serving = http1::Builder::new()
            .max_headers(RULES.field_count)
            .serve_connection(TokioIo::new(guard), service);
        let speaking = async {
            peer.write_all(&octets[..cut]).await.unwrap();
            tokio::task::yield_now().await;
            // It may have been closed, with good reason.
            let _ = peer.write_all(&octets[cut..]).await;
        };
        // Time passes when nobody has anything to do any more.
        let patience = std::time::Duration::from_secs(60);
        let _ = tokio::time::timeout(patience, async { tokio::join!(serving, speaking) }).await;
        let mut said = Vec::new();
        let _ = peer.read_to_end(&mut said).await;
        let [requests, marks] = [0, 1].map(|which: usize| calls[which].load(Ordering::SeqCst));
        (requests, marks, String::from_utf8(said).unwrap())
    })
}
