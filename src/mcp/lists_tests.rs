//! The filtering of lists, whatever their framing hides.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A response whose result is `result`.
fn response(result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#)
}

/// Filters out every name that begins with `hidden`.
fn filtered(body: &str, modern: bool) -> Result<Filtered, ListError> {
    filter(
        body.as_bytes(),
        &mut |item| !item.name.starts_with("hidden"),
        modern,
    )
}

fn rewritten(body: &str, modern: bool) -> (String, usize) {
    match filtered(body, modern).expect(body) {
        Filtered::Rewritten { body, hidden } => (String::from_utf8(body.to_vec()).unwrap(), hidden),
        Filtered::Unchanged => panic!("unchanged: {body}"),
    }
}

#[test]
fn answers_in_which_a_name_could_hide_are_refused() {
    use ListError::*;
    for (result, expected) in [
        (
            r#"{"tools":[],"Tools":[{"name":"hidden"}]}"#,
            Imitation { known: "tools" },
        ),
        (
            r#"{"tool\u017f":[{"name":"hidden"}]}"#,
            Imitation { known: "tools" },
        ),
        (
            r#"{"RESOURCETEMPLATES":[]}"#,
            Imitation {
                known: "resourceTemplates",
            },
        ),
        (
            r#"{"tools":[{"name":"a","Name":"hidden"}]}"#,
            Imitation { known: "name" },
        ),
        (
            r#"{"resources":[{"uri":"a","URI":"hidden"}]}"#,
            Imitation { known: "uri" },
        ),
        (
            r#"{"tools":[],"CacheScope":"public"}"#,
            Imitation {
                known: "cacheScope",
            },
        ),
        (
            r#"{"tools":{"name":"hidden"}}"#,
            NotAList { member: "tools" },
        ),
        (r#"{"prompts":null}"#, NotAList { member: "prompts" }),
        (
            r#"{"tools":[{"title":"hidden"}]}"#,
            Nameless { member: "tools" },
        ),
        (
            r#"{"tools":[{"name":["hidden"]}]}"#,
            Nameless { member: "tools" },
        ),
        (r#"{"tools":["hidden"]}"#, Nameless { member: "tools" }),
        (
            r#"{"resources":[{"name":"a"}]}"#,
            Nameless {
                member: "resources",
            },
        ),
    ] {
        assert_eq!(
            filtered(&response(result), false),
            Err(expected),
            "{result}"
        );
    }
    for result in [
        r#"{"tools":[],"tools":[{"name":"hidden"}]}"#,
        r#"{"tools":[],"\u0074ools":[{"name":"hidden"}]}"#,
        r#"{"tools":[{"name":"a","name":"hidden"}]}"#,
    ] {
        let error = filtered(&response(result), false).unwrap_err();
        assert!(
            matches!(error, Json(JsonError::EqualNames { .. })),
            "{result}"
        );
    }
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"result":{},"Result":{"tools":[]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"Result":{"tools":[]}}"#,
    ] {
        let error = filtered(body, false).unwrap_err();
        assert_eq!(error, Imitation { known: "result" });
    }
    for body in ["[]", r#"[{"result":{"tools":[]}}]"#, "1"] {
        assert_eq!(filtered(body, false), Err(NotAMessage));
    }
    assert!(filtered("", false).is_err());
}

#[test]
fn r390_hidden_entries_leave_every_list_and_nothing_else_changes() {
    for (result, expected, count) in [
        (
            r#"{"tools":[{"name":"a","x":1.50},{"name":"hidden"} , { "name" : "b" }],"nextCursor":"c"}"#,
            r#"{"tools":[{"name":"a","x":1.50},{ "name" : "b" }],"nextCursor":"c"}"#,
            1,
        ),
        (
            r#"{"nextCursor":"","tools":[{"name":"hidden1"},{"name":"hi\u0064den2"}],"_meta":{"n":9007199254740993}}"#,
            r#"{"nextCursor":"","tools":[],"_meta":{"n":9007199254740993}}"#,
            2,
        ),
        (
            r#"{"\u0074ools":[{"name":"hidden"}]}"#,
            r#"{"\u0074ools":[]}"#,
            1,
        ),
        (
            r#"{"prompts":[{"name":"hidden"},{"name":"a"}]}"#,
            r#"{"prompts":[{"name":"a"}]}"#,
            1,
        ),
        (
            r#"{"resources":[{"uri":"hidden://","name":"n"},{"uri":"a:b"}]}"#,
            r#"{"resources":[{"uri":"a:b"}]}"#,
            1,
        ),
        (
            r#"{"resourceTemplates":[{"uriTemplate":"hidden/{x}"},{"uriTemplate":"a/{x}"}]}"#,
            r#"{"resourceTemplates":[{"uriTemplate":"a/{x}"}]}"#,
            1,
        ),
        (
            r#"{"tools":[{"name":"a"}],"prompts":[{"name":"hidden"}]}"#,
            r#"{"tools":[{"name":"a"}],"prompts":[]}"#,
            1,
        ),
    ] {
        assert_eq!(
            rewritten(&response(result), false),
            (response(expected), count)
        );
    }
}

#[test]
fn answers_with_nothing_to_hide_keep_their_bytes() {
    for result in [
        r#"{ "tools" : [ {"name":"a"} , {"name":"b"} ] }"#,
        r#"{"tools":[]}"#,
        r#"{"tools":[{"name":"a","inputSchema":{"properties":{"id":{},"ID":{}}}}]}"#,
        r#"{"content":[{"type":"text","text":"hidden"}]}"#,
        r#"{"contents":[],"cacheScope":"public"}"#,
        r#"{"capabilities":{"tools":{}}}"#,
        "null",
        "7",
    ] {
        assert_eq!(
            filtered(&response(result), false),
            Ok(Filtered::Unchanged),
            "{result}"
        );
    }
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"tools"}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"tools":[{"name":"hidden"}]}}"#,
    ] {
        assert_eq!(filtered(body, true), Ok(Filtered::Unchanged));
    }
}

#[test]
fn mcp_2026_07_28_a_filtered_list_is_private_on_every_page() {
    for (modern, result, expected) in [
        (
            true,
            r#"{"resultType":"complete","tools":[{"name":"a"}],"ttlMs":60000,"cacheScope":"public"}"#,
            r#"{"resultType":"complete","tools":[{"name":"a"}],"ttlMs":60000,"cacheScope":"private"}"#,
        ),
        (
            true,
            r#"{"cacheScope":null,"tools":[{"name":"hidden"}]}"#,
            r#"{"cacheScope":"private","tools":[]}"#,
        ),
        (
            true,
            r#"{ "tools":[]}"#,
            r#"{"cacheScope":"private", "tools":[]}"#,
        ),
        (
            false,
            r#"{"tools":[],"cacheScope":"public"}"#,
            r#"{"tools":[],"cacheScope":"private"}"#,
        ),
    ] {
        let (body, _) = rewritten(&response(result), modern);
        assert_eq!(body, response(expected));
    }
    let private = response(r#"{"tools":[],"cacheScope":"private"}"#);
    assert_eq!(filtered(&private, true), Ok(Filtered::Unchanged));
}

#[test]
fn a_list_is_told_by_its_shape() {
    for (result, expected) in [
        (r#"{"tools":[]}"#, Some(ListShape::Tools)),
        (
            r#"{"nextCursor":"x","prom\u0070ts":[]}"#,
            Some(ListShape::Prompts),
        ),
        (r#"{"resources":[]}"#, Some(ListShape::Resources)),
        (r#"{"resourceTemplates":[]}"#, Some(ListShape::Templates)),
        (r#"{"content":[]}"#, None),
        ("{}", None),
    ] {
        assert_eq!(shape_of(response(result).as_bytes()), Ok(expected));
    }
}

#[test]
fn tools_are_iterated_with_their_bytes() {
    let body = response(r#"{"prompts":[{"name":"p"}],"tools":[{"name":"a","x":1},{"name":2}]}"#);
    let answer = Answer::read(body.as_bytes()).unwrap();
    let tools: Vec<_> = answer.tools().map(|t| (t.name, t.json.raw())).collect();
    assert_eq!(tools, [("a".into(), r#"{"name":"a","x":1}"#)]);
}

proptest! {
    #[test]
    fn another_reader_finds_exactly_the_kept_entries_and_nothing_else_changed(
        names in prop::collection::vec(any::<String>(), 0..8),
        hidden in prop::collection::vec(any::<bool>(), 8),
        shape in prop::sample::select(ListShape::ALL.as_slice()),
        pretty in any::<bool>(),
    ) {
        let entry = |n: usize, name: &String| json!({shape.key(): name, "n": n, "s": "],\"}"});
        let entries: Vec<_> = names.iter().enumerate().map(|(n, name)| entry(n, name)).collect();
        let answer = |entries: Vec<Value>| {
            json!({"jsonrpc": "2.0", "id": 1, "result": {
                "_meta": {"k": [1, {}]}, shape.member(): entries, "nextCursor": "]"}})
        };
        let sent = answer(entries.clone());
        let sent = if pretty {
            serde_json::to_string_pretty(&sent).unwrap()
        } else {
            sent.to_string()
        };
        let kept = entries.into_iter().zip(&hidden).filter(|(_, hide)| !**hide);
        let expected = answer(kept.map(|(entry, _)| entry).collect());
        let mut hide = hidden.iter();
        let filtered = filter(sent.as_bytes(), &mut |_| !hide.next().unwrap(), false).unwrap();
        let body = match filtered {
            Filtered::Unchanged => sent.clone().into_bytes(),
            Filtered::Rewritten { body, .. } => body.to_vec(),
        };
        prop_assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
    }
}
