//! HTTP/2 by hand, frame by frame, for exchanges that no decent client would have.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::tls_config;
use super::wait;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const WITH_PRIORITY: u8 = 0x20;

/// With what every client begins.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![a, b, c, kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// One setting.
pub(crate) fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// An HPACK integer behind a prefix of so many bits (RFC 7541 section 5.1).
pub(crate) fn integer(first: u8, bits: u8, value: usize) -> Vec<u8> {
    let most = (1_usize << bits) - 1;
    if value < most {
        return vec![first | u8::try_from(value).unwrap()];
    }
    let mut bytes = vec![first | u8::try_from(most).unwrap()];
    let mut rest = value - most;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 0x80);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

/// A field spelt out, which leaves the table as it is.
pub(crate) fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        bytes.extend(integer(0, 7, text.len()));
        bytes.extend(text);
    }
    bytes
}

/// A header block of fields that are spelt out.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let spelt = |(name, value): &(&str, &str)| field(name.as_bytes(), value.as_bytes());
    fields.iter().flat_map(spelt).collect()
}

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Got {
    /// The code of a reset or a farewell.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// The status with which an answer's header block begins, on a connection's first answer.
    pub(crate) fn status(&self) -> u16 {
        const KNOWN: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
        match self.payload[0] {
            index @ 0x88..=0x8e => KNOWN[usize::from(index - 0x88)],
            0x48 => spelt(self.payload[1], &self.payload[2..]),
            other => panic!("no status in {other:#x}"),
        }
    }
}

/// Three digits, plain or in Huffman's code (RFC 7541 appendix B).
fn spelt(length: u8, bytes: &[u8]) -> u16 {
    let count = usize::from(length & 0x7f);
    if length & 0x80 == 0 {
        return std::str::from_utf8(&bytes[..count])
            .unwrap()
            .parse()
            .unwrap();
    }
    let bit = |at: usize| u16::from(bytes[at / 8] >> (7 - at % 8) & 1);
    let (mut at, mut status) = (0, 0);
    for _ in 0..3 {
        let take =
            |at: usize, count: usize| (at..at + count).fold(0, |bits, at| bits << 1 | bit(at));
        let (digit, bits) = match take(at, 5) {
            few @ 0..=2 => (few, 5),
            _ => (take(at, 6) - 0b01_1001 + 3, 6),
        };
        status = status * 10 + digit;
        at += bits;
    }
    status
}

/// A connection over TLS whose frames the test writes itself.
pub(crate) struct Framed {
    wire: TlsStream<TcpStream>,
    read: Vec<u8>,
}

impl Framed {
    /// Connects for HTTP/2 and says nothing yet.
    pub(crate) async fn silent(address: SocketAddr, ca_file: &Path) -> Self {
        let stream = wait::soon("a connection", TcpStream::connect(address)).await;
        let mut config = tls_config(ca_file);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream.unwrap());
        Self {
            wire: wait::soon("a TLS handshake", handshake).await.unwrap(),
            read: Vec::new(),
        }
    }

    /// Connects and begins with these settings.
    pub(crate) async fn with_settings(
        address: SocketAddr,
        ca_file: &Path,
        settings: &[u8],
    ) -> Self {
        let mut this = Self::silent(address, ca_file).await;
        let begin = [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat();
        this.send(&begin).await;
        this
    }

    /// Connects and begins as it should.
    pub(crate) async fn open(address: SocketAddr, ca_file: &Path) -> Self {
        Self::with_settings(address, ca_file, &[]).await
    }

    /// Sends bytes. That the other side has already hung up is seen when reading.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let writing = async {
            let _ = self.wire.write_all(bytes).await;
            let _ = self.wire.flush().await;
        };
        // A peer that takes nothing more has been told to go, or is about to tell us.
        let _ = tokio::time::timeout(wait::PATIENCE, writing).await;
    }

    /// The next frame, or nothing when the other side has closed, also by a reset.
    pub(crate) async fn next(&mut self) -> Option<Got> {
        loop {
            if let Some(got) = self.parse() {
                return Some(got);
            }
            match wait::soon("a frame or the end", self.wire.read_buf(&mut self.read)).await {
                Ok(more) if more > 0 => {}
                _ => return None,
            }
        }
    }

    /// The next frame of which this is true; a panic if the connection ends before.
    pub(crate) async fn until(&mut self, what: &str, wanted: impl Fn(&Got) -> bool) -> Got {
        let mut others = Vec::new();
        while let Some(got) = self.next().await {
            if wanted(&got) {
                return got;
            }
            others.push((got.kind, got.flags, got.stream));
        }
        panic!("closed before {what}, after {others:?}");
    }

    /// Everything until the other side closes.
    pub(crate) async fn rest(&mut self) -> Vec<Got> {
        let mut all = Vec::new();
        while let Some(got) = self.next().await {
            all.push(got);
        }
        all
    }

    fn parse(&mut self) -> Option<Got> {
        let [a, b, c, kind, flags, d, e, f, g] = *self.read.first_chunk::<9>()?;
        let end = 9 + usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap();
        let payload = self.read.get(9..end)?.to_vec();
        self.read.drain(..end);
        Some(Got {
            kind,
            flags,
            stream: u32::from_be_bytes([d, e, f, g]),
            payload,
        })
    }
}
