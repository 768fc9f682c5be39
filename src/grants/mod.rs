//! Grants: the logins that outlive an access token. Each is a family of refresh tokens of which one is good at a time, and
//! the `sid` of every access token that was made under it.
//!
//! **Protects** against refresh tokens that were stolen: each is good once, and one that comes again after its time ends the
//! whole family (RFC 9700 section 4.14.2).
//! **Assumes** that the user was authenticated and has allowed the client what the grant says.
//! **Hands on** a [`Grant`] with its newest refresh token.
//! **Refuses** tokens that it did not make, that are too old, that belong to another client, or whose user is shut out.

pub mod opaque;
mod record;
mod refresh;
mod terms;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use subtle::ConstantTimeEq;

use crate::auth::settings::OwnSettings;
use crate::clock::{Clock, Timestamp};
use crate::random;
use crate::revocation::{Mark, Revocations};
use crate::secret::Secret;
use crate::store::{Held, Store, StoreError, record as records};
use crate::users::{self, User};

pub use record::Grant;
use record::{Listed, Previous};
use refresh::Press;
use terms::GRACE_MAX;
pub use terms::{GrantError, New, Rotation, Settings};

/// Attempts to write a grant that others write too. The first one that writes decides what the others answer.
const TRIES: usize = 8;
/// Longer than the opening of a grant takes anywhere, whatever the clocks say.
const OPENING_MAX: Duration = Duration::from_secs(600);
/// How much longer than any token lives a revocation is remembered: clocks differ.
const REVOKED_MARGIN: Duration = Duration::from_secs(120);

/// The grants of all users.
pub struct Grants {
    store: Arc<dyn Store>,
    revocations: Arc<Revocations>,
    settings: Settings,
    press: Press,
    clock: Clock,
}

impl Grants {
    /// Grants kept in `store`. Whoever shares the store must share `mac_key` too.
    pub fn new(
        store: Arc<dyn Store>,
        revocations: Arc<Revocations>,
        settings: Settings,
        mac_key: Secret<[u8; 32]>,
        clock: Clock,
    ) -> Self {
        Self {
            store,
            revocations,
            settings,
            press: Press::new(mac_key),
            clock,
        }
    }

    /// An id for a grant that is opened later.
    ///
    /// # Errors
    /// [`GrantError::Unmade`] without randomness.
    pub fn draw_id() -> Result<String, GrantError> {
        random::hex::<16>().map_err(|_| GrantError::Unmade)
    }

    /// Opens a grant and makes its first refresh token.
    ///
    /// # Errors
    /// [`GrantError::Store`] or [`GrantError::Unmade`]; no token is good then.
    pub async fn open(&self, new: New) -> Result<(Grant, Secret<String>), GrantError> {
        self.make_room(&new.user).await?;
        let now = self.clock.now();
        let id = match new.id {
            Some(id) => id,
            None => Self::draw_id()?,
        };
        let token = self.press.strike(&id, 0).ok_or(GrantError::Unmade)?;
        let grant = Grant {
            user: new.user,
            client: new.client,
            scopes: new.scopes,
            resources: new.resources,
            authenticated_at: new.authenticated_at.unwrap_or(now).millis(),
            created_at: now.millis(),
            used_at: now.millis(),
            generation: new.generation,
            step: 0,
            current: opaque::hash(token.expose()),
            previous: None,
            id,
        };
        // The list first: what is on it and not there is skipped, but what is there and not on it could not be ended.
        let listed = Listed {
            client: grant.client.clone(),
            listed_at: now.millis(),
        };
        let end = Some(now.plus(self.settings.absolute));
        records::put(&*self.store, &place(&grant), &listed, end).await?;
        let end = Some(self.end(&grant));
        if !records::create(&*self.store, &grant.id, &grant, end).await? {
            return Err(GrantError::Busy);
        }
        Ok((grant, token))
    }

    /// The grant of a refresh token that may be exchanged, without exchanging it: so that a request which asks for too
    /// much is refused before its token is used up.
    ///
    /// # Errors
    /// [`GrantError`]. Whether the token is the newest one is not looked at.
    pub async fn consider(&self, token: &str, client: Option<&str>) -> Result<Grant, GrantError> {
        Ok(self.held(token, client).await?.record)
    }

    /// Exchanges a refresh token for its successor.
    ///
    /// # Errors
    /// [`GrantError`]. After [`GrantError::Reused`] and [`GrantError::ShutOut`] the grant is no more.
    pub async fn rotate(&self, token: &str, client: Option<&str>) -> Result<Rotation, GrantError> {
        for _ in 0..TRIES {
            let held = self.held(token, client).await?;
            let user = self.owner(&held.record).await?;
            let presented = opaque::hash(token);
            if same(&held.record.current, &presented) {
                if let Some((grant, token)) = self.replace(held, token).await? {
                    return Ok(Rotation::Fresh { grant, user, token });
                }
                continue;
            }
            let grant = held.record;
            return match self.successor(&grant, &presented, token) {
                Some(token) => Ok(Rotation::Repeated { grant, user, token }),
                None => {
                    self.end_family(&grant).await?;
                    let Grant { id, user, .. } = grant;
                    Err(GrantError::Reused { grant: id, user })
                }
            };
        }
        Err(GrantError::Busy)
    }

    /// Whether a refresh token is the one of its grant that is good now, and that grant. For introspection: nothing is
    /// changed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn of_token(&self, token: &str) -> Result<Option<(Grant, bool)>, StoreError> {
        let Some(reading) = self.press.read(token) else {
            return Ok(None);
        };
        let Some(grant) = self.find(&reading.grant).await? else {
            return Ok(None);
        };
        let current = same(&grant.current, &opaque::hash(token));
        Ok(Some((grant, current)))
    }

    /// The grant of that id, unless it is over.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(&self, id: &str) -> Result<Option<Grant>, StoreError> {
        let held = records::get::<Grant>(&*self.store, id).await?;
        let now = self.clock.now();
        Ok(held
            .map(|held| held.record)
            .filter(|grant| now < self.end(grant)))
    }

    /// The grants of a user.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn of_user(&self, user: &str) -> Result<Vec<Grant>, StoreError> {
        let prefix = format!("{user}/");
        let mut grants = Vec::new();
        let mut after = None;
        loop {
            let page =
                records::scan::<Listed>(&*self.store, &prefix, after.as_deref(), PAGE).await?;
            for (place, listed) in &page {
                let id = place.strip_prefix(&prefix).unwrap_or_default();
                match self.find(id).await? {
                    Some(grant) => grants.push(grant),
                    None if self.may_be_opening(&listed.record) => {}
                    None => drop(records::delete::<Listed>(&*self.store, place).await?),
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => after = Some(last.clone()),
                _ => return Ok(grants),
            }
        }
    }

    /// Ends a grant: its refresh tokens are unknown, and the access tokens made under it are revoked. Says whether it was
    /// there.
    ///
    /// # Errors
    /// [`StoreError`]; as much as could be done was done.
    pub async fn revoke(&self, id: &str) -> Result<bool, StoreError> {
        let grant = records::get::<Grant>(&*self.store, id).await?;
        // The one must not keep the other from being tried.
        let removed = records::delete::<Grant>(&*self.store, id).await;
        let marked = self.mark(id).await;
        if let Some(grant) = grant {
            records::delete::<Listed>(&*self.store, &place(&grant.record)).await?;
        }
        marked.and(removed)
    }

    /// Ends all grants of a user; says how many there were.
    ///
    /// # Errors
    /// [`StoreError`]; the grants that were not reached are still there.
    pub async fn revoke_user(&self, user: &str) -> Result<usize, StoreError> {
        let grants = self.of_user(user).await?;
        for grant in &grants {
            self.revoke(&grant.id).await?;
        }
        Ok(grants.len())
    }

    /// Ends all grants of an OAuth client; says how many there were. It looks at every grant, so it is for operators.
    ///
    /// # Errors
    /// [`StoreError`]; the grants that were not reached are still there.
    pub async fn revoke_client(&self, client: &str) -> Result<usize, StoreError> {
        let (mut ended, mut after) = (0, None::<String>);
        loop {
            let page = records::scan::<Grant>(&*self.store, "", after.as_deref(), PAGE).await?;
            for (id, held) in &page {
                if held.record.client.as_deref() == Some(client) {
                    self.revoke(id).await?;
                    ended += 1;
                }
            }
            match page.into_iter().last() {
                Some((last, _)) => after = Some(last),
                None => return Ok(ended),
            }
        }
    }

    async fn mark(&self, id: &str) -> Result<(), StoreError> {
        let longest = OwnSettings::LIFETIME_MAX + REVOKED_MARGIN;
        let mark = Mark::Session(id.to_owned());
        self.revocations
            .revoke(&mark, self.clock.now().plus(longest))
            .await
    }

    async fn end_family(&self, grant: &Grant) -> Result<(), StoreError> {
        self.revoke(&grant.id).await.map(drop)
    }

    /// The record behind a token that is ours, of this client and in its time.
    async fn held(&self, token: &str, client: Option<&str>) -> Result<Held<Grant>, GrantError> {
        let reading = self.press.read(token).ok_or(GrantError::Unknown)?;
        let held = records::get::<Grant>(&*self.store, &reading.grant).await?;
        let held = held.ok_or(GrantError::Unknown)?;
        if held.record.client.as_deref() != client {
            return Err(GrantError::OtherClient);
        }
        if self.clock.now() >= self.end(&held.record) {
            return Err(GrantError::Expired);
        }
        Ok(held)
    }

    /// The user of a grant, who must still be let in.
    async fn owner(&self, grant: &Grant) -> Result<User, GrantError> {
        let user = users::find(&*self.store, &grant.user).await?;
        match user.map(|held| held.record) {
            Some(user) if !user.disabled && user.generation <= grant.generation => Ok(user),
            _ => {
                self.end_family(grant).await?;
                Err(GrantError::ShutOut(grant.user.clone()))
            }
        }
    }

    /// Writes the next step of a family; `None` when somebody else wrote first.
    async fn replace(
        &self,
        held: Held<Grant>,
        token: &str,
    ) -> Result<Option<(Grant, Secret<String>)>, GrantError> {
        let mut grant = held.record;
        let now = self.clock.now();
        grant.step = grant.step.saturating_add(1);
        let next = self
            .press
            .strike(&grant.id, grant.step)
            .ok_or(GrantError::Unmade)?;
        let successor = refresh::seal_successor(token, next.expose()).ok_or(GrantError::Unmade)?;
        let hash = std::mem::replace(&mut grant.current, opaque::hash(next.expose()));
        grant.previous = Some(Previous {
            hash,
            replaced_at: now.millis(),
            successor,
        });
        grant.used_at = now.millis();
        let end = Some(self.end(&grant));
        let written = records::replace(&*self.store, &grant.id, held.revision, &grant, end).await?;
        Ok(written.map(|_| (grant, next)))
    }

    /// The successor of the token that was replaced last, while that is a moment ago.
    fn successor(&self, grant: &Grant, presented: &str, token: &str) -> Option<Secret<String>> {
        let previous = grant.previous.as_ref()?;
        // Counted in both directions: a clock that was set back must not make the moment longer.
        let apart = self.clock.now().millis().abs_diff(previous.replaced_at);
        let grace = self.settings.grace.min(GRACE_MAX);
        if !same(&previous.hash, presented) || u128::from(apart) > grace.as_millis() {
            return None;
        }
        refresh::open_successor(token, &previous.successor)
    }

    /// Whether a grant that is listed and not there may be about to come.
    fn may_be_opening(&self, listed: &Listed) -> bool {
        let listed_at = Timestamp::from_millis(listed.listed_at);
        self.clock.now() < listed_at.plus(OPENING_MAX)
    }

    /// When a grant is over: too long unused, or too old.
    fn end(&self, grant: &Grant) -> Timestamp {
        let idle = grant.used().plus(self.settings.idle);
        idle.min(grant.created().plus(self.settings.absolute))
    }

    /// Ends the grant that was unused for longest where a user has as many as one may.
    async fn make_room(&self, user: &str) -> Result<(), StoreError> {
        let mut grants = self.of_user(user).await?;
        let most = self.settings.per_user.max(1);
        if grants.len() < most {
            return Ok(());
        }
        grants.sort_by_key(|grant| grant.used_at);
        let surplus = grants.len() + 1 - most;
        for grant in grants.iter().take(surplus) {
            self.revoke(&grant.id).await?;
        }
        Ok(())
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grants")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// How many entries of a user's list are read at once.
const PAGE: usize = 200;

fn place(grant: &Grant) -> String {
    format!("{}/{}", grant.user, grant.id)
}

fn same(known: &str, presented: &str) -> bool {
    known.as_bytes().ct_eq(presented.as_bytes()).into()
}
