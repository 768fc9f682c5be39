//! Several servers behind one gateway: each route has its own upstream, identity, metadata and tools.

use serde_json::json;

use super::{names, result, tools};
use crate::harness::client::Http;
use crate::harness::gateway::{PUBLIC, Plan, Rig, Who};
use crate::harness::upstream::{Answer, FakeUpstream};

/// A gateway with routes `/a/mcp` and `/b/mcp`; the second one's fake comes along.
async fn two() -> (Rig, FakeUpstream) {
    let (a, b) = (FakeUpstream::start().await, FakeUpstream::start().await);
    let routes = format!(
        "routes:
  - name: a
    path: /a/mcp
    scopes_supported: [\"a:use\"]
    tools: {{ disabled: [delete_note] }}
    upstream: {{ url: \"{}\" }}
  - name: b
    path: /b/mcp
    upstream: {{ url: \"{}\" }}",
        a.url(),
        b.url()
    );
    (Plan::new().routes(&routes).before(a).await, b)
}

#[tokio::test]
async fn rfc8707_a_token_for_one_route_is_refused_on_the_other() {
    let (rig, b) = two().await;
    let client = rig.client(Http::Two);
    for (path, own) in [
        ("/a/mcp", "/b/mcp"),
        ("/b/mcp", "/a/mcp"),
        ("/b/mcp", "/mcp"),
    ] {
        let token = rig.token(&Who::new("alice").of(own));
        let url = format!("{PUBLIC}{path}");
        let caller = crate::harness::mcp::Mcp::at(&client, &url).with_token(&token);
        for reply in [
            caller.call("echo", json!({})).await,
            caller.legacy("tools/list", json!({})).await,
        ] {
            assert_eq!(reply.status, 401, "{own} at {path}");
            let challenge = reply.header("www-authenticate").unwrap();
            let metadata = format!(
                "resource_metadata=\"{PUBLIC}/.well-known/oauth-protected-resource{path}\""
            );
            assert!(challenge.contains(&metadata), "{challenge}");
        }
    }
    rig.upstream.saw_nothing();
    b.saw_nothing();
}

#[tokio::test]
async fn rfc9728_s3_each_route_publishes_its_own_metadata() {
    let (rig, _b) = two().await;
    let client = rig.client(Http::One);
    for (path, scopes) in [
        ("/a/mcp", json!(["a:use"])),
        ("/b/mcp", json!(["mcp:read", "mcp:write"])),
    ] {
        let url = format!("{PUBLIC}/.well-known/oauth-protected-resource{path}");
        let metadata = client.get(&url).await.json();
        assert_eq!(metadata["resource"], format!("{PUBLIC}{path}"));
        assert_eq!(metadata["scopes_supported"], scopes);
    }
}

#[tokio::test]
async fn paths_that_are_no_route_lead_nowhere() {
    let (rig, b) = two().await;
    for path in [
        "/mcp",
        "/a/mcp/",
        "/A/mcp",
        "/a/mcp/x",
        "/a/%6dcp",
        "//a/mcp",
        "/b/../a/mcp",
        "/",
        "/a",
        "/b/./mcp",
        "/a/mcp;x",
        "/a/mcp%00",
    ] {
        let reply = rig
            .caller_at(path, &Who::new("alice"))
            .call("echo", json!({}))
            .await;
        assert_eq!(reply.status, 404, "{path}");
    }
    rig.upstream.saw_nothing();
    b.saw_nothing();
}

#[tokio::test]
async fn each_route_has_its_own_upstream_and_its_own_tools() {
    let (rig, b) = two().await;
    let list = tools(&["echo", "delete_note"]);
    let (at_a, at_b) = (
        rig.caller_at("/a/mcp", &Who::new("alice")),
        rig.caller_at("/b/mcp", &Who::new("alice")),
    );
    assert_eq!(
        at_a.call("delete_note", json!({})).await.error_code(),
        Some(-32602)
    );
    rig.upstream.saw_nothing();
    b.will(Answer::json(&result(&json!({"content": ["b"]}))));
    assert_eq!(
        at_b.call("delete_note", json!({})).await.result()["content"],
        json!(["b"])
    );
    rig.upstream.saw_nothing();
    b.only_request();
    rig.upstream.will(Answer::json(&list));
    b.will(Answer::json(&list));
    assert_eq!(
        names(&at_a.legacy("tools/list", json!({})).await.json()),
        ["echo"]
    );
    let all = names(&at_b.legacy("tools/list", json!({})).await.json());
    assert_eq!(all, ["echo", "delete_note"]);
    assert_eq!(rig.upstream.only_request().path, "/mcp");
}
