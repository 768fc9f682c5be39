//! An upstream that speaks HTTP/2 frame by frame over TLS and breaks off in the ways that only HTTP/2 has: refused streams,
//! GOAWAY before and after the stream in question, resets, and floods of interim answers.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// What is done with one request, once its headers or all of it have been read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Frames {
    /// RST_STREAM with this code, before the request counts as received.
    Refuse(u32),
    /// All of it is received, and then RST_STREAM with this code.
    ReceiveAndReset(u32),
    /// GOAWAY that does not let this stream through.
    GoAwayBefore,
    /// The answer, and then a GOAWAY that lets the stream through.
    ServeAndGoAway,
    /// GOAWAY that lets the stream through, and then the answer.
    GoAwayAndServe,
    /// GOAWAY that lets the stream through, and then the end of the connection.
    ReceiveAndGoAway,
    /// The answer, and then the end of the connection.
    ServeAndClose,
    /// So many interim answers, and then the answer.
    Interim(usize),
}

#[derive(Default)]
struct Memory {
    script: Mutex<VecDeque<Frames>>,
    received: Mutex<Vec<Value>>,
    connections: AtomicUsize,
}

/// The saboteur. It ends with the value.
pub(crate) struct SaboteurH2 {
    address: SocketAddr,
    memory: Arc<Memory>,
    task: JoinHandle<()>,
}

impl Drop for SaboteurH2 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SaboteurH2 {
    /// Listens on loopback with this certificate, and speaks nothing but HTTP/2.
    pub(crate) async fn start(cert_file: &Path, key_file: &Path) -> Self {
        let certs = vec![CertificateDer::from_pem_file(cert_file).unwrap()];
        let key = PrivateKeyDer::from_pem_file(key_file).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certs, key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let memory = Arc::<Memory>::default();
        let tls = TlsAcceptor::from(Arc::new(config));
        let task = tokio::spawn(accept(listener, tls, memory.clone()));
        Self {
            address,
            memory,
            task,
        }
    }

    /// The URL of its endpoint.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/mcp", self.address.port())
    }

    /// Adds an act to the end of the script.
    pub(crate) fn will(&self, frames: Frames) -> &Self {
        self.memory.script.lock().unwrap().push_back(frames);
        self
    }

    /// Every message that arrived in full, in order.
    pub(crate) fn received(&self) -> Vec<Value> {
        self.memory.received.lock().unwrap().clone()
    }

    /// How many connections were accepted.
    pub(crate) fn connections(&self) -> usize {
        self.memory.connections.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, memory: Arc<Memory>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        memory.connections.fetch_add(1, Ordering::SeqCst);
        let (tls, memory) = (tls.clone(), memory.clone());
        connections.spawn(async move {
            if let Ok(stream) = tls.accept(stream).await {
                let _ = converse(stream, &memory).await;
            }
        });
    }
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

async fn read_frame(stream: &mut TlsStream<TcpStream>) -> std::io::Result<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await?;
    Ok(Frame {
        kind: head[3],
        flags: head[4],
        stream: u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]),
        payload,
    })
}

async fn converse(mut stream: TlsStream<TcpStream>, memory: &Memory) -> std::io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    let mut body = Vec::new();
    let mut doomed = 0;
    loop {
        let came = read_frame(&mut stream).await?;
        match came.kind {
            SETTINGS if came.flags & ACK == 0 => {
                stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await?;
            }
            PING if came.flags & ACK == 0 => {
                stream
                    .write_all(&frame(PING, ACK, 0, &came.payload))
                    .await?;
            }
            HEADERS => {
                body.clear();
                if let Some(bytes) = refused(memory, came.stream) {
                    doomed = came.stream;
                    stream.write_all(&bytes).await?;
                }
            }
            DATA if came.stream == doomed => {}
            DATA => {
                body.extend_from_slice(&came.payload);
                if came.flags & END_STREAM != 0 {
                    let message: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
                    let id = message["id"].clone();
                    memory.received.lock().unwrap().push(message);
                    let act = memory.script.lock().unwrap().pop_front();
                    let (bytes, ends) = acted(act, came.stream, &id);
                    stream.write_all(&bytes).await?;
                    stream.flush().await?;
                    if ends {
                        return stream.shutdown().await;
                    }
                }
            }
            _ => {}
        }
    }
}

/// What is written for a request of which only the headers are there, if it is to come no further.
fn refused(memory: &Memory, stream: u32) -> Option<Vec<u8>> {
    let mut script = memory.script.lock().unwrap();
    let bytes = match script.front()? {
        Frames::Refuse(code) => reset(stream, *code),
        Frames::GoAwayBefore => go_away(stream.saturating_sub(2)),
        _ => return None,
    };
    script.pop_front();
    Some(bytes)
}

/// What is written for a request that was received, and whether the connection then ends.
fn acted(act: Option<Frames>, stream: u32, id: &Value) -> (Vec<u8>, bool) {
    let good = good(stream, id);
    match act {
        None => (good, false),
        Some(Frames::ServeAndClose) => (good, true),
        Some(Frames::ServeAndGoAway) => ([good, go_away(stream)].concat(), false),
        Some(Frames::GoAwayAndServe) => ([go_away(stream), good].concat(), false),
        Some(Frames::ReceiveAndGoAway) => (go_away(stream), true),
        Some(Frames::ReceiveAndReset(code)) => (reset(stream, code), false),
        Some(Frames::Interim(count)) => {
            // `:status: 103`, a literal that is not indexed.
            let interim = frame(HEADERS, END_HEADERS, stream, b"\x08\x03103");
            let mut bytes = interim.repeat(count);
            bytes.extend(good);
            (bytes, false)
        }
        Some(Frames::Refuse(_) | Frames::GoAwayBefore) => unreachable!("taken with the headers"),
    }
}

fn good(stream: u32, id: &Value) -> Vec<u8> {
    let body = json!({"jsonrpc": "2.0", "id": id, "result": {"content": [], "served": id}});
    // `:status: 200`, and `content-type`, of the static table, with a literal value.
    let headers = b"\x88\x0f\x10\x10application/json";
    let head = frame(HEADERS, END_HEADERS, stream, headers);
    let body = frame(DATA, END_STREAM, stream, body.to_string().as_bytes());
    [head, body].concat()
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// GOAWAY without an error.
fn go_away(last: u32) -> Vec<u8> {
    let payload = [last.to_be_bytes(), 0_u32.to_be_bytes()].concat();
    frame(GOAWAY, 0, 0, &payload)
}
