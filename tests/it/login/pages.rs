//! What a browser gets: pages under a policy of their own, cookies out of reach, and the way back to the client.

use hyper::StatusCode;

use crate::attacks::town::{Town, of_query};
use crate::harness::browser::Browser;
use crate::harness::client::{Http, Reply};
use crate::harness::gateway::{PUBLIC, Plan};

/// What every page of ours is sent with.
fn is_guarded(what: &str, page: &Reply) {
    let all = |name: &str| page.headers.get_all(name).iter().count();
    for name in [
        "content-security-policy",
        "x-frame-options",
        "cache-control",
        "referrer-policy",
        "x-content-type-options",
    ] {
        assert_eq!(all(name), 1, "{what}: {name}");
    }
    let policy = page.header("content-security-policy").unwrap();
    for directive in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    ] {
        assert!(policy.contains(directive), "{what}: {policy}");
    }
    assert!(
        !policy.contains("script-src") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(page.header("x-frame-options"), Some("DENY"), "{what}");
    assert_eq!(page.header("cache-control"), Some("no-store"), "{what}");
    let text = page.text();
    assert!(
        text.contains("<html lang=\"en\">") && text.contains("<h1>"),
        "{what}"
    );
    assert!(
        !text.contains("<script") && !text.contains(" style="),
        "{what}"
    );
}

#[tokio::test]
async fn r018_c22_the_cookie_of_a_login_is_out_of_reach() {
    let town = Town::start().await;
    let reply = town.client.get(&format!("{PUBLIC}/auth/login")).await;
    assert_eq!(reply.status, StatusCode::FOUND);
    let cookie = reply.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-sallygate-login="), "{cookie}");
    for attribute in [
        "Path=/",
        "HttpOnly",
        "SameSite=Lax",
        "Secure",
        "Max-Age=300",
    ] {
        assert!(cookie.split("; ").any(|part| part == attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
}

#[tokio::test]
async fn every_page_is_guarded() {
    let town = Town::start().await;
    let mut browser = town.browser();
    let (_, consent) = town.to_consent(&mut browser, &town.honest()).await;
    is_guarded("consent", &consent);
    assert!(consent.text().contains("unverified name"));
    let url = format!("{PUBLIC}/auth/login?provider=clickup");
    let signed_in = town.browser().open(&url).await.page();
    assert_eq!(signed_in.status, StatusCode::OK);
    is_guarded("signed in", &signed_in);
    let lost = town
        .browser()
        .open(&format!("{PUBLIC}/auth/callback?state=x&code=y"))
        .await
        .page();
    assert_eq!(lost.status, StatusCode::BAD_REQUEST);
    is_guarded("error", &lost);
    assert!(lost.text().contains(lost.header("x-request-id").unwrap()));
}

#[tokio::test]
async fn several_providers_are_offered_on_a_page() {
    let town = Town::start().await;
    let both = format!(
        "login: {{ providers: [ {}, {} ] }}",
        town.clickup.settings(),
        town.clickup.settings_named("second")
    );
    let sealing = "canary-not-a-real-sealing-key-0a1b2c3d4e5f";
    let plan = Plan::new().settings(&both).env("ENCRYPTION_KEY", sealing);
    let rig = plan.start().await;
    let mut browser = Browser::new(rig.client(Http::One), &[PUBLIC]);
    let url = format!("{PUBLIC}/auth/login");
    let page = browser.open(&url).await.page();
    is_guarded("chooser", &page);
    for name in ["clickup", "second"] {
        let href = format!("href=\"/auth/login?provider={name}\"");
        assert!(page.text().contains(&href), "{}", page.text());
    }
    // Each leads to the provider.
    let to = browser.open(&format!("{url}?provider=second")).await;
    let provider = format!("http://{}/authorize", town.clickup.address);
    assert!(to.outside().as_str().starts_with(&provider));
}

#[tokio::test]
async fn signing_in_works_over_http2() {
    let town = Town::start().await;
    let client = town.rig.client(Http::Two);
    let provider = format!("http://{}", town.clickup.address);
    let mut browser = Browser::new(client, &[PUBLIC, &provider]);
    let back = town.agreed(&mut browser, &town.honest()).await;
    assert!(of_query(&back, "code").is_some(), "{back}");
}

#[tokio::test]
async fn the_development_login_is_not_there() {
    let town = Town::start().await;
    for path in [
        "/auth/development?state=x",
        "/auth/login?provider=development",
    ] {
        let reply = town.client.get(&format!("{PUBLIC}{path}")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path}");
    }
}
