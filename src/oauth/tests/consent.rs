//! Consent: who may give it, when it is taken for granted, and that it is given once.

use http::{HeaderValue, Method};

use super::rig::*;
use crate::audit::event::Event;
use crate::web::Reply;

fn is_page(reply: &Reply) -> bool {
    text(reply).contains("/oauth/consent")
}

/// A browser whose user came here by themselves.
fn browser() -> Browser {
    Browser {
        site: Some("none"),
        ..Browser::default()
    }
}

#[tokio::test]
async fn another_browser_neither_sees_the_page_nor_answers_it() {
    let rig = Rig::new().await;
    let mut victim = Browser::default();
    let away = victim.authorize(&rig, &request()).await;
    // The page is shown to whoever brought the request.
    let mut thief = Browser {
        cookies: victim.cookies.clone(),
        ..Browser::default()
    };
    thief.cookies.remove("__Host-sallygate-authorize");
    let refused = rig.come_back(&mut thief, &away, "666").await;
    assert_eq!(refused.status.as_u16(), 400);
    assert_eq!(refused.note.event, Some(Event::SuspiciousActivity));
    assert_eq!(refused.note.action, Some("foreign_browser"));

    let page = victim.sign_in(&rig, &request()).await;
    let refused = Browser::default().answer(&rig, &page, "allow").await;
    assert_eq!(refused.note.action, Some("foreign_browser"));
    assert!(!refused.headers.contains_key("location"));
    // What was tried in vain cost the victim nothing.
    let reply = victim.answer(&rig, &page, "allow").await;
    assert!(param(&location(&reply), "code").is_some());
}

#[tokio::test]
async fn a_form_of_another_site_is_refused() {
    let rig = Rig::new().await;
    let mut browser = Browser::default();
    let page = browser.sign_in(&rig, &request()).await;
    let (request, token) = form(&page);
    let params = [
        ("request", &*request),
        ("token", &token),
        ("decision", "allow"),
    ];
    for (name, value) in [
        ("origin", "https://evil.test"),
        ("origin", "null"),
        ("origin", "http://gw.test"),
        ("origin", "https://gw.test.evil.test"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let mut visit = browser.visit(Method::POST, "/oauth/consent", &params);
        visit.headers.insert(name, HeaderValue::from_static(value));
        let refused = rig.server.answer(&visit).await;
        assert_eq!(refused.status.as_u16(), 400, "{name} {value}");
        assert_eq!(
            refused.note.action,
            Some("foreign_origin"),
            "{name} {value}"
        );
    }
    let mut visit = browser.visit(Method::POST, "/oauth/consent", &params);
    visit
        .headers
        .insert("origin", HeaderValue::from_static(PUBLIC));
    let reply = rig.server.answer(&visit).await;
    assert!(param(&location(&reply), "code").is_some());
}

#[tokio::test]
async fn a_form_that_was_not_shown_or_is_not_the_last_is_refused() {
    let rig = Rig::new().await;
    let mut browser = Browser::default();
    let page = browser.sign_in(&rig, &request()).await;
    let (request, token) = form(&page);
    let other = "0".repeat(64);
    let consent = async |params: &[(&str, &str)]| {
        let visit = browser.visit(Method::POST, "/oauth/consent", params);
        rig.server.answer(&visit).await
    };
    for params in [
        vec![("request", &*request), ("decision", "allow")],
        vec![("request", &*request), ("token", ""), ("decision", "allow")],
        vec![
            ("request", &*request),
            ("token", &other),
            ("decision", "allow"),
        ],
        vec![
            ("request", &*other),
            ("token", &token),
            ("decision", "allow"),
        ],
        vec![("request", &*request), ("token", &token)],
        vec![
            ("request", &*request),
            ("token", &token),
            ("decision", "Allow"),
        ],
    ] {
        let refused = consent(&params).await;
        assert_eq!(refused.status.as_u16(), 400, "{params:?}");
        assert!(refused.note.refused.is_some(), "{params:?}");
    }
    let get = browser.visit(Method::GET, "/oauth/consent", &[("request", &request)]);
    assert_eq!(rig.server.answer(&get).await.status.as_u16(), 405);
    let good = [
        ("request", &*request),
        ("token", &token),
        ("decision", "allow"),
    ];
    assert_eq!(consent(&good).await.status.as_u16(), 303);
}

#[tokio::test]
async fn a_request_is_answered_once_and_in_time() {
    let rig = Rig::new().await;
    let mut browser = Browser::default();
    let page = browser.sign_in(&rig, &request()).await;
    assert_eq!(
        browser.answer(&rig, &page, "allow").await.status.as_u16(),
        303
    );
    assert_eq!(
        browser.answer(&rig, &page, "allow").await.status.as_u16(),
        400
    );

    let page = browser.sign_in(&rig, &request()).await;
    rig.clock.advance(MINUTE * 10);
    assert_eq!(
        browser.answer(&rig, &page, "allow").await.status.as_u16(),
        400
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_answers_at_once_one_counts() {
    for _ in 0..10 {
        let rig = std::sync::Arc::new(Rig::new().await);
        let mut browser = Browser::default();
        let page = browser.sign_in(&rig, &request()).await;
        let (id, token) = form(&page);
        let answers = (0..16).map(|n| {
            let decision = if n % 2 == 0 { "allow" } else { "deny" };
            let params = [
                ("request", &*id),
                ("token", &*token),
                ("decision", decision),
            ];
            let visit = browser.visit(Method::POST, "/oauth/consent", &params);
            let rig = std::sync::Arc::clone(&rig);
            tokio::spawn(async move { rig.server.answer(&visit).await })
        });
        let replies = futures_util::future::join_all(answers).await;
        let counted = replies
            .into_iter()
            .filter(|reply| reply.as_ref().unwrap().status.is_redirection());
        assert_eq!(counted.count(), 1);
    }
}

#[tokio::test]
async fn whoever_was_shut_out_while_reading_gets_nothing() {
    let rig = Rig::new().await;
    let mut browser = Browser::default();
    let page = browser.sign_in(&rig, &request()).await;
    rig.revocations.disable("dev.12345").await.unwrap();
    let reply = browser.answer(&rig, &page, "allow").await;
    assert_eq!(
        param(&location(&reply), "error").as_deref(),
        Some("access_denied")
    );
}

/// Whoever ends all that a user holds ends what is about to be given too: an attacker who signed in may be the reason.
#[tokio::test]
async fn whoever_was_signed_out_while_reading_has_to_sign_in_again() {
    for order in ["logout", "disable and enable"] {
        let rig = Rig::new().await;
        let mut browser = Browser::default();
        let page = browser.sign_in(&rig, &request()).await;
        match order {
            "logout" => drop(rig.revocations.bump_generation("dev.12345").await.unwrap()),
            _ => {
                rig.revocations.disable("dev.12345").await.unwrap();
                rig.revocations.enable("dev.12345").await.unwrap();
            }
        }
        let reply = browser.answer(&rig, &page, "allow").await;
        let error = param(&location(&reply), "error");
        assert_eq!(error.as_deref(), Some("access_denied"), "{order}");
    }
}

#[tokio::test]
async fn a_user_who_says_no_is_believed() {
    let rig = Rig::new().await;
    let mut browser = Browser::default();
    let page = browser.sign_in(&rig, &request()).await;
    let reply = browser.answer(&rig, &page, "deny").await;
    let to = location(&reply);
    assert_eq!(param(&to, "error").as_deref(), Some("access_denied"));
    assert_eq!(param(&to, "state").as_deref(), Some("s1"));
    assert_eq!(param(&to, "iss").as_deref(), Some(PUBLIC));
    assert_eq!(reply.note.action, Some("consent_denied"));
    assert!(is_page(&browser.sign_in(&rig, &request()).await));
}

#[tokio::test]
async fn the_page_names_client_scopes_address_and_user_and_can_be_sent_nowhere_else() {
    let rig = Rig::new().await;
    let page = Browser::default().sign_in(&rig, &request()).await;
    let body = text(&page);
    for wanted in [
        "The web client",
        "mcp:read",
        "client.test",
        MCP,
        "12345",
        "unverified",
    ] {
        assert!(body.contains(wanted), "{wanted} in {body}");
    }
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(
        policy.contains("form-action 'self' https://client.test"),
        "{policy}"
    );
    assert!(!body.contains("Any program here"));
    let native = but(&request(), "client_id", Some("native"));
    let native = but(&native, "redirect_uri", Some("http://localhost:5/callback"));
    let page = Browser::default().sign_in(&rig, &native).await;
    assert!(text(&page).contains("Any program here"));
}

#[tokio::test]
async fn consent_is_taken_for_granted_for_the_same_request_of_the_same_user_only() {
    let rig = Rig::with(|settings| settings.throttle.requests = 1000).await;
    let mut first = browser();
    let page = first.sign_in(&rig, &request()).await;
    first.answer(&rig, &page, "allow").await;

    // The very same, begun by the user themselves: granted.
    let reply = browser().sign_in(&rig, &request()).await;
    assert!(param(&location(&reply), "code").is_some());

    let cases: [(&str, Vec<(&str, &str)>); 5] = [
        (
            "another client",
            but(&request(), "client_id", Some("confidential")),
        ),
        (
            "another address",
            but(
                &but(&request(), "client_id", Some("two")),
                "redirect_uri",
                Some("https://client.test/other"),
            ),
        ),
        (
            "more scopes",
            but(&request(), "scope", Some("mcp:read mcp:write")),
        ),
        ("another resource", but(&request(), "resource", Some(OTHER))),
        ("asked to ask", but(&request(), "prompt", Some("consent"))),
    ];
    for (name, params) in cases {
        assert!(is_page(&browser().sign_in(&rig, &params).await), "{name}");
    }
    let mut other = browser();
    let away = other.authorize(&rig, &request()).await;
    assert!(is_page(&rig.come_back(&mut other, &away, "99999").await));
}

#[tokio::test]
async fn consent_is_never_taken_for_granted_when_another_site_began() {
    let rig = Rig::new().await;
    let mut first = browser();
    let page = first.sign_in(&rig, &request()).await;
    first.answer(&rig, &page, "allow").await;
    for site in [Some("cross-site"), Some("same-site"), None] {
        let mut browser = Browser {
            site,
            ..Browser::default()
        };
        let page = browser.sign_in(&rig, &request()).await;
        assert!(is_page(&page), "{site:?}");
    }
}

#[tokio::test]
async fn consent_to_a_program_on_this_computer_is_asked_for_every_time() {
    let rig = Rig::new().await;
    let native = but(&request(), "client_id", Some("native"));
    let native = but(&native, "redirect_uri", Some("http://localhost:5/callback"));
    for _ in 0..2 {
        let mut browser = browser();
        let page = browser.sign_in(&rig, &native).await;
        assert!(is_page(&page));
        browser.answer(&rig, &page, "allow").await;
    }
}

#[tokio::test]
async fn rfc9207_s2_the_answer_names_its_issuer() {
    let rig = Rig::new().await;
    let mut browser = Browser::default();
    let page = browser.sign_in(&rig, &request()).await;
    let reply = browser.answer(&rig, &page, "allow").await;
    let to = location(&reply);
    assert_eq!(param(&to, "iss").as_deref(), Some(PUBLIC));
    assert_eq!(param(&to, "state").as_deref(), Some("s1"));
    assert!(param(&to, "code").unwrap().starts_with("mcp_ac_"));
    assert_eq!(reply.note.user.as_deref(), Some("dev.12345"));
}

#[tokio::test]
async fn what_is_forgotten_is_asked_for_again() {
    let rig = Rig::new().await;
    let mut first = browser();
    let page = first.sign_in(&rig, &request()).await;
    first.answer(&rig, &page, "allow").await;
    let forget = |user: &'static str| crate::oauth::forget_consents(&*rig.store, user);
    assert_eq!(forget("dev.1234").await.unwrap(), 0);
    assert_eq!(forget("dev.12345").await.unwrap(), 1);
    assert!(is_page(&browser().sign_in(&rig, &request()).await));
}
