//! Reads a Server-Sent-Events answer event by event, each with a deadline.

use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use serde_json::Value;

use super::wait;

/// One block of the stream: an event, or comments alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) event: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) data: Option<String>,
    pub(crate) comments: Vec<String>,
}

/// How a stream went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Event(Event),
    /// It ended as it should.
    End,
    /// It broke off.
    Torn,
}

/// An answer that is read as it comes. Dropping it closes its connection, or resets its HTTP/2 stream.
pub(crate) struct EventStream {
    pub(crate) headers: HeaderMap,
    body: Incoming,
    read: BytesMut,
}

impl EventStream {
    /// Takes over an answer, which has to be a 200 of the right media type.
    pub(crate) fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let media_type = head.headers.get("content-type");
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(media_type.unwrap(), "text/event-stream", "{head:?}");
        Self {
            headers: head.headers,
            body,
            read: BytesMut::new(),
        }
    }

    /// The next block, or the end.
    pub(crate) async fn step(&mut self) -> Step {
        loop {
            if let Some(end) = end_of_block(&self.read) {
                let block = self.read.split_to(end);
                return Step::Event(parse(std::str::from_utf8(&block).unwrap()));
            }
            match wait::soon("the next event", self.body.frame()).await {
                None => return Step::End,
                Some(Err(_)) => return Step::Torn,
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.read.extend_from_slice(data);
                    }
                }
            }
        }
    }

    /// The next message; comments and events without data are passed over. A stream that is over is a failure.
    pub(crate) async fn message(&mut self) -> Value {
        loop {
            match self.step().await {
                Step::Event(Event {
                    data: Some(data), ..
                }) if !data.is_empty() => {
                    return serde_json::from_str(&data).unwrap();
                }
                Step::Event(_) => {}
                over => panic!("the stream is over: {over:?}"),
            }
        }
    }

    /// Every message up to the end.
    pub(crate) async fn messages(mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        loop {
            match self.step().await {
                Step::Event(Event {
                    data: Some(data), ..
                }) if !data.is_empty() => {
                    messages.push(serde_json::from_str(&data).unwrap());
                }
                Step::Event(_) => {}
                Step::End => return messages,
                Step::Torn => panic!("the stream broke off after {messages:?}"),
            }
        }
    }
}

/// Where the first block ends: behind an empty line, which ends in LF or CRLF.
fn end_of_block(read: &[u8]) -> Option<usize> {
    let find = |end: &[u8]| {
        let at = read.windows(end.len()).position(|part| part == end);
        at.map(|at| at + end.len())
    };
    [find(b"\n\n"), find(b"\r\n\r\n")]
        .into_iter()
        .flatten()
        .min()
}

fn parse(block: &str) -> Event {
    let mut event = Event::default();
    for line in block.lines().filter(|line| !line.is_empty()) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "" => event.comments.push(value),
            "event" => event.event = Some(value),
            "id" => event.id = Some(value),
            "data" => match &mut event.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(&value);
                }
                None => event.data = Some(value),
            },
            _ => {}
        }
    }
    event
}

#[test]
fn blocks_are_read_field_by_field() {
    let event = parse(": a comment\nid: 7\nevent: message\ndata: one\ndata:two\nretry: 5\n\n");
    assert_eq!(event.data.as_deref(), Some("one\ntwo"));
    assert_eq!(event.id.as_deref(), Some("7"));
    assert_eq!(event.event.as_deref(), Some("message"));
    assert_eq!(event.comments, ["a comment"]);
}
