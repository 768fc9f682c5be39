//! Attacks on `/oauth/authorize`: on the redirect, on PKCE, on the resource and the scopes.

use hyper::StatusCode;

use super::town::{Bend, Fields, REDIRECT, Town, challenge, of_query};
use crate::harness::browser::Arrived;

/// What becomes of a request.
#[derive(Clone, Copy)]
enum Expect {
    /// A page: nobody may be redirected to an address that is not the client's.
    Page,
    /// The client hears of it, with this error.
    Error(&'static str),
}

type Row = (&'static str, fn(&mut Fields), Expect);

async fn each(town: &Town, rows: &[Row]) {
    for (name, bend, expect) in rows {
        let mut asked = town.honest();
        bend(&mut asked);
        let mut browser = town.browser();
        // One step only: what the gateway itself answers.
        let reply = town.client.get(&Town::authorize_url(&asked)).await;
        match expect {
            Expect::Page => {
                assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{name}");
                assert_eq!(reply.header("location"), None, "{name}");
                assert!(reply.text().contains("<h1"), "{name}: {}", reply.text());
            }
            Expect::Error(error) => match browser.open(&Town::authorize_url(&asked)).await {
                Arrived::Left(back) => {
                    assert!(back.as_str().starts_with(REDIRECT), "{name}: {back}");
                    let said = |field| of_query(&back, field);
                    assert_eq!(said("error").as_deref(), Some(*error), "{name}: {back}");
                    // RFC 9207: whoever is called back learns by whom.
                    assert_eq!(said("iss").as_deref(), Some("https://localhost"), "{name}");
                    assert_eq!(said("code"), None, "{name}");
                }
                Arrived::At(url, page) => panic!("{name}: stayed at {url}: {}", page.text()),
            },
        }
        town.told(name, &reply).await;
    }
}

#[tokio::test]
async fn rfc9700_s4_1_redirect_tricks_end_on_a_page_and_never_elsewhere() {
    let town = Town::start().await;
    let rows: &[Row] = &[
        (
            "another host",
            |f| f.set("redirect_uri", "https://evil.test/callback"),
            Expect::Page,
        ),
        (
            "suffix of the path",
            |f| f.set("redirect_uri", "http://127.0.0.1:7777/callback/evil"),
            Expect::Page,
        ),
        (
            "suffix without a slash",
            |f| f.set("redirect_uri", "http://127.0.0.1:7777/callbackevil"),
            Expect::Page,
        ),
        (
            "suffix of the host",
            |f| f.set("redirect_uri", "http://127.0.0.1.evil.test:7777/callback"),
            Expect::Page,
        ),
        (
            "user info",
            |f| f.set("redirect_uri", "http://127.0.0.1:7777@evil.test/callback"),
            Expect::Page,
        ),
        (
            "user info before the host",
            |f| f.set("redirect_uri", "http://evil.test@127.0.0.1:7777/callback"),
            Expect::Page,
        ),
        (
            "fragment",
            |f| f.set("redirect_uri", "http://127.0.0.1:7777/callback#x"),
            Expect::Page,
        ),
        (
            "empty fragment",
            |f| f.set("redirect_uri", "http://127.0.0.1:7777/callback#"),
            Expect::Page,
        ),
        (
            "path traversal",
            |f| f.set("redirect_uri", "http://127.0.0.1:7777/callback/../evil"),
            Expect::Page,
        ),
        (
            "encoded path traversal",
            |f| f.set("redirect_uri", "http://127.0.0.1:7777/%2e%2e/callback"),
            Expect::Page,
        ),
        (
            "encoded letters",
            |f| f.set("redirect_uri", "http://127.0.0.1:7777/%63allback"),
            Expect::Page,
        ),
        (
            "encoded slash",
            |f| f.set("redirect_uri", "http://127.0.0.1:7777%2fcallback"),
            Expect::Page,
        ),
        (
            "backslash",
            |f| f.set("redirect_uri", "http://127.0.0.1:7777\\@evil.test/callback"),
            Expect::Page,
        ),
        (
            "more of a query",
            |f| f.set("redirect_uri", "http://127.0.0.1:7777/callback?next=evil"),
            Expect::Page,
        ),
        (
            "another case of the path",
            |f| f.set("redirect_uri", "http://127.0.0.1:7777/Callback"),
            Expect::Page,
        ),
        (
            "https for http",
            |f| f.set("redirect_uri", "https://127.0.0.1:7777/callback"),
            Expect::Page,
        ),
        (
            "javascript",
            |f| f.set("redirect_uri", "javascript:alert(1)"),
            Expect::Page,
        ),
        (
            "data",
            |f| f.set("redirect_uri", "data:text/html,hello"),
            Expect::Page,
        ),
        (
            "no scheme",
            |f| f.set("redirect_uri", "//127.0.0.1:7777/callback"),
            Expect::Page,
        ),
        (
            "IPv6 loopback that was not registered",
            |f| f.set("redirect_uri", "http://[::1]:7777/callback"),
            Expect::Page,
        ),
        (
            "another address of loopback",
            |f| f.set("redirect_uri", "http://127.0.0.2:7777/callback"),
            Expect::Page,
        ),
        (
            "decimal address",
            |f| f.set("redirect_uri", "http://2130706433:7777/callback"),
            Expect::Page,
        ),
        (
            "space before",
            |f| f.set("redirect_uri", " http://127.0.0.1:7777/callback"),
            Expect::Page,
        ),
        (
            "line break",
            |f| f.set("redirect_uri", "http://127.0.0.1:7777/callback\r\nx: y"),
            Expect::Page,
        ),
        (
            "two redirects",
            |f| f.again("redirect_uri", "https://evil.test/callback"),
            Expect::Page,
        ),
        ("no client", |f| f.without("client_id"), Expect::Page),
        (
            "unknown client",
            |f| f.set("client_id", "mcp_client_nobody"),
            Expect::Page,
        ),
        (
            "two clients",
            |f| f.again("client_id", "mcp_client_nobody"),
            Expect::Page,
        ),
        (
            "client id that is an address without TLS",
            |f| f.set("client_id", "http://evil.test/client.json"),
            Expect::Page,
        ),
    ];
    each(&town, rows).await;
}

#[tokio::test]
async fn rfc8252_s7_3_the_port_may_differ_on_loopback_only() {
    let town = Town::start().await;
    let elsewhere = town.registered(&["https://app.test/callback"]).await;
    let mut asked = town.honest();
    asked.set("client_id", &elsewhere);
    asked.set("redirect_uri", "https://app.test:8443/callback");
    let reply = town.client.get(&Town::authorize_url(&asked)).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text());
    town.told("port off loopback", &reply).await;

    let mut asked = town.honest();
    asked.set("redirect_uri", "http://127.0.0.1:49152/callback");
    let back = town.agreed(&mut town.browser(), &asked).await;
    assert_eq!(back.port(), Some(49152));
}

#[tokio::test]
async fn rfc7636_s4_4_1_requests_without_s256_are_refused() {
    let town = Town::start().await;
    let rows: &[Row] = &[
        (
            "no challenge",
            |f| {
                f.without("code_challenge");
                f.without("code_challenge_method");
            },
            Expect::Error("invalid_request"),
        ),
        (
            "no method, which means plain",
            |f| f.without("code_challenge_method"),
            Expect::Error("invalid_request"),
        ),
        (
            "plain",
            |f| f.set("code_challenge_method", "plain"),
            Expect::Error("invalid_request"),
        ),
        (
            "unknown method",
            |f| f.set("code_challenge_method", "S512"),
            Expect::Error("invalid_request"),
        ),
        (
            "lowercase method",
            |f| f.set("code_challenge_method", "s256"),
            Expect::Error("invalid_request"),
        ),
        (
            "method without a challenge",
            |f| f.without("code_challenge"),
            Expect::Error("invalid_request"),
        ),
        (
            "short challenge",
            |f| f.set("code_challenge", "abc"),
            Expect::Error("invalid_request"),
        ),
        (
            "long challenge",
            |f| f.set("code_challenge", &"a".repeat(44)),
            Expect::Error("invalid_request"),
        ),
        (
            "padded challenge",
            |f| f.set("code_challenge", &format!("{}=", &challenge("x")[..42])),
            Expect::Error("invalid_request"),
        ),
        (
            "two challenges",
            |f| f.again("code_challenge", "abc"),
            Expect::Page,
        ),
    ];
    each(&town, rows).await;
}

#[tokio::test]
async fn c25_rfc8707_scopes_resources_and_response_types_that_are_not_ours_are_refused() {
    let town = Town::start().await;
    let rows: &[Row] = &[
        (
            "unknown scope",
            |f| f.set("scope", "mcp:read admin"),
            Expect::Error("invalid_scope"),
        ),
        (
            "scope with odd characters",
            |f| f.set("scope", "mcp:read \"x\""),
            Expect::Error("invalid_scope"),
        ),
        (
            "resource of somebody else",
            |f| f.set("resource", "https://evil.test/mcp"),
            Expect::Error("invalid_target"),
        ),
        (
            "resource with a fragment",
            |f| f.set("resource", "https://localhost/mcp#x"),
            Expect::Error("invalid_target"),
        ),
        (
            "relative resource",
            |f| f.set("resource", "/mcp"),
            Expect::Error("invalid_target"),
        ),
        (
            "one resource of two is foreign",
            |f| f.again("resource", "https://evil.test/mcp"),
            Expect::Error("invalid_target"),
        ),
        (
            "implicit grant",
            |f| f.set("response_type", "token"),
            Expect::Error("unsupported_response_type"),
        ),
        (
            "hybrid",
            |f| f.set("response_type", "code id_token"),
            Expect::Error("unsupported_response_type"),
        ),
        (
            "no response type",
            |f| f.without("response_type"),
            Expect::Error("invalid_request"),
        ),
        (
            "fragment response mode",
            |f| f.set("response_mode", "fragment"),
            Expect::Error("invalid_request"),
        ),
        (
            "request object",
            |f| f.set("request", "e30.e30."),
            Expect::Error("request_not_supported"),
        ),
        (
            "request by address",
            |f| f.set("request_uri", "https://evil.test/r"),
            Expect::Error("request_uri_not_supported"),
        ),
        (
            "prompt none without a login",
            |f| f.set("prompt", "none"),
            Expect::Error("login_required"),
        ),
        ("two states", |f| f.again("state", "b"), Expect::Page),
    ];
    each(&town, rows).await;
}
