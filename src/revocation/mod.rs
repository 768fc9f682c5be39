//! Ending things before their time, everywhere at once: the view that requests ask ([`Revoked`]) is kept current from the
//! store, so that a revocation made by one process bites in all of them.
//!
//! **Protects** against a token, session, client or user that goes on acting after somebody ended it.
//! **Assumes** that all processes share the store, and that users' records change through here.
//! **Hands on** the view to the verifier, and a signal to open streams.
//! **Refuses** everybody while it cannot be known what was revoked (C39).
//!
//! A revocation is written before it is announced: first its record, then the next number of a counter, then an entry of the
//! log under that number. Whoever reads up to a number has therefore everything that was announced up to it, from the log or,
//! where entries are missing, from the records themselves.

mod keeper;
mod records;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::{Mutex, broadcast, watch};

use crate::auth::revoked::Standing;
use crate::auth::{AuthError, Principal};
use crate::clock::{Clock, Timestamp};
use crate::store::{Store, StoreError, record};
use crate::users::{self, User, UserError};
use keeper::Position;
use records::{End, Named};

pub use crate::auth::{Mark, Revoked};
pub use settings::Settings;

/// Revokes, and keeps the view of this process current.
#[derive(Debug)]
pub struct Revocations {
    store: Arc<dyn Store>,
    view: Arc<Revoked>,
    settings: Settings,
    clock: Clock,
    steady: Clock,
    changed: watch::Sender<u64>,
    left: broadcast::Sender<Arc<str>>,
    /// Held while a user's record is written or the store is read, so that an old reading never covers a newer one.
    position: Mutex<Position>,
}

impl Revocations {
    /// Nothing is known yet; see [`Revocations::poll`].
    pub fn new(store: Arc<dyn Store>, settings: Settings, clock: Clock) -> Self {
        Self {
            view: Arc::new(Revoked::new(settings.bound(), clock.clone())),
            store,
            settings,
            steady: clock.clone(),
            clock,
            changed: watch::Sender::new(0),
            left: broadcast::Sender::new(LEFT_MAX),
            position: Mutex::default(),
        }
    }

    /// The same, judging by this clock how old the view is. A hand that sets the time of tokens forward makes no view old.
    pub fn aged_by(mut self, steady: Clock) -> Self {
        self.view = Arc::new(Revoked::new(self.settings.bound(), steady.clone()));
        self.steady = steady;
        self
    }

    /// What the verifier asks.
    pub fn view(&self) -> Arc<Revoked> {
        Arc::clone(&self.view)
    }

    /// Changes whenever streams have to ask again.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Users who left, by their own will or somebody else's: nothing that is held for them need be held any longer. Whoever
    /// listens too slowly is told that some were missed, and has to let go of everything.
    pub fn gone(&self) -> broadcast::Receiver<Arc<str>> {
        self.left.subscribe()
    }

    /// Says that a user left.
    pub fn left(&self, user: &str) {
        // Without listeners nothing is held.
        let _ = self.left.send(user.into());
    }

    /// View and signal together, for what lasts longer than one check.
    pub fn watch(&self) -> Watch {
        Watch {
            view: self.view(),
            changed: self.changed(),
        }
    }

    /// Whether it is known what was revoked.
    pub fn ready(&self) -> bool {
        self.view.is_current()
    }

    /// Ends something; `until` is the moment from which nothing of it could be valid any more. For a user it is the same as
    /// [`Revocations::bump_generation`].
    ///
    /// # Errors
    /// [`StoreError`] when other processes will not know. In this one it has ended all the same.
    pub async fn revoke(&self, mark: &Mark, until: Timestamp) -> Result<(), StoreError> {
        if let Mark::User(user) = mark {
            return match self.bump_generation(user).await {
                Ok(_) => Ok(()),
                Err(UserError::Store(error)) => Err(error),
                Err(error) => Err(StoreError::Unavailable(error.to_string())),
            };
        }
        let until = until.plus(MARGIN);
        self.view.end(mark, until);
        self.tell();
        self.write_end(mark, until).await?;
        self.announce(mark).await
    }

    /// Shuts a user out, whatever token they hold, and ends what they hold now.
    ///
    /// # Errors
    /// [`UserError`] when other processes will not know. In this one they are shut out all the same.
    pub async fn disable(&self, user: &str) -> Result<User, UserError> {
        let mut standing = self.view.standing(user);
        standing.disabled = true;
        self.view.stand(user, standing);
        self.left(user);
        self.tell();
        self.change(user, |record| {
            record.disabled = true;
            record.generation += 1;
        })
        .await
    }

    /// Lets a user come in again, with a new login.
    ///
    /// # Errors
    /// [`UserError`]; the user stays shut out then.
    pub async fn enable(&self, user: &str) -> Result<User, UserError> {
        self.change(user, |record| record.disabled = false).await
    }

    /// Ends everything that a user holds now; they may come back with a new login.
    ///
    /// # Errors
    /// [`UserError`] when other processes will not know.
    pub async fn bump_generation(&self, user: &str) -> Result<User, UserError> {
        let mut standing = self.view.standing(user);
        standing.revoked_until = Some(self.clock.now());
        standing.generation += 1;
        self.view.stand(user, standing);
        self.left(user);
        self.tell();
        self.change(user, |record| record.generation += 1).await
    }

    /// Removes a user's record, after ending everything that they hold. Should they come back, they are new. Says whether
    /// there was a record.
    ///
    /// # Errors
    /// [`UserError`]; the record may still be there then.
    pub async fn forget(&self, user: &str) -> Result<bool, UserError> {
        let mark = Mark::User(user.to_owned());
        let _turn = self.position.lock().await;
        self.write_moment(&mark, true).await?;
        let was_there = record::delete::<User>(&*self.store, user).await?;
        self.announce(&mark).await?;
        self.read_user(user).await?;
        self.tell();
        Ok(was_there)
    }

    async fn change(&self, user: &str, edit: impl Fn(&mut User)) -> Result<User, UserError> {
        let mark = Mark::User(user.to_owned());
        let _turn = self.position.lock().await;
        let written = users::change(&*self.store, user, self.clock.now(), |record| {
            edit(record);
            Ok(())
        })
        .await?;
        if written.disabled || written.generation > 0 {
            self.write_moment(&mark, false).await?;
        }
        self.announce(&mark).await?;
        self.read_user(user).await?;
        self.tell();
        Ok(written)
    }

    /// The moment up to which a user's tokens are revoked: for tokens of foreign issuers, which know no generation.
    async fn write_moment(&self, mark: &Mark, forgotten: bool) -> Result<(), StoreError> {
        let now = self.clock.now();
        let end = End {
            what: Named::of(mark),
            at: Some(now.millis()),
            forgotten,
        };
        let until = now.plus(self.settings.longest_token).plus(MARGIN);
        record::put(&*self.store, &records::id(mark), &end, Some(until)).await?;
        Ok(())
    }

    /// Writes that something ended. A record that is kept for longer already stays.
    async fn write_end(&self, mark: &Mark, until: Timestamp) -> Result<(), StoreError> {
        let id = records::id(mark);
        let end = End {
            what: Named::of(mark),
            at: None,
            forgotten: false,
        };
        for _ in 0..TRIES {
            let written = match record::get::<End>(&*self.store, &id).await? {
                None => record::create(&*self.store, &id, &end, Some(until)).await?,
                Some(held) if held.expires_at.is_none_or(|kept| until <= kept) => true,
                Some(held) => record::replace(&*self.store, &id, held.revision, &end, Some(until))
                    .await?
                    .is_some(),
            };
            if written {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable(format!(
            "`{id}` is written by too many at once"
        )))
    }

    fn tell(&self) {
        self.changed
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    async fn read_user(&self, user: &str) -> Result<(), StoreError> {
        let record = users::find(&*self.store, user).await?;
        let id = records::id(&Mark::User(user.to_owned()));
        let end = record::get::<End>(&*self.store, &id).await?;
        let record = record.map(|held| held.record);
        let standing = standing(record.as_ref(), end.as_ref().map(|held| &held.record));
        self.view.stand(user, standing);
        self.left(user);
        Ok(())
    }
}

fn standing(user: Option<&User>, end: Option<&End>) -> Standing {
    Standing {
        disabled: user.is_some_and(|user| user.disabled),
        generation: user.map_or(0, |user| user.generation),
        revoked_until: end.and_then(|end| end.at).map(Timestamp::from_millis),
        forgotten: end.is_some_and(|end| end.forgotten),
    }
}

/// What lasts longer than one check looks through this.
#[derive(Clone, Debug)]
pub struct Watch {
    view: Arc<Revoked>,
    changed: watch::Receiver<u64>,
}

impl Watch {
    /// Whether this principal may still act; see [`Revoked::check`].
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(&self, principal: &Principal) -> Result<(), AuthError> {
        self.view.check(principal)
    }

    /// Waits until the principal may no longer act, and says why.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped: the next one looks first and waits then.
    pub async fn ended(&mut self, principal: &Principal) -> AuthError {
        loop {
            if let Err(error) = self.view.check(principal) {
                return error;
            }
            if self.changed.changed().await.is_err() {
                // Nobody keeps the view any more: it is never current again.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Tokens are accepted for a moment after their end, and refreshed for a while longer (C05).
const MARGIN: std::time::Duration = std::time::Duration::from_secs(600);
/// How many users may have left before a listener has to keep up.
const LEFT_MAX: usize = 1024;
/// Attempts to write a record that others write too.
const TRIES: usize = 16;
