//! Readers that disagree about a body are the way around a gateway. So every body that is accepted, and every answer that
//! was filtered, is read again by Python, by Node and by a reader with the habits of Go's encoding/json
//! (`tests/differential/`): all must see the method, the id, the name and the arguments that policy saw.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sallygate::mcp::json::{Rules, check};
use sallygate::mcp::sse::{Reader, rewrite};
use sallygate::mcp::{Filtered, Item, Json, JsonKind, Limits, Message, Operation, lists};
use serde_json::{Value, json};

/// `name`, a tab, the bytes with their escapes.
const CORPUS: &str = include_str!("../../differential/corpus.txt");

#[test]
fn values_that_are_no_json_or_ambiguous_never_pass_and_all_others_do() {
    let rows = corpus();
    assert!(rows.len() >= 300, "{}", rows.len());
    for (name, value) in rows {
        let body = call(b"\"echo\"", &[b"{\"v\":", value.as_slice(), b"}"].concat());
        let decoded = Message::decode(body, &Limits::REQUEST);
        let code = decoded.as_ref().err().map(|error| error.fault.code());
        let expected = match name.split('_').next() {
            Some("y") => None,
            Some("n") => Some(-32700),
            _ => Some(-32600),
        };
        assert_eq!(code, expected, "{name}: {decoded:?}");
    }
}

#[test]
fn every_body_that_is_accepted_means_the_same_to_python_node_and_go() {
    let accepted = accepted_bodies();
    assert!(accepted.len() >= 5000, "only {} bodies", accepted.len());
    let questions: Vec<Value> = accepted
        .iter()
        .map(|message| {
            let body = STANDARD.encode(message.bytes());
            json!({ "kind": "message", "body": body, "expect": seen(message) })
        })
        .collect();
    if let Some(answers) = ask("python3", "reader.py", &questions) {
        for (question, answer) in questions.iter().zip(&answers) {
            for reader in ["python", "go"] {
                let what = || shown(question, reader);
                assert_eq!(answer[reader], question["expect"], "{}", what());
            }
        }
    }
    if let Some(answers) = ask("node", "reader.mjs", &questions) {
        for (question, answer) in questions.iter().zip(&answers) {
            let agreed = json!({ "differs": [] });
            assert_eq!(answer["node"], agreed, "{}", shown(question, "node"));
        }
    }
}

#[test]
fn a_number_of_more_than_53_bits_arrives_as_it_was_sent() {
    let body = call(b"\"echo\"", b"{\"n\":9007199254740993}");
    let message = Message::decode(body.clone(), &Limits::REQUEST).unwrap();
    assert_eq!(message.into_bytes(), body);
}

#[test]
fn a_filtered_list_shows_no_reader_a_hidden_name() {
    let mut questions = Vec::new();
    let mut expected = Vec::new();
    let mut dice = Dice(0x5eed_1157);
    for _ in 0..3000 {
        let answer = list_answer(&mut dice);
        if let Some((body, names)) = filtered(answer.as_bytes()) {
            questions.push(json!({ "kind": "answer", "body": STANDARD.encode(&body) }));
            expected.push(json!({ "names": names }));
        }
    }
    assert!(questions.len() >= 1000, "only {} answers", questions.len());
    compare(&questions, &expected);
}

#[test]
fn a_filtered_stream_shows_no_reader_a_hidden_name() {
    let mut questions = Vec::new();
    let mut expected = Vec::new();
    let mut dice = Dice(0x5eed_55e1);
    for _ in 0..1500 {
        let (stream, names) = relayed(&stream_of_lists(&mut dice), &mut dice);
        questions.push(json!({ "kind": "stream", "body": STANDARD.encode(&stream) }));
        expected.push(json!(names));
    }
    compare(&questions, &expected);
}

fn compare(questions: &[Value], expected: &[Value]) {
    for (program, script) in [("python3", "reader.py"), ("node", "reader.mjs")] {
        let Some(answers) = ask(program, script, questions) else {
            continue;
        };
        for ((question, answer), expected) in questions.iter().zip(&answers).zip(expected) {
            for (reader, seen) in answer.as_object().unwrap() {
                assert!(!seen.to_string().contains("hidden"), "{reader}");
                assert_eq!(seen, expected, "{}", shown(question, reader));
            }
        }
    }
}

fn shown(question: &Value, reader: &str) -> String {
    let body = STANDARD.decode(question["body"].as_str().unwrap()).unwrap();
    format!("{reader} reads {}", body.escape_ascii())
}

/// Asks a script about everything at once. None where the program is missing, which under CI is a failure.
fn ask(program: &str, script: &str, questions: &[Value]) -> Option<Vec<Value>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("questions");
    let lines = questions.iter().fold(String::new(), |mut lines, question| {
        writeln!(lines, "{question}").unwrap();
        lines
    });
    std::fs::write(&file, lines).unwrap();
    let path = format!("{}/tests/differential/{script}", env!("CARGO_MANIFEST_DIR"));
    let run = Command::new(program)
        .arg(path)
        .stdin(std::fs::File::open(&file).unwrap())
        .stderr(Stdio::inherit())
        .output();
    let Ok(output) = run else {
        let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(
            !ci,
            "{program} is missing, and under CI nothing may be skipped"
        );
        #[expect(clippy::print_stderr, reason = "who reads the run has to know")]
        {
            eprintln!("skipped: {program} is not installed, so {script} was not asked");
        }
        return None;
    };
    assert!(output.status.success(), "{program}: {}", output.status);
    let answers: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), questions.len(), "{program} gave up");
    Some(answers)
}

/// What the gateway sees, in the canonical spelling.
fn seen(message: &Message) -> Value {
    let params = message.params().map(|raw| document(raw.as_bytes()));
    let member = |name| params.and_then(|params: Json<'_>| params.member(name));
    let mut name = canonical(member("name"));
    if let Operation::CallTool { name: decided, .. } = message.operation() {
        name = quoted(decided);
    }
    json!({
        "method": message.method().map_or("null".into(), quoted),
        "id": canonical(message.id().map(|id| document(id.raw().as_bytes()))),
        "name": name,
        "uri": canonical(member("uri")),
        "arguments": canonical(member("arguments")),
        "params": canonical(params),
    })
}

fn document(raw: &[u8]) -> Json<'_> {
    check(raw, Rules::REQUEST).unwrap()
}

/// One spelling for all that mean the same: members in the order of their names, numbers by their text.
fn canonical(value: Option<Json<'_>>) -> String {
    let Some(value) = value else {
        return "null".into();
    };
    match value.kind() {
        JsonKind::String => quoted(&value.text().unwrap()),
        JsonKind::Number | JsonKind::Boolean | JsonKind::Null => value.raw().into(),
        JsonKind::Array => {
            let inner: Vec<_> = value.elements().map(|v| canonical(Some(v))).collect();
            format!("[{}]", inner.join(","))
        }
        JsonKind::Object => {
            let inner: BTreeSet<_> = value
                .members()
                .map(|m| format!("{}:{}", quoted(&m.name), canonical(Some(m.value))))
                .collect();
            format!("{{{}}}", inner.into_iter().collect::<Vec<_>>().join(","))
        }
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for unit in text.encode_utf16() {
        match u8::try_from(unit).map(char::from) {
            Ok(plain @ ' '..='~') if plain != '"' && plain != '\\' => out.push(plain),
            _ => write!(out, "\\u{unit:04x}").unwrap(),
        }
    }
    out.push('"');
    out
}

/// Bodies of the corpus, generated ones, and mutations of both, as far as they are accepted.
fn accepted_bodies() -> Vec<Message> {
    let mut dice = Dice(0x5eed_b0d1);
    let mut bodies = Vec::new();
    for (_, value) in corpus() {
        bodies.push(call(
            b"\"echo\"",
            &[b"{\"v\":", value.as_slice(), b"}"].concat(),
        ));
        bodies.push(call(&value, b"{}"));
        bodies.push(call(
            b"\"echo\"",
            &[b"{", value.as_slice(), b":1}"].concat(),
        ));
        bodies.push(call(b"\"echo\"", &value));
        bodies.push(message(&value, b"\"tools/call\"", b"{\"name\":\"echo\"}"));
        bodies.push(message(b"1", &value, b"{}"));
        bodies.push(Bytes::from(value));
    }
    for _ in 0..8000 {
        bodies.push(generated(&mut dice).into());
    }
    let whole = bodies.len();
    for _ in 0..30_000 {
        let mutated = mutated(&bodies[dice.below(whole)], &mut dice);
        bodies.push(mutated);
    }
    bodies
        .into_iter()
        .filter_map(|body| Message::decode(body, &Limits::REQUEST).ok())
        .collect()
}

fn call(name: &[u8], arguments: &[u8]) -> Bytes {
    let params = [b"{\"name\":", name, b",\"arguments\":", arguments, b"}"].concat();
    message(b"1", b"\"tools/call\"", &params)
}

fn message(id: &[u8], method: &[u8], params: &[u8]) -> Bytes {
    let start = b"{\"jsonrpc\":\"2.0\",\"id\":".as_slice();
    let parts = [
        start,
        id,
        b",\"method\":",
        method,
        b",\"params\":",
        params,
        b"}",
    ];
    parts.concat().into()
}

/// A small generator whose sequence is the same on every machine (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.roll() >> 33).unwrap() % count
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

const NAMES: &[&str] = &[
    "name",
    "Name",
    "NAME",
    "arguments",
    "argument\u{17f}",
    "uri",
    "taskId",
    "tas\u{212a}Id",
    "_meta",
    "a",
    "A",
    "b",
    "",
    "__proto__",
    "constructor",
    "10",
    "9",
    "ä",
    "Ä",
    "name\0",
    "x-y",
    "ſ",
    "s",
    "i",
    "ı",
    "İ",
    "ß",
    "ẞ",
    "😀",
];
const TEXTS: &[&str] = &[
    "",
    "echo",
    "tools/call",
    "x\"y",
    "\\",
    "/",
    "\u{8}\u{c}\n\r\t",
    "\0",
    "é",
    "\u{2028}",
    "\u{feff}",
    "😀",
    "\u{10ffff}",
    "</script>",
    "9007199254740993",
    "\u{7f}",
    "\u{85}",
];
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "1.0",
    "1e2",
    "1E-2",
    "0.1",
    "9007199254740993",
    "-9007199254740993",
    "18446744073709551616",
    "1e308",
    "5e-324",
    "1e-400",
    "123456789012345678901234567890",
    "1.10",
];
const SPACE: &[&str] = &["", "", "", " ", "\n", "\r\n", "\t"];
const METHODS: &[&str] = &[
    "tools/call",
    "tools/call",
    "tools/call",
    "prompts/get",
    "resources/read",
    "tools/list",
    "ping",
    "tasks/get",
    "notifications/cancelled",
    "completion/complete",
    "Tools/Call",
];

/// A message with odd spellings, odd names and odd numbers, many of them acceptable.
fn generated(dice: &mut Dice) -> String {
    let method = spelled(dice.one(METHODS), dice);
    let mut params = vec![member("name", spelled("echo", dice), dice)];
    if dice.below(4) > 0 {
        let arguments = object(dice, 3);
        params.push(member("arguments", arguments, dice));
    }
    if dice.below(4) == 0 {
        let (name, value) = (dice.one(NAMES), value(dice, 2));
        params.push(member(name, value, dice));
    }
    params.push(member("uri", spelled("file:///x", dice), dice));
    params.push(member("taskId", spelled("t", dice), dice));
    let mut envelope = vec![
        member("jsonrpc", spelled("2.0", dice), dice),
        member("method", method, dice),
        member("params", joined(params, dice), dice),
    ];
    if dice.below(8) > 0 {
        let id = match dice.below(2) {
            0 => spelled(dice.one(TEXTS), dice),
            _ => dice.one(NUMBERS).to_owned(),
        };
        envelope.push(member("id", id, dice));
    }
    if dice.below(8) == 0 {
        let (name, value) = (dice.one(NAMES), value(dice, 1));
        envelope.push(member(name, value, dice));
    }
    joined(envelope, dice)
}

fn joined(mut members: Vec<String>, dice: &mut Dice) -> String {
    for place in (1..members.len()).rev() {
        members.swap(place, dice.below(place + 1));
    }
    let (left, right) = (dice.one(SPACE), dice.one(SPACE));
    format!("{{{left}{}{right}}}", members.join(","))
}

fn member(name: &str, value: String, dice: &mut Dice) -> String {
    let (a, b, c) = (dice.one(SPACE), dice.one(SPACE), dice.one(SPACE));
    format!("{a}{}{b}:{c}{value}", spelled(name, dice))
}

fn object(dice: &mut Dice, depth: usize) -> String {
    let count = dice.below(5);
    let members = (0..count).map(|_| {
        let (name, value) = (dice.one(NAMES), value(dice, depth));
        member(name, value, dice)
    });
    let members = members.collect();
    joined(members, dice)
}

fn value(dice: &mut Dice, depth: usize) -> String {
    match dice.below(if depth == 0 { 4 } else { 6 }) {
        0 => dice.one(NUMBERS).into(),
        1 | 2 => spelled(dice.one(TEXTS), dice),
        3 => dice.one(&["true", "false", "null"]).into(),
        4 => object(dice, depth - 1),
        _ => {
            let count = dice.below(4);
            let inner: Vec<_> = (0..count).map(|_| value(dice, depth - 1)).collect();
            format!("[{}{}]", inner.join(","), dice.one(SPACE))
        }
    }
}

/// A JSON string that means this text, with some characters escaped that need not be.
fn spelled(text: &str, dice: &mut Dice) -> String {
    let often = dice.below(3) == 0;
    let mut out = String::from("\"");
    for c in text.chars() {
        let must = c < ' ' || c == '"' || c == '\\';
        if must || (often && dice.below(3) == 0) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                match dice.below(2) {
                    0 => write!(out, "\\u{unit:04x}").unwrap(),
                    _ => write!(out, "\\u{unit:04X}").unwrap(),
                }
            }
        } else {
            out.push(c);
        }
    }
    out.push('"');
    out
}

/// One to three small changes of bytes.
fn mutated(body: &[u8], dice: &mut Dice) -> Bytes {
    const PIECES: &[&[u8]] = &[
        b"\"",
        b"\\",
        b",",
        b":",
        b"{",
        b"}",
        b"[",
        b"]",
        b" ",
        b"\n",
        b"\0",
        b"\\u0000",
        b"\\u0061",
        b"\xc5\xbf",
        b"\xe2\x84\xaa",
        b"\xff",
        b"0",
        b"9",
        b"-",
        b".",
        b"e",
        b"E",
        b"a",
        b"N",
        b"\"name\":\"x\",",
        b"\"Name\":\"x\",",
        b"\"id\":2,",
        b"//",
        b"/**/",
        b"\xef\xbb\xbf",
        b"\\ud83d",
        b"\x0c",
        b"\x7f",
        b"null",
    ];
    let mut body = body.to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(body.len() + 1);
        match dice.below(3) {
            0 if at < body.len() => drop(body.remove(at)),
            1 if at < body.len() => body[at] = dice.one(PIECES)[0],
            _ => drop(body.splice(at..at, dice.one(PIECES).iter().copied())),
        }
    }
    body.into()
}

/// The answer of an upstream with one or two lists, in which some names must not be seen.
fn list_answer(dice: &mut Dice) -> String {
    const LISTS: &[(&str, &str)] = &[
        ("tools", "name"),
        ("prompts", "name"),
        ("resources", "uri"),
        ("resourceTemplates", "uriTemplate"),
        ("tasks", "taskId"),
        ("Tools", "name"),
        ("tool\u{17f}", "name"),
        ("tools\0", "name"),
    ];
    let mut result = Vec::new();
    let (list, key) = dice.one(LISTS);
    let entries: Vec<_> = (0..dice.below(5)).map(|_| entry(key, dice)).collect();
    result.push(member(list, format!("[{}]", entries.join(",")), dice));
    if dice.below(4) == 0 {
        result.push(member("cacheScope", spelled("public", dice), dice));
    }
    if dice.below(4) == 0 {
        let value = value(dice, 2);
        result.push(member("nextCursor", value, dice));
    }
    let mut envelope = vec![
        member("jsonrpc", spelled("2.0", dice), dice),
        member("id", "1".into(), dice),
        member("result", joined(result, dice), dice),
    ];
    if dice.below(16) == 0 {
        envelope.push(r#""Result":{"tools":[{"name":"hidden"}]}"#.into());
    }
    joined(envelope, dice)
}

fn entry(key: &str, dice: &mut Dice) -> String {
    let name = dice.one(&[
        "hidden_tool",
        "echo",
        "ec\"ho",
        "hiddenä",
        "Hidden",
        "",
        "é😀",
    ]);
    let mut members = vec![member(key, spelled(name, dice), dice)];
    if dice.below(3) == 0 {
        let description = value(dice, 1).replace("hidden", "");
        members.push(member("description", description, dice));
    }
    if dice.below(16) == 0 {
        members.push(member("NAME", spelled("hidden", dice), dice));
    }
    if dice.below(16) == 0 {
        members.push(member("name", spelled("hidden", dice), dice));
    }
    joined(members, dice)
}

/// What the caller gets of an answer, and the names that it shows; none if it is refused.
fn filtered(answer: &[u8]) -> Option<(Bytes, Vec<String>)> {
    let mut names = Vec::new();
    let mut keep = |item: &Item<'_>| {
        let shows = !item.name.starts_with("hidden");
        if shows {
            names.push(format!("{} {}", item.shape.member(), quoted(&item.name)));
        }
        shows
    };
    let body = match lists::filter(answer, &mut keep, true).ok()? {
        Filtered::Unchanged => Bytes::copy_from_slice(answer),
        Filtered::Rewritten { body, .. } => body,
    };
    names.sort();
    Some((body, names))
}

/// Events with answers, with all kinds of line ends, fields and comments in between.
fn stream_of_lists(dice: &mut Dice) -> Vec<u8> {
    let mut stream = String::new();
    if dice.below(4) == 0 {
        stream.push('\u{feff}');
    }
    for _ in 0..=dice.below(4) {
        let end = dice.one(&["\n", "\r\n", "\r"]);
        let extra = dice.one(&[
            "",
            "id: 1",
            "event: message",
            "retry: 5",
            ": comment",
            "dat: x",
            "data",
        ]);
        // A line feed inside of JSON is white space, and in a stream the border of two data lines.
        let answer = list_answer(dice).replace("\r\n", "\n").replace('\r', " ");
        let lines = answer.split('\n').map(|line| format!("data: {line}{end}"));
        let lines: String = lines.collect();
        if !extra.is_empty() {
            write!(stream, "{extra}{end}").unwrap();
        }
        write!(stream, "{lines}{end}").unwrap();
    }
    if dice.below(3) == 0 {
        stream.push_str("data: {\"result\":{\"tools\":[{\"name\":\"hidden\"}]}}\n");
    }
    stream.into_bytes()
}

/// The stream as it is relayed, arriving in pieces: what must not pass ends it. And the names in each event.
fn relayed(stream: &[u8], dice: &mut Dice) -> (Vec<u8>, Vec<Value>) {
    let (mut out, mut shown) = (Vec::new(), Vec::new());
    let mut reader = Reader::default();
    for piece in stream.chunks(dice.below(40) + 1) {
        reader.feed(piece);
        while let Some(event) = reader.next_event().unwrap() {
            let Some(data) = event.data.as_ref().filter(|data| !data.is_empty()) else {
                out.extend_from_slice(&event.raw);
                continue;
            };
            let Some((body, names)) = filtered(data) else {
                return (out, shown);
            };
            let same = body == data;
            out.extend_from_slice(&if same {
                event.raw.clone()
            } else {
                rewrite(&event, &body)
            });
            shown.push(json!({ "names": names }));
        }
    }
    (out, shown)
}

fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let lines = CORPUS.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, text) = line.split_once('\t').unwrap();
            (name, unescaped(text))
        })
        .collect()
}

/// `\xNN` is a byte, `\\` a backslash, `*N⟨...⟩` a repetition.
fn unescaped(mut text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(c) = text.chars().next() {
        let repeated = text.strip_prefix('*').and_then(|rest| rest.split_once('⟨'));
        if let Some((count, rest)) = repeated
            && let Ok(count) = count.parse::<usize>()
        {
            let (group, rest) = rest.split_once('⟩').unwrap();
            out.extend(unescaped(group).repeat(count));
            text = rest;
        } else if let Some(rest) = text.strip_prefix("\\x") {
            out.push(u8::from_str_radix(&rest[..2], 16).unwrap());
            text = &rest[2..];
        } else if let Some(rest) = text.strip_prefix("\\\\") {
            out.push(b'\\');
            text = rest;
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            text = &text[c.len_utf8()..];
        }
    }
    out
}
