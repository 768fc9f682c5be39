//! Whose task is whose. To the server behind us all users are one caller, so it would show anybody's task to anybody who
//! knows or guesses its id, or asks for the list.

use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use crate::auth::{Principal, UserId};

/// Tasks remembered on one route; the one that was asked for least recently goes first.
const REMEMBERED: usize = 10_000;

/// The owners of the tasks of one route. A task that is not remembered, because another replica or an earlier process saw
/// it created, is nobody's. Ids are as long as a server likes, so what is remembered is their hash.
pub struct TaskOwners(Cache<[u8; 32], UserId>);

impl Default for TaskOwners {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl TaskOwners {
    /// A call of this principal created this task.
    pub fn note(&self, task_id: &str, principal: &Principal) {
        self.0.insert(key(task_id), principal.user().clone());
    }

    /// Whether this task is known to be somebody else's.
    pub fn is_foreign(&self, task_id: &str, principal: &Principal) -> bool {
        self.0
            .get(&key(task_id))
            .is_some_and(|owner| owner != *principal.user())
    }
}

fn key(task_id: &str) -> [u8; 32] {
    Sha256::digest(task_id.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_foreign_to_everybody_but_its_owner_and_an_unknown_one_to_nobody() {
        let owners = TaskOwners::default();
        let (alice, bob) = (
            Principal::for_tests("alice", "free", &[]),
            Principal::for_tests("bob", "free", &[]),
        );
        owners.note("t1", &alice);
        assert!(owners.is_foreign("t1", &bob));
        assert!(!owners.is_foreign("t1", &alice));
        assert!(!owners.is_foreign("t2", &bob));
        owners.note("t1", &bob);
        assert!(
            owners.is_foreign("t1", &alice),
            "a server that counts anew after a restart gives ids again"
        );
    }
}
