//! Another configuration while requests are served: read, examined and built beside the one in force, and then put in its
//! place as a whole or not at all.
//!
//! **Protects** callers from a set that is half old and half new, and operators from one that cannot work: whatever is wrong
//! is told as `sallygate check` tells it, and the last good set stays in force.
//! **Assumes** that files are written elsewhere and moved into place, or are small enough to be written between two looks.
//! **Hands on** a new set to requests, connections, streams and operators' orders, with what the old one had to remember.
//! **Refuses** what would need another socket, folder or store, what cannot be recorded, and files that keep changing.

mod files;
mod watch;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::set::{Base, Kept, Made, make};
use super::{StartError, explained};
use crate::audit::{Event, Record, Slot};
use crate::auth::Verifier;
use crate::config::{Config, VaultMode, Warning};
use crate::control::{Call, Outcome, Refusal, Verbs, verbs};
use crate::listener::Terms;
use crate::pipeline::{Current, Pipeline, Route};
use crate::random;
use crate::telemetry::ReloadResult;
use files::Look;
pub(super) use files::{Changes, Files};

/// Settings that are used once, when the process starts.
const WHEN_STARTED: [&str; 17] = [
    "audit",
    "limits.connections",
    "limits.handshakes",
    "limits.per_address",
    "limits.requests",
    "limits.streams",
    "listen.address",
    "listen.behind_tls_proxy",
    "listen.plain_http",
    "listen.proxy_protocol",
    "logs",
    "metrics",
    "quotas.when_store_is_down",
    "revocation",
    "state_dir",
    "store",
    "vault",
];
/// Names that one audit line holds.
const NAMED_MAX: usize = 64;
/// How often it is tried to read files that change while they are read.
const TRIES: usize = 3;
/// How long the keys of a new issuer may take to come.
const KEYS_WITHIN: Duration = Duration::from_secs(15);

/// Where a configuration comes from, each time anew.
pub trait Source: Send + Sync {
    /// The file, where there is one.
    fn file(&self) -> Option<PathBuf>;

    /// Reads it and looks at everything that it names. It may wait for the disk.
    ///
    /// # Errors
    /// Everything that was found wrong.
    fn read(&self) -> Result<(Config, Vec<Warning>), Unfit>;
}

/// Why a set was not put in force: one line for each thing that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Unfit(pub Vec<String>);

impl Unfit {
    fn of(line: impl ToString) -> Self {
        Self(vec![line.to_string()])
    }
}

/// What became of a set that was not refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// The settings that are different now, by name. If there are none, everything stayed as it was.
    pub changed: Vec<String>,
    /// What is odd about it all the same.
    pub warnings: Vec<String>,
}

/// Who wants another set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A signal.
    Signal,
    /// A file that looks different.
    Files,
    /// A set that was refused is looked at again: something else may have changed in the meantime.
    Retry,
    /// An operator, through the socket.
    Order,
}

impl Cause {
    const fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Files => "files",
            Self::Retry => "retry",
            Self::Order => "order",
        }
    }
}

/// Puts sets in force.
pub struct Reloader {
    base: Arc<Base>,
    source: Option<Arc<dyn Source>>,
    pub(super) current: Arc<Current>,
    pub(super) terms: Arc<ArcSwap<Terms>>,
    pub(super) verbs: Arc<ArcSwap<Verbs>>,
    pub(super) kept: ArcSwap<Kept>,
    /// The last report, while what is in force is not what is written.
    refused: ArcSwapOption<Unfit>,
    turn: Mutex<Turn>,
}

/// What one reload at a time works with.
struct Turn {
    /// How the files looked when they were last read.
    look: Look,
    sets: Vec<Set>,
}

/// A set that was in force, for as long as somebody uses it.
struct Set {
    pipeline: Weak<Pipeline>,
    routes: Vec<Weak<Route>>,
}

impl Set {
    fn of(pipeline: &Arc<Pipeline>) -> Self {
        Self {
            pipeline: Arc::downgrade(pipeline),
            routes: pipeline.routes.iter().map(Arc::downgrade).collect(),
        }
    }

    fn is_used(&self) -> bool {
        let used = |route: &Weak<Route>| route.strong_count() > 0;
        self.pipeline.strong_count() > 0 || self.routes.iter().any(used)
    }
}

impl Reloader {
    /// With the first set, which is put in force.
    pub(super) fn new(base: Arc<Base>, first: Made, source: Option<Arc<dyn Source>>) -> Arc<Self> {
        let grace = first.kept.config.listen.reload_timeout;
        let current = Current::new(first.pipeline, grace);
        let known = paths(source.as_deref(), &first.kept.files);
        let turn = Turn {
            look: Look::at(known.iter().map(PathBuf::as_path)),
            sets: vec![Set::of(&current.set())],
        };
        base.metrics.reloaded_at(base.clock.now());
        let verbs = verbs(&first.kept.people, base.audit.clone());
        let reloader = Arc::new(Self {
            verbs: Arc::new(ArcSwap::from_pointee(verbs)),
            base,
            source,
            current,
            terms: Arc::new(ArcSwap::from_pointee(first.terms)),
            kept: ArcSwap::from_pointee(first.kept),
            refused: ArcSwapOption::empty(),
            turn: Mutex::new(turn),
        });
        let verbs = reloader.orders(&reloader.kept.load());
        reloader.verbs.store(Arc::new(verbs));
        reloader
    }

    /// What operators may order of this set, and that there be another one.
    fn orders(self: &Arc<Self>, kept: &Kept) -> Verbs {
        let verbs = verbs(&kept.people, self.base.audit.clone());
        let reloader = Arc::downgrade(self);
        verbs.on(
            http::Method::POST,
            "/reload",
            "config_reload",
            move |_: Call| ordered(Weak::clone(&reloader)),
        )
    }

    /// Reads the configuration again and puts it in force.
    ///
    /// # Errors
    /// [`Unfit`] with everything that is wrong; what was in force stays in force.
    ///
    /// # Cancel safety
    /// Dropped before its end, nothing has changed, or everything.
    pub async fn reload(self: &Arc<Self>, cause: Cause) -> Result<Reloaded, Unfit> {
        let mut turn = self.turn.lock().await;
        let outcome = self.attempt(&mut turn, cause).await;
        let metrics = &self.base.metrics;
        match &outcome {
            Ok(done) if done.changed.is_empty() => metrics.reloaded(ReloadResult::Unchanged),
            Ok(_) => metrics.reloaded(ReloadResult::Applied),
            Err(unfit) => {
                let known = self.refused.load();
                // Somebody who only looks again says nothing that was said before.
                let again =
                    cause == Cause::Retry && known.as_deref().is_some_and(|known| known == unfit);
                if !again {
                    metrics.reloaded(ReloadResult::Refused);
                    self.note_refusal(cause, unfit);
                }
                self.refused.store(Some(Arc::new(unfit.clone())));
                return outcome;
            }
        }
        self.refused.store(None);
        metrics.reloaded_at(self.base.clock.now());
        outcome
    }

    /// Why what is written is not in force, while it is not.
    pub(super) fn refused(&self) -> Option<Arc<Unfit>> {
        self.refused.load_full()
    }

    /// Sets that somebody still uses, the one in force among them.
    pub async fn sets_in_use(&self) -> usize {
        let mut turn = self.turn.lock().await;
        turn.sets.retain(Set::is_used);
        turn.sets.len()
    }

    async fn attempt(self: &Arc<Self>, turn: &mut Turn, cause: Cause) -> Result<Reloaded, Unfit> {
        let Some(source) = self.source.clone() else {
            return Err(Unfit::of("there is no file to read the configuration from"));
        };
        let mut known = paths(Some(&*source), &self.kept.load().files);
        for _ in 0..TRIES {
            let read = read(Arc::clone(&source), known.clone()).await?;
            turn.look = read.look.clone();
            let (config, warnings) = read.config?;
            let named = paths(Some(&*source), &read.files);
            // What was not looked at before it was read may have changed in between.
            if !read.look.covers(named.iter().map(PathBuf::as_path)) {
                known.extend(named);
                continue;
            }
            let kept = self.kept.load_full();
            let changes = Changes::between((&kept.config, &kept.files), (&config, &read.files));
            let warnings = warnings.iter().map(ToString::to_string).collect();
            let changed: Vec<_> = changes.names().into_iter().collect();
            if changed.is_empty() {
                return Ok(Reloaded { changed, warnings });
            }
            wants_no_restart(&config, &changes)?;
            let made = self
                .make(config, read.files, Arc::clone(&kept), changes)
                .await?;
            let (look, before) = (turn.look.clone(), turn.look.clone());
            let after = spawn_blocking(move || look.again()).await;
            if after.is_ok_and(|after| after == before) {
                self.put_in_force(turn, made, &kept, &changed, cause)?;
                return Ok(Reloaded { changed, warnings });
            }
        }
        Err(Unfit::of("the files change faster than they can be read"))
    }

    /// Makes the set on a thread that may wait and work.
    async fn make(
        &self,
        config: Config,
        files: Files,
        kept: Arc<Kept>,
        changes: Changes,
    ) -> Result<Made, Unfit> {
        let (base, handle) = (Arc::clone(&self.base), Handle::current());
        let before = Arc::clone(&kept);
        let made = spawn_blocking(move || {
            handle.block_on(make(&base, config, files, Some((&kept, &changes))))
        });
        let made = made.await.map_err(Unfit::of)?;
        let made = made.map_err(|error: StartError| Unfit::of(explained(&error)))?;
        keys_come(&made.pipeline.verifier, before.verifier()).await?;
        Ok(made)
    }

    /// The one moment at which everything changes.
    fn put_in_force(
        self: &Arc<Self>,
        turn: &mut Turn,
        made: Made,
        before: &Kept,
        changed: &[String],
        cause: Cause,
    ) -> Result<(), Unfit> {
        let (slot, mut record) = self.line(cause)?;
        record
            .detail("before", hash(&before.config, &before.files))
            .detail("after", hash(&made.kept.config, &made.kept.files))
            .detail("changed", named(changed));
        let metrics = &self.base.metrics;
        if let Some(ends) = made.expires {
            metrics.certificate_expires(ends);
        }
        let old: BTreeSet<_> = issuers(&self.current.set().verifier);
        for gone in old.difference(&issuers(&made.pipeline.verifier)) {
            metrics.jwks_loaded(gone, 0);
        }
        let grace = made.kept.config.listen.reload_timeout;
        // A rotation that an operator began goes on, unless it is another vault now.
        let verbs = (!before.same_people(&made.kept)).then(|| self.orders(&made.kept));
        let known = paths(self.source.as_deref(), &made.kept.files);
        self.kept.store(Arc::new(made.kept));
        self.terms.store(Arc::new(made.terms));
        let set = self.current.install(made.pipeline, grace);
        if let Some(verbs) = verbs {
            self.verbs.store(Arc::new(verbs));
        }
        turn.look.keep(&known);
        turn.sets.retain(Set::is_used);
        turn.sets.push(Set::of(&set));
        slot.write(record);
        info!(cause = cause.name(), changed = %named(changed).join(", "), "configuration reloaded");
        Ok(())
    }

    fn line(&self, cause: Cause) -> Result<(Slot, Record), Unfit> {
        let clock = &self.base.clock;
        let slot = self.base.audit.reserve().map_err(|refused| {
            Unfit::of(format_args!(
                "nothing is done that cannot be recorded: {refused}"
            ))
        })?;
        let id = random::hex::<8>().map_err(Unfit::of)?;
        let now = clock.now();
        let mut record = Record::new(Event::ConfigurationChanged, now, &format!("req_{id}"));
        record
            .action("configuration_reloaded")
            .detail("cause", cause.name())
            .finished(now, Duration::ZERO);
        Ok((slot, record))
    }

    fn note_refusal(&self, cause: Cause, unfit: &Unfit) {
        warn!(cause = cause.name(), report = %unfit, "the new configuration is refused; the last good one stays in force");
        if let Ok((slot, mut record)) = self.line(cause) {
            let kept = self.kept.load();
            record
                .detail("before", hash(&kept.config, &kept.files))
                .failed("configuration_refused", &unfit.to_string());
            slot.write(record);
        }
    }
}

async fn ordered(reloader: Weak<Reloader>) -> Outcome {
    let Some(reloader) = reloader.upgrade() else {
        return Err(Refusal::failed("the gateway stops"));
    };
    match reloader.reload(Cause::Order).await {
        Ok(done) => Ok(json!({
            "result": if done.changed.is_empty() { "unchanged" } else { "applied" },
            "changed": done.changed,
            "warnings": done.warnings,
        })),
        Err(unfit) => {
            let status = http::StatusCode::UNPROCESSABLE_ENTITY;
            Err(Refusal::new(status, "refused", unfit))
        }
    }
}

/// A configuration as it was read, and how its files looked before that.
struct Read {
    look: Look,
    config: Result<(Config, Vec<Warning>), Unfit>,
    files: Files,
}

async fn read(source: Arc<dyn Source>, known: BTreeSet<PathBuf>) -> Result<Read, Unfit> {
    let read = move || {
        let look = Look::at(known.iter().map(PathBuf::as_path));
        let config = source.read();
        let files = config.as_ref().map(|(config, _)| Files::of(config));
        Read {
            look,
            files: files.unwrap_or_default(),
            config,
        }
    };
    spawn_blocking(read).await.map_err(Unfit::of)
}

/// Everything that is looked at.
fn paths(source: Option<&dyn Source>, files: &Files) -> BTreeSet<PathBuf> {
    let own = source.and_then(Source::file);
    own.into_iter()
        .chain(files.paths().map(Path::to_owned))
        .collect()
}

fn wants_no_restart(config: &Config, changes: &Changes) -> Result<(), Unfit> {
    let mut fixed = changes.below(&WHEN_STARTED);
    // What the vault keeps outside the store would be left behind.
    if config.vault.mode != VaultMode::Vault {
        fixed.extend(changes.below(&["encryption_key"]));
    }
    if fixed.is_empty() {
        return Ok(());
    }
    let needs = |name: String| format!("{name}: a change of it needs a restart");
    Err(Unfit(fixed.into_iter().map(needs).collect()))
}

/// A new issuer whose keys are not to be had would make the gateway not ready; such a set is not put in force. One that is there
/// already is no reason to keep everything else as it is.
async fn keys_come(verifier: &Verifier, before: &Verifier) -> Result<(), Unfit> {
    let loads = verifier.load_keys_unlike(before);
    let missing = tokio::time::timeout(KEYS_WITHIN, loads).await;
    let missing = missing.map_err(|_| Unfit::of("keys of an issuer do not come in time"))?;
    if missing.is_empty() {
        return Ok(());
    }
    let lines = missing.iter().map(|(issuer, error)| {
        let error = explained(error);
        format!("keys of the issuer {issuer} cannot be loaded: {error}")
    });
    Err(Unfit(lines.collect()))
}

fn issuers(verifier: &Verifier) -> BTreeSet<String> {
    let names = verifier.key_sources().map(|jwks| jwks.name().to_owned());
    names.collect()
}

fn named(changed: &[String]) -> Vec<String> {
    let mut names: Vec<_> = changed.iter().take(NAMED_MAX).cloned().collect();
    if changed.len() > NAMED_MAX {
        names.push(format!("and {} more", changed.len() - NAMED_MAX));
    }
    names
}

/// A hash of the settings as they may be shown, and of the files without secrets that they name.
fn hash(config: &Config, files: &Files) -> String {
    let mut digest = Sha256::new();
    digest.update(config.shown().to_string());
    files.digest(&mut digest, &config.secret_files);
    random::to_hex(&digest.finalize())
}
