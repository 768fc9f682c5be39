//! Remembers decisions that need no arguments. A decision is the same for every caller of one class, so it is found
//! again by the class and the name; only if some rule asks who exactly is calling do the user and the
//! certificate become part of the key.
//! Found again without allocating, bounded in entries and in the length of names.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use quick_cache::Equivalent;
use quick_cache::sync::Cache;

use super::Kind;
use super::engine::{Outcome, Pending};
use super::settings::Bounds;
use crate::auth::Principal;
use crate::auth::principal::Class;

/// What is known of one thing before its arguments are.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    pub(super) pending: Pending,
    /// The scopes whose absence alone forbids; `outcome` is then what would be if they were granted.
    pub(super) lacking: Option<Arc<[String]>>,
}

/// The remembered verdicts of one route.
pub(super) struct Memory {
    verdicts: Cache<Key, Arc<Verdict>>,
    name_bytes: usize,
    by_user: bool,
}

impl Memory {
    pub(super) fn new(bounds: &Bounds, by_user: bool) -> Self {
        Self {
            verdicts: Cache::new(bounds.remembered),
            name_bytes: bounds.remembered_name_bytes,
            by_user,
        }
    }

    /// The remembered verdict, or the one that `judge` reaches, which is remembered.
    pub(super) fn verdict(
        &self,
        principal: &Principal,
        kind: Kind,
        name: &str,
        judge: impl FnOnce() -> Verdict,
    ) -> Arc<Verdict> {
        let who = self.by_user.then(|| Who {
            issuer: principal.issuer(),
            user: principal.user().as_str(),
            certificate: principal.certificate().map(|it| it.thumbprint().to_bytes()),
        });
        let sought = Sought {
            class: principal.class(),
            who,
            kind,
            name,
        };
        if let Some(found) = self.verdicts.get(&sought) {
            return found;
        }
        let verdict = Arc::new(judge());
        if name.len() <= self.name_bytes {
            self.verdicts.insert(sought.to_key(), Arc::clone(&verdict));
        }
        verdict
    }
}

/// Who exactly is calling: all of a principal that rules can ask for beyond its class.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Who<T> {
    issuer: T,
    user: T,
    certificate: Option<[u8; 32]>,
}

struct Key {
    class: Class,
    who: Option<Who<Box<str>>>,
    kind: Kind,
    name: Box<str>,
}

/// A key that is only looked for.
#[derive(PartialEq, Eq, Hash)]
struct Sought<'a> {
    class: Class,
    who: Option<Who<&'a str>>,
    kind: Kind,
    name: &'a str,
}

impl Sought<'_> {
    fn to_key(&self) -> Key {
        Key {
            class: self.class,
            who: self.who.map(|who| Who {
                issuer: who.issuer.into(),
                user: who.user.into(),
                certificate: who.certificate,
            }),
            kind: self.kind,
            name: self.name.into(),
        }
    }
}

impl Key {
    fn sought(&self) -> Sought<'_> {
        Sought {
            class: self.class,
            who: self.who.as_ref().map(|who| Who {
                issuer: &*who.issuer,
                user: &*who.user,
                certificate: who.certificate,
            }),
            kind: self.kind,
            name: &self.name,
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.sought().hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.sought() == other.sought()
    }
}

impl Eq for Key {}

impl Equivalent<Key> for Sought<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.sought()
    }
}
