//! The audit trail as requests leave it: one line each, whatever became of them, with the stage that refused. Nothing is
//! served that cannot be written down.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::client::{Client, Http, Reply};
use crate::harness::gateway::{PUBLIC, Plan, Rig, Who};
use crate::harness::mcp::{Draft, Mcp, set};
use crate::harness::upstream::Answer;
use crate::harness::{audit, process, wait};

async fn rig() -> Rig {
    before(Plan::new()).await
}

async fn before(plan: Plan) -> Rig {
    let rig = plan.start().await;
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}});
    rig.upstream.always(&answer);
    rig
}

/// The one line of the request that was answered like this.
async fn line_of(rig: &Rig, reply: &Reply) -> Value {
    let id = reply.header("x-request-id").unwrap();
    assert!(id.starts_with("req_") && id.len() == 20, "{id}");
    audit::line_of(rig.audit_dir(), |line| line["request_id"] == id).await
}

/// Everything that lets a request fail, from the outermost stage to the innermost. Each spoils one more thing.
type Spoil = fn(&Rig, &mut Draft);
const SPOILS: [(&str, Spoil); 6] = [
    ("limits", |_, draft| {
        set(draft, "origin", "https://evil.test")
    }),
    ("auth", |_, draft| {
        set(draft, "authorization", "Bearer a.b.c")
    }),
    ("quota", |rig, draft| {
        let token = rig.token(&Who::new("exhausted"));
        set(draft, "authorization", &format!("Bearer {token}"));
    }),
    ("read", |_, draft| set(draft, "content-type", "text/plain")),
    ("policy", |_, _| {}),
    ("screen", |_, draft| set(draft, "mcp-name", "another")),
];

#[tokio::test]
async fn r033_r034_every_stage_refuses_in_its_turn_and_the_earliest_is_the_one_that_is_written_down()
 {
    let quotas = "quotas: { users: { exhausted: { per_minute: 1 } } }";
    let plan = Plan::new().quotas(quotas);
    let rig = before(plan.settings("policy: { tools: { disabled: [danger] } }")).await;
    let exhausted = rig.caller("exhausted");
    assert_eq!(exhausted.legacy("ping", json!({})).await.status, 200);
    let travelled = rig.upstream.seen().len();

    let caller = rig.caller("alice");
    // A request that fails at one stage and at every later one is refused by that one.
    for from in 0..SPOILS.len() {
        let tool = if from <= 4 { "danger" } else { "echo" };
        let params = json!({"name": tool, "arguments": {}});
        let mut draft = caller.modern_draft("tools/call", params);
        // From the inside out, so that of two credentials the outer stage's is the one that stays.
        for (_, spoil) in SPOILS[from..].iter().rev() {
            spoil(&rig, &mut draft);
        }
        let reply = caller.send(draft).await;
        let line = line_of(&rig, &reply).await;
        assert_eq!(line["stage"], SPOILS[from].0, "{line}");
        assert_eq!(line["status"], "error", "{line}");
        assert!(line["error"]["code"].is_string(), "{line}");
    }
    assert_eq!(rig.upstream.seen().len(), travelled);

    rig.upstream.will(Answer::status(500));
    let reply = caller.call("echo", json!({})).await;
    assert_eq!(line_of(&rig, &reply).await["stage"], "upstream");
}

#[tokio::test]
async fn r172_r173_r174_r175_r176_r177_r178_r179_a_line_says_who_did_what_and_when() {
    let rig = rig().await;
    for http in [Http::One, Http::Two] {
        let caller = rig.caller_by(http, &Who::new("alice"));
        let params =
            json!({"name": "echo", "arguments": {"id": "n1", "text": "canary-not-a-real-text"}});
        let mut draft = caller.modern_draft("tools/call", params);
        *draft.uri_mut() = format!("{PUBLIC}/mcp?page=1").parse().unwrap();
        set(&mut draft, "user-agent", "test/1");
        let reply = caller.send(draft).await;
        assert_eq!(reply.status, 200);
        let line = line_of(&rig, &reply).await;
        for (field, value) in [
            ("action", "tool_invocation"),
            ("user_id", "alice"),
            ("team_id", "team-1"),
            ("tool_name", "echo"),
            ("method", "POST"),
            ("path", "/mcp"),
            ("ip_address", "127.0.0.1"),
            ("user_agent", "test/1"),
            ("status", "success"),
            ("route", "default"),
            ("rpc_method", "tools/call"),
        ] {
            assert_eq!(line[field], value, "{field} in {line}");
        }
        let at = line["timestamp"].as_str().unwrap();
        assert!(
            at.len() == 24 && at.ends_with('Z') && &at[19..20] == ".",
            "{at}"
        );
        assert!(line["duration_ms"].is_number(), "{line}");
        assert!(line["jwt_token_id"].is_string(), "{line}");
        assert_eq!(line["details"]["http_status"], 200);
        assert!(
            !line.to_string().contains("canary-not-a-real-text"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn r173_the_id_of_a_request_is_in_its_header_its_error_and_its_line() {
    let rig = rig().await;
    for http in [Http::One, Http::Two] {
        let client = rig.client(http);
        for path in ["/absent", "/mcp"] {
            let reply = client.get(&format!("{PUBLIC}{path}")).await;
            let id = reply.header("x-request-id").unwrap();
            assert_eq!(reply.json()["request_id"], id, "{path}");
            assert_eq!(line_of(&rig, &reply).await["path"], path);
        }
        let health = client.get(&format!("{PUBLIC}/health")).await;
        assert_eq!(line_of(&rig, &health).await["status"], "success");
    }
    let caller = rig.caller("alice");
    let mut draft = caller.legacy_draft("ping", json!({}));
    set(&mut draft, "x-request-id", "req_0000000000000000");
    let reply = caller.send(draft).await;
    let id = reply.header("x-request-id").unwrap();
    assert_ne!(id, "req_0000000000000000", "callers do not choose it");
}

#[tokio::test]
async fn r166_r195_nobody_is_named_before_the_credential_was_checked_and_everybody_after() {
    let quotas = "quotas: { users: { exhausted: { per_minute: 1 } } }";
    let rig = before(Plan::new().quotas(quotas)).await;
    let mut bad_type = rig.caller("alice").legacy_draft("ping", json!({}));
    set(&mut bad_type, "content-type", "text/plain");
    let exhausted = rig.caller("exhausted");
    exhausted.legacy("ping", json!({})).await;
    for (reply, user, action) in [
        (
            rig.stranger(Http::One).legacy("ping", json!({})).await,
            Value::Null,
            "auth_failure",
        ),
        (
            rig.caller("alice")
                .with_token("a.b.c")
                .legacy("ping", json!({}))
                .await,
            Value::Null,
            "auth_failure",
        ),
        (
            exhausted.legacy("ping", json!({})).await,
            "exhausted".into(),
            "rate_limit_exceeded",
        ),
        (
            rig.caller("alice").send(bad_type).await,
            "alice".into(),
            "request_refused",
        ),
        (
            rig.caller("alice").legacy("ping", json!({})).await,
            "alice".into(),
            "mcp_request",
        ),
    ] {
        let line = line_of(&rig, &reply).await;
        assert_eq!(line["user_id"], user, "{line}");
        assert_eq!(line["action"], action, "{line}");
        assert!(line.as_object().unwrap().contains_key("user_id"), "{line}");
    }
}

#[tokio::test]
async fn a_caller_who_leaves_in_the_middle_has_its_line_nevertheless() {
    for http in [Http::One, Http::Two] {
        let rig = rig().await;
        let (answer, feed) = Answer::sse();
        rig.upstream.will(answer);
        let caller = rig.caller_by(http, &Who::new("alice"));
        let params = json!({"name": "echo", "arguments": {}});
        let opening = caller.open(caller.modern_draft("tools/call", params));
        let first = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {}});
        let (mut stream, ()) = tokio::join!(opening, feed.event(&first));
        stream.message().await;
        drop((stream, caller));
        feed.abandoned().await;
        let line = audit::line_of(rig.audit_dir(), |line| line["tool_name"] == "echo").await;
        assert_eq!(line["details"]["ended"], "caller_left", "{http:?}: {line}");

        rig.upstream.will(Answer::hang());
        let caller = rig.caller_by(http, &Who::new("bob"));
        let waiting = tokio::spawn(async move { caller.call("echo", json!({})).await });
        rig.upstream.saw(2).await;
        waiting.abort();
        rig.upstream.hangs_no_more().await;
        let line = audit::line_of(rig.audit_dir(), |line| line["user_id"] == "bob").await;
        assert_eq!(line["details"]["ended"], "caller_left", "{http:?}: {line}");
    }
}

#[tokio::test]
async fn what_the_upstream_breaks_off_is_written_down_as_its_failure() {
    let rig = rig().await;
    let (answer, feed) = Answer::sse();
    rig.upstream.will(answer);
    let caller = rig.caller("alice");
    let mut draft = caller.legacy_draft("tools/call", json!({"name": "echo", "arguments": {}}));
    set(&mut draft, "accept", "text/event-stream, application/json");
    let first = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {}});
    let (mut stream, ()) = tokio::join!(caller.open(draft), feed.event(&first));
    stream.message().await;
    feed.tear().await;
    stream.step().await;
    let line = audit::line_of(rig.audit_dir(), |line| line["tool_name"] == "echo").await;
    assert_eq!(
        (&line["stage"], &line["status"]),
        (&json!("upstream"), &json!("error"))
    );
}

/// Many requests of every outcome at once: as many lines as requests, and the chain holds.
#[tokio::test]
async fn every_request_has_exactly_one_line_and_the_chain_holds_afterwards() {
    let mut rig = before(
        Plan::new()
            .settings("audit: { chain_key_file: chain.key }")
            .file(
                "chain.key",
                "canary-not-a-real-key-for-the-chain-0123456789",
            ),
    )
    .await;
    let key = rig
        .audit_dir()
        .ancestors()
        .nth(2)
        .unwrap()
        .join("chain.key");
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let http = if n % 2 == 0 { Http::One } else { Http::Two };
            let caller = rig.caller_by(http, &Who::new(&format!("user-{n}")));
            let stranger = rig.stranger(http);
            tokio::spawn(async move { ids(&caller, &stranger).await })
        })
        .collect();
    let mut ids = Vec::new();
    for task in tasks {
        ids.extend(task.await.unwrap());
    }
    assert!(rig.drain().await);
    let lines = audit::lines(rig.audit_dir());
    let mut written: Vec<_> = lines
        .iter()
        .filter(|line| line["method"].is_string())
        .map(|line| line["request_id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    written.sort();
    assert_eq!(written, ids);
    let (dir, key) = (rig.audit_dir().to_str().unwrap(), key.to_str().unwrap());
    let verify = ["audit", "verify", "--dir", dir, "--key-file", key];
    let said = process::run(Path::new("/"), &verify);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.starts_with("intact: "));
}

async fn ids(caller: &Mcp, stranger: &Mcp) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..5 {
        let mut broken = caller.legacy_draft("ping", json!({}));
        set(&mut broken, "content-type", "text/plain");
        for reply in [
            caller.call("echo", json!({})).await,
            caller.send(broken).await,
            stranger.legacy("ping", json!({})).await,
        ] {
            ids.push(reply.header("x-request-id").unwrap().to_owned());
        }
    }
    ids
}

/// The folder of the trail vanishes under a running gateway: requests are refused, not served unrecorded, and served
/// again once it can be written.
#[tokio::test]
async fn what_cannot_be_written_down_is_not_served_and_service_returns_with_the_trail() {
    let rig = rig().await;
    let caller = rig.caller("alice");
    assert_eq!(caller.call("echo", json!({})).await.status, 200);
    let dir = rig.audit_dir().to_owned();
    let aside = dir.with_extension("aside");
    fs::rename(&dir, &aside).unwrap();
    // A file where the folder was: nobody can write there, not even the superuser.
    fs::write(&dir, "").unwrap();
    let refused = wait::until("a refusal", async || {
        // The hour's file may still be open; the writer finds out at the latest when it needs another.
        let reply = caller.call("echo", json!({})).await;
        (reply.status == 503).then_some(reply)
    });
    let Ok(refused) = tokio::time::timeout(wait::PATIENCE, refused).await else {
        panic!("served without a trail");
    };
    let travelled = rig.upstream.seen().len();
    assert_eq!(refused.json()["error"]["code"], "audit_unavailable");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let id = refused.header("x-request-id").unwrap();
    assert!(id.starts_with("req_"), "{refused:?}");
    assert_eq!(refused.json()["request_id"], id);
    let url = format!("http://{}/readyz", rig.ops_address);
    let ready = Client::plain().get(&url).await;
    assert_eq!(
        (ready.status.as_u16(), ready.text()),
        (503, "not ready: audit\n")
    );
    assert_eq!(rig.upstream.seen().len(), travelled);

    fs::remove_file(&dir).unwrap();
    fs::rename(&aside, &dir).unwrap();
    wait::until("service again", async || {
        (caller.call("echo", json!({})).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_trail_is_for_its_owner_alone() {
    let rig = rig().await;
    rig.caller("alice").call("echo", json!({})).await;
    audit::line_of(rig.audit_dir(), |line| line["tool_name"] == "echo").await;
    let files = audit::files(rig.audit_dir());
    assert!(!files.is_empty());
    for file in files {
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn r180_the_address_in_the_trail_is_the_one_that_our_own_proxy_saw() {
    for (hops, address) in [(0, "127.0.0.1"), (1, "192.0.2.7"), (2, "198.51.100.9")] {
        let rig = before(Plan::new().listen(&format!("trusted_hops: {hops}"))).await;
        let caller = rig.caller("alice");
        let mut draft = caller.modern_draft("tools/list", json!({}));
        set(
            &mut draft,
            "x-forwarded-for",
            "6.6.6.6, 198.51.100.9, 192.0.2.7",
        );
        let reply = caller.send(draft).await;
        assert_eq!(line_of(&rig, &reply).await["ip_address"], address, "{hops}");
    }
}
