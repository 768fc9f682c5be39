//! The notes that the sample tools search, read, delete and export. They live in memory, are the same at every start,
//! and can only become fewer, so they need no bound of their own.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// One note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Note {
    pub(super) id: &'static str,
    pub(super) notebook: &'static str,
    pub(super) title: &'static str,
    pub(super) body: &'static str,
}

/// All notes.
pub(super) struct Notes(Mutex<Vec<Note>>);

impl Default for Notes {
    fn default() -> Self {
        Self(Mutex::new(SEED.to_vec()))
    }
}

impl Notes {
    /// Every note, in the order in which they were written.
    pub(super) fn all(&self) -> Vec<Note> {
        self.lock().clone()
    }

    /// The note with this id.
    pub(super) fn find(&self, id: &str) -> Option<Note> {
        self.lock().iter().find(|note| note.id == id).cloned()
    }

    /// Notes whose title or body holds `text`, whatever its case.
    pub(super) fn search(&self, text: &str, notebook: Option<&str>, limit: usize) -> Vec<Note> {
        let text = text.to_lowercase();
        let holds = |field: &str| field.to_lowercase().contains(&text);
        self.lock()
            .iter()
            .filter(|note| notebook.is_none_or(|notebook| notebook == note.notebook))
            .filter(|note| holds(note.title) || holds(note.body))
            .take(limit)
            .cloned()
            .collect()
    }

    /// Deletes a note and hands it back, if it was there.
    pub(super) fn delete(&self, id: &str) -> Option<Note> {
        let mut notes = self.lock();
        let at = notes.iter().position(|note| note.id == id)?;
        Some(notes.remove(at))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Note>> {
        // No change to the list can stop half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SEED: [Note; 5] = [
    Note {
        id: "n1",
        notebook: "garden",
        title: "Watering plan",
        body: "Tomatoes every morning, herbs every second day, the cactus when it complains.",
    },
    Note {
        id: "n2",
        notebook: "garden",
        title: "Seeds to order",
        body: "Peas, spinach, one packet of sunflowers.",
    },
    Note {
        id: "n3",
        notebook: "work",
        title: "Release checklist",
        body: "Run the tests, read the audit trail, tag, rest.",
    },
    Note {
        id: "n4",
        notebook: "work",
        title: "Staging login",
        body: "The key of the staging machine is canary-not-a-real-key. It should not stand in a note.",
    },
    Note {
        id: "n5",
        notebook: "castle",
        title: "Sally port",
        body: "One door closes before the next one opens.",
    },
];
