//! The composition root: makes running parts out of a configuration, binds the sockets, and takes everything down again
//! in order. Whatever is wrong is found before the first connection is accepted.

mod beside;
mod credential;
mod identity;
pub mod reload;
mod set;
mod settings;
mod translate;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::audit::details::{Content, Summary};
use crate::audit::disk::{Disk, Machine};
use crate::audit::sink::{AuditError, Settings as TrailSettings};
use crate::audit::{ChainKey, Sink};
use crate::auth::mint::MintError;
use crate::auth::verifier::SetupError;
use crate::clock::Clock;
use crate::config::{Certificate, Config, Transport, key_bytes};
use crate::control::{Control, ControlError, Verbs};
use crate::devcert::{self, DevCertError};
use crate::keyfile::{self, KeyFileError};
use crate::listener::tls::{TlsError, acceptor, expiry};
use crate::listener::{Gate, Listener};
use crate::pipeline::Gatehouse;
use crate::policy::PolicyMistake;
use crate::revocation::Revocations;
use crate::secret::Secret;
use crate::session::SessionError;
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::MetricsError;
use crate::telemetry::ops::Flag;
use crate::upstream::connect::ConnectError;
use crate::upstream::credential::{Keys, PrepareError};
use crate::vault::VaultError;
use crate::{login, oauth};
use beside::{background, let_go, readiness};
use reload::{Files, Reloader, Source};
use set::{Base, make};

/// The key of the audit chain, where the configuration names none.
const AUDIT_KEY: &str = "audit.key";
/// How long the gateway waits where no setting says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// How often a stream that has nothing to say sends a comment: more often than the load balancers in front give up.
    pub keep_alive: Duration,
    /// How long the head of a call's answer may be held back for its first event.
    pub first_event: Duration,
    /// How often it is looked whether files of the configuration have changed.
    pub look: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(15),
            first_event: Duration::from_millis(50),
            look: Duration::from_secs(1),
        }
    }
}

/// How long the audit lines of cut requests may take to arrive, and how often it is looked whether they have.
const LAST_LINES: Duration = Duration::from_secs(5);
const LAST_LINES_EVERY: Duration = Duration::from_millis(5);

/// Why the gateway does not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum StartError {
    #[error("cannot listen on {address} ({setting})")]
    Bind {
        setting: &'static str,
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    DevCert(#[from] DevCertError),
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    #[error("the audit trail cannot be opened, and without it nothing is served")]
    Audit(#[source] AuditError),
    #[error("the key of the audit chain is too short: {0}")]
    AuditKey(String),
    #[error("token checks cannot be set up")]
    Auth(#[source] SetupError),
    #[error("the store cannot be used")]
    Store(#[source] StoreError),
    #[error("the vault cannot be opened")]
    Vault(#[source] VaultError),
    #[error("signing in cannot be set up")]
    Login(#[source] login::SetupError),
    #[error("the authorization server cannot be set up")]
    Oauth(#[source] oauth::SetupError),
    #[error("tokens cannot be made")]
    Mint(#[source] MintError),
    #[error("it cannot be known what was revoked")]
    Revocations(#[source] StoreError),
    #[error(transparent)]
    Control(ControlError),
    #[error("session ids cannot be sealed")]
    Sessions(#[source] SessionError),
    #[error("upstream of route {route}")]
    Upstream {
        route: String,
        #[source]
        source: ConnectError,
    },
    #[error("credential for the upstream of route {route}")]
    Credential {
        route: String,
        #[source]
        source: PrepareError,
    },
    #[error("resource identity `{0}` is no URL")]
    Resource(String),
    #[error("cannot read policy file {path}")]
    PolicyFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{}", .0.iter().map(|m| format!("{}:{}: {}", m.file, m.line, m.message)).collect::<Vec<_>>().join("\n"))]
    Policy(Vec<PolicyMistake>),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error(transparent)]
    NoRandomness(#[from] crate::random::NoRandomness),
}

/// A gateway that serves.
pub struct Gateway {
    /// Where the gateway itself answers.
    pub address: SocketAddr,
    /// Where the operator's listener answers.
    pub ops_address: SocketAddr,
    /// The development authority to trust, where the certificate was made by us.
    pub ca_file: Option<PathBuf>,
    /// What ends before its time.
    pub revocations: Arc<Revocations>,
    /// What puts another configuration in force.
    pub reloader: Arc<Reloader>,
    stop: watch::Sender<bool>,
    listener: JoinHandle<bool>,
    background: Vec<JoinHandle<()>>,
    audit: Sink,
    serving: Flag,
}

impl Gateway {
    /// Starts everything that the configuration describes.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start(config: &Config, clock: Clock) -> Result<Self, StartError> {
        Self::start_with(config, clock, Waits::default()).await
    }

    /// The same with other waits.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start_with(
        config: &Config,
        clock: Clock,
        waits: Waits,
    ) -> Result<Self, StartError> {
        Self::start_keeping(config, clock, waits, None).await
    }

    /// The same with users' credentials out of another place.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start_keeping(
        config: &Config,
        clock: Clock,
        waits: Waits,
        keys: Option<Arc<dyn Keys>>,
    ) -> Result<Self, StartError> {
        Self::start_on(config, clock, waits, (keys, Arc::new(Machine))).await
    }

    /// The same with the audit trail on another disk.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start_on(
        config: &Config,
        clock: Clock,
        waits: Waits,
        (keys, disk): (Option<Arc<dyn Keys>>, Arc<dyn Disk>),
    ) -> Result<Self, StartError> {
        Self::start_from(config, clock, waits, (keys, disk), None).await
    }

    /// The same, reading the configuration again from this source when its files change or somebody says so.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start_from(
        config: &Config,
        clock: Clock,
        waits: Waits,
        (keys, disk): (Option<Arc<dyn Keys>>, Arc<dyn Disk>),
        source: Option<Arc<dyn Source>>,
    ) -> Result<Self, StartError> {
        let (stop, stopping) = watch::channel(false);
        let base = base(config, clock, waits, (keys, disk), stopping.clone()).await?;
        let base = Arc::new(base);
        let read = config.clone();
        let files = spawn_blocking(move || Files::of(&read)).await;
        let first = make(&base, config.clone(), files.unwrap_or_default(), None).await?;
        let socket = bind("listen.address", config.listen.address).await?;
        let ops_socket = bind("metrics.address", config.metrics.address).await?;
        let (address, ops_address) = (
            local(&socket, config.listen.address),
            local(&ops_socket, config.metrics.address),
        );
        if let Some(ends) = first.expires {
            base.metrics.certificate_expires(ends);
        }
        for (issuer, error) in first.pipeline.verifier.load_keys().await {
            warn!(issuer, %error, "keys of the issuer cannot be loaded yet; its tokens are refused until they can");
        }
        let ca_file = first.ca_file.clone();
        let is_watched = source
            .as_ref()
            .is_some_and(|source| source.file().is_some());
        let reloader = Reloader::new(Arc::clone(&base), first, source);
        let control = control(config, Arc::clone(&reloader.verbs)).await?;
        let (readiness, serving) = readiness(&reloader, &base);
        let mut background = background(&reloader, &base, readiness, ops_socket);
        background.extend(control.map(|control| tokio::spawn(control.run())));
        let gone = base.revocations.gone();
        background.push(tokio::spawn(let_go(Arc::clone(&reloader), gone)));
        let keeper = Arc::clone(&base.revocations);
        background.push(tokio::spawn(async move { keeper.run().await }));
        if is_watched {
            let watching = Arc::clone(&reloader).watch(waits.look);
            background.push(tokio::spawn(watching));
        }
        let gate = Gate {
            terms: Arc::clone(&reloader.terms),
            service: Gatehouse(Arc::clone(&reloader.current)),
            metrics: Arc::clone(&base.metrics),
        };
        let listener = Listener { socket, gate };
        let listener = tokio::spawn(listener.run(until(stopping)));
        serving.set(true);
        info!(%address, ops = %ops_address, routes = config.routes.len(), "serving");
        Ok(Self {
            address,
            ops_address,
            ca_file,
            revocations: Arc::clone(&base.revocations),
            reloader,
            stop,
            listener,
            background,
            audit: base.audit.clone(),
            serving,
        })
    }

    /// Takes the gateway down: readiness first and, where a delay is configured, for a while nothing else; then no new connections, requests in flight to their end, streams ended
    /// between two events, the audit trail closed last. Says whether everything ended by itself before the deadline.
    pub async fn drain(self) -> bool {
        self.serving.set(false);
        let delay = self.reloader.kept.load().config.listen.drain_delay;
        if !delay.is_zero() {
            info!(
                ?delay,
                "not ready any more; goes on for those who have not heard"
            );
            tokio::time::sleep(delay).await;
        }
        let _ = self.stop.send(true);
        let in_time = self.listener.await.unwrap_or(false);
        // Requests whose connection was cut end on their own tasks; their lines come before the trail is closed.
        let lines = async {
            while self.audit.stats().depth > 0 {
                tokio::time::sleep(LAST_LINES_EVERY).await;
            }
        };
        let _ = tokio::time::timeout(LAST_LINES, lines).await;
        for task in &self.background {
            task.abort();
        }
        // What they held is let go with them, the store last of all. It is closed before this says that it has stopped.
        for task in self.background {
            let _ = task.await;
        }
        drop((self.reloader, self.revocations));
        let recorded = self.audit.close().await;
        info!(in_time, recorded, "stopped");
        in_time && recorded
    }
}

/// What outlives every configuration.
async fn base(
    config: &Config,
    clock: Clock,
    waits: Waits,
    (keys, disk): (Option<Arc<dyn Keys>>, Arc<dyn Disk>),
    stopping: watch::Receiver<bool>,
) -> Result<Base, StartError> {
    let store = settings::store(config, &clock).map_err(StartError::Store)?;
    let fleet = settings::fleet(config, &clock).map_err(StartError::Store)?;
    let revocations = revocations(config, Arc::clone(&store), clock.clone()).await?;
    let (audit, summary) = trail_on(config, clock.clone(), disk)?;
    Ok(Base {
        metrics: Metrics::new()?,
        store,
        fleet: fleet.map(Arc::new),
        revocations,
        audit,
        summary: Arc::new(summary),
        keys,
        waits,
        stopping,
        session_key: Secret::new(crate::random::bytes::<32>()?.to_vec()),
        clock,
    })
}

/// The certificate of a configuration, ready to be shown.
#[derive(Default)]
struct Shown {
    tls: Option<TlsAcceptor>,
    expires: Option<i64>,
    ca_file: Option<PathBuf>,
}

fn certificate(config: &Config) -> Result<Shown, StartError> {
    let Transport::Tls(tls) = &config.listen.transport else {
        return Ok(Shown::default());
    };
    let (cert, key, ca_file) = match &tls.certificate {
        Certificate::Files { cert, key } => (cert.clone(), key.clone(), None),
        Certificate::Development { dir } => {
            let made = devcert::ensure(dir, &[])?;
            (made.cert_file, made.key_file, Some(made.ca_file))
        }
    };
    Ok(Shown {
        expires: Some(expiry(&cert)?),
        tls: Some(acceptor(&translate::tls(tls, cert, key))?),
        ca_file,
    })
}

/// The trail, and what of a call's arguments it keeps. One process at a time has it.
pub(crate) fn trail(config: &Config, clock: Clock) -> Result<(Sink, Summary), StartError> {
    trail_on(config, clock, Arc::new(Machine))
}

fn trail_on(
    config: &Config,
    clock: Clock,
    disk: Arc<dyn Disk>,
) -> Result<(Sink, Summary), StartError> {
    let secret = match &config.audit.chain_key {
        Some(key) => key.clone(),
        None => key_bytes(keyfile::ensure(&config.state_dir, AUDIT_KEY)?.expose()),
    };
    let key = ChainKey::new(secret).map_err(|error| StartError::AuditKey(error.to_string()))?;
    let summary = Summary::new(Content::Ids, &key.details_key());
    let settings = TrailSettings {
        directory: config.audit.dir.clone(),
        retention: config.audit.retention,
        ..TrailSettings::default()
    };
    let sink = if config.audit.enabled {
        Sink::open_on(&settings, key, clock, disk).map_err(StartError::Audit)?
    } else {
        warn!("the audit trail is switched off; nothing that happens can be proved afterwards");
        Sink::discard(clock)
    };
    Ok((sink, summary))
}

/// Reads everything that was revoked, before anybody is let in.
async fn revocations(
    config: &Config,
    store: Arc<dyn Store>,
    clock: Clock,
) -> Result<Arc<Revocations>, StartError> {
    let settings = settings::revocation(config);
    let revocations = Revocations::new(store, settings, clock).aged_by(Clock::system());
    revocations.poll().await.map_err(StartError::Revocations)?;
    Ok(Arc::new(revocations))
}

/// The operator's socket. A folder in which there can be none is no reason not to serve.
async fn control(
    config: &Config,
    verbs: Arc<ArcSwap<Verbs>>,
) -> Result<Option<Control>, StartError> {
    match Control::bind_to(&config.state_dir, verbs).await {
        Ok(control) => Ok(Some(control)),
        Err(ControlError::Io { path, source }) => {
            warn!(path = %path.display(), error = %source, "no control socket: users can be shut out only by other gateways of the store");
            Ok(None)
        }
        Err(error) => Err(StartError::Control(error)),
    }
}

fn session_key<'k>(config: &'k Config, base: &'k Base) -> &'k Secret<Vec<u8>> {
    config.sessions.key.as_ref().unwrap_or(&base.session_key)
}

async fn bind(setting: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Bind {
            setting,
            address,
            source,
        })
}

fn local(socket: &TcpListener, asked: SocketAddr) -> SocketAddr {
    socket.local_addr().unwrap_or(asked)
}

async fn until(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// An error with everything that led to it, on one line.
pub(crate) fn explained(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// What the parts are set up with, for the verb that tries them without serving.
pub(crate) use credential::settings as route_credential;
/// Its vault, for the same verbs.
pub(crate) use identity::{vault as open_vault, vault_itself};
/// The store of a configuration, for the verbs that act on it themselves.
pub use settings::{store as open_store, store_settings};
/// The settings of the log.
pub use translate::logs as log_settings;
pub(crate) use translate::mutual as mutual_settings;
/// The settings of tokens of our own, for the verbs that make them.
pub use translate::own as own_tokens;
pub(crate) use translate::{
    auth as auth_settings, policies as route_policies, upstream as route_upstream,
};
