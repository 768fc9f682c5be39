//! One set of everything that a configuration describes, made before it is put in force. A part whose settings and files are
//! what they were is taken over from the set before, with its connections, keys and memory; everything else is made anew.
//! What must not begin anew with a configuration (quotas, sessions, whose task is whose) is handed on in any case.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::identity::{self, Ground, SigningIn, Wishes};
use super::reload::{Changes, Files};
use super::translate::{self, Behind};
use super::{StartError, Waits, certificate, session_key};
use crate::audit::Sink;
use crate::audit::details::Summary;
use crate::auth::Verifier;
use crate::auth::settings::{IssuerSettings, KeySource, Settings as AuthSettings};
use crate::clock::Clock;
use crate::config::{Config, Sessions};
use crate::control::People;
use crate::limits::failures::{self, Failures};
use crate::listener::Terms;
use crate::pipeline::{Pace, Pipeline, Route};
use crate::quota::Quotas;
use crate::quota::shared::Shared;
use crate::revocation::Revocations;
use crate::secret::Secret;
use crate::session::SessionSeal;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::upstream::credential::Keys;
use crate::users::membership::Memberships;
use crate::vault;
use crate::vault::Vault;

/// What every set stands on. It is made when the process starts and ends with it.
pub(super) struct Base {
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) store: Arc<dyn Store>,
    pub(super) fleet: Option<Arc<Shared>>,
    pub(super) revocations: Arc<Revocations>,
    pub(super) audit: Sink,
    pub(super) summary: Arc<Summary>,
    /// Users' credentials out of another place than the vault.
    pub(super) keys: Option<Arc<dyn Keys>>,
    pub(super) waits: Waits,
    pub(super) stopping: watch::Receiver<bool>,
    /// Seals sessions where no key is configured, as long as the process lives.
    pub(super) session_key: Secret<Vec<u8>>,
}

/// A set that is ready to be put in force.
pub(super) struct Made {
    pub(super) pipeline: Pipeline,
    pub(super) terms: Terms,
    /// When the certificate ends.
    pub(super) expires: Option<i64>,
    /// The development authority to trust.
    pub(super) ca_file: Option<PathBuf>,
    pub(super) kept: Kept,
}

/// What the next set may take over.
pub(super) struct Kept {
    pub(super) config: Config,
    pub(super) files: Files,
    pub(super) vault: Option<Arc<Vault>>,
    pub(super) people: People,
    vault_settings: Option<vault::Settings>,
    auth: AuthSettings,
    verifier: Arc<Verifier>,
    signing_in: Option<(Wishes, SigningIn)>,
    quotas: Quotas,
    failures: (failures::Settings, Arc<Failures>),
    sessions: (Sessions, Arc<SessionSeal>),
    members: Arc<Memberships>,
    behind: Vec<(Behind, Arc<Route>)>,
}

impl Kept {
    /// Who checks tokens.
    pub(super) const fn verifier(&self) -> &Arc<Verifier> {
        &self.verifier
    }

    /// Whether operators' orders are about the same vault and the same sessions.
    pub(super) fn same_people(&self, other: &Self) -> bool {
        fn same<P>(one: Option<&Arc<P>>, other: Option<&Arc<P>>) -> bool {
            one.map(Arc::as_ptr) == other.map(Arc::as_ptr)
        }
        let (one, other) = (&self.people, &other.people);
        same(one.vault.as_ref(), other.vault.as_ref())
            && same(one.grants.as_ref(), other.grants.as_ref())
    }

    /// The route of that name, with how its server was reached.
    pub(super) fn route(&self, name: &str) -> Option<&(Behind, Arc<Route>)> {
        self.behind.iter().find(|(_, route)| route.name() == name)
    }
}

/// Makes a set. `before` is the one in force, with what differs from it.
pub(super) async fn make(
    base: &Base,
    config: Config,
    files: Files,
    before: Option<(&Kept, &Changes)>,
) -> Result<Made, StartError> {
    let certificate = certificate(&config)?;
    let (auth, verifier) = verifier(base, &config, before)?;
    let (vault_settings, vault) = vault(base, &config, before).await?;
    let ground = vault.as_ref().map(|vault| Ground {
        config: &config,
        store: &base.store,
        revocations: &base.revocations,
        verifier: &verifier,
        vault,
        audit: &base.audit,
        clock: &base.clock,
    });
    let signing_in = signing_in(ground, before).await?;
    let quotas = quotas(base, &config, before.map(|(kept, _)| kept));
    let failures = failures(base, &config, before.map(|(kept, _)| kept));
    let sessions = sessions(base, &config, before.map(|(kept, _)| kept))?;
    let members = members(base, &config, before.map(|(kept, _)| kept));
    let own = vault.clone().map(|vault| vault as Arc<dyn Keys>);
    let routes = translate::routes(
        &config,
        &translate::Parts {
            verifier: &verifier,
            members: &members,
            metrics: &base.metrics,
            keys: base.keys.clone().or(own),
            clock: &base.clock,
        },
        before,
    )?;
    let pipeline = Pipeline {
        routes: routes.iter().map(|(_, route)| Arc::clone(route)).collect(),
        limits: translate::limits(&config),
        failures: Arc::clone(&failures.1),
        verifier: Arc::clone(&verifier),
        quotas: quotas.clone(),
        site: signing_in.as_ref().map(|(_, it)| it.site.clone()),
        fleet: base.fleet.clone(),
        sessions: Arc::clone(&sessions.1),
        audit: base.audit.clone(),
        summary: Arc::clone(&base.summary),
        metrics: Arc::clone(&base.metrics),
        clock: base.clock.clone(),
        messages: translate::messages(&config),
        pace: Pace {
            keep_alive: base.waits.keep_alive,
            first_event: base.waits.first_event,
            draining: base.stopping.clone(),
            revoked: Some(base.revocations.watch()),
            succession: None,
        },
    };
    let people = People {
        store: Arc::clone(&base.store),
        revocations: Arc::clone(&base.revocations),
        grants: signing_in.as_ref().map(|(_, it)| Arc::clone(&it.grants)),
        vault: vault.clone(),
        clock: base.clock.clone(),
    };
    Ok(Made {
        pipeline,
        terms: Terms {
            tls: certificate.tls,
            settings: translate::listener(&config),
        },
        expires: certificate.expires,
        ca_file: certificate.ca_file,
        kept: Kept {
            config,
            files,
            vault,
            people,
            vault_settings,
            auth,
            verifier,
            signing_in,
            quotas,
            failures,
            sessions,
            members,
            behind: routes,
        },
    })
}

type Before<'b> = Option<(&'b Kept, &'b Changes)>;

/// The verifier as it was, with the tokens that it remembers, where nothing that it is made of has changed.
fn verifier(
    base: &Base,
    config: &Config,
    before: Before<'_>,
) -> Result<(AuthSettings, Arc<Verifier>), StartError> {
    let settings = translate::auth(config);
    let Some((kept, changes)) = before else {
        let verifier = Verifier::new(&settings, base.clock.clone())
            .map_err(StartError::Auth)?
            .watched_by(base.revocations.view());
        return Ok((settings, Arc::new(verifier)));
    };
    let untouched = |issuer: &IssuerSettings| {
        let jwks = match &issuer.jwks {
            KeySource::File(file) => Some(file),
            KeySource::Url(_) | KeySource::Discover => None,
        };
        let authorities = issuer.ca_file.iter().chain(&issuer.extra_ca_file);
        !authorities.chain(jwks).any(|file| changes.touch(file))
    };
    if kept.auth == settings && settings.issuers.iter().all(untouched) {
        return Ok((settings, Arc::clone(&kept.verifier)));
    }
    let next = kept.verifier.succeeded(&settings, untouched);
    Ok((settings, Arc::new(next.map_err(StartError::Auth)?)))
}

async fn vault(
    base: &Base,
    config: &Config,
    before: Before<'_>,
) -> Result<(Option<vault::Settings>, Option<Arc<Vault>>), StartError> {
    let Some(settings) = identity::vault_settings(config)? else {
        return Ok((None, None));
    };
    let held = before.filter(|(kept, _)| kept.vault_settings.as_ref() == Some(&settings));
    let vault = match held.and_then(|(kept, _)| kept.vault.clone()) {
        Some(vault) => vault,
        None => identity::open(&settings, &base.store, &base.audit, &base.clock).await?,
    };
    Ok((Some(settings), Some(vault)))
}

async fn signing_in(
    ground: Option<Ground<'_>>,
    before: Before<'_>,
) -> Result<Option<(Wishes, SigningIn)>, StartError> {
    let Some(ground) = ground else {
        return Ok(None);
    };
    let Some(wishes) = Wishes::of(ground.config)? else {
        return Ok(None);
    };
    let held = before.filter(|(kept, changes)| {
        Arc::ptr_eq(&kept.verifier, ground.verifier)
            && kept
                .vault
                .as_ref()
                .is_some_and(|vault| Arc::ptr_eq(vault, ground.vault))
            && !changes.files_below(&["login", "oauth", "auth", "extra_ca_file"])
    });
    if let Some((held, it)) = held.and_then(|(kept, _)| kept.signing_in.as_ref())
        && *held == wishes
    {
        return Ok(Some((wishes, it.clone())));
    }
    let made = identity::signing_in(&ground, &wishes).await?;
    Ok(Some((wishes, made)))
}

/// The same counts, whatever the limits are now: a reload gives nobody a fresh minute.
fn quotas(base: &Base, config: &Config, before: Option<&Kept>) -> Quotas {
    let settings = translate::quotas(config);
    match before {
        Some(kept) => kept.quotas.reconfigured(&settings),
        None => Quotas::new(&settings, &base.clock),
    }
}

/// The same memory of who failed, unless it is counted in another way now.
fn failures(
    base: &Base,
    config: &Config,
    before: Option<&Kept>,
) -> (failures::Settings, Arc<Failures>) {
    let settings = translate::failures(config);
    match before.map(|kept| &kept.failures) {
        Some((same, held)) if *same == settings => (settings, Arc::clone(held)),
        Some(_) | None => {
            let fresh = Failures::new(&settings, base.clock.clone());
            (settings, Arc::new(fresh))
        }
    }
}

fn sessions(
    base: &Base,
    config: &Config,
    before: Option<&Kept>,
) -> Result<(Sessions, Arc<SessionSeal>), StartError> {
    if let Some((settings, seal)) = before.map(|kept| &kept.sessions)
        && *settings == config.sessions
    {
        return Ok((settings.clone(), Arc::clone(seal)));
    }
    let seal = SessionSeal::new(session_key(config, base), config.sessions.max_age)
        .map_err(StartError::Sessions)?;
    Ok((config.sessions.clone(), Arc::new(seal)))
}

fn members(base: &Base, config: &Config, before: Option<&Kept>) -> Arc<Memberships> {
    let single = config.auth.strict_single_workspace;
    match before {
        Some(kept) if kept.config.auth.strict_single_workspace == single => {
            Arc::clone(&kept.members)
        }
        Some(_) | None => {
            let store = Arc::clone(&base.store);
            Arc::new(Memberships::new(store, single, base.clock.clone()))
        }
    }
}
