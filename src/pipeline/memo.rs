//! Lists that were filtered before. An upstream sends the same list again and again, and what it comes to is the same for
//! every caller of one class; so the last few are remembered and found again by comparing bytes. What differs between two
//! answers is the id alone, which is looked for where it stood the last time.
//!
//! Nothing is decided here: an answer is remembered after it was read and filtered, under the very policies of its route,
//! and only where no rule asks who exactly is calling. Bounded in entries and bytes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;

use crate::auth::principal::Class;

/// How many lists are remembered: pages times classes of callers.
const MAX_ENTRIES: usize = 16;
/// Longer answers are filtered each time.
const MAX_BYTES: usize = 128 * 1024;

/// For whom an answer was filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reader {
    /// The class of the caller.
    pub(super) class: Class,
    /// Whether the request was of the modern era, whose answers carry more.
    pub(super) modern: bool,
    /// What the catalogue had learnt: an answer that would teach it something must be read.
    pub(super) learnt: u64,
}

/// A message cut where its id stands.
#[derive(Clone, Debug)]
struct Cut {
    before: Bytes,
    after: Bytes,
}

impl Cut {
    fn of(message: &Bytes, at: usize, id: &str) -> Option<Self> {
        let rest = message.get(at..)?.strip_prefix(id.as_bytes())?;
        Some(Self {
            before: Bytes::copy_from_slice(message.get(..at)?),
            after: Bytes::copy_from_slice(rest),
        })
    }

    fn is(&self, message: &[u8], id: &str) -> bool {
        message.len() == self.before.len() + id.len() + self.after.len()
            && message
                .strip_prefix(&*self.before)
                .and_then(|rest| rest.strip_prefix(id.as_bytes()))
                .is_some_and(|rest| rest == self.after)
    }

    fn with(&self, id: &str) -> Bytes {
        [&*self.before, id.as_bytes(), &*self.after].concat().into()
    }
}

#[derive(Debug)]
struct Entry {
    reader: Reader,
    came: Cut,
    /// What it came to, if not to itself.
    became: Option<Cut>,
}

/// The lists that one route has filtered lately.
#[derive(Debug, Default)]
pub(super) struct ListMemo(ArcSwap<Vec<Arc<Entry>>>);

/// What a list came to the last time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recalled {
    /// It may pass as it is.
    Same,
    /// The caller gets this instead.
    Instead(Bytes),
}

impl ListMemo {
    /// What this answer to the request with this id came to for such a reader, if that is remembered.
    pub(super) fn recall(&self, reader: &Reader, message: &[u8], id: &str) -> Option<Recalled> {
        let entries = self.0.load();
        let entry = entries
            .iter()
            .find(|entry| entry.reader == *reader && entry.came.is(message, id))?;
        Some(match &entry.became {
            None => Recalled::Same,
            Some(cut) => Recalled::Instead(cut.with(id)),
        })
    }

    /// Remembers what an answer came to. `at` is where the id stands in it, and where it stands in what it became.
    pub(super) fn note(
        &self,
        reader: Reader,
        id: &str,
        came: (&Bytes, usize),
        became: Option<(&Bytes, usize)>,
    ) {
        if came.0.len() > MAX_BYTES || became.is_some_and(|(body, _)| body.len() > MAX_BYTES) {
            return;
        }
        let Some(cut) = Cut::of(came.0, came.1, id) else {
            return;
        };
        let became = match became {
            None => None,
            Some((body, at)) => match Cut::of(body, at, id) {
                Some(cut) => Some(cut),
                None => return,
            },
        };
        let entry = Arc::new(Entry {
            reader,
            came: cut,
            became,
        });
        self.0.rcu(|entries| {
            let newest = std::iter::once(&entry).chain(entries.iter());
            newest.take(MAX_ENTRIES).cloned().collect::<Vec<_>>()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Principal;

    fn reader(tier: &str, modern: bool) -> Reader {
        Reader {
            class: Principal::for_tests("1", tier, &[]).class(),
            modern,
            learnt: 0,
        }
    }

    const CAME: &str = r#"{"id":7,"result":{"tools":["a","b"]}}"#;
    const BECAME: &str = r#"{"id":7,"result":{"tools":["a"]}}"#;

    fn noted(became: Option<&'static str>) -> ListMemo {
        let memo = ListMemo::default();
        let body = became.map(|text| Bytes::from_static(text.as_bytes()));
        memo.note(
            reader("free", false),
            "7",
            (&Bytes::from_static(CAME.as_bytes()), 6),
            body.as_ref().map(|body| (body, 6)),
        );
        memo
    }

    #[test]
    fn an_answer_is_recalled_for_its_readers_and_bytes_alone() {
        let memo = noted(Some(BECAME));
        let free = reader("free", false);
        for (reader, message, id) in [
            (reader("premium", false), CAME.to_owned(), "7"),
            (reader("free", true), CAME.to_owned(), "7"),
            (Reader { learnt: 1, ..free }, CAME.to_owned(), "7"),
            (free, CAME.replace("\"b\"", "\"c\""), "7"),
            (free, CAME.replace("\"b\"", "\"bb\""), "7"),
            (free, CAME.replace(":7", ":8"), "7"),
            (free, CAME.to_owned(), "8"),
            (free, format!("{CAME} "), "7"),
            (free, String::new(), "7"),
        ] {
            assert_eq!(
                memo.recall(&reader, message.as_bytes(), id),
                None,
                "{message} {id}"
            );
        }
        let other_id = CAME.replace(":7", ":\"x-1\"");
        assert_eq!(
            memo.recall(&free, other_id.as_bytes(), "\"x-1\""),
            Some(Recalled::Instead(BECAME.replace(":7", ":\"x-1\"").into()))
        );
        assert_eq!(
            noted(None).recall(&free, CAME.as_bytes(), "7"),
            Some(Recalled::Same)
        );
    }

    #[test]
    fn only_a_few_short_answers_are_remembered() {
        let memo = ListMemo::default();
        let free = reader("free", false);
        let long = Bytes::from(format!("7{}", "x".repeat(MAX_BYTES)));
        memo.note(free, "7", (&long, 0), None);
        memo.note(free, "7", (&Bytes::from_static(b"8"), 0), None);
        memo.note(free, "7", (&Bytes::from_static(b"7"), 9), None);
        assert_eq!(memo.0.load().len(), 0);
        for n in 0..3 * MAX_ENTRIES {
            memo.note(free, "7", (&Bytes::from(format!("7{n}")), 0), None);
        }
        assert_eq!(memo.0.load().len(), MAX_ENTRIES);
        assert_eq!(memo.recall(&free, b"70", "7"), None);
        let newest = format!("7{}", 3 * MAX_ENTRIES - 1);
        assert_eq!(
            memo.recall(&free, newest.as_bytes(), "7"),
            Some(Recalled::Same)
        );
    }
}
