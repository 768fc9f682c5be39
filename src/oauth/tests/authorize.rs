//! `/oauth/authorize`: what is refused on a page, and what is refused to the client.

use super::rig::*;

#[tokio::test]
async fn rfc6749_s4_1_2_1_nobody_is_redirected_until_client_and_address_belong_together() {
    let rig = Rig::with(|settings| settings.throttle.per_address = 1000).await;
    let native = |uri| {
        but(
            &but(&request(), "client_id", Some("native")),
            "redirect_uri",
            Some(uri),
        )
    };
    let long = "x".repeat(5000);
    for (name, params) in [
        ("no client", but(&request(), "client_id", None)),
        ("unknown client", but(&request(), "client_id", Some("nope"))),
        (
            "case of the client",
            but(&request(), "client_id", Some("WEB")),
        ),
        (
            "unregistered id",
            but(&request(), "client_id", Some("mcp_client_x")),
        ),
        ("long id", but(&request(), "client_id", Some(&long))),
        (
            "plain document",
            but(&request(), "client_id", Some("http://c.test/x")),
        ),
        (
            "private document",
            but(&request(), "client_id", Some("https://10.0.0.1/x")),
        ),
        (
            "suffix",
            but(&request(), "redirect_uri", Some("https://client.test/cb/x")),
        ),
        (
            "slash",
            but(&request(), "redirect_uri", Some("https://client.test/cb/")),
        ),
        (
            "query",
            but(
                &request(),
                "redirect_uri",
                Some("https://client.test/cb?x=1"),
            ),
        ),
        (
            "fragment",
            but(&request(), "redirect_uri", Some("https://client.test/cb#x")),
        ),
        (
            "user",
            but(
                &request(),
                "redirect_uri",
                Some("https://client.test@evil.test/cb"),
            ),
        ),
        (
            "other host",
            but(&request(), "redirect_uri", Some("https://evil.test/cb")),
        ),
        (
            "subdomain",
            but(&request(), "redirect_uri", Some("https://a.client.test/cb")),
        ),
        (
            "longer host",
            but(
                &request(),
                "redirect_uri",
                Some("https://client.test.evil.test/cb"),
            ),
        ),
        (
            "traversal",
            but(
                &request(),
                "redirect_uri",
                Some("https://client.test/x/../cb"),
            ),
        ),
        (
            "encoded",
            but(&request(), "redirect_uri", Some("https://client.test/%63b")),
        ),
        (
            "scheme",
            but(&request(), "redirect_uri", Some("http://client.test/cb")),
        ),
        (
            "port",
            but(
                &request(),
                "redirect_uri",
                Some("https://client.test:444/cb"),
            ),
        ),
        (
            "default port",
            but(
                &request(),
                "redirect_uri",
                Some("https://client.test:443/cb"),
            ),
        ),
        (
            "case",
            but(&request(), "redirect_uri", Some("https://Client.test/cb")),
        ),
        (
            "script",
            but(&request(), "redirect_uri", Some("javascript:alert(1)")),
        ),
        ("loopback name", native("http://localhost.example/callback")),
        ("loopback address", native("http://127.0.0.1:8080/callback")),
        ("loopback path", native("http://localhost:9/other")),
        ("loopback tls", native("https://localhost:8080/callback")),
        (
            "loopback user",
            native("http://localhost:8080@evil.test/callback"),
        ),
        ("loopback v6", native("http://[::1]:8080/callback")),
        (
            "which of two",
            but(
                &but(&request(), "client_id", Some("two")),
                "redirect_uri",
                None,
            ),
        ),
        (
            "client without addresses",
            but(
                &but(&request(), "client_id", Some("machine")),
                "redirect_uri",
                None,
            ),
        ),
    ] {
        let reply = rig.get("/oauth/authorize", &params).await;
        assert_eq!(reply.status.as_u16(), 400, "{name}");
        assert!(!reply.headers.contains_key("location"), "{name}");
        assert!(reply.note.refused.is_some(), "{name}");
        assert!(text(&reply).contains("<html"), "{name}");
    }
}

#[tokio::test]
async fn rfc6749_s3_1_a_parameter_that_is_there_twice_is_refused_on_a_page() {
    let rig = Rig::new().await;
    for name in [
        "client_id",
        "redirect_uri",
        "state",
        "code_challenge",
        "scope",
    ] {
        let mut params = request();
        params.push((name, "again"));
        let reply = rig.get("/oauth/authorize", &params).await;
        assert_eq!(reply.status.as_u16(), 400, "{name}");
        assert!(!reply.headers.contains_key("location"), "{name}");
    }
}

#[tokio::test]
async fn r539_r540_r548_c02_c25_whatever_else_is_wrong_is_told_to_the_client() {
    let rig = Rig::with(|settings| settings.throttle.requests = 1000).await;
    let with = |name: &'static str, value: &'static str| but(&request(), name, Some(value));
    let without = |name: &'static str| but(&request(), name, None);
    let long = "x".repeat(2049);
    for (name, params, code) in [
        ("no type", without("response_type"), "invalid_request"),
        (
            "token",
            with("response_type", "token"),
            "unsupported_response_type",
        ),
        (
            "hybrid",
            with("response_type", "code id_token"),
            "unsupported_response_type",
        ),
        (
            "fragment",
            with("response_mode", "fragment"),
            "invalid_request",
        ),
        (
            "form post",
            with("response_mode", "form_post"),
            "invalid_request",
        ),
        ("no challenge", without("code_challenge"), "invalid_request"),
        (
            "no method",
            without("code_challenge_method"),
            "invalid_request",
        ),
        (
            "plain",
            with("code_challenge_method", "plain"),
            "invalid_request",
        ),
        (
            "method in small letters",
            with("code_challenge_method", "s256"),
            "invalid_request",
        ),
        (
            "short challenge",
            with("code_challenge", "abc"),
            "invalid_request",
        ),
        (
            "long challenge",
            with(
                "code_challenge",
                "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cMA",
            ),
            "invalid_request",
        ),
        (
            "padded challenge",
            with(
                "code_challenge",
                "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c=",
            ),
            "invalid_request",
        ),
        (
            "challenge in base64",
            with(
                "code_challenge",
                "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM",
            ),
            "invalid_request",
        ),
        (
            "foreign resource",
            with("resource", "https://evil.test/mcp"),
            "invalid_target",
        ),
        (
            "part of a resource",
            with("resource", "https://gw.test"),
            "invalid_target",
        ),
        (
            "more than a resource",
            with("resource", "https://gw.test/mcp/x"),
            "invalid_target",
        ),
        (
            "resource with fragment",
            with("resource", "https://gw.test/mcp#x"),
            "invalid_target",
        ),
        ("no uri", with("resource", "mcp"), "invalid_target"),
        (
            "unknown scope",
            with("scope", "mcp:read admin"),
            "invalid_scope",
        ),
        ("wildcard", with("scope", "mcp:*"), "invalid_scope"),
        ("silent", with("prompt", "none"), "login_required"),
        (
            "silent and not",
            with("prompt", "none login"),
            "invalid_request",
        ),
        ("request", with("request", "eyJ"), "request_not_supported"),
        (
            "request uri",
            with("request_uri", "https://c.test/r"),
            "request_uri_not_supported",
        ),
        (
            "registration",
            with("registration", "{}"),
            "registration_not_supported",
        ),
        (
            "long state",
            but(&request(), "state", Some(&long)),
            "invalid_request",
        ),
    ] {
        let reply = rig.get("/oauth/authorize", &params).await;
        assert_eq!(reply.status.as_u16(), 303, "{name}");
        let to = location(&reply);
        assert!(to.as_str().starts_with("https://client.test/cb?"), "{name}");
        assert_eq!(param(&to, "error").as_deref(), Some(code), "{name}");
        assert_eq!(param(&to, "iss").as_deref(), Some(PUBLIC), "{name}");
        assert_eq!(reply.note.refused, Some(code), "{name}");
        assert_eq!(param(&to, "code"), None, "{name}");
        let state = (name != "long state").then(|| "s1".to_owned());
        assert_eq!(param(&to, "state"), state, "{name}");
    }
}
