//! Stage 7: the exchange with the server that we stand in front of.
//!
//! - **Protects** the upstream's credentials, and callers from an upstream that is down, slow or lying.
//! - **Assumes** that the message was cleared: it is forwarded byte for byte.
//! - **Hands on** the head of the upstream's answer at once and its body as it comes.
//! - **Refuses** redirects, challenges of the upstream's own, and answers that do not begin in time.
//!
//! The client's own `Authorization` and cookies never reach this module: what travels is an allow-list ([`headers`]) and the
//! credentials that the operator configured for this upstream.

pub mod breaker;
pub mod connect;
pub mod credential;
pub mod headers;
pub mod health;
mod pool;
mod retry;
pub mod tls;

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, FutureExt, TryFutureExt};
use http::header::{HeaderName, HeaderValue};
use http::uri::Scheme;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use crate::secret::Secret;
use breaker::Blame;
use connect::{ConnectError, Connector};
use credential::Credentials;
use health::Checkup;
use pool::Pool;
use tls::TlsSettings;

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `http://` or `https://`.
    Web(Uri),
    /// A unix socket, and the path of the MCP endpoint behind it.
    Unix {
        /// The socket.
        socket: PathBuf,
        /// The path of the endpoint, such as `/mcp`.
        path: String,
    },
}

/// One upstream as the operator described it.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where it is.
    pub target: Target,
    /// The certificate authority to trust instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// A certificate authority to trust besides the public ones; not together with `ca_file`.
    pub extra_ca_file: Option<PathBuf>,
    /// The client certificate and key that we show.
    pub client_identity: Option<(PathBuf, PathBuf)>,
    /// What is asked of its TLS beyond that.
    pub tls: TlsSettings,
    /// Time to connect, TLS included.
    pub connect_timeout: Duration,
    /// Time from the sent request to the head of the answer.
    pub first_byte_timeout: Duration,
    /// The longest silence of an answer's body.
    pub idle_timeout: Duration,
    /// The longest time of a whole answer that is no stream.
    pub total_timeout: Duration,
    /// Credentials and other headers that every request carries.
    pub headers: Vec<(HeaderName, Secret<String>)>,
    /// Further headers of the caller that travel, by name.
    pub forward: Vec<HeaderName>,
    /// How it is looked after, if at all.
    pub health: Option<health::Settings>,
}

impl Settings {
    /// An upstream at this target with every bound at its default.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            tls: TlsSettings::default(),
            ca_file: None,
            extra_ca_file: None,
            client_identity: None,
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(300),
            total_timeout: Duration::from_secs(600),
            headers: Vec::new(),
            forward: Vec::new(),
            health: None,
        }
    }
}

/// Why there is no answer from the upstream that could be relayed.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection could be made; nothing was sent.
    #[error("upstream cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// The connection broke before the head of an answer came.
    #[error("upstream broke off")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
    /// The head of the answer did not come in time.
    #[error("upstream did not answer in time")]
    FirstByteTimeout,
    /// It failed so often that it is left alone for a while; nothing was sent.
    #[error(transparent)]
    Open(#[from] breaker::Open),
    /// The body of the answer fell silent.
    #[error("upstream fell silent")]
    IdleTimeout,
    /// The body broke off.
    #[error("upstream broke off in the middle of its answer")]
    BodyBroken,
    /// The answer is larger than may be inspected.
    #[error("upstream's answer is too large to inspect")]
    TooLarge,
    /// The upstream sends the caller elsewhere, which would lead around the gateway.
    #[error("upstream answered with a redirect ({0})")]
    Redirect(StatusCode),
    /// The upstream does not accept our credentials.
    #[error("upstream refused the gateway's credentials ({0})")]
    Unauthorized(StatusCode),
    /// The upstream failed and said so in no form that a caller can read.
    #[error("upstream failed ({0})")]
    Failed(StatusCode),
    /// An answer that had to be inspected cannot be read.
    #[error("upstream's answer cannot be read: {0}")]
    Unreadable(String),
    /// An answer to a request that this caller did not make: perhaps somebody else's.
    #[error("upstream answered another request")]
    Foreign,
    /// The answer has a content coding although none was asked for.
    #[error("upstream's answer is coded")]
    Coded,
}

impl UpstreamError {
    /// The stable code of this failure, for audit lines and metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "upstream_unreachable",
            Self::Broken(_) => "upstream_broken",
            Self::FirstByteTimeout => "network_timeout",
            Self::Open(_) => "upstream_unavailable",
            Self::IdleTimeout => "upstream_silent",
            Self::BodyBroken => "upstream_body_broken",
            Self::TooLarge => "upstream_answer_too_large",
            Self::Redirect(_) => "upstream_redirect",
            Self::Unauthorized(_) => "upstream_unauthorized",
            Self::Failed(_) => "upstream_failed",
            Self::Unreadable(_) => "upstream_unreadable",
            Self::Foreign => "upstream_foreign_answer",
            Self::Coded => "upstream_coded",
        }
    }

    /// 504 for time, 503 while it is left alone, 502 for everything else (RFC 9110 sections 15.6.3 to 15.6.5).
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::FirstByteTimeout | Self::IdleTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Open(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// Whom it may have been brought about by, if it says that the upstream is not well. An upstream that answers
    /// nonsense is up.
    pub const fn blame<'u>(&self, user: &'u str) -> Option<Blame<'u>> {
        match self {
            Self::Unreachable(_) => Some(Blame::Upstream),
            Self::Broken(_)
            | Self::FirstByteTimeout
            | Self::IdleTimeout
            | Self::BodyBroken
            | Self::Failed(_) => Some(Blame::Request(user)),
            Self::Open(_)
            | Self::TooLarge
            | Self::Redirect(_)
            | Self::Unauthorized(_)
            | Self::Unreadable(_)
            | Self::Foreign
            | Self::Coded => None,
        }
    }

    /// What the caller learns.
    pub const fn public(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "The MCP server cannot be reached",
            Self::Open(_) => "The MCP server is not available at the moment",
            Self::FirstByteTimeout | Self::IdleTimeout => "The MCP server did not answer in time",
            Self::TooLarge => "The MCP server's answer is too large",
            _ => "The MCP server gave no usable answer",
        }
    }
}

/// One upstream, with its pool of connections. Cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct Upstream {
    connections: Connections,
    headers: HeaderMap,
    forward: Vec<HeaderName>,
    settings: Settings,
    credentials: Option<Credentials>,
    checkup: Option<Checkup>,
    /// Whether its last answer came over HTTP/2, where it may say that it did not look at a request.
    speaks_h2: AtomicBool,
}

/// The connections to an upstream, by who decides which version of HTTP they speak.
#[derive(Debug)]
enum Connections {
    /// Nobody: without TLS it is HTTP/1.1.
    Plain(Pool),
    /// The TLS handshake.
    Negotiated {
        client: Client<Connector, Full<Bytes>>,
        endpoint: Uri,
    },
}

impl Connections {
    fn new(connector: Connector, endpoint: Uri) -> Result<Self, ConnectError> {
        if endpoint.scheme() == Some(&Scheme::HTTP) {
            return Ok(Self::Plain(Pool::new(connector, endpoint)?));
        }
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .http1_max_buf_size(READ_AHEAD as usize)
            .http2_initial_stream_window_size(READ_AHEAD)
            .http2_initial_connection_window_size(MAX_WINDOW)
            .build(connector);
        Ok(Self::Negotiated { client, endpoint })
    }

    fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> impl Future<Output = Result<Response<Incoming>, UpstreamError>> {
        match self {
            Self::Plain(pool) => Either::Left(pool.send(request)),
            Self::Negotiated { client, endpoint } => {
                *request.uri_mut() = endpoint.clone();
                Either::Right(
                    client
                        .request(request)
                        .map_err(|error| match error.is_connect() {
                            true => UpstreamError::Unreachable(error.into()),
                            false => UpstreamError::Broken(error.into()),
                        }),
                )
            }
        }
    }
}

/// How much of an answer is read before its caller takes it. Whoever takes nothing holds no more than this.
const READ_AHEAD: u32 = 16 * 1024;
/// The largest window (RFC 9113 section 6.9.1). Answers share a connection over HTTP/2, and one whose caller takes nothing must not
/// use up what the others need.
const MAX_WINDOW: u32 = (1 << 31) - 1;

impl Upstream {
    /// Prepares the pool; connects to nothing yet.
    ///
    /// # Errors
    /// [`ConnectError`] when a certificate or key cannot be used, or a header value is none.
    pub fn new(settings: Settings) -> Result<Self, ConnectError> {
        let connector = Connector::new(&settings)?;
        let endpoint = match &settings.target {
            Target::Web(uri) => uri.clone(),
            Target::Unix { path, .. } => format!("http://localhost{path}")
                .parse()
                .map_err(|_| ConnectError::Endpoint(path.clone()))?,
        };
        let headers = credentials(&settings.headers)?;
        let checkup = settings.health.as_ref();
        Ok(Self {
            checkup: checkup.map(|health| Checkup::new(connector.clone(), &endpoint, health)),
            speaks_h2: AtomicBool::new(endpoint.scheme() == Some(&Scheme::HTTPS)),
            connections: Connections::new(connector, endpoint)?,
            headers,
            forward: settings.forward.clone(),
            settings,
            credentials: None,
        })
    }

    /// The same, shown these credentials with every request.
    pub fn showing(mut self, credentials: Option<Credentials>) -> Self {
        self.credentials = credentials;
        self
    }

    /// What it is shown with every request.
    pub const fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// What looks after it, where that is wanted.
    pub const fn checkup(&self) -> Option<&Checkup> {
        self.checkup.as_ref()
    }

    /// How long its body may be silent.
    pub const fn idle_timeout(&self) -> Duration {
        self.settings.idle_timeout
    }

    /// How long an answer that is no stream may take in all.
    pub const fn total_timeout(&self) -> Duration {
        self.settings.total_timeout
    }

    /// The headers of the caller that may travel to this upstream, and our own credentials on top.
    pub fn outgoing(&self, incoming: &HeaderMap) -> HeaderMap {
        let mut outgoing = headers::toward_upstream(incoming, &self.forward);
        for (name, value) in &self.headers {
            outgoing.insert(name, value.clone());
        }
        outgoing
    }

    /// Sends one request and waits for the head of its answer. It is sent once more if the upstream says that it did not look
    /// at it, and on another connection if the first was closed before anything was written; in no other case.
    ///
    /// # Errors
    /// [`UpstreamError::Unreachable`], [`UpstreamError::Broken`] or [`UpstreamError::FirstByteTimeout`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the exchange, which is how a modern upstream learns that the caller went away.
    pub async fn exchange(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        match self.speaks_h2.load(Ordering::Relaxed) {
            false => self.send(request).await,
            // Boxed: all requests would otherwise carry the room that only these need.
            true => Box::pin(self.send_over_h2(request)).await,
        }
    }

    async fn send_over_h2(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let again = request.clone();
        match self.send(request).await {
            Err(UpstreamError::Broken(error)) if retry::was_not_looked_at(&*error) => {
                self.send(again).await
            }
            answered => answered,
        }
    }

    /// No `async fn`, which would hold the request twice.
    fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> impl Future<Output = Result<Response<Incoming>, UpstreamError>> {
        let sent = self.connections.send(request);
        timeout(self.settings.first_byte_timeout, sent).map(|answered| {
            let answer = answered.map_err(|_| UpstreamError::FirstByteTimeout)??;
            let over_h2 = answer.version() == Version::HTTP_2;
            if self.speaks_h2.load(Ordering::Relaxed) != over_h2 {
                self.speaks_h2.store(over_h2, Ordering::Relaxed);
            }
            Ok(answer)
        })
    }
}

fn credentials(settings: &[(HeaderName, Secret<String>)]) -> Result<HeaderMap, ConnectError> {
    let mut headers = HeaderMap::new();
    for (name, value) in settings {
        let mut value = HeaderValue::from_str(value.expose())
            .map_err(|_| ConnectError::HeaderValue(name.to_string()))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}
