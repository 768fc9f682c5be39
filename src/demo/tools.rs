//! What the sample tools do. A call that does not fit the tool's schema, or that fails in its own business, is a result
//! with `isError`, from which a model can learn; only an unknown tool is a protocol error (MCP, tools, error handling).

use jsonschema::Validator;
use serde_json::{Value, json};

use super::catalogue::{self, Kind};
use super::notes::Note;
use super::resources::{INDEX_URI, note_uri};
use super::rpc::{Fault, Members};
use super::{DemoError, Sample};

/// One tool, ready to be called.
pub(super) struct Tool {
    pub(super) kind: Kind,
    name: &'static str,
    definition: Value,
    arguments: Validator,
}

/// Every tool.
pub(super) struct Tools(Vec<Tool>);

impl Tools {
    /// Compiles every schema once.
    pub(super) fn compile() -> Result<Self, DemoError> {
        let compile = |(kind, name, definition): (Kind, &'static str, Value)| {
            let schema = definition.get("inputSchema").unwrap_or(&Value::Null);
            let arguments = jsonschema::validator_for(schema).map_err(|error| {
                let reason = error.to_string();
                DemoError::Schema { tool: name, reason }
            })?;
            Ok(Tool {
                kind,
                name,
                arguments,
                definition,
            })
        };
        let tools = catalogue::definitions().into_iter().map(compile);
        Ok(Self(tools.collect::<Result<_, _>>()?))
    }

    /// The definitions, in listing order.
    pub(super) fn definitions(&self) -> Vec<Value> {
        self.0.iter().map(|tool| tool.definition.clone()).collect()
    }

    /// The tool of this name.
    pub(super) fn find(&self, name: &str) -> Result<&Tool, Fault> {
        self.0
            .iter()
            .find(|tool| tool.name == name)
            .ok_or_else(|| Fault::UnknownTool(name.to_owned()))
    }
}

impl Tool {
    /// The arguments that have to be mirrored in a header: property and header name (`x-mcp-header`).
    pub(super) fn mirrored(&self) -> impl Iterator<Item = (&str, &str)> {
        self.definition
            .pointer("/inputSchema/properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(property, schema)| {
                Some((property.as_str(), schema.get("x-mcp-header")?.as_str()?))
            })
    }

    /// Why these arguments do not fit the schema.
    pub(super) fn objection(&self, arguments: &Members) -> Option<Outcome> {
        let arguments = Value::Object(arguments.clone());
        let error = self.arguments.validate(&arguments).err()?;
        Some(Outcome::failed(format!("Invalid arguments: {error}")))
    }

    /// Runs a tool that answers at once; the arguments have passed the schema.
    pub(super) fn run(&self, sample: &Sample, arguments: &Members) -> Outcome {
        let text = |name| arguments.get(name).and_then(Value::as_str);
        match self.kind {
            Kind::Echo => Outcome::said(text("text").unwrap_or_default()),
            Kind::Add => add(arguments),
            Kind::Clock => {
                let utc = sample.settings.clock.now().rfc3339_millis();
                Outcome::structured(json!({"utc": utc}))
            }
            Kind::CountSlowly => counted(arguments.get("to").and_then(Value::as_u64).unwrap_or(0)),
            Kind::SearchNotes => search(sample, arguments),
            Kind::ReadNote => match sample.notes.find(text("id").unwrap_or_default()) {
                Some(note) => Outcome::said(&markdown(&note)),
                None => no_such_note(),
            },
            Kind::DeleteNote => delete(sample, text("id").unwrap_or_default()),
            Kind::ExportNotes => export(sample, text("format") == Some("json")),
        }
    }
}

/// What a tool call came to.
#[derive(Debug)]
pub(super) struct Outcome {
    text: String,
    structured: Option<Value>,
    is_error: bool,
}

impl Outcome {
    fn said(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            structured: None,
            is_error: false,
        }
    }

    /// Structured content with the text copy that old clients read.
    fn structured(value: Value) -> Self {
        Self {
            text: value.to_string(),
            structured: Some(value),
            is_error: false,
        }
    }

    fn failed(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            structured: None,
            is_error: true,
        }
    }

    /// As the members of a `CallToolResult`.
    pub(super) fn into_result(self) -> Members {
        let mut result = Members::new();
        let content = json!([{"type": "text", "text": self.text}]);
        result.insert("content".into(), content);
        if let Some(structured) = self.structured {
            result.insert("structuredContent".into(), structured);
        }
        result.insert("isError".into(), self.is_error.into());
        result
    }
}

/// The end of a count.
pub(super) fn counted(to: u64) -> Outcome {
    Outcome::structured(json!({"counted": to}))
}

fn add(arguments: &Members) -> Outcome {
    let (a, b) = (arguments.get("a"), arguments.get("b"));
    let whole = a.and_then(Value::as_i64).zip(b.and_then(Value::as_i64));
    if let Some(sum) = whole.and_then(|(a, b)| a.checked_add(b)) {
        return Outcome::structured(json!({"sum": sum}));
    }
    let sum = a.and_then(Value::as_f64).zip(b.and_then(Value::as_f64));
    match sum.map(|(a, b)| a + b) {
        Some(sum) if sum.is_finite() => Outcome::structured(json!({"sum": sum})),
        _ => Outcome::failed("The sum is too large."),
    }
}

fn search(sample: &Sample, arguments: &Members) -> Outcome {
    let text = |name| arguments.get(name).and_then(Value::as_str);
    let limit = arguments.get("limit").and_then(Value::as_u64).unwrap_or(10);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let query = text("query").unwrap_or_default();
    let found = sample.notes.search(query, text("notebook"), limit);
    let notes: Vec<_> = found
        .iter()
        .map(|note| json!({"id": note.id, "title": note.title}))
        .collect();
    Outcome::structured(json!({"notes": notes}))
}

fn delete(sample: &Sample, id: &str) -> Outcome {
    let Some(note) = sample.notes.delete(id) else {
        return no_such_note();
    };
    for uri in [INDEX_URI.to_owned(), note_uri(note.id)] {
        // An error says that nobody listens.
        let _ = sample.changes.send(uri.into());
    }
    Outcome::said(&format!("Deleted \"{}\".", note.title))
}

fn export(sample: &Sample, as_json: bool) -> Outcome {
    let notes = sample.notes.all();
    if as_json {
        return Outcome::said(&json!(notes).to_string());
    }
    let pages: Vec<_> = notes.iter().map(markdown).collect();
    Outcome::said(&pages.join("\n"))
}

/// A note as a page.
pub(super) fn markdown(note: &Note) -> String {
    format!("# {}\n\n{}\n", note.title, note.body)
}

fn no_such_note() -> Outcome {
    Outcome::failed("There is no such note.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{Settings, TOOLS};

    fn call(sample: &Sample, name: &str, arguments: Value) -> Outcome {
        let Value::Object(arguments) = arguments else {
            panic!("arguments are an object")
        };
        let tool = sample.tools.find(name).unwrap();
        let objection = tool.objection(&arguments);
        objection.unwrap_or_else(|| tool.run(sample, &arguments))
    }

    #[test]
    fn arguments_that_do_not_fit_are_a_result_that_says_so() {
        let sample = Sample::new(Settings::default()).unwrap();
        for (name, arguments) in [
            ("echo", json!({})),
            ("echo", json!({"text": 1})),
            ("echo", json!({"text": "a", "more": "b"})),
            ("add", json!({"a": 1})),
            ("add", json!({"a": 1.7e308, "b": 1.7e308})),
            ("count_slowly", json!({"to": 21})),
            ("count_slowly", json!({"to": 1, "delay_ms": 1001})),
            ("search_notes", json!({"query": ""})),
            ("read_note", json!({"id": "n99"})),
            ("delete_note", json!({"id": "n99"})),
            ("export_notes", json!({"format": "pdf"})),
        ] {
            assert!(
                call(&sample, name, arguments.clone()).is_error,
                "{name} {arguments}"
            );
        }
        assert!(sample.tools.find("format_disk").is_err());
    }

    #[test]
    fn structured_content_fits_the_output_schema_and_has_a_text_copy() {
        let sample = Sample::new(Settings::default()).unwrap();
        for (name, arguments) in [
            ("echo", json!({"text": "hello"})),
            ("add", json!({"a": 2, "b": 3})),
            ("add", json!({"a": i64::MAX, "b": 1})),
            ("clock", json!({})),
            ("count_slowly", json!({"to": 3})),
            (
                "search_notes",
                json!({"query": "A", "notebook": "garden", "limit": 1}),
            ),
            ("read_note", json!({"id": "n1"})),
            ("delete_note", json!({"id": "n1"})),
            ("export_notes", json!({"format": "json"})),
        ] {
            let outcome = call(&sample, name, arguments);
            assert!(!outcome.is_error, "{name}: {}", outcome.text);
            let tool = sample.tools.find(name).unwrap();
            let schema = tool.definition.get("outputSchema");
            assert_eq!(schema.is_some(), outcome.structured.is_some(), "{name}");
            if let (Some(schema), Some(structured)) = (schema, outcome.structured) {
                assert!(
                    jsonschema::is_valid(schema, &structured),
                    "{name}: {structured}"
                );
                assert_eq!(outcome.text, structured.to_string());
            }
        }
    }

    #[test]
    fn the_published_names_are_those_of_the_tools() {
        let tools = Tools::compile().unwrap();
        let names: Vec<_> = tools.0.iter().map(|tool| tool.name).collect();
        assert_eq!(names, TOOLS);
        for tool in &tools.0 {
            assert_eq!(tool.definition["name"], tool.name);
        }
    }
}
