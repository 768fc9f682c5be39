//! A stream means the same in whatever pieces it comes, and the same as to a reader by the letter of the specification.
//! The first byte says into how many pieces the rest is cut, the second how they grow.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sallygate::mcp::sse::{Event, Reader, rewrite};
use sallygate_fuzz::readers::{Dispatched, events};

fuzz_target!(|data: &[u8]| {
    let [size, growth, stream @ ..] = data else {
        return;
    };
    let whole = read(&[stream]);
    let size = usize::from(size % 16) + 1;
    let mut pieces = Vec::new();
    let (mut rest, mut next) = (stream, size);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(next.min(rest.len()));
        pieces.push(piece);
        rest = after;
        next = (next + usize::from(*growth)) % 97 + 1;
    }
    let cut = read(&pieces);
    assert_eq!(meaning(&whole), meaning(&cut), "pieces change the meaning");
    assert_eq!(
        meaning(&whole),
        events(stream),
        "another reader sees other events"
    );
    for all in [&whole, &cut] {
        let raw: Vec<u8> = all.iter().flat_map(|event| event.raw.to_vec()).collect();
        assert!(stream.starts_with(&raw), "bytes are lost or invented");
        // What is passed on untouched, event by event, means the same again.
        assert_eq!(events(&raw), events(stream));
    }
    for event in &whole {
        let again = rewrite(event, b"first\nsecond");
        let expected = Dispatched {
            data: b"first\nsecond".to_vec(),
            id: event.id.as_ref().map(|id| id.to_vec()),
            event: event.event.as_ref().map(|name| name.to_vec()),
            retry: event.retry,
        };
        assert_eq!(
            events(&again),
            [expected],
            "rewriting changes more than the data"
        );
    }
    bounded(stream);
});

fn read(pieces: &[&[u8]]) -> Vec<Event> {
    let mut reader = Reader::default();
    let mut all = Vec::new();
    for piece in pieces {
        reader.feed(piece);
        while let Some(event) = reader.next_event().expect("far below the limit") {
            all.push(event);
        }
    }
    all
}

fn meaning(all: &[Event]) -> Vec<Dispatched> {
    let with_data = all.iter().filter(|event| event.data.is_some());
    with_data
        .map(|event| Dispatched {
            data: event.data.clone().unwrap_or_default().to_vec(),
            id: event.id.as_ref().map(|id| id.to_vec()),
            event: event.event.as_ref().map(|name| name.to_vec()),
            retry: event.retry,
        })
        .collect()
}

/// No event is larger than the limit, and nothing larger than a piece more than the limit is held.
fn bounded(stream: &[u8]) {
    const LIMIT: usize = 64;
    let mut reader = Reader::new(LIMIT);
    for piece in stream.chunks(16) {
        reader.feed(piece);
        loop {
            match reader.next_event() {
                Ok(Some(event)) => assert!(event.raw.len() <= LIMIT),
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(reader.pending() <= LIMIT);
    }
}
