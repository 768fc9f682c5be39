//! Mirrored headers that tell the truth, and all the ways of lying.

use bytes::Bytes;

use super::*;
use crate::mcp::{Answer, Limits, Revision};

const MODERN: Era = Era::Modern(Revision::V2026_07_28);
const LEGACY: Era = Era::Legacy(None);

/// A tool `run` with the marks `Region` (string), `N` (integer), `Flag` (boolean) and, nested, `Deep`.
fn tools() -> ToolHeaders {
    let tools = ToolHeaders::default();
    let list = r#"{"result":{"tools":[{"name":"run","inputSchema":{"properties":{
        "region":{"type":"string","x-mcp-header":"Region"},
        "n":{"type":"integer","x-mcp-header":"N"},
        "flag":{"type":"boolean","x-mcp-header":"Flag"},
        "o":{"type":"object","properties":{"d":{"type":"string","x-mcp-header":"Deep"}}}}}}]}}"#;
    tools.learn(&Answer::read(list.as_bytes()).unwrap());
    tools
}

fn judge(
    era: Era,
    method: &str,
    params: &str,
    lines: &[(&str, &str)],
) -> Result<Agreed, Disagreement> {
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    judge_body(era, &text, lines)
}

fn judge_body(era: Era, text: &str, lines: &[(&str, &str)]) -> Result<Agreed, Disagreement> {
    let message = Message::decode(text.to_owned().into(), &Limits::default()).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let value = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(value.as_bytes()));
        headers.append(name.parse::<HeaderName>().unwrap(), value.unwrap());
    }
    agree(&headers, &message, era, &tools())
}

/// A modern call of `run` with these arguments and further headers.
fn run(arguments: &str, lines: &[(&str, &str)]) -> Result<Agreed, Disagreement> {
    let mut all = vec![("Mcp-Method", "tools/call"), ("Mcp-Name", "run")];
    all.extend(lines);
    let params = format!(r#"{{"name":"run","arguments":{arguments}}}"#);
    judge(MODERN, "tools/call", &params, &all)
}

#[test]
fn mcp_2026_07_28_a_missing_or_untrue_header_is_a_header_mismatch() {
    let call = ("Mcp-Method", "tools/call");
    let echo = r#"{"name":"echo"}"#;
    for (method, params, lines) in [
        ("tools/list", "{}", vec![]),
        ("tools/list", "{}", vec![("Mcp-Method", "tools/call")]),
        ("tools/list", "{}", vec![("Mcp-Method", "Tools/List")]),
        (
            "tools/list",
            "{}",
            vec![("Mcp-Method", "=?base64?dG9vbHMvbGlzdA==?=")],
        ),
        (
            "tools/list",
            "{}",
            vec![("Mcp-Method", "tools/list"), ("Mcp-Method", "tools/list")],
        ),
        (
            "tools/list",
            "{}",
            vec![("Mcp-Method", "tools/list, tools/list")],
        ),
        ("tools/call", echo, vec![call]),
        ("tools/call", echo, vec![("Mcp-Name", "echo")]),
        ("tools/call", echo, vec![call, ("Mcp-Name", "Echo")]),
        ("tools/call", echo, vec![call, ("Mcp-Name", "")]),
        ("tools/call", echo, vec![call, ("Mcp-Name", "delete")]),
        (
            "tools/call",
            echo,
            vec![call, ("Mcp-Name", "echo"), ("mcp-name", "echo")],
        ),
        (
            "tools/call",
            echo,
            vec![call, ("Mcp-Name", "=?base64?ZWNobw?=")],
        ),
        (
            "tools/call",
            echo,
            vec![call, ("Mcp-Name", "=?base64?ZWNobx==?=")],
        ),
        (
            "tools/call",
            echo,
            vec![call, ("Mcp-Name", "=?base64?ZWN obw==?=")],
        ),
        (
            "tools/call",
            echo,
            vec![call, ("Mcp-Name", "=?base64?/w==?=")],
        ),
        (
            "tools/call",
            echo,
            vec![call, ("Mcp-Name", "=?BASE64?ZWNobw==?=")],
        ),
        (
            "tools/call",
            echo,
            vec![call, ("Mcp-Name", "=?base64?ZWNobw==")],
        ),
        (
            "tools/call",
            r#"{"name":"é"}"#,
            vec![call, ("Mcp-Name", "é")],
        ),
        (
            "tools/call",
            r#"{"name":"=?base64?ZWNobw==?="}"#,
            vec![call, ("Mcp-Name", "=?base64?ZWNobw==?=")],
        ),
        (
            "prompts/get",
            r#"{"name":"p"}"#,
            vec![("Mcp-Method", "prompts/get")],
        ),
        (
            "resources/read",
            r#"{"uri":"a:b"}"#,
            vec![("Mcp-Method", "resources/read"), ("Mcp-Name", "a:c")],
        ),
        (
            "tasks/get",
            r#"{"taskId":"t"}"#,
            vec![("Mcp-Method", "tasks/get")],
        ),
        (
            "tasks/cancel",
            r#"{"taskId":"t"}"#,
            vec![("Mcp-Method", "tasks/cancel"), ("Mcp-Name", "u")],
        ),
    ] {
        let wrong =
            judge(MODERN, method, params, &lines).expect_err(&format!("{params} {lines:?}"));
        assert_eq!(wrong.code(), -32020);
        assert_eq!(wrong.status(), 400);
        assert!(["mcp-method", "mcp-name"].contains(&wrong.header().as_str()));
    }
}

#[test]
fn mcp_2026_07_28_agreeing_headers_pass() {
    for (method, params, name) in [
        ("tools/call", r#"{"name":"echo"}"#, Some("echo")),
        ("tools/call", r#"{"name":"echo"}"#, Some(" echo\t")),
        (
            "tools/call",
            r#"{"name":"echo"}"#,
            Some("=?base64?ZWNobw==?="),
        ),
        ("tools/call", r#"{"name":"é"}"#, Some("=?base64?w6k=?=")),
        ("tools/call", r#"{"name":"=?base64?x"}"#, Some("=?base64?x")),
        ("tools/call", r#"{"name":"a b"}"#, Some("a b")),
        ("prompts/get", r#"{"name":"p"}"#, Some("p")),
        ("resources/read", r#"{"uri":"a:b"}"#, Some("a:b")),
        ("tasks/get", r#"{"taskId":"t"}"#, Some("t")),
        ("tools/list", "{}", None),
        ("server/discover", "{}", None),
        ("tools/list", "{}", Some("whatever")),
    ] {
        let mut lines = vec![("mcp-method", method)];
        lines.extend(name.map(|n| ("MCP-Name", n)));
        assert!(
            judge(MODERN, method, params, &lines).is_ok(),
            "{params} {name:?}"
        );
    }
}

#[test]
fn a_modern_notification_needs_no_header_but_none_may_lie() {
    let text = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echo"}}"#;
    assert!(judge_body(MODERN, text, &[]).is_ok());
    for line in [("Mcp-Method", "ping"), ("Mcp-Name", "other")] {
        assert!(judge_body(MODERN, text, &[line]).is_err(), "{line:?}");
    }
}

#[test]
fn mcp_2026_07_28_marked_arguments_must_be_repeated_truly() {
    let region = ("Mcp-Param-Region", "eu");
    for (arguments, lines) in [
        (r#"{"region":"eu"}"#, vec![]),
        (r#"{"region":"eu"}"#, vec![("Mcp-Param-Region", "us")]),
        (r#"{"region":"eu"}"#, vec![("Mcp-Param-Region", "EU")]),
        (r#"{"region":"eu"}"#, vec![region, region]),
        (
            r#"{"region":"eu"}"#,
            vec![("Mcp-Param-Region", "=?base64?ZXU?=")],
        ),
        (r#"{"region":""}"#, vec![]),
        (r#"{"region":["eu"]}"#, vec![region]),
        ("{}", vec![region]),
        (r#"{"region":null}"#, vec![region]),
        (r#"{"o":{"region":"eu"}}"#, vec![region]),
        (r#"{"n":3}"#, vec![]),
        (r#"{"n":3}"#, vec![("Mcp-Param-N", "4")]),
        (r#"{"n":3}"#, vec![("Mcp-Param-N", "0x3")]),
        (r#"{"n":3}"#, vec![("Mcp-Param-N", "three")]),
        (
            r#"{"n":9007199254740993}"#,
            vec![("Mcp-Param-N", "9007199254740992")],
        ),
        (
            r#"{"n":9007199254740993}"#,
            vec![("Mcp-Param-N", "9007199254740992.0")],
        ),
        (r#"{"n":1e2}"#, vec![("Mcp-Param-N", "inf")]),
        (r#"{"flag":true}"#, vec![("Mcp-Param-Flag", "True")]),
        (r#"{"flag":true}"#, vec![("Mcp-Param-Flag", "1")]),
        (r#"{"flag":false}"#, vec![]),
        (r#"{"o":{"d":"x"}}"#, vec![]),
        (r#"{"o":{"d":"x"}}"#, vec![("Mcp-Param-Deep", "y")]),
        (r#"{"o":"x"}"#, vec![("Mcp-Param-Deep", "x")]),
    ] {
        let wrong = run(arguments, &lines).expect_err(&format!("{arguments} {lines:?}"));
        assert!(wrong.header().as_str().starts_with("mcp-param-"));
    }
}

#[test]
fn mcp_2026_07_28_truly_repeated_arguments_pass_and_unknown_ones_are_ignored() {
    for (arguments, lines) in [
        ("{}", vec![]),
        (r#"{"region":null,"plain":"x"}"#, vec![]),
        (r#"{"region":"eu"}"#, vec![("mcp-param-region", "eu")]),
        (
            r#"{"re\u0067ion":"\u0065u"}"#,
            vec![("Mcp-Param-Region", "eu")],
        ),
        (
            r#"{"region":"é"}"#,
            vec![("Mcp-Param-Region", "=?base64?w6k=?=")],
        ),
        (r#"{"region":""}"#, vec![("Mcp-Param-Region", "")]),
        (r#"{"n":3}"#, vec![("Mcp-Param-N", "3")]),
        (r#"{"n":3.0}"#, vec![("Mcp-Param-N", "3")]),
        (r#"{"n":3}"#, vec![("Mcp-Param-N", "3.0")]),
        (
            r#"{"n":9007199254740993}"#,
            vec![("Mcp-Param-N", "9007199254740993")],
        ),
        (r#"{"flag":false}"#, vec![("Mcp-Param-Flag", "false")]),
        (r#"{"o":{"d":"x"}}"#, vec![("Mcp-Param-Deep", "x")]),
        (
            "{}",
            vec![("Mcp-Param-Other", "x"), ("Mcp-Param-Other", "y")],
        ),
    ] {
        assert_eq!(
            run(arguments, &lines),
            Ok(Agreed(())),
            "{arguments} {lines:?}"
        );
    }
}

#[test]
fn a_lying_header_is_refused_in_the_legacy_era_too() {
    let call = r#"{"name":"echo","arguments":{"region":"eu"}}"#;
    for line in [
        ("Mcp-Method", "tools/list"),
        ("Mcp-Method", "TOOLS/CALL"),
        ("Mcp-Method", "é"),
        ("Mcp-Name", "delete"),
        ("Mcp-Name", "=?base64?!?="),
    ] {
        let wrong = judge(LEGACY, "tools/call", call, &[line]).expect_err(line.1);
        assert_eq!((wrong.status().as_u16(), wrong.code()), (400, -32020));
    }
    let twice = [("Mcp-Name", "echo"), ("Mcp-Name", "delete")];
    assert!(judge(LEGACY, "tools/call", call, &twice).is_err());
    let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    assert!(judge_body(LEGACY, response, &[("Mcp-Method", "tools/call")]).is_err());
}

#[test]
fn legacy_requests_need_no_mirrored_headers_and_may_have_true_ones() {
    let call = r#"{"name":"run","arguments":{"region":"eu"}}"#;
    for lines in [
        vec![],
        vec![("Mcp-Method", "tools/call")],
        vec![("Mcp-Method", "tools/call"), ("Mcp-Name", "run")],
        vec![("Mcp-Name", "=?base64?cnVu?=")],
        vec![("Mcp-Param-Region", "us")],
    ] {
        assert!(
            judge(LEGACY, "tools/call", call, &lines).is_ok(),
            "{lines:?}"
        );
    }
}
