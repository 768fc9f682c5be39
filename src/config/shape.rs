//! The file is checked against the schema: unknown settings, missing ones, wrong kinds of values, ranges. References to
//! the environment are replaced on the way, and scalars become what the schema says they are. Every mistake is noted and
//! the walk goes on, so one run finds them all.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use super::document::{Entry, Node, Value};
use super::environment::{Environment, expand};
use super::lint::{LITERAL_SECRET, Place, literal_secret, variable_name};
use super::mistake::{Mistake, Origin, Warning, nearest};
use super::scalars::{boolean, duration, integer, one_of, options, size};
use super::schema::resolve;

/// What the walk found.
#[derive(Default)]
pub(in crate::config) struct Shape {
    pub(in crate::config) value: Json,
    pub(in crate::config) places: BTreeMap<String, Origin>,
    pub(in crate::config) mistakes: Vec<Mistake>,
    pub(in crate::config) warnings: Vec<Warning>,
    /// The variables that the file refers to.
    pub(in crate::config) referred: BTreeSet<String>,
}

/// Walks the whole tree.
pub(in crate::config) fn check(root: &Node, schema: &Json, env: &Environment) -> Shape {
    let mut walk = Walk {
        schema,
        env,
        shape: Shape::default(),
    };
    let value = walk.node(root, schema, "");
    Shape {
        value: value.unwrap_or_default(),
        ..walk.shape
    }
}

struct Walk<'a> {
    schema: &'a Json,
    env: &'a Environment,
    shape: Shape,
}

/// A scalar of the file with what is needed to judge it.
struct Scalar<'n> {
    node: &'n Node,
    path: &'n str,
    written: &'n str,
    quoted: bool,
}

impl<'a> Walk<'a> {
    fn node(&mut self, node: &Node, schema: &'a Json, path: &str) -> Option<Json> {
        self.shape.places.insert(path.into(), node.origin.clone());
        let meant = resolve(self.schema, schema);
        let kind = meant.get("type").and_then(Json::as_str);
        match (&node.value, kind) {
            (Value::Table(entries), Some("object")) => self.table(node, entries, meant, path),
            (Value::List(items), Some("array")) => self.list(items, meant, path),
            (Value::Scalar { text, quoted }, _) if is_null(text, *quoted) => self.mistake(
                node,
                path,
                "has no value".into(),
                "write one, or remove the key".into(),
            ),
            (Value::Scalar { text, .. }, Some("array")) => self.split(node, text, meant, path),
            (Value::Scalar { text, quoted }, kind) if kind != Some("object") => {
                let scalar = Scalar {
                    node,
                    path,
                    written: text,
                    quoted: *quoted,
                };
                self.scalar(&scalar, schema, meant)
            }
            (value, _) => {
                let message = format!("must be {}, not {}", wanted(meant), found(value));
                self.mistake(node, path, message, example(meant, path))
            }
        }
    }

    fn mistake(&mut self, node: &Node, path: &str, message: String, help: String) -> Option<Json> {
        let mistake = Mistake::new(path, message).at(node.origin.clone());
        self.shape.mistakes.push(if help.is_empty() {
            mistake
        } else {
            mistake.help(help)
        });
        None
    }

    fn table(
        &mut self,
        node: &Node,
        entries: &[Entry],
        schema: &'a Json,
        path: &str,
    ) -> Option<Json> {
        let none = Map::new();
        let named = schema.get("properties").and_then(Json::as_object);
        let other = schema
            .get("additionalProperties")
            .filter(|other| other.is_object());
        let mut out = Map::new();
        for entry in entries {
            let here = join(path, &entry.key);
            match named.and_then(|named| named.get(&entry.key)).or(other) {
                Some(schema) => {
                    if let Some(value) = self.node(&entry.node, schema, &here) {
                        out.insert(entry.key.clone(), value);
                    }
                    if matches!(entry.node.origin, Origin::Line(_)) {
                        self.shape.places.insert(here, entry.origin.clone());
                    }
                }
                None => self.unknown(entry, here, named.unwrap_or(&none)),
            }
        }
        for name in required(schema) {
            if !entries.iter().any(|entry| entry.key == name) {
                let here = join(path, name);
                self.mistake(node, &here, "is missing".into(), String::new());
            }
        }
        if schema.get("x-ordered").is_none() {
            return Some(Json::Object(out));
        }
        let row = |entry: &Entry| {
            Some(Json::from(vec![
                entry.key.clone().into(),
                out.get(&entry.key)?.clone(),
            ]))
        };
        Some(entries.iter().filter_map(row).collect())
    }

    fn unknown(&mut self, entry: &Entry, path: String, known: &Map<String, Json>) {
        let mistake = Mistake::new(path, "unknown setting").at(entry.origin.clone());
        let help = match nearest(&entry.key, known.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "the settings here are {}",
                known
                    .keys()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        };
        self.shape.mistakes.push(mistake.help(help));
    }

    fn list(&mut self, items: &[Node], schema: &'a Json, path: &str) -> Option<Json> {
        let each = schema.get("items").unwrap_or(&Json::Null);
        let values = items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| self.node(item, each, &format!("{path}[{index}]")))
            .collect();
        Some(Json::Array(values))
    }

    /// A variable cannot hold a list, so one that stands for a list is split at commas.
    fn split(&mut self, node: &Node, text: &str, schema: &'a Json, path: &str) -> Option<Json> {
        let (text, origin) = match &node.origin {
            Origin::Line(_) => match self.expand(text) {
                Ok((expanded, true)) => (expanded, named(text)),
                Ok(_) => {
                    let help = example(schema, path);
                    let message = "must be a list, not a single value".to_owned();
                    return self.mistake(node, path, message, help);
                }
                Err(error) => return self.mistake(node, path, error, String::new()),
            },
            elsewhere => (text.to_owned(), elsewhere.clone()),
        };
        let items: Vec<Node> = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| Node::text(origin.clone(), item))
            .collect();
        self.list(&items, schema, path)
    }

    fn scalar(&mut self, scalar: &Scalar<'_>, schema: &Json, meant: &Json) -> Option<Json> {
        let mark = |name: &str| {
            schema
                .get(name)
                .or_else(|| meant.get(name))
                .and_then(Json::as_str)
        };
        let secret = mark("x-secret");
        let (text, free) = match self.text(scalar) {
            Ok(found) => found,
            Err(message) => {
                return self.mistake(scalar.node, scalar.path, message, String::new());
            }
        };
        if !free && matches!(scalar.node.origin, Origin::Line(_)) {
            self.lint(scalar, secret);
        }
        let loose = free || !scalar.quoted;
        let read = match (mark("x-kind"), options(meant)) {
            (Some("duration"), _) => duration(&text, schema),
            (Some(_), _) => size(&text, schema),
            (None, Some(options)) => one_of(&text, &options),
            (None, None) => match meant.get("type").and_then(Json::as_str) {
                Some("boolean") if loose => boolean(&text, free),
                Some("integer") if loose => integer(&text, schema),
                Some("string") | None => Ok(Json::String(text)),
                Some(_) => Err((
                    format!("must be {}, not a text", wanted(meant)),
                    "write it without quotes".into(),
                )),
            },
        };
        match read {
            Ok(value) => Some(value),
            Err((message, help)) => self.mistake(scalar.node, scalar.path, message, help),
        }
    }

    /// The text with references replaced, and whether it came from the environment.
    fn text(&mut self, scalar: &Scalar<'_>) -> Result<(String, bool), String> {
        match scalar.node.origin {
            Origin::Line(_) => self.expand(scalar.written),
            Origin::Default | Origin::Variable(_) | Origin::Option(_) => {
                Ok((scalar.written.to_owned(), true))
            }
        }
    }

    /// The text of the file with references replaced, and whether there were any.
    fn expand(&mut self, written: &str) -> Result<(String, bool), String> {
        let expanded = expand(written, self.env).map_err(|error| error.to_string())?;
        let replaced = !expanded.names.is_empty();
        let names = expanded.names.into_iter().map(str::to_owned);
        self.shape.referred.extend(names);
        Ok((expanded.text, replaced))
    }

    fn lint(&mut self, scalar: &Scalar<'_>, secret: Option<&str>) {
        let place = match secret {
            Some("always") => Place::Secret,
            Some(_) => Place::Maybe,
            None => Place::Open,
        };
        let key = scalar.path.rsplit('.').next().unwrap_or(scalar.path);
        if literal_secret(key, scalar.written, place) {
            let help = format!(
                "write ${{{}}} and set that variable, or use a file",
                variable_name(key)
            );
            self.shape.warnings.push(
                Mistake::new(scalar.path, LITERAL_SECRET)
                    .at(scalar.node.origin.clone())
                    .help(help),
            );
        }
    }
}

fn required(schema: &Json) -> impl Iterator<Item = &str> {
    schema
        .get("required")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
}

fn is_null(text: &str, quoted: bool) -> bool {
    !quoted && ["", "~", "null", "Null", "NULL"].contains(&text)
}

fn wanted(schema: &Json) -> &'static str {
    match schema.get("type").and_then(Json::as_str) {
        Some("object") => "a table of settings",
        Some("array") => "a list",
        Some("integer") => "a whole number",
        Some("boolean") => "true or false",
        _ => "a single value",
    }
}

const fn found(value: &Value) -> &'static str {
    match value {
        Value::Scalar { .. } => "a single value",
        Value::List(_) => "a list",
        Value::Table(_) => "a table",
    }
}

fn example(schema: &Json, path: &str) -> String {
    let key = path.rsplit('.').next().unwrap_or(path);
    match schema.get("type").and_then(Json::as_str) {
        Some("array") => format!("write `{key}: [one, two]`"),
        _ => String::new(),
    }
}

/// The variable that a text refers to.
fn named(text: &str) -> Origin {
    Origin::Variable(text.trim_matches(['$', '{', '}']).into())
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
