//! Signing in: to a session, and for a client that waits.

use http::header::{ALLOW, LOCATION, SET_COOKIE};
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;

use super::rig::{Rig, TOKEN, by_browser, called, json_of, resource, text_of};
use crate::audit::event::Event;
use crate::audit::sink::Refused;
use crate::login::tests::rig::{NOW, away, visit};

#[tokio::test]
async fn r350_r405_other_methods_are_refused_and_the_right_ones_named() {
    let rig = Rig::start().await;
    for (path, method, allowed) in [
        ("/auth/callback", Method::POST, "GET"),
        ("/auth/login", Method::POST, "GET"),
        ("/auth/refresh", Method::GET, "POST"),
        ("/auth/logout", Method::GET, "POST, DELETE"),
        ("/auth/me", Method::DELETE, "GET"),
        ("/auth/api-key", Method::PATCH, "GET, PUT, POST, DELETE"),
    ] {
        let reply = rig.call(method, path, "").await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(reply.headers[ALLOW], allowed);
    }
}

#[tokio::test]
async fn c54_refusals_of_a_login_are_nested_for_programs_and_a_page_for_browsers() {
    let rig = Rig::start().await;
    let lost = visit("/auth/callback", "state=x&code=y");
    let reply = rig.account.answer(&lost).await;
    assert_eq!(json_of(&reply)["error"]["code"], "invalid_state");
    assert_eq!(json_of(&reply)["request_id"], "req_test");
    let reply = rig.account.answer(&by_browser(lost)).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let page = text_of(&reply);
    assert!(page.contains("<h1>Signing in did not work</h1>") && page.contains("req_test"));
    assert_eq!(reply.note.refused, Some("state_altered"));
    let reply = rig.get("/auth/login", "provider=nobody").await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.note.refused, Some("unknown_provider"));
}

#[tokio::test]
async fn no_session_begins_that_leaves_no_line() {
    let rig = Rig::start().await;
    let back = rig.back().await;
    rig.audit.refuse(Some(Refused::Full));
    let reply = rig.account.answer(&back).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(rig.grants.of_user("12345").await.unwrap().is_empty());
}

#[tokio::test]
async fn r334_r335_the_only_provider_is_gone_to_at_once() {
    let rig = Rig::of(&["clickup"]).await;
    let reply = rig.get("/auth/login", "").await;
    assert_eq!(reply.status, StatusCode::FOUND);
    assert!(reply.headers[LOCATION].to_str().unwrap().contains("/api?"));
    assert!(reply.headers.contains_key(SET_COOKIE));
    assert_eq!(reply.note.event, Some(Event::LoginInitiated));
}

#[tokio::test]
async fn of_several_providers_one_is_chosen() {
    let rig = Rig::start().await;
    let reply = rig.get("/auth/login", "").await;
    let listed = json_of(&reply);
    assert_eq!(listed["providers"][0]["name"], "clickup");
    let href = listed["providers"][0]["login_url"].as_str().unwrap();
    assert_eq!(href, "/auth/login?provider=clickup");
    let reply = rig
        .account
        .answer(&by_browser(visit("/auth/login", "")))
        .await;
    assert!(text_of(&reply).contains("href=\"/auth/login?provider=okta\""));
}

#[tokio::test]
async fn r376_r381_c16_c17_c19_the_session_has_the_body_of_the_seeds() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    let mut body = session.body.clone();
    body["token"] = json!("T");
    body["refresh_token"] = json!("R");
    assert_eq!(
        body,
        json!({
            "token": "T", "expires_in": 86400, "token_type": "Bearer", "refresh_token": "R",
            "user": {"id": "12345", "email": "user@example.com", "username": "john_doe",
                "team_id": "67890", "team": {"id": "67890", "name": "My Workspace"}},
        })
    );
    assert!(session.refresh_token.starts_with("mcp_rt_"));
}

#[tokio::test]
async fn r330_r372_r374_c04_the_session_token_says_who_for_a_day() {
    let rig = Rig::start().await;
    let claims = rig.sign_in().await.claims();
    for (claim, wanted) in [
        ("sub", json!("user_12345")),
        ("email", json!("user@example.com")),
        ("team_id", json!("67890")),
        ("tier", json!("free")),
        ("iat", json!(NOW)),
        ("exp", json!(NOW + 86_400)),
        ("aud", json!([resource().as_str()])),
        ("gen", json!(0)),
    ] {
        assert_eq!(claims[claim], wanted, "{claim}");
    }
    let session = claims["sid"].as_str().unwrap();
    assert!(rig.grants.find(session).await.unwrap().is_some());
}

#[tokio::test]
async fn r189_r460_the_issue_of_a_token_leaves_a_line_of_its_own() {
    let rig = Rig::start().await;
    let reply = rig.account.answer(&rig.back().await).await;
    let jti = super::rig::Session::of(&reply).claims()["jti"].clone();
    assert_eq!(reply.note.event, Some(Event::OauthCallback));
    assert_eq!(reply.note.user.as_deref(), Some("12345"));
    let lines = rig.audit.records();
    let line = lines
        .iter()
        .find(|line| line["event_type"] == "token_issued")
        .unwrap();
    assert_eq!(line["jwt_token_id"], jti);
    assert_eq!(line["user_id"], "12345");
    assert_eq!(line["details"]["team_id"], "67890");
    assert_eq!(line["details"]["tier"], "free");
}

#[tokio::test]
async fn r329_r366_r360_the_providers_token_is_sealed_and_shown_to_nobody() {
    let rig = Rig::start().await;
    let reply = rig.account.answer(&rig.back().await).await;
    let kept = rig
        .vault
        .open_secret("12345", "clickup/token")
        .await
        .unwrap()
        .unwrap();
    let kept: serde_json::Value = serde_json::from_str(kept.expose()).unwrap();
    assert_eq!(kept["access_token"], TOKEN);
    assert!(
        kept.get("expires_at").is_none(),
        "C26: no end is not an hour"
    );
    let dump = rig.dump().await;
    let lines = rig.audit.lines().join("\n");
    let session = super::rig::Session::of(&reply);
    let note = format!("{:?}", reply.note);
    for canary in [TOKEN, "canary-not-a-real-client-secret"] {
        for place in [dump.as_str(), &lines, text_of(&reply), &note] {
            assert!(!place.contains(canary), "{place}");
        }
    }
    for canary in [&session.token, &session.refresh_token] {
        for place in [dump.as_str(), &lines, &note] {
            assert!(!place.contains(canary.as_str()), "{place}");
        }
    }
}

#[tokio::test]
async fn a_browser_gets_a_page() {
    let rig = Rig::start().await;
    let reply = rig.account.answer(&by_browser(rig.back().await)).await;
    assert_eq!(reply.status, StatusCode::OK);
    let page = text_of(&reply);
    assert!(page.contains("<h1>You are signed in</h1>") && page.contains("My Workspace"));
    assert!(!page.contains(TOKEN));
}

#[tokio::test]
async fn a_user_whose_access_was_withdrawn_gets_no_session() {
    let rig = Rig::start().await;
    rig.revocations.disable("12345").await.unwrap();
    let reply = rig.account.answer(&rig.back().await).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(json_of(&reply)["error"]["code"], "user_disabled");
    assert!(rig.grants.of_user("12345").await.unwrap().is_empty());
    assert!(rig.vault.list("12345").await.unwrap().is_empty());
}

#[tokio::test]
async fn the_request_of_a_client_goes_on_after_the_login() {
    let rig = Rig::of(&["clickup"]).await;
    let sent = rig
        .server
        .answer(&by_browser(visit("/oauth/authorize", AUTHORIZE)))
        .await;
    let gone = away_with_all_cookies(&sent);
    let reply = rig.account.answer(&by_browser(gone)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", text_of(&reply));
    let page = text_of(&reply);
    assert!(page.contains("Reports &lt;b&gt;"), "{page}");
    assert!(page.contains("reports.test") && page.contains("user@example.com"));
    assert!(page.contains("action=\"/oauth/consent\""));
    assert!(
        rig.grants.of_user("12345").await.unwrap().is_empty(),
        "nothing was allowed yet"
    );
}

#[tokio::test]
async fn rfc6749_s4_1_2_1_a_client_that_waits_is_told_that_the_user_said_no() {
    let rig = Rig::of(&["clickup"]).await;
    let sent = rig
        .server
        .answer(&by_browser(visit("/oauth/authorize", AUTHORIZE)))
        .await;
    let mut gone = away_with_all_cookies(&sent);
    gone.query = Some(format!("state={}&error=access_denied", away(&sent).state));
    let reply = rig.account.answer(&by_browser(gone.clone())).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", text_of(&reply));
    let to = url::Url::parse(reply.headers[LOCATION].to_str().unwrap()).unwrap();
    assert!(
        to.as_str().starts_with("https://reports.test/back?"),
        "{to}"
    );
    let param = |name: &str| {
        let mut pairs = to.query_pairs();
        let found = pairs.find(|(known, _)| known == name);
        found.map(|(_, value)| value.into_owned())
    };
    assert_eq!(param("error").as_deref(), Some("access_denied"));
    assert_eq!(param("state").as_deref(), Some("s"));
    assert_eq!(param("iss").as_deref(), Some("https://gw.test"));
    assert_eq!(reply.note.refused, Some("access_denied"));
    // The request is over, and so is the login.
    let again = rig.account.answer(&by_browser(gone)).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
}

const AUTHORIZE: &str = "response_type=code&client_id=reports&redirect_uri=https://reports.test/back&state=s\
    &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";

/// The visit of a browser that comes back with every cookie that it was given.
fn away_with_all_cookies(sent: &crate::web::Reply) -> crate::web::Visit {
    let cookies: Vec<&str> = sent
        .headers
        .get_all(SET_COOKIE)
        .iter()
        .map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap())
        .collect();
    let mut back = away(sent).back("code=c1");
    let all = HeaderValue::from_str(&cookies.join("; ")).unwrap();
    back.headers.insert(http::header::COOKIE, all);
    back
}

#[tokio::test]
async fn r400_a_token_in_the_address_is_refused_even_if_it_is_good() {
    let rig = Rig::start().await;
    let session = rig.sign_in().await;
    let mut visit = called(Method::GET, "/auth/me", &session.token);
    visit.query = Some(format!("access_token={}", session.token));
    let reply = rig.account.answer(&visit).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.note.refused, Some("token_in_query"));
}
