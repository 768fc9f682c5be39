//! Who belongs to which workspace (C28): the set that the login provider told, or the one workspace of the token where the user
//! never signed in here. Remembered for a minute, since a call may ask for each of its arguments.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;

use super::find;
use crate::auth::{Principal, UserId};
use crate::clock::{Clock, Timestamp};
use crate::store::{Store, StoreError};

/// How long the workspaces of a user are remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);
/// Users whose workspaces are remembered; the one that was asked for least recently goes first.
const REMEMBERED: usize = 10_000;

/// The workspaces of users.
#[derive(Debug)]
pub struct Memberships {
    store: Arc<dyn Store>,
    known: Cache<UserId, Known>,
    only_default: bool,
    clock: Clock,
}

#[derive(Clone, Debug)]
struct Known {
    teams: Arc<[String]>,
    until: Timestamp,
}

impl Memberships {
    /// From the users' records. With `only_default` nobody has any workspace but the one of their token (S1 literally).
    pub fn new(store: Arc<dyn Store>, only_default: bool, clock: Clock) -> Self {
        Self {
            store,
            known: Cache::new(REMEMBERED),
            only_default,
            clock,
        }
    }

    /// Whether a principal may work in a workspace.
    ///
    /// # Errors
    /// [`StoreError`] when that cannot be known.
    pub async fn is_member(
        &self,
        principal: &Principal,
        workspace: &str,
    ) -> Result<bool, StoreError> {
        if self.only_default {
            return Ok(principal.team() == Some(workspace));
        }
        let teams = self.teams(principal.user()).await?;
        Ok(match teams.is_empty() {
            // Nobody told us of any, so the token decides.
            true => principal.team() == Some(workspace),
            false => teams.iter().any(|team| team == workspace),
        })
    }

    async fn teams(&self, user: &UserId) -> Result<Arc<[String]>, StoreError> {
        let now = self.clock.now();
        if let Some(known) = self.known.get(user).filter(|known| now < known.until) {
            return Ok(known.teams);
        }
        let record = find(&*self.store, user.as_str()).await?;
        let teams = record.map(|held| held.record.teams).unwrap_or_default();
        let teams: Arc<[String]> = teams.into_iter().map(|team| team.id).collect();
        let known = Known {
            teams: Arc::clone(&teams),
            until: now.plus(REMEMBERED_FOR),
        };
        self.known.insert(user.clone(), known);
        Ok(teams)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::principal::Held;
    use crate::store::Memory;
    use crate::users::{Profile, Team, signed_in};

    fn principal(user: &str, team: Option<&str>) -> Principal {
        Principal::for_tests(user, "free", &[]).holding(Held {
            team,
            ..Held::default()
        })
    }

    async fn signs_in(store: &dyn Store, id: &str, teams: &[&str], now: Timestamp) {
        let team = |id: &&str| Team {
            id: (*id).to_owned(),
            name: String::new(),
        };
        let profile = Profile {
            id: id.into(),
            teams: teams.iter().map(team).collect(),
            ..Profile::default()
        };
        signed_in(store, &profile, now).await.unwrap();
    }

    #[tokio::test]
    async fn c28_a_user_belongs_to_the_workspaces_of_the_last_login_or_else_to_the_tokens() {
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let store = Arc::new(Memory::new(clock.clone()));
        signs_in(&*store, "12345", &["1", "2"], clock.now()).await;
        let set = Memberships::new(store.clone(), false, clock.clone());
        let single = Memberships::new(store.clone(), true, clock.clone());
        for (user, team, workspace, in_set, as_single) in [
            ("12345", Some("1"), "1", true, true),
            ("12345", Some("1"), "2", true, false),
            ("12345", Some("1"), "3", false, false),
            // They left it since the token was made.
            ("12345", Some("3"), "3", false, true),
            ("12345", None, "", false, false),
            ("67890", Some("3"), "3", true, true),
            ("67890", Some("3"), "1", false, false),
            ("67890", None, "1", false, false),
        ] {
            let principal = principal(user, team);
            let row = (user, team, workspace);
            let member = set.is_member(&principal, workspace).await.unwrap();
            assert_eq!(member, in_set, "{row:?}");
            let member = single.is_member(&principal, workspace).await.unwrap();
            assert_eq!(member, as_single, "{row:?}");
        }
    }

    #[tokio::test]
    async fn whoever_leaves_a_workspace_is_out_of_it_within_a_minute() {
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let store = Arc::new(Memory::new(clock.clone()));
        let set = Memberships::new(store.clone(), false, clock.clone());
        signs_in(&*store, "12345", &["1", "2"], clock.now()).await;
        let principal = principal("12345", Some("1"));
        assert!(set.is_member(&principal, "2").await.unwrap());
        signs_in(&*store, "12345", &["1"], clock.now()).await;
        clock.advance(REMEMBERED_FOR);
        assert!(!set.is_member(&principal, "2").await.unwrap());
    }
}
