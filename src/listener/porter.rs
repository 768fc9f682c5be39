//! Who stands at the socket: asks the door about everybody who connects, and our own proxies for whom they do. Whoever is
//! turned away costs no more than the accepting of the connection, and leaves a count and, once in a while, a line.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, error, warn};

use super::door::{Door, Handshake, Refused, Visitor};
use super::mutual::Shown;
use super::{Settings, proxy};
use crate::clock::Clock;
use crate::telemetry::{Metrics, Seldom};

/// How often the same trouble is told at most.
const LINES_EVERY: Duration = Duration::from_secs(10);

/// The porter of one listener.
#[derive(Debug)]
pub(super) struct Porter {
    door: Arc<Door>,
    proxies: Vec<IpNet>,
    patience: Duration,
    metrics: Arc<Metrics>,
    turned_away: Seldom,
    distrusted: Seldom,
    troubled: Seldom,
}

/// Somebody at the door, as far as their socket says who they are.
#[derive(Debug)]
pub(super) struct Met {
    address: SocketAddr,
    handshake: Handshake,
    /// None while a proxy has yet to say for whom it comes.
    visitor: Option<Visitor>,
}

/// Somebody who may come in, if the handshake succeeds.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) address: SocketAddr,
    pub(super) handshake: Handshake,
    pub(super) visitor: Visitor,
}

impl Porter {
    pub(super) fn new(settings: &Settings, metrics: Arc<Metrics>) -> Self {
        Self {
            door: Door::new(settings.door.clone(), Clock::system()),
            proxies: settings.proxies.clone(),
            patience: settings.handshake_timeout,
            metrics,
            turned_away: Seldom::new(LINES_EVERY),
            distrusted: Seldom::new(LINES_EVERY),
            troubled: Seldom::new(LINES_EVERY),
        }
    }

    /// Somebody connected. None where they are turned away, and then the connection is reset when it is dropped.
    pub(super) fn meet(&self, stream: &TcpStream, address: SocketAddr) -> Option<Met> {
        let met = self.door.greet().and_then(|handshake| {
            let is_proxy = self.is_proxy(address.ip());
            let visitor = (!is_proxy).then(|| self.door.enter(address.ip()));
            Ok(Met {
                address,
                handshake,
                visitor: visitor.transpose()?,
            })
        });
        self.or_turn_away(stream, address, met)
    }

    /// Hears from a proxy for whom it comes, and asks the door about them.
    pub(super) async fn introduce(&self, stream: &mut TcpStream, met: Met) -> Option<Guest> {
        let Met {
            address,
            handshake,
            visitor,
        } = met;
        if let Some(visitor) = visitor {
            return Some(Guest {
                address,
                handshake,
                visitor,
            });
        }
        // In a box, since hardly any connection needs it and every one would have to hold its place.
        let header = timeout(self.patience, Box::pin(proxy::read(stream))).await;
        let caller = match header {
            Ok(Ok(caller)) => caller.unwrap_or(address),
            Ok(Err(error)) => {
                debug!(stage = "tls", proxy = %address, %error, "no proper PROXY header");
                return self.or_turn_away(stream, address, Err(Refused::ProxyHeader));
            }
            Err(_) => return self.or_turn_away(stream, address, Err(Refused::ProxyHeader)),
        };
        let guest = self.door.enter(caller.ip()).map(|visitor| Guest {
            address: caller,
            handshake,
            visitor,
        });
        self.or_turn_away(stream, caller, guest)
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.proxies.iter().any(|net| net.contains(&address))
    }

    fn or_turn_away<T>(
        &self,
        stream: &TcpStream,
        address: SocketAddr,
        outcome: Result<T, Refused>,
    ) -> Option<T> {
        let refused = match outcome {
            Ok(met) => return Some(met),
            Err(refused) => refused,
        };
        self.metrics.turned_away(refused.reason());
        if let Some(count) = self.turned_away.due() {
            warn!(stage = "tls", %address, reason = refused.reason(), count, "connections turned away");
        }
        // A reset leaves nothing behind on our side, not even the time that a closed port is kept.
        let _ = stream.set_zero_linger();
        None
    }

    /// A handshake has said something about the caller's certificate.
    pub(super) fn shown(&self, shown: Shown, address: SocketAddr) {
        self.metrics.certificate_shown(shown.label());
        if let Shown::Refused(reason) = shown
            && let Some(count) = self.distrusted.due()
        {
            warn!(stage = "tls", %address, reason, count, "client certificates refused");
        }
    }

    /// No connection can be accepted, because the system has run out of something.
    pub(super) fn starved(&self, error: &std::io::Error) {
        self.metrics.accept_failed();
        if let Some(count) = self.troubled.due() {
            warn!(stage = "tls", %error, count, "cannot accept connections");
        }
    }

    /// The task of a connection has panicked, which ends that connection and nothing else.
    pub(super) fn panicked(&self) {
        self.metrics.connection_panicked();
        error!(
            stage = "tls",
            "a connection ended in a panic; the others go on"
        );
    }
}
