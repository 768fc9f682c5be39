//! Stage 1: connections.
//!
//! - **Protects** everything from plaintext, weak TLS, handshakes that never finish and connections without number.
//! - **Assumes** nothing about who connects.
//! - **Hands on** requests as HTTP understood them, each with the [`Peer`] it came from.
//! - **Refuses** TLS below the configured version, any cipher without authentication and forward secrecy, connections
//!   over the cap, and heads that do not arrive in time.
//!
//! The listener drains: once told to stop it accepts no more, lets requests in flight finish, and closes what is left at
//! the deadline.

pub mod connection;
pub mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::telemetry::Metrics;
use crate::units::ByteSize;

pub use connection::Serve;

/// What bounds a connection. Every field has a safe default.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections held at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Time for a TLS handshake, from accept to the first application byte.
    pub handshake_timeout: Duration,
    /// Time for a request head to arrive, and so the longest idle time of an HTTP/1 connection.
    pub head_timeout: Duration,
    /// Bytes of a request head that the HTTP parser holds.
    pub head_bytes: ByteSize,
    /// Header lines of a request head that the HTTP parser takes.
    pub header_count: usize,
    /// Streams that one HTTP/2 connection may have open.
    pub concurrent_streams: u32,
    /// Time that a drain gives requests in flight.
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections: 10_000,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(30),
            head_bytes: ByteSize::kib(64),
            header_count: 128,
            concurrent_streams: 100,
            drain_timeout: Duration::from_secs(20),
        }
    }
}

/// The other end of a connection, and what the connection itself proved.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The address that connected.
    pub address: SocketAddr,
    /// Whether the bytes travelled under our TLS.
    pub encrypted: bool,
}

/// A bound socket with all it needs to serve.
pub struct Listener<S> {
    /// The bound socket.
    pub socket: TcpListener,
    /// TLS, unless plain HTTP was asked for by name.
    pub tls: Option<TlsAcceptor>,
    /// The bounds of each connection.
    pub settings: Settings,
    /// What answers the requests.
    pub service: S,
    /// Who counts.
    pub metrics: Arc<Metrics>,
}

impl<S: Serve> Listener<S> {
    /// Accepts and serves until `stop` resolves, then drains. Says whether every connection
    /// ended by itself before the deadline.
    ///
    /// # Cancel safety
    /// Dropping the future cuts every connection at once.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        let graceful = GracefulShutdown::new();
        let all = u32::try_from(self.settings.connections).unwrap_or(u32::MAX);
        let permits = Arc::new(Semaphore::new(all as usize));
        let drain_timeout = self.settings.drain_timeout;
        let (socket, shared) = self.parts();
        let (cut, cutting) = watch::channel(false);
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = accept(&socket, &permits) => accepted,
                () = &mut stop => break,
            };
            let (stream, address, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            };
            let (shared, watcher) = (Arc::clone(&shared), graceful.watcher());
            let mut cutting = cutting.clone();
            tokio::spawn(async move {
                let _counted = shared.metrics.connection();
                tokio::select! {
                    () = shared.hold(stream, address, watcher) => {}
                    _ = cutting.wait_for(|cut| *cut) => {}
                }
                drop(permit);
            });
        }
        // While the socket is open the kernel goes on accepting, and callers would wait for nobody instead of going elsewhere.
        drop(socket);
        let in_time = timeout(drain_timeout, graceful.shutdown()).await.is_ok();
        // What is left is cut, and is over when every connection has given its permit back.
        let _ = cut.send(true);
        let _ = permits.acquire_many(all).await;
        in_time
    }

    fn parts(self) -> (TcpListener, Arc<Holder<S>>) {
        let holder = Holder {
            tls: self.tls,
            settings: self.settings,
            service: self.service,
            metrics: self.metrics,
        };
        (self.socket, Arc::new(holder))
    }
}

/// What each connection is held with.
struct Holder<S> {
    tls: Option<TlsAcceptor>,
    settings: Settings,
    service: S,
    metrics: Arc<Metrics>,
}

impl<S: Serve> Holder<S> {
    async fn hold(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        watcher: hyper_util::server::graceful::Watcher,
    ) {
        // Answers are small and latency is what callers feel; Nagle would hold them back.
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = &self.tls else {
            let peer = Peer {
                address,
                encrypted: false,
            };
            return connection::http1(stream, peer, &self.settings, self.service.clone(), watcher)
                .await;
        };
        let secured = match timeout(self.settings.handshake_timeout, acceptor.accept(stream)).await
        {
            Ok(Ok(secured)) => secured,
            Ok(Err(error)) => {
                self.metrics.handshake(false);
                debug!(stage = "tls", %error, "handshake failed");
                return;
            }
            Err(_) => return self.metrics.handshake(false),
        };
        self.metrics.handshake(true);
        let peer = Peer {
            address,
            encrypted: true,
        };
        if secured.get_ref().1.alpn_protocol() == Some(tls::ALPN_H2) {
            connection::http2(secured, peer, &self.settings, self.service.clone(), watcher).await;
        } else {
            connection::http1(secured, peer, &self.settings, self.service.clone(), watcher).await;
        }
    }
}

/// The next connection, once there is room for it.
///
/// # Cancel safety
/// Nothing is lost: a connection is taken only as the result.
async fn accept(
    socket: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, address) = socket.accept().await?;
    Ok((stream, address, permit))
}

/// Accept errors are of two kinds: the peer gave up (go on at once), or we ran out of something, such as file
/// descriptors, where an immediate retry would spin.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    ) {
        warn!(stage = "tls", %error, "cannot accept connections");
        sleep(Duration::from_millis(200)).await;
    }
}
