//! An HTTP client that trusts what a test says: one authority, one HTTP version.

use std::future::{Ready, ready};
use std::io;
use std::iter::{Once, once};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::{Client as Pool, Error};
use hyper_util::rt::TokioExecutor;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use tower::Service;

use super::sse::EventStream;
use super::wait;

/// A TLS client that trusts one authority and nobody else.
pub(crate) fn tls_config(ca_file: &Path) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca_file).unwrap())
        .unwrap();
    tls_config_of(roots)
}

fn tls_config_of(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Which HTTP a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

/// Where every name leads: loopback at the port of the URL, or the address of the server under test, whose URL then needs
/// no port.
#[derive(Clone, Copy)]
struct Place(SocketAddr);

impl Place {
    const LOOPBACK: Self = Self(SocketAddr::new(
        std::net::IpAddr::V4(Ipv4Addr::LOCALHOST),
        0,
    ));
}

impl Service<Name> for Place {
    type Response = Once<SocketAddr>;
    type Error = io::Error;
    type Future = Ready<io::Result<Once<SocketAddr>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(once(self.0)))
    }
}

/// The client. Clones share connections.
#[derive(Clone)]
pub(crate) struct Client(Pool<HttpsConnector<HttpConnector<Place>>, Full<Bytes>>);

impl Client {
    /// Speaks plain HTTP/1.1, and trusts no TLS server.
    pub(crate) fn plain() -> Self {
        let nobody = tls_config_of(RootCertStore::empty());
        Self::with(nobody, Http::One, Place::LOOPBACK)
    }

    /// Trusts the servers that the authority in `ca_file` vouches for.
    pub(crate) fn trusting(ca_file: &Path, http: Http) -> Self {
        Self::with(tls_config(ca_file), http, Place::LOOPBACK)
    }

    /// The same, and every name without a port leads to this address.
    pub(crate) fn toward(address: SocketAddr, ca_file: &Path, http: Http) -> Self {
        Self::with(tls_config(ca_file), http, Place(address))
    }

    /// With TLS of the test's own making, and every name without a port leads to this address.
    pub(crate) fn with_tls(address: SocketAddr, tls: ClientConfig, http: Http) -> Self {
        Self::with(tls, http, Place(address))
    }

    /// The same as one of many callers: over HTTP/1.1 from an address of its own, of those that all lead to this machine.
    pub(crate) fn from(source: Ipv4Addr, address: SocketAddr, ca_file: &Path) -> Self {
        assert!(source.is_loopback());
        let mut tcp = HttpConnector::new_with_resolver(Place(address));
        tcp.set_local_address(Some(source.into()));
        Self::over(tls_config(ca_file), Http::One, tcp)
    }

    fn with(tls: ClientConfig, http: Http, place: Place) -> Self {
        Self::over(tls, http, HttpConnector::new_with_resolver(place))
    }

    fn over(tls: ClientConfig, http: Http, mut tcp: HttpConnector<Place>) -> Self {
        tcp.enforce_http(false);
        // Small frames, each waited for: Nagle would make every one of them late.
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http();
        let mut pool = Pool::builder(TokioExecutor::new());
        match http {
            Http::One => Self(pool.build(connector.enable_http1().wrap_connector(tcp))),
            Http::Two => Self(
                pool.http2_only(true)
                    .build(connector.enable_http2().wrap_connector(tcp)),
            ),
        }
    }

    /// Sends a request, and hands on the failure to do so.
    pub(crate) async fn attempt(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Error> {
        wait::soon("the head of an answer", self.0.request(request)).await
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        Reply::read(self.attempt(request).await.unwrap()).await
    }

    /// Sends a request, and yields the answer if all of it arrives.
    pub(crate) async fn answered(&self, request: Request<Full<Bytes>>) -> Option<Reply> {
        let (head, body) = self.attempt(request).await.ok()?.into_parts();
        let body = wait::soon("the rest of an answer", body.collect()).await;
        Some(Reply {
            status: head.status,
            version: head.version,
            headers: head.headers,
            body: body.ok()?.to_bytes(),
        })
    }

    /// Sends a request whose answer has to be an event stream.
    pub(crate) async fn open(&self, request: Request<Full<Bytes>>) -> EventStream {
        EventStream::of(self.attempt(request).await.unwrap())
    }

    /// A GET without anything.
    pub(crate) async fn get(&self, url: &str) -> Reply {
        let request = Request::builder().uri(url).method(Method::GET);
        self.send(request.body(Full::default()).unwrap()).await
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    async fn read(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let body = wait::soon("the rest of an answer", body.collect()).await;
        Self {
            status: head.status,
            version: head.version,
            headers: head.headers,
            body: body.expect("a whole body").to_bytes(),
        }
    }

    /// A header that has to be plain text and may be absent.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body, which has to be JSON.
    pub(crate) fn json(&self) -> Value {
        let read = serde_json::from_slice(&self.body);
        read.unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The code of the JSON-RPC error, where it is one.
    pub(crate) fn error_code(&self) -> Option<i64> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        body.pointer("/error/code")?.as_i64()
    }

    /// The JSON-RPC result, which it has to be.
    pub(crate) fn result(&self) -> Value {
        let mut body = self.json();
        let result = body.get_mut("result").map(Value::take);
        result.unwrap_or_else(|| panic!("no result in {body}"))
    }
}
