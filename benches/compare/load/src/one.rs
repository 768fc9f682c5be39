//! HTTP/1.1 as the load generator speaks it: the bytes of the request are made once, and of an answer nothing is kept but
//! its status and its length.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::Failure;
use crate::work::Work;

/// The largest head of an answer, and the least that is read at once.
const CHUNK: usize = 64 * 1024;
/// Most headers in an answer.
const HEADERS: usize = 64;

/// The whole request, to be written again and again.
pub(crate) fn request(work: Work, authority: &str, path: &str, token: &str) -> Vec<u8> {
    let body = work.body();
    let mut head = format!("POST {path} HTTP/1.1\r\nhost: {authority}\r\n");
    for (name, value) in work.headers(token) {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), &body].concat()
}

/// A connection with what was read of it and not used yet.
pub(crate) struct Wire<S> {
    stream: S,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// A fresh connection.
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: vec![0; CHUNK],
            start: 0,
            end: 0,
        }
    }

    /// A fresh connection that is not going to carry much.
    pub(crate) fn small(stream: S) -> Self {
        let mut wire = Self::new(stream);
        wire.buffer = Vec::new();
        wire
    }

    /// Sends the request and reads the answer to its end.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Answer, Failure> {
        self.buffer.resize(CHUNK, 0);
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        let head = self.head().await?;
        let bytes = match head.length {
            Some(length) => self.skip(length).await?,
            None => self.chunks().await?,
        };
        Ok(Answer {
            status: head.status,
            bytes,
        })
    }

    /// Gives back the memory of the buffer, if nothing is left in it.
    pub(crate) fn shrink(&mut self) {
        if self.start == self.end {
            self.buffer = Vec::new();
        }
    }

    /// Says goodbye in TLS and TCP.
    pub(crate) async fn close(mut self) {
        let _ = self.stream.shutdown().await;
    }

    async fn head(&mut self) -> Result<Head, Failure> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS];
            let mut response = httparse::Response::new(&mut headers);
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            if let httparse::Status::Complete(bytes) = response.parse(unread)? {
                let head = Head::read(&response)?;
                self.start += bytes;
                return Ok(head);
            }
            self.more().await?;
        }
    }

    async fn chunks(&mut self) -> Result<usize, Failure> {
        let mut total = 0;
        loop {
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(unread)
            else {
                self.more().await?;
                continue;
            };
            self.start += line;
            let size = usize::try_from(size)?;
            self.skip(size + 2).await?;
            total += size;
            if size == 0 {
                return Ok(total);
            }
        }
    }

    async fn skip(&mut self, bytes: usize) -> Result<usize, Failure> {
        let mut left = bytes;
        loop {
            let here = left.min(self.end - self.start);
            self.start += here;
            left -= here;
            if left == 0 {
                return Ok(bytes);
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), Failure> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let read = self.stream.read(room).await?;
        if read == 0 {
            return Err("the connection ended, or the head is too large".into());
        }
        self.end += read;
        Ok(())
    }
}

/// What is kept of an answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) bytes: usize,
}

struct Head {
    status: u16,
    /// None for chunks.
    length: Option<usize>,
}

impl Head {
    fn read(response: &httparse::Response<'_, '_>) -> Result<Self, Failure> {
        let value = |name: &str| {
            let mut all = response.headers.iter();
            all.find(|header| header.name.eq_ignore_ascii_case(name))
                .and_then(|header| std::str::from_utf8(header.value).ok())
        };
        let chunked = value("transfer-encoding").is_some_and(|coding| coding == "chunked");
        let length = value("content-length").map(str::parse).transpose()?;
        if chunked == length.is_some() {
            return Err("an answer that is not framed in exactly one way".into());
        }
        Ok(Self {
            status: response.code.unwrap_or(0),
            length,
        })
    }
}
