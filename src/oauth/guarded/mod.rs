//! Reading documents at addresses that strangers name: over https, from the open internet, once, small and soon. The name is
//! resolved once and the connection goes to the very address that was checked, so that a name which changes its mind between
//! the two reaches nothing (DNS rebinding). Redirections are not followed: they would be addresses that nobody checked.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::addresses::is_public;
use crate::trust::{self, TrustError};

/// The longest address that is looked at.
const URL_MAX_BYTES: usize = 1024;
/// How many of a name's addresses are tried.
const ADDRESSES_MAX: usize = 4;

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum GuardedError {
    /// The address is none that is asked.
    #[error("the address cannot be asked: {0}")]
    Address(&'static str),
    /// The name leads to an address that is not of the open internet.
    #[error("the name leads to {0}, which is not public")]
    NotPublic(IpAddr),
    /// The name leads nowhere.
    #[error("the name cannot be resolved")]
    Unresolved,
    /// The exchange failed.
    #[error("the exchange failed")]
    Transport(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No whole document in time.
    #[error("there was no whole answer in time")]
    TimedOut,
    /// More than the limit.
    #[error("the document is larger than the limit")]
    TooLarge,
    /// An answer other than 200. Redirections are not followed.
    #[error("the answer has the status {0}")]
    Status(StatusCode),
    /// Not JSON.
    #[error("the document is not of a JSON type")]
    MediaType,
}

impl GuardedError {
    /// Whether it may be over in a moment: nothing follows from it about the document.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unresolved | Self::Transport(_) | Self::TimedOut => true,
            Self::Status(status) => status.is_server_error(),
            Self::Address(_) | Self::NotPublic(_) | Self::TooLarge | Self::MediaType => false,
        }
    }

    /// The stable word for audit lines.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Address(_) => "address_refused",
            Self::NotPublic(_) => "address_not_public",
            Self::Unresolved => "name_unresolved",
            Self::Transport(_) => "unreachable",
            Self::TimedOut => "timed_out",
            Self::TooLarge => "too_large",
            Self::Status(_) => "status_refused",
            Self::MediaType => "media_type_refused",
        }
    }
}

/// An address that may be asked, once its name was resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::oauth) struct Target {
    url: Url,
    host: String,
    port: u16,
    allowed: bool,
}

impl Target {
    /// `host`, or `host:port` where the port is not that of https: what is counted, and what an operator may allow.
    pub(in crate::oauth) fn authority(&self) -> String {
        if self.port == 443 {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether it names more than a host.
    pub(in crate::oauth) fn has_path(&self) -> bool {
        self.url.path() != "/"
    }

    /// The host.
    pub(in crate::oauth) fn host(&self) -> &str {
        &self.host
    }
}

/// A document and how long its server wants it to be kept.
#[derive(Debug)]
pub(in crate::oauth) struct Document {
    pub(in crate::oauth) body: Bytes,
    pub(in crate::oauth) max_age: Option<Duration>,
}

type Resolved = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
type Resolve = Arc<dyn Fn(String, u16) -> Resolved + Send + Sync>;

/// Asks strangers' addresses.
#[derive(Clone)]
pub(in crate::oauth) struct Guarded {
    tls: TlsConnector,
    resolve: Resolve,
    allow_hosts: Vec<String>,
    timeout: Duration,
    max_bytes: usize,
}

impl Guarded {
    pub(in crate::oauth) fn new(
        allow_hosts: Vec<String>,
        ca_file: Option<&Path>,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<Self, TrustError> {
        let tls = trust::client_config(None, ca_file)?.with_no_client_auth();
        Ok(Self {
            tls: TlsConnector::from(Arc::new(tls)),
            resolve: Arc::new(by_the_system),
            allow_hosts,
            timeout,
            max_bytes,
        })
    }

    /// The address in a text, in its one spelling: https, a name, no user, no fragment, no dot segments; the port of https
    /// and no bare IP address, unless the operator allowed the host.
    pub(in crate::oauth) fn target(&self, text: &str) -> Result<Target, GuardedError> {
        let refused = |why| Err(GuardedError::Address(why));
        if text.len() > URL_MAX_BYTES {
            return refused("it is too long");
        }
        let Ok(url) = Url::parse(text) else {
            return refused("it is no URL");
        };
        if url.scheme() != "https" {
            return refused("it is not https");
        }
        if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
            return refused("it has a user");
        }
        if url.fragment().is_some() {
            return refused("it has a fragment");
        }
        // Dot segments, upper case, default ports, escapes and tabs would be a second spelling.
        if url.as_str() != text {
            return refused("it is not in its normal form");
        }
        let Some(host) = url.host_str().map(str::to_owned) else {
            return refused("it has no host");
        };
        let port = url.port_or_known_default().unwrap_or(443);
        let mut target = Target {
            allowed: false,
            host,
            port,
            url,
        };
        let authority = target.authority();
        target.allowed = self
            .allow_hosts
            .iter()
            .any(|allowed| *allowed == authority || *allowed == target.host);
        let named = matches!(target.url.host(), Some(Host::Domain(name)) if is_a_name(name));
        match target.allowed {
            false if !named => refused("its host is not a public name"),
            false if port != 443 => refused("its port is not that of https"),
            _ => Ok(target),
        }
    }

    /// The document there.
    pub(in crate::oauth) async fn get(&self, target: &Target) -> Result<Document, GuardedError> {
        tokio::time::timeout(self.timeout, self.exchange(target))
            .await
            .unwrap_or(Err(GuardedError::TimedOut))
    }

    async fn exchange(&self, target: &Target) -> Result<Document, GuardedError> {
        let addresses = self.addresses(target).await?;
        let stream = TcpStream::connect(addresses.as_slice())
            .await
            .map_err(|error| GuardedError::Transport(error.into()))?;
        let name = ServerName::try_from(target.host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| GuardedError::Address("its host has no name"))?;
        let stream = self
            .tls
            .connect(name, stream)
            .await
            .map_err(|error| GuardedError::Transport(error.into()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| GuardedError::Transport(error.into()))?;
        let ask = async {
            let answer = sender
                .send_request(request(target)?)
                .await
                .map_err(|error| GuardedError::Transport(error.into()))?;
            self.read(answer).await
        };
        // The connection lives as long as its one exchange. When it ends first, what it brought is still there to be read.
        tokio::pin!(ask);
        tokio::select! {
            biased;
            document = &mut ask => document,
            _ = connection => ask.await,
        }
    }

    /// All addresses of a name, resolved once: if one of them is not public, the name is not a stranger's honest one.
    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, GuardedError> {
        let host = target.host.trim_matches(['[', ']']).to_owned();
        let mut addresses = (self.resolve)(host, target.port)
            .await
            .map_err(|_| GuardedError::Unresolved)?;
        if addresses.is_empty() {
            return Err(GuardedError::Unresolved);
        }
        if !target.allowed
            && let Some(inside) = addresses.iter().find(|one| !is_public(one.ip()))
        {
            return Err(GuardedError::NotPublic(inside.ip()));
        }
        addresses.truncate(ADDRESSES_MAX);
        Ok(addresses)
    }

    async fn read(
        &self,
        answer: http::Response<hyper::body::Incoming>,
    ) -> Result<Document, GuardedError> {
        let (head, body) = answer.into_parts();
        if head.status != StatusCode::OK {
            return Err(GuardedError::Status(head.status));
        }
        if !is_json(&head.headers) {
            return Err(GuardedError::MediaType);
        }
        match Limited::new(body, self.max_bytes).collect().await {
            Ok(body) => Ok(Document {
                body: body.to_bytes(),
                max_age: max_age(&head.headers),
            }),
            Err(error) if error.is::<LengthLimitError>() => Err(GuardedError::TooLarge),
            Err(error) => Err(GuardedError::Transport(error)),
        }
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("allow_hosts", &self.allow_hosts)
            .finish_non_exhaustive()
    }
}

fn by_the_system(host: String, port: u16) -> Resolved {
    Box::pin(async move {
        let found = tokio::net::lookup_host((host, port)).await?;
        Ok(found.collect())
    })
}

/// A name with a dot that is not one of this machine or this network.
fn is_a_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let local = [
        "localhost",
        "local",
        "internal",
        "localdomain",
        "home.arpa",
        "onion",
    ];
    name.contains('.')
        && !name.ends_with('.')
        && !local.iter().any(|end| {
            let rest = name.strip_suffix(end);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
}

fn request(target: &Target) -> Result<Request<Empty<Bytes>>, GuardedError> {
    let refused = |_| GuardedError::Address("it cannot be sent");
    let mut path = target.url.path().to_owned();
    if let Some(query) = target.url.query() {
        path.push('?');
        path.push_str(query);
    }
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = path
        .parse()
        .map_err(|_| GuardedError::Address("it cannot be sent"))?;
    let headers = request.headers_mut();
    let host = HeaderValue::from_str(&target.authority()).map_err(refused)?;
    headers.insert(HOST, host);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static("sallygate"));
    Ok(request)
}

/// `application/json`, or a type of that syntax (RFC 6839 section 3.1).
fn is_json(headers: &HeaderMap) -> bool {
    let text = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    text.and_then(|text| text.split(';').next())
        .is_some_and(|essence| {
            let essence = essence.trim().to_ascii_lowercase();
            essence == "application/json"
                || (essence.starts_with("application/") && essence.ends_with("+json"))
        })
}

/// How long the answer may be kept (RFC 9111 section 5.2.2), where it says so.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(CACHE_CONTROL).iter();
    let mut age = None;
    for directive in lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
    {
        let directive = directive.trim().to_ascii_lowercase();
        if matches!(directive.as_str(), "no-store" | "no-cache") {
            return Some(Duration::ZERO);
        }
        if let Some(seconds) = directive.strip_prefix("max-age=") {
            age = seconds
                .trim_matches('"')
                .parse()
                .ok()
                .map(Duration::from_secs);
        }
    }
    age
}

#[cfg(test)]
mod tests;
