//! The sample resources: a text, a picture, the changing index of notes, and a template that reaches each note.

use serde_json::{Value, json};

use super::Sample;
use super::rpc::{Fault, Members};
use super::tools::markdown;

/// The resource that changes when a note is deleted.
pub(super) const INDEX_URI: &str = "notes://index";
const ABOUT_URI: &str = "demo://about";
const DOT_URI: &str = "demo://dot.gif";
const NOTE_PREFIX: &str = "notes://note/";

/// A transparent picture of one pixel, in base64.
const DOT: &str = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
const ABOUT: &str =
    "The sample server of sallygate: a few notes in memory, the same at every start.";

/// The definitions, in listing order.
pub(super) fn definitions() -> Vec<Value> {
    vec![
        json!({"uri": ABOUT_URI, "name": "about", "title": "About this server", "mimeType": "text/plain"}),
        json!({"uri": DOT_URI, "name": "dot", "title": "A very small picture", "mimeType": "image/gif"}),
        json!({"uri": INDEX_URI, "name": "index", "title": "All notes", "mimeType": "application/json"}),
    ]
}

/// The templates, in listing order.
pub(super) fn templates() -> Vec<Value> {
    vec![json!({
        "uriTemplate": "notes://note/{id}", "name": "note", "title": "One note",
        "description": "A note by its id.", "mimeType": "text/markdown",
    })]
}

/// The address of a note.
pub(super) fn note_uri(id: &str) -> String {
    format!("{NOTE_PREFIX}{id}")
}

/// Answers `resources/read`.
pub(super) fn read(sample: &Sample, uri: &str) -> Result<Members, Fault> {
    let contents = match uri {
        ABOUT_URI => json!({"uri": uri, "mimeType": "text/plain", "text": ABOUT}),
        DOT_URI => json!({"uri": uri, "mimeType": "image/gif", "blob": DOT}),
        INDEX_URI => {
            let notes = sample.notes.all();
            let index: Vec<_> = notes
                .iter()
                .map(|note| json!({"id": note.id, "title": note.title}))
                .collect();
            json!({"uri": uri, "mimeType": "application/json", "text": json!(index).to_string()})
        }
        _ => {
            let note = uri
                .strip_prefix(NOTE_PREFIX)
                .and_then(|id| sample.notes.find(id));
            let note = note.ok_or_else(|| Fault::UnknownResource(uri.to_owned()))?;
            json!({"uri": uri, "mimeType": "text/markdown", "text": markdown(&note)})
        }
    };
    let mut result = Members::new();
    result.insert("contents".into(), json!([contents]));
    Ok(result)
}

/// Is there anything at this address that could change?
pub(super) fn exists(sample: &Sample, uri: &str) -> bool {
    read(sample, uri).is_ok()
}
