//! Bytes in, bytes out: accepts connections within a bound, refuses what cannot be MCP (path, method, media types,
//! foreign origins, long bodies), and leaves the rest to the era that the message speaks.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, LengthLimitError, Limited};
use hyper::body::Incoming as Received;
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN,
};
use hyper::http::uri::Authority;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::rpc::{Era, Fault, Incoming, MODERN_REVISION};
use super::{PATH, Sample, legacy, modern};

/// A body on its way out.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The header that names the protocol revision.
pub(super) const REVISION: &str = "mcp-protocol-version";

/// How long to wait after a failed accept, which is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections until `shutdown`, then drains.
pub(super) async fn serve(
    listener: TcpListener,
    sample: Arc<Sample>,
    shutdown: impl Future<Output = ()>,
) {
    let room = Arc::new(Semaphore::new(sample.settings.max_connections));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = accept(&listener, &room) => {
                if let Some((stream, place)) = accepted {
                    let connection = connection(&sample, stream);
                    let watched = graceful.watch(connection);
                    connections.spawn(async move {
                        // A broken connection is the caller's loss.
                        let _ = watched.await;
                        drop(place);
                    });
                }
            }
        }
    }
    sample.stopping.send_replace(true);
    let _ = tokio::time::timeout(sample.settings.drain, graceful.shutdown()).await;
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(_) => {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn connection(
    sample: &Arc<Sample>,
    stream: TcpStream,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send + use<> {
    let sample = sample.clone();
    let head_timeout = sample.settings.head_timeout;
    let service = service_fn(move |request| {
        let sample = sample.clone();
        async move { Ok::<_, Infallible>(answer(&sample, request).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .serve_connection(TokioIo::new(stream), service)
}

async fn answer(sample: &Arc<Sample>, request: Request<Received>) -> Response<Body> {
    if request.uri().path() != PATH {
        return empty(StatusCode::NOT_FOUND);
    }
    if !is_local(request.headers()) {
        return empty(StatusCode::FORBIDDEN);
    }
    let is_modern = request
        .headers()
        .get(REVISION)
        .is_some_and(|value| value == MODERN_REVISION);
    match *request.method() {
        Method::POST => post(sample, request).await,
        Method::GET if !is_modern => legacy::listen(sample, request.headers()),
        Method::DELETE if !is_modern => legacy::end(sample, request.headers()),
        _ => {
            let mut refused = empty(StatusCode::METHOD_NOT_ALLOWED);
            let allowed = if is_modern {
                "POST"
            } else {
                "POST, GET, DELETE"
            };
            refused
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static(allowed));
            refused
        }
    }
}

async fn post(sample: &Arc<Sample>, request: Request<Received>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let headers = &head.headers;
    if !is_json(headers) {
        return empty(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    if !accepts(headers, "application/json") || !accepts(headers, "text/event-stream") {
        return empty(StatusCode::NOT_ACCEPTABLE);
    }
    let limited = Limited::new(body, sample.settings.max_body.as_usize());
    let read = tokio::time::timeout(sample.settings.head_timeout, limited.collect());
    let body = match read.await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return empty(StatusCode::PAYLOAD_TOO_LARGE);
        }
        Ok(Err(_)) => return empty(StatusCode::BAD_REQUEST),
        Err(_) => return empty(StatusCode::REQUEST_TIMEOUT),
    };
    match Incoming::read(&body) {
        Ok(message) if modern::is_spoken(headers, &message) => {
            modern::post(sample, headers, message)
        }
        Ok(message) => legacy::post(sample, headers, message),
        Err(fault) => json(StatusCode::BAD_REQUEST, &fault.answer(None, Era::Modern)),
    }
}

/// A browser page must not reach us under a foreign origin, nor under a name that was made to point at us (MCP
/// 2025-11-25, transports, security warning).
fn is_local(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).map(|host| {
        let host = Authority::try_from(host.as_bytes());
        host.is_ok_and(|host| is_loopback(host.host()))
    });
    let origin = headers.get(ORIGIN).map(|origin| {
        let origin = Uri::try_from(origin.as_bytes());
        origin.is_ok_and(|origin| origin.host().is_some_and(is_loopback))
    });
    host.unwrap_or(false) && origin.unwrap_or(true)
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>();
    bare.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| essence(kind).eq_ignore_ascii_case("application/json"))
}

/// Does the caller accept this media type?
pub(super) fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let main = wanted.split('/').next().unwrap_or_default();
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(essence)
        .any(|range| {
            range == "*/*"
                || range.eq_ignore_ascii_case(wanted)
                || range
                    .strip_suffix("/*")
                    .is_some_and(|range| range.eq_ignore_ascii_case(main))
        })
}

fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

/// A header that may occur once and has to be plain text.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Fault> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str() {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(Fault::HeaderMismatch(format!("{name} is not plain text"))),
        },
        (Some(_), Some(_)) => Err(Fault::HeaderMismatch(format!("{name} occurs twice"))),
    }
}

/// An answer of one message.
pub(super) fn json(status: StatusCode, message: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(message.to_string())).boxed_unsync();
    with_type(status, "application/json", body)
}

/// An answer of many messages. The header asks intermediaries to pass each one on as it comes.
pub(super) fn event_stream(body: Body) -> Response<Body> {
    let mut response = with_type(StatusCode::OK, "text/event-stream", body);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().boxed_unsync());
    *response.status_mut() = status;
    response
}

fn with_type(status: StatusCode, media_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
