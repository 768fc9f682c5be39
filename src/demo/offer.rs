//! What the server offers in either era: the lists, the prompts and resources, and the tool calls. The eras wrap these
//! results each in their own way.

use std::time::Duration;

use serde_json::{Value, json};

use super::catalogue::{Kind, MAX_DELAY_MS};
use super::rpc::{Fault, Members, meta, optional_object, required};
use super::{Sample, prompts, resources};

/// What the server calls itself.
pub(super) fn server_info() -> Value {
    json!({"name": "sallygate-sample", "title": "Sallygate sample server", "version": env!("CARGO_PKG_VERSION")})
}

/// What the server can do; the same in both eras. Lists never change, so no change is promised.
pub(super) fn capabilities() -> Value {
    json!({"tools": {}, "prompts": {}, "resources": {"subscribe": true}})
}

/// How to use it, in a sentence.
pub(super) const INSTRUCTIONS: &str = "A sample server with a few notes. Nothing in it is real.";

/// Answers the requests that both eras share, apart from tool calls.
pub(super) fn answer(sample: &Sample, method: &str, mut params: Members) -> Result<Members, Fault> {
    match method {
        "tools/list" => page(sample, "tools", sample.tools.definitions(), &params),
        "prompts/list" => page(sample, "prompts", prompts::definitions(), &params),
        "resources/list" => page(sample, "resources", resources::definitions(), &params),
        "resources/templates/list" => {
            page(sample, "resourceTemplates", resources::templates(), &params)
        }
        "prompts/get" => {
            let arguments = optional_object(&mut params, "arguments")?;
            prompts::find(sample, required(&params, "name")?, &arguments)
        }
        "resources/read" => resources::read(sample, required(&params, "uri")?),
        _ => Err(Fault::UnknownMethod(method.to_owned())),
    }
}

/// A tool call, begun.
pub(super) enum Called {
    /// It is over; this is its result.
    Over(Members),
    /// It goes on for a while.
    Counting(Count),
}

/// A slow count to come.
pub(super) struct Count {
    pub(super) to: u64,
    pub(super) delay: Duration,
    /// By what the caller wants to recognise progress, if at all.
    pub(super) token: Option<Value>,
}

/// Begins a `tools/call`.
pub(super) fn call(sample: &Sample, mut params: Members) -> Result<Called, Fault> {
    let arguments = optional_object(&mut params, "arguments")?;
    let tool = sample.tools.find(required(&params, "name")?)?;
    if let Some(objection) = tool.objection(&arguments) {
        return Ok(Called::Over(objection.into_result()));
    }
    if tool.kind != Kind::CountSlowly {
        return Ok(Called::Over(tool.run(sample, &arguments).into_result()));
    }
    let number = |name| arguments.get(name).and_then(Value::as_u64);
    let delay = number("delay_ms").unwrap_or(200).min(MAX_DELAY_MS);
    Ok(Called::Counting(Count {
        to: number("to").unwrap_or(1),
        delay: Duration::from_millis(delay),
        token: meta(&params).and_then(|meta| meta.get("progressToken").cloned()),
    }))
}

/// One page of a list. A cursor is the place where the page begins, opaque to callers; one that we cannot have handed
/// out is refused.
fn page(sample: &Sample, name: &str, all: Vec<Value>, params: &Members) -> Result<Members, Fault> {
    let size = sample.settings.page_size.max(1);
    let start = match params.get("cursor") {
        None => 0,
        Some(cursor) => cursor
            .as_str()
            .and_then(|cursor| cursor.strip_prefix("from-")?.parse().ok())
            .filter(|start| *start > 0 && *start < all.len())
            .ok_or_else(|| Fault::InvalidParams("unknown cursor".into()))?,
    };
    let mut result = Members::new();
    let next = start.saturating_add(size);
    if next < all.len() {
        result.insert("nextCursor".into(), format!("from-{next}").into());
    }
    let items = all.into_iter().skip(start).take(size).collect();
    result.insert(name.into(), Value::Array(items));
    Ok(result)
}
