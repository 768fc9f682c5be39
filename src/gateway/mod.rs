//! The composition root: makes running parts out of a configuration, binds the sockets, and takes everything down again
//! in order. Whatever is wrong is found before the first connection is accepted.

mod care;
mod credential;
mod identity;
mod settings;
mod translate;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::audit::details::{Content, Summary};
use crate::audit::disk::{Disk, Machine};
use crate::audit::sink::{AuditError, Settings as TrailSettings};
use crate::audit::{ChainKey, Sink, Stats};
use crate::auth::Verifier;
use crate::auth::discovery::JwksError;
use crate::auth::mint::MintError;
use crate::auth::verifier::SetupError;
use crate::clock::Clock;
use crate::config::{Certificate, Config, Transport, key_bytes};
use crate::control::{self, Control, ControlError, People, Verbs};
use crate::devcert::{self, DevCertError};
use crate::keyfile::{self, KeyFileError};
use crate::limits::failures::Failures;
use crate::listener::tls::{TlsError, acceptor, expiry};
use crate::listener::{Gate, Listener};
use crate::pipeline::{Gatehouse, Pace, Pipeline, Route};
use crate::policy::PolicyMistake;
use crate::quota::Quotas;
use crate::redact::totals::totals;
use crate::revocation::Revocations;
use crate::secret::Secret;
use crate::session::{SessionError, SessionSeal};
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::{AuditFigures, MetricsError};
use crate::telemetry::ops::{self, Flag, Ops, Readiness};
use crate::upstream::Upstream;
use crate::upstream::breaker::State;
use crate::upstream::connect::ConnectError;
use crate::upstream::credential::{Keys, PrepareError};
use crate::users::membership::Memberships;
use crate::vault::{Vault, VaultError};
use crate::{login, oauth};
use identity::Ground;

/// The key of the audit chain, where the configuration names none.
const AUDIT_KEY: &str = "audit.key";
/// How long the gateway waits where no setting says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// How often a stream that has nothing to say sends a comment: more often than the load balancers in front give up.
    pub keep_alive: Duration,
    /// How long the head of a call's answer may be held back for its first event.
    pub first_event: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(15),
            first_event: Duration::from_millis(50),
        }
    }
}

/// How long the audit lines of cut requests may take to arrive, and how often it is looked whether they have.
const LAST_LINES: Duration = Duration::from_secs(5);
const LAST_LINES_EVERY: Duration = Duration::from_millis(5);
/// How often figures that nobody pushes are read.
const OBSERVE: Duration = Duration::from_secs(5);

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
        let metrics = Metrics::new()?;
        let (tls, ca_file) = transport(config, &metrics)?;
        let store = settings::store(config, &clock).map_err(StartError::Store)?;
        let fleet = settings::fleet(config, &clock).map_err(StartError::Store)?;
        let revocations = revocations(config, Arc::clone(&store), clock.clone()).await?;
        let verifier = Verifier::new(&translate::auth(config), clock.clone())
            .map_err(StartError::Auth)?
            .watched_by(revocations.view());
        let verifier = Arc::new(verifier);
        let quotas = Quotas::new(&translate::quotas(config), &clock);
        let (audit, summary) = trail_on(config, clock.clone(), disk)?;
        let vault = identity::vault(config, &store, &audit, &clock).await?;
        let signing_in = match &vault {
            Some(vault) => {
                identity::signing_in(Ground {
                    config,
                    store: &store,
                    revocations: &revocations,
                    verifier: &verifier,
                    vault,
                    audit: &audit,
                    clock: &clock,
                })
                .await?
            }
            None => None,
        };
        let keys = keys.or_else(|| vault.clone().map(|vault| vault as Arc<dyn Keys>));
        let single = config.auth.strict_single_workspace;
        let members = Memberships::new(Arc::clone(&store), single, clock.clone());
        let callers = (&*verifier, &Arc::new(members));
        let routes = translate::routes(config, callers, &metrics, keys.as_ref(), &clock)?;
        let sessions = SessionSeal::new(&session_key(config)?, config.sessions.max_age)
            .map_err(StartError::Sessions)?;
        let socket = bind("listen.address", config.listen.address).await?;
        let ops_socket = bind("metrics.address", config.metrics.address).await?;
        let (address, ops_address) = (
            local(&socket, config.listen.address),
            local(&ops_socket, config.metrics.address),
        );

        for (issuer, error) in verifier.load_keys().await {
            warn!(issuer, %error, "keys of the issuer cannot be loaded yet; its tokens are refused until they can");
        }
        let (stop, stopping) = watch::channel(false);
        let pipeline = Arc::new(Pipeline {
            routes,
            limits: translate::limits(config),
            failures: Failures::new(&translate::failures(config), clock.clone()),
            verifier: Arc::clone(&verifier),
            quotas,
            site: signing_in.as_ref().map(|it| it.site.clone()),
            fleet,
            sessions,
            audit: audit.clone(),
            summary,
            metrics: Arc::clone(&metrics),
            clock,
            messages: translate::messages(config),
            pace: Pace {
                keep_alive: waits.keep_alive,
                first_event: waits.first_event,
                draining: stopping.clone(),
                revoked: Some(revocations.watch()),
            },
        });
        let people = People {
            store,
            revocations: Arc::clone(&revocations),
            grants: signing_in.map(|it| it.grants),
            vault: vault.clone(),
            clock: pipeline.clock.clone(),
        };
        let control = control(config, control::verbs(&people, audit.clone())).await?;
        let (readiness, serving) = readiness(&pipeline, &revocations);
        let mut background = background(&pipeline, readiness, ops_socket);
        background.extend(control.map(|control| tokio::spawn(control.run())));
        background.extend(vault.map(|vault| tokio::spawn(async move { vault.keep_swept().await })));
        let gone = revocations.gone();
        background.push(tokio::spawn(let_go(
            Arc::clone(&pipeline),
            people.vault.clone(),
            gone,
        )));
        let keeper = Arc::clone(&revocations);
        background.push(tokio::spawn(async move { keeper.run().await }));
        let gate = Gate {
            tls,
            settings: translate::listener(config),
            service: Gatehouse(pipeline),
            metrics,
        };
        let listener = Listener { socket, gate };
        let listener = tokio::spawn(listener.run(until(stopping)));
        serving.set(true);
        info!(%address, ops = %ops_address, routes = config.routes.len(), "serving");
        Ok(Self {
            address,
            ops_address,
            ca_file,
            revocations,
            stop,
            listener,
            background,
            audit,
            serving,
        })
    }

    /// Takes the gateway down: readiness first, then no new connections, requests in flight to their end, streams ended
    /// between two events, the audit trail closed last. Says whether everything ended by itself before the deadline.
    pub async fn drain(self) -> bool {
        self.serving.set(false);
        let _ = self.stop.send(true);
        let in_time = self.listener.await.unwrap_or(false);
        // Requests whose connection was cut end on their own tasks; their lines come before the trail is closed.
        let lines = async {
            while self.audit.stats().depth > 0 {
                tokio::time::sleep(LAST_LINES_EVERY).await;
            }
        };
        let _ = tokio::time::timeout(LAST_LINES, lines).await;
        for task in self.background {
            task.abort();
        }
        let recorded = self.audit.close().await;
        info!(in_time, recorded, "stopped");
        in_time && recorded
    }
}

fn transport(
    config: &Config,
    metrics: &Metrics,
) -> Result<(Option<TlsAcceptor>, Option<PathBuf>), StartError> {
    let Transport::Tls(tls) = &config.listen.transport else {
        return Ok((None, None));
    };
    let (cert, key, ca_file) = match &tls.certificate {
        Certificate::Files { cert, key } => (cert.clone(), key.clone(), None),
        Certificate::Development { dir } => {
            let made = devcert::ensure(dir, &[])?;
            (made.cert_file, made.key_file, Some(made.ca_file))
        }
    };
    metrics.certificate_expires(expiry(&cert)?);
    Ok((Some(acceptor(&translate::tls(tls, cert, key))?), ca_file))
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
async fn control(config: &Config, verbs: Verbs) -> Result<Option<Control>, StartError> {
    match Control::bind(&config.state_dir, Arc::new(verbs)).await {
        Ok(control) => Ok(Some(control)),
        Err(ControlError::Io { path, source }) => {
            warn!(path = %path.display(), error = %source, "no control socket: users can be shut out only by other gateways of the store");
            Ok(None)
        }
        Err(error) => Err(StartError::Control(error)),
    }
}

fn session_key(config: &Config) -> Result<Secret<Vec<u8>>, StartError> {
    Ok(match &config.sessions.key {
        Some(key) => key.clone(),
        None => Secret::new(crate::random::bytes::<32>()?.to_vec()),
    })
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

/// Under which conditions `/readyz` says yes. "serving" is told: true while connections are accepted.
fn readiness(pipeline: &Arc<Pipeline>, revocations: &Arc<Revocations>) -> (Readiness, Flag) {
    let revocations = Arc::clone(revocations);
    let (audit, keys) = (pipeline.audit.clone(), Arc::clone(pipeline));
    let mut readiness = Readiness::new()
        .when("audit", move || {
            audit.ready().map_err(|refused| refused.to_string())
        })
        .when("revocations", move || match revocations.ready() {
            true => Ok(()),
            false => Err("it is not known what was revoked".to_owned()),
        })
        .when("keys", move || {
            match keys
                .verifier
                .key_sources()
                .find(|source| source.keys_loaded() == 0)
            {
                Some(source) => Err(format!("no keys of issuer {} are loaded", source.name())),
                None => Ok(()),
            }
        });
    let upstreams = Arc::clone(pipeline);
    readiness = readiness.when("upstreams", move || care::all_left_alone(&upstreams.routes));
    let listed = Arc::clone(pipeline);
    readiness = readiness.listing("upstream", State::Closed.name(), move || {
        let state = |route: &Arc<Route>| (route.name().to_owned(), route.breaker().state().name());
        listed.routes.iter().map(state).collect()
    });
    let serving = readiness.flag("serving");
    (readiness, serving)
}

/// What runs beside the requests: the operator's listener, fresh keys, and the figures that nobody pushes.
/// Drops what routes and the vault hold in memory for users who left. What the vault has opened ends within a minute anyhow.
async fn let_go(
    pipeline: Arc<Pipeline>,
    vault: Option<Arc<Vault>>,
    mut gone: broadcast::Receiver<Arc<str>>,
) {
    loop {
        let left = match gone.recv().await {
            Ok(user) => Some(user),
            Err(RecvError::Lagged(_)) => None,
            Err(RecvError::Closed) => return,
        };
        if let (Some(user), Some(vault)) = (&left, &vault) {
            vault.forget(user);
        }
        let upstreams = pipeline.routes.iter().map(|route| route.upstream());
        for credentials in upstreams.filter_map(Upstream::credentials) {
            match &left {
                Some(user) => credentials.forget(user),
                None => credentials.forget_all(),
            }
        }
    }
}

fn figures(stats: &Stats) -> AuditFigures {
    AuditFigures {
        depth: stats.depth,
        bytes: stats.bytes,
        errors: stats.errors,
        untidy: stats.untidy,
        waiting: stats.waiting,
        refusing: stats.refusing,
    }
}

fn background(
    pipeline: &Arc<Pipeline>,
    readiness: Readiness,
    ops_socket: TcpListener,
) -> Vec<JoinHandle<()>> {
    let rendered = Arc::clone(pipeline);
    let ops = ops::serve(
        ops_socket,
        Ops::new(readiness, move || {
            rendered.metrics.audit(&figures(&rendered.audit.stats()));
            for (kind, total) in totals() {
                rendered.metrics.redacted(kind.name(), total);
            }
            rendered.metrics.render()
        }),
        // It says "not ready" while the gateway drains, and ends with the other background tasks.
        std::future::pending(),
    );
    let keys = Arc::clone(pipeline);
    let fresh = async move {
        let failed = |issuer: &str, error: &JwksError| {
            keys.metrics.jwks_failed(issuer);
            warn!(issuer, %error, "keys of the issuer cannot be refreshed");
        };
        keys.verifier.keep_keys_fresh(failed).await;
    };
    let observed = Arc::clone(pipeline);
    let observe = async move {
        loop {
            // Nobody may scrape, and whoever reads the log is to learn of a trail that stands still.
            let _ = observed.audit.ready();
            for source in observed.verifier.key_sources() {
                observed
                    .metrics
                    .jwks_loaded(source.name(), source.keys_loaded());
            }
            observed.quotas.sweep();
            for route in &observed.routes {
                if let Some(credentials) = route.upstream().credentials() {
                    credentials.sweep();
                }
            }
            tokio::time::sleep(OBSERVE).await;
        }
    };
    let looked_after = pipeline
        .routes
        .iter()
        .map(Arc::downgrade)
        .map(care::look_after);
    let mut tasks = vec![
        tokio::spawn(ops),
        tokio::spawn(fresh),
        tokio::spawn(observe),
    ];
    tasks.extend(looked_after.map(tokio::spawn));
    tasks
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
