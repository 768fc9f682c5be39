//! One connection, spoken as HTTP/1.1 or HTTP/2 until its end, under the limits of the listener. What is insensitive to the
//! order of the security stages stands here, around the pipeline: so many requests are worked on at once, and what comes
//! on top is turned away before it costs anything.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::activity::{Activity, Counted, UnderWay};
use super::frames::budget::Budget;
use super::frames::{self, Closing};
use super::leaving::Door;
use super::parting::Parting;
use super::patience::Patient;
use super::room::{Place, Rooms};
use super::wire::{Fault, Guard, Rules};
use super::{Peer, Settings};

/// Whoever answers requests. Cloned once a connection and once a request, so it should be a handle.
pub trait Serve: Clone + Send + Sync + Unpin + 'static {
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

    /// Answers octets that are no request, before their connection is closed.
    fn malformed(&self, peer: Peer, fault: Fault) -> Response<Self::Body>;

    /// A peer did, for this reason, what the connection refused by itself: there is no request that could be answered.
    fn misbehaved(&self, peer: Peer, reason: &'static str);
}

/// Any failure of a body.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Answers one request, unless there is no room for it in the process. Its place lasts to the end of its answer's body: a
/// request whose answer is still on its way is still being worked on. A small answer that is there in full is not: otherwise
/// callers who take nothing could take all the room.
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
    // Boxed: the HTTP library keeps room for the largest future as long as the connection lives, request or not.
    let answered = Box::pin(service.serve(request, peer, &place)).await;
    if answered
        .body()
        .size_hint()
        .exact()
        .is_some_and(|size| size <= SMALL_ANSWER)
    {
        place.vacate();
    }
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
    let caller = peer.clone();
    let rules = Rules {
        head_bytes: settings.head_bytes.as_usize(),
        field_count: settings.header_count,
        is_encrypted: peer.encrypted,
    };
    let (io, findings) = Guard::new(io, rules);
    let io = Parting::new(io, activity.clone());
    let leaving = door.leaving();
    let answer = service_fn(move |request| {
        let fault = findings.of(&request);
        let (service, rooms) = (service.clone(), Arc::clone(&rooms));
        let (under_way, peer) = (activity.begin(), caller.clone());
        let leaving = leaving.clone();
        async move {
            let answered = match fault {
                None => answer(service, rooms, under_way, request, peer).await,
                Some(fault) => Ok(service
                    .malformed(peer, fault)
                    .map(|body| Counted::new(body, under_way, None))),
            };
            answered.map(|answer| leaving.mark(answer).map(|body| body.in_pieces(PIECE_BYTES)))
        }
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
    let head_bytes = u32::try_from(settings.head_bytes.as_u64()).unwrap_or(u32::MAX);
    let closing = Closing::default();
    let caller = peer.clone();
    let (judge, clerk) = (service.clone(), service.clone());
    let (judged, noted) = (peer.clone(), peer.clone());
    let guard = frames::Guard::new(
        io,
        Budget::new(settings.concurrent_streams, head_bytes),
        closing.clone(),
        move |reason| judge.misbehaved(judged.clone(), reason),
    );
    let patient = Patient::new(settings.write_timeout, move || {
        clerk.misbehaved(noted.clone(), "answer_unread");
    });
    let answer = service_fn(move |request| {
        let answered = answer(
            service.clone(),
            Arc::clone(&rooms),
            begun.begin(),
            request,
            caller.clone(),
        );
        async { Ok::<_, Infallible>(answered.await?.map(|body| body.in_pieces(PIECE_BYTES))) }
    });
    let connection = http2::Builder::new(patient)
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.concurrent_streams)
        .max_header_list_size(head_bytes)
        .max_pending_accept_reset_streams(FAULTS)
        .max_local_error_reset_streams(FAULTS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(settings.head_timeout)
        .keep_alive_timeout(settings.head_timeout)
        .serve_connection(TokioIo::new(guard), answer);
    let mut connection = pin!(door.http2().watch(connection));
    // HTTP/1 closes an idle connection by the time for the next head.
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = activity.idle_for(settings.head_timeout) => {
            closing.close();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(peer = %peer.address, %error, "connection ended early");
    }
}

/// Malformed requests, and requests that were cancelled before they were looked at, until the connection ends. The former
/// make us reset streams, which is as cheap for the peer as resetting them itself (CVE-2025-8671).
const FAULTS: usize = 20;
/// What a peer may send before we have read it: of one request, and of all together.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// What of an answer lies in the HTTP library.
const SEND_BUFFER: usize = 16 * 1024;
/// An answer of no more than this, once it is known in full, is no work any more.
const SMALL_ANSWER: u64 = 16 * 1024;
/// What of an answer's body is handed over at once: the frame that every peer takes.
const PIECE_BYTES: usize = 16 * 1024;
