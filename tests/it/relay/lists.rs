//! What is hidden stands in no list, in whatever form the list comes.

use hyper::Method;
use sallygate::demo;
use serde_json::{Value, json};

use super::{HIDDEN, Sample, entries, names, result, ruled, tools};
use crate::harness::client::Http;
use crate::harness::gateway::{Plan, Who};
use crate::harness::mcp::{Mcp, set};
use crate::harness::sse::Step;
use crate::harness::upstream::Answer;

/// Every way to hide `delete_note` from the free tier.
fn hidings() -> Vec<(&'static str, Plan)> {
    let policy = |yaml: &str| Plan::new().settings(&format!("policy: {yaml}"));
    vec![
        (
            "DISABLED_TOOLS",
            Plan::new().env("DISABLED_TOOLS", "x,delete_note"),
        ),
        (
            "ENABLED_TOOLS",
            Plan::new().env("ENABLED_TOOLS", "echo,add"),
        ),
        (
            "a pattern",
            policy("{ tools: { disabled: [\"delete_*\"] } }"),
        ),
        (
            "a tier",
            policy("{ tiers: { free: { tools: { disabled: [delete_note] } } } }"),
        ),
        (
            "another tier's list",
            policy(
                "{ tiers: { premium: { tools: { enabled: [\"*\"] } }, free: { tools: { enabled: [echo, add] } } } }",
            ),
        ),
        (
            "the route",
            Plan::new().route("tools: { disabled: [delete_note] }"),
        ),
        (
            "read-only",
            Plan::new().route("tools: { read_only: true, read_only_tools: [echo, add] }"),
        ),
        ("a Cedar file", ruled()),
    ]
}

#[tokio::test]
async fn r027_r028_r029_every_way_to_hide_a_tool_takes_it_out_of_lists_and_calls() {
    for (way, plan) in hidings() {
        let rig = plan.start().await;
        let caller = rig.caller("alice");
        let refused = caller.call(HIDDEN, json!({})).await;
        assert_eq!(refused.error_code(), Some(-32602), "{way}");
        rig.upstream.saw_nothing();
        rig.upstream.always(&tools(&["echo", HIDDEN, "add"]));
        for reply in [
            caller.modern("tools/list", json!({})).await,
            caller.legacy("tools/list", json!({})).await,
        ] {
            assert_eq!(names(&reply.json()), ["echo", "add"], "{way}");
            assert!(!reply.text().contains(HIDDEN), "{way}");
        }
        rig.upstream.always(&result(&json!({"content": []})));
        let good = caller.call("echo", json!({})).await;
        assert_eq!(
            good.text(),
            result(&json!({"content": []})).to_string(),
            "{way}"
        );
    }
}

#[tokio::test]
async fn r011_what_one_user_may_not_see_another_still_sees() {
    let rig = Plan::new()
        .settings("policy: { tiers: { free: { tools: { disabled: [delete_note] } } } }")
        .start()
        .await;
    rig.upstream.always(&tools(&["echo", HIDDEN]));
    let free = rig.caller("alice");
    let premium = rig.caller_by(Http::Two, &Who::new("bob").tier("premium"));
    for _ in 0..3 {
        let (few, all) = tokio::join!(
            free.modern("tools/list", json!({})),
            premium.modern("tools/list", json!({}))
        );
        assert_eq!(names(&few.json()), ["echo"]);
        assert_eq!(names(&all.json()), ["echo", HIDDEN]);
    }
}

#[tokio::test]
async fn r029_every_framing_of_a_list_in_an_event_stream_is_filtered() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    let list = tools(&["echo", HIDDEN]).to_string();
    let (head, tail) = list.split_once("\"result\":").unwrap();
    let framings = [
        format!("data: {list}\n\n"),
        format!("data:{list}\r\n\r\n"),
        format!("data: {list}\nid: 7\nevent: message\n\n"),
        format!("id: 6\ndata:\n\nid: 7\ndata: {list}\n\n"),
        format!("retry: 10\n\n: comment\nevent: message\ndata: {list}\n\n"),
        format!("data: {head}\ndata: \"result\":\ndata: {tail}\n\n"),
        format!(
            "data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{}}}}\n\ndata: {list}\n\n"
        ),
        format!("\u{feff}data: {list}\n\n"),
        format!(
            "data: {}\n\n",
            list.replace("delete_note", "\\u0064elete\\u005fnote")
        ),
        format!("data: {}\n\n", list.replace("\"tools\"", "\"\\u0074ools\"")),
    ];
    for framing in framings {
        for legacy in [false, true] {
            let (answer, feed) = Answer::sse();
            rig.upstream.will(answer);
            let draft = if legacy {
                caller.legacy_draft("tools/list", json!({}))
            } else {
                caller.modern_draft("tools/list", json!({}))
            };
            let stream = caller.open(draft).await;
            feed.send(framing.clone()).await;
            feed.end();
            let messages = stream.messages().await;
            assert_eq!(names(messages.last().unwrap()), ["echo"], "{framing}");
        }
    }
}

#[tokio::test]
async fn a_list_split_into_single_bytes_is_filtered_all_the_same() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    let (answer, feed) = Answer::sse();
    rig.upstream.will(answer);
    let stream = caller
        .open(caller.modern_draft("tools/list", json!({})))
        .await;
    let text = format!("id: 1\r\ndata: {}\r\n\r\n", tools(&["echo", HIDDEN]));
    for byte in text.into_bytes() {
        feed.send(vec![byte]).await;
    }
    feed.end();
    assert_eq!(names(&stream.messages().await[0]), ["echo"]);
}

#[tokio::test]
async fn r029_lists_on_a_resumed_stream_or_inside_another_answer_are_filtered() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    let mut resumed = caller.legacy_bare(Method::GET);
    set(&mut resumed, "last-event-id", "stream-1/5");
    for draft in [
        resumed,
        caller.legacy_bare(Method::GET),
        caller.legacy_draft("tools/call", json!({"name": "echo", "arguments": {}})),
        caller.legacy_draft("ping", json!({})),
    ] {
        let (answer, feed) = Answer::sse();
        rig.upstream.will(answer);
        let was_get = draft.method() == Method::GET;
        let opened = caller.open(draft);
        let fed = async {
            let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
            feed.event(&changed).await;
            let list = tools(&["echo", HIDDEN]).to_string();
            feed.send(format!("id: stream-1/6\ndata: {list}\n\n")).await;
            feed.end();
        };
        let (mut stream, ()) = tokio::join!(opened, fed);
        assert_eq!(
            stream.message().await["method"],
            "notifications/tools/list_changed"
        );
        let Step::Event(event) = stream.step().await else {
            panic!("an event is due");
        };
        assert_eq!(event.id.as_deref(), Some("stream-1/6"));
        let list: Value = serde_json::from_str(&event.data.unwrap()).unwrap();
        assert_eq!(names(&list), ["echo"], "GET: {was_get}");
        assert_eq!(stream.step().await, Step::End);
    }
    let seen = rig.upstream.seen();
    assert_eq!(seen[0].header("last-event-id"), Some("stream-1/5"));
}

#[tokio::test]
async fn r029_every_page_is_filtered_and_an_emptied_page_leads_on() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    let page = |names: &[&str], cursor: Option<&str>| {
        let mut page = tools(names);
        if let Some(cursor) = cursor {
            page["result"]["nextCursor"] = cursor.into();
        }
        page
    };
    let pages = [
        page(&["echo"], Some("two")),
        page(&[HIDDEN], Some("three")),
        page(&["clock", HIDDEN], None),
    ];
    for page in &pages {
        rig.upstream.will(Answer::json(page));
    }
    let (mut found, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let params = cursor
            .as_ref()
            .map_or(json!({}), |cursor| json!({"cursor": cursor}));
        let reply = caller.legacy("tools/list", params).await.json();
        found.extend(names(&reply));
        cursor = reply["result"]["nextCursor"].as_str().map(String::from);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, ["echo", "clock"]);
    let cursors: Vec<_> = rig
        .upstream
        .seen()
        .iter()
        .map(|seen| seen.json()["params"]["cursor"].clone())
        .collect();
    assert_eq!(cursors, [json!(null), json!("two"), json!("three")]);
}

#[tokio::test]
async fn mcp_2026_07_28_filtered_lists_are_never_shared_between_users() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    for list in [
        json!({"tools": [], "cacheScope": "public", "ttlMs": 1000}),
        json!({"tools": [{"name": "echo"}], "ttlMs": 1000, "nextCursor": "x"}),
        json!({"tools": [{"name": HIDDEN}], "cacheScope": "private"}),
        json!({"tools": [{"name": HIDDEN}], "cacheScope": 7}),
    ] {
        rig.upstream.will(Answer::json(&result(&list)));
        let got = caller.modern("tools/list", json!({})).await.result();
        assert_eq!(got["cacheScope"], "private", "{list}");
        assert_eq!(got["ttlMs"], list["ttlMs"]);
        assert_eq!(got["nextCursor"], list["nextCursor"]);
    }
}

#[tokio::test]
async fn r029_prompts_resources_and_templates_are_filtered_alike() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    for (method, member, key, kept, hidden) in [
        ("prompts/list", "prompts", "name", "greet", "secret_prompt"),
        ("resources/list", "resources", "uri", "notes:1", "secret:1"),
        (
            "resources/templates/list",
            "resourceTemplates",
            "uriTemplate",
            "notes:{id}",
            "secret:{id}",
        ),
    ] {
        let list =
            |at: &str| json!({at: [{key: hidden, "title": "one"}, {key: kept, "title": "two"}]});
        rig.upstream.will(Answer::json(&result(&list(member))));
        let reply = caller.modern(method, json!({})).await;
        assert_eq!(entries(&reply.json(), member, key), [kept]);
        assert!(!reply.text().contains("secret"), "{reply:?}");
        let (answer, feed) = Answer::sse();
        rig.upstream.will(answer);
        let stream = caller.open(caller.legacy_draft(method, json!({}))).await;
        feed.event(&result(&list(member))).await;
        feed.end();
        assert_eq!(entries(&stream.messages().await[0], member, key), [kept]);
        // Not what was asked for, but a list all the same.
        rig.upstream.will(Answer::json(&tools(&["echo", HIDDEN])));
        assert_eq!(
            names(&caller.modern(method, json!({})).await.json()),
            ["echo"]
        );
    }
}

#[tokio::test]
async fn r029_a_list_that_could_hide_a_name_is_not_passed_on() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    let hidden = r#"{"name":"delete_note"}"#;
    for body in [
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[],"tools":[{hidden}]}}}}"#),
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"Tools":[{hidden}]}}}}"#),
        format!(r#"{{"jsonrpc":"2.0","id":1,"Result":{{"tools":[{hidden}]}}}}"#),
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":{{"0":{hidden}}}}}}}"#),
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"echo","Name":"delete_note"}]}}"#
            .into(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"echo","name":"delete_note"}]}}"#
            .into(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":["delete_note"]}}"#.into(),
        format!(r#"[{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{hidden}]}}}}]"#),
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{hidden}]}}"#),
        format!("\u{feff}{}", tools(&[HIDDEN])),
        "delete_note".into(),
    ] {
        rig.upstream
            .will(Answer::bytes(body.clone()).header("content-type", "application/json"));
        let reply = caller.modern("tools/list", json!({})).await;
        assert_eq!(reply.status, 502, "{body}");
        assert_eq!(reply.error_code(), Some(502), "{body}");
        assert!(!reply.text().contains(HIDDEN), "{reply:?}");
    }
    for label in ["text/plain", "application/x-ndjson", "text/html"] {
        rig.upstream
            .will(Answer::bytes(tools(&[HIDDEN]).to_string()).header("content-type", label));
        assert_eq!(
            caller.legacy("tools/list", json!({})).await.status,
            502,
            "{label}"
        );
    }
    rig.upstream
        .will(Answer::bytes(tools(&[HIDDEN]).to_string()));
    assert_eq!(
        caller.legacy("tools/list", json!({})).await.status,
        502,
        "no label"
    );
}

#[tokio::test]
async fn a_refused_list_passes_as_the_upstream_refused_it() {
    let rig = ruled().start().await;
    let caller = rig.caller("alice");
    rig.upstream
        .will(Answer::status(404).header("content-type", "application/json"));
    assert_eq!(
        caller.legacy("tools/list", json!({})).await.status,
        404,
        "a session that the upstream forgot must be told as such, or no client opens a new one"
    );
    let error = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "no"}});
    rig.upstream.will(Answer::json(&error).with_status(404));
    let reply = caller.modern("tools/list", json!({})).await;
    assert_eq!((reply.status.as_u16(), reply.json()), (404, error));
}

#[tokio::test]
async fn r027_r029_the_sample_servers_tools_are_filtered_in_both_eras() {
    let sample = Sample::start().await;
    let rig = Plan::new()
        .env("ENABLED_TOOLS", "echo,add")
        .url(&sample.url)
        .start()
        .await;
    for http in [Http::One, Http::Two] {
        let mut caller = rig.caller_by(http, &Who::new("alice"));
        assert_eq!(all_tools(&caller, false).await, ["echo", "add"]);
        caller.initialize().await.result();
        assert_eq!(all_tools(&caller, true).await, ["echo", "add"]);
        for name in demo::TOOLS {
            let reply = caller
                .call(name, json!({"text": "x", "a": 1, "b": 2}))
                .await;
            let open = ["echo", "add"].contains(&name);
            assert_eq!(reply.error_code().is_none(), open, "{name}: {reply:?}");
        }
    }
}

/// Every page of the list of tools.
async fn all_tools(caller: &Mcp, legacy: bool) -> Vec<String> {
    let (mut found, mut params) = (Vec::new(), json!({}));
    loop {
        let reply = if legacy {
            caller.legacy("tools/list", params).await
        } else {
            caller.modern("tools/list", params).await
        };
        let page = reply.json();
        found.extend(names(&page));
        match page["result"]["nextCursor"].as_str() {
            Some(cursor) => params = json!({"cursor": cursor}),
            None => return found,
        }
    }
}
