//! Pages of other sites, also of those that may call the gateway: what they can read of a login.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode};

use super::town::Town;
use crate::harness::client::Reply;
use crate::harness::gateway::PUBLIC;

const CLAUDE: &str = "https://claude.ai";

async fn ask(town: &Town, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{PUBLIC}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::<Bytes>::default()).unwrap();
    town.client.send(request).await
}

fn cors_of(reply: &Reply) -> Option<&str> {
    reply.header("access-control-allow-origin")
}

#[tokio::test]
async fn r433_c44_endpoints_name_the_exact_origin_and_pages_none() {
    let town = Town::with(|plan| plan.settings("cors: { presets: [claude] }")).await;
    let endpoints = [
        (Method::GET, "/.well-known/oauth-authorization-server"),
        (Method::GET, "/oauth/jwks"),
        (Method::POST, "/oauth/token"),
        (Method::POST, "/oauth/register"),
        (Method::POST, "/oauth/revoke"),
        (Method::GET, "/auth/me"),
    ];
    let pages = [
        (Method::GET, "/oauth/authorize"),
        (Method::GET, "/oauth/login"),
        (Method::POST, "/oauth/consent"),
        (Method::GET, "/auth/login"),
        (Method::GET, "/auth/callback"),
        (Method::GET, "/auth/development"),
    ];
    for (method, path) in endpoints.iter().chain(&pages) {
        let reply = ask(&town, method.clone(), path, &[]).await;
        assert_eq!(cors_of(&reply), None, "{path}: nobody asked");
        let reply = ask(
            &town,
            method.clone(),
            path,
            &[("origin", "https://evil.test")],
        )
        .await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(cors_of(&reply), None, "{path}: a foreign page");
    }
    let preflight = [
        ("origin", CLAUDE),
        ("access-control-request-method", "POST"),
    ];
    for (method, path) in endpoints {
        let reply = ask(&town, method, path, &[("origin", CLAUDE)]).await;
        assert_eq!(cors_of(&reply), Some(CLAUDE), "{path}");
        assert_eq!(reply.header("vary"), Some("Origin"), "{path}");
        let reply = ask(&town, Method::OPTIONS, path, &preflight).await;
        assert_eq!(reply.status, StatusCode::NO_CONTENT, "{path}");
        assert_eq!(cors_of(&reply), Some(CLAUDE), "{path}");
    }
    for (method, path) in pages {
        let reply = ask(&town, method, path, &[("origin", CLAUDE)]).await;
        assert_eq!(cors_of(&reply), None, "{path}");
        let reply = ask(&town, Method::OPTIONS, path, &preflight).await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(cors_of(&reply), None, "{path}");
    }
}
