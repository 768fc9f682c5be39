//! The JSON Schema of the configuration, generated from the raw twin: what editors complete from, what the file is
//! checked against, and what the reference in `docs/configuration.md` is written from.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::raw;

/// The JSON Schema (draft 2020-12) of the configuration file.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<raw::Config>().to_value();
    without_null(&mut schema);
    if let Some(top) = schema.as_object_mut() {
        top.insert("title".into(), "Sallygate configuration".into());
    }
    schema
}

/// The names of the top-level settings.
pub(in crate::config) fn sections(schema: &Value) -> Vec<&str> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .map(|properties| properties.keys().map(String::as_str).collect())
        .unwrap_or_default()
}

/// What a `$ref` points to, or the schema itself.
pub(in crate::config) fn resolve<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| root.pointer(reference.trim_start_matches('#')))
        .unwrap_or(schema)
}

/// Leaving a setting out is said by leaving it out: nothing may be null, though `Option` would allow it.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            unwrap_option(object);
            if object.get("default") == Some(&Value::Null) {
                object.remove("default");
            }
            object.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn unwrap_option(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    let Some(Value::Array(any)) = object.get_mut("anyOf") else {
        return;
    };
    any.retain(|one| one.get("type").and_then(Value::as_str) != Some("null"));
    if let [Value::Object(only)] = any.as_slice() {
        let only = only.clone();
        object.remove("anyOf");
        object.extend(only.into_iter().filter(|(key, _)| key != "description"));
    }
}
