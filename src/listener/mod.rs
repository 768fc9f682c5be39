//! Stage 1: connections.
//!
//! - **Protects** everything from plaintext, weak TLS, handshakes that never finish and connections without number, of all
//!   and of each address.
//! - **Assumes** nothing about who connects, but that listed proxies say the truth about it.
//! - **Hands on** requests as HTTP understood them, each with the [`Peer`] it came from and the certificate that it showed.
//! - **Refuses** TLS below the configured version, any cipher without authentication and forward secrecy, connections
//!   over the caps, certificates that nobody vouches for, and heads that do not arrive in time.
//!
//! The listener drains: once told to stop it accepts no more, lets requests in flight finish, and closes what is left at
//! the deadline.

pub mod activity;
pub mod connection;
pub mod descriptors;
pub mod door;
pub mod frames;
mod leaving;
pub mod mutual;
pub mod parting;
pub mod patience;
mod porter;
pub mod proxy;
pub mod room;
pub mod tls;
pub mod wire;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use crate::auth::ClientCertificate;
use crate::telemetry::Metrics;
use crate::units::ByteSize;

pub use connection::Serve;
use leaving::{Door, Leaving};
use mutual::Shown;
use porter::{Guest, Met, Porter};
pub use room::{Place, Rooms};

/// What bounds a connection. Every field has a safe default.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections held at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Who may connect.
    pub door: door::Settings,
    /// Proxies that must say by the PROXY protocol for whom they connect.
    pub proxies: Vec<IpNet>,
    /// Requests worked on at once; more are turned away with 503, so that those admitted keep their pace.
    pub requests: usize,
    /// Long-lived streams open at once, which do not count among the requests.
    pub streams: usize,
    /// Time for a TLS handshake, and as long before it for what a proxy says.
    pub handshake_timeout: Duration,
    /// Time for a request head to arrive, and so the longest time that a connection may be without a request.
    pub head_timeout: Duration,
    /// The longest time for which the peer may take nothing of what we send.
    pub write_timeout: Duration,
    /// Bytes of a request head that the HTTP parser holds.
    pub head_bytes: ByteSize,
    /// Header lines of a request head that the HTTP parser takes.
    pub header_count: usize,
    /// Streams that one HTTP/2 connection may have open.
    pub concurrent_streams: u32,
    /// Time that a drain gives requests in flight.
    pub drain_timeout: Duration,
    /// How long a drain goes on answering requests on connections that are idle when it begins.
    pub linger: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections: 10_000,
            door: door::Settings::default(),
            proxies: Vec::new(),
            requests: 2_000,
            streams: 10_000,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            head_bytes: ByteSize::kib(64),
            header_count: 128,
            concurrent_streams: 100,
            drain_timeout: Duration::from_secs(20),
            linger: Duration::from_secs(1),
        }
    }
}

/// The other end of a connection, and what the connection itself proved.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address that connected, or for which a proxy of ours did.
    pub address: SocketAddr,
    /// Whether the bytes travelled under our TLS.
    pub encrypted: bool,
    /// The certificate that it proved to hold, where it showed one.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// A bound socket with all it needs to serve.
pub struct Listener<S> {
    /// The bound socket.
    pub socket: TcpListener,
    /// What its connections are held with.
    pub gate: Gate<S>,
}

/// On which terms a connection is held, from its first byte to its last.
pub struct Terms {
    /// TLS, unless plain HTTP was asked for by name.
    pub tls: Option<TlsAcceptor>,
    /// The bounds of each connection.
    pub settings: Settings,
}

/// What connections are held with.
pub struct Gate<S> {
    /// The terms of connections that come; those that are there keep theirs.
    pub terms: Arc<ArcSwap<Terms>>,
    /// What answers the requests.
    pub service: S,
    /// Who counts.
    pub metrics: Arc<Metrics>,
}

impl<S: Serve> Listener<S> {
    /// Accepts and serves until `stop` resolves, then drains. Says whether every connection ended by itself before the
    /// deadline; when this returns, none is left.
    ///
    /// # Cancel safety
    /// Dropping the future cuts every connection at once.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        let Self { socket, gate } = self;
        let leaving = Leaving::default();
        let first = gate.terms.load_full();
        let room = Arc::new(Semaphore::new(first.settings.connections));
        let rooms = Rooms::new(first.settings.requests, first.settings.streams);
        let porter = Porter::new(&first.settings, Arc::clone(&gate.metrics));
        let (gate, porter) = (Arc::new(gate), Arc::new(porter));
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = accept(&socket, &room) => accepted,
                () = &mut stop => break,
            };
            while let Some(ended) = connections.try_join_next() {
                if ended.is_err_and(|error| error.is_panic()) {
                    porter.panicked();
                }
            }
            let (stream, address, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    pause_after(&error, &porter).await;
                    continue;
                }
            };
            let Some(met) = porter.meet(&stream, address) else {
                continue;
            };
            let held = hold(&gate, (stream, met), &porter, &rooms, leaving.door());
            connections.spawn(async move {
                held.await;
                drop(permit);
            });
        }
        let terms = gate.terms.load_full();
        leaving.begin();
        // Whom the kernel let in before the order came is served. While the socket is open it goes on to let callers in, who would
        // wait for nobody instead of going elsewhere; so it is closed as soon as its queue is empty.
        for (stream, address) in queued(socket) {
            let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
                break;
            };
            let Some(met) = porter.meet(&stream, address) else {
                continue;
            };
            let held = hold(&gate, (stream, met), &porter, &rooms, leaving.door());
            connections.spawn(async move {
                held.await;
                drop(permit);
            });
        }
        let (limit, linger) = (terms.settings.drain_timeout, terms.settings.linger);
        let in_time = leaving.end(&mut connections, linger.min(limit / 2));
        let in_time = timeout(limit, in_time).await.is_ok();
        connections.shutdown().await;
        in_time
    }
}

/// Holds one connection to its end.
fn hold<S: Serve>(
    gate: &Arc<Gate<S>>,
    (stream, met): (TcpStream, Met),
    porter: &Arc<Porter>,
    rooms: &Arc<Rooms>,
    door: Door,
) -> impl Future<Output = ()> + Send + 'static {
    let (gate, rooms, porter) = (Arc::clone(gate), Arc::clone(rooms), Arc::clone(porter));
    async move {
        let _counted = gate.metrics.connection();
        let terms = gate.terms.load_full();
        gate.hold(&terms, stream, met, &porter, &rooms, door).await;
    }
}

impl<S: Serve> Gate<S> {
    async fn hold(
        &self,
        terms: &Terms,
        mut stream: TcpStream,
        met: Met,
        porter: &Porter,
        rooms: &Arc<Rooms>,
        door: Door,
    ) {
        let settings = &terms.settings;
        // What is boxed here is room that a connection needs for a moment or for one protocol; the task itself lives as long
        // as the connection, and there are thousands of them.
        let Some(guest) = Box::pin(porter.introduce(&mut stream, met)).await else {
            return;
        };
        let Guest {
            address,
            handshake: shaking,
            mut visitor,
        } = guest;
        // Answers are small and latency is what callers feel; Nagle would hold them back.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(settings.write_timeout));
        let stream = Box::pin(stream);
        let Some(acceptor) = &terms.tls else {
            drop(shaking);
            visitor.arrived();
            let peer = Peer {
                address,
                encrypted: false,
                certificate: None,
            };
            return self.serve(settings, stream, peer, false, rooms, door).await;
        };
        let within = settings.handshake_timeout;
        let secured = Box::pin(self.secure((acceptor, within), stream, porter, address));
        let Some(secured) = secured.await else {
            return;
        };
        drop(shaking);
        visitor.arrived();
        let (_, session) = secured.get_ref();
        let is_h2 = session.alpn_protocol() == Some(tls::ALPN_H2);
        let certificate = session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|der| Arc::new(ClientCertificate::read(der)));
        if certificate.is_some() {
            porter.shown(Shown::Accepted, address);
        }
        let peer = Peer {
            address,
            encrypted: true,
            certificate,
        };
        self.serve(settings, secured, peer, is_h2, rooms, door)
            .await;
    }

    /// The handshake, within its time.
    async fn secure(
        &self,
        (acceptor, within): (&TlsAcceptor, Duration),
        stream: Pin<Box<TimeoutStream<TcpStream>>>,
        porter: &Porter,
        address: SocketAddr,
    ) -> Option<Box<TlsStream<Pin<Box<TimeoutStream<TcpStream>>>>>> {
        let bounded = |session: &mut ServerConnection| session.set_buffer_limit(Some(TLS_BYTES));
        let handshake = timeout(within, acceptor.accept_with(stream, bounded)).await;
        self.metrics.handshake(matches!(handshake, Ok(Ok(_))));
        match handshake {
            Ok(Ok(secured)) => Some(Box::new(secured)),
            Ok(Err(error)) => {
                if let Some(shown) = Shown::in_failure(&error) {
                    porter.shown(shown, address);
                }
                debug!(stage = "tls", %error, "handshake failed");
                None
            }
            Err(_) => None,
        }
    }

    async fn serve<I>(
        &self,
        settings: &Settings,
        io: I,
        peer: Peer,
        is_h2: bool,
        rooms: &Arc<Rooms>,
        door: Door,
    ) where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = self.service.clone();
        if is_h2 {
            Box::pin(connection::http2(io, peer, settings, service, rooms, door)).await;
        } else {
            Box::pin(connection::http1(io, peer, settings, service, rooms, door)).await;
        }
    }
}

/// The connections that wait in the kernel's queue. The socket is closed with the iterator.
fn queued(socket: TcpListener) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    let socket = socket.into_std().ok();
    std::iter::from_fn(move || {
        let (stream, address) = socket.as_ref()?.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, address))
    })
}

/// What of an answer lies encrypted in the TLS library while the peer takes nothing.
const TLS_BYTES: usize = 16 * 1024;

/// The next connection, once there is room for it.
async fn accept(
    socket: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, address) = socket.accept().await?;
    Ok((stream, address, permit))
}

/// Accept errors are of two kinds: the peer gave up (go on at once), or we ran out of something, such as file
/// descriptors, where an immediate retry would spin.
async fn pause_after(error: &io::Error, porter: &Porter) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    ) {
        porter.starved(error);
        sleep(Duration::from_millis(200)).await;
    }
}
