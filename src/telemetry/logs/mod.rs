//! Log lines: one line an event, as JSON or as text, on standard error. Every field is judged by its name and by its
//! value before it is written (R503 to R510), whoever logs it, and control characters cannot begin a line of their own.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Registry};

use crate::clock::Clock;
use crate::redact;

/// Lines are cut at this length, in bytes.
pub const MAX_LINE: usize = 16 * 1024;

/// The form of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line (R522).
    #[default]
    Json,
    /// For people.
    Text,
}

impl FromStr for Format {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            other => Err(LogError::UnknownFormat(other.to_owned())),
        }
    }
}

/// How the gateway logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The form of the lines.
    pub format: Format,
    /// Levels, as `info` or `info,sallygate::auth=debug`.
    pub filter: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: Format::Json,
            filter: "info".into(),
        }
    }
}

/// Logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The form is neither `json` nor `text`.
    #[error("`{0}` is no log format; use json or text")]
    UnknownFormat(String),
    /// The filter cannot be read.
    #[error("log filter `{filter}` cannot be read")]
    Filter {
        /// As it was written.
        filter: String,
        /// Why not.
        #[source]
        source: ParseError,
    },
    /// Something else in the process logs already.
    #[error("logging is already set up")]
    Occupied(#[source] TryInitError),
}

/// Sends everything that is logged in this process to standard error.
///
/// # Errors
/// [`LogError`] when the filter cannot be read or logging is already set up.
pub fn start(settings: &Settings, clock: Clock) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(&settings.filter).map_err(|source| LogError::Filter {
        filter: settings.filter.clone(),
        source,
    })?;
    Registry::default()
        .with(filter)
        .with(Lines::new(settings.format, clock, io::stderr()))
        .try_init()
        .map_err(LogError::Occupied)
}

/// A layer that writes redacted lines.
#[derive(Debug)]
pub struct Lines<W> {
    format: Format,
    clock: Clock,
    out: Mutex<W>,
}

impl<W: Write> Lines<W> {
    /// To any destination.
    pub const fn new(format: Format, clock: Clock, out: W) -> Self {
        Self {
            format,
            clock,
            out: Mutex::new(out),
        }
    }

    fn write(&self, mut line: String) {
        if line.len() > MAX_LINE {
            line = self.too_long(&line);
        }
        line.push('\n');
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // There is nowhere to report that reporting failed.
        let _ = out.write_all(line.as_bytes());
    }

    fn too_long(&self, line: &str) -> String {
        let kept = (0..=MAX_LINE / 2).rev().find_map(|end| line.get(..end));
        let mut fields = Fields::default();
        fields.0.insert("bytes".into(), line.len().into());
        fields
            .0
            .insert("beginning".into(), kept.unwrap_or_default().into());
        self.compose(
            "WARN",
            "sallygate::telemetry",
            "a log line was too long",
            &fields,
        )
    }

    fn compose(&self, level: &str, target: &str, message: &str, fields: &Fields) -> String {
        let at = self.clock.now().rfc3339_millis();
        match self.format {
            Format::Json => {
                let mut line = format!(
                    r#"{{"timestamp":"{at}","level":"{level}","target":{},"message":{}"#,
                    Value::from(target),
                    Value::from(message)
                );
                for (name, value) in &fields.0 {
                    let _ = write!(line, ",{}:{value}", Value::from(name.as_str()));
                }
                line.push('}');
                line
            }
            Format::Text => {
                let mut line = format!("{at} {level:>5} {target}: {}", escaped(message));
                for (name, value) in &fields.0 {
                    let _ = write!(line, " {name}={value}");
                }
                line
            }
        }
    }
}

/// Text without line breaks or anything else that steers a terminal.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c.is_control() {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
        out
    })
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    W: Write + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                for (name, value) in &of_span.0 {
                    fields
                        .0
                        .entry(name.clone())
                        .or_insert_with(|| value.clone());
                }
            }
        }
        event.record(&mut fields);
        let message = match fields.0.remove("message") {
            Some(Value::String(message)) => message,
            other => other.map(|value| value.to_string()).unwrap_or_default(),
        };
        let metadata = event.metadata();
        self.write(self.compose(
            metadata.level().as_str(),
            metadata.target(),
            &message,
            &fields,
        ));
    }
}

/// The fields of an event or span, redacted as they come in.
#[derive(Debug, Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        let value = match redact::is_sensitive(field.name()) {
            true => redact::REDACTED.into(),
            false => value,
        };
        // A field must not pass for one of the line's own.
        let name = match field.name() {
            name @ ("timestamp" | "level" | "target") => format!("field_{name}"),
            name => name.to_owned(),
        };
        self.0.insert(name, value);
    }

    fn put_text(&mut self, field: &Field, text: &str) {
        let clean = redact::field(field.name(), text);
        // JSON escapes C0 alone; C1 and DEL steer terminals too.
        let is_steering = |c: char| matches!(c, '\u{7f}'..='\u{9f}');
        let value = clean.replace(is_steering, "\u{fffd}");
        self.put(field, Value::String(value));
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.put_text(field, &text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests;
