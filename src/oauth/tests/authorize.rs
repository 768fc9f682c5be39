//! `/oauth/authorize`: what is refused on a page, what is refused to the client, and what goes on.

use http::{HeaderValue, Method};

use super::rig::*;
use crate::audit::event::Event;

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

#[tokio::test]
async fn a_client_gets_none_of_the_scopes_that_the_operator_keeps_from_it() {
    let rig = Rig::new().await;
    let narrow = but(&request(), "client_id", Some("narrow"));
    let reply = rig
        .get(
            "/oauth/authorize",
            &but(&narrow, "scope", Some("task:write")),
        )
        .await;
    assert_eq!(
        param(&location(&reply), "error").as_deref(),
        Some("invalid_scope")
    );

    let params = but(&narrow, "scope", Some("mcp:read task:write"));
    let page = Browser::default().sign_in(&rig, &params).await;
    assert!(text(&page).contains("mcp:read"));
    assert!(!text(&page).contains("task:write"));
}

#[tokio::test]
async fn one_address_makes_us_keep_only_so_many_requests() {
    let rig = Rig::with(|settings| settings.throttle.requests = 2).await;
    for _ in 0..2 {
        assert_eq!(
            rig.get("/oauth/authorize", &request())
                .await
                .status
                .as_u16(),
            302
        );
    }
    let reply = rig.get("/oauth/authorize", &request()).await;
    assert_eq!(
        param(&location(&reply), "error").as_deref(),
        Some("slow_down")
    );
    assert_eq!(reply.note.event, Some(Event::RateLimited));
}

#[tokio::test]
async fn guessing_at_clients_is_throttled() {
    let rig = Rig::with(|settings| settings.throttle.per_address = 3).await;
    for guess in ["a", "b", "c"] {
        let params = but(&request(), "client_id", Some(guess));
        assert_eq!(
            rig.get("/oauth/authorize", &params).await.status.as_u16(),
            400
        );
    }
    assert_eq!(
        rig.get("/oauth/authorize", &request())
            .await
            .status
            .as_u16(),
        429
    );
    rig.clock.advance(MINUTE);
    assert_eq!(
        rig.get("/oauth/authorize", &request())
            .await
            .status
            .as_u16(),
        302
    );
}

#[tokio::test]
async fn c22_the_browser_is_bound_by_a_cookie_that_nobody_else_can_set() {
    let rig = Rig::new().await;
    let mut browser = Browser::default();
    let reply = browser.authorize(&rig, &request()).await;
    let cookies: Vec<_> = reply.headers.get_all("set-cookie").iter().collect();
    let ours = cookies.iter().map(|value| value.to_str().unwrap());
    let ours: Vec<_> = ours
        .filter(|text| text.starts_with("__Host-sallygate-authorize="))
        .collect();
    assert_eq!(ours.len(), 1);
    for part in ["Path=/", "HttpOnly", "Secure", "SameSite=Lax"] {
        assert!(ours[0].contains(part), "{part}");
    }
    // A second request of the same browser waits beside the first.
    let before = browser.cookies["__Host-sallygate-authorize"].clone();
    browser.authorize(&rig, &request()).await;
    assert_eq!(browser.cookies["__Host-sallygate-authorize"], before);
    // A value that is not ours is not taken over.
    browser
        .cookies
        .insert("__Host-sallygate-authorize".into(), "planted".into());
    browser.authorize(&rig, &request()).await;
    assert_ne!(browser.cookies["__Host-sallygate-authorize"], "planted");
}

#[tokio::test]
async fn several_providers_are_offered_and_another_browser_cannot_choose() {
    let rig = Rig::of(&["one", "two"], |_| {}).await;
    let mut browser = Browser::default();
    let page = browser.authorize(&rig, &request()).await;
    let body = text(&page);
    assert!(body.contains("Login of one") && body.contains("Login of two"));
    assert!(body.contains("The web client"));
    let href = body
        .split("href=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let href = href.replace("&amp;", "&");
    let mut visit = browser.visit(Method::GET, "/oauth/login", &[]);
    visit.query = Some(href.split_once('?').unwrap().1.to_owned());
    let foreign = crate::web::Visit {
        headers: Browser::default().visit(Method::GET, "/", &[]).headers,
        ..visit.clone()
    };
    let refused = rig.server.answer(&foreign).await;
    assert_eq!(refused.status.as_u16(), 400);
    assert_eq!(refused.note.event, Some(Event::SuspiciousActivity));
    let reply = rig.server.answer(&visit).await;
    assert_eq!(location(&reply).path(), "/auth/development");
    // With one provider only whoever asks for the choice is given it.
    let rig = Rig::new().await;
    let params = but(&request(), "prompt", Some("select_account"));
    let page = Browser::default().authorize(&rig, &params).await;
    assert!(text(&page).contains("Login of dev"));
}

#[tokio::test]
async fn a_form_is_read_like_a_query() {
    let rig = Rig::new().await;
    let visit = visit(Method::POST, "/oauth/authorize", &request());
    assert_eq!(
        location(&rig.server.answer(&visit).await).path(),
        "/auth/development"
    );
    let mut odd = visit.clone();
    let json = HeaderValue::from_static("application/json");
    odd.headers.insert("content-type", json);
    assert_eq!(rig.server.answer(&odd).await.status.as_u16(), 400);
    let mut put = visit;
    put.method = Method::PUT;
    assert_eq!(rig.server.answer(&put).await.status.as_u16(), 405);
}

#[tokio::test]
async fn r555_a_native_program_is_answered_at_the_port_that_it_has() {
    let rig = Rig::new().await;
    for uri in [
        "http://localhost:8080/callback",
        "http://localhost:49152/callback",
    ] {
        let params = but(&request(), "client_id", Some("native"));
        let params = but(&params, "redirect_uri", Some(uri));
        let mut browser = Browser::default();
        let page = browser.sign_in(&rig, &params).await;
        let reply = browser.answer(&rig, &page, "allow").await;
        assert!(
            location(&reply)
                .as_str()
                .starts_with(&format!("{uri}?code=mcp_ac_"))
        );
    }
}
