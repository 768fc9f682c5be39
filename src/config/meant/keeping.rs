//! What `store`, `vault` and `revocation` mean: where things are kept, and how fast they are gone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::{Review, urls};
use crate::config::raw;
use crate::secret::Secret;

/// The file of the embedded store.
const STORE_FILE: &str = "store.redb";

/// Where records are kept.
#[derive(Clone, Debug)]
pub struct Store {
    /// The address of a Redis; without one, the file.
    pub url: Option<Secret<String>>,
    /// The file of the embedded store.
    pub file: PathBuf,
    /// Certificate authorities to trust for the Redis.
    pub ca_file: Option<PathBuf>,
    /// How long one operation may take.
    pub timeout: Duration,
}

/// How credentials are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vault {
    /// Where.
    pub mode: VaultMode,
    /// How its key is made.
    pub kdf: VaultKdf,
    /// How long an opened one stays in memory.
    pub cache: Duration,
}

/// Where credentials are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VaultMode {
    /// Sealed in the store.
    Vault,
    /// In the keychain of this machine.
    Keychain,
    /// In memory.
    Memory,
}

/// How the key of the vault is made of the configured text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VaultKdf {
    /// Random bytes as they are, texts stretched.
    Auto,
    /// Random bytes alone.
    Hkdf,
    /// Stretched, whatever they are.
    Argon2id,
}

/// How fast a revocation bites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// How often the store is asked.
    pub poll: Duration,
    /// After how long without an answer nobody is let in.
    pub stale_after: Duration,
    /// How much longer callers are let in.
    pub grace: Duration,
}

impl From<&raw::Revocation> for Revocation {
    fn from(raw: &raw::Revocation) -> Self {
        Self {
            poll: raw.poll.0,
            stale_after: raw.stale_after.0,
            grace: raw.grace.0,
        }
    }
}

impl From<&raw::Vault> for Vault {
    fn from(raw: &raw::Vault) -> Self {
        Self {
            mode: match raw.mode {
                raw::VaultMode::Vault => VaultMode::Vault,
                raw::VaultMode::Keychain => VaultMode::Keychain,
                raw::VaultMode::Memory => VaultMode::Memory,
            },
            kdf: match raw.kdf {
                raw::VaultKdf::Auto => VaultKdf::Auto,
                raw::VaultKdf::Hkdf => VaultKdf::Hkdf,
                raw::VaultKdf::Argon2id => VaultKdf::Argon2id,
            },
            cache: raw.cache.0,
        }
    }
}

/// A key of the vault, where there is one.
type SealingKey = Option<Secret<Vec<u8>>>;
/// The same as the setting, its text and its file.
type Written<'r> = (&'static str, Option<&'r raw::Literal>, Option<&'r str>);

/// The key of the vault, and the one before it.
pub(super) fn sealing_keys(raw: &raw::Config, review: &mut Review) -> (SealingKey, SealingKey) {
    // Only the vault stretches; elsewhere the key is used as it is.
    let stretched =
        raw.vault.mode == raw::VaultMode::Vault && raw.vault.kdf == raw::VaultKdf::Argon2id;
    let mut key = |(path, literal, file): Written<'_>| match stretched {
        true => review.stretched_key(path, literal, file),
        false => review.key(path, literal, file),
    };
    let current = key((
        "encryption_key",
        raw.encryption_key.as_ref(),
        raw.encryption_key_file.as_deref(),
    ));
    let previous = key((
        "encryption_key_previous",
        raw.encryption_key_previous.as_ref(),
        raw.encryption_key_previous_file.as_deref(),
    ));
    (current, previous)
}

pub(super) fn store(raw: &raw::Store, state_dir: &Path, review: &mut Review) -> Store {
    let url = review.secret_text("store.url", raw.url.as_ref(), raw.url_file.as_deref());
    if let Some(url) = &url {
        store_url(url.expose(), review);
    }
    Store {
        url,
        file: state_dir.join(STORE_FILE),
        ca_file: raw
            .ca_file
            .as_deref()
            .map(|name| review.existing("store.ca_file", name)),
        timeout: raw.timeout.0,
    }
}

fn store_url(text: &str, review: &mut Review) {
    let help = "write it as `rediss://user:password@host:6379/0`, best as \"${STORE_URL}\"";
    match Url::parse(text) {
        Err(error) => review.mistake("store.url", format!("is no URL: {error}"), help),
        Ok(url) if url.scheme() == "memory" => {
            review.warn(
                "store.url",
                "keeps nothing",
                "logins, clients and revocations end with the process",
            );
        }
        Ok(url) if !matches!(url.scheme(), "redis" | "rediss") => {
            review.mistake(
                "store.url",
                format!("has the scheme `{}`", url.scheme()),
                help,
            );
        }
        Ok(url) if url.scheme() == "redis" && !urls::loopback(&url) => review.warn(
            "store.url",
            "is not encrypted",
            "write rediss:// unless the network to it is trusted as the store itself is",
        ),
        Ok(_) => {}
    }
}
