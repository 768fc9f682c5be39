//! Keeping the view current: what is new in the log is read at every look, everything once at the start and whenever the log
//! has a gap.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::records::{self, COUNTER, End, Entry, KINDS, Named};
use super::{Revocations, standing};
use crate::auth::Mark;
use crate::clock::{Calendar, Timestamp};
use crate::store::{SCAN_MAX, StoreError, record};
use crate::users::User;

/// Up to where the log was read.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// Everything up to this number is in the view.
    read: u64,
    /// A number whose entry was not there when it was looked for.
    missed: Option<u64>,
    /// When everything was read last.
    loaded_at: Option<Instant>,
}

impl Revocations {
    /// Keeps the view current, for ever. What was read before the first call is not read again.
    pub async fn run(&self) {
        let mut swept = self.steady.monotonic();
        let mut failing = false;
        let mut calendar = self.calendar();
        loop {
            // Asked at every look, since it believes what has held.
            let believed = calendar.now();
            let looked = tokio::time::timeout(self.settings.bound(), self.poll()).await;
            let failed = match looked {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("the store does not answer in time".to_owned()),
            };
            // Told when it begins and when it ends: a look is every quarter of a second.
            match (&failed, failing) {
                (Some(error), false) => warn!(error, "what was revoked cannot be read"),
                (None, true) => info!("what was revoked can be read again"),
                _ => {}
            }
            failing = failed.is_some();
            // Open streams look only when they are told to.
            if !self.ready() {
                self.tell();
            }
            if self.steady.monotonic().saturating_duration_since(swept) > SWEEP_EVERY {
                swept = self.steady.monotonic();
                self.sweep(believed);
            }
            tokio::time::sleep(self.settings.poll).await;
        }
    }

    /// Looks once for what is new; the first time everything is read.
    ///
    /// # Errors
    /// [`StoreError`]; the view is not any fresher then.
    ///
    /// # Cancel safety
    /// What was read so far is in the view, and is read again at the next look.
    pub async fn poll(&self) -> Result<(), StoreError> {
        let mut position = self.position.lock().await;
        let began = self.steady.monotonic();
        let last = self.store.count(COUNTER).await?;
        let is_old = |at| began.saturating_duration_since(at) > RELOAD_EVERY;
        let whole = match position.loaded_at {
            None => true,
            Some(at) => is_old(at) || last < position.read || last - position.read > ENTRIES_A_LOOK,
        };
        let missing = match whole {
            true => None,
            false => self.follow(position.read, last).await?,
        };
        match missing {
            // Its writer may be between the number and the entry. Until the next look the view grows no fresher.
            Some(number) if position.missed != Some(number) => {
                position.missed = Some(number);
                self.tell();
                return Ok(());
            }
            None if !whole => {}
            _ => {
                self.load().await?;
                position.loaded_at = Some(began);
            }
        }
        let is_news = whole || position.read != last;
        position.read = last;
        position.missed = None;
        self.view.was_current(began);
        if is_news {
            self.tell();
        }
        Ok(())
    }

    /// Reads the entries after `read`, and says which is the first that was missing.
    async fn follow(&self, read: u64, last: u64) -> Result<Option<u64>, StoreError> {
        let mut missing = None;
        for number in read.saturating_add(1)..=last {
            match record::get::<Entry>(&*self.store, &records::log_id(number)).await? {
                Some(entry) => self.apply(entry.record.0).await?,
                None => missing = missing.or(Some(number)),
            }
        }
        Ok(missing)
    }

    async fn apply(&self, what: Named) -> Result<(), StoreError> {
        let Some(mark) = what.mark() else {
            return Ok(());
        };
        if let Mark::User(user) = &mark {
            return self.read_user(user).await;
        }
        if let Some(held) = record::get::<End>(&*self.store, &records::id(&mark)).await? {
            self.view.end(&mark, held.expires_at.unwrap_or(FOR_EVER));
        }
        Ok(())
    }

    /// Reads everything. Users are few fields each and are read page by page.
    async fn load(&self) -> Result<(), StoreError> {
        for kind in KINDS {
            let mut after: Option<String> = None;
            loop {
                let page =
                    record::scan::<End>(&*self.store, kind, after.as_deref(), SCAN_MAX).await?;
                let Some((last, _)) = page.last() else { break };
                after = Some(last.clone());
                for (_, held) in page {
                    match held.record.what.clone().mark() {
                        // Their own record is read with it.
                        Some(Mark::User(user)) => self.read_user(&user).await?,
                        Some(mark) => self.view.end(&mark, held.expires_at.unwrap_or(FOR_EVER)),
                        None => {}
                    }
                }
            }
        }
        self.load_users().await
    }

    async fn load_users(&self) -> Result<(), StoreError> {
        let mut after: Option<String> = None;
        loop {
            let page = record::scan::<User>(&*self.store, "", after.as_deref(), SCAN_MAX).await?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = Some(last.clone());
            for (id, held) in page {
                let known = self.view.standing(&id);
                let mut read = standing(Some(&held.record), None);
                read.revoked_until = known.revoked_until;
                read.forgotten = known.forgotten;
                self.view.stand(&id, read);
            }
        }
    }

    /// Tells the other processes.
    pub(super) async fn announce(&self, mark: &Mark) -> Result<(), StoreError> {
        let number = self.store.bump(COUNTER, None).await?;
        let entry = Entry(Named::of(mark));
        let kept = self.clock.now().plus(LOG_KEPT);
        record::put(&*self.store, &records::log_id(number), &entry, Some(kept)).await?;
        Ok(())
    }

    /// What ended is forgotten only when its time is over by a clock that can be believed: after a leap ahead and back it
    /// would be valid again.
    pub(super) fn calendar(&self) -> Calendar {
        Calendar::new(self.clock.clone(), PATIENCE)
    }

    pub(super) fn sweep(&self, now: Timestamp) {
        let longest = self.settings.longest_token + super::MARGIN;
        let millis = i64::try_from(longest.as_millis()).unwrap_or(i64::MAX);
        let before = now.millis().saturating_sub(millis);
        self.view.sweep(now, Timestamp::from_millis(before));
    }
}

/// Marks always have an end; one without is never forgotten.
const FOR_EVER: Timestamp = Timestamp::from_millis(i64::MAX);
/// How long entries of the log are kept. Whoever was away for longer reads everything.
const LOG_KEPT: Duration = Duration::from_secs(600);
/// More news than this are read as a whole.
const ENTRIES_A_LOOK: u64 = 1000;
/// How often everything is read although nothing is known to be missing: a process that died between a record and its
/// number told nobody.
const RELOAD_EVERY: Duration = Duration::from_secs(3600);
/// How long a clock that leapt ahead must hold before what ended is forgotten on its word.
const PATIENCE: Duration = Duration::from_secs(86_400);
/// How often entries whose time is over are forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
