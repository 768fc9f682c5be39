//! Connections to an upstream that speaks plain HTTP/1.1, kept for the next request. Where TLS may settle on HTTP/2 another
//! pool is used; here every upstream has one address and every connection serves one request at a time, so that a list
//! behind a lock is all that is needed.
//!
//! No caller gets the answer to another's request:
//!
//! - A connection is lent to one call, by value. It comes back only by [`Pool::give_back`], which runs after the head of the
//!   call's answer and takes no connection that hyper does not call ready. It does so once the request is written to its
//!   end, the answer is read to its end, both sides would keep the connection, and nothing lies behind the answer.
//! - A call that is dropped before its answer drops the connection with it, and hyper closes it; an answer that comes late
//!   has nobody to go to. The same holds for an answer that is dropped half read.
//! - What an upstream says on an idle connection ends that connection. hyper reads before it writes, so a request that was
//!   handed over at that moment comes back unsent. What is still on its way when a request is written is beyond telling from
//!   its answer, here as in any HTTP/1.1; that answers carry the id of their request is looked at further up.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use tokio::time::Instant;
use tower::ServiceExt;

use super::connect::{ConnectError, Connector};
use super::{READ_AHEAD, UpstreamError};

/// A connection that nobody used for so long is not trusted to be there still.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// So many connections wait for the next burst of calls, each with its file descriptor here and there.
const MOST_IDLE: usize = 256;

type Outgoing = Request<Full<Bytes>>;
type Sender = SendRequest<Full<Bytes>>;

/// The connections to one upstream that speaks plain HTTP/1.1.
#[derive(Debug)]
pub(super) struct Pool {
    connector: Connector,
    http1: http1::Builder,
    endpoint: Uri,
    /// The endpoint as it stands in a request line (RFC 9112 section 3.2.1).
    origin_form: Uri,
    host: HeaderValue,
    idle: Arc<Idle>,
}

impl Pool {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// [`ConnectError::Endpoint`] if the endpoint names no host.
    pub(super) fn new(connector: Connector, endpoint: Uri) -> Result<Self, ConnectError> {
        let host = host(&endpoint).ok_or_else(|| ConnectError::Endpoint(endpoint.to_string()))?;
        let path = endpoint.path_and_query().cloned();
        let mut http1 = http1::Builder::new();
        http1.max_buf_size(READ_AHEAD as usize);
        Ok(Self {
            connector,
            http1,
            origin_form: path.map_or_else(Uri::default, Uri::from),
            endpoint,
            host,
            idle: Arc::default(),
        })
    }

    /// Sends one request and waits for the head of its answer. It is sent on another connection if it certainly was not
    /// written to the first, and in no other case.
    ///
    /// # Errors
    /// [`UpstreamError::Unreachable`] if there is no connection, [`UpstreamError::Broken`] if there is no answer.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection that the request was written to.
    pub(super) fn send(
        &self,
        mut request: Outgoing,
    ) -> impl Future<Output = Result<Response<Incoming>, UpstreamError>> {
        *request.uri_mut() = self.origin_form.clone();
        let headers = request.headers_mut();
        headers.entry(HOST).or_insert_with(|| self.host.clone());
        async move {
            loop {
                let (mut sender, is_fresh) = match self.idle.take() {
                    Some(sender) => (sender, false),
                    // Boxed: the calls that find a connection would otherwise carry the room for making one.
                    None => (Box::pin(self.connect()).await?, true),
                };
                let mut error = match sender.try_send_request(request).await {
                    Ok(answer) => {
                        self.give_back(sender);
                        return Ok(answer);
                    }
                    Err(error) => error,
                };
                // hyper gives a request back only if it did not begin to write it.
                match error.take_message() {
                    Some(unsent) if !is_fresh => request = unsent,
                    _ => return Err(UpstreamError::Broken(error.into_error().into())),
                }
            }
        }
    }

    /// Now if the whole answer is there, as it is with most small ones; else when it was read to its end, which may be never.
    fn give_back(&self, mut sender: Sender) {
        if sender.is_ready() {
            self.idle.put(sender);
            return;
        }
        let idle = Arc::clone(&self.idle);
        tokio::spawn(async move {
            if sender.ready().await.is_ok() {
                idle.put(sender);
            }
        });
    }

    async fn connect(&self) -> Result<Sender, UpstreamError> {
        let stream = self.connector.clone().oneshot(self.endpoint.clone()).await;
        let stream = stream.map_err(UpstreamError::Unreachable)?;
        let (mut sender, connection) = (self.http1.handshake(stream).await)
            .map_err(|error| UpstreamError::Broken(error.into()))?;
        let driven = tokio::spawn(async move {
            let ended = connection.await;
            ended.inspect_err(|error| tracing::debug!(%error, "a connection to an upstream broke"))
        });
        match sender.ready().await {
            Ok(()) => Ok(sender),
            // The sender knows that the connection ended; why is known to the connection.
            Err(ended) => {
                let why = driven.await.ok().and_then(Result::err).unwrap_or(ended);
                Err(UpstreamError::Broken(why.into()))
            }
        }
    }
}

/// What stands in `Host`: the port only where it is not the one of `http` (RFC 9110 section 7.2).
fn host(endpoint: &Uri) -> Option<HeaderValue> {
    let host = endpoint.host()?;
    let value = match endpoint.port() {
        Some(port) if port.as_u16() != 80 => HeaderValue::try_from(format!("{host}:{port}")),
        _ => HeaderValue::from_str(host),
    };
    value.ok()
}

/// The connections that nobody uses, the one that was used last at the end.
#[derive(Debug, Default)]
struct Idle(Mutex<VecDeque<Kept>>);

#[derive(Debug)]
struct Kept {
    sender: Sender,
    since: Instant,
}

impl Kept {
    /// Whether it is neither too old nor closed.
    fn is_good(&self, now: Instant) -> bool {
        now.duration_since(self.since) < IDLE_TIME && self.sender.is_ready()
    }
}

impl Idle {
    /// The one that was used last, of those that are good.
    fn take(&self) -> Option<Sender> {
        let now = Instant::now();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(last) = kept.pop_back() {
            if last.is_good(now) {
                return Some(last.sender);
            }
        }
        None
    }

    /// Keeps one, and drops what has waited in vain.
    fn put(&self, sender: Sender) {
        let since = Instant::now();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while (kept.front()).is_some_and(|oldest| !oldest.is_good(since)) {
            kept.pop_front();
        }
        if kept.len() >= MOST_IDLE {
            kept.pop_front();
        }
        kept.push_back(Kept { sender, since });
    }
}
