//! `/oauth/token`: codes and refresh tokens.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::rig::*;
use crate::audit::event::Event;
use crate::web::Visit;

#[tokio::test]
async fn r550_each_missing_or_wrong_field_has_its_error() {
    let rig = Rig::with(|settings| {
        settings.throttle.per_address = 1000;
        settings.throttle.requests = 1000;
    })
    .await;
    let wrong = "x".repeat(43);
    let (short, long) = ("x".repeat(42), "x".repeat(129));
    let odd = format!("{}!", "x".repeat(43));
    for (name, field, value, status, code) in [
        ("no grant type", "grant_type", None, 400, "invalid_request"),
        (
            "password",
            "grant_type",
            Some("password"),
            400,
            "unsupported_grant_type",
        ),
        (
            "implicit",
            "grant_type",
            Some("implicit"),
            400,
            "unsupported_grant_type",
        ),
        ("no client", "client_id", None, 401, "invalid_client"),
        (
            "unknown client",
            "client_id",
            Some("nope"),
            401,
            "invalid_client",
        ),
        ("no code", "code", None, 400, "invalid_request"),
        ("no verifier", "code_verifier", None, 400, "invalid_request"),
        (
            "short verifier",
            "code_verifier",
            Some(&*short),
            400,
            "invalid_request",
        ),
        (
            "long verifier",
            "code_verifier",
            Some(&*long),
            400,
            "invalid_request",
        ),
        (
            "odd verifier",
            "code_verifier",
            Some(&*odd),
            400,
            "invalid_request",
        ),
        (
            "unknown code",
            "code",
            Some("mcp_ac_x"),
            400,
            "invalid_grant",
        ),
        (
            "wrong verifier",
            "code_verifier",
            Some(&*wrong),
            400,
            "invalid_grant",
        ),
        (
            "challenge for verifier",
            "code_verifier",
            Some(CHALLENGE),
            400,
            "invalid_grant",
        ),
        (
            "another client",
            "client_id",
            Some("two"),
            400,
            "invalid_grant",
        ),
        ("no address", "redirect_uri", None, 400, "invalid_grant"),
        (
            "another address",
            "redirect_uri",
            Some("https://client.test/x"),
            400,
            "invalid_grant",
        ),
        (
            "foreign resource",
            "resource",
            Some("https://evil.test/mcp"),
            400,
            "invalid_target",
        ),
        (
            "another resource",
            "resource",
            Some(OTHER),
            400,
            "invalid_target",
        ),
    ] {
        let issued = rig.code(&request()).await;
        let reply = rig.token(&but(&exchange(&issued), field, value)).await;
        assert_eq!(error(&reply), (status, code.into()), "{name}");
        assert_eq!(reply.note.refused, Some(code), "{name}");
        assert!(!text(&reply).contains("access_token"), "{name}");
        if status == 401 {
            assert!(reply.headers.contains_key("www-authenticate"), "{name}");
        }
    }
}

#[tokio::test]
async fn r552_a_code_that_was_shown_with_a_wrong_verifier_is_burnt() {
    let rig = Rig::new().await;
    let wrong = "x".repeat(43);
    for (field, value) in [
        ("code_verifier", &*wrong),
        ("client_id", "two"),
        ("redirect_uri", "https://client.test/x"),
    ] {
        let code = rig.code(&request()).await;
        let tried = rig.token(&but(&exchange(&code), field, Some(value))).await;
        assert_eq!(error(&tried).1, "invalid_grant", "{field}");
        let reply = rig.token(&exchange(&code)).await;
        assert_eq!(error(&reply).1, "invalid_grant", "{field}");
    }
}

#[tokio::test]
async fn r553_c20_a_code_that_comes_again_ends_what_was_granted_for_it() {
    let rig = Rig::new().await;
    let code = rig.code(&request()).await;
    let granted = json(&rig.token(&exchange(&code)).await);
    let access = granted["access_token"].as_str().unwrap();
    assert!(rig.is_good(access, MCP).await);

    let again = rig.token(&exchange(&code)).await;
    assert_eq!(error(&again), (400, "invalid_grant".into()));
    assert_eq!(again.note.event, Some(Event::SuspiciousActivity));
    assert_eq!(again.note.action, Some("code_reused"));
    assert_eq!(again.note.user.as_deref(), Some("dev.12345"));
    assert!(!rig.is_good(access, MCP).await);
    let token = granted["refresh_token"].as_str().unwrap();
    assert_eq!(error(&rig.token(&refresh(token)).await).1, "invalid_grant");
}

#[tokio::test]
async fn c20_a_code_lives_for_a_minute() {
    let rig = Rig::new().await;
    let code = rig.code(&request()).await;
    rig.clock.advance(MINUTE);
    assert_eq!(error(&rig.token(&exchange(&code)).await).1, "invalid_grant");
    let code = rig.code(&request()).await;
    rig.clock.advance(Duration::from_secs(59));
    assert_eq!(rig.token(&exchange(&code)).await.status.as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_32_that_present_one_code_at_once_at_most_one_gets_a_token_and_no_token_stays_good() {
    let rig = Arc::new(Rig::with(|settings| settings.throttle.per_address = 1000).await);
    let code = rig.code(&request()).await;
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let (rig, code) = (Arc::clone(&rig), code.clone());
            tokio::spawn(async move { json(&rig.token(&exchange(&code)).await) })
        })
        .collect();
    let mut granted = Vec::new();
    for task in tasks {
        let answer = task.await.unwrap();
        granted.extend(answer["access_token"].as_str().map(str::to_owned));
    }
    assert!(granted.len() <= 1, "{}", granted.len());
    for token in granted {
        assert!(!rig.is_good(&token, MCP).await);
    }
    assert_eq!(rig.grants.of_user("dev.12345").await.unwrap(), []);
}

#[tokio::test]
async fn whoever_was_shut_out_gets_no_token_for_a_code() {
    let rig = Rig::new().await;
    let code = rig.code(&request()).await;
    rig.revocations.disable("dev.12345").await.unwrap();
    assert_eq!(error(&rig.token(&exchange(&code)).await).1, "invalid_grant");
}

#[tokio::test]
async fn a_code_does_not_outlive_what_ends_all_that_its_user_holds() {
    for order in ["logout", "disable and enable"] {
        let rig = Rig::new().await;
        let code = rig.code(&request()).await;
        if order == "logout" {
            rig.revocations.bump_generation("dev.12345").await.unwrap();
        } else {
            rig.revocations.disable("dev.12345").await.unwrap();
            rig.revocations.enable("dev.12345").await.unwrap();
        }
        let reply = rig.token(&exchange(&code)).await;
        assert_eq!(error(&reply).1, "invalid_grant", "{order}");
        assert_eq!(rig.grants.of_user("dev.12345").await.unwrap(), []);
    }
}

/// What the operator takes from a client is gone at its next refresh.
#[tokio::test]
async fn a_refresh_gives_no_more_than_the_client_may_have_now() {
    let rig = Rig::new().await;
    let new = crate::grants::New {
        user: "dev.12345".into(),
        client: Some("narrow".into()),
        scopes: [
            "mcp:read",
            "user:read",
            "team:read",
            "mcp:write",
            "task:write",
        ]
        .map(str::to_owned)
        .to_vec(),
        resources: vec![MCP.into()],
        ..crate::grants::New::default()
    };
    rig.code(&request()).await;
    let (_, token) = rig.grants.open(new).await.unwrap();
    let of_narrow = refresh(token.expose());
    let of_narrow = but(&of_narrow, "client_id", Some("narrow"));
    let mut wide = of_narrow.clone();
    wide.push(("scope", "mcp:write"));
    assert_eq!(error(&rig.token(&wide).await).1, "invalid_scope");
    let answer = json(&rig.token(&of_narrow).await);
    assert_eq!(answer["scope"], "mcp:read user:read team:read");
}

#[tokio::test]
async fn only_a_form_is_read_and_only_by_post() {
    let rig = Rig::new().await;
    let code = rig.code(&request()).await;
    let query = rig.get("/oauth/token", &exchange(&code)).await;
    assert_eq!(query.status.as_u16(), 405);
    let document = serde_json::json!({"grant_type": "authorization_code", "code": code});
    let reply = rig
        .server
        .answer(&json_visit("/oauth/token", &document))
        .await;
    assert_eq!(error(&reply).1, "invalid_request");
    let mut twice = exchange(&code);
    twice.push(("code", "mcp_ac_other"));
    assert_eq!(error(&rig.token(&twice).await).1, "invalid_request");
}

#[tokio::test]
async fn rfc6749_s2_3_a_client_proves_itself_in_the_one_way_that_is_its_own() {
    let rig = Rig::with(|settings| settings.throttle.per_address = 1000).await;
    let confidential = but(&request(), "client_id", Some("confidential"));
    let post = |extra: &[(&str, &str)], code: &str| -> Visit {
        let mut all = but(&exchange(code), "client_id", None);
        all.extend(extra);
        visit(Method::POST, "/oauth/token", &all)
    };
    let id = ("client_id", "confidential");
    for (name, visit, code) in [
        ("nothing", post(&[id], "c"), "invalid_client"),
        (
            "wrong secret",
            post(&[id, ("client_secret", "wrong")], "c"),
            "invalid_client",
        ),
        (
            "wrong in header",
            with_basic(post(&[], "c"), "confidential", "wrong"),
            "invalid_client",
        ),
        (
            "empty in header",
            with_basic(post(&[], "c"), "confidential", ""),
            "invalid_client",
        ),
        (
            "both",
            with_basic(
                post(&[("client_secret", SECRET)], "c"),
                "confidential",
                SECRET,
            ),
            "invalid_request",
        ),
        (
            "two clients",
            with_basic(post(&[("client_id", "web")], "c"), "confidential", SECRET),
            "invalid_request",
        ),
        (
            "a public client with a secret",
            post(&[("client_id", "web"), ("client_secret", SECRET)], "c"),
            "invalid_client",
        ),
        (
            "an assertion without its type",
            post(&[id, ("client_assertion", "a.b.c")], "c"),
            "invalid_request",
        ),
    ] {
        assert_eq!(error(&rig.server.answer(&visit).await).1, code, "{name}");
    }
    let code = rig.code(&confidential).await;
    let good = with_basic(post(&[], &code), "confidential", SECRET);
    assert_eq!(rig.server.answer(&good).await.status.as_u16(), 200);
    let code = rig.code(&confidential).await;
    let good = post(&[id, ("client_secret", SECRET)], &code);
    assert_eq!(rig.server.answer(&good).await.status.as_u16(), 200);
}

#[tokio::test]
async fn guessing_at_the_token_endpoint_is_throttled() {
    let rig = Rig::with(|settings| settings.throttle.per_address = 5).await;
    for _ in 0..5 {
        assert_eq!(
            error(&rig.token(&exchange("mcp_ac_x")).await).1,
            "invalid_grant"
        );
    }
    let reply = rig.token(&exchange("mcp_ac_x")).await;
    assert_eq!(reply.status.as_u16(), 429);
    assert!(reply.headers.contains_key("retry-after"));
    assert_eq!(reply.note.event, Some(Event::RateLimited));
    rig.clock.advance(MINUTE);
    assert_eq!(rig.token(&exchange("mcp_ac_x")).await.status.as_u16(), 400);
}

#[tokio::test]
async fn guessing_at_a_clients_secret_is_throttled_wherever_it_comes_from() {
    let rig = Rig::with(|settings| settings.throttle.per_client = 5).await;
    let from = |last: u8, secret: &str| {
        let mut visit = visit(
            Method::POST,
            "/oauth/token",
            &[("grant_type", "client_credentials")],
        );
        visit.address = [192, 0, 2, last].into();
        with_basic(visit, "machine", secret)
    };
    for last in 0..5 {
        let reply = rig.server.answer(&from(last, "guess")).await;
        assert_eq!(reply.status.as_u16(), 401);
    }
    let reply = rig.server.answer(&from(99, SECRET)).await;
    assert_eq!(reply.status.as_u16(), 429);
}

/// Strangers who guess at a client must not shut it out of the place where it works.
#[tokio::test]
async fn a_client_that_has_proven_itself_from_somewhere_is_answered_there_while_others_guess() {
    let rig = Rig::new().await;
    let params = [("grant_type", "client_credentials")];
    let ask = async |secret: &str, last: u8| {
        let mut visit = with_basic(
            visit(Method::POST, "/oauth/token", &params),
            "machine",
            secret,
        );
        visit.address = [192, 0, 2, last].into();
        rig.server.answer(&visit).await.status.as_u16()
    };
    assert_eq!(ask(SECRET, 200).await, 200);
    for n in 0..100 {
        assert_eq!(ask("canary-wrong", n / 10).await, 401);
    }
    assert_eq!(ask("canary-wrong", 11).await, 429);
    assert_eq!(ask(SECRET, 11).await, 429);
    assert_eq!(ask(SECRET, 200).await, 200);
    // There too nobody guesses for long.
    for _ in 0..30 {
        assert_eq!(ask("canary-wrong", 200).await, 401);
    }
    assert_eq!(ask(SECRET, 200).await, 429);
    rig.clock.advance(MINUTE * 2);
    assert_eq!(ask(SECRET, 11).await, 200);
}

#[tokio::test]
async fn r533_r551_r610_c04_the_answer_is_that_of_the_standard() {
    let rig = Rig::new().await;
    let code = rig.code(&request()).await;
    let reply = rig.token(&exchange(&code)).await;
    let answer = json(&reply);
    let members = answer.as_object().unwrap();
    let mut names: Vec<_> = members.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "access_token",
            "expires_in",
            "refresh_token",
            "scope",
            "token_type"
        ]
    );
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 3600);
    assert_eq!(answer["scope"], "mcp:read user:read team:read");
    let access = answer["access_token"].as_str().unwrap();
    let said = claims(access);
    assert_eq!(said["aud"], serde_json::json!([MCP]));
    assert_eq!(
        (&said["sub"], &said["client_id"]),
        (&"user_dev.12345".into(), &"web".into())
    );
    assert_eq!(
        said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(),
        3600
    );
    assert_eq!(reply.note.event, Some(Event::TokenIssued));
    assert_eq!(reply.note.token_id.as_deref(), said["jti"].as_str());
    assert!(
        rig.grants
            .find(said["sid"].as_str().unwrap())
            .await
            .unwrap()
            .is_some()
    );
    assert!(rig.is_good(access, MCP).await);
    assert!(!rig.is_good(access, OTHER).await);
}

#[tokio::test]
async fn rfc8707_s2_a_token_is_for_the_resources_that_were_asked_for() {
    let rig = Rig::new().await;
    let mut both = request();
    both.push(("resource", "HTTPS://GW.test/other/mcp/"));
    let code = rig.code(&both).await;
    let answer = json(&rig.token(&exchange(&code)).await);
    let said = claims(answer["access_token"].as_str().unwrap());
    assert_eq!(said["aud"], serde_json::json!([MCP, OTHER]));

    let code = rig.code(&both).await;
    let narrowed = but(&exchange(&code), "resource", Some(OTHER));
    let answer = json(&rig.token(&narrowed).await);
    let said = claims(answer["access_token"].as_str().unwrap());
    assert_eq!(said["aud"], serde_json::json!([OTHER]));

    // None named: the first one, and what it needs.
    let none = but(&but(&request(), "resource", None), "scope", None);
    let code = rig.code(&none).await;
    let answer = json(&rig.token(&exchange(&code)).await);
    let said = claims(answer["access_token"].as_str().unwrap());
    assert_eq!(said["aud"], serde_json::json!([MCP]));
    assert_eq!(answer["scope"], "mcp:read user:read team:read");
}

#[tokio::test]
async fn rfc7636_appendix_b_the_verifier_of_the_standard_fits_its_challenge() {
    assert_eq!(challenge_of(VERIFIER), CHALLENGE);
}
