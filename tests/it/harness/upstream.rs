//! An upstream that does what a test tells it and remembers every request that reached it. Answers are taken from a
//! script in order; when it is used up, the standing answer serves, at first a 500 that says so.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::wait;

type Body = UnsyncBoxBody<Bytes, Torn>;

/// The reason with which a body breaks off.
#[derive(Debug, thiserror::Error)]
#[error("the script tears the connection")]
pub(crate) struct Torn;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    /// A header that has to be plain text and may be absent.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body, which has to be JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Do the path, a header or the body hold this text? For planted canaries.
    pub(crate) fn mentions(&self, canary: &str) -> bool {
        let holds = |bytes: &[u8]| {
            bytes
                .windows(canary.len())
                .any(|part| part == canary.as_bytes())
        };
        holds(self.path.as_bytes())
            || holds(&self.body)
            || self.headers.values().any(|value| holds(value.as_bytes()))
    }
}

/// One scripted answer.
pub(crate) struct Answer {
    head: Response<()>,
    body: Script,
}

enum Script {
    Whole(Bytes),
    /// `None` tears the connection; the end of the channel ends the body.
    Stream(mpsc::Receiver<Option<Bytes>>),
    Hang,
}

impl Answer {
    /// 200 with a JSON body.
    pub(crate) fn json(value: &Value) -> Self {
        Self::bytes(value.to_string()).header("content-type", "application/json")
    }

    /// 200 with these bytes and no media type.
    pub(crate) fn bytes(body: impl Into<Bytes>) -> Self {
        Self {
            head: Response::new(()),
            body: Script::Whole(body.into()),
        }
    }

    /// This status and no body.
    pub(crate) fn status(status: u16) -> Self {
        Self::bytes("").with_status(status)
    }

    /// 307 to another place.
    pub(crate) fn redirect(location: &str) -> Self {
        Self::status(307).header(LOCATION.as_str(), location)
    }

    /// The head of the answer never comes.
    pub(crate) fn hang() -> Self {
        let mut answer = Self::bytes("");
        answer.body = Script::Hang;
        answer
    }

    /// 200 with an event stream that the test feeds by hand.
    pub(crate) fn sse() -> (Self, Feed) {
        Self::stream("text/event-stream")
    }

    /// 200 with a body of this media type that the test feeds by hand.
    pub(crate) fn stream(media_type: &str) -> (Self, Feed) {
        let (feed, chunks) = mpsc::channel(1);
        let mut answer = Self::bytes("").header(CONTENT_TYPE.as_str(), media_type);
        answer.body = Script::Stream(chunks);
        (answer, Feed(feed))
    }

    /// The same with another status.
    pub(crate) fn with_status(mut self, status: u16) -> Self {
        *self.head.status_mut() = StatusCode::from_u16(status).unwrap();
        self
    }

    /// The same with one more header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().unwrap();
        let value: HeaderValue = value.parse().unwrap();
        self.head.headers_mut().append(name, value);
        self
    }
}

/// The test's end of a streamed answer.
pub(crate) struct Feed(mpsc::Sender<Option<Bytes>>);

impl Feed {
    /// Sends one chunk.
    pub(crate) async fn send(&self, chunk: impl Into<Bytes>) {
        let sent = self.0.send(Some(chunk.into()));
        wait::soon("room for a chunk", sent)
            .await
            .expect("the answer is still being read");
    }

    /// Sends one JSON message as an event.
    pub(crate) async fn event(&self, message: &Value) {
        self.send(format!("event: message\ndata: {message}\n\n"))
            .await;
    }

    /// Breaks the connection in the middle of the body.
    pub(crate) async fn tear(self) {
        let _ = self.0.send(None).await;
    }

    /// Ends the body as it should end.
    pub(crate) fn end(self) {}

    /// Waits until the other side has let go of the answer.
    pub(crate) async fn abandoned(&self) {
        wait::soon("the answer to be abandoned", self.0.closed()).await;
    }
}

/// What the upstream remembers and is told.
struct Memory {
    script: Mutex<VecDeque<Answer>>,
    standing: Mutex<(StatusCode, Bytes)>,
    seen: Mutex<Vec<Seen>>,
    hanging: AtomicUsize,
    connections: AtomicUsize,
}

/// The fake. It ends with the value.
pub(crate) struct FakeUpstream {
    address: SocketAddr,
    scheme: &'static str,
    memory: Arc<Memory>,
    task: JoinHandle<()>,
    unix: Option<JoinHandle<()>>,
}

impl Drop for FakeUpstream {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(unix) = &self.unix {
            unix.abort();
        }
    }
}

impl FakeUpstream {
    /// Listens on loopback with plain HTTP/1.1 and HTTP/2.
    pub(crate) async fn start() -> Self {
        Self::listen(None).await
    }

    /// Listens on loopback with TLS.
    pub(crate) async fn start_tls(cert_file: &Path, key_file: &Path) -> Self {
        Self::start_tls_with(cert_file, key_file, None).await
    }

    /// The same, for clients alone whose certificate this authority signed.
    pub(crate) async fn start_mutual(cert_file: &Path, key_file: &Path, ca_file: &Path) -> Self {
        Self::start_tls_with(cert_file, key_file, Some(ca_file)).await
    }

    async fn start_tls_with(cert_file: &Path, key_file: &Path, clients: Option<&Path>) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certs = CertificateDer::pem_file_iter(cert_file).unwrap();
        let certs = certs.collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(key_file).unwrap();
        let verifier = clients.map(|ca_file| {
            let mut roots = RootCertStore::empty();
            let ca = CertificateDer::from_pem_file(ca_file).unwrap();
            roots.add(ca).unwrap();
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .unwrap()
        });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(
                verifier.unwrap_or_else(WebPkiClientVerifier::no_client_auth),
            )
            .with_single_cert(certs, key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self::listen(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    /// Listens on loopback, and on this unix socket as well.
    pub(crate) async fn start_unix(socket: &Path) -> Self {
        let mut fake = Self::listen(None).await;
        let listener = UnixListener::bind(socket).unwrap();
        let memory = fake.memory.clone();
        fake.unix = Some(tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                memory.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(serve(stream, memory.clone()));
            }
        }));
        fake
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lost = (
            StatusCode::INTERNAL_SERVER_ERROR,
            "the script is used up".into(),
        );
        let memory = Arc::new(Memory {
            script: Mutex::default(),
            standing: Mutex::new(lost),
            seen: Mutex::default(),
            hanging: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        });
        Self {
            address: listener.local_addr().unwrap(),
            scheme: if tls.is_some() { "https" } else { "http" },
            task: tokio::spawn(accept(listener, tls, memory.clone())),
            unix: None,
            memory,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of its MCP endpoint.
    pub(crate) fn url(&self) -> String {
        format!("{}://localhost:{}/mcp", self.scheme, self.address.port())
    }

    /// Adds an answer to the end of the script.
    pub(crate) fn will(&self, answer: Answer) -> &Self {
        self.memory.script.lock().unwrap().push_back(answer);
        self
    }

    /// Forgets what is left of the script.
    pub(crate) fn will_nothing(&self) {
        self.memory.script.lock().unwrap().clear();
    }

    /// Answers 200 with this JSON whenever the script is used up.
    pub(crate) fn always(&self, value: &Value) -> &Self {
        *self.memory.standing.lock().unwrap() = (StatusCode::OK, value.to_string().into());
        self
    }

    /// Everything that arrived so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.memory.seen.lock().unwrap().clone()
    }

    /// The one request that arrived; a panic when there were none or several.
    pub(crate) fn only_request(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "exactly one request: {seen:?}");
        seen.remove(0)
    }

    /// Asserts that nothing arrived. Meaningful once the caller has its answer.
    pub(crate) fn saw_nothing(&self) {
        let seen = self.seen();
        assert!(seen.is_empty(), "nothing should have arrived: {seen:?}");
    }

    /// Waits until so many requests have arrived.
    pub(crate) async fn saw(&self, count: usize) {
        wait::until_true("requests to arrive", || self.seen().len() >= count).await;
    }

    /// Waits until nobody waits for a hanging answer any more.
    pub(crate) async fn hangs_no_more(&self) {
        let hanging = &self.memory.hanging;
        wait::until_true("a hanging request to be dropped", || {
            hanging.load(Ordering::SeqCst) == 0
        })
        .await;
    }

    /// How many connections were accepted.
    pub(crate) fn connections(&self) -> usize {
        self.memory.connections.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, memory: Arc<Memory>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        memory.connections.fetch_add(1, Ordering::SeqCst);
        let (tls, memory) = (tls.clone(), memory.clone());
        connections.spawn(async move {
            match tls {
                None => serve(stream, memory).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, memory).await;
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, memory: Arc<Memory>) {
    let service = service_fn(move |request| {
        let memory = memory.clone();
        async move { answer(&memory, request).await }
    });
    // A connection that breaks is often the point of the test.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(memory: &Memory, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes());
    memory.seen.lock().unwrap().push(Seen {
        method: head.method,
        version: head.version,
        path: head.uri.path_and_query().unwrap().to_string(),
        headers: head.headers,
        body: body.unwrap_or_default(),
    });
    let next = memory.script.lock().unwrap().pop_front();
    let next = next.unwrap_or_else(|| {
        let (status, body) = memory.standing.lock().unwrap().clone();
        let answer = Answer::bytes(body).with_status(status.as_u16());
        answer.header("content-type", "application/json")
    });
    let body = match next.body {
        Script::Whole(bytes) => Full::new(bytes)
            .map_err(|never| match never {})
            .boxed_unsync(),
        Script::Stream(chunks) => streamed(chunks),
        Script::Hang => {
            let _hanging = Hanging::on(&memory.hanging);
            std::future::pending().await
        }
    };
    Ok(next.head.map(|()| body))
}

fn streamed(chunks: mpsc::Receiver<Option<Bytes>>) -> Body {
    let frames = stream::unfold(chunks, |mut chunks| async {
        let chunk = chunks.recv().await?;
        Some((chunk.map(Frame::data).ok_or(Torn), chunks))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Counts an answer that hangs, until the other side drops the request.
struct Hanging<'a>(&'a AtomicUsize);

impl<'a> Hanging<'a> {
    fn on(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
