//! Headers that agree with a body say what the body says: compared with a second reading of both. An entry is header lines,
//! a rule, the body.
#![no_main]

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use sallygate::mcp::{Answer, Era, Limits, Message, Operation, Revision, ToolHeaders, agree};
use sallygate_fuzz::parts;
use sallygate_fuzz::readers::{Members, string};

static TOOLS: LazyLock<ToolHeaders> = LazyLock::new(|| {
    let tools = ToolHeaders::default();
    let list = br#"{"result":{"tools":[{"name":"run","inputSchema":{"properties":{
        "region":{"type":"string","x-mcp-header":"Region"},
        "n":{"type":"integer","x-mcp-header":"N"},
        "flag":{"type":"boolean","x-mcp-header":"Flag"},
        "o":{"type":"object","properties":{"d":{"type":"string","x-mcp-header":"Deep"}}}}}}]}}"#;
    tools.learn(&Answer::read(list).expect("a list"));
    tools
});

fuzz_target!(|data: &[u8]| {
    let (lines, body) = parts(data);
    let Ok(message) = Message::decode(Bytes::copy_from_slice(body), &Limits::REQUEST) else {
        return;
    };
    let headers = headers(lines);
    let _ = Era::of(&headers, &message);
    for era in [Era::Modern(Revision::V2026_07_28), Era::Legacy(None)] {
        if agree(&headers, &message, era, &TOOLS).is_ok() {
            truthful(&headers, &message, era);
        }
    }
});

fn headers(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|b| *b == b'\n').take(32) {
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(&line[colon + 1..]);
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

fn truthful(headers: &HeaderMap, message: &Message, era: Era) {
    let method = all(headers, "mcp-method");
    if era.is_modern() {
        assert!(method.len() <= 1);
    }
    for value in &method {
        assert_eq!(Some(value.as_str()), message.method());
    }
    let name = match message.operation() {
        Operation::CallTool { name, .. } | Operation::GetPrompt { name, .. } => Some(name),
        Operation::ReadResource { uri } => Some(uri),
        _ => None,
    };
    let Some(name) = name else { return };
    for value in all(headers, "mcp-name") {
        let plain = !era.is_modern() && value == name;
        assert!(
            plain || decoded(&value).as_deref() == Some(name),
            "{value:?} is not {name:?}"
        );
    }
    if !era.is_modern() {
        return;
    }
    let Operation::CallTool {
        name: "run",
        arguments,
    } = message.operation()
    else {
        return;
    };
    let arguments = Members::of(arguments.unwrap_or("{}")).expect("an object");
    let inner = arguments.last("o").and_then(Members::of);
    let inner = inner.unwrap_or(Members(Vec::new()));
    for (header, argument) in [
        ("mcp-param-region", arguments.last("region")),
        ("mcp-param-n", arguments.last("n")),
        ("mcp-param-flag", arguments.last("flag")),
        ("mcp-param-deep", inner.last("d")),
    ] {
        let said = all(headers, header);
        let argument = argument.filter(|text| *text != "null");
        match (said.as_slice(), argument) {
            ([], None) => {}
            ([value], Some(text)) => {
                let value = decoded(value).expect("was decoded");
                let same_text = string(text).as_deref() == Some(&value) || text == value;
                assert!(
                    same_text || same_number(&value, text),
                    "{header}: {value:?} is not {text:?}"
                );
            }
            other => panic!("{header}: {other:?}"),
        }
    }
}

/// Two spellings of one number, exactly: sign, digits without padding, and power of ten.
fn same_number(one: &str, other: &str) -> bool {
    match (canonical(one), canonical(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

fn canonical(text: &str) -> Option<(bool, String, i64)> {
    let (negative, rest) = text
        .strip_prefix('-')
        .map_or((false, text), |rest| (true, rest));
    let rest = rest.strip_prefix('+').unwrap_or(rest);
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let power = exponent.parse::<i64>().ok()? - i64::try_from(fraction.len()).ok()?;
    let without_zeros = digits.trim_end_matches('0');
    let power = power + i64::try_from(digits.len() - without_zeros.len()).ok()?;
    let digits = without_zeros.trim_start_matches('0').to_owned();
    match digits.is_empty() {
        true => Some((false, digits, 0)),
        false => Some((negative, digits, power)),
    }
}

fn all(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter();
    values
        .map(|value| {
            value
                .to_str()
                .expect("readable")
                .trim_matches([' ', '\t'])
                .to_owned()
        })
        .collect()
}

fn decoded(value: &str) -> Option<String> {
    match value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="))
    {
        Some(inner) => String::from_utf8(STANDARD.decode(inner).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}
