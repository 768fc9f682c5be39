//! A grant as it is kept: who allowed what to whom, and the hashes by which its refresh tokens are known.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::store::{Record, Table};

/// What a user allowed a client, or opened for themselves at `/auth/callback`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The id: 32 hex digits, the `sid` of every access token made under it.
    pub id: String,
    /// The user.
    pub user: String,
    /// The OAuth client; none for a session of the gateway's own.
    pub client: Option<String>,
    /// The scopes that the user allowed. A token may have fewer.
    pub scopes: Vec<String>,
    /// The resources that tokens may be made for, by canonical URI.
    pub resources: Vec<String>,
    /// When the user last proved who they are, in milliseconds since the epoch.
    pub authenticated_at: i64,
    /// When the grant was opened, in milliseconds since the epoch.
    pub created_at: i64,
    /// When its refresh token was last used, in milliseconds since the epoch.
    pub used_at: i64,
    /// The generation of the user's tokens at the opening: a later one ends the grant.
    pub generation: u64,
    /// How often the refresh token was replaced.
    pub(in crate::grants) step: u32,
    /// The hash of the refresh token that is good now.
    pub(in crate::grants) current: String,
    /// The one before it.
    pub(in crate::grants) previous: Option<Previous>,
}

/// A refresh token that was replaced a moment ago.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::grants) struct Previous {
    /// Its hash.
    pub(in crate::grants) hash: String,
    /// When it was replaced, in milliseconds since the epoch.
    pub(in crate::grants) replaced_at: i64,
    /// Its successor, sealed under a key that only the replaced token gives.
    pub(in crate::grants) successor: String,
}

impl Record for Grant {
    const TABLE: Table = Table::Grant;
    const VERSION: u16 = 1;
}

impl Grant {
    /// When it was opened.
    pub const fn created(&self) -> Timestamp {
        Timestamp::from_millis(self.created_at)
    }

    /// When it was last used.
    pub const fn used(&self) -> Timestamp {
        Timestamp::from_millis(self.used_at)
    }
}

/// That a user has a grant; the id of the record is `user/grant`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::grants) struct Listed {
    /// The OAuth client of the grant.
    pub(in crate::grants) client: Option<String>,
    /// When it was listed, in milliseconds since the epoch.
    #[serde(default)]
    pub(in crate::grants) listed_at: i64,
}

impl Record for Listed {
    const TABLE: Table = Table::UserGrant;
    const VERSION: u16 = 1;
}
