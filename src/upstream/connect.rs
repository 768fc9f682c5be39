//! How connections to an upstream are made: TCP, TLS with the public or a private authority, or a unix socket, behind one
//! connector for the pool.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{
    FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream,
};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tower::Service;

use super::tls::client_config;
use super::{Settings, Target};
use crate::listener::tls::TlsError;
use crate::trust::TrustError;

/// Why an upstream cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A certificate or key file is of no use.
    #[error(transparent)]
    File(#[from] TlsError),
    /// It is not known whom to trust.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// rustls refuses the client certificate.
    #[error("upstream TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// A configured header value holds bytes that no header may.
    #[error("value of header {0} is not a header value")]
    HeaderValue(String),
    /// The path of the endpoint is none.
    #[error("`{0}` is not the path of an endpoint")]
    Endpoint(String),
}

/// Makes connections to one upstream.
#[derive(Clone, Debug)]
pub struct Connector {
    way: Way,
    limit: Duration,
}

#[derive(Clone, Debug)]
enum Way {
    Web(HttpsConnector<HttpConnector>),
    Unix(Arc<Path>),
}

impl Connector {
    pub(super) fn new(settings: &Settings) -> Result<Self, ConnectError> {
        let way = match &settings.target {
            Target::Unix { socket, .. } => Way::Unix(socket.as_path().into()),
            Target::Web(uri) => Way::Web(web(uri, settings)?),
        };
        Ok(Self {
            way,
            limit: settings.connect_timeout,
        })
    }
}

fn web(uri: &Uri, settings: &Settings) -> Result<HttpsConnector<HttpConnector>, ConnectError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(settings.connect_timeout));
    let mut builder = HttpsConnectorBuilder::new()
        .with_tls_config(client_config(uri, settings)?)
        .https_or_http();
    if let Some(name) = &settings.tls.server_name {
        let resolver = FixedServerNameResolver::new(name.clone());
        builder = builder.with_server_name_resolver(resolver);
    }
    Ok(builder.enable_all_versions().wrap_connector(tcp))
}

/// A failure to connect, as the pool wants it.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match &mut self.way {
            Way::Web(web) => web.poll_ready(cx),
            Way::Unix(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let limit = self.limit;
        match &mut self.way {
            Way::Web(web) => {
                let connecting = web.call(uri);
                Box::pin(async move { Ok(Stream::Web(timeout(limit, connecting).await??)) })
            }
            Way::Unix(path) => {
                let path = Arc::clone(path);
                Box::pin(async move {
                    Ok(Stream::Unix(TokioIo::new(
                        timeout(limit, UnixStream::connect(path)).await??,
                    )))
                })
            }
        }
    }
}

/// One connection to an upstream.
#[derive(Debug)]
pub enum Stream {
    /// TCP, with TLS where the scheme asks for it.
    Web(MaybeHttpsStream<TokioIo<TcpStream>>),
    /// A unix socket.
    Unix(TokioIo<UnixStream>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Self::Web(stream) => stream.connected(),
            Self::Unix(_) => Connected::new(),
        }
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Web(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Web(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Web(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Web(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Web(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Web(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use http::{HeaderMap, Method, StatusCode};
    use rustls::ServerConfig;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use crate::devcert::{DevCert, ensure};
    use crate::listener::tls::{self, ALPN_HTTP1, acceptor};
    use crate::upstream::{Settings, Target, Upstream, UpstreamError};

    /// A server with a certificate of a private authority that says yes to everybody; its address.
    async fn server(files: &DevCert) -> http::Uri {
        let tls = acceptor(&tls::Settings::new(&files.cert_file, &files.key_file)).unwrap();
        let mut settings = ServerConfig::clone(tls.config());
        settings.alpn_protocols = vec![ALPN_HTTP1.to_vec()];
        let tls = TlsAcceptor::from(Arc::new(settings));
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                // Whoever does not trust us hangs up in the middle of the handshake.
                if let Ok(mut stream) = tls.accept(stream).await {
                    let _ = stream.read(&mut [0; 1024]).await;
                    let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                    let _ = stream.write_all(answer).await;
                    let _ = stream.shutdown().await;
                }
            }
        });
        format!("https://localhost:{port}/mcp").parse().unwrap()
    }

    #[tokio::test]
    async fn r583_r585_r586_an_upstream_of_a_private_authority_is_reached_only_if_that_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let files = ensure(&folder.path().join("dev"), &[]).unwrap();
        let other = ensure(&folder.path().join("other"), &[]).unwrap();
        let (right, wrong) = (Some(files.ca_file.clone()), Some(other.ca_file));
        let target = server(&files).await;
        for (only, extra, reached) in [
            (None, None, false),
            (wrong.clone(), None, false),
            (None, wrong.clone(), false),
            (wrong, right.clone(), false),
            (right.clone(), None, true),
            (None, right, true),
        ] {
            let upstream = Upstream::new(Settings {
                ca_file: only.clone(),
                extra_ca_file: extra.clone(),
                ..Settings::new(Target::Web(target.clone()))
            })
            .unwrap();
            let answer = upstream
                .exchange(Method::POST, HeaderMap::new(), Bytes::new())
                .await;
            match answer {
                Ok(answer) => assert_eq!(
                    (answer.status(), reached),
                    (StatusCode::NO_CONTENT, true),
                    "{only:?} {extra:?}"
                ),
                Err(UpstreamError::Unreachable(_)) => assert!(!reached, "{only:?} {extra:?}"),
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}
