//! HTTP/1 as bytes that no decent client would send. Each is refused, the upstream hears of none, and whoever comes next
//! is served.

use serde_json::json;

use crate::harness::gateway::{Plan, Rig, Who};
use crate::harness::raw;

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// A gateway that would serve: only what a test spoils is between the caller and the upstream.
struct Wire {
    rig: Rig,
    token: String,
}

impl Wire {
    async fn start() -> Self {
        let rig = Plan::new().start().await;
        let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
        rig.upstream.always(&answer);
        let token = rig.token(&Who::new("alice"));
        Self { rig, token }
    }

    /// The lines that a good request has behind its first line and its Host.
    fn good(&self) -> String {
        format!(
            "Authorization: Bearer {}\r\nMCP-Protocol-Version: 2025-11-25\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nConnection: close\r\n",
            self.token
        )
    }

    /// A POST whose head begins with these lines.
    fn post(&self, lines: &str) -> String {
        format!(
            "POST /mcp HTTP/1.1\r\n{lines}{}Content-Length: {}\r\n\r\n{CALL}",
            self.good(),
            CALL.len()
        )
    }

    async fn says(&self, bytes: impl AsRef<[u8]>) -> String {
        let said = raw::exchange_tls(self.rig.address, &self.rig.ca_file, bytes).await;
        String::from_utf8_lossy(&said).into_owned()
    }

    /// The request is answered once, with one of these statuses, or its connection closed without a word; the upstream
    /// hears nothing; the next caller is served.
    async fn refuses(&self, what: &str, bytes: impl AsRef<[u8]>, statuses: &[u16]) -> String {
        let said = self.says(bytes).await;
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{what}: {said}");
        let status = raw::status(said.as_bytes());
        assert!(statuses.contains(&status), "{what}: {said}");
        self.rig.upstream.saw_nothing();
        said
    }

    /// A good request is served.
    async fn serves(&self) {
        let said = self.says(self.post("Host: localhost\r\n")).await;
        assert_eq!(raw::status(said.as_bytes()), 200, "{said}");
        self.rig.upstream.only_request();
    }
}

#[tokio::test]
async fn a_missing_repeated_foreign_or_contradictory_host_is_refused() {
    let wire = Wire::start().await;
    for (what, lines, status) in [
        ("none", "", 400),
        ("two alike", "Host: localhost\r\nHost: localhost\r\n", 400),
        ("two", "Host: localhost\r\nHost: evil.test\r\n", 400),
        ("foreign", "Host: evil.test\r\n", 421),
        ("foreign port", "Host: localhost:9999\r\n", 421),
        ("a list", "Host: localhost, evil.test\r\n", 400),
        ("empty", "Host:\r\n", 400),
        ("with a user", "Host: x@localhost\r\n", 400),
    ] {
        let said = wire.refuses(what, wire.post(lines), &[status]).await;
        let code = if status == 400 {
            "invalid_host"
        } else {
            "misdirected_request"
        };
        assert!(said.contains(code), "{what}: {said}");
    }
    for (what, target, host) in [
        (
            "absolute-form, foreign target",
            "https://evil.test/mcp",
            "localhost",
        ),
        (
            "absolute-form, foreign host",
            "https://localhost/mcp",
            "evil.test",
        ),
    ] {
        let request = wire
            .post(&format!("Host: {host}\r\n"))
            .replacen("/mcp", target, 1);
        wire.refuses(what, request, &[400]).await;
    }
    let both = wire
        .post("Host: evil.test\r\n")
        .replacen("/mcp", "https://evil.test/mcp", 1);
    wire.refuses("absolute-form, both foreign", both, &[421])
        .await;
    wire.serves().await;
}

#[tokio::test]
async fn rfc9112_s6_ambiguous_framing_is_refused_and_nothing_is_smuggled() {
    let wire = Wire::start().await;
    let inner = wire.post("Host: localhost\r\n");
    let head = |framing: &str| {
        let good = wire.good();
        format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\n{good}{framing}\r\n")
    };
    let chunked = format!("{:x}\r\n{CALL}\r\n0\r\n\r\n", CALL.len());
    let length = CALL.len();
    for (what, framing) in [
        (
            "two lengths",
            format!("Content-Length: {length}\r\nContent-Length: 5\r\n"),
        ),
        (
            "a list of lengths",
            format!("Content-Length: {length}, 5\r\n"),
        ),
        ("a signed length", format!("Content-Length: +{length}\r\n")),
        ("a negative length", "Content-Length: -1\r\n".into()),
        ("a length in hex", "Content-Length: 0x28\r\n".into()),
        (
            "a length beyond 64 bits",
            "Content-Length: 99999999999999999999999\r\n".into(),
        ),
        ("another coding", "Transfer-Encoding: gzip\r\n".into()),
        (
            "chunked is not the last",
            "Transfer-Encoding: chunked, gzip\r\n".into(),
        ),
        (
            "chunked is not the only",
            "Transfer-Encoding: gzip, chunked\r\n".into(),
        ),
        (
            "chunked twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n".into(),
        ),
        (
            "chunked twice in a list",
            "Transfer-Encoding: chunked, chunked\r\n".into(),
        ),
        (
            "chunked in disguise",
            "Transfer-Encoding: xchunked\r\n".into(),
        ),
        (
            "chunked in quotes",
            "Transfer-Encoding: \"chunked\"\r\n".into(),
        ),
        ("identity", "Transfer-Encoding: identity\r\n".into()),
    ] {
        let request = format!("{}{chunked}{inner}", head(&framing));
        wire.refuses(what, request, &[400, 501]).await;
    }
    for (what, body) in [
        (
            "a size that is no number",
            format!("zz\r\n{CALL}\r\n0\r\n\r\n"),
        ),
        (
            "a size beyond 64 bits",
            format!("fffffffffffffffff\r\n{CALL}\r\n0\r\n\r\n"),
        ),
        ("a negative size", format!("-1\r\n{CALL}\r\n0\r\n\r\n")),
        ("a size in 0x form", format!("0x28\r\n{CALL}\r\n0\r\n\r\n")),
        (
            "a chunk longer than its size",
            format!("5\r\n{CALL}\r\n0\r\n\r\n"),
        ),
    ] {
        let request = format!("{}{body}{inner}", head("Transfer-Encoding: chunked\r\n"));
        wire.refuses(what, request, &[400]).await;
    }
    let old = head("Transfer-Encoding: chunked\r\n").replacen("HTTP/1.1", "HTTP/1.0", 1);
    wire.refuses("chunked in HTTP/1.0", format!("{old}{chunked}"), &[400])
        .await;
    wire.serves().await;
}

#[tokio::test]
async fn malformed_lines_are_refused() {
    let wire = Wire::start().await;
    for (what, lines) in [
        ("a folded line", "Host: localhost\r\nX-A: b\r\n c\r\n"),
        ("a space before the colon", "Host: localhost\r\nX-A : b\r\n"),
        ("a space before the name", " X-A: b\r\nHost: localhost\r\n"),
        ("no colon", "Host: localhost\r\nX-A\r\n"),
        ("no name", "Host: localhost\r\n: b\r\n"),
        ("a bare CR", "Host: localhost\r\nX-A: b\rc\r\n"),
        ("a NUL", "Host: localhost\r\nX-A: b\0c\r\n"),
        ("a bell", "Host: localhost\r\nX-A: b\x07c\r\n"),
        ("a name that is no token", "Host: localhost\r\nX(A): b\r\n"),
    ] {
        wire.refuses(what, wire.post(lines), &[400]).await;
    }
    for (what, line) in [
        ("no version", "POST /mcp\r\n"),
        ("another version", "POST /mcp HTTP/3.0\r\n"),
        ("two spaces", "POST  /mcp HTTP/1.1\r\n"),
        ("a target with a space", "POST /mcp /x HTTP/1.1\r\n"),
        ("another protocol", "SSH-2.0-OpenSSH_9.9\r\n"),
        ("HTTP/2 by prior knowledge", "PRI * HTTP/2.0\r\n"),
    ] {
        let request = wire.post("Host: localhost\r\n");
        let request = request.replacen("POST /mcp HTTP/1.1\r\n", line, 1);
        wire.refuses(what, request, &[400, 505]).await;
    }
    wire.serves().await;
}

#[tokio::test]
async fn heads_over_their_bounds_are_refused_with_a_word() {
    let wire = Wire::start().await;
    let many = |count| "X-A: b\r\n".repeat(count);
    // Five lines beside Host and Content-Length are ours.
    for (what, lines, status) in [
        ("one line over", many(94), 431),
        ("many lines over", many(1000), 431),
        (
            "33 KiB in one",
            format!("X-A: {}\r\n", "b".repeat(33 * 1024)),
            431,
        ),
        (
            "1 MiB in one",
            format!("X-A: {}\r\n", "b".repeat(1024 * 1024)),
            431,
        ),
    ] {
        let request = wire.post(&format!("Host: localhost\r\n{lines}"));
        wire.refuses(what, request, &[status]).await;
    }
    for (what, length) in [("9 KiB", 9 * 1024), ("63 KiB", 63 * 1024)] {
        let target = format!("/mcp?{}", "a".repeat(length));
        let request = wire
            .post("Host: localhost\r\n")
            .replacen("/mcp", &target, 1);
        wire.refuses(what, request, &[414]).await;
    }
    wire.serves().await;
    let fits = wire.post(&format!("Host: localhost\r\n{}", many(93)));
    assert_eq!(raw::status(wire.says(fits).await.as_bytes()), 200);
}

#[tokio::test]
async fn paths_are_matched_byte_for_byte_and_methods_by_name() {
    let wire = Wire::start().await;
    for path in [
        "/mcp/",
        "//mcp",
        "/MCP",
        "/%6dcp",
        "/mcp;x",
        "/./mcp",
        "/x/../mcp",
        "/mcp%00",
        "/mcp%2f",
        "/",
        "*",
    ] {
        let request = wire.post("Host: localhost\r\n").replacen("/mcp", path, 1);
        wire.refuses(path, request, &[404, 400]).await;
    }
    for method in [
        "PUT", "PATCH", "HEAD", "TRACE", "post", "PROPFIND", "OPTIONS",
    ] {
        let mut request = wire.post("Host: localhost\r\n").replacen("POST", method, 1);
        if ["HEAD", "TRACE", "OPTIONS"].contains(&method) {
            request = request.replacen(&format!("Content-Length: {}", CALL.len()), "X-A: b", 1);
            request.truncate(request.len() - CALL.len());
        }
        let said = wire.refuses(method, request, &[405]).await;
        assert!(
            said.to_lowercase()
                .contains("\r\nallow: get, post, delete\r\n"),
            "{said}"
        );
    }
    let connect =
        wire.post("Host: localhost\r\n")
            .replacen("POST /mcp", "CONNECT localhost:443", 1);
    wire.refuses("CONNECT", connect, &[400, 404, 405, 421])
        .await;
    wire.serves().await;
}

#[tokio::test]
async fn a_refused_request_leaves_its_connection_usable() {
    let wire = Wire::start().await;
    let mut connection = raw::Connection::open_tls(wire.rig.address, &wire.rig.ca_file).await;
    let kept = |request: String| request.replacen("Connection: close\r\n", "", 1);
    connection
        .send(kept(wire.post("Host: evil.test\r\n")))
        .await;
    let said = connection.read_to("\"request_id\":\"req_").await;
    assert_eq!(raw::status(said.as_bytes()), 421);
    connection.send(wire.post("Host: localhost\r\n")).await;
    let said = connection.rest().await;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("HTTP/1.1 200 OK"), "{said}");
    wire.rig.upstream.only_request();
}
