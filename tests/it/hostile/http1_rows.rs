//! The exchanges of the raw HTTP/1 suite: what no decent client sends with the reason for which it is refused, and what is
//! odd but good and so must be served.

/// The body of every good request.
pub(super) const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
/// What is hidden behind every malformed request; nobody may ever see it.
pub(super) const HIDDEN: &str = r#"{"jsonrpc":"2.0","id":666,"method":"ping"}"#;

/// One malformed exchange.
pub(super) struct Row {
    pub(super) what: String,
    pub(super) octets: Vec<u8>,
    pub(super) status: u16,
    pub(super) reason: &'static str,
    /// Whether the peer stops sending behind it.
    pub(super) ends: bool,
}

/// One odd exchange that is served.
pub(super) struct Oddity {
    pub(super) what: &'static str,
    pub(super) octets: String,
    pub(super) status: u16,
    /// How often the upstream hears of it.
    pub(super) calls: usize,
}

/// The lines that a good request has behind its Host.
fn good(token: &str) -> String {
    format!(
        "Authorization: Bearer {token}\r\nMCP-Protocol-Version: 2025-11-25\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n"
    )
}

/// A good request with this body, which keeps its connection.
pub(super) fn post(token: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\n{}Content-Length: {length}\r\n\r\n{body}",
        good(token)
    )
}

/// Every malformed exchange.
pub(super) fn malformed(token: &str) -> Vec<Row> {
    let mut rows = Rows {
        good: good(token),
        hidden: post(token, HIDDEN),
        rows: Vec::new(),
    };
    rows.framings();
    rows.chunks();
    rows.request_lines();
    rows.targets_and_hosts();
    rows.lines();
    rows.wishes();
    rows.sizes();
    rows.endings();
    rows.rows
}

struct Rows {
    good: String,
    hidden: String,
    rows: Vec<Row>,
}

impl Rows {
    fn add(&mut self, what: &str, octets: impl Into<Vec<u8>>, status: u16, reason: &'static str) {
        let mut octets = octets.into();
        octets.extend_from_slice(self.hidden.as_bytes());
        self.rows.push(Row {
            what: what.to_owned(),
            octets,
            status,
            reason,
            ends: false,
        });
    }

    /// A POST with one more line, or several, and a body that serves either framing.
    fn framed(&mut self, lines: &str, status: u16, reason: &'static str) {
        let body = format!("{:x}\r\n{CALL}\r\n0\r\n\r\n", CALL.len());
        let head = format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\n{}", self.good);
        self.add(lines, format!("{head}{lines}\r\n{body}"), status, reason);
    }

    /// A good POST but for its first line and Host.
    fn begun(&mut self, begin: &str, status: u16, reason: &'static str) {
        let (good, length) = (&self.good, CALL.len());
        let octets = format!("{begin}{good}Content-Length: {length}\r\n\r\n{CALL}");
        self.add(begin, octets, status, reason);
    }

    fn framings(&mut self) {
        const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
        for length in [
            "Content-Length: 0",
            "Content-Length: 5",
            "content-length:40",
            "CONTENT-LENGTH: 40",
            "Content-Length: 999",
        ] {
            self.framed(&format!("{length}\r\n{CHUNKED}"), 400, "length_and_coding");
            self.framed(&format!("{CHUNKED}{length}\r\n"), 400, "length_and_coding");
        }
        for length in [
            "+40",
            "-40",
            "-0",
            "0x28",
            "040",
            "00",
            "4 0",
            "40 40",
            "40,40",
            "40, 40",
            "40;40",
            "40.0",
            "4e1",
            "forty",
            "",
            " ",
            "\"40\"",
            "(40)",
            "1_0",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "99999999999999999999999999",
            "\u{664}\u{660}",
            "40\u{a0}",
        ] {
            self.framed(
                &format!("Content-Length: {length}\r\n"),
                400,
                "content_length",
            );
        }
        for lines in [
            "Content-Length: 40\r\nContent-Length: 40\r\n",
            "Content-Length: 40\r\nContent-Length: 5\r\n",
            "Content-Length: 0\r\ncontent-length: 40\r\n",
            "Content-Length: 40\r\nX: y\r\nCoNtEnT-LeNgTh: 40\r\n",
        ] {
            self.framed(lines, 400, "content_length");
        }
        for coding in [
            "identity",
            "gzip",
            "deflate",
            "compress",
            "chunked, gzip",
            "chunked, identity",
            "chunked, chunked",
            "chunked,",
            ", chunked",
            "chunked,,",
            "xchunked",
            "chunkedx",
            "chunk",
            "chunked;q=1",
            "chunked;",
            "\"chunked\"",
            "'chunked'",
            "chunked chunked",
            "chun ked",
            "",
            " ",
            ",",
            "chunked\u{a0}",
            "\u{17f}chunked",
            "chun\u{212a}ed",
            "gzip, chunked, chunked",
            "gzip;q=1, chunked",
        ] {
            self.framed(
                &format!("Transfer-Encoding: {coding}\r\n"),
                400,
                "transfer_encoding",
            );
        }
        for lines in [
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n",
        ] {
            self.framed(lines, 400, "transfer_encoding");
        }
        for coding in ["gzip, chunked", "identity, chunked", "foo,bar , chunked"] {
            self.framed(
                &format!("Transfer-Encoding: {coding}\r\n"),
                501,
                "transfer_coding_unknown",
            );
        }
        for lines in [
            "content_length: 40\r\n",
            "Transfer_Encoding: chunked\r\n",
            "Content_Length: 5\r\nContent-Length: 40\r\n",
        ] {
            self.framed(lines, 400, "underscore_twin");
        }
        let chunked = format!("{}{CHUNKED}\r\n0\r\n\r\n", self.good);
        self.add(
            "a coding in HTTP/1.0",
            format!("POST /mcp HTTP/1.0\r\nHost: localhost\r\n{chunked}"),
            400,
            "transfer_encoding_in_http_1_0",
        );
        for method in ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"] {
            let begin = format!("{method} /mcp HTTP/1.1\r\nHost: localhost\r\n");
            self.add(
                &format!("{method} with chunks"),
                format!("{begin}{chunked}"),
                400,
                "unexpected_body",
            );
            self.begun(&begin, 400, "unexpected_body");
        }
    }

    fn chunks(&mut self) {
        let mut bodies = vec![
            ("a trailer", "0\r\nX-A: b\r\n\r\n", "trailer"),
            (
                "a trailer that frames",
                "0\r\nContent-Length: 40\r\n\r\n",
                "trailer",
            ),
            (
                "a trailer that authorises",
                "0\r\nAuthorization: Bearer x\r\n\r\n",
                "trailer",
            ),
            ("a folded trailer", "0\r\n X\r\n\r\n", "trailer"),
            ("LF behind the last chunk", "0\r\n\n", "trailer"),
            (
                "CR alone behind the last chunk",
                "0\r\n\rGET / HTTP/1.1\r\n",
                "trailer",
            ),
            (
                "no end of the last chunk",
                "0\r\nPOST /mcp HTTP/1.1\r\n",
                "trailer",
            ),
            ("no end of a chunk", "2\r\n{}0\r\n\r\n", "chunk_end"),
            (
                "a chunk longer than its size",
                "1\r\n{}\r\n0\r\n\r\n",
                "chunk_end",
            ),
            ("LF behind a chunk", "2\r\n{}\n0\r\n\r\n", "chunk_end"),
            ("CR alone behind a chunk", "2\r\n{}\r0\r\n\r\n", "chunk_end"),
            (
                "a space behind a chunk",
                "2\r\n{} \r\n0\r\n\r\n",
                "chunk_end",
            ),
        ];
        for size in [
            "",
            " 2",
            "\t2",
            "2 ",
            "2\t",
            "+2",
            "-2",
            "0x2",
            "0X2",
            "2h",
            "g",
            "zz",
            "2,",
            "2.0",
            "\"2\"",
            "_2",
            "\0",
            "000000002",
            "0000000000000002",
            "100000000",
            "fffffffff",
            "ffffffffffffffff",
            "fffffffffffffffff",
            "10000000000000002",
            "\u{662}",
        ] {
            bodies.push((
                "a size",
                Box::leak(format!("{size}\r\n{{}}\r\n0\r\n\r\n").into_boxed_str()),
                "chunk_size",
            ));
        }
        for body in [
            "2\n{}\r\n0\r\n\r\n",
            "2\r{}\r\n0\r\n\r\n",
            "2\r\r\n{}\r\n0\r\n\r\n",
            "2\r\n{}\r\n0\n\r\n",
            "2\r\n{}\r\n\r\n0\r\n\r\n",
        ] {
            bodies.push(("a line end in a size", body, "chunk_size"));
        }
        for extension in [
            ";",
            ";a",
            ";a=b",
            ";a=\"b\"",
            ";a=\"\r\n\"",
            "; a=b",
            ";\n",
            ";a\rb",
        ] {
            bodies.push((
                "an extension",
                Box::leak(format!("2{extension}\r\n{{}}\r\n0\r\n\r\n").into_boxed_str()),
                "chunk_extension",
            ));
        }
        bodies.push((
            "an extension of the last chunk",
            "2\r\n{}\r\n0;a=b\r\n\r\n",
            "chunk_extension",
        ));
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\n{}Transfer-Encoding: chunked\r\n\r\n",
            self.good
        );
        for (what, body, reason) in bodies {
            self.add(
                &format!("{what}: {body:?}"),
                format!("{head}{body}"),
                400,
                reason,
            );
        }
    }

    fn request_lines(&mut self) {
        for line in [
            "POST /mcp",
            "POST",
            "POST /mcp HTTP/1.1 ",
            "POST /mcp HTTP/1.1\t",
            "POST  /mcp HTTP/1.1",
            "POST /mcp  HTTP/1.1",
            "POST\t/mcp HTTP/1.1",
            "POST /mcp\tHTTP/1.1",
            "POST /mcp /x HTTP/1.1",
            "POST /mcp HTTP/1.1 HTTP/1.1",
            " POST /mcp HTTP/1.1",
            "\tPOST /mcp HTTP/1.1",
            "P(ST /mcp HTTP/1.1",
            "PO\u{e9}T /mcp HTTP/1.1",
            "POST: /mcp HTTP/1.1",
            "\"POST\" /mcp HTTP/1.1",
            "POST /mcp http/1.1",
            "POST /mcp Http/1.1",
            "POST /mcp HTTP/1",
            "POST /mcp HTTP/11",
            "POST /mcp HTTP/1.10",
            "POST /mcp HTTP/01.1",
            "POST /mcp HTTP/1.01",
            "POST /mcp HTTP/1,1",
            "POST /mcp HTTP/1.x",
            "POST /mcp HTTP/ 1.1",
            "POST /mcp HTTPS/1.1",
            "POST /mcp ICY/1.1",
            "POST /mcp HTTP/-1.1",
            "POST /mcp",
            "SSH-2.0-OpenSSH_9.9",
            "\u{16}\u{3}\u{1}",
            "{\"jsonrpc\":\"2.0\"}",
            "HTTP/1.1 200 OK",
            "/mcp",
        ] {
            self.begun(
                &format!("{line}\r\nHost: localhost\r\n"),
                400,
                "request_line",
            );
        }
        for version in ["0.9", "1.2", "1.9", "2.0", "3.0", "9.9", "0.0"] {
            self.begun(
                &format!("POST /mcp HTTP/{version}\r\nHost: localhost\r\n"),
                505,
                "http_version",
            );
        }
        self.add(
            "HTTP/2 by prior knowledge",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            505,
            "http_version",
        );
        let good = "POST /mcp HTTP/1.1\r\nHost: localhost\r\n";
        for lines in ["\r\n\r\n\r\n", "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"] {
            self.begun(&format!("{lines}{good}"), 400, "empty_lines");
        }
        for line in ["\n", "\r\n\n", "\r"] {
            self.begun(&format!("{line}{good}"), 400, "line_end");
        }
        self.begun(&format!("\u{feff}{good}"), 400, "request_line");
        self.begun(&format!("\0{good}"), 400, "request_line");
    }

    fn targets_and_hosts(&mut self) {
        for target in [
            "*",
            "mcp",
            "?x",
            "#",
            "/mcp#x",
            "/mcp?x#y",
            "localhost",
            "localhost:443",
            "//",
            "/mcp\\x",
            "/\u{e9}",
            "/mcp\u{ff0f}",
            "/\"mcp\"",
            "/<mcp>",
            "/`mcp`",
            "http:/localhost/mcp",
            "http:localhost/mcp",
            "https:///mcp",
            "https://",
            "https:",
            "://localhost/mcp",
            "ftp://localhost/mcp",
            "ws://localhost/mcp",
            "file:///mcp",
            "javascript:x",
            "https://u@localhost/mcp",
            "https://u:p@localhost/mcp",
            "https://localhost#/mcp",
            "https://localhost\\/mcp",
            "https://local%68ost/mcp",
            "https://:443/mcp",
        ] {
            if target != "//" {
                self.begun(
                    &format!("POST {target} HTTP/1.1\r\nHost: localhost\r\n"),
                    400,
                    "request_target",
                );
            }
        }
        for target in ["localhost:443", "/mcp", "*"] {
            self.begun(
                &format!("CONNECT {target} HTTP/1.1\r\nHost: localhost\r\n"),
                400,
                "request_target",
            );
        }
        for target in ["/m\0cp", "/m\u{7f}cp", "/m\u{8}cp"] {
            self.begun(
                &format!("POST {target} HTTP/1.1\r\nHost: localhost\r\n"),
                400,
                "control_byte",
            );
        }
        for (target, host) in [
            ("https://evil.test/mcp", "localhost"),
            ("https://localhost/mcp", "evil.test"),
            ("https://localhost:443/mcp", "localhost"),
            ("https://localhost/mcp", "localhost:443"),
            ("https://localhost.evil.test/mcp", "localhost"),
            ("https://localhost./mcp", "localhost"),
        ] {
            self.begun(
                &format!("POST {target} HTTP/1.1\r\nHost: {host}\r\n"),
                400,
                "invalid_host",
            );
        }
        for lines in [
            "",
            "Host:\r\n",
            "Host: \t \r\n",
            "Host: localhost\r\nHost: localhost\r\n",
            "Host: localhost\r\nhOsT: evil.test\r\n",
            "Host: localhost\r\nHost:\r\n",
            "Host: localhost, evil.test\r\n",
            "Host: localhost,evil.test\r\n",
            "Host: local host\r\n",
            "Host: x@localhost\r\n",
            "Host: localhost/mcp\r\n",
            "Host: localhost?x\r\n",
            "Host: localhost#x\r\n",
            "Host: https://localhost\r\n",
            "Host: :443\r\n",
            "Host: local%68ost\r\n",
            "Host: \"localhost\"\r\n",
            "Host: localhost;x\r\n",
            "Host: \u{2113}ocalhost\r\n",
        ] {
            self.begun(
                &format!("POST /mcp HTTP/1.1\r\n{lines}"),
                400,
                "invalid_host",
            );
        }
        self.begun("POST /mcp HTTP/1.0\r\n", 400, "invalid_host");
    }

    fn lines(&mut self) {
        let good = "POST /mcp HTTP/1.1\r\nHost: localhost\r\n";
        for begin in [
            "POST /mcp HTTP/1.1\nHost: localhost\r\n",
            "POST /mcp HTTP/1.1\r\nHost: localhost\n",
            "POST /mcp HTTP/1.1\r\r\nHost: localhost\r\n",
            "POST /mcp HTTP/1.1\rHost: localhost\r\n",
            "POST /m\rcp HTTP/1.1\r\nHost: localhost\r\n",
            "POST /mcp HTTP/1.1\r\nHost: local\rhost\r\n",
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\r\n",
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nX-A: b\n",
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nX-A: b\rTransfer-Encoding: chunked\r\n",
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nX\rA: b\r\n",
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\n\n",
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\n\r\r\n",
        ] {
            self.begun(begin, 400, "line_end");
        }
        for line in [
            "X-A: b\0c",
            "X-A: \u{1}",
            "X-A: b\u{7}",
            "X-A: \u{1b}[31m",
            "X-A: \u{7f}",
            "X\u{0}A: b",
            "\0: b",
            "X-A\u{b}: b",
            "X-A:\u{c}b",
        ] {
            self.begun(&format!("{good}{line}\r\n"), 400, "control_byte");
        }
        for line in [
            " X-A: b",
            "\tX-A: b",
            "X-A: b\r\n c",
            "X-A: b\r\n\tc",
            "X-A:\r\n b",
            " ",
            "X-A: b\r\n \r\n c",
            "X-A: b\r\n Content-Length: 5",
        ] {
            self.begun(&format!("{good}{line}\r\n"), 400, "folded_header");
        }
        self.begun(
            "POST /mcp HTTP/1.1\r\n Host: localhost\r\n",
            400,
            "folded_header",
        );
        for line in [
            "X-A : b",
            "X-A\t: b",
            "Content-Length : 5",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding\t: chunked",
            "Host : evil.test",
            "X A: b",
            "X-A",
            "X-A b",
            ": b",
            ":",
            "X(A): b",
            "X,A: b",
            "X/A: b",
            "X;A: b",
            "X=A: b",
            "X@A: b",
            "X[A]: b",
            "X{A}: b",
            "\"X-A\": b",
            "X-\u{c4}: b",
            "GET / HTTP/1.1",
        ] {
            self.begun(&format!("{good}{line}\r\n"), 400, "header_line");
        }
    }

    fn wishes(&mut self) {
        let good = "POST /mcp HTTP/1.1\r\nHost: localhost\r\n";
        for name in [
            "X_Forwarded_For: 127.0.0.1",
            "X-Forwarded_Host: localhost",
            "Mcp_Session_Id: x",
            "Mcp_Method: ping",
            "Mcp_Param_Region: eu",
            "Last_Event_Id: 1",
            "Content_Type: text/plain",
            "X_Real_IP: 127.0.0.1",
            "Proxy_Authorization: x",
        ] {
            self.begun(
                &format!("{good}Connection: close\r\n{name}\r\n"),
                400,
                "underscore_twin",
            );
        }
        for upgrade in ["websocket", "h2c, websocket", "TLS/1.0", "HTTP/2.0", ""] {
            self.begun(
                &format!("{good}Connection: Upgrade\r\nUpgrade: {upgrade}\r\n"),
                400,
                "upgrade",
            );
        }
        for expect in [
            "",
            "200-ok",
            "100-continue, x",
            "100-continued",
            "x=100-continue",
            "100-continue\r\nExpect: 100-continue",
        ] {
            self.begun(&format!("{good}Expect: {expect}\r\n"), 417, "expectation");
        }
    }

    fn sizes(&mut self) {
        let good = "POST /mcp HTTP/1.1\r\nHost: localhost\r\n";
        let mib = "a".repeat(1 << 20);
        self.begun(
            &format!("POST /{mib} HTTP/1.1\r\nHost: localhost\r\n"),
            414,
            "uri_too_long",
        );
        self.begun(
            &format!("{mib} /mcp HTTP/1.1\r\nHost: localhost\r\n"),
            414,
            "uri_too_long",
        );
        self.begun(&format!("{good}X-A: {mib}\r\n"), 431, "headers_too_large");
        self.begun(&format!("{good}{mib}: b\r\n"), 431, "headers_too_large");
        self.begun(
            &format!("{good}{}", "X-A: b\r\n".repeat(300)),
            431,
            "headers_too_large",
        );
        self.begun(
            &format!("{good}{}", "X-A: b\r\n".repeat(100_000)),
            431,
            "headers_too_large",
        );
        for row in &mut self.rows {
            row.what.truncate(120);
        }
    }

    /// Heads that break off, at every kind of place.
    fn endings(&mut self) {
        for octets in [
            "P",
            "POST",
            "POST /mcp",
            "POST /mcp HTTP/1.1",
            "POST /mcp HTTP/1.1\r",
            "POST /mcp HTTP/1.1\r\n",
            "POST /mcp HTTP/1.1\r\nHost: localhost",
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\n",
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r",
            "\r\nGET / HTTP/1.1\r\n",
        ] {
            self.rows.push(Row {
                what: format!("an end behind {octets:?}"),
                octets: octets.as_bytes().to_vec(),
                status: 400,
                reason: "truncated_head",
                ends: true,
            });
        }
    }
}

/// Every odd exchange that is served.
pub(super) fn oddities(token: &str) -> Vec<Oddity> {
    let good = good(token);
    let length = CALL.len();
    let close = "Connection: close\r\n";
    let framed = format!("Content-Length: {length}\r\n");
    let call = |what, begin: &str, lines: &str, body: &str| Oddity {
        what,
        octets: format!("{begin}{lines}\r\n{body}"),
        status: 200,
        calls: 1,
    };
    let begin = "POST /mcp HTTP/1.1\r\nHost: localhost\r\n";
    let with =
        |what, lines: &str| call(what, begin, &format!("{good}{close}{framed}{lines}"), CALL);
    let chunked =
        |what, lines: &str, body: &str| call(what, begin, &format!("{good}{close}{lines}"), body);
    let starts = |what, begin: &str| call(what, begin, &format!("{good}{close}{framed}"), CALL);
    const CODED: &str = "Transfer-Encoding: chunked\r\n";
    let one_by_one: String = CALL
        .chars()
        .map(|octet| format!("1\r\n{octet}\r\n"))
        .collect();
    let whole = format!("{length:x}\r\n{CALL}\r\n0\r\n\r\n");
    let kept = post(token, CALL);
    let last = kept.replacen("Content-Type", "Connection: close\r\nContent-Type", 1);
    let answered = |what, octets: String, status, calls| Oddity {
        what,
        octets,
        status,
        calls,
    };
    vec![
        with("as everybody sends it", ""),
        call(
            "names in small letters",
            begin,
            &format!("{good}{close}{framed}")
                .to_lowercase()
                .replace(&token.to_lowercase(), token),
            CALL,
        ),
        call(
            "names in capitals",
            "POST /mcp HTTP/1.1\r\nHOST: localhost\r\n",
            &format!("{good}{close}CONTENT-LENGTH: {length}\r\n"),
            CALL,
        ),
        call(
            "no space behind a colon",
            "POST /mcp HTTP/1.1\r\nHost:localhost\r\n",
            &format!("{good}{close}Content-Length:{length}\r\n"),
            CALL,
        ),
        call(
            "much space around values",
            "POST /mcp HTTP/1.1\r\nHost:  \t localhost \t \r\n",
            &format!("{good}{close}Content-Length:\t{length}  \r\n"),
            CALL,
        ),
        with("an empty value", "X-A:\r\n"),
        with("a value of spaces", "X-A:   \t\r\n"),
        with("a value with a tab", "X-A: b\tc\r\n"),
        with("octets beyond ASCII in a value", "X-A: caf\u{e9}\r\n"),
        with("colons in a value", "X-A: ::b:c\r\n"),
        with(
            "every character of a token in a name",
            "!#$%&'*+-.^_`|~09azAZ: b\r\n",
        ),
        with("an underscore that is nobody's twin", "my_header: b\r\n"),
        with("the same header twice", "X-A: b\r\nX-A: b\r\n"),
        with("a name of one letter", "X: y\r\n"),
        with(
            "a head of 20 KiB",
            &format!("X-A: {}\r\n", "b".repeat(20 * 1024)),
        ),
        with(
            "TE and Trailer, of which nothing comes",
            "TE: trailers\r\nTrailer: X-A\r\n",
        ),
        with(
            "keep-alive, as HTTP/1.0 had it",
            "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n",
        ),
        starts("one empty line before it", &format!("\r\n{begin}")),
        starts("two empty lines before it", &format!("\r\n\r\n{begin}")),
        starts(
            "a query",
            "POST /mcp?a=b&c=%20{}|[] HTTP/1.1\r\nHost: localhost\r\n",
        ),
        starts(
            "a host in capitals",
            "POST /mcp HTTP/1.1\r\nHost: LOCALHOST\r\n",
        ),
        starts(
            "absolute-form",
            "POST https://localhost/mcp HTTP/1.1\r\nHost: localhost\r\n",
        ),
        starts(
            "absolute-form in capitals",
            "POST HTTPS://LocalHost/mcp HTTP/1.1\r\nHost: localHOST\r\n",
        ),
        starts(
            "HTTP/1.0 with Host and length",
            "POST /mcp HTTP/1.0\r\nHost: localhost\r\n",
        ),
        call(
            "HTTP/1.0 that keeps nothing",
            "POST /mcp HTTP/1.0\r\nHost: localhost\r\n",
            &format!("{good}{framed}"),
            CALL,
        ),
        chunked("one chunk", CODED, &whole),
        chunked(
            "one octet a chunk",
            CODED,
            &format!("{one_by_one}0\r\n\r\n"),
        ),
        chunked(
            "a size in capitals",
            CODED,
            &format!("{length:X}\r\n{CALL}\r\n0\r\n\r\n"),
        ),
        chunked(
            "leading zeros",
            CODED,
            &format!("{length:08x}\r\n{CALL}\r\n000\r\n\r\n"),
        ),
        chunked(
            "a coding in capitals",
            "transfer-encoding: CHUNKED\r\n",
            &whole,
        ),
        chunked(
            "space around a coding",
            "Transfer-Encoding: \tchunked \r\n",
            &whole,
        ),
        chunked(
            "a coding without a space",
            "Transfer-Encoding:chunked\r\n",
            &whole,
        ),
        with("a body that was asked about", "Expect: 100-continue\r\n"),
        with(
            "a body that was asked about in capitals",
            "Expect: 100-CONTINUE\r\n",
        ),
        chunked(
            "chunks that were asked about",
            &format!("{CODED}Expect: 100-continue\r\n"),
            &whole,
        ),
        answered("two requests at once", format!("{kept}{last}"), 200, 2),
        answered(
            "three requests with an empty line between",
            format!("{kept}\r\n{kept}\r\n{last}"),
            200,
            3,
        ),
        answered("an empty line behind", format!("{last}\r\n"), 200, 1),
        answered(
            "GET with a length of nothing",
            format!("GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n{close}\r\n"),
            200,
            0,
        ),
        answered(
            "a method that nobody knows",
            format!("BREW /mcp HTTP/1.1\r\nHost: localhost\r\n{good}{close}\r\n"),
            405,
            0,
        ),
    ]
}
