//! An upstream that breaks the rules of HTTP/1.1 on order: it answers with raw bytes, resets, hangs, drips or never ends,
//! one act a request. When no act is left it serves, echoing the id of the request. It remembers every request that it
//! received in full, which is what it may have acted on.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What is done with one request, once it has been read.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// These bytes; the connection stays open.
    Say(Vec<u8>),
    /// These bytes and a FIN.
    SayAndClose(Vec<u8>),
    /// These bytes and a RST.
    SayAndReset(Vec<u8>),
    /// These bytes, then silence until the other side goes away.
    SayAndHang(Vec<u8>),
    /// The first bytes, and then the second ones again and again, with this pause after each byte.
    Drip(Vec<u8>, Vec<u8>, Duration),
    /// The first bytes, and then the second ones again and again, as fast as they go.
    Flood(Vec<u8>, Vec<u8>),
    /// A good answer, and then a FIN that nobody was told about.
    ServeAndClose,
}

/// A head with this status line and these header lines, and a body with its true length.
pub(crate) fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// 200 with a body of this media type.
pub(crate) fn ok(media: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    answer("200 OK", &format!("content-type: {media}\r\n"), body)
}

#[derive(Default)]
struct Memory {
    script: Mutex<VecDeque<Act>>,
    received: Mutex<Vec<Value>>,
    connections: AtomicUsize,
}

/// The saboteur. It ends with the value.
pub(crate) struct Saboteur {
    address: SocketAddr,
    memory: Arc<Memory>,
    task: JoinHandle<()>,
}

impl Drop for Saboteur {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Saboteur {
    /// Listens on loopback.
    pub(crate) async fn start() -> Self {
        Self::at("127.0.0.1:0").await
    }

    /// Listens at this address.
    pub(crate) async fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let memory = Arc::<Memory>::default();
        let task = tokio::spawn(accept(listener, memory.clone()));
        Self {
            address,
            memory,
            task,
        }
    }

    /// The URL of its endpoint.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Adds an act to the end of the script.
    pub(crate) fn will(&self, act: Act) -> &Self {
        self.memory.script.lock().unwrap().push_back(act);
        self
    }

    /// Whether its script is used up.
    pub(crate) fn has_nothing_to_do(&self) -> bool {
        self.memory.script.lock().unwrap().is_empty()
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

async fn accept(listener: TcpListener, memory: Arc<Memory>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        memory.connections.fetch_add(1, Ordering::SeqCst);
        let memory = memory.clone();
        connections.spawn(async move {
            // A connection that breaks is the point.
            let _ = converse(stream, &memory).await;
        });
    }
}

async fn converse(mut stream: TcpStream, memory: &Memory) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut read = Vec::new();
    while let Some(message) = request(&mut stream, &mut read).await? {
        let id = message["id"].clone();
        memory.received.lock().unwrap().push(message);
        let act = memory.script.lock().unwrap().pop_front();
        let good = ok(
            "application/json",
            json!({"jsonrpc": "2.0", "id": id, "result": {"content": [], "served": id}})
                .to_string(),
        );
        match act {
            None => stream.write_all(&good).await?,
            Some(Act::Say(bytes)) => stream.write_all(&bytes).await?,
            Some(Act::ServeAndClose) => {
                stream.write_all(&good).await?;
                return stream.shutdown().await;
            }
            Some(Act::SayAndClose(bytes)) => {
                stream.write_all(&bytes).await?;
                stream.shutdown().await?;
                return gone(&mut stream).await;
            }
            Some(Act::SayAndReset(bytes)) => {
                stream.write_all(&bytes).await?;
                return stream.set_zero_linger();
            }
            Some(Act::SayAndHang(bytes)) => {
                stream.write_all(&bytes).await?;
                return gone(&mut stream).await;
            }
            Some(Act::Flood(first, then)) => {
                stream.write_all(&first).await?;
                loop {
                    stream.write_all(&then).await?;
                }
            }
            Some(Act::Drip(first, then, pause)) => {
                stream.write_all(&first).await?;
                for byte in then.iter().cycle() {
                    stream.write_all(&[*byte]).await?;
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
    Ok(())
}

/// The next request's message, or null for one without a body; none at the end of the connection.
async fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> std::io::Result<Option<Value>> {
    loop {
        let end = read.windows(4).position(|part| part == b"\r\n\r\n");
        if let Some(end) = end.map(|end| end + 4) {
            let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
            let length: usize = length.unwrap_or(0);
            if read.len() >= end + length {
                let body = read[end..end + length].to_vec();
                read.drain(..end + length);
                return Ok(Some(serde_json::from_slice(&body).unwrap_or(Value::Null)));
            }
        }
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
}

/// Waits until the other side has gone.
async fn gone(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
