//! The socket itself: who may speak on it, how much and for how long.

use std::convert::Infallible;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::SOCKET;
use super::ask::is_nobody;
use super::verbs::{Call, Outcome, Refusal, Verbs};

/// Orders that are carried out at once.
const MAX_CONNECTIONS: usize = 16;
/// The largest head, and how long it may take.
const MAX_HEAD: usize = 16 * 1024;
const HEAD_TIME: Duration = Duration::from_secs(5);
/// The largest body, and how long it may take.
const MAX_BODY: usize = 64 * 1024;
const BODY_TIME: Duration = Duration::from_secs(5);
/// How long one order may take: walking through all sealed secrets is the longest.
const MAX_TIME: Duration = Duration::from_secs(600);
/// Any of these bits lets somebody else put a socket of theirs into a folder.
const WRITABLE_BITS: u32 = 0o022;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The socket or its folder cannot be used.
    #[error("cannot use {path}")]
    Io {
        /// The socket or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others may put files into the folder.
    #[error("{path} may be written by others (mode {mode:03o}); run `chmod 700` on it")]
    LooseFolder {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another gateway runs with this state folder.
    #[error("another gateway runs with this state folder: it answers on {0}")]
    InUse(PathBuf),
    /// Something else has its name.
    #[error("{0} is no socket; remove it")]
    NoSocket(PathBuf),
}

/// The socket, bound. It disappears with the value.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
    /// The user that the gateway runs as.
    pub(super) uid: u32,
    verbs: Arc<ArcSwap<Verbs>>,
}

impl Control {
    /// Binds the socket in the state folder. What a process that is gone left there is replaced.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn bind(state_dir: &Path, verbs: Arc<Verbs>) -> Result<Self, ControlError> {
        Self::bind_to(state_dir, Arc::new(ArcSwap::new(verbs))).await
    }

    /// The same with verbs that may be replaced by others.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn bind_to(
        state_dir: &Path,
        verbs: Arc<ArcSwap<Verbs>>,
    ) -> Result<Self, ControlError> {
        let path = state_dir.join(SOCKET);
        own_folder(state_dir)?;
        clear(state_dir, &path).await?;
        let listener = UnixListener::bind(&path).map_err(|source| io_error(&path, source))?;
        let uid = fs::set_permissions(&path, Permissions::from_mode(0o600))
            .and_then(|()| fs::symlink_metadata(&path))
            .map_err(|source| io_error(&path, source))?
            .uid();
        Ok(Self {
            listener,
            path,
            uid,
            verbs,
        })
    }

    /// Answers, for ever.
    pub async fn run(self) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    // Those of the configuration in force.
                    let verbs = self.verbs.load_full();
                    tokio::spawn(converse(stream, verbs, self.uid, place));
                }
                Err(error) => {
                    warn!(%error, "the control socket cannot accept");
                    // Without descriptors it would fail again at once.
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn io_error(path: &Path, source: io::Error) -> ControlError {
    let path = path.to_owned();
    ControlError::Io { path, source }
}

fn own_folder(dir: &Path) -> Result<(), ControlError> {
    let mode = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .and_then(|()| fs::metadata(dir))
        .map_err(|source| io_error(dir, source))?
        .mode()
        & 0o777;
    if mode & WRITABLE_BITS == 0 {
        return Ok(());
    }
    Err(ControlError::LooseFolder {
        path: dir.to_owned(),
        mode,
    })
}

/// Removes a socket that nobody answers on.
async fn clear(dir: &Path, path: &Path) -> Result<(), ControlError> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        return Err(ControlError::NoSocket(path.to_owned()));
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(ControlError::InUse(path.to_owned())),
        Err(error) if is_nobody(&error) => {
            fs::remove_file(path).map_err(|source| io_error(dir, source))
        }
        Err(source) => Err(io_error(path, source)),
    }
}

async fn converse(stream: UnixStream, verbs: Arc<Verbs>, own: u32, place: OwnedSemaphorePermit) {
    // Who is at the other end, says the kernel (SO_PEERCRED).
    let peer = stream.peer_cred().map(|peer| peer.uid());
    let service = service_fn(move |request: Request<Incoming>| {
        let verbs = Arc::clone(&verbs);
        let uid = match &peer {
            Ok(uid) if *uid == own => Ok(*uid),
            _ => Err(foreign(own)),
        };
        async move {
            let outcome = match uid {
                Ok(uid) => obey(&verbs, request, uid).await,
                Err(refusal) => Err(refusal),
            };
            Ok::<_, Infallible>(answer(outcome))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever breaks off learns nothing; what was ordered is carried out or not, and recorded.
    let _ = timeout(MAX_TIME, connection).await;
    drop(place);
}

fn foreign(own: u32) -> Refusal {
    let message = format!("only the user that the gateway runs as may speak here (uid {own})");
    Refusal::new(StatusCode::FORBIDDEN, "forbidden", message)
}

async fn obey(verbs: &Arc<Verbs>, request: Request<Incoming>, uid: u32) -> Outcome {
    let (head, body) = request.into_parts();
    let body = match timeout(BODY_TIME, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) | Err(_) => {
            let message = "the body is too large or too slow";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "bad_body", message));
        }
    };
    let call = Call {
        names: Vec::new(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        body,
        uid,
    };
    // On a task of its own: an order whose giver hangs up is carried out to its end, and its line is written.
    let (verbs, method) = (Arc::clone(verbs), head.method);
    let path = head.uri.path().to_owned();
    tokio::spawn(async move { verbs.act(&method, &path, call).await })
        .await
        .unwrap_or_else(|_| Err(Refusal::failed("the order could not be carried out")))
}

fn answer(outcome: Outcome) -> Response<Full<Bytes>> {
    let (status, document) = match outcome {
        Ok(document) => (StatusCode::OK, document),
        Err(refusal) => {
            let error = json!({ "code": refusal.code, "message": refusal.message });
            (refusal.status, json!({ "error": error }))
        }
    };
    let mut response = Response::new(Full::from(document.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
