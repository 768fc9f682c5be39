//! One connection, spoken as HTTP/1.1 or HTTP/2 until its end, under the limits of the listener. What is insensitive to the
//! order of the security stages stands here, around the pipeline: so many requests are worked on at once, and what comes
//! on top is turned away before it costs anything.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::activity::{Activity, Counted, UnderWay};
use super::leaving::Door;
use super::room::{Place, Rooms};
use super::{Peer, Settings};

/// Whoever answers requests. Cloned once a connection and once a request, so it should be a handle.
pub trait Serve: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = bytes::Bytes, Error: Into<BoxError>> + Unpin + Send + 'static;

    /// Answers one request, which has its place in the process until its answer has ended. There is no error: a refusal is
    /// an answer too.
    fn serve(
        self,
        request: Request<Incoming>,
        peer: Peer,
        place: &Place,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// Turns a request away while too many others are being worked on.
    fn overloaded(&self, request: Request<Incoming>, peer: Peer) -> Response<Self::Body>;
}

/// Any failure of a body.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Answers one request, unless there is no room for it in the process. Its place lasts to the end of its answer's body: a
/// request whose answer is still on its way is still being worked on.
async fn answer<S: Serve>(
    service: S,
    rooms: Arc<Rooms>,
    under_way: UnderWay,
    request: Request<Incoming>,
    peer: Peer,
) -> Result<Response<Counted<S::Body>>, Infallible> {
    let Ok(place) = rooms.enter() else {
        let refused = service.overloaded(request, peer);
        return Ok(refused.map(|body| Counted::new(body, under_way, None)));
    };
    let answered = service.serve(request, peer, &place).await;
    Ok(answered.map(|body| Counted::new(body, under_way, Some(place))))
}

/// Serves HTTP/1.1 until the connection ends or the drain closes it.
pub(super) async fn http1<I, S>(
    io: I,
    peer: Peer,
    settings: &Settings,
    service: S,
    rooms: &Arc<Rooms>,
    door: Door,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Serve,
{
    let rooms = Arc::clone(rooms);
    let activity = Activity::default();
    let leaving = door.leaving();
    let answer = service_fn(move |request| {
        let answer = answer(
            service.clone(),
            Arc::clone(&rooms),
            activity.begin(),
            request,
            peer,
        );
        let leaving = leaving.clone();
        async move { answer.await.map(|answer| leaving.mark(answer)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout)
        .max_headers(settings.header_count)
        .max_buf_size(settings.head_bytes.as_usize().max(8192))
        .serve_connection(TokioIo::new(io), answer);
    if let Err(error) = door.http1().watch(connection).await {
        debug!(peer = %peer.address, %error, "connection ended early");
    }
}

/// Serves HTTP/2 until the connection ends or the drain closes it.
pub(super) async fn http2<I, S>(
    io: I,
    peer: Peer,
    settings: &Settings,
    service: S,
    rooms: &Arc<Rooms>,
    door: Door,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Serve,
{
    let rooms = Arc::clone(rooms);
    let activity = Activity::default();
    let begun = activity.clone();
    let answer = service_fn(move |request| {
        answer(
            service.clone(),
            Arc::clone(&rooms),
            begun.begin(),
            request,
            peer,
        )
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.concurrent_streams)
        .max_header_list_size(u32::try_from(settings.head_bytes.as_u64()).unwrap_or(u32::MAX))
        .keep_alive_interval(settings.head_timeout)
        .keep_alive_timeout(settings.head_timeout)
        .serve_connection(TokioIo::new(io), answer);
    // Dropping an idle connection closes it; HTTP/1 closes its own by the time for the next head.
    tokio::select! {
        ended = door.http2().watch(connection) => {
            if let Err(error) = ended {
                debug!(peer = %peer.address, %error, "connection ended early");
            }
        }
        () = activity.idle_for(settings.head_timeout) => debug!(peer = %peer.address, "idle connection closed"),
    }
}
