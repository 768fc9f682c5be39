//! Browsers: which pages may call, what preflights are answered, and that a page which may not learns nothing. The Origin
//! is checked on every request, not only where CORS asks (DNS rebinding).

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request};
use serde_json::json;

use crate::harness::client::{Http, Reply};
use crate::harness::gateway::{PUBLIC, Plan, Rig, Who};
use crate::harness::mcp::set;

const CLAUDE: &str = "https://claude.ai";

async fn rig() -> Rig {
    let plan = Plan::new().settings(
        "cors: { presets: [claude, chatgpt], allowed_origins: [\"https://app.example.com\"] }",
    );
    let rig = plan.start().await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    rig
}

async fn preflight(rig: &Rig, http: Http, origin: &str, asked: &str) -> Reply {
    let request = Request::builder()
        .method(Method::OPTIONS)
        .uri(format!("{PUBLIC}/mcp"))
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", asked)
        .body(Full::<Bytes>::default());
    rig.client(http).send(request.unwrap()).await
}

fn has_no_cors_headers(reply: &Reply) {
    for name in reply.headers.keys() {
        assert!(!name.as_str().starts_with("access-control-"), "{reply:?}");
    }
}

const FOREIGN: [&str; 9] = [
    "https://evil.test",
    "null",
    "",
    "https://claude.ai.evil.test",
    "https://claude.ai:8443",
    "http://claude.ai",
    "https://sub.claude.ai",
    "https://claude.ai/",
    "https://localhost",
];

#[tokio::test]
async fn r432_a_foreign_origin_is_refused_with_403_and_without_cors_headers() {
    let rig = rig().await;
    for http in [Http::One, Http::Two] {
        for origin in FOREIGN {
            let refused = preflight(&rig, http, origin, "authorization").await;
            assert_eq!(refused.status, 403, "{origin:?}");
            has_no_cors_headers(&refused);
            let caller = rig.caller_by(http, &Who::new("alice"));
            let mut draft = caller.legacy_draft("ping", json!({}));
            set(&mut draft, "origin", origin);
            let refused = caller.send(draft).await;
            assert_eq!(
                refused.status, 403,
                "{origin:?}: with a good token and a good Host"
            );
            assert_eq!(refused.json()["error"]["code"], "origin_not_allowed");
            has_no_cors_headers(&refused);
        }
    }
    rig.upstream.saw_nothing();
}

#[tokio::test]
async fn r432_a_good_origin_does_not_save_a_foreign_host() {
    let rig = rig().await;
    let caller = rig.caller("alice");
    let mut draft = caller.legacy_draft("ping", json!({}));
    set(&mut draft, "origin", CLAUDE);
    set(&mut draft, "host", "evil.test");
    let refused = caller.send(draft).await;
    assert_eq!(refused.status, 421);
    has_no_cors_headers(&refused);
    rig.upstream.saw_nothing();
}

#[tokio::test]
async fn r433_c44_a_preflight_is_answered_without_a_token_for_listed_origins_alone() {
    let rig = rig().await;
    for http in [Http::One, Http::Two] {
        let asked = "authorization,content-type,mcp-protocol-version,x-evil,mcp-param-region";
        let answer = preflight(&rig, http, CLAUDE, asked).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
        for (name, value) in [
            ("access-control-allow-origin", CLAUDE),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "GET, POST, DELETE, OPTIONS"),
            ("vary", "Origin"),
        ] {
            let values: Vec<_> = answer.headers.get_all(name).iter().collect();
            assert_eq!(values, [value], "{name}");
        }
        let allowed = answer.header("access-control-allow-headers").unwrap();
        let allowed = allowed.to_lowercase();
        for name in [
            "authorization",
            "content-type",
            "mcp-session-id",
            "mcp-param-region",
        ] {
            assert!(allowed.contains(name), "{name} in {allowed}");
        }
        assert!(
            !allowed.contains("evil") && !allowed.contains('*'),
            "{allowed}"
        );
    }
    rig.upstream.saw_nothing();
}

#[tokio::test]
async fn r433_c44_the_request_itself_carries_the_exact_origin_also_when_it_is_refused() {
    let rig = rig().await;
    let asked = [rig.caller("alice"), rig.stranger(Http::One)];
    for (caller, status) in asked.iter().zip([200, 401]) {
        let mut draft = caller.legacy_draft("ping", json!({}));
        set(&mut draft, "origin", CLAUDE);
        let reply = caller.send(draft).await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("access-control-allow-origin"), Some(CLAUDE));
        assert_eq!(reply.header("vary"), Some("Origin"));
        let exposed = reply.header("access-control-expose-headers").unwrap();
        for name in ["WWW-Authenticate", "Mcp-Session-Id", "Retry-After"] {
            assert!(exposed.contains(name), "{name}");
        }
    }
    let reply = asked[0].legacy("ping", json!({})).await;
    has_no_cors_headers(&reply);
}

#[tokio::test]
async fn r513_presets_name_the_origins_of_claude_and_chatgpt() {
    let rig = rig().await;
    for origin in [
        "https://claude.ai",
        "https://claude.com",
        "https://chatgpt.com",
        "https://chat.openai.com",
        "https://app.example.com",
    ] {
        let answer = preflight(&rig, Http::Two, origin, "authorization").await;
        assert_eq!(answer.status, 204, "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
    }
    let bare = Rig::start().await;
    let refused = preflight(&bare, Http::Two, CLAUDE, "authorization").await;
    assert_eq!(refused.status, 403, "nobody is allowed unasked");
}
