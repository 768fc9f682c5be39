//! The two sample prompts.

use serde_json::{Value, json};

use super::Sample;
use super::rpc::{Fault, Members, required};
use super::tools::markdown;

/// The definitions, in listing order.
pub(super) fn definitions() -> Vec<Value> {
    vec![
        json!({
            "name": "summarise_note", "title": "Summarise a note",
            "description": "Asks for a summary of one note.",
            "arguments": [{"name": "id", "description": "Which note, for example n1.", "required": true}],
        }),
        json!({
            "name": "draft_note", "title": "Draft a note",
            "description": "Asks for a new note about a topic.",
            "arguments": [
                {"name": "topic", "description": "What it is about.", "required": true},
                {"name": "tone", "description": "How it should sound.", "required": false},
            ],
        }),
    ]
}

/// Answers `prompts/get`.
pub(super) fn find(sample: &Sample, name: &str, arguments: &Members) -> Result<Members, Fault> {
    let text = match name {
        "summarise_note" => {
            let id = required(arguments, "id")?;
            let note = sample.notes.find(id);
            let note = note.ok_or_else(|| Fault::InvalidParams(format!("no note `{id}`")))?;
            format!(
                "Summarise this note in one sentence.\n\n{}",
                markdown(&note)
            )
        }
        "draft_note" => {
            let topic = required(arguments, "topic")?;
            let tone = arguments.get("tone").and_then(Value::as_str);
            format!("Draft a {} note about {topic}.", tone.unwrap_or("plain"))
        }
        _ => return Err(Fault::UnknownPrompt(name.to_owned())),
    };
    let mut result = Members::new();
    let message = json!([{"role": "user", "content": {"type": "text", "text": text}}]);
    result.insert("messages".into(), message);
    Ok(result)
}
