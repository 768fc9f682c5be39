//! The people that the gateway knows: who they are according to their login provider, which tier and workspaces they have, and
//! whether they may still come in.
//!
//! **Protects** against two providers that claim the same person, and against a person who was shut out coming back by
//! another token.
//! **Assumes** that a login provider was asked before a [`Profile`] is written.
//! **Hands on** [`User`] records; their generation goes into every token.
//! **Refuses** the login of a disabled user.

pub mod membership;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::auth::UserId;
use crate::clock::Timestamp;
use crate::random;
use crate::store::{Held, Record, Store, StoreError, Table, record};

/// Attempts to write a record that others write too.
const TRIES: usize = 16;
/// The longest id of a provider's user that is kept as it is.
const PLAIN_MAX: usize = 64;

/// A workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    /// Its id at the provider.
    pub id: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// What a login provider says about a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The canonical id, see [`id_of`].
    pub id: String,
    /// The configured name of the provider.
    pub provider: String,
    /// The name to show.
    pub name: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The tier that the mapping of claims gives.
    pub tier: String,
    /// The roles that the mapping of claims gives.
    pub roles: Vec<String>,
    /// The workspaces; the first is the default one.
    pub teams: Vec<Team>,
}

/// A person that the gateway knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The canonical id.
    pub id: String,
    /// The configured name of the provider that they last came through; empty for users of foreign issuers' tokens.
    pub provider: String,
    /// The name to show.
    pub name: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The tier.
    pub tier: String,
    /// The roles.
    pub roles: Vec<String>,
    /// The workspaces; the first is the default one (C28).
    pub teams: Vec<Team>,
    /// Whether they are shut out.
    pub disabled: bool,
    /// The generation of their tokens: those of an older one are revoked.
    pub generation: u64,
    /// When the record was made, in milliseconds since the epoch.
    pub created_at: i64,
    /// When they last signed in, in milliseconds since the epoch.
    pub signed_in_at: Option<i64>,
}

impl Record for User {
    const TABLE: Table = Table::User;
    const VERSION: u16 = 1;
}

impl User {
    fn unknown(id: &str, now: Timestamp) -> Self {
        Self {
            id: id.to_owned(),
            provider: String::new(),
            name: None,
            email: None,
            tier: String::new(),
            roles: Vec::new(),
            teams: Vec::new(),
            disabled: false,
            generation: 0,
            created_at: now.millis(),
            signed_in_at: None,
        }
    }

    /// The id as the rest of the gateway knows it.
    pub fn user_id(&self) -> UserId {
        UserId::own(&self.id)
    }

    /// The default workspace (C28).
    pub fn team(&self) -> Option<&Team> {
        self.teams.first()
    }
}

/// Why a user's record could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// They are shut out.
    #[error("the user is disabled")]
    Disabled,
    /// Others wrote the record every time that we tried.
    #[error("the user's record is written by too many at once")]
    Busy,
}

/// The canonical id of a provider's user (C19): `clickup` users keep their bare number; others are qualified by the
/// provider's name, so that two providers can never produce one user, and hashed where the id is no plain word.
pub fn id_of(provider: &str, subject: &str, bare: bool) -> String {
    if bare && !subject.is_empty() && subject.bytes().all(|byte| byte.is_ascii_digit()) {
        return subject.to_owned();
    }
    let plain = (1..=PLAIN_MAX).contains(&subject.len())
        && subject
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.@-".contains(&byte));
    if plain {
        return format!("{provider}.{subject}");
    }
    let digest = random::to_hex(&Sha256::digest(subject.as_bytes()));
    format!("{provider}.~{}", digest.get(..32).unwrap_or(&digest))
}

/// The record of a user.
///
/// # Errors
/// [`StoreError`].
pub async fn find(store: &dyn Store, id: &str) -> Result<Option<Held<User>>, StoreError> {
    record::get(store, id).await
}

/// Notes that a person signed in.
///
/// # Errors
/// [`UserError::Disabled`] for one who is shut out; nothing is written then.
pub async fn signed_in(
    store: &dyn Store,
    profile: &Profile,
    now: Timestamp,
) -> Result<User, UserError> {
    change(store, &profile.id, now, |user| {
        if user.disabled {
            return Err(UserError::Disabled);
        }
        user.provider.clone_from(&profile.provider);
        user.name.clone_from(&profile.name);
        user.email.clone_from(&profile.email);
        user.tier.clone_from(&profile.tier);
        user.roles.clone_from(&profile.roles);
        user.teams.clone_from(&profile.teams);
        user.signed_in_at = Some(now.millis());
        Ok(())
    })
    .await
}

/// Changes the record of a user, made first if there is none; somebody who never signed in can be shut out too.
///
/// # Errors
/// [`UserError`]; what the change itself refuses is written nowhere.
pub async fn change(
    store: &dyn Store,
    id: &str,
    now: Timestamp,
    change: impl Fn(&mut User) -> Result<(), UserError>,
) -> Result<User, UserError> {
    for _ in 0..TRIES {
        let held = find(store, id).await?;
        let mut user = match &held {
            Some(held) => held.record.clone(),
            None => User::unknown(id, now),
        };
        change(&mut user)?;
        let written = match held {
            Some(held) => record::replace(store, id, held.revision, &user, None)
                .await?
                .is_some(),
            None => record::create(store, id, &user, None).await?,
        };
        if written {
            return Ok(user);
        }
    }
    Err(UserError::Busy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::Memory;

    #[test]
    fn c19_no_two_providers_produce_one_user() {
        assert_eq!(id_of("clickup", "12345", true), "12345");
        assert_eq!(id_of("okta", "12345", false), "okta.12345");
        let odd = id_of("okta", "auth0|a b", false);
        assert!(odd.starts_with("okta.~") && odd.len() == 38, "{odd}");
        assert_ne!(odd, id_of("okta", "auth0|a c", false));
        assert_ne!(id_of("clickup", "a", true), id_of("okta", "a", true));
        assert_ne!(id_of("okta", "", false), id_of("okta", " ", false));
    }

    #[tokio::test]
    async fn a_disabled_user_does_not_sign_in_and_keeps_the_record() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let store = Memory::new(Clock::manual(now));
        let profile = Profile {
            id: "12345".into(),
            tier: "premium".into(),
            ..Profile::default()
        };
        change(&store, "12345", now, |user| {
            user.disabled = true;
            Ok(())
        })
        .await
        .unwrap();
        let refused = signed_in(&store, &profile, now).await;
        assert!(matches!(refused, Err(UserError::Disabled)));
        let kept = find(&store, "12345").await.unwrap().unwrap().record;
        assert_eq!((kept.tier.as_str(), kept.signed_in_at), ("", None));
    }
}
