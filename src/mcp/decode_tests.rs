//! The decoding of messages, refusals first, in tables.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::mcp::{Message, Operation, Reference};

fn decode(text: &str) -> Result<Message, DecodeError> {
    Message::decode(Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
}

fn fault(text: &str) -> Fault {
    decode(text).expect_err(text).fault
}

fn parameter(text: &str) -> &'static str {
    match fault(text) {
        Fault::Parameter { member, .. } => member,
        other => panic!("{text}: {other}"),
    }
}

/// A tools/call whose params are `params`.
fn call(params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
}

#[test]
fn c43_bodies_that_are_no_json_rpc_are_invalid_requests() {
    for text in [
        r#"{"method":"tools/list"}"#,
        r#"{"method":"tools/call","params":{"name":"echo","arguments":{}}}"#,
        r#"{"id":1,"method":"tools/list"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"tools/list"}"#,
        r#"{"jsonrpc":2.0,"id":1,"method":"tools/list"}"#,
        r#"{"jsonrpc":null,"id":1,"method":"tools/list"}"#,
    ] {
        assert_eq!(fault(text), Fault::Version, "{text}");
        assert_eq!(fault(text).code(), -32600);
    }
}

#[test]
fn batches_are_refused_whatever_they_hold() {
    for text in [
        "[]",
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        r#" [ {"jsonrpc":"2.0","method":"tools/call","params":{"name":"x"}} ] "#,
        "[[]]",
    ] {
        assert_eq!(fault(text), Fault::Batch, "{text}");
        assert_eq!(fault(text).code(), -32600);
    }
    for text in ["1", "null", "\"{}\"", "true"] {
        assert_eq!(fault(text), Fault::NotAnObject, "{text}");
    }
}

#[test]
fn jsonrpc_s5_1_syntax_is_a_parse_error_and_ambiguity_an_invalid_request() {
    for (text, code) in [
        ("", -32700),
        ("{", -32700),
        ("\u{feff}{}", -32700),
        (r#"{"jsonrpc":"2.0"}{}"#, -32700),
        (r#"{"jsonrpc":"2.0","jsonrpc":"2.0"}"#, -32600),
        (r#"{"a":"\ud800"}"#, -32600),
        (&"[".repeat(100_000), -32600),
    ] {
        assert_eq!(fault(text).code(), code);
    }
}

#[test]
fn envelopes_with_none_or_two_faces_are_refused() {
    for (rest, expected) in [
        (r#""id":1"#, Fault::NoSubject),
        (r#""id":1,"params":{}"#, Fault::NoSubject),
        (r#""id":1,"method":"x","result":{}"#, Fault::TwoSubjects),
        (
            r#""id":1,"method":"tools/call","error":{}"#,
            Fault::TwoSubjects,
        ),
        (r#""id":1,"result":{},"error":{}"#, Fault::TwoSubjects),
        (r#""id":1,"result":{},"params":{}"#, Fault::TwoSubjects),
        (r#""id":1,"method":7"#, Fault::Method),
        (r#""id":1,"method":"""#, Fault::Method),
        (r#""id":1,"method":null"#, Fault::Method),
        (r#""id":1,"method":"x","params":null"#, Fault::Params),
        (r#""id":1,"method":"x","params":[]"#, Fault::Params),
        (r#""id":1,"method":"x","params":"{}""#, Fault::Params),
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0",{rest}}}"#);
        assert_eq!(fault(&text), expected, "{text}");
        assert_eq!(fault(&text).code(), -32600);
    }
}

#[test]
fn ids_are_strings_or_integers_and_never_null() {
    for (id, expected) in [
        ("null", Fault::NullId),
        ("1.5", Fault::Id),
        ("1.0", Fault::Id),
        ("1e2", Fault::Id),
        ("true", Fault::Id),
        ("{}", Fault::Id),
        ("[1]", Fault::Id),
    ] {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"x"}}}}"#
        );
        assert_eq!(fault(&text), expected, "{id}");
        assert_eq!(fault(&text).code(), -32600);
    }
    let long = format!(
        r#"{{"jsonrpc":"2.0","id":"{}","method":"ping"}}"#,
        "x".repeat(300)
    );
    assert!(matches!(fault(&long), Fault::TooLong { member: "id", .. }));
    assert_eq!(decode(&long).unwrap_err().id, None);
}

#[test]
fn an_id_is_echoed_byte_for_byte() {
    for id in [
        "7",
        "-0",
        "9007199254740993",
        r#""a\u0062c\/""#,
        r#""""#,
        r#""ü""#,
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        assert_eq!(decode(&text).unwrap().id().unwrap().raw(), id);
        let bad = format!(r#"{{"id":{id},"jsonrpc":"2.0","method":"ping","params":1}}"#);
        assert_eq!(decode(&bad).unwrap_err().id.unwrap().raw(), id);
    }
}

#[test]
fn members_that_only_look_like_the_protocols_are_refused() {
    for (text, known) in [
        (
            r#"{"jsonrpc":"2.0","id":1,"Method":"tools/call"}"#,
            "method",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x","Params":{}}"#,
            "params",
        ),
        (r#"{"JSONRPC":"2.0","id":1,"method":"x"}"#, "jsonrpc"),
        (r#"{"jsonrpc":"2.0","ID":1,"method":"x"}"#, "id"),
        (
            r#"{"jsonrpc":"2.0","method":"x","param\u017f":{}}"#,
            "params",
        ),
        (r#"{"jsonrpc":"2.0","id":1,"re\u017fult":{}}"#, "result"),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{},"Error":{}}"#,
            "error",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x","method\u0000":1}"#,
            "method",
        ),
        (&call(r#"{"naMe":"x"}"#), "name"),
        (&call(r#"{"name":"x","argumentſ":{}}"#), "arguments"),
        (&call(r#"{"name":"x","Arguments":{}}"#), "arguments"),
        (&call(r#"{"name":"x","_META":{}}"#), "_meta"),
        (&call(r#"{"name":"x","tas\u212aId":"t"}"#), "taskId"),
        (&call(r#"{"name":"x","RequestState":"t"}"#), "requestState"),
        (
            &call(
                r#"{"name":"x","_meta":{"io.modelcontextprotocol/protocolversion":"2026-07-28"}}"#,
            ),
            "io.modelcontextprotocol/protocolVersion",
        ),
        (
            &call(r#"{"name":"x","_meta":{"ProgressToken":1}}"#),
            "progressToken",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"a","URI":"b"}}}"#,
            "uri",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"ResourceSubscriptions":["a"]}}}"#,
            "resourceSubscriptions",
        ),
    ] {
        assert_eq!(fault(text), Fault::Imitation { known }, "{text}");
        assert_eq!(fault(text).code(), -32600);
    }
}

#[test]
fn unrelated_members_are_fine() {
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","trace":1,"params":{"name":"x","Arg":1,"arguments":{"Name":"y","METHOD":1},"_meta":{"acme/Thing":1}}}"#;
    assert!(decode(text).is_ok());
}

#[test]
fn r391_calls_with_parameters_of_the_wrong_kind_are_invalid_params() {
    for (params, member) in [
        ("{}", "name"),
        (r#"{"name":null}"#, "name"),
        (r#"{"name":7}"#, "name"),
        (r#"{"name":["x"]}"#, "name"),
        (r#"{"name":"x","arguments":null}"#, "arguments"),
        (r#"{"name":"x","arguments":[]}"#, "arguments"),
        (r#"{"name":"x","arguments":"{}"}"#, "arguments"),
        (r#"{"name":"x","_meta":null}"#, "_meta"),
        (
            r#"{"name":"x","_meta":{"io.modelcontextprotocol/protocolVersion":1}}"#,
            "_meta.protocolVersion",
        ),
    ] {
        assert_eq!(parameter(&call(params)), member, "{params}");
        let error = decode(&call(params)).unwrap_err();
        assert_eq!(error.fault.code(), -32602);
        assert_eq!(error.id, Some(Id::from(1)));
    }
    for (method, params, member) in [
        ("tools/call", None, "name"),
        ("prompts/get", Some("{}"), "name"),
        (
            "prompts/get",
            Some(r#"{"name":"p","arguments":1}"#),
            "arguments",
        ),
        ("resources/read", Some(r#"{"uri":1}"#), "uri"),
        ("resources/subscribe", Some(r#"{"uri":1}"#), "uri"),
        ("resources/unsubscribe", Some(r#"{"uri":null}"#), "uri"),
        ("tasks/get", Some("{}"), "taskId"),
        ("tasks/result", Some(r#"{"taskId":1}"#), "taskId"),
        ("tasks/cancel", None, "taskId"),
        ("tasks/update", None, "taskId"),
        ("tasks/list", Some(r#"{"taskId":1}"#), "taskId"),
        ("completion/complete", Some("{}"), "ref"),
        ("completion/complete", Some(r#"{"ref":"x"}"#), "ref"),
        (
            "completion/complete",
            Some(r#"{"ref":{"type":"ref/tool","name":"x"}}"#),
            "ref",
        ),
        (
            "completion/complete",
            Some(r#"{"ref":{"type":"ref/prompt","uri":"x"}}"#),
            "ref.name",
        ),
        (
            "subscriptions/listen",
            Some(r#"{"notifications":{"resourceSubscriptions":"a"}}"#),
            "notifications.resourceSubscriptions",
        ),
        (
            "subscriptions/listen",
            Some(r#"{"notifications":{"resourceSubscriptions":[1]}}"#),
            "notifications.resourceSubscriptions",
        ),
    ] {
        let params = params
            .map(|p| format!(r#","params":{p}"#))
            .unwrap_or_default();
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"{params}}}"#);
        assert_eq!(parameter(&text), member, "{text}");
    }
}

#[test]
fn parts_that_become_keys_and_log_fields_are_bounded() {
    for (params, member) in [
        (format!(r#"{{"name":"{}"}}"#, "x".repeat(1025)), "name"),
        (
            format!(
                r#"{{"name":"x","_meta":{{"io.modelcontextprotocol/protocolVersion":"{}"}}}}"#,
                "2".repeat(1025)
            ),
            "_meta.protocolVersion",
        ),
    ] {
        assert_eq!(
            fault(&call(&params)),
            Fault::TooLong {
                member,
                limit: 1024
            }
        );
    }
    let method = format!(r#"{{"jsonrpc":"2.0","method":"{}"}}"#, "m".repeat(1025));
    assert!(matches!(
        fault(&method),
        Fault::TooLong {
            member: "method",
            ..
        }
    ));
    let listen = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{{"notifications":{{"resourceSubscriptions":[{}"a"]}}}}}}"#,
        r#""a","#.repeat(256)
    );
    assert!(matches!(fault(&listen), Fault::TooLong { limit: 256, .. }));
}

#[test]
fn a_call_without_an_id_is_still_a_call() {
    let message =
        decode(r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"x","task":{"ttl":1}}}"#)
            .unwrap();
    assert_eq!(message.kind(), Kind::Notification);
    assert_eq!(
        message.operation(),
        Operation::CallTool {
            name: "x",
            arguments: None
        }
    );
}

#[test]
fn what_a_message_asks_for() {
    use Operation::*;
    for (method, params, expected) in [
        (
            "tools/call",
            r#"{"arguments": {"n": 9007199254740993} ,"na\u006de":"e\u0063ho","inputResponses":{}}"#,
            CallTool {
                name: "echo",
                arguments: Some(r#"{"n": 9007199254740993}"#),
            },
        ),
        (
            "prompts/get",
            r#"{"name":"p","arguments":{}}"#,
            GetPrompt {
                name: "p",
                arguments: Some("{}"),
            },
        ),
        (
            "resources/read",
            r#"{"uri":"file:///a"}"#,
            ReadResource { uri: "file:///a" },
        ),
        (
            "resources/subscribe",
            r#"{"uri":"a"}"#,
            Subscribe { uri: "a" },
        ),
        (
            "resources/unsubscribe",
            r#"{"uri":"a"}"#,
            Unsubscribe { uri: "a" },
        ),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/prompt","name":"p"},"argument":{}}"#,
            Complete {
                reference: Reference::Prompt("p"),
            },
        ),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/resource","uri":"u"}}"#,
            Complete {
                reference: Reference::Resource("u"),
            },
        ),
        ("tools/list", "{}", ListTools),
        ("prompts/list", "{}", ListPrompts),
        ("resources/list", "{}", ListResources),
        ("resources/templates/list", "{}", ListTemplates),
        ("initialize", "{}", Initialize),
        ("server/discover", "{}", Discover),
        ("subscriptions/listen", "{}", Listen { resources: &[] }),
        (
            "subscriptions/listen",
            r#"{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["a","b"]}}"#,
            Listen {
                resources: &["a".into(), "b".into()],
            },
        ),
        (
            "tasks/list",
            "{}",
            Task {
                method: "tasks/list",
                task_id: None,
            },
        ),
        (
            "tasks/get",
            r#"{"taskId":"t"}"#,
            Task {
                method: "tasks/get",
                task_id: Some("t"),
            },
        ),
        ("ping", "{}", Other { method: "ping" }),
        (
            "Tools/Call",
            r#"{"name":"x"}"#,
            Other {
                method: "Tools/Call",
            },
        ),
        (
            "sampling/createMessage",
            "{}",
            Other {
                method: "sampling/createMessage",
            },
        ),
    ] {
        let text = format!(r#"{{"params":{params},"method":"{method}","jsonrpc":"2.0","id":"q"}}"#);
        let message = decode(&text).unwrap();
        assert_eq!(message.operation(), expected, "{text}");
        assert_eq!(message.kind(), Kind::Request);
        assert_eq!(message.method(), Some(method));
        assert_eq!(message.params(), Some(params));
        assert_eq!(message.bytes(), text.as_bytes());
        assert_eq!(message.into_bytes(), text.as_bytes());
    }
}

#[test]
fn responses_are_told_from_calls() {
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":"a","error":{"code":1,"message":"m"}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}"#,
        r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"m"}}"#,
    ] {
        let message = decode(text).unwrap();
        assert_eq!(message.kind(), Kind::Response, "{text}");
        assert_eq!(message.operation(), Operation::Response);
        assert_eq!(message.method(), None);
    }
    assert_eq!(fault(r#"{"jsonrpc":"2.0","result":{}}"#), Fault::Id);
    assert_eq!(
        fault(r#"{"jsonrpc":"2.0","id":null,"result":{}}"#),
        Fault::NullId
    );
}

#[test]
fn the_revision_named_in_the_body_is_read() {
    let text = call(
        r#"{"name":"x","_meta":{"progressToken":1,"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#,
    );
    let message = decode(&text).unwrap();
    assert_eq!(message.meta_protocol_version(), Some("2026-07-28"));
    assert_eq!(
        decode(&call(r#"{"name":"x"}"#))
            .unwrap()
            .meta_protocol_version(),
        None
    );
}

/// Spellings of one member name, as sent and as read.
fn spelling(
    of: &'static [(&'static str, &'static str)],
) -> impl Strategy<Value = (String, String)> {
    prop::sample::select(of).prop_map(|(sent, read)| (sent.into(), read.into()))
}

const METHODS: &[(&str, &str)] = &[
    ("method", "method"),
    ("Method", "Method"),
    (r"\u006dethod", "method"),
    ("mEthod", "mEthod"),
    ("other", "other"),
];
const NAMES: &[(&str, &str)] = &[
    ("name", "name"),
    ("NAME", "NAME"),
    (r"na\u006de", "name"),
    (r"\u004eame", "Name"),
    ("unrelated", "unrelated"),
    ("x", "x"),
];

/// What a reader that takes the first or last member, minding case or not, sees under `wanted`.
fn readings(members: &[(String, usize)], wanted: &str) -> Vec<Option<usize>> {
    let exact = || members.iter().filter(|(name, _)| name == wanted);
    let folded = || {
        members
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
    };
    [
        exact().next(),
        exact().next_back(),
        folded().next(),
        folded().next_back(),
    ]
    .map(|found| found.map(|(_, value)| *value))
    .into()
}

/// The members as text, with the values numbered, and as read.
fn numbered(
    members: &[(String, String)],
    value: impl Fn(usize) -> String,
) -> (String, Vec<(String, usize)>) {
    let text: Vec<_> = members
        .iter()
        .enumerate()
        .map(|(n, (sent, _))| format!("\"{sent}\":\"{}\"", value(n)))
        .collect();
    let read = members.iter().enumerate();
    (
        text.join(","),
        read.map(|(n, (_, read))| (read.clone(), n)).collect(),
    )
}

proptest! {
    #[test]
    fn an_accepted_call_is_the_same_call_for_every_kind_of_reader(
        methods in prop::collection::vec(spelling(METHODS), 1..3),
        names in prop::collection::vec(spelling(NAMES), 1..4),
    ) {
        let (envelope, methods) = numbered(&methods, |_| "tools/call".into());
        let (params, names) = numbered(&names, |n| format!("tool{n}"));
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,{envelope},"params":{{{params}}}}}"#);
        if let Ok(message) = decode(&text) {
            let Operation::CallTool { name, .. } = message.operation() else {
                return Err(TestCaseError::fail(text));
            };
            let called: usize = name.strip_prefix("tool").unwrap().parse().unwrap();
            prop_assert_eq!(readings(&names, "name"), vec![Some(called); 4]);
            prop_assert!(readings(&methods, "method").iter().all(Option::is_some));
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let accepted = Message::decode(Bytes::from(bytes), &Limits::default()).is_ok();
        prop_assert!(!accepted, "64 random bytes are no message");
    }

    #[test]
    fn an_accepted_message_is_handed_on_byte_for_byte_and_read_as_it_was_meant(
        method in "[a-z]{1,12}(/[a-z]{1,12})?",
        id in prop_oneof![any::<i64>().prop_map(serde_json::Value::from), "[ -~é😀]{0,30}".prop_map(serde_json::Value::from)],
        text in "[ -~é😀\\n\\t\"\\\\]{0,60}",
        number in any::<i64>(),
        names in prop::collection::btree_set("[a-z]{2,8}", 0..6),
    ) {
        let deep: serde_json::Map<_, _> = names
            .iter()
            .map(|name| (name.clone(), serde_json::json!([text, {"n": number}, null])))
            .collect();
        let sent = serde_json::json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {"x": deep}});
        let bytes = Bytes::from(sent.to_string());
        let message = Message::decode(bytes.clone(), &Limits::default());
        let message = message.map_err(|error| TestCaseError::fail(format!("{error} {sent}")))?;
        prop_assert_eq!(message.method(), Some(method.as_str()));
        let params: serde_json::Value = serde_json::from_str(message.params().unwrap()).unwrap();
        prop_assert_eq!(&params, &sent["params"]);
        prop_assert_eq!(message.into_bytes(), bytes);
    }
}
