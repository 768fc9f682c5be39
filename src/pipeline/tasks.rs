//! Whose task is whose. To the server behind us all users are one caller, so it would show anybody's task to anybody who
//! knows or guesses its id, or asks for the list.

use quick_cache::sync::Cache;

use crate::auth::{Principal, UserId};

/// Tasks remembered on one route; the one that was asked for least recently goes first.
const REMEMBERED: usize = 10_000;

/// The owners of the tasks of one route. A task that is not remembered, because another replica or an earlier process saw
/// it created, is nobody's.
pub struct TaskOwners(Cache<Box<str>, UserId>);

impl Default for TaskOwners {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl TaskOwners {
    /// A call of this principal created this task.
    pub fn note(&self, task_id: String, principal: &Principal) {
        self.0.insert(task_id.into(), principal.user().clone());
    }

    /// Whether this task is known to be somebody else's.
    pub fn is_foreign(&self, task_id: &str, principal: &Principal) -> bool {
        self.0
            .get(task_id)
            .is_some_and(|owner| owner != *principal.user())
    }
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
        owners.note("t1".into(), &alice);
        assert!(owners.is_foreign("t1", &bob));
        assert!(!owners.is_foreign("t1", &alice));
        assert!(!owners.is_foreign("t2", &bob));
        owners.note("t1".into(), &bob);
        assert!(
            owners.is_foreign("t1", &alice),
            "a server that counts anew after a restart gives ids again"
        );
    }
}
