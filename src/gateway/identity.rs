//! The parts that sign users in and keep what they need: the vault, the login providers, the authorization server and the
//! account. They are there where the configuration names somebody to sign in with.

use std::sync::Arc;
use std::time::Duration;

use hkdf::Hkdf;
use sha2::Sha256;

use super::{StartError, settings, translate};
use crate::account::{self, Account};
use crate::audit::Sink;
use crate::auth::settings::OwnSettings;
use crate::auth::{Mint, ResourceId, Verifier};
use crate::clock::Clock;
use crate::config::{Config, CredentialKind, Route};
use crate::grants::{self, Grants};
use crate::keyfile;
use crate::login::{self, Desk};
use crate::oauth::{self, Resource, Server};
use crate::pipeline::front::Site;
use crate::random;
use crate::revocation::Revocations;
use crate::secret::Secret;
use crate::store::{Key, Store, Table};
use crate::vault::{self, Keeping, Vault};

/// The key of what is sealed, where the configuration names none.
const SEALING_KEY: &str = "encryption.key";
/// Under whose name the gateway's own secrets are in the vault. No user can be called so.
const GATEWAY: &str = "~gateway";
/// The secret that all keys for marks and states are made of.
const ROOT: &str = "root";
/// How long one process may take to make it, and how often the others look.
const MAKING: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// Whether users' credentials are kept: where they sign in, and where an MCP server is called with them.
fn keeps_credentials(config: &Config) -> bool {
    let personal = |route: &Route| {
        let credential = route.upstream.credential.as_ref();
        credential.is_some_and(|credential| {
            matches!(
                credential.kind,
                CredentialKind::PerUser(_) | CredentialKind::TokenExchange { .. }
            )
        })
    };
    !config.providers.is_empty() || config.routes.iter().any(personal)
}

/// How credentials are kept, where any are.
pub(super) fn vault_settings(config: &Config) -> Result<Option<vault::Settings>, StartError> {
    if !keeps_credentials(config) {
        return Ok(None);
    }
    let key = sealing_key(config)?;
    Ok(Some(settings::vault(config, Some(key))))
}

/// The vault, where anything is kept in it.
pub(crate) async fn vault(
    config: &Config,
    store: &Arc<dyn Store>,
    audit: &Sink,
    clock: &Clock,
) -> Result<Option<Arc<Vault>>, StartError> {
    match vault_settings(config)? {
        Some(settings) => open(&settings, store, audit, clock).await.map(Some),
        None => Ok(None),
    }
}

/// The vault whether anything is kept in it or not, for the verbs about the vault itself. They make no key: one that is
/// missing is a mistake there.
pub(crate) async fn vault_itself(
    config: &Config,
    store: &Arc<dyn Store>,
    audit: &Sink,
    clock: &Clock,
) -> Result<Arc<Vault>, StartError> {
    let is_known = config.encryption_key.is_some() || config.state_dir.join(SEALING_KEY).exists();
    let key = is_known.then(|| sealing_key(config)).transpose()?;
    open(&settings::vault(config, key), store, audit, clock).await
}

pub(super) async fn open(
    settings: &vault::Settings,
    store: &Arc<dyn Store>,
    audit: &Sink,
    clock: &Clock,
) -> Result<Arc<Vault>, StartError> {
    let store = Arc::clone(store);
    let vault = Vault::open(store, settings, clock.clone(), audit.clone()).await;
    Ok(Arc::new(vault.map_err(StartError::Vault)?))
}

/// What the parts of signing in are made of.
pub(super) struct Ground<'g> {
    pub(super) config: &'g Config,
    pub(super) store: &'g Arc<dyn Store>,
    pub(super) revocations: &'g Arc<Revocations>,
    pub(super) verifier: &'g Arc<Verifier>,
    pub(super) vault: &'g Arc<Vault>,
    pub(super) audit: &'g Sink,
    pub(super) clock: &'g Clock,
}

/// Everything that the operator decided about signing in.
#[derive(PartialEq)]
pub(super) struct Wishes {
    own: OwnSettings,
    grants: grants::Settings,
    login: login::Settings,
    oauth: oauth::Settings,
    account: account::Settings,
    resources: Vec<Resource>,
}

impl Wishes {
    /// Those of a configuration, where there is somebody to sign in with.
    pub(super) fn of(config: &Config) -> Result<Option<Self>, StartError> {
        let Some(own) = translate::own(config).filter(|_| !config.providers.is_empty()) else {
            return Ok(None);
        };
        Ok(Some(Self {
            own,
            grants: settings::grants(config),
            login: settings::login(config),
            oauth: settings::oauth(config),
            account: settings::account(config),
            resources: resources(config)?,
        }))
    }
}

/// Signing in, where there is somebody to sign in with.
#[derive(Clone)]
pub(super) struct SigningIn {
    pub(super) site: Site,
    pub(super) grants: Arc<Grants>,
}

/// Sets up signing in.
pub(super) async fn signing_in(
    ground: &Ground<'_>,
    wishes: &Wishes,
) -> Result<SigningIn, StartError> {
    let clock = ground.clock;
    let root = root(ground).await?;
    let mint = Mint::new(&wishes.own, clock.clone()).map_err(StartError::Mint)?;
    let grants = Arc::new(Grants::new(
        Arc::clone(ground.store),
        Arc::clone(ground.revocations),
        wishes.grants.clone(),
        derived(root.expose(), "sallygate refresh tokens v1"),
        clock.clone(),
    ));
    let desk = Desk::new(
        wishes.login.clone(),
        Arc::clone(ground.store),
        derived(root.expose(), "sallygate login state v1"),
        clock.clone(),
    );
    let desk = Arc::new(desk.map_err(StartError::Login)?);
    let resources = wishes.resources.clone();
    let oauth = Server::new(oauth::Parts {
        settings: wishes.oauth.clone(),
        store: Arc::clone(ground.store),
        grants: Arc::clone(&grants),
        revocations: Arc::clone(ground.revocations),
        mint: mint.clone(),
        verifier: Arc::clone(ground.verifier),
        desk: Arc::clone(&desk),
        resources: resources.clone(),
        clock: clock.clone(),
    });
    let oauth = Arc::new(oauth.map_err(StartError::Oauth)?);
    let account = Account::new(account::Parts {
        settings: wishes.account.clone(),
        desk,
        oauth: Some(Arc::clone(&oauth)),
        grants: Arc::clone(&grants),
        mint,
        verifier: Arc::clone(ground.verifier),
        vault: Some(Arc::clone(ground.vault)),
        revocations: Arc::clone(ground.revocations),
        store: Arc::clone(ground.store),
        resources: resources.into_iter().map(|resource| resource.id).collect(),
        audit: ground.audit.clone(),
        clock: clock.clone(),
    })?;
    Ok(SigningIn {
        site: Site {
            oauth,
            account: Arc::new(account),
        },
        grants,
    })
}

fn resources(config: &Config) -> Result<Vec<Resource>, StartError> {
    let resource = |route: &Route| {
        Ok(Resource {
            id: ResourceId::parse(&route.resource)
                .map_err(|_| StartError::Resource(route.resource.clone()))?,
            name: route.name.clone(),
            scopes: route.scopes_supported.clone(),
        })
    };
    config.routes.iter().map(resource).collect()
}

/// HKDF-SHA256 (RFC 5869), with the purpose as its info.
fn derived(root: &[u8], purpose: &str) -> Secret<[u8; 32]> {
    let mut key = [0_u8; 32];
    // 32 bytes are far below what HKDF can give, which is its only error.
    let _ = Hkdf::<Sha256>::new(None, root).expand(purpose.as_bytes(), &mut key);
    Secret::new(key)
}

/// The key that everything hangs on: the configured one, or one that is made at the first start and kept beside what it
/// seals, which is all that one machine in development needs.
fn sealing_key(config: &Config) -> Result<Secret<Vec<u8>>, StartError> {
    match &config.encryption_key {
        Some(key) => Ok(key.clone()),
        None => {
            let text = keyfile::ensure(&config.state_dir, SEALING_KEY)?;
            Ok(crate::config::key_bytes(text.expose()))
        }
    }
}

/// What the keys for states and refresh tokens are made of. In the vault it is random and outlives a change of the
/// encryption key; where nothing is sealed in the store it is the encryption key itself.
async fn root(ground: &Ground<'_>) -> Result<Secret<Vec<u8>>, StartError> {
    if ground.vault.keeping() != Keeping::Vault {
        return sealing_key(ground.config);
    }
    let turn = Key::new(Table::Meta, "making root");
    loop {
        let found = ground.vault.open_secret(GATEWAY, ROOT).await;
        if let Some(text) = found.map_err(StartError::Vault)? {
            return Ok(Secret::new(text.expose().as_bytes().to_vec()));
        }
        // Of several gateways that start at once, one makes it and the others wait.
        let until = ground.clock.now().plus(MAKING);
        let mine = ground.store.create(&turn, b"1".to_vec(), Some(until)).await;
        if mine.map_err(StartError::Store)?.is_none() {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let made = Secret::new(random::hex::<32>()?);
        let sealed = ground.vault.seal(GATEWAY, ROOT, made, None).await;
        sealed.map_err(StartError::Vault)?;
    }
}
