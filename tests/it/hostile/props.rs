//! Filter and relay together, against an upstream that frames its lists in every way it can: whatever a client could read out
//! of what arrives, a hidden tool is not in it. What a client could read is judged by readers of our own, which are as
//! lenient as the most lenient client.

use bytes::Bytes;
use http_body_util::BodyExt;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;

use crate::harness::gateway::{Plan, Rig};
use crate::harness::upstream::Answer;
use crate::harness::wait;

/// What the policy lets be seen; everything else is hidden.
const SHOWN: [&str; 3] = ["echo", "add", "search"];

/// Names that look like shown ones and are not, beside some that are.
const NAMES: [&str; 18] = [
    "echo",
    "add",
    "search",
    "delete_note",
    "Echo",
    "ECHO",
    "echo ",
    " echo",
    "еcho",
    "echo\u{200b}",
    "ｅcho",
    "ech",
    "echoo",
    "echo\0",
    "add\u{301}",
    "search\n",
    "",
    "echo/../delete_note",
];

/// A catalogue and how it travels.
#[derive(Clone, Debug)]
struct Sent {
    body: String,
    /// Framed as events, or plain JSON.
    is_stream: bool,
    cuts: Vec<usize>,
}

/// A text in JSON with some of its characters escaped.
fn spelled(text: &str, escapes: &[bool]) -> String {
    let mut out = String::from("\"");
    for (character, escape) in text.chars().zip(escapes.iter().cycle()) {
        let mut units = [0; 2];
        if *escape || character.is_control() || matches!(character, '"' | '\\') {
            for unit in character.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04X}"));
            }
        } else {
            out.push(character);
        }
    }
    out.push('"');
    out
}

fn tool() -> impl Strategy<Value = String> + Clone {
    let member = prop_oneof![
        40 => Just("name"), 1 => Just("Name"), 2 => Just("n\\u0061me"), 1 => Just("title"),
    ];
    let names = prop_oneof![
        2 => proptest::sample::select(SHOWN.to_vec()),
        1 => proptest::sample::select(NAMES.to_vec()),
    ];
    let one = (
        member,
        names,
        proptest::collection::vec(any::<bool>(), 1..5),
    )
        .prop_map(|(member, name, escapes)| format!("\"{member}\":{}", spelled(name, &escapes)));
    let members = prop_oneof![
        40 => one.clone().prop_map(|one| vec![one]),
        1 => proptest::collection::vec(one, 2..4),
    ];
    members.prop_map(|members| {
        format!(
            "{{{},\"inputSchema\":{{\"type\":\"object\"}}}}",
            members.join(",")
        )
    })
}

fn page() -> impl Strategy<Value = String> {
    let tools =
        proptest::collection::vec(tool(), 0..6).prop_map(|tools| format!("[{}]", tools.join(",")));
    let list = prop_oneof![
        10 => tools.clone().prop_map(|tools| format!("\"tools\":{tools}")),
        1 => (tools.clone(), tools.clone()).prop_map(|(one, two)| format!("\"tools\":{one},\"tools\":{two}")),
        1 => tools.clone().prop_map(|tools| format!("\"Tools\":{tools}")),
        1 => tools.prop_map(|tools| format!("\"t\\u006fols\":{tools}")),
    ];
    let cursor = proptest::option::of(Just(",\"nextCursor\":\"2\"".to_owned()));
    let end = proptest::sample::select(vec!["", " ", "\n"]);
    (list, cursor, end).prop_map(|(list, cursor, end)| {
        let cursor = cursor.unwrap_or_default();
        format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{{list}{cursor}}}}}{end}")
    })
}

/// An event with a message in it, its lines ended and its data cut in one of the ways that the standard allows.
fn event() -> impl Strategy<Value = String> {
    let ends = proptest::sample::select(vec!["\n", "\r\n", "\r"]);
    let before = proptest::sample::select(vec![
        "",
        ": a comment",
        "id: 7",
        "event: message",
        "retry: 10",
        "id: 7\u{0}x",
        "data",
        "unknown: field",
        "event: other",
        "\u{feff}data: {}",
    ]);
    (page(), ends, before, any::<bool>(), any::<bool>()).prop_map(
        |(page, end, before, split, spaced)| {
            let page = page.trim_end();
            let space = if spaced { " " } else { "" };
            // A line break between two members is white space to a reader of JSON.
            let lines: Vec<_> = match split {
                true => page.split_inclusive(',').collect(),
                false => vec![page],
            };
            let mut out = String::new();
            if !before.is_empty() {
                out.push_str(before);
                out.push_str(end);
            }
            for line in lines {
                out.push_str(&format!("data:{space}{line}{end}"));
            }
            out.push_str(end);
            out
        },
    )
}

fn sent() -> impl Strategy<Value = Sent> {
    let cuts = || proptest::collection::vec(1_usize..60, 1..8);
    let stream = (
        proptest::collection::vec(event(), 1..4),
        cuts(),
        any::<bool>(),
    );
    prop_oneof![
        (page(), cuts()).prop_map(|(body, cuts)| Sent {
            body,
            is_stream: false,
            cuts
        }),
        stream.prop_map(|(events, cuts, torn)| {
            let mut body = events.concat();
            if torn {
                // The last event never ends.
                body.truncate(body.trim_end_matches(['\r', '\n']).len());
            }
            Sent {
                body,
                is_stream: true,
                cuts,
            }
        }),
    ]
}

/// Every text under a member that some reader takes for the name of a tool, at any depth, with repeated members and whatever
/// their case.
fn names(text: &str, found: &mut Vec<String>) {
    struct All<'f>(&'f mut Vec<String>, bool);

    impl<'de> serde::de::DeserializeSeed<'de> for All<'_> {
        type Value = ();

        fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
            from.deserialize_any(self)
        }
    }

    impl<'de> serde::de::Visitor<'de> for All<'_> {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("JSON")
        }

        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }

        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            Ok(())
        }

        fn visit_i64<E>(self, _: i64) -> Result<(), E> {
            Ok(())
        }

        fn visit_u64<E>(self, _: u64) -> Result<(), E> {
            Ok(())
        }

        fn visit_f64<E>(self, _: f64) -> Result<(), E> {
            Ok(())
        }

        fn visit_str<E>(self, text: &str) -> Result<(), E> {
            let All(found, is_name) = self;
            if is_name {
                found.push(text.to_owned());
            }
            Ok(())
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
            let All(found, _) = self;
            while items.next_element_seed(All(&mut *found, false))?.is_some() {}
            Ok(())
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
            let All(found, _) = self;
            while let Some(member) = members.next_key::<String>()? {
                let is_name = member.to_lowercase() == "name";
                members.next_value_seed(All(&mut *found, is_name))?;
            }
            Ok(())
        }
    }

    // What comes before a mistake was read by whoever reads as it comes.
    let mut reader = serde_json::Deserializer::from_str(text);
    let _ = serde::de::DeserializeSeed::deserialize(All(found, false), &mut reader);
}

/// What any client could take out of an answer: as JSON, as events by the standard, and line by line.
fn visible(body: &str) -> Vec<String> {
    let mut found = Vec::new();
    names(body, &mut found);
    let lines = body.replace("\r\n", "\n").replace('\r', "\n");
    for block in lines.split("\n\n") {
        let values = block.lines().filter_map(|line| {
            let line = line.trim_start_matches('\u{feff}');
            let value = line.strip_prefix("data:")?;
            Some(value.strip_prefix(' ').unwrap_or(value))
        });
        let values: Vec<_> = values.collect();
        names(&values.join("\n"), &mut found);
        names(&values.concat(), &mut found);
        values.iter().for_each(|value| names(value, &mut found));
    }
    found
}

async fn relayed(rig: &Rig, sent: &Sent, is_modern: bool) -> (u16, String) {
    let media_type = if sent.is_stream {
        "text/event-stream"
    } else {
        "application/json"
    };
    let (answer, feed) = Answer::stream(media_type);
    rig.upstream.will(answer);
    let caller = rig.caller("alice");
    let draft = match is_modern {
        true => caller.modern_draft("tools/list", serde_json::json!({})),
        false => caller.legacy_draft("tools/list", serde_json::json!({})),
    };
    let body = sent.body.clone().into_bytes();
    let cuts = sent.cuts.clone();
    // The gateway may have seen enough before the end.
    let feeding = tokio::spawn(async move {
        let (mut rest, mut cuts) = (&body[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, more) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            feed.send(Bytes::copy_from_slice(piece)).await;
            rest = more;
        }
        feed.end();
    });
    let response = wait::soon("an answer", caller.attempt(draft))
        .await
        .unwrap();
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut read = Vec::new();
    while let Some(Ok(frame)) = wait::soon("the answer", body.frame()).await {
        if let Some(data) = frame.data_ref() {
            read.extend_from_slice(data);
        }
    }
    feeding.abort();
    (status, String::from_utf8_lossy(&read).into_owned())
}

#[tokio::test]
async fn r027_r029_no_framing_of_a_list_shows_a_hidden_tool() {
    let policy = "policy: { tools: { enabled: [echo, add, search] } }";
    let rig = Plan::new().settings(policy).start().await;
    let seed = TestRng::from_seed(RngAlgorithm::ChaCha, &[4; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), seed);
    let (mut shown, mut hidden) = (0, 0);
    for round in 0..400 {
        let sent = sent().new_tree(&mut runner).unwrap().current();
        let is_modern = round % 2 == 0;
        let (status, body) = relayed(&rig, &sent, is_modern).await;
        let seen = visible(&body);
        for name in &seen {
            assert!(
                SHOWN.contains(&name.as_str()),
                "{name:?} in {status} {body:?} of {sent:?}"
            );
        }
        shown += seen.len();
        hidden += visible(&sent.body)
            .iter()
            .filter(|name| !SHOWN.contains(&name.as_str()))
            .count();
    }
    // The property is worth something only where both kinds were sent and the shown ones arrived.
    assert!(shown > 100 && hidden > 300, "{shown} {hidden}");
}

#[test]
fn the_readers_of_this_test_find_what_lenient_clients_find() {
    for (body, expected) in [
        (
            r#"{"tools":[{"name":"a","NAME":"b","n\u0061me":"c"}]}"#,
            vec!["a", "b", "c"],
        ),
        ("data: {\"tools\":\rdata:[{\"name\":\"a\"}]}\r\r", vec!["a"]),
        ("\u{feff}data: {\"name\":\"a\"}\r\n\r\n", vec!["a"]),
        ("[{\"name\":\"a\"}, oops", vec!["a"]),
    ] {
        let found = visible(body);
        for name in expected {
            assert!(found.iter().any(|found| found == name), "{body}: {found:?}");
        }
    }
    assert!(visible("{\"title\":\"a\"}").is_empty());
    let _: Value = serde_json::from_str(&spelled("a\"é😀", &[true, false])).unwrap();
}
