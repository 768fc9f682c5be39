//! The words of grants: how long they live, what is asked for, and what comes of it.

use std::time::Duration;

use super::record::Grant;
use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::store::StoreError;
use crate::users::User;

/// The longest that a replaced refresh token may be answered once more.
pub(in crate::grants) const GRACE_MAX: Duration = Duration::from_secs(10);

/// How long grants live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a grant lives that is not used (C53).
    pub idle: Duration,
    /// How long any grant lives (C53).
    pub absolute: Duration,
    /// How long a refresh token that was just replaced is answered with its successor again, for clients that lost the
    /// answer. At most ten seconds.
    pub grace: Duration,
    /// The most grants of one user; the one that was unused for longest makes room.
    pub per_user: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30 * 86_400),
            absolute: Duration::from_secs(90 * 86_400),
            grace: GRACE_MAX,
            per_user: 100,
        }
    }
}

/// A grant to be opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct New {
    /// The id, where it was drawn before by [`super::Grants::draw_id`]; else a new one is.
    pub id: Option<String>,
    /// The user.
    pub user: String,
    /// The generation of the user's tokens.
    pub generation: u64,
    /// The OAuth client; none for a session of the gateway's own.
    pub client: Option<String>,
    /// The scopes that the user allowed.
    pub scopes: Vec<String>,
    /// The resources that tokens may be made for, by canonical URI.
    pub resources: Vec<String>,
    /// When the user proved who they are; now, where it is not said.
    pub authenticated_at: Option<Timestamp>,
}

/// A refresh token was exchanged for its successor.
#[derive(Debug)]
pub enum Rotation {
    /// For the first time.
    Fresh {
        /// The grant, as it is now.
        grant: Grant,
        /// Its user, as they are now.
        user: User,
        /// The successor.
        token: Secret<String>,
    },
    /// Once more, a moment after the first time.
    Repeated {
        /// The grant.
        grant: Grant,
        /// Its user.
        user: User,
        /// The same successor as before.
        token: Secret<String>,
    },
}

/// Why a grant was not opened, or its refresh token not exchanged.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// We did not make the token, or its grant has ended.
    #[error("the refresh token is not known")]
    Unknown,
    /// The token was exchanged before. Its grant has been ended.
    #[error("the refresh token was used before")]
    Reused {
        /// The grant that was ended.
        grant: String,
        /// Whose it was.
        user: String,
    },
    /// The grant is too old, or was not used for too long.
    #[error("the grant has expired")]
    Expired,
    /// The user is shut out, or all their tokens were revoked. The grant has been ended.
    #[error("the user `{0}` was shut out or signed out")]
    ShutOut(String),
    /// The token belongs to another client.
    #[error("the refresh token belongs to another client")]
    OtherClient,
    /// Others wrote the grant every time that we tried.
    #[error("the grant is written by too many at once")]
    Busy,
    /// No token could be made.
    #[error("no refresh token could be made")]
    Unmade,
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}
