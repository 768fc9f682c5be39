//! Attacks on the consent page: skipping it, framing it, answering it for somebody else.

use hyper::StatusCode;

use super::town::{Bend, Fields, Town, of_query};
use crate::harness::browser::{Arrived, Form};

#[tokio::test]
async fn consent_pages_cannot_be_framed_and_run_no_scripts() {
    let town = Town::start().await;
    let (_, page) = town.to_consent(&mut town.browser(), &town.honest()).await;
    let policy = page.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(
        !policy.contains("script-src") && !policy.contains("unsafe-inline"),
        "{policy}"
    );
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    let text = page.text();
    assert!(
        !text.contains("<script") && !text.contains("style=\"") && !text.contains("onclick"),
        "{text}"
    );
    // Who asks, for what, and where the answer goes.
    for told in ["Honest", "127.0.0.1", "mcp:write"] {
        assert!(text.contains(told), "{told} in {text}");
    }
}

#[tokio::test]
async fn consents_that_were_not_given_in_this_browser_are_refused() {
    let town = Town::start().await;
    let mut browser = town.browser();
    let (at, page) = town.to_consent(&mut browser, &town.honest()).await;
    let form = Form::read(page.text());
    let action = at.join(&form.action).unwrap();
    let filled = |bend: fn(&mut Fields)| {
        let mut fields = form.hidden.clone();
        fields.push(("decision".into(), "allow".into()));
        bend(&mut fields);
        fields
    };
    let mut foreign = browser.clone();
    foreign.forget();
    for (name, mut who, fields) in [
        ("another browser", foreign, filled(|_| {})),
        ("no token", browser.clone(), filled(|f| f.without("token"))),
        (
            "a token of one's own",
            browser.clone(),
            filled(|f| f.set("token", "AAAA")),
        ),
        (
            "another request",
            browser.clone(),
            filled(|f| f.set("request", "AAAA")),
        ),
        (
            "no decision",
            browser.clone(),
            filled(|f| f.without("decision")),
        ),
    ] {
        let pairs: Vec<_> = fields
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        match who.submit(action.as_str(), &pairs).await {
            Arrived::At(_, reply) => {
                assert!(reply.status.is_client_error(), "{name}: {}", reply.status);
                town.told(name, &reply).await;
            }
            Arrived::Left(url) => panic!("{name}: left for {url}"),
        }
    }
}

#[tokio::test]
async fn a_form_of_another_site_gives_no_consent() {
    let town = Town::start().await;
    let mut browser = town.browser();
    let (at, page) = town.to_consent(&mut browser, &town.honest()).await;
    let form = Form::read(page.text());
    let mut fields = form.hidden.clone();
    fields.again("decision", "allow");
    let cookies: Vec<String> = browser.cookies().map(|(n, v)| format!("{n}={v}")).collect();
    let cookies = cookies.join("; ");
    for (name, headers) in [
        (
            "another origin",
            [("origin", "https://evil.test"), ("cookie", &cookies)],
        ),
        (
            "an origin that hides",
            [("origin", "null"), ("cookie", &cookies)],
        ),
        (
            "fetch metadata of another site",
            [("sec-fetch-site", "cross-site"), ("cookie", &cookies)],
        ),
    ] {
        let path = at.join(&form.action).unwrap().path().to_owned();
        let reply = town.post_with(&path, &fields, &headers).await;
        assert!(reply.status.is_client_error(), "{name}: {}", reply.status);
        town.told(name, &reply).await;
    }
}

#[tokio::test]
async fn a_consent_is_given_once() {
    let town = Town::start().await;
    let mut browser = town.browser();
    let (at, page) = town.to_consent(&mut browser, &town.honest()).await;
    let mut replay = browser.clone();
    let back = browser.press(&at, &page, "allow").await.outside();
    assert!(of_query(&back, "code").is_some());
    match replay.press(&at, &page, "allow").await {
        Arrived::At(_, reply) => {
            assert!(reply.status.is_client_error());
            town.told("a consent that comes again", &reply).await;
        }
        Arrived::Left(url) => panic!("left for {url}"),
    }
}

#[tokio::test]
async fn whoever_says_no_is_believed() {
    let town = Town::start().await;
    let mut browser = town.browser();
    let (at, page) = town.to_consent(&mut browser, &town.honest()).await;
    let back = browser.press(&at, &page, "deny").await.outside();
    assert_eq!(of_query(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(
        of_query(&back, "state").as_deref(),
        Some("state-of-the-client")
    );
    assert_eq!(of_query(&back, "code"), None);
}

/// The confused deputy of the MCP authorization specification: what one client was allowed says nothing about another.
#[tokio::test]
async fn a_remembered_consent_is_good_for_nobody_else() {
    let town = Town::start().await;
    let web = |id: &str, redirect: &str| {
        let mut asked = town.honest();
        asked.set("client_id", id);
        asked.set("redirect_uri", redirect);
        asked
    };
    let first = town.registered(&["https://app.test/callback"]).await;
    let other = town
        .registered(&["https://app.test/callback", "https://evil.test/callback"])
        .await;
    let mut browser = town.browser();
    let mut asked = web(&first, "https://app.test/callback");
    asked.set("scope", "mcp:read");
    town.agreed(&mut browser, &asked).await;
    // The same client, user and scopes: the page may be left out, since the browser came here by itself.
    let again = browser.open(&Town::authorize_url(&asked)).await;
    assert!(matches!(again, Arrived::Left(_)), "remembered");

    for (name, asked) in [
        ("another client", web(&other, "https://app.test/callback")),
        (
            "another client, elsewhere",
            web(&other, "https://evil.test/callback"),
        ),
        ("more scopes", {
            let mut a = web(&first, "https://app.test/callback");
            a.set("scope", "mcp:read mcp:write");
            a
        }),
        ("asked to show it", {
            let mut a = web(&first, "https://app.test/callback");
            a.set("prompt", "consent");
            a
        }),
        ("a client on this machine", town.honest()),
    ] {
        let page = browser.open(&Town::authorize_url(&asked)).await;
        match page {
            Arrived::At(_, page) => assert!(page.text().contains("<form"), "{name}"),
            Arrived::Left(url) => panic!("{name}: left for {url}"),
        }
    }
    // Somebody else in front of the same browser.
    town.clickup.sign_in(999);
    town.to_consent(&mut browser, &asked).await;
    // A link on another site, with the first user back.
    town.clickup.sign_in(12345);
    browser.site = Some("cross-site");
    town.to_consent(&mut browser, &asked).await;
}

#[tokio::test]
async fn a_client_that_only_this_machine_can_hear_is_warned_about() {
    let town = Town::start().await;
    let (_, local) = town.to_consent(&mut town.browser(), &town.honest()).await;
    let remote = town.registered(&["https://app.test/callback"]).await;
    let mut asked = town.honest();
    asked.set("client_id", &remote);
    asked.set("redirect_uri", "https://app.test/callback");
    let (_, web) = town.to_consent(&mut town.browser(), &asked).await;
    let warned = |page: &str| page.contains("Any program here can claim to be this client");
    assert!(warned(local.text()), "{}", local.text());
    assert!(web.text().contains("app.test"), "{}", web.text());
    assert_eq!(local.status, StatusCode::OK);
}
