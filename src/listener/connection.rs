//! One connection, spoken as HTTP/1.1 or HTTP/2 until its end, under the limits of the listener.

use std::convert::Infallible;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::{Peer, Settings};

/// Whoever answers requests. Cloned once a connection and once a request, so it should be a handle.
pub trait Serve: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = bytes::Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static;

    /// Answers one request. There is no error: a refusal is an answer too.
    fn serve(
        self,
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Serves HTTP/1.1 until the connection ends or the drain closes it.
pub(super) async fn http1<I, S>(
    io: I,
    peer: Peer,
    settings: &Settings,
    service: S,
    watcher: Watcher,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Serve,
{
    let answer = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.serve(request, peer).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout)
        .max_headers(settings.header_count)
        .max_buf_size(settings.head_bytes.as_usize().max(8192))
        .serve_connection(TokioIo::new(io), answer);
    if let Err(error) = watcher.watch(connection).await {
        debug!(peer = %peer.address, %error, "connection ended early");
    }
}

/// Serves HTTP/2 until the connection ends or the drain closes it.
pub(super) async fn http2<I, S>(
    io: I,
    peer: Peer,
    settings: &Settings,
    service: S,
    watcher: Watcher,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Serve,
{
    let answer = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.serve(request, peer).await) }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.concurrent_streams)
        .max_header_list_size(u32::try_from(settings.head_bytes.as_u64()).unwrap_or(u32::MAX))
        .keep_alive_interval(settings.head_timeout)
        .keep_alive_timeout(settings.head_timeout)
        .serve_connection(TokioIo::new(io), answer);
    if let Err(error) = watcher.watch(connection).await {
        debug!(peer = %peer.address, %error, "connection ended early");
    }
}
