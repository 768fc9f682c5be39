//! The sample tools as `tools/list` describes them: names, schemas, annotations. What they do is in `tools`.

use serde_json::{Value, json};

/// What a tool does, decided once at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Echo,
    Add,
    Clock,
    CountSlowly,
    SearchNotes,
    ReadNote,
    DeleteNote,
    ExportNotes,
}

/// The most that `count_slowly` counts to.
pub(super) const MAX_COUNT: u64 = 20;
/// The longest pause of `count_slowly` between two numbers.
pub(super) const MAX_DELAY_MS: u64 = 1_000;

/// Every tool with its definition, in listing order.
pub(super) fn definitions() -> [(Kind, &'static str, Value); 8] {
    [
        (Kind::Echo, "echo", echo()),
        (Kind::Add, "add", add()),
        (Kind::Clock, "clock", clock()),
        (Kind::CountSlowly, "count_slowly", count_slowly()),
        (Kind::SearchNotes, "search_notes", search_notes()),
        (Kind::ReadNote, "read_note", read_note()),
        (Kind::DeleteNote, "delete_note", delete_note()),
        (Kind::ExportNotes, "export_notes", export_notes()),
    ]
}

fn echo() -> Value {
    json!({
        "name": "echo", "title": "Echo",
        "description": "Says back what it is told.",
        "inputSchema": object(json!({"text": {"type": "string", "maxLength": 10_000}}), &["text"]),
        "annotations": harmless(),
    })
}

fn add() -> Value {
    json!({
        "name": "add", "title": "Add",
        "description": "Adds two numbers.",
        "inputSchema": object(json!({"a": {"type": "number"}, "b": {"type": "number"}}), &["a", "b"]),
        "outputSchema": object(json!({"sum": {"type": "number"}}), &["sum"]),
        "annotations": harmless(),
    })
}

fn clock() -> Value {
    json!({
        "name": "clock", "title": "Clock",
        "description": "Tells the time in UTC.",
        "inputSchema": object(json!({}), &[]),
        "outputSchema": object(json!({"utc": {"type": "string", "format": "date-time"}}), &["utc"]),
        "annotations": {"readOnlyHint": true, "destructiveHint": false, "idempotentHint": false, "openWorldHint": false},
    })
}

fn count_slowly() -> Value {
    let properties = json!({
        "to": {"type": "integer", "minimum": 1, "maximum": MAX_COUNT},
        "delay_ms": {"type": "integer", "minimum": 0, "maximum": MAX_DELAY_MS, "default": 200,
            "description": "Pause between two numbers, in milliseconds."},
    });
    json!({
        "name": "count_slowly", "title": "Count slowly",
        "description": "Counts, one number at a time, and reports progress where a progress token was given.",
        "inputSchema": object(properties, &["to"]),
        "outputSchema": object(json!({"counted": {"type": "integer"}}), &["counted"]),
        "annotations": harmless(),
    })
}

fn search_notes() -> Value {
    let properties = json!({
        "query": {"type": "string", "minLength": 1, "maxLength": 200},
        "notebook": {"type": "string", "maxLength": 100, "x-mcp-header": "Notebook",
            "description": "Search in this notebook only."},
        "limit": {"type": "integer", "minimum": 1, "maximum": 50, "default": 10},
    });
    let found = json!({"notes": {"type": "array", "items": object(
        json!({"id": {"type": "string"}, "title": {"type": "string"}}), &["id", "title"])}});
    json!({
        "name": "search_notes", "title": "Search notes",
        "description": "Finds notes by a text in their title or body.",
        "inputSchema": object(properties, &["query"]),
        "outputSchema": object(found, &["notes"]),
        "annotations": harmless(),
    })
}

fn read_note() -> Value {
    json!({
        "name": "read_note", "title": "Read a note",
        "description": "Reads one note.",
        "inputSchema": object(json!({"id": note_id()}), &["id"]),
        "annotations": harmless(),
    })
}

fn delete_note() -> Value {
    json!({
        "name": "delete_note", "title": "Delete a note",
        "description": "Deletes one note for good.",
        "inputSchema": object(json!({"id": note_id()}), &["id"]),
        "annotations": {"readOnlyHint": false, "destructiveHint": true, "idempotentHint": true, "openWorldHint": false},
    })
}

fn export_notes() -> Value {
    let format = json!({"format": {"enum": ["json", "markdown"], "default": "markdown"}});
    json!({
        "name": "export_notes", "title": "Export all notes",
        "description": "Writes out every note at once.",
        "inputSchema": object(format, &[]),
        "annotations": harmless(),
    })
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": false,
    })
}

fn note_id() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 20, "examples": ["n1"]})
}

fn harmless() -> Value {
    json!({"readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false})
}
