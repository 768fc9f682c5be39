//! The modern era, 2026-07-28: every request stands alone, says in `_meta` what it speaks, and mirrors in headers what
//! intermediaries want to see without reading the body; we hold it to that (MCP 2026-07-28, transports).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderMap;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::http::{self, Body};
use super::offer::{self, Called};
use super::rpc::{
    Era, Fault, Incoming, LEGACY_REVISIONS, META_REVISION, MODERN_REVISION, Members, Request, meta,
    notification, success,
};
use super::sessions::MAX_SUBSCRIPTIONS;
use super::stream::{self, Disconnect};
use super::{Sample, resources};

const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const META_SERVER: &str = "io.modelcontextprotocol/serverInfo";
const META_SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// Revisions that never carried `_meta` versions; their requests belong to the legacy era.
const OLDER_REVISIONS: [&str; 2] = ["2025-03-26", "2024-11-05"];

/// Does this message speak the modern era, or one that we do not know?
pub(super) fn is_spoken(headers: &HeaderMap, message: &Incoming) -> bool {
    let header = headers.get(http::REVISION).map(|value| value.as_bytes());
    let is_legacy = header.is_none_or(|header| {
        let mut known = LEGACY_REVISIONS.iter().chain(&OLDER_REVISIONS);
        known.any(|revision| revision.as_bytes() == header)
    });
    let in_body = message
        .meta()
        .is_some_and(|meta| meta.contains_key(META_REVISION));
    in_body || !is_legacy
}

/// Answers a POST.
pub(super) fn post(sample: &Arc<Sample>, headers: &HeaderMap, message: Incoming) -> Response<Body> {
    let request = match message {
        Incoming::Request(request) => request,
        // The core defines none, and says nothing about their headers.
        Incoming::Notification { .. } => return http::empty(StatusCode::ACCEPTED),
        Incoming::Response => {
            let fault = Fault::InvalidRequest("no request of ours waits for an answer");
            return http::json(StatusCode::BAD_REQUEST, &fault.answer(None, Era::Modern));
        }
    };
    if let Err(fault) = check(sample, headers, &request) {
        let status = match fault {
            Fault::UnknownMethod(_) => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        return http::json(status, &fault.answer(Some(&request.id), Era::Modern));
    }
    answer(sample, request)
}

fn answer(sample: &Arc<Sample>, request: Request) -> Response<Body> {
    let Request { id, method, params } = request;
    let result = match method.as_str() {
        "server/discover" => Ok(discover()),
        "subscriptions/listen" => return listen(sample, id, &params),
        "tools/call" => return call(sample, id, params),
        method => offer::answer(sample, method, params),
    };
    conclude(&id, result.map(|result| cacheable(&method, result)))
}

fn discover() -> Members {
    let mut result = Members::new();
    result.insert("supportedVersions".into(), json!([MODERN_REVISION]));
    result.insert("capabilities".into(), offer::capabilities());
    result.insert("instructions".into(), offer::INSTRUCTIONS.into());
    result
}

fn call(sample: &Sample, id: Value, params: Members) -> Response<Body> {
    let plan = match offer::call(sample, params) {
        Ok(Called::Counting(plan)) => plan,
        Ok(Called::Over(result)) => return conclude(&id, Ok(result)),
        Err(fault) => return conclude(&id, Err(fault)),
    };
    match sample.running.begin_modern() {
        Ok(place) => {
            let finish = move |result| success(&id, complete(result));
            let body = stream::count(sample, plan, place, Disconnect::Cancels, finish);
            http::event_stream(body)
        }
        Err(fault) => conclude(&id, Err(fault)),
    }
}

/// `subscriptions/listen`: acknowledges what is granted, tells of changes, and closes with a result when we stop.
fn listen(sample: &Arc<Sample>, id: Value, params: &Members) -> Response<Body> {
    let Some(asked) = params.get("notifications").and_then(Value::as_object) else {
        let fault = Fault::InvalidParams("`notifications` has to be an object".into());
        return conclude(&id, Err(fault));
    };
    let granted = grant(sample, asked);
    let (events, body) = stream::open(sample.settings.keep_alive);
    let changes = sample.changes.subscribe();
    let sample = sample.clone();
    tokio::spawn(async move {
        let about = json!({META_SUBSCRIPTION: id});
        let mut acknowledged = json!({"notifications": {}, "_meta": about});
        if let (false, Some(notifications)) =
            (granted.is_empty(), acknowledged.get_mut("notifications"))
        {
            *notifications = json!({"resourceSubscriptions": granted});
        }
        let first = notification("notifications/subscriptions/acknowledged", acknowledged);
        let _ = events.send(first).await;
        let update = |uri: &str| {
            let params = json!({"uri": uri, "_meta": about});
            let granted = granted.iter().any(|granted| granted == uri);
            granted.then(|| notification("notifications/resources/updated", params))
        };
        let forever = std::future::pending();
        if stream::relay_changes(&sample, changes, &events, update, forever).await {
            let mut result = Members::new();
            result.insert("_meta".into(), about);
            let _ = events.send(success(&id, complete(result))).await;
        }
    });
    http::event_stream(body)
}

/// The subset of the wishes that can ever be fulfilled: our lists never change.
fn grant(sample: &Sample, asked: &Members) -> Vec<String> {
    let uris = asked.get("resourceSubscriptions").and_then(Value::as_array);
    uris.into_iter()
        .flatten()
        .take(MAX_SUBSCRIPTIONS)
        .filter_map(Value::as_str)
        .filter(|uri| resources::exists(sample, uri))
        .map(String::from)
        .collect()
}

/// Adds the cache hints that lists, `server/discover` and `resources/read` owe. They say `public`, truly: this server
/// gives everybody the same. A gateway that filters them has to say `private`.
fn cacheable(method: &str, mut result: Members) -> Members {
    let fresh_millis = match method {
        "prompts/get" => return result,
        "resources/read" => 0,
        _ => 60_000,
    };
    result.insert("ttlMs".into(), fresh_millis.into());
    result.insert("cacheScope".into(), "public".into());
    result
}

/// What every result owes: its type and who answers.
fn complete(mut result: Members) -> Members {
    result.insert("resultType".into(), "complete".into());
    let meta = result.entry("_meta").or_insert_with(|| json!({}));
    if let Some(meta) = meta.as_object_mut() {
        meta.insert(META_SERVER.into(), offer::server_info());
    }
    result
}

fn conclude(id: &Value, result: Result<Members, Fault>) -> Response<Body> {
    let answer = match result {
        Ok(result) => success(id, complete(result)),
        Err(fault) => fault.answer(Some(id), Era::Modern),
    };
    http::json(StatusCode::OK, &answer)
}

fn check(sample: &Sample, headers: &HeaderMap, request: &Request) -> Result<(), Fault> {
    check_revision(headers, &request.params)?;
    agree(headers, "mcp-method", &request.method)?;
    match request.method.as_str() {
        "prompts/get" => check_name(headers, &request.params, "name"),
        "resources/read" => check_name(headers, &request.params, "uri"),
        "tools/call" => {
            check_name(headers, &request.params, "name")?;
            check_arguments(sample, headers, &request.params)
        }
        "server/discover"
        | "subscriptions/listen"
        | "tools/list"
        | "prompts/list"
        | "resources/list"
        | "resources/templates/list" => Ok(()),
        unknown => Err(Fault::UnknownMethod(unknown.to_owned())),
    }
}

fn check_revision(headers: &HeaderMap, params: &Members) -> Result<(), Fault> {
    let header = http::single(headers, http::REVISION)?;
    let meta = meta(params);
    let body = meta.and_then(|meta| meta.get(META_REVISION)?.as_str());
    match (header, body) {
        (Some(header), Some(body)) if header != body => Err(mismatch(http::REVISION)),
        (Some(unknown), _) if unknown != MODERN_REVISION => {
            Err(Fault::UnsupportedRevision(unknown.to_owned()))
        }
        (_, None) => Err(Fault::InvalidParams(format!(
            "`_meta` lacks `{META_REVISION}`"
        ))),
        (None, _) => Err(mismatch(http::REVISION)),
        (Some(_), Some(_)) => match meta.and_then(|meta| meta.get(META_CAPABILITIES)) {
            Some(Value::Object(_)) => Ok(()),
            _ => Err(Fault::InvalidParams(format!(
                "`_meta` lacks `{META_CAPABILITIES}`"
            ))),
        },
    }
}

fn check_name(headers: &HeaderMap, params: &Members, member: &str) -> Result<(), Fault> {
    match params.get(member).and_then(Value::as_str) {
        Some(name) => agree(headers, "mcp-name", name),
        None => Err(Fault::InvalidParams(format!(
            "`{member}` has to be a string"
        ))),
    }
}

/// Arguments that the tool's schema marks with `x-mcp-header`: in the header exactly when they are in the body.
fn check_arguments(sample: &Sample, headers: &HeaderMap, params: &Members) -> Result<(), Fault> {
    let Some(name) = params.get("name").and_then(Value::as_str) else {
        return Ok(());
    };
    let tool = sample.tools.find(name);
    // An unknown tool mirrors nothing, and is answered as one later.
    let Ok(tool) = tool else { return Ok(()) };
    let arguments = params.get("arguments");
    for (property, header) in tool.mirrored() {
        let header = format!("mcp-param-{}", header.to_ascii_lowercase());
        match arguments.and_then(|arguments| arguments.get(property)) {
            None | Some(Value::Null) => {
                if headers.contains_key(&header) {
                    return Err(mismatch(&header));
                }
            }
            Some(Value::String(text)) => agree(headers, &header, text)?,
            Some(Value::Bool(flag)) => agree(headers, &header, &flag.to_string())?,
            Some(Value::Number(number)) => agree_on_number(headers, &header, number)?,
            // Not a primitive: the schema will object.
            Some(Value::Array(_) | Value::Object(_)) => {}
        }
    }
    Ok(())
}

fn agree(headers: &HeaderMap, name: &str, body: &str) -> Result<(), Fault> {
    match decoded(headers, name)? {
        Some(value) if value == body => Ok(()),
        _ => Err(mismatch(name)),
    }
}

fn agree_on_number(
    headers: &HeaderMap,
    name: &str,
    body: &serde_json::Number,
) -> Result<(), Fault> {
    let value = decoded(headers, name)?.and_then(|value| value.parse::<f64>().ok());
    if value.is_some() && value == body.as_f64() {
        return Ok(());
    }
    Err(mismatch(name))
}

/// A mirrored header as text: as it stands, or out of `=?base64?...?=`.
fn decoded(headers: &HeaderMap, name: &str) -> Result<Option<String>, Fault> {
    let Some(value) = http::single(headers, name)? else {
        return Ok(None);
    };
    let wrapped = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    let Some(wrapped) = wrapped else {
        return Ok(Some(value.to_owned()));
    };
    let bytes = STANDARD.decode(wrapped).map_err(|_| mismatch(name))?;
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| mismatch(name))
}

fn mismatch(name: &str) -> Fault {
    Fault::HeaderMismatch(format!("{name} is missing or differs from the body"))
}
