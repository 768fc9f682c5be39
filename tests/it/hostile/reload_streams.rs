//! Streams that were opened under a set that is not in force any more: they go on for a bounded time, end between two events,
//! and end at once where the new set would not let them in.

use hyper::Method;
use serde_json::{Value, json};

use super::reload::{OTHER_KEY, figure, plan, rig};
use crate::harness::audit;
use crate::harness::gateway::{KEY, Plan, Rig};
use crate::harness::mcp::Draft;
use crate::harness::sse::{EventStream, Step};
use crate::harness::upstream::{Answer, Feed};
use crate::harness::wait;

fn note() -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/x", "params": {"text": "so far"}})
}

fn done() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}})
}

/// A stream through which one event has come.
async fn open(rig: &Rig, draft: Draft) -> (EventStream, Feed) {
    let (answer, feed) = Answer::sse();
    rig.upstream.will(answer);
    let (caller, first) = (rig.caller("alice"), note());
    let (mut stream, ()) = tokio::join!(caller.open(draft), feed.event(&first));
    assert_eq!(stream.message().await, note());
    (stream, feed)
}

fn call(rig: &Rig) -> Draft {
    rig.caller("alice")
        .modern_draft("tools/call", json!({"name": "one", "arguments": {}}))
}

fn listening(rig: &Rig) -> Draft {
    rig.caller("alice").legacy_bare(Method::GET)
}

/// Waits until no set is used but the one in force.
async fn one_set_left(rig: &Rig) {
    let reloader = rig.reloader();
    wait::until("old sets to go", async || {
        (reloader.sets_in_use().await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stream_goes_on_under_its_set_and_a_call_gets_its_answer() {
    let rig = rig(plan()).await;
    let (mut heard, events) = open(&rig, listening(&rig)).await;
    let (mut called, answer) = open(&rig, call(&rig)).await;
    for policy in ["[three]", "[four]"] {
        let yaml = rig.yaml();
        let (from, _) = yaml
            .split_once("disabled: ")
            .unwrap()
            .1
            .split_once(" }")
            .unwrap();
        rig.edit(&format!("disabled: {from}"), &format!("disabled: {policy}"));
        rig.reload().await.unwrap();
        for (stream, feed) in [(&mut heard, &events), (&mut called, &answer)] {
            feed.event(&note()).await;
            assert_eq!(stream.message().await, note());
        }
    }
    // Both were opened under the first set; the second is used by nobody.
    assert_eq!(rig.reloader().sets_in_use().await, 2);
    answer.event(&done()).await;
    assert_eq!(called.message().await, done());
    answer.end();
    assert_eq!(called.step().await, Step::End);
    events.end();
    assert_eq!(heard.step().await, Step::End);
    one_set_left(&rig).await;
}

#[tokio::test]
async fn nothing_holds_an_old_set_for_longer_than_is_configured() {
    let plan = plan()
        .listen("reload_timeout: 0s")
        .upstream("total_timeout: 1s");
    let rig = rig(plan).await;
    let (mut heard, events) = open(&rig, listening(&rig)).await;
    let (mut called, answer) = open(&rig, call(&rig)).await;
    rig.edit("[two]", "[three]");
    rig.reload().await.unwrap();
    assert_eq!(
        heard.step().await,
        Step::End,
        "between two events, so that it is opened again"
    );
    events.abandoned().await;
    // A call has as much time as any answer may take in all, and is told when it is over.
    let told = called.message().await;
    assert_eq!(
        (&told["id"], &told["error"]["code"]),
        (&json!(1), &json!(503)),
        "{told}"
    );
    assert_eq!(called.step().await, Step::End);
    answer.abandoned().await;
    one_set_left(&rig).await;
    let cut = audit::wait_for_those_with(rig.audit_dir(), "reconfigured", 1).await;
    assert_eq!(cut[0]["status"], "error", "{cut:?}");
    wait::until("the figure", async || {
        let used = figure(&rig, "sallygate_config_sets_in_use").await;
        (used == Some(1.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stream_ends_at_once_when_its_caller_tool_or_route_is_not_allowed_any_more() {
    for (old, new, calls_code) in [
        // The key of the caller's token is gone.
        (KEY, OTHER_KEY, 401),
        // The tool of the call is hidden; the stream of notices is not about a tool.
        ("[two]", "[one]", 403),
        // The route has another path, so it is another resource.
        ("path: /mcp", "path: /elsewhere", 403),
    ] {
        let rig = rig(plan()).await;
        let (mut heard, events) = open(&rig, listening(&rig)).await;
        let (mut called, answer) = open(&rig, call(&rig)).await;
        rig.edit(old, new);
        rig.reload().await.unwrap();
        let told = called.message().await;
        assert_eq!(told["error"]["code"], calls_code, "{new}: {told}");
        assert_eq!(called.step().await, Step::End, "{new}");
        answer.abandoned().await;
        if new == "[one]" {
            events.event(&note()).await;
            assert_eq!(heard.message().await, note());
            events.end();
        } else {
            events.abandoned().await;
        }
        assert_eq!(heard.step().await, Step::End, "{new}");
        one_set_left(&rig).await;
    }
}

#[tokio::test]
async fn a_stream_that_may_not_listen_any_more_ends() {
    let rules = |more: &str| format!("permit(principal, action, resource);\n{more}");
    let plan = Plan::new()
        .file("rules.cedar", &rules(""))
        .settings("policy: { files: [rules.cedar] }");
    let rig = rig(plan).await;
    let (mut heard, events) = open(&rig, listening(&rig)).await;
    let forbidden =
        "forbid(principal, action == Action::\"use_method\", resource == Method::\"http/get\");";
    std::fs::write(rig.dir().join("rules.cedar"), rules(forbidden)).unwrap();
    rig.reload().await.unwrap();
    assert_eq!(heard.step().await, Step::End);
    events.abandoned().await;
    one_set_left(&rig).await;
}
