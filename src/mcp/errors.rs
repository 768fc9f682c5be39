//! JSON-RPC error bodies that the gateway writes itself, and the recognition of an upstream's own words for an unknown
//! tool. A tool that is hidden and one that does not exist must be answered alike, byte for byte, or the difference tells
//! which names exist.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::era::{Era, Revision};
use super::json::{Rules, check};
use super::message::Id;
use super::view::Json;

/// Whom an error answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyTo<'a> {
    /// The request with this id.
    Id(&'a Id),
    /// A request whose id could not be read, as JSON-RPC 2.0 section 5 writes it.
    Null,
    /// Nobody in particular: MCP allows an error body without id, for instance to a refused notification.
    Nobody,
}

impl<'a> From<Option<&'a Id>> for ReplyTo<'a> {
    fn from(id: Option<&'a Id>) -> Self {
        id.map_or(Self::Nobody, Self::Id)
    }
}

/// The upstream could not be reached or broke off. Own codes lie outside of what JSON-RPC and MCP reserve.
pub const UPSTREAM_FAILED: i64 = 502;
/// The upstream did not answer in time.
pub const UPSTREAM_TIMED_OUT: i64 = 504;
/// The gateway itself cannot serve at the moment.
pub const UNAVAILABLE: i64 = 503;

#[derive(Serialize)]
struct Body<'a, D> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Box<RawValue>>,
    error: Error<'a, D>,
}

#[derive(Serialize)]
struct Error<'a, D> {
    code: i64,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<D>,
}

/// An error body with any code and data.
pub fn error<D: Serialize>(to: ReplyTo<'_>, code: i64, message: &str, data: Option<D>) -> Bytes {
    let id = match to {
        ReplyTo::Id(id) => RawValue::from_string(id.raw().into()).ok(),
        ReplyTo::Null => RawValue::from_string("null".into()).ok(),
        ReplyTo::Nobody => None,
    };
    let body = Body {
        jsonrpc: "2.0",
        id,
        error: Error {
            code,
            message,
            data,
        },
    };
    // Data that cannot be written leaves an error without data rather than none at all.
    serde_json::to_vec(&body).map_or_else(
        |_| plain(ReplyTo::Nobody, -32603, "internal error"),
        Bytes::from,
    )
}

/// An error body without data.
pub fn plain(to: ReplyTo<'_>, code: i64, message: &str) -> Bytes {
    error(to, code, message, None::<()>)
}

/// -32700: not JSON.
pub fn parse_error(to: ReplyTo<'_>) -> Bytes {
    plain(to, -32700, "Parse error")
}

/// -32600: not one JSON-RPC message.
pub fn invalid_request(to: ReplyTo<'_>, why: &str) -> Bytes {
    plain(to, -32600, &format!("Invalid Request: {why}"))
}

/// -32601: no such method.
pub fn method_not_found(to: ReplyTo<'_>) -> Bytes {
    plain(to, -32601, "Method not found")
}

/// -32602: a parameter is missing or of the wrong kind.
pub fn invalid_params(to: ReplyTo<'_>, why: &str) -> Bytes {
    plain(to, -32602, &format!("Invalid params: {why}"))
}

/// -32602: the tool does not exist, or not for this caller.
pub fn unknown_tool(to: ReplyTo<'_>, name: &str) -> Bytes {
    plain(to, -32602, &format!("Unknown tool: {name}"))
}

/// -32602: the prompt does not exist, or not for this caller.
pub fn unknown_prompt(to: ReplyTo<'_>, name: &str) -> Bytes {
    plain(to, -32602, &format!("Unknown prompt: {name}"))
}

/// The resource does not exist, or not for this caller: -32002 until 2025-11-25, -32602 from 2026-07-28.
pub fn resource_not_found(to: ReplyTo<'_>, uri: &str, era: Era) -> Bytes {
    #[derive(Serialize)]
    struct Data<'a> {
        uri: &'a str,
    }
    let code = if era.is_modern() { -32602 } else { -32002 };
    error(to, code, "Resource not found", Some(Data { uri }))
}

/// -32020: a header contradicts the body.
pub fn header_mismatch(to: ReplyTo<'_>, why: &str) -> Bytes {
    plain(to, -32020, &format!("Header mismatch: {why}"))
}

/// -32022: nobody knows this revision. A client picks from `data.supported`.
pub fn unsupported_version(to: ReplyTo<'_>, requested: &str) -> Bytes {
    #[derive(Serialize)]
    struct Data<'a> {
        supported: [&'static str; 5],
        requested: &'a str,
    }
    let supported = Revision::ALL.map(Revision::name);
    let data = Data {
        supported,
        requested,
    };
    error(to, -32022, "Unsupported protocol version", Some(data))
}

/// 502: the upstream could not be reached or broke off.
pub fn upstream_failed(to: ReplyTo<'_>) -> Bytes {
    plain(to, UPSTREAM_FAILED, "The upstream server is unavailable")
}

/// 504: the upstream did not answer in time.
pub fn upstream_timed_out(to: ReplyTo<'_>) -> Bytes {
    plain(
        to,
        UPSTREAM_TIMED_OUT,
        "The upstream server did not answer in time",
    )
}

/// Whether a response says that the call failed: a JSON-RPC error, or a result marked `isError`.
pub fn is_failure(response: &[u8]) -> bool {
    let Ok(body) = check(response, Rules::ANSWER) else {
        return false;
    };
    let marked = || {
        body.member("result")?
            .member("isError")
            .map(|mark| mark.raw() == "true")
    };
    body.member("error").is_some() || marked().unwrap_or(false)
}

/// Whether a response is an upstream's own way of saying that it has no tool of that name: an error of the code for it,
/// or a result marked `isError`, of few words that speak of a tool and say that there is none. Wrong recognitions must be
/// rare, for they replace an answer that the caller should see; so a text that says more than that is none.
pub fn is_unknown_tool(response: &[u8], name: &str) -> bool {
    let Ok(body) = check(response, Rules::ANSWER) else {
        return false;
    };
    match (body.member("error"), body.member("result")) {
        (Some(error), None) => match error.member("code").map(Json::raw) {
            Some("-32601") => true,
            Some("-32602") => error
                .member("message")
                .and_then(Json::text)
                .is_some_and(|text| Wording::of(&text, name).is_unknown(&TOOL, false)),
            _ => false,
        },
        (None, Some(result)) => {
            result.member("isError").map(Json::raw) == Some("true")
                && only_text(result)
                    .is_some_and(|text| Wording::of(&text, name).is_unknown(&TOOL, true))
        }
        _ => false,
    }
}

/// Whether a response is an upstream's own way of saying that it has no prompt of that name. Servers use many codes for it.
pub fn is_unknown_prompt(response: &[u8], name: &str) -> bool {
    says_unknown(response, name, &PROMPT)
}

/// The same of a resource. -32002 is the code for it until 2025-11-25 (Resources, Error Handling).
pub fn is_unknown_resource(response: &[u8], uri: &str) -> bool {
    says_unknown(response, uri, &RESOURCE)
}

fn says_unknown(response: &[u8], name: &str, thing: &Thing) -> bool {
    let Ok(body) = check(response, Rules::ANSWER) else {
        return false;
    };
    let (Some(error), None) = (body.member("error"), body.member("result")) else {
        return false;
    };
    let code = error.member("code").map(Json::raw);
    if code == Some("-32601") || (code.is_some() && code == thing.code) {
        return true;
    }
    let text = error.member("message").and_then(Json::text);
    text.is_some_and(|text| Wording::of(&text, name).is_unknown(thing, false))
}

/// A kind of thing that has names, and how one speaks of it.
struct Thing {
    words: [&'static str; 2],
    none: [&'static str; 2],
    /// The code that says it without words.
    code: Option<&'static str>,
}

const TOOL: Thing = Thing {
    words: [" tool ", " tools "],
    none: [" no such tool ", " no tool "],
    code: None,
};
const PROMPT: Thing = Thing {
    words: [" prompt ", " prompts "],
    none: [" no such prompt ", " no prompt "],
    code: None,
};
const RESOURCE: Thing = Thing {
    words: [" resource ", " resources "],
    none: [" no such resource ", " no resource "],
    code: Some("-32002"),
};

/// The text of a tool result that consists of one text.
fn only_text(result: Json<'_>) -> Option<std::borrow::Cow<'_, str>> {
    let content = result.member("content")?;
    let mut blocks = content.elements();
    let first = blocks.next()?;
    match blocks.next() {
        None => first.member("text")?.text(),
        Some(_) => None,
    }
}

/// A message with the tool's name taken out, so that a tool called `file_not_found` does not say of itself that it is
/// unknown.
struct Wording {
    names_it: bool,
    words: String,
}

impl Wording {
    fn of(text: &str, name: &str) -> Self {
        let (text, names_it) = without(text, name);
        Self {
            names_it,
            words: text
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| !word.is_empty())
                .fold(String::from(" "), |words, word| {
                    words + &word.to_lowercase() + " "
                }),
        }
    }

    /// A result must name the tool, for its text is the tool's own as a rule.
    fn is_unknown(&self, thing: &Thing, must_name_it: bool) -> bool {
        const PHRASES: [&str; 4] = [
            " unknown ",
            " not found ",
            " does not exist ",
            " doesn t exist ",
        ];
        let holds = |part: &&str| self.words.contains(*part);
        if self.words == " unknown " && self.names_it {
            return true; // "Unknown tool: tool"
        }
        self.words.len() <= FEW_WORDS
            && thing.words.iter().any(holds)
            && PHRASES.iter().chain(&thing.none).any(holds)
            && !self.words.contains(" argument")
            && (self.names_it || !must_name_it)
    }
}

/// The text without the name, where it stands as a word of its own, and whether it does.
fn without(text: &str, name: &str) -> (String, bool) {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let (mut rest, mut out, mut found) = (text, String::with_capacity(text.len()), false);
    while let Some((before, after)) = rest.split_once(name).filter(|_| !name.is_empty()) {
        let alone = !before.ends_with(is_part) && !after.starts_with(is_part);
        out.push_str(before);
        out.push_str(if alone { " " } else { name });
        found |= alone;
        rest = after;
    }
    out.push_str(rest);
    (out, found)
}

/// Letters of "MCP error -32602: Tool not found" and its like, without the name.
const FEW_WORDS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Bytes) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn every_error_body_is_what_the_protocol_says() {
        let id = Id::from(7);
        let to = ReplyTo::Id(&id);
        let modern = Era::Modern(Revision::V2026_07_28);
        for (body, expected) in [
            (
                parse_error(ReplyTo::Null),
                r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}"#,
            ),
            (
                invalid_request(ReplyTo::Nobody, "batch"),
                r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request: batch"}}"#,
            ),
            (
                method_not_found(to),
                r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"Method not found"}}"#,
            ),
            (
                invalid_params(to, "x"),
                r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"Invalid params: x"}}"#,
            ),
            (
                unknown_tool(to, "a\"b"),
                r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"Unknown tool: a\"b"}}"#,
            ),
            (
                unknown_prompt(to, "p"),
                r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"Unknown prompt: p"}}"#,
            ),
            (
                resource_not_found(to, "u", modern),
                r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"Resource not found","data":{"uri":"u"}}}"#,
            ),
            (
                resource_not_found(to, "u", Era::Legacy(None)),
                r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32002,"message":"Resource not found","data":{"uri":"u"}}}"#,
            ),
            (
                header_mismatch(to, "x"),
                r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32020,"message":"Header mismatch: x"}}"#,
            ),
            (
                upstream_failed(to),
                r#"{"jsonrpc":"2.0","id":7,"error":{"code":502,"message":"The upstream server is unavailable"}}"#,
            ),
            (
                upstream_timed_out(to),
                r#"{"jsonrpc":"2.0","id":7,"error":{"code":504,"message":"The upstream server did not answer in time"}}"#,
            ),
            (
                unsupported_version(to, "2099-01-01"),
                r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32022,"message":"Unsupported protocol version","data":{"supported":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"requested":"2099-01-01"}}}"#,
            ),
        ] {
            assert_eq!(text(body), expected);
        }
    }

    #[test]
    fn ids_are_echoed_as_they_were_sent() {
        for raw in ["9007199254740993", r#""a\u0062""#, "-0"] {
            let json = check(raw.as_bytes(), Rules::REQUEST).unwrap();
            let id = Id::read(json).unwrap();
            let body = text(method_not_found(ReplyTo::from(Some(&id))));
            assert!(body.contains(&format!(r#""id":{raw},"#)), "{body}");
        }
        assert!(!text(method_not_found(ReplyTo::from(None))).contains("id"));
    }

    #[test]
    fn answers_that_say_more_than_unknown_tool_are_not_taken_for_it() {
        for response in [
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"Unknown tool: file"}]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"file not found"}],"isError":true}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"Unknown tool: other"}],"isError":true}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"Unknown tool: file"},{"type":"text","text":"more"}],"isError":true}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":true}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid arguments for tool file: path not found"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params: path not found"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"Unknown tool: file"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Tool file ran and wrote a long report in which it says at last that the thing that you were looking for was not found"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Tool filed: the unknown argument is profile"}}"#,
            "not json",
            "{}",
        ] {
            assert!(!is_unknown_tool(response.as_bytes(), "file"), "{response}");
        }
    }

    #[test]
    fn the_words_of_a_tools_own_name_do_not_count() {
        let result = r#"{"result":{"content":[{"type":"text","text":"Tool file_not_found failed in file_not_found"}],"isError":true}}"#;
        assert!(!is_unknown_tool(result.as_bytes(), "file_not_found"));
    }

    #[test]
    fn upstreams_own_words_for_an_unknown_tool_are_recognised() {
        for message in [
            "Unknown tool: no_such",
            "MCP error -32602: Tool no_such not found",
            "tool not found",
            "Tool 'no_such' does not exist",
            "Unknown tool 'no_such'",
            "No such tool: no_such",
        ] {
            let error = format!(
                r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":-32602,"message":"{message}"}}}}"#
            );
            assert!(is_unknown_tool(error.as_bytes(), "no_such"), "{message}");
        }
        for message in [
            "Unknown tool: no_such",
            "MCP error -32602: Tool no_such not found",
            "Tool no_such not found",
        ] {
            let result = format!(
                r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[{{"type":"text","text":"{message}"}}],"isError":true}}}}"#
            );
            assert!(is_unknown_tool(result.as_bytes(), "no_such"), "{message}");
        }
        let error =
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}"#;
        assert!(is_unknown_tool(error.as_bytes(), "no_such"));
    }

    #[test]
    fn upstreams_own_words_for_unknown_prompts_and_resources_are_recognised() {
        let said = |code: i64, text: &str| {
            format!(r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":{code},"message":"{text}"}}}}"#)
        };
        for (code, text, prompt, resource) in [
            (
                -32602,
                "MCP error -32602: Prompt no_such not found",
                true,
                false,
            ),
            (0, "Unknown prompt: no_such", true, false),
            (-32601, "Method not found", true, true),
            (-32002, "Resource not found", false, true),
            (-32002, "gone", false, true),
            (0, "Unknown resource: no_such", false, true),
            (
                -32602,
                "MCP error -32602: Resource no_such not found",
                false,
                true,
            ),
            (-32602, "Invalid arguments for prompt no_such", false, false),
            (-32603, "resource no_such: disk failure", false, false),
        ] {
            let error = said(code, text);
            let error = error.as_bytes();
            assert_eq!(is_unknown_prompt(error, "no_such"), prompt, "{text}");
            assert_eq!(is_unknown_resource(error, "no_such"), resource, "{text}");
        }
    }

    #[test]
    fn our_own_answer_is_recognised_as_what_it_says() {
        let id = Id::from(1);
        for name in ["a", "o", "unknown", "tool", "é\"x", "file_not_found"] {
            let body = unknown_tool(ReplyTo::Id(&id), name);
            assert!(is_unknown_tool(&body, name), "{name}");
        }
    }
}
