//! HTTP/2 as the load generator speaks it: streams that are opened again and again, on windows that never run out.

use bytes::Bytes;
use h2::client::{self, SendRequest};
use http::{Method, Request, Version};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::Failure;
use crate::one::Answer;
use crate::work::Work;

/// The window of a stream, and of a connection.
const WINDOW: u32 = 16 << 20;

/// A request without its body, and the body.
pub(crate) struct Ask {
    head: Request<()>,
    body: Bytes,
}

impl Ask {
    /// The request of a workload.
    pub(crate) fn new(
        work: Work,
        authority: &str,
        path: &str,
        token: &str,
    ) -> Result<Self, Failure> {
        let body = work.body();
        let mut head = Request::builder()
            .method(Method::POST)
            .version(Version::HTTP_2)
            .uri(format!("https://{authority}{path}"))
            .header("content-length", body.len());
        for (name, value) in work.headers(token) {
            head = head.header(name, value);
        }
        let head = head.body(())?;
        Ok(Self { head, body })
    }
}

/// Shakes hands; the connection runs by itself from then on.
pub(crate) async fn open<S>(stream: S) -> Result<SendRequest<Bytes>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .enable_push(false)
        .handshake(stream)
        .await?;
    tokio::task::spawn_local(async move {
        // Whoever waits for an answer learns of the end.
        let _ = connection.await;
    });
    Ok(sender)
}

/// Sends the request and reads the answer to its end.
pub(crate) async fn exchange(sender: &SendRequest<Bytes>, ask: &Ask) -> Result<Answer, Failure> {
    let mut ready = sender.clone().ready().await?;
    let (response, mut body) = ready.send_request(ask.head.clone(), false)?;
    body.send_data(ask.body.clone(), true)?;
    let (head, mut stream) = response.await?.into_parts();
    let mut bytes = 0;
    while let Some(data) = stream.data().await {
        let data = data?;
        bytes += data.len();
        stream.flow_control().release_capacity(data.len())?;
    }
    Ok(Answer {
        status: head.status.as_u16(),
        bytes,
    })
}
