//! The reference of all settings, written from the schema, so that it cannot say anything else than the program does.

use std::fmt::Write;

use serde_json::Value;

use super::overrides::{CLICKUP, SHARED, SIGNING};
use super::scalars::{options, range};
use super::schema::{resolve, schema};

const INTRODUCTION: &str = "\
# Configuration

Sallygate reads one YAML file. `sallygate init` writes one to start from, `sallygate check` finds every mistake in it,
`sallygate config show` prints what is in force, and `sallygate config schema` prints the JSON Schema for editors.
This page is written from that schema by a test (`UPDATE_DOCS=1 cargo test`).

- `${NAME}` inside a value stands for an environment variable. One that is unset or empty is a mistake. `$${` stands for
  the characters `${`.
- Every secret has a twin that ends in `_file`: the name of a file that holds it.
- Keys are at least 32 random bytes. 64 or more hex digits are read as hex, base64 of exactly 32 bytes as base64; any other
  text stands for its own bytes. No key may serve two purposes.
- Unknown settings are mistakes, and so is a setting without a value: leave out what should keep its default.
- Durations are written `250ms`, `30s`, `5m`, `24h`, `90d`; sizes `512KiB`, `1MiB`. A bare number means seconds or bytes.
- Relative file names start at the folder of the configuration file.
- Repeated keys, anchors, aliases, merge keys, tags and several documents are refused.

## Environment variables

`SALLYGATE_` and the setting's path, in capitals and with two underscores between levels, override the file:
`SALLYGATE_LISTEN__ADDRESS`, `SALLYGATE_ROUTES__0__UPSTREAM__URL`. Lists are parted by commas. A name with one level that is
no setting is ignored with a warning.

These shared names are read as well; a `SALLYGATE_` name wins over them.

| variable | setting |
| --- | --- |
";

const BUNDLES: &str = "
`SSL_CERT_FILE` and `SSL_CERT_DIR` name a bundle of certificate authorities that stands in for the system's; if none can be
read there, the gateway does not start.
";

/// The reference as Markdown.
pub fn reference() -> String {
    let schema = schema();
    let mut page = INTRODUCTION.to_owned();
    for (name, path) in SHARED {
        let _ = writeln!(page, "| `{name}` | `{path}` |");
    }
    let _ = writeln!(page, "| `ALLOWED_ORIGINS` | `cors.allowed_origins` |");
    for name in SIGNING {
        let _ = writeln!(
            page,
            "| `{name}`, `{name}_FILE` | put in front of `auth.keys` |"
        );
    }
    let [id, secret] = CLICKUP;
    let _ = writeln!(
        page,
        "| `{id}`, `{secret}` | ClickUp among `login.providers` |"
    );
    page.push_str(BUNDLES);
    page.push_str("\n## Settings\n");
    let mut writer = Writer {
        schema: &schema,
        page,
    };
    writer.section("", &schema);
    writer.page
}

struct Writer<'s> {
    schema: &'s Value,
    page: String,
}

impl<'s> Writer<'s> {
    /// A table of the settings of one level, then the levels below.
    fn section(&mut self, path: &str, schema: &'s Value) {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return;
        };
        if !path.is_empty() {
            let _ = write!(self.page, "\n### `{path}`\n\n{}\n", words(schema));
        }
        self.page
            .push_str("\n| setting | value | default | |\n| --- | --- | --- | --- |\n");
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let mut below = Vec::new();
        for (name, property) in properties {
            let kind = self.kind(property);
            let default = if required.contains(&name.as_str()) {
                "required".to_owned()
            } else {
                default(property)
            };
            let text = words(property);
            let _ = writeln!(self.page, "| `{name}` | {kind} | {default} | {text} |");
            let here = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            below.extend(self.below(here, property));
        }
        for (path, schema) in below {
            self.section(&path, schema);
        }
    }

    /// The level that a setting opens, with the path under which its settings are written.
    fn below(&self, path: String, property: &'s Value) -> Option<(String, &'s Value)> {
        let schema = resolve(self.schema, property);
        if let Some(items) = schema.get("items") {
            return self.below(format!("{path}[]"), items);
        }
        if let Some(values) = schema
            .get("additionalProperties")
            .filter(|values| values.is_object())
        {
            return self.below(format!("{path}.<name>"), values);
        }
        schema.get("properties").map(|_| (path, schema))
    }

    fn kind(&self, property: &Value) -> String {
        let schema = resolve(self.schema, property);
        let bound = |name| property.get(name).and_then(Value::as_str);
        let within = match (bound("x-min"), bound("x-max")) {
            (Some(min), Some(max)) => format!(", {min} to {max}"),
            _ => String::new(),
        };
        if let Some(kind) = schema.get("x-kind").and_then(Value::as_str) {
            return format!("{kind}{within}");
        }
        if let Some(options) = options(schema) {
            return options
                .iter()
                .map(|one| format!("`{one}`"))
                .collect::<Vec<_>>()
                .join(", ");
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("array") => {
                let items = schema
                    .get("items")
                    .map(|items| self.kind(items))
                    .unwrap_or_default();
                format!("list of {items}")
            }
            Some("object") => match schema
                .get("additionalProperties")
                .filter(|values| values.is_object())
            {
                Some(values) => format!("{} by name", self.kind(values)),
                None => "settings".to_owned(),
            },
            Some("integer") => {
                let (min, max) = range(property);
                format!("number, {min} to {max}")
            }
            Some("boolean") => "`true`, `false`".to_owned(),
            _ if schema.get("x-secret").and_then(Value::as_str) == Some("always") => {
                "secret".to_owned()
            }
            _ => "text".to_owned(),
        }
    }
}

fn words(schema: &Value) -> String {
    let text = schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn default(property: &Value) -> String {
    match property.get("default") {
        Some(Value::String(text)) => format!("`{text}`"),
        Some(Value::Array(items)) if !items.is_empty() => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            format!("`[{}]`", items.join(", "))
        }
        Some(value @ (Value::Bool(_) | Value::Number(_))) => format!("`{value}`"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_configuration_md_says_what_the_schema_says() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        let fresh = reference();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(file, &fresh).unwrap();
        }
        let kept = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            kept == fresh,
            "docs/configuration.md is stale: run `UPDATE_DOCS=1 cargo test`"
        );
    }
}
