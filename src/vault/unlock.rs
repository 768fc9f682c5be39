//! From configured texts to master keys that are known to be right. Everything is checked against what the store holds before
//! the first write: a wrong key must not leave records behind that the right one cannot open.

use std::collections::BTreeMap;

use super::error::VaultError;
use super::master::{Derivation, Masters, Material};
use super::records::{MASTERS, MasterRecord, STRETCH, StretchRecord, UserKeyRecord};
use super::seal::SealKey;
use super::{Damage, Settings};
use crate::clock::Clock;
use crate::store::{Record, Store, StoreError, record};

/// How many master keys a store may know; more have no honest reason.
const MASTERS_MAX: usize = 100;
/// How often processes that start at once may be in each other's way.
const ATTEMPTS: usize = 8;

/// The master keys of these settings, known to the store from now on.
pub(in crate::vault) async fn unlock(
    store: &dyn Store,
    settings: &Settings,
    clock: &Clock,
) -> Result<Masters, VaultError> {
    let current = settings.key.as_ref().ok_or(VaultError::NoKey)?;
    let current = Material::check(current, settings.kdf)?;
    let mut previous = Vec::new();
    for bytes in &settings.previous {
        previous.push(Material::check(bytes, settings.kdf)?);
    }
    let stretches = std::iter::once(&current)
        .chain(&previous)
        .any(|material| material.derivation == Derivation::Argon2id);
    for _ in 0..ATTEMPTS {
        let kept = stretch(store).await?;
        let how = kept.clone().map_or_else(StretchRecord::new, Ok)?;
        let masters = Masters {
            current: current.derive(&how)?,
            previous: derived(&previous, &how)?,
        };
        let known = admit(store, &masters).await?;
        if stretches && kept.is_none() && !record::create(store, STRETCH, &how, None).await? {
            // Another process settled the salt meanwhile.
            continue;
        }
        if !known {
            introduce(store, &masters.current, current.derivation, clock).await?;
        }
        return Ok(masters);
    }
    Err(VaultError::Contended)
}

fn derived(material: &[Material<'_>], how: &StretchRecord) -> Result<Vec<SealKey>, VaultError> {
    material
        .iter()
        .map(|material| material.derive(how))
        .collect()
}

async fn stretch(store: &dyn Store) -> Result<Option<StretchRecord>, VaultError> {
    match record::get::<StretchRecord>(store, STRETCH).await {
        Err(StoreError::Corrupt { .. }) => Err(VaultError::Derivation("record")),
        found => Ok(found?.map(|held| held.record)),
    }
}

/// Whether the store knows the current key already. One that it does not know is let in if the store is empty, or if a key
/// that it does know vouches for it.
async fn admit(store: &dyn Store, masters: &Masters) -> Result<bool, VaultError> {
    let known = known(store).await?;
    let fits = |key: &SealKey| match known.get(&key.id().to_string()) {
        Some(record) if record.fits(key) => Ok(Some(record)),
        Some(_) => Err(VaultError::tampered("", MASTERS, Damage::Metadata)),
        None => Ok(None),
    };
    if let Some(record) = fits(&masters.current)? {
        return match record.retired_at {
            Some(_) => Err(VaultError::Retired(masters.current.id())),
            None => Ok(true),
        };
    }
    for key in &masters.previous {
        if fits(key)?.is_some() {
            return Ok(false);
        }
    }
    match needed(store, &known).await? {
        None => Ok(false),
        Some(needed) => Err(VaultError::WrongKey {
            needed,
            held: masters.names(),
        }),
    }
}

/// The master keys that the store knows, by name.
pub(in crate::vault) async fn known(
    store: &dyn Store,
) -> Result<BTreeMap<String, MasterRecord>, VaultError> {
    let found = record::scan::<MasterRecord>(store, MASTERS, None, MASTERS_MAX).await;
    let found = found.map_err(|error| VaultError::of_record("", MASTERS, error))?;
    let named = |(id, held): (String, record::Held<MasterRecord>)| {
        let name = id.strip_prefix(MASTERS).unwrap_or(&id).to_owned();
        (name, held.record)
    };
    Ok(found.into_iter().map(named).collect())
}

/// The keys that this store needs; none if there is nothing in it. A store that lost the list of its keys is not empty.
async fn needed(
    store: &dyn Store,
    known: &BTreeMap<String, MasterRecord>,
) -> Result<Option<String>, VaultError> {
    let names: Vec<_> = known
        .iter()
        .filter(|(_, record)| record.retired_at.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    if !names.is_empty() {
        return Ok(Some(names.join(" or ")));
    }
    let users = store.scan(UserKeyRecord::TABLE, "", None, 1).await?;
    let Some((id, _)) = users.first() else {
        return Ok(None);
    };
    let held = record::get::<UserKeyRecord>(store, id).await;
    let held = held.map_err(|error| VaultError::of_record(id, "", error))?;
    Ok(held.map(|held| held.record.key_version))
}

async fn introduce(
    store: &dyn Store,
    key: &SealKey,
    derivation: Derivation,
    clock: &Clock,
) -> Result<(), VaultError> {
    let created_at = clock.now().rfc3339_seconds();
    let record = MasterRecord::seal(key, derivation.name(), created_at)?;
    // Another process that has the same key may have done it already.
    record::create(store, &format!("{MASTERS}{}", key.id()), &record, None).await?;
    Ok(())
}
