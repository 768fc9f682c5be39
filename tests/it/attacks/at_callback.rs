//! Attacks on `/auth/login` and `/auth/callback`: on the state, on the browser, on the provider's answers.

use hyper::StatusCode;
use hyper::header::LOCATION;
use serde_json::json;
use url::Url;

use super::town::{Town, of_query};
use crate::harness::browser::Arrived;
use crate::harness::client::{Client, Reply};
use crate::harness::gateway::PUBLIC;

/// The address at the provider that a login leads to, and the cookie that it leaves in the browser.
async fn begun(town: &Town) -> (Url, String) {
    let reply = town
        .client
        .get(&format!("{PUBLIC}/auth/login?provider=clickup"))
        .await;
    let to = reply
        .headers
        .get(LOCATION)
        .unwrap_or_else(|| panic!("{}: {}", reply.status, reply.text()));
    let cookie = reply
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    (Url::parse(to.to_str().unwrap()).unwrap(), cookie)
}

/// What the provider sends the browser back with.
async fn sent_back(to: &Url) -> Url {
    let reply = Client::plain().get(to.as_str()).await;
    let url = Url::parse(reply.header("location").unwrap()).unwrap();
    let ours = format!("{PUBLIC}/auth/callback");
    assert!(url.as_str().starts_with(&ours), "{url}");
    url
}

async fn callback(town: &Town, url: &Url, cookie: Option<&str>) -> Reply {
    let mut request = hyper::Request::get(url.as_str()).header("accept", "application/json");
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    town.client
        .send(request.body(http_body_util::Full::default()).unwrap())
        .await
}

fn with(url: &Url, name: &str, value: Option<&str>) -> Url {
    let mut pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    pairs.retain(|(known, _)| known != name);
    pairs.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    let mut url = url.clone();
    url.query_pairs_mut().clear().extend_pairs(pairs);
    url
}

#[tokio::test]
async fn r019_rfc6749_s10_12_a_state_that_is_not_this_browsers_signs_nobody_in() {
    let town = Town::start().await;
    type Row = (&'static str, fn(&Url, &str) -> (Url, Option<String>));
    let rows: &[Row] = &[
        ("no state", |u, c| (with(u, "state", None), Some(c.into()))),
        ("altered state", |u, c| {
            let state = of_query(u, "state").unwrap();
            let end = if state.ends_with('A') { "B" } else { "A" };
            (
                with(
                    u,
                    "state",
                    Some(&format!("{}{end}", &state[..state.len() - 1])),
                ),
                Some(c.into()),
            )
        }),
        ("made-up state", |u, c| {
            (with(u, "state", Some("nonce.payload.mac")), Some(c.into()))
        }),
        ("foreign browser", |u, _| (u.clone(), None)),
        ("altered cookie", |u, c| (u.clone(), Some(format!("{c}x")))),
        ("no code", |u, c| (with(u, "code", None), Some(c.into()))),
        ("made-up code", |u, c| {
            (with(u, "code", Some("made-up")), Some(c.into()))
        }),
    ];
    for (name, bend) in rows {
        let (to, cookie) = begun(&town).await;
        let back = sent_back(&to).await;
        let (url, cookie) = bend(&back, &cookie);
        let reply = callback(&town, &url, cookie.as_deref()).await;
        assert!(
            reply.status.is_client_error() || reply.status == StatusCode::BAD_GATEWAY,
            "{name}: {} {}",
            reply.status,
            reply.text()
        );
        assert!(!reply.text().contains("access_token"), "{name}");
        town.told(name, &reply).await;
    }
}

#[tokio::test]
async fn c01_a_state_is_good_once() {
    let town = Town::start().await;
    let (to, cookie) = begun(&town).await;
    let back = sent_back(&to).await;
    let first = callback(&town, &back, Some(&cookie)).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    let again = callback(&town, &back, Some(&cookie)).await;
    assert!(again.status.is_client_error(), "{}", again.text());
    town.told("a state that comes again", &again).await;
}

#[tokio::test]
async fn what_a_provider_answers_is_not_believed_blindly() {
    for (name, status, body) in [
        (
            "an error",
            400,
            json!({"err": "Code already used", "ECODE": "OAUTH_014"}),
        ),
        ("no token", 200, json!({"token_type": "Bearer"})),
        ("an empty token", 200, json!({"access_token": ""})),
        (
            "a token with a line break",
            200,
            json!({"access_token": "a\r\nb: c"}),
        ),
        (
            "a token that the API does not know",
            200,
            json!({"access_token": "unknown"}),
        ),
        ("a list", 200, json!([])),
        (
            "far too much",
            200,
            json!({"access_token": "x".repeat(2_000_000)}),
        ),
    ] {
        let town = Town::start().await;
        let (to, cookie) = begun(&town).await;
        let back = sent_back(&to).await;
        town.clickup.answer_tokens_with(status, body);
        let reply = callback(&town, &back, Some(&cookie)).await;
        assert!(
            reply.status.is_client_error() || reply.status.is_server_error(),
            "{name}"
        );
        assert!(
            !reply.text().contains("access_token"),
            "{name}: {}",
            reply.text()
        );
        town.told(name, &reply).await;
    }
}

#[tokio::test]
async fn whoever_says_no_at_the_provider_is_sent_back_to_the_client() {
    let town = Town::start().await;
    town.clickup.deny();
    match town
        .browser()
        .open(&Town::authorize_url(&town.honest()))
        .await
    {
        Arrived::Left(url) => assert_eq!(of_query(&url, "error").as_deref(), Some("access_denied")),
        Arrived::At(_, page) => {
            assert!(page.status.is_client_error(), "{}", page.status);
            town.told("a no at the provider", &page).await;
        }
    }
}
