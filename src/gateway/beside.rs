//! What runs beside the requests: whether the gateway is ready, fresh keys, a swept vault, figures that nobody pushes, and
//! letting go of users who left. Each of them goes by the set in force, whichever it is at the moment.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::{JoinHandle, JoinSet};
use tracing::warn;

use super::reload::Reloader;
use super::set::Base;
use crate::audit::Stats;
use crate::auth::discovery::JwksError;
use crate::pipeline::Route;
use crate::redact::totals::totals;
use crate::telemetry::metrics::AuditFigures;
use crate::telemetry::ops::{self, Flag, Ops, Readiness};
use crate::upstream::breaker::State;

/// How often figures that nobody pushes are read.
const OBSERVE: Duration = Duration::from_secs(5);

/// Under which conditions `/readyz` says yes. "serving" is told: true while connections are accepted.
pub(super) fn readiness(reloader: &Arc<Reloader>, base: &Base) -> (Readiness, Flag) {
    let revocations = Arc::clone(&base.revocations);
    let (audit, current) = (base.audit.clone(), Arc::clone(&reloader.current));
    let written = Arc::clone(reloader);
    let mut readiness = Readiness::new()
        .when("audit", move || {
            audit.ready().map_err(|refused| refused.to_string())
        })
        .when("revocations", move || match revocations.ready() {
            true => Ok(()),
            false => Err("it is not known what was revoked".to_owned()),
        })
        .when("keys", move || {
            match current
                .set()
                .verifier
                .key_sources()
                .find(|source| source.keys_loaded() == 0)
            {
                Some(source) => Err(format!("no keys of issuer {} are loaded", source.name())),
                None => Ok(()),
            }
        })
        .noting("configuration", move || match written.refused() {
            Some(unfit) => Err(format!("the last reload was refused: {unfit}")),
            None => Ok(()),
        });
    let upstreams = Arc::clone(&reloader.current);
    readiness = readiness.when("upstreams", move || all_left_alone(&upstreams.set().routes));
    let listed = Arc::clone(&reloader.current);
    readiness = readiness.listing("upstream", State::Closed.name(), move || {
        let state = |route: &Arc<Route>| (route.name().to_owned(), route.breaker().state().name());
        listed.set().routes.iter().map(state).collect()
    });
    let serving = readiness.flag("serving");
    (readiness, serving)
}

/// A gateway that can send nothing to anybody is not ready. While a wait lasts, that is: when it is over a request has to
/// come, or nobody would find out that the upstream is back.
fn all_left_alone(routes: &[Arc<Route>]) -> Result<(), String> {
    let open = |route: &Arc<Route>| route.breaker().state() == State::Open;
    if routes.is_empty() || !routes.iter().all(open) {
        return Ok(());
    }
    let names: Vec<_> = routes.iter().map(|route| route.name()).collect();
    Err(format!("left alone after failures: {}", names.join(", ")))
}

/// Looks after the upstreams of the set in force.
async fn look_after_all(reloader: Arc<Reloader>) {
    let mut changes = reloader.current.changes();
    loop {
        // Those of the set before end with their routes, or here.
        let mut looking = JoinSet::new();
        for route in &reloader.current.set().routes {
            looking.spawn(look_after(Arc::downgrade(route)));
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Looks after the upstream of a route as long as the route is there.
async fn look_after(route: Weak<Route>) {
    loop {
        let every = {
            let Some(route) = route.upgrade() else { return };
            let Some(checkup) = route.upstream().checkup() else {
                return;
            };
            // What follows from it the breaker knows.
            let _ = checkup.look(route.breaker()).await;
            checkup.every()
        };
        tokio::time::sleep(every).await;
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

/// Drops what routes and the vault hold in memory for users who left. What the vault has opened ends within a minute anyhow.
pub(super) async fn let_go(reloader: Arc<Reloader>, mut gone: broadcast::Receiver<Arc<str>>) {
    loop {
        let left = match gone.recv().await {
            Ok(user) => Some(user),
            Err(RecvError::Lagged(_)) => None,
            Err(RecvError::Closed) => return,
        };
        if let (Some(user), Some(vault)) = (&left, &reloader.kept.load().vault) {
            vault.forget(user);
        }
        let set = reloader.current.set();
        let upstreams = set.routes.iter().map(|route| route.upstream());
        for credentials in upstreams.filter_map(|upstream| upstream.credentials()) {
            match &left {
                Some(user) => credentials.forget(user),
                None => credentials.forget_all(),
            }
        }
    }
}

/// What runs beside the requests: the operator's listener, fresh keys, a swept vault, and the figures that nobody pushes.
pub(super) fn background(
    reloader: &Arc<Reloader>,
    base: &Base,
    readiness: Readiness,
    ops_socket: TcpListener,
) -> Vec<JoinHandle<()>> {
    let (rendered, trail) = (Arc::clone(&base.metrics), base.audit.clone());
    let ops = ops::serve(
        ops_socket,
        Ops::new(readiness, move || {
            rendered.audit(&figures(&trail.stats()));
            for (kind, total) in totals() {
                rendered.redacted(kind.name(), total);
            }
            rendered.render()
        }),
        // It says "not ready" while the gateway drains, and ends with the other background tasks.
        std::future::pending(),
    );
    let metrics = Arc::clone(&base.metrics);
    let fresh = as_long_as_it_is(
        Arc::clone(reloader),
        |reloader| Some(Arc::clone(&reloader.current.set().verifier)),
        move |verifier| {
            let metrics = Arc::clone(&metrics);
            async move {
                let failed = |issuer: &str, error: &JwksError| {
                    metrics.jwks_failed(issuer);
                    warn!(issuer, %error, "keys of the issuer cannot be refreshed");
                };
                verifier.keep_keys_fresh(failed).await;
            }
        },
    );
    let swept = as_long_as_it_is(
        Arc::clone(reloader),
        |reloader| reloader.kept.load().vault.clone(),
        |vault| async move { vault.keep_swept().await },
    );
    vec![
        tokio::spawn(ops),
        tokio::spawn(fresh),
        tokio::spawn(swept),
        tokio::spawn(look_after_all(Arc::clone(reloader))),
        tokio::spawn(observe(Arc::clone(reloader))),
    ]
}

/// Does something with a part of the set in force, for ever: with the same one as long as reloads keep it.
async fn as_long_as_it_is<P, D: Future<Output = ()> + Send>(
    reloader: Arc<Reloader>,
    part: impl Fn(&Reloader) -> Option<Arc<P>> + Send,
    act: impl Fn(Arc<P>) -> D + Send,
) {
    let mut changes = reloader.current.changes();
    loop {
        let held = part(&reloader);
        let replaced = async {
            loop {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                let now = part(&reloader);
                if now.as_ref().map(Arc::as_ptr) != held.as_ref().map(Arc::as_ptr) {
                    return;
                }
            }
        };
        match &held {
            None => replaced.await,
            Some(held) => tokio::select! {
                () = async { act(Arc::clone(held)).await; std::future::pending().await } => {}
                () = replaced => {}
            },
        }
    }
}

async fn observe(reloader: Arc<Reloader>) {
    loop {
        let set = reloader.current.set();
        // Nobody may scrape, and whoever reads the log is to learn of a trail that stands still.
        let _ = set.audit.ready();
        for source in set.verifier.key_sources() {
            set.metrics.jwks_loaded(source.name(), source.keys_loaded());
        }
        set.quotas.sweep();
        for route in &set.routes {
            if let Some(credentials) = route.upstream().credentials() {
                credentials.sweep();
            }
        }
        drop(set);
        let in_use = reloader.sets_in_use().await;
        reloader.current.set().metrics.sets_in_use(in_use);
        tokio::time::sleep(OBSERVE).await;
    }
}
