//! Every secret of this stage, through every way that it can end: none is in an answer, a line or a metric afterwards.

use std::sync::Arc;

use serde_json::json;

use super::{Shelf, call, result, token};
use crate::harness::audit;
use crate::harness::gateway::Plan;
use crate::harness::upstream::{Answer, FakeUpstream};

const SECRETS: [&str; 5] = [
    "CanaryOfTheClientSecret",
    "CanaryOfTheRefreshToken",
    "CanaryOfTheOldToken",
    "CanaryOfTheNewToken",
    "CanaryOfTheApiKey",
];

#[tokio::test]
async fn credentials_are_in_no_answer_no_line_and_no_metric() {
    let (shelf, server) = (Arc::new(Shelf::default()), FakeUpstream::start().await);
    let [client_secret, refresh, old, new, key] = SECRETS;
    let rig = Plan::new()
        .env("GATEWAY", client_secret)
        .upstream(&format!(
            "credential: {{kind: per_user, provider: clickup, token_url: {}, client_id: gw, client_secret: \"${{GATEWAY}}\"}}",
            server.url()
        ))
        .keys(Arc::clone(&shelf) as _)
        .start()
        .await;
    rig.upstream.always(&result());
    let saved = json!({"access_token": old, "refresh_token": refresh, "expires_at": 1});
    let mut said = Vec::new();
    for answer in [
        Answer::json(&json!({"error": refresh, "error_description": old})).with_status(400),
        Answer::json(&json!({"error": "invalid_grant", "error_uri": client_secret}))
            .with_status(400),
        Answer::json(&json!({"access_token": new, "token_type": refresh})),
        Answer::bytes(new).header("content-type", new),
        Answer::json(&token(new, 3600)),
    ] {
        server.will(answer);
        // Each time for another user, since failures are remembered for a moment.
        let user = format!("user{}", said.len());
        shelf.put(&user, "clickup/token", &saved.to_string());
        said.push(call(&rig.caller(&user)).await);
    }
    shelf.put("keeper", "clickup/api_key", key);
    rig.upstream
        .will(Answer::status(401).header("www-authenticate", key));
    for _ in 0..2 {
        said.push(call(&rig.caller("keeper")).await);
    }
    let statuses: Vec<_> = said.iter().map(|reply| reply.status.as_u16()).collect();
    assert_eq!(statuses, [502, 403, 502, 502, 200, 403, 403]);
    let lines = audit::wait_for_those_with(rig.audit_dir(), "echo", said.len()).await;
    let all = format!(
        "{said:?} {lines:?} {} {:?}",
        rig.metrics().await,
        rig.config
    );
    assert!(all.contains("upstream_credential_rejected"));
    for secret in SECRETS {
        assert!(!all.contains(secret), "{secret}");
    }
}
