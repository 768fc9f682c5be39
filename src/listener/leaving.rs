//! How a listener takes leave. HTTP/2 has a goodbye of its own (GOAWAY, RFC 9113 section 6.8), after which no request is lost.
//! In HTTP/1.1 whoever closes an idle connection may close it on a request that is on its way. So nothing is closed at
//! first: each answer says `Connection: close` (RFC 9112 section 9.6), and only what has been silent for a while after the
//! order is closed without one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http::{Response, Version};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// All connections of a listener that has to end.
#[derive(Default)]
pub(super) struct Leaving {
    begun: Begun,
    http1: GracefulShutdown,
    http2: GracefulShutdown,
}

/// Whether the leave has begun.
#[derive(Clone, Debug, Default)]
pub(super) struct Begun(Arc<AtomicBool>);

/// One connection's share in the leave.
pub(super) struct Door {
    begun: Begun,
    http1: Watcher,
    http2: Watcher,
}

impl Leaving {
    /// For one more connection.
    pub(super) fn door(&self) -> Door {
        Door {
            begun: self.begun.clone(),
            http1: self.http1.watcher(),
            http2: self.http2.watcher(),
        }
    }

    /// From now on every answer is the last one of its connection.
    pub(super) fn begin(&self) {
        self.begun.0.store(true, Ordering::Release);
    }

    /// Resolves when all connections have ended. Those that are idle may be for `linger`.
    pub(super) async fn end(self, connections: &mut JoinSet<()>, linger: Duration) {
        let all = async { while connections.join_next().await.is_some() {} };
        let http1 = self.http1;
        let idle = async move {
            // It ends sooner where nobody is left.
            let _ = timeout(linger, all).await;
            http1.shutdown().await;
        };
        tokio::join!(self.http2.shutdown(), idle);
    }
}

impl Door {
    /// Whether the leave has begun, for each answer.
    pub(super) fn leaving(&self) -> Begun {
        self.begun.clone()
    }

    /// The connection speaks HTTP/1.1.
    pub(super) fn http1(self) -> Watcher {
        self.http1
    }

    /// The connection speaks HTTP/2.
    pub(super) fn http2(self) -> Watcher {
        self.http2
    }
}

impl Begun {
    /// The answer, which says so if it is the last of its connection.
    pub(super) fn mark<B>(&self, mut answer: Response<B>) -> Response<B> {
        if self.0.load(Ordering::Acquire) && answer.version() <= Version::HTTP_11 {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
        }
        answer
    }
}
