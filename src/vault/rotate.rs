//! Rotation, while everything goes on: every data key is sealed anew under the current master key, and if asked for, every
//! user gets a new data key and every secret is sealed anew under that.
//!
//! Each step replaces one record and only if nobody else did meanwhile, so it can be stopped anywhere, also by pulling the
//! plug, and started again. A cursor in the store says where to go on; without it the work is done once more and nothing
//! else. A user's data key is replaced in three steps: the new key is put beside the old one, the secrets move over, the old
//! key goes when a whole pass found nothing under it.

use std::ops::ControlFlow;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::data_keys::ATTEMPTS;
use super::error::{Damage, VaultError};
use super::names;
use super::records::{CURSOR, CursorRecord, DataKeys, MASTERS, SecretRecord, UserKeyRecord};
use super::seal::SealKey;
use super::unlock::known;
use super::{Vault, status};
use crate::random;
use crate::store::{Held, Record, record};

/// Users between two notes of how far it has come.
const BATCH: usize = 64;
/// Users at once: a store that confirms what is on the disk confirms many changes as fast as one.
const AT_ONCE: usize = 16;
/// Secrets that are looked at in one go.
const PAGE: usize = 100;
/// Passes over all users before it is left to the next run.
const PASSES: usize = 4;

/// What is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Give every user a new data key too, and seal every secret anew.
    pub data_keys: bool,
    /// Retire the previous master keys when nothing is sealed under them any more: they never seal again.
    pub retire: bool,
}

/// How far it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Users that were looked at, earlier runs included.
    pub users: u64,
    /// Secrets that were sealed anew, earlier runs included.
    pub secrets: u64,
    /// Records that were tampered with; they are left as they are, and in the trail.
    pub damaged: u64,
    /// Master keys that were retired.
    pub retired: u64,
    /// Everything is under the current key, but for damaged records.
    pub is_done: bool,
}

/// What several users at once add to the progress.
#[derive(Debug, Default)]
struct Tally {
    secrets: AtomicU64,
    damaged: AtomicU64,
}

impl Tally {
    fn move_to(&self, progress: &mut Progress) {
        progress.secrets += self.secrets.swap(0, Relaxed);
        progress.damaged += self.damaged.swap(0, Relaxed);
    }
}

/// What became of a secret.
#[derive(PartialEq, Eq)]
enum Moved {
    /// It is under the current key already, or gone.
    Fine,
    /// It was sealed anew, or somebody else wrote it: look again.
    Again,
    Damaged,
}

impl Vault {
    /// Rotates, and tells `watch` after each user how far it has come; a `Break` stops it there, to be taken up later.
    ///
    /// # Errors
    /// [`VaultError`]. What was done until then stays done.
    ///
    /// # Cancel safety
    /// It may be dropped at any time; the next call goes on.
    pub async fn rotate(
        &self,
        what: Rotation,
        mut watch: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Progress, VaultError> {
        // What cannot be recorded is not begun. The line itself is promised at the end: a rotation may take hours.
        self.trail.ready()?;
        let mut cursor = self.cursor(what).await?;
        let mut progress = Progress {
            users: cursor.users,
            secrets: cursor.secrets,
            ..Progress::default()
        };
        for _ in 0..PASSES {
            progress.damaged = 0;
            if self
                .pass(&mut cursor, &mut progress, &mut watch)
                .await?
                .is_break()
            {
                return Ok(progress);
            }
            let left = self.left().await?;
            if left <= progress.damaged {
                return self.finish(what, progress).await;
            }
            cursor.after = None;
        }
        Ok(progress)
    }

    /// Where the last run stopped, if it did the same.
    async fn cursor(&self, what: Rotation) -> Result<CursorRecord, VaultError> {
        let master = self.masters()?.current.id().to_string();
        let found = record::get::<CursorRecord>(self.store.as_ref(), CURSOR).await;
        if let Ok(Some(held)) = &found
            && held.record.master == master
            && held.record.renewal.is_some() == what.data_keys
        {
            return Ok(held.record.clone());
        }
        let cursor = CursorRecord {
            master,
            renewal: what.data_keys.then(random::hex::<8>).transpose()?,
            after: None,
            users: 0,
            secrets: 0,
            started_at: self.clock.now().rfc3339_seconds(),
        };
        record::put(self.store.as_ref(), CURSOR, &cursor, None).await?;
        Ok(cursor)
    }

    /// Once over all users from the cursor on.
    async fn pass(
        &self,
        cursor: &mut CursorRecord,
        progress: &mut Progress,
        watch: &mut impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, VaultError> {
        let store = self.store.as_ref();
        loop {
            let after = cursor.after.as_deref();
            let found = store.scan(UserKeyRecord::TABLE, "", after, BATCH).await?;
            if found.is_empty() {
                return Ok(ControlFlow::Continue(()));
            }
            let tally = Tally::default();
            let renewal = cursor.renewal.clone();
            let turns = found.into_iter().map(|(id, _)| async {
                let turn = self.turn(&id, renewal.as_deref(), &tally).await;
                turn.map(|()| id)
            });
            let mut turns = stream::iter(turns).buffered(AT_ONCE);
            let mut flow = ControlFlow::Continue(());
            while let Some(id) = turns.try_next().await? {
                progress.users += 1;
                tally.move_to(progress);
                cursor.after = Some(id);
                flow = watch(progress);
                if flow.is_break() {
                    break;
                }
                // A store in memory never waits, and others want to run too.
                tokio::task::yield_now().await;
            }
            (cursor.users, cursor.secrets) = (progress.users, progress.secrets);
            record::put(store, CURSOR, cursor, None).await?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
    }

    /// Brings one user up to date.
    async fn turn(&self, id: &str, renewal: Option<&str>, tally: &Tally) -> Result<(), VaultError> {
        let Some(user) = names::parse_user(id) else {
            tally.damaged.fetch_add(1, Relaxed);
            return Ok(());
        };
        for _ in 0..ATTEMPTS {
            match self.step(&user, renewal, tally).await {
                Ok(ControlFlow::Break(())) => return Ok(()),
                Ok(ControlFlow::Continue(())) => {}
                Err(error @ VaultError::Tampered { .. }) => {
                    self.trail.damaged(None, &user, "", &error);
                    tally.damaged.fetch_add(1, Relaxed);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Err(VaultError::Contended)
    }

    /// One replaced record of a user's data keys, or the end.
    async fn step(
        &self,
        user: &str,
        renewal: Option<&str>,
        tally: &Tally,
    ) -> Result<ControlFlow<()>, VaultError> {
        let Some(held) = self.user_key(user).await? else {
            return Ok(ControlFlow::Break(()));
        };
        let mut keys = self.open_user_key(&held.record, user)?;
        if keys.previous.is_some() {
            if self.move_secrets(user, &keys, tally).await? {
                keys.previous = None;
            } else if self.is_current(&held.record) {
                return Ok(ControlFlow::Break(()));
            }
        } else if renewal.is_some_and(|renewal| keys.renewal.as_deref() != Some(renewal)) {
            keys = DataKeys {
                previous: Some(keys.current),
                current: SealKey::random()?,
                created_at: self.clock.now().rfc3339_seconds(),
                renewal: renewal.map(ToOwned::to_owned),
            };
        } else if self.is_current(&held.record) {
            return Ok(ControlFlow::Break(()));
        }
        self.replace_keys(user, &held, &keys).await?;
        Ok(ControlFlow::Continue(()))
    }

    fn is_current(&self, record: &UserKeyRecord) -> bool {
        self.current_key()
            .is_some_and(|key| record.key_version == key.to_string())
    }

    async fn replace_keys(
        &self,
        user: &str,
        held: &Held<UserKeyRecord>,
        keys: &DataKeys,
    ) -> Result<(), VaultError> {
        let sealed = UserKeyRecord::seal(&self.masters()?.current, user, keys)?;
        let id = names::user_id(user)?;
        // If somebody else wrote it meanwhile, the next step sees what he wrote.
        record::replace(self.store.as_ref(), &id, held.revision, &sealed, None).await?;
        Ok(())
    }

    /// Seals all secrets of a user under the current data key. Says whether the previous one is free to go.
    async fn move_secrets(
        &self,
        user: &str,
        keys: &DataKeys,
        tally: &Tally,
    ) -> Result<bool, VaultError> {
        let prefix = names::secrets_of(user)?;
        for _ in 0..ATTEMPTS {
            let (mut again, mut damaged) = (0, 0);
            let mut after = None;
            loop {
                let store = self.store.as_ref();
                let found = store
                    .scan(SecretRecord::TABLE, &prefix, after.as_deref(), PAGE)
                    .await?;
                let Some((last, _)) = found.last() else { break };
                after = Some(last.clone());
                for (id, _) in found {
                    match self.move_secret(user, &id, keys, tally).await? {
                        Moved::Fine => {}
                        Moved::Again => again += 1,
                        Moved::Damaged => damaged += 1,
                    }
                }
            }
            if again == 0 {
                tally.damaged.fetch_add(damaged, Relaxed);
                return Ok(damaged == 0);
            }
        }
        Err(VaultError::Contended)
    }

    async fn move_secret(
        &self,
        user: &str,
        id: &str,
        keys: &DataKeys,
        tally: &Tally,
    ) -> Result<Moved, VaultError> {
        let Some((_, name)) = names::parse(id) else {
            return Ok(Moved::Damaged);
        };
        match self.seal_anew(user, &name, id, keys, tally).await {
            Err(error @ VaultError::Tampered { .. }) => {
                // Somebody else may have replaced the keys that were looked at.
                if !self.is_sealing_key(user, keys.current.id()).await? {
                    return Ok(Moved::Again);
                }
                self.trail.damaged(None, user, &name, &error);
                Ok(Moved::Damaged)
            }
            other => other,
        }
    }

    async fn seal_anew(
        &self,
        user: &str,
        name: &str,
        id: &str,
        keys: &DataKeys,
        tally: &Tally,
    ) -> Result<Moved, VaultError> {
        let store = self.store.as_ref();
        let tampered = |damage| VaultError::tampered(user, name, damage);
        let held = record::get::<SecretRecord>(store, id).await;
        let held = held.map_err(|error| VaultError::of_record(user, name, error))?;
        let Some(held) = held else {
            return Ok(Moved::Fine);
        };
        if held.record.is_reserved() {
            // Its writer may still have the previous key in hand; now he will ask again.
            let changed = record::replace(store, id, held.revision, &held.record, held.expires_at);
            return Ok(changed.await?.map_or(Moved::Again, |_| Moved::Fine));
        }
        let envelope = held.record.envelope().map_err(tampered)?;
        if envelope.key == keys.current.id() {
            return Ok(Moved::Fine);
        }
        let previous = keys.previous.as_ref();
        let previous = previous.filter(|key| key.id() == envelope.key);
        let previous = previous.ok_or_else(|| tampered(Damage::ForeignKey))?;
        let value = held.record.open(&envelope, previous, (user, name));
        let value = value.map_err(tampered)?;
        let stamp = held.record.stamp();
        let sealed = SecretRecord::seal(&keys.current, (user, name), value.expose(), &stamp)?;
        let moved = record::replace(store, id, held.revision, &sealed, held.expires_at).await?;
        tally.secrets.fetch_add(u64::from(moved.is_some()), Relaxed);
        Ok(Moved::Again)
    }

    /// How many users are not up to date.
    async fn left(&self) -> Result<u64, VaultError> {
        let mut left = 0;
        let mut users = status::Users::new(self);
        while let Some((_, record)) = users.next().await? {
            let is_done =
                record.is_some_and(|record| self.is_current(&record) && !record.is_half_renewed());
            left += u64::from(!is_done);
        }
        Ok(left)
    }

    async fn finish(&self, what: Rotation, mut progress: Progress) -> Result<Progress, VaultError> {
        let masters = self.masters()?;
        let slot = self.trail.promise()?;
        if what.retire && progress.damaged == 0 {
            for key in &masters.previous {
                progress.retired += u64::from(self.retire(key).await?);
            }
        }
        record::delete::<CursorRecord>(self.store.as_ref(), CURSOR).await?;
        progress.is_done = true;
        let facts = [
            ("users", progress.users),
            ("resealed", progress.secrets),
            ("damaged", progress.damaged),
            ("retired", progress.retired),
        ];
        let done = ("vault_rotated", masters.current.id());
        self.trail.rotated(slot, done, &facts);
        Ok(progress)
    }

    /// Retires a master key that nothing is sealed under. Says whether it was in use until now.
    async fn retire(&self, key: &SealKey) -> Result<bool, VaultError> {
        let name = key.id().to_string();
        let Some(mut record) = known(self.store.as_ref()).await?.remove(&name) else {
            return Ok(false);
        };
        if record.retired_at.is_some() || key.id() == self.masters()?.current.id() {
            return Ok(false);
        }
        let slot = self.trail.promise()?;
        record.retired_at = Some(self.clock.now().rfc3339_seconds());
        record::put(
            self.store.as_ref(),
            &format!("{MASTERS}{name}"),
            &record,
            None,
        )
        .await?;
        let done = ("vault_key_retired", key.id());
        self.trail.rotated(slot, done, &[]);
        Ok(true)
    }
}
