//! Looks after an upstream where the operator wants that: from time to time it opens a connection of its own and, if a path
//! is named, asks for it. What it finds only opens the breaker or ends its wait; whether the upstream serves again is for a
//! real request to find out.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::client::legacy::connect::Connection;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;
use tower::Service;

use super::breaker::{Breaker, State};
use super::connect::Connector;

/// So many bad findings in a row open the breaker.
const BAD: u32 = 3;
/// The longest time from the connection to the head of the answer, the time to connect aside.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// How an upstream is looked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The path that it answers with 200 to 299 when it is well; none if a connection is enough.
    pub path: Option<String>,
    /// How often.
    pub every: Duration,
}

/// What was found.
#[derive(Debug, thiserror::Error)]
pub enum Finding {
    /// No connection could be made.
    #[error("no connection")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There was no answer over it.
    #[error("no answer")]
    Broken(#[from] hyper::Error),
    /// There was none in time.
    #[error("no answer in time")]
    Late,
    /// It says itself that it is not well.
    #[error("answer {0}")]
    Status(StatusCode),
}

/// Looks after one upstream.
#[derive(Debug)]
pub struct Checkup {
    connector: Connector,
    at: Uri,
    asks: bool,
    every: Duration,
    /// Bad findings in a row.
    bad: AtomicU32,
}

impl Checkup {
    /// For the upstream whose endpoint this is.
    pub(super) fn new(connector: Connector, endpoint: &Uri, settings: &Settings) -> Self {
        let mut at = endpoint.clone().into_parts();
        if let Some(path) = &settings.path {
            at.path_and_query = path.parse().ok();
        }
        Self {
            connector,
            at: Uri::from_parts(at).unwrap_or_else(|_| endpoint.clone()),
            asks: settings.path.is_some(),
            every: settings.every,
            bad: AtomicU32::new(0),
        }
    }

    /// How often to look.
    pub const fn every(&self) -> Duration {
        self.every
    }

    /// Looks once and tells the breaker what follows from it.
    ///
    /// # Errors
    /// What is wrong with the upstream.
    pub async fn look(&self, breaker: &Breaker) -> Result<(), Finding> {
        let found = self.find().await;
        match &found {
            Ok(()) => {
                self.bad.store(0, Relaxed);
                if breaker.state() == State::Open {
                    breaker.is_back();
                }
            }
            Err(finding) => {
                let bad = self.bad.load(Relaxed).saturating_add(1);
                self.bad.store(bad, Relaxed);
                tracing::debug!(%finding, bad, "an upstream was looked after");
                if bad >= BAD {
                    breaker.trip();
                }
            }
        }
        found
    }

    async fn find(&self) -> Result<(), Finding> {
        let mut connector = self.connector.clone();
        let stream = connector.call(self.at.clone()).await;
        let stream = stream.map_err(Finding::Connect)?;
        if !self.asks {
            return Ok(());
        }
        let is_h2 = stream.connected().is_negotiated_h2();
        let answered = async {
            let request = self.request(is_h2);
            if is_h2 {
                let (mut sender, driven) = http2::handshake(TokioExecutor::new(), stream).await?;
                let _driven = Driven::start(driven);
                sender.send_request(request).await
            } else {
                let (mut sender, driven) = http1::handshake(stream).await?;
                let _driven = Driven::start(driven);
                sender.send_request(request).await
            }
        };
        let answer = timeout(ANSWER_TIME, answered).await;
        let status = answer.map_err(|_| Finding::Late)??.status();
        match status.is_success() {
            true => Ok(()),
            false => Err(Finding::Status(status)),
        }
    }

    fn request(&self, is_h2: bool) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static("sallygate"));
        let host = self.at.authority().map(|host| host.as_str());
        let host = host.and_then(|host| HeaderValue::from_str(host).ok());
        if let (Some(host), false) = (host, is_h2) {
            headers.insert(HOST, host);
        }
        *request.uri_mut() = match (is_h2, self.at.path_and_query()) {
            (false, Some(path)) => Uri::from(path.clone()),
            _ => self.at.clone(),
        };
        request
    }
}

/// A connection that is driven as long as this lives.
struct Driven(tokio::task::JoinHandle<()>);

impl Driven {
    fn start<E>(driven: impl Future<Output = Result<(), E>> + Send + 'static) -> Self {
        Self(tokio::spawn(async move {
            // That it broke shows in the answer that does not come.
            let _ = driven.await;
        }))
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.abort();
    }
}
