//! Server-sent events as a relay must read them: piece by piece as they come, with the bytes of every event kept so that
//! most pass on untouched, and its data put together as the client will (HTML, "Server-sent events", section 9.2.6). What
//! is incomplete when the stream ends is never an event, so it must not be passed on.

use bytes::{Buf, Bytes, BytesMut};

/// One complete event, or a comment between events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The bytes as received, with comments and the blank line. Where a CR and its LF arrived in two pieces around the
    /// end of an event, the LF stands at the start of the next one.
    pub raw: Bytes,
    /// The data lines joined by LF. None if there is no data line; empty for one that only announces an id.
    pub data: Option<Bytes>,
    /// The last `id` field; one that contains a NUL does not count.
    pub id: Option<Bytes>,
    /// The last `event` field.
    pub event: Option<Bytes>,
    /// The last `retry` field that is a whole number, in milliseconds.
    pub retry: Option<u64>,
}

/// A stream that cannot be relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// An event that must be read whole is larger than allowed.
    #[error("an event is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

/// Bytes of one event unless set otherwise: a tool result with an embedded image fits.
pub const EVENT_LIMIT: usize = 8 * 1024 * 1024;

/// Cuts a stream into events.
#[derive(Debug)]
pub struct Reader {
    limit: usize,
    buffer: BytesMut,
    /// Where the line begins that is being looked for an end.
    line: usize,
    /// How far that search has come.
    seen: usize,
    /// Whether the event has a line that is not a comment.
    has_fields: bool,
    /// Whether the first event is still being read. A byte order mark counts for nothing before the first line of the
    /// stream; before any other it makes the field unknown.
    first: bool,
    /// Whether the last line ended with a CR at the very end of the bytes; an LF that follows belongs to it.
    after_cr: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new(EVENT_LIMIT)
    }
}

impl Reader {
    /// A reader that holds events of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            buffer: BytesMut::new(),
            line: 0,
            seen: 0,
            has_fields: false,
            first: true,
            after_cr: false,
        }
    }

    /// Adds bytes as they arrive. Call [`Reader::next_event`] until it gives none before adding more.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete event, or a comment that stands between events, which must flow at once to keep the connection
    /// alive.
    ///
    /// # Errors
    /// [`SseError::TooLarge`]; the stream cannot be read on.
    pub fn next_event(&mut self) -> Result<Option<Event>, SseError> {
        while let Some((end, next)) = self.line_end() {
            let line = self.buffer.get(self.line..end).unwrap_or_default();
            let line = without_mark(line, self.first && self.line == 0);
            let is_blank = line.is_empty();
            let is_comment = line.first() == Some(&b':');
            self.line = next;
            self.seen = next;
            self.within_limit()?;
            if is_blank || (is_comment && !self.has_fields) {
                return Ok(Some(self.take()));
            }
            self.has_fields |= !is_comment;
        }
        self.within_limit()?;
        Ok(None)
    }

    /// How many bytes wait for the end of their event. At the end of the stream they are none and must be dropped.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// Where the current line ends and where the next one begins.
    fn line_end(&mut self) -> Option<(usize, usize)> {
        if self.after_cr && self.seen < self.buffer.len() {
            self.after_cr = false;
            if self.buffer.get(self.seen) == Some(&b'\n') {
                self.line += 1;
                self.seen += 1;
            }
        }
        let rest = self.buffer.get(self.seen..)?;
        let Some(at) = rest.iter().position(|b| matches!(b, b'\r' | b'\n')) else {
            self.seen = self.buffer.len();
            return None;
        };
        let end = self.seen + at;
        let next = match (rest.get(at), rest.get(at + 1)) {
            (Some(b'\r'), Some(b'\n')) => end + 2,
            (Some(b'\r'), None) => {
                self.after_cr = true;
                end + 1
            }
            _ => end + 1,
        };
        Some((end, next))
    }

    fn within_limit(&self) -> Result<(), SseError> {
        if self.seen > self.limit {
            return Err(SseError::TooLarge { limit: self.limit });
        }
        Ok(())
    }

    /// Everything up to the current line becomes one event.
    fn take(&mut self) -> Event {
        let raw = self.buffer.split_to(self.line).freeze();
        self.line = 0;
        self.seen = 0;
        self.has_fields = false;
        read(raw, std::mem::take(&mut self.first))
    }
}

/// An event with other data and the same id, type and retry time. Comments are left out.
pub fn rewrite(event: &Event, data: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(data.len() + 64);
    let mut field = |name: &[u8], value: &[u8]| {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.push(b'\n');
    };
    if let Some(id) = &event.id {
        field(b"id", id);
    }
    if let Some(name) = &event.event {
        field(b"event", name);
    }
    if let Some(retry) = event.retry {
        field(b"retry", retry.to_string().as_bytes());
    }
    for line in Lines(data) {
        field(b"data", line);
    }
    if data.is_empty() {
        field(b"data", b"");
    }
    out.push(b'\n');
    out.into()
}

/// Reads the fields of one event.
fn read(raw: Bytes, first: bool) -> Event {
    let mut event = Event {
        raw: raw.clone(),
        data: None,
        id: None,
        event: None,
        retry: None,
    };
    let mut joined: Option<Vec<u8>> = None;
    for line in Lines(without_mark(&raw, first)) {
        let (name, value) = split(line);
        match name {
            b"data" => match (&event.data, &mut joined) {
                (None, _) => event.data = Some(raw.slice_ref(value)),
                (Some(first), None) => joined = Some([first.as_ref(), value].join(&b'\n')),
                (Some(_), Some(joined)) => {
                    joined.push(b'\n');
                    joined.extend_from_slice(value);
                }
            },
            b"id" if !value.contains(&0) => event.id = Some(raw.slice_ref(value)),
            b"event" => event.event = Some(raw.slice_ref(value)),
            b"retry" => event.retry = digits(value).or(event.retry),
            _ => {}
        }
    }
    if let Some(joined) = joined {
        event.data = Some(joined.into());
    }
    event
}

/// A line's field name and value; a comment has the empty name.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
    let (name, mut value) = line.split_at_checked(colon).unwrap_or((line, &[]));
    if value.remaining() > 0 {
        value.advance(1);
    }
    (name, value.strip_prefix(b" ").unwrap_or(value))
}

fn digits(value: &[u8]) -> Option<u64> {
    let only_digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok()?;
    only_digits.then(|| text.parse().ok())?
}

fn without_mark(line: &[u8], may_have_one: bool) -> &[u8] {
    match line.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) if may_have_one => rest,
        _ => line,
    }
}

/// Iterator over lines that end with CR, LF or CRLF.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.iter().position(|b| matches!(b, b'\r' | b'\n'));
        let (line, rest) = self.0.split_at_checked(end.unwrap_or(self.0.len()))?;
        self.0 = match rest {
            [b'\r', b'\n', rest @ ..] | [b'\r' | b'\n', rest @ ..] => rest,
            rest => rest,
        };
        Some(line)
    }
}

#[cfg(test)]
#[path = "sse_tests.rs"]
mod tests;
