//! The vault: what users' credentials for the servers behind the gateway are kept in.
//!
//! - **Protects** credentials against whoever reads or changes the store, its copies and its dumps: they are sealed with
//!   AES-256-GCM and tied to their user and name; a record that was changed or moved is an error that wakes somebody.
//! - **Assumes** that the master key is kept apart from the store, and that the users it is asked for were authenticated.
//!   It cannot see that a whole record was put back to what it was earlier, unless the user's data key changed since.
//! - **Hands on** one opened value at a time, for the call that needs it; each opening is a line of the audit trail.
//! - **Refuses** to start with a key that does not open what is there, before it writes anything; to open what it cannot
//!   write down; and to take an unreachable store for an empty one.
//!
//! A master key seals one random data key for each user, and that seals the user's secrets: destroying the data key is
//! enough to destroy all of them, and replacing the master key means to seal the data keys anew and nothing else.

mod cache;
mod data_keys;
mod error;
mod import;
mod keychain;
mod master;
mod names;
mod records;
mod rotate;
pub mod seal;
mod secrets;
mod status;
pub mod token;
mod trail;
mod unlock;
pub mod v1;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::audit::Sink;
use crate::clock::Clock;
use crate::secret::Secret;
use crate::store::{Memory, Store};

pub use cache::TTL_MAX;
pub use error::{Damage, VaultError, WeakKey};
pub use import::{DUMP_MAX_BYTES, Dump, DumpError, Imported};
pub use keychain::{KeychainError, SERVICE};
pub use master::Kdf;
pub use names::{NAME_MAX_BYTES, USER_MAX_BYTES};
pub use rotate::{Progress, Rotation};
pub use secrets::{Stored, VALUE_MAX_BYTES};
pub use status::{KeyStatus, Status};

use cache::Cache;
use keychain::Keychain;
use master::Masters;
use seal::{KeyId, SealKey};
use trail::Trail;

/// Where credentials are kept (C09).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keeping {
    /// In this process alone, under a key that ends with it.
    #[default]
    Memory,
    /// In the keychain of the machine.
    Keychain,
    /// In the store, sealed.
    Vault,
}

impl Keeping {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Keychain, Self::Vault];

    /// Its name in the configuration, in health details and in lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Keychain => "keychain",
            Self::Vault => "vault",
        }
    }

    /// The way of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.name() == name)
    }
}

/// How credentials are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where.
    pub keeping: Keeping,
    /// How keys are made of the texts below.
    pub kdf: Kdf,
    /// What the master key is made of (`ENCRYPTION_KEY`); the way `vault` needs it.
    pub key: Option<Secret<Vec<u8>>>,
    /// What master keys before it were made of; they open and do not seal.
    pub previous: Vec<Secret<Vec<u8>>>,
    /// How long an opened value may stay in memory; longer than [`TTL_MAX`] counts as that, zero switches it off.
    pub cache_ttl: Duration,
    /// How many opened values may be in memory at once.
    pub cache_entries: usize,
    /// The service that keychain items are kept under.
    pub keychain_service: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keeping: Keeping::default(),
            kdf: Kdf::default(),
            key: None,
            previous: Vec::new(),
            cache_ttl: TTL_MAX,
            cache_entries: 10_000,
            keychain_service: SERVICE.into(),
        }
    }
}

/// Where the values themselves are.
#[derive(Debug)]
enum Place {
    Sealed(Masters),
    Keychain(Keychain),
}

/// The vault, open. Made once and shared.
#[derive(Debug)]
pub struct Vault {
    keeping: Keeping,
    place: Place,
    store: Arc<dyn Store>,
    clock: Clock,
    cache: Cache,
    trail: Trail,
}

impl Vault {
    /// Opens the vault. With [`Keeping::Memory`] the store is not touched.
    ///
    /// # Errors
    /// [`VaultError`] when keys are missing, weak, retired or not the ones that the store was sealed under, when there is
    /// no keychain where one is asked for, or when the store cannot be used. Nothing was written then.
    pub async fn open(
        store: Arc<dyn Store>,
        settings: &Settings,
        clock: Clock,
        audit: Sink,
    ) -> Result<Self, VaultError> {
        let (place, store) = match settings.keeping {
            Keeping::Memory => {
                let only = Masters {
                    current: SealKey::random()?,
                    previous: Vec::new(),
                };
                let store: Arc<dyn Store> = Arc::new(Memory::new(clock.clone()));
                (Place::Sealed(only), store)
            }
            Keeping::Keychain => {
                let keychain = Keychain::of_system(&settings.keychain_service).await?;
                (Place::Keychain(keychain), store)
            }
            Keeping::Vault => {
                let masters = unlock::unlock(store.as_ref(), settings, &clock).await?;
                (Place::Sealed(masters), store)
            }
        };
        Ok(Self::over(settings, place, store, clock, audit))
    }

    fn over(
        settings: &Settings,
        place: Place,
        store: Arc<dyn Store>,
        clock: Clock,
        audit: Sink,
    ) -> Self {
        Self {
            keeping: settings.keeping,
            place,
            store,
            cache: Cache::new(settings.cache_ttl, settings.cache_entries, clock.clone()),
            trail: Trail::new(audit, clock.clone()),
            clock,
        }
    }

    /// Where credentials are kept; for health details and `check` (C09).
    pub const fn keeping(&self) -> Keeping {
        self.keeping
    }

    /// The name of the key that seals now, where there is one.
    pub const fn current_key(&self) -> Option<KeyId> {
        match &self.place {
            Place::Sealed(masters) => Some(masters.current.id()),
            Place::Keychain(_) => None,
        }
    }

    /// How many opened values are in memory now; for metrics.
    pub fn opened(&self) -> usize {
        self.cache.len()
    }

    /// Drops the opened values of a user, as after a logout elsewhere.
    pub fn forget(&self, user: &str) {
        self.cache.forget(user);
    }

    /// Drops opened values whose time is over, for ever: to be run beside the gateway.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn keep_swept(&self) {
        loop {
            tokio::time::sleep(self.cache.sweep_every()).await;
            self.cache.sweep();
        }
    }

    const fn masters(&self) -> Result<&Masters, VaultError> {
        match &self.place {
            Place::Sealed(masters) => Ok(masters),
            Place::Keychain(_) => Err(VaultError::NothingToRotate("keychain")),
        }
    }
}
