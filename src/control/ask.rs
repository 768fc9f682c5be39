//! The other end of the control socket: what the command line says to a gateway that runs.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::SOCKET;

/// How long a whole order may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// The largest answer that is read.
const ANSWER_MAX: usize = 4 * 1024 * 1024;

/// What the gateway answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The document.
    pub document: Value,
}

/// Why there is no answer from a gateway that runs.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The socket is there and cannot be used.
    #[error("{0} cannot be used")]
    Socket(PathBuf, #[source] io::Error),
    /// The exchange failed.
    #[error("the gateway broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No answer in time.
    #[error("the gateway did not answer in time")]
    TimedOut,
}

/// Gives an order to the gateway that runs with this state folder; `None` when none does.
///
/// # Errors
/// [`AskError`] when one may be running and does not answer.
pub async fn ask(
    state_dir: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<Option<Answer>, AskError> {
    let Some(stream) = connect(state_dir).await? else {
        return Ok(None);
    };
    match timeout(PATIENCE, exchange(stream, method, path, body)).await {
        Ok(answered) => answered.map(Some).map_err(AskError::Broken),
        Err(_) => Err(AskError::TimedOut),
    }
}

/// Whether a gateway runs with this state folder.
///
/// # Errors
/// [`AskError`] when it cannot be said.
pub async fn is_served(state_dir: &Path) -> Result<bool, AskError> {
    connect(state_dir).await.map(|stream| stream.is_some())
}

async fn connect(state_dir: &Path) -> Result<Option<UnixStream>, AskError> {
    let socket = state_dir.join(SOCKET);
    match UnixStream::connect(&socket).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if is_nobody(&error) => Ok(None),
        Err(error) => Err(AskError::Socket(socket, error)),
    }
}

/// Whether it means that nobody listens: no socket, or one that a process left behind.
pub(super) fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

async fn exchange(
    stream: UnixStream,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driven = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "localhost")
        .body(Full::new(body))?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, ANSWER_MAX).collect().await?.to_bytes();
    driven.abort();
    Ok(Answer {
        status: head.status,
        document: serde_json::from_slice(&body)?,
    })
}

/// A name as a part of a path.
pub fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
