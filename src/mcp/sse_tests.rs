//! The event reader, against every way of cutting a stream.

use proptest::prelude::*;

use super::*;

/// All events of a stream that arrives in these pieces, and what stays pending.
fn read_all<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<Event>, usize) {
    let mut reader = Reader::default();
    let mut events = Vec::new();
    for piece in pieces {
        reader.feed(piece);
        while let Some(event) = reader.next_event().unwrap() {
            events.push(event);
        }
    }
    (events, reader.pending())
}

fn one(text: &str) -> Event {
    let (mut events, pending) = read_all([text.as_bytes()]);
    assert_eq!((events.len(), pending), (1, 0), "{text:?}");
    events.remove(0)
}

fn data(text: &str) -> Option<String> {
    one(text)
        .data
        .map(|d| String::from_utf8(d.to_vec()).unwrap())
}

#[test]
fn an_event_beyond_the_limit_ends_the_stream() {
    for text in [
        "data: 0123456789abcdef\n\n",
        "data: 0123456789abcdef",
        "data: 0\ndata: 0\ndata: 0\n",
        ":0123456789abcdef0",
    ] {
        let mut reader = Reader::new(16);
        reader.feed(text.as_bytes());
        assert_eq!(
            reader.next_event(),
            Err(SseError::TooLarge { limit: 16 }),
            "{text:?}"
        );
    }
    let mut reader = Reader::new(16);
    reader.feed(&b"data: 1\n\n".repeat(100));
    for _ in 0..100 {
        assert!(reader.next_event().unwrap().is_some());
    }
    assert_eq!(reader.next_event(), Ok(None));
}

#[test]
fn an_unfinished_event_is_never_one() {
    for text in [
        "data: x",
        "data: x\n",
        "data: x\r\n",
        "id: 1\ndata: x\n: c\n",
    ] {
        let (events, pending) = read_all([text.as_bytes()]);
        assert!(events.is_empty(), "{text:?}");
        assert_eq!(pending, text.len());
    }
}

#[test]
fn html_s9_2_6_data_is_put_together_as_clients_do() {
    for (text, expected) in [
        ("data: x\n\n", Some("x")),
        ("data:x\r\r", Some("x")),
        ("data:  x\r\n\r\n", Some(" x")),
        ("data: a\ndata: b\r\ndata:c\rdata\n\n", Some("a\nb\nc\n")),
        ("data\n\n", Some("")),
        ("data:\n\n", Some("")),
        ("data: a\n: between\nunknown: z\ndata: b\n\n", Some("a\nb")),
        ("Data: x\n\n", None),
        (" data: x\n\n", None),
        ("data : x\n\n", None),
        ("id: 1\n\n", None),
        ("\u{feff}data: x\n\n", Some("x")),
        ("event: e\n\u{feff}data: x\n\n", None),
        ("data: \u{feff}x\n\n", Some("\u{feff}x")),
    ] {
        assert_eq!(data(text).as_deref(), expected, "{text:?}");
    }
    let (events, _) = read_all([&b"\n"[..], "\u{feff}data: x\n\n".as_bytes()]);
    assert_eq!(events[1].data, None, "a mark later in the stream is none");
}

#[test]
fn id_event_and_retry_are_read_in_any_order() {
    let event = one("data: {}\nretry: 500\nevent: message\nid: 7\n\n");
    assert_eq!(event.id.as_deref(), Some(&b"7"[..]));
    assert_eq!(event.event.as_deref(), Some(&b"message"[..]));
    assert_eq!(event.retry, Some(500));
    for (text, id, retry) in [
        ("id: a\nid: b\n\n", Some("b"), None),
        ("id: a\nid: \0\n\n", Some("a"), None),
        ("id\n\n", Some(""), None),
        ("retry: 1\nretry: x\n\n", None, Some(1)),
        ("retry: +1\n\n", None, None),
        ("retry:\n\n", None, None),
        ("retry: 99999999999999999999\n\n", None, None),
    ] {
        let event = one(text);
        assert_eq!(event.id.as_deref(), id.map(str::as_bytes), "{text:?}");
        assert_eq!(event.retry, retry, "{text:?}");
    }
}

#[test]
fn mcp_2025_11_25_a_priming_event_keeps_its_id_and_retry() {
    let event = one("id: 1\nretry: 3000\ndata: \n\n");
    assert_eq!(event.data.as_deref(), Some(&b""[..]));
    assert_eq!(event.id.as_deref(), Some(&b"1"[..]));
    assert_eq!(event.retry, Some(3000));
}

#[test]
fn comments_between_events_flow_at_once_and_inside_stay() {
    let (events, pending) = read_all([&b": ping\n"[..], b":\n\ndata: x\n: in\n\n"]);
    let raw: Vec<_> = events.iter().map(|e| e.raw.as_ref()).collect();
    assert_eq!(raw, [&b": ping\n"[..], b":\n", b"\n", b"data: x\n: in\n\n"]);
    assert_eq!(pending, 0);
    assert!(events[..3].iter().all(|e| e.data.is_none()));
}

#[test]
fn a_line_end_that_arrives_in_two_pieces_is_one() {
    let (events, pending) = read_all([
        &b"data: a\r"[..],
        b"\n",
        b"data: b\r\n\r",
        b"\ndata: c\r\n\r\n",
    ]);
    let data: Vec<_> = events.iter().map(|e| e.data.as_deref().unwrap()).collect();
    assert_eq!(data, [&b"a\nb"[..], b"c"]);
    assert_eq!(pending, 0);
}

#[test]
fn a_rewritten_event_differs_in_its_data_only() {
    for text in [
        "data: {}\nid: 7\nevent: message\nretry: 10\n\n",
        ": c\r\nid:\r\ndata: {}\r\n\r\n",
        "data: 1\ndata: 2\n\n",
    ] {
        let (events, _) = read_all([text.as_bytes()]);
        let event = events.last().unwrap();
        for new in ["", "{\"a\":1}", "{\n\"a\":\r\n1\r}"] {
            let (again, pending) = read_all([rewrite(event, new.as_bytes()).as_ref()]);
            assert_eq!((again.len(), pending), (1, 0));
            let again = &again[0];
            let lines = new.replace("\r\n", "\n").replace('\r', "\n");
            assert_eq!(again.data.as_deref(), Some(lines.as_bytes()));
            assert_eq!(again.id, event.id);
            assert_eq!(again.event, event.event);
            assert_eq!(again.retry, event.retry);
        }
    }
}

/// Streams made of the pieces that matter to the grammar.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "\r", "\n", "\r\n", "\n\n", "\r\n\r\n", "data", "data: x", "data:", "id: 1", "event: e",
        "retry: 5", ":", ": c", " ", "\u{feff}", "\0", "{}", "é",
    ]);
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes())
}

fn without_raw(events: &[Event]) -> Vec<Event> {
    let blank = |e: &Event| Event {
        raw: Bytes::new(),
        ..e.clone()
    };
    events.iter().map(blank).collect()
}

proptest! {
    #[test]
    fn the_pieces_in_which_a_stream_arrives_never_change_its_events(
        stream in any_stream(),
        sizes in prop::collection::vec(1_usize..7, 1..20),
    ) {
        let (whole, _) = read_all([stream.as_slice()]);
        let mut pieces = Vec::new();
        let mut rest = stream.as_slice();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, tail) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = tail;
        }
        let (parts, pending) = read_all(pieces);
        prop_assert_eq!(without_raw(&whole), without_raw(&parts));
        let relayed: usize = parts.iter().map(|e| e.raw.len()).sum();
        let raw = parts.iter().map(|e| e.raw.as_ref()).collect::<Vec<_>>().concat();
        prop_assert_eq!(relayed + pending, stream.len());
        prop_assert_eq!(raw.as_slice(), &stream[..relayed]);
    }
}

proptest! {
    #[test]
    fn what_is_rewritten_is_read_as_it_was_meant(
        text in "[ -~é😀]{0,80}",
        id in proptest::option::of("[!-9;-~]{1,20}"),
        name in proptest::option::of("[a-z]{1,12}"),
        cuts in proptest::collection::vec(1_usize..40, 1..6),
    ) {
        let bytes = |text: &Option<String>| text.clone().map(Bytes::from);
        let event = Event { raw: Bytes::new(), data: None, id: bytes(&id), event: bytes(&name), retry: None };
        let data = serde_json::json!({"jsonrpc": "2.0", "result": {"text": text}}).to_string();
        let written = rewrite(&event, data.as_bytes());
        let mut pieces = Vec::new();
        let (mut rest, mut cut) = (&written[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, more) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        let (events, pending) = read_all(pieces);
        prop_assert_eq!((events.len(), pending), (1, 0));
        prop_assert_eq!(events[0].data.as_deref(), Some(data.as_bytes()));
        prop_assert_eq!(&events[0].id, &event.id);
        prop_assert_eq!(&events[0].event, &event.event);
    }
}
