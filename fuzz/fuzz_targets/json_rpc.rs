//! A body that is accepted means the same to every reader: method, id, name and arguments. A body that is refused for its
//! grammar is refused by another strict reader too.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sallygate::mcp::{Fault, Kind, Limits, Message, Operation, Reference};
use sallygate_fuzz::readers::{Members, elements, has_repetition, string, value};

fuzz_target!(|data: &[u8]| {
    match Message::decode(Bytes::copy_from_slice(data), &Limits::REQUEST) {
        Ok(message) => same_to_all(data, &message),
        Err(error) => {
            if let Fault::Json(fault) = &error.fault
                && !fault.is_ambiguity()
            {
                assert!(value(data).is_none(), "refused as no JSON: {fault}");
            }
            // The id that is answered to is echoed into a document of ours.
            if let Some(id) = &error.id {
                assert!(value(id.raw().as_bytes()).is_some());
            }
        }
    }
});

fn same_to_all(data: &[u8], message: &Message) {
    assert_eq!(message.bytes(), data, "what was checked is what is sent");
    let text = std::str::from_utf8(data).expect("accepted, so UTF-8");
    assert!(!text.starts_with('\u{feff}'));
    assert!(value(data).is_some(), "serde_json refuses it");
    assert!(!has_repetition(text), "a name stands twice");
    let envelope = Members::of(text).expect("an object");
    assert_eq!(
        envelope.agreed("jsonrpc").and_then(string).as_deref(),
        Some("2.0")
    );
    assert_eq!(
        envelope.agreed("method").and_then(string).as_deref(),
        message.method()
    );
    let id = envelope.agreed("id");
    match message.kind() {
        Kind::Request => assert_eq!(id, message.id().map(|id| id.raw())),
        Kind::Notification => assert_eq!(id, None),
        Kind::Response => {
            assert!(id.is_none_or(|id| id == "null") || id == message.id().map(|id| id.raw()))
        }
    }
    let is_outcome = envelope.agreed("result").is_some() || envelope.agreed("error").is_some();
    assert_eq!(is_outcome, message.kind() == Kind::Response);
    assert_eq!(envelope.agreed("params"), message.params());
    let params = message
        .params()
        .map(|text| Members::of(text).expect("an object"));
    let params = params.unwrap_or(Members(Vec::new()));
    let said = |name: &str| params.agreed(name).and_then(string);
    if let Some(meta) = params
        .agreed("_meta")
        .filter(|_| message.method().is_some())
    {
        let meta = Members::of(meta).expect("an object");
        let version = meta
            .agreed("io.modelcontextprotocol/protocolVersion")
            .and_then(string);
        assert_eq!(version.as_deref(), message.meta_protocol_version());
    }
    match message.operation() {
        Operation::CallTool { name, arguments } | Operation::GetPrompt { name, arguments } => {
            assert_eq!(said("name").as_deref(), Some(name));
            assert_eq!(params.agreed("arguments"), arguments);
        }
        Operation::ReadResource { uri }
        | Operation::Subscribe { uri }
        | Operation::Unsubscribe { uri } => {
            assert_eq!(said("uri").as_deref(), Some(uri));
        }
        Operation::Complete { reference } => {
            let r#ref = Members::of(params.agreed("ref").expect("a reference")).expect("an object");
            let kind = r#ref.agreed("type").and_then(string);
            let (word, member, seen) = match reference {
                Reference::Prompt(name) => ("ref/prompt", "name", name),
                Reference::Resource(uri) => ("ref/resource", "uri", uri),
            };
            assert_eq!(kind.as_deref(), Some(word));
            assert_eq!(r#ref.agreed(member).and_then(string).as_deref(), Some(seen));
        }
        Operation::Listen { resources } => {
            let all = params.agreed("notifications").and_then(Members::of);
            let all = all.and_then(|all| all.agreed("resourceSubscriptions").and_then(elements));
            let all: Vec<_> = all
                .unwrap_or_default()
                .into_iter()
                .filter_map(string)
                .collect();
            assert!(
                all.iter()
                    .map(String::as_str)
                    .eq(resources.iter().map(|uri| &**uri))
            );
        }
        Operation::Task { method, task_id } => {
            assert!(method.starts_with("tasks/"));
            assert_eq!(said("taskId").as_deref(), task_id);
        }
        // Whatever is called by another word must not be one of those on whose parameters is decided.
        Operation::Other { method } => {
            assert!(
                ![
                    "tools/call",
                    "prompts/get",
                    "resources/read",
                    "completion/complete"
                ]
                .contains(&method)
            );
            assert!(!method.starts_with("tasks/"));
        }
        Operation::ListTools
        | Operation::ListPrompts
        | Operation::ListResources
        | Operation::ListTemplates
        | Operation::Initialize
        | Operation::Discover
        | Operation::Response => {}
    }
}
