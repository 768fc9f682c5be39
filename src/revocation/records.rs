//! Revocations as the store keeps them: one record for each thing that ended, and a log of which came after which, so that
//! whoever read up to a number reads on from there.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::auth::Mark;
use crate::random;
use crate::store::{Record, Table};

/// The counter of the log: the number of its last entry.
pub(super) const COUNTER: &str = "revocations";
/// Longer ids are kept as a hash.
const PLAIN_MAX: usize = 128;

/// What was revoked, in words that records are made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    kind: String,
    name: String,
}

impl Named {
    pub(super) fn of(mark: &Mark) -> Self {
        let (kind, name) = words(mark);
        Self {
            kind: kind.to_owned(),
            name: name.to_owned(),
        }
    }

    /// None for a kind that a newer gateway knows.
    pub(super) fn mark(self) -> Option<Mark> {
        Some(match self.kind.as_str() {
            "token" => Mark::Token(self.name),
            "session" => Mark::Session(self.name),
            "client" => Mark::Client(self.name),
            "user" => Mark::User(self.name),
            _ => return None,
        })
    }
}

fn words(mark: &Mark) -> (&'static str, &str) {
    match mark {
        Mark::Token(name) => ("token", name),
        Mark::Session(name) => ("session", name),
        Mark::Client(name) => ("client", name),
        Mark::User(name) => ("user", name),
    }
}

/// The end of something, kept until nothing of it could be valid any more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct End {
    #[serde(flatten)]
    pub(super) what: Named,
    /// Of users: tokens that were issued up to here are revoked, in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<i64>,
    /// Of users: the record that counted their generations is gone.
    #[serde(default)]
    pub(super) forgotten: bool,
}

impl Record for End {
    const TABLE: Table = Table::Revoked;
    const VERSION: u16 = 1;
}

/// One entry of the log: what has to be read again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry(pub(super) Named);

impl Record for Entry {
    const TABLE: Table = Table::Revoked;
    const VERSION: u16 = 1;
}

/// The id of the record about a mark. Names that come from foreign tokens may be any text.
pub(super) fn id(mark: &Mark) -> String {
    let (kind, name) = words(mark);
    let plain = (1..=PLAIN_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.@-|".contains(&byte));
    if plain {
        return format!("{kind}/{name}");
    }
    let digest = Sha256::digest(name.as_bytes());
    format!("{kind}/~{}", random::to_hex(&digest))
}

/// The ids of all marks of the kinds begin with one of these.
pub(super) const KINDS: [&str; 4] = ["token/", "session/", "client/", "user/"];

/// The id of an entry of the log; ids are in the order of numbers.
pub(super) fn log_id(number: u64) -> String {
    format!("log/{number:020}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_marks_share_a_record() {
        let long = "x".repeat(4096);
        let marks = [
            Mark::Token("a".into()),
            Mark::Session("a".into()),
            Mark::Client("a".into()),
            Mark::User("a".into()),
            Mark::User("okta|a".into()),
            Mark::User("../a".into()),
            Mark::User(String::new()),
            Mark::Client("https://client.test/a b".into()),
            Mark::Token(long.clone()),
            Mark::Token(format!("{long}x")),
        ];
        let mut ids: Vec<_> = marks.iter().map(id).collect();
        assert!(ids.iter().all(|id| id.len() < 200 && id.is_ascii()));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), marks.len());
        for mark in marks {
            assert_eq!(Named::of(&mark).mark(), Some(mark));
        }
    }
}
