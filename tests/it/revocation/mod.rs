//! What ends before its time has ended, over real sockets: the next request is refused, and streams that are open are cut.

mod fleet;
mod streams;
mod workspaces;

use std::time::Duration;

use sallygate::clock::{Clock, Timestamp};
use sallygate::revocation::Mark;
use serde_json::json;

use crate::harness::client::Http;
use crate::harness::gateway::{Rig, Who};
use crate::harness::{audit, mcp::Mcp};

/// A user who signed in.
fn alice() -> Who {
    Who::new("alice").signed_in("sid-alice", "client-1", 0)
}

fn tomorrow() -> Timestamp {
    Clock::system().now().plus(Duration::from_secs(86_400))
}

async fn serves(rig: &Rig, caller: &Mcp) -> bool {
    let standing = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    rig.upstream.always(&standing);
    let reply = caller.legacy("ping", json!({})).await;
    if reply.status == 200 {
        return true;
    }
    assert_eq!(reply.status, 401, "{reply:?}");
    let error = &reply.json()["error"];
    assert_eq!(error["code"], "token_revoked", "{reply:?}");
    assert_eq!(error["message"], "JWT token has been revoked");
    let challenge = reply.header("www-authenticate").unwrap();
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    false
}

#[tokio::test]
async fn r104_r119_r625_what_ended_is_refused_from_the_next_request_on() {
    let rig = Rig::start().await;
    let caller_of = |who: &Who| rig.caller_by(Http::One, who);
    let minted = rig.minted(&alice());
    let alices = rig.stranger(Http::One).with_token(minted.token.expose());
    let another = caller_of(&alice());
    let elsewhere = caller_of(&Who::new("alice").signed_in("sid-2", "client-2", 0));
    let bob = caller_of(&Who::new("bob").signed_in("sid-bob", "client-1", 0));
    let all = [&alices, &another, &elsewhere, &bob];
    for (mark, left) in [
        (
            Mark::Token("jti-of-nobody".into()),
            [true, true, true, true],
        ),
        (
            Mark::Token(minted.token_id.clone()),
            [false, true, true, true],
        ),
        (
            Mark::Session("sid-alice".into()),
            [false, false, true, true],
        ),
        (Mark::Client("client-1".into()), [false, false, true, false]),
        (Mark::User("alice".into()), [false, false, false, false]),
    ] {
        // The tokens are remembered when the mark is made.
        for caller in all {
            serves(&rig, caller).await;
        }
        rig.revocations().revoke(&mark, tomorrow()).await.unwrap();
        for (caller, left) in all.into_iter().zip(left) {
            assert_eq!(serves(&rig, caller).await, left, "{mark:?}");
        }
    }
    let again = caller_of(&Who::new("alice").signed_in("sid-3", "client-2", 1));
    assert!(serves(&rig, &again).await, "after a new login");
}

#[tokio::test]
async fn r120_the_trail_tells_a_disabled_user_from_a_revoked_token() {
    let rig = Rig::start().await;
    let caller = rig.caller_by(Http::One, &alice());
    assert!(serves(&rig, &caller).await);
    rig.revocations().disable("alice").await.unwrap();
    assert!(!serves(&rig, &caller).await);
    let line = audit::line_of(rig.audit_dir(), |line| line["event_type"] == "auth_failure").await;
    assert_eq!(line["reason"], "user_disabled", "{line}");
    rig.revocations().enable("alice").await.unwrap();
    assert!(!serves(&rig, &caller).await, "what they held has ended");
    let fresh = Who::new("alice").signed_in("sid-9", "client-1", 1);
    assert!(serves(&rig, &rig.caller_by(Http::One, &fresh)).await);
}
