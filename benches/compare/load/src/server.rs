//! The MCP server behind every proxy: it answers from memory, so that what is measured is the proxy. With a certificate it
//! speaks TLS itself and is the row "direct".

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::Failure;
use crate::work::{Answers, Work};

type Answer = Either<Full<Bytes>, Events>;

/// Serves until it is killed.
pub(crate) async fn serve(port: u16, tls: Option<TlsAcceptor>) -> Result<(), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let answers = Rc::new(Answers::new());
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let (answers, tls) = (answers.clone(), tls.clone());
        tokio::task::spawn_local(async move {
            match tls {
                None => connection(socket, answers).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(socket).await {
                        connection(stream, answers).await;
                    }
                }
            }
        });
    }
}

/// One connection to its end. How it ends is the load generator's business.
async fn connection<S>(stream: S, answers: Rc<Answers>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = service_fn(move |request| {
        let answers = answers.clone();
        async move { Ok::<_, Infallible>(answer(request, &answers).await) }
    });
    let mut builder = auto::Builder::new(Local);
    builder.http2().max_concurrent_streams(1000);
    let _ = builder
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: Request<Incoming>, answers: &Answers) -> Response<Answer> {
    let work = Work::of(
        request
            .headers()
            .get("mcp-name")
            .map(|name| name.as_bytes()),
    );
    let read = request.into_body().collect().await;
    let (Some(work), Ok(body)) = (work, read) else {
        return response(
            StatusCode::BAD_REQUEST,
            "text/plain",
            Either::Left(Full::default()),
        );
    };
    if body.to_bytes().is_empty() {
        return response(
            StatusCode::BAD_REQUEST,
            "text/plain",
            Either::Left(Full::default()),
        );
    }
    match answers.of(work) {
        Some(body) => response(
            StatusCode::OK,
            "application/json",
            Either::Left(body.into()),
        ),
        None => {
            let events = Either::Right(Events::new(answers.events.clone()));
            let mut stream = response(StatusCode::OK, "text/event-stream", events);
            // What servers of event streams tell a proxy that collects answers: pass on what is there.
            let pass = HeaderValue::from_static("no");
            stream.headers_mut().insert("x-accel-buffering", pass);
            stream
        }
    }
}

fn response(status: StatusCode, kind: &'static str, body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Events that leave one by one: between two of them everybody else has a turn, so each is written on its own.
struct Events {
    rest: std::vec::IntoIter<Bytes>,
    pause: bool,
}

impl Events {
    fn new(events: Vec<Bytes>) -> Self {
        let rest = events.into_iter();
        Self { rest, pause: false }
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.pause = !self.pause;
        if self.pause {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.rest.next().map(|event| Ok(Frame::data(event))))
    }
}

/// Tasks of a connection stay on this thread.
#[derive(Clone)]
struct Local;

impl<F> hyper::rt::Executor<F> for Local
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}
