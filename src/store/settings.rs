//! Which store there is, by its address.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Memory, Redb, Redis, Store, StoreError, redb, redis};
use crate::clock::Clock;
use crate::secret::Secret;

/// Where the store is, and how it is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `redis://…` or `rediss://…` for a shared store, `memory:` for one that ends with the process; without it, a file.
    pub url: Option<Secret<String>>,
    /// The file of the embedded store.
    pub path: PathBuf,
    /// About the embedded store.
    pub file: redb::Settings,
    /// About a Redis.
    pub redis: redis::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: None,
            path: PathBuf::from(".sallygate/store.redb"),
            file: redb::Settings::default(),
            redis: redis::Settings::default(),
        }
    }
}

/// Opens the store that the settings name. A file is opened at once, a Redis when it is first used.
///
/// # Errors
/// [`StoreError::Unusable`] when the address makes no sense or the file is not to be used.
pub fn open(settings: &Settings, clock: &Clock) -> Result<Arc<dyn Store>, StoreError> {
    let Some(url) = &settings.url else {
        return Ok(Arc::new(Redb::open(&settings.path, &settings.file, clock)?));
    };
    if url.expose() == "memory:" {
        return Ok(Arc::new(Memory::new(clock.clone())));
    }
    Ok(Arc::new(Redis::new(url, &settings.redis, clock)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(url: Option<&str>) -> Result<String, StoreError> {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            url: url.map(|url| Secret::new(url.to_owned())),
            path: dir.path().join("store.redb"),
            ..Settings::default()
        };
        open(&settings, &Clock::system()).map(|store| store.describe())
    }

    #[test]
    fn an_address_that_means_nothing_is_refused() {
        for url in ["", "memory", "postgres://:canary@host", "/var/lib/canary"] {
            let refused = described(Some(url)).unwrap_err();
            assert!(matches!(refused, StoreError::Unusable(_)));
            assert!(!refused.to_string().contains("canary"), "{refused}");
        }
    }

    #[test]
    fn the_address_chooses_the_store() {
        assert_eq!(described(Some("memory:")).unwrap(), "memory");
        assert!(described(None).unwrap().starts_with("file "));
        let redis = described(Some("rediss://:canary@cache.example/1")).unwrap();
        assert!(redis.starts_with("redis at cache.example"), "{redis}");
        assert!(!redis.contains("canary"));
    }
}
