//! `/oauth/authorize`: what goes on to the login, and how often.

use http::{HeaderValue, Method};

use super::rig::*;
use crate::audit::event::Event;

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
        Some("temporarily_unavailable")
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
