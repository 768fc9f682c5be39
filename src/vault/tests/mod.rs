//! The vault as its callers have it, over a store in memory.

mod far;
mod keeping;
mod rotation;
mod secrets;
mod tampering;
mod unlocking;

use std::sync::Arc;

use serde_json::Value;

use far::Far;

use super::*;
use crate::audit::Captured;
use crate::clock::Timestamp;
use crate::store::{Entry, Table};

pub(super) const CANARY: &str = "pk_123456_canary-not-a-real-key";

/// A vault, and everything around it that a test may want to look at.
#[derive(Debug)]
pub(super) struct Rig {
    pub(super) vault: Arc<Vault>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
    pub(super) trail: Captured,
}

pub(super) fn clock() -> Clock {
    Clock::manual(Timestamp::from_seconds(1_795_000_000))
}

/// 32 bytes that look random and are not.
pub(super) fn material(number: u8) -> Secret<Vec<u8>> {
    Secret::new(
        (0..32_u8)
            .map(|n| 255 - n * 7 + number / 200)
            .map(|n| n ^ number)
            .collect(),
    )
}

pub(super) fn settings(key: u8, previous: &[u8]) -> Settings {
    Settings {
        keeping: Keeping::Vault,
        kdf: Kdf::Hkdf,
        key: Some(material(key)),
        previous: previous.iter().copied().map(material).collect(),
        ..Settings::default()
    }
}

impl Rig {
    pub(super) async fn new() -> Self {
        let clock = clock();
        let store: Arc<dyn Store> = Arc::new(Memory::new(clock.clone()));
        Self::over(store, clock, &settings(1, &[])).await.unwrap()
    }

    pub(super) async fn over(
        store: Arc<dyn Store>,
        clock: Clock,
        settings: &Settings,
    ) -> Result<Self, VaultError> {
        let (sink, trail) = Sink::capture(clock.clone());
        let vault = Vault::open(Arc::clone(&store), settings, clock.clone(), sink).await?;
        Ok(Self {
            vault: Arc::new(vault),
            store,
            clock,
            trail,
        })
    }

    /// Another process with the same store.
    pub(super) async fn again(&self, settings: &Settings) -> Result<Self, VaultError> {
        Self::over(Arc::clone(&self.store), self.clock.clone(), settings).await
    }

    pub(super) async fn seal(&self, user: &str, name: &str, value: &str) {
        let value = Secret::new(value.to_owned());
        self.vault.seal(user, name, value, None).await.unwrap();
    }

    /// What is there now, past everything that is open already.
    pub(super) async fn value(&self, user: &str, name: &str) -> Result<Option<String>, VaultError> {
        self.vault.forget(user);
        let value = self.vault.open_secret(user, name).await?;
        Ok(value.map(|value| value.expose().clone()))
    }

    /// A record as it is kept.
    pub(super) async fn raw(&self, table: Table, id: &str) -> Entry {
        let key = crate::store::Key::new(table, id);
        self.store.get(&key).await.unwrap().unwrap()
    }

    pub(super) async fn write(&self, table: Table, id: &str, value: Vec<u8>) {
        let key = crate::store::Key::new(table, id);
        self.store.put(&key, value, None).await.unwrap();
    }

    /// Every record of every table, as text.
    pub(super) async fn dump(&self) -> String {
        let mut dump = String::new();
        for table in Table::ALL {
            for (id, entry) in self.store.scan(table, "", None, 1000).await.unwrap() {
                dump.push_str(&id);
                dump.push(' ');
                dump.push_str(&String::from_utf8_lossy(&entry.value));
                dump.push('\n');
            }
        }
        dump
    }

    /// The lines of one event.
    pub(super) fn lines(&self, event: &str) -> Vec<Value> {
        let mut lines = self.trail.records();
        lines.retain(|line| line["event_type"] == event);
        lines
    }
}
