//! Whether the headers tell the truth about the body. In the modern era the method, the name and marked arguments travel
//! twice, so that intermediaries may route on headers; whoever reads the body must then refuse a request whose headers
//! say something else (MCP 2026-07-28, transport; SEP-2243). Nothing is ever decided on such a header here.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::status::StatusCode;

use super::catalogue::{Mirror, ToolHeaders};
use super::era::{Era, trimmed};
use super::json::{Rules, check};
use super::message::{Kind, Message, Operation};
use super::view::{Json, JsonKind};

/// Repeats `method`.
pub const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// Repeats `params.name`, `params.uri` or `params.taskId`.
pub const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// Proof that no header of a request contradicts its body.
#[derive(Debug, PartialEq, Eq)]
pub struct Agreed(());

/// A header that contradicts the body. Answered with 400 and -32020 in both eras.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// A header that must be there is not.
    #[error("header `{header}` is missing")]
    Missing {
        /// Which one.
        header: HeaderName,
    },
    /// A header that must be one stands more than once.
    #[error("header `{header}` is repeated")]
    Repeated {
        /// Which one.
        header: HeaderName,
    },
    /// A value that is not visible ASCII, or badly encoded.
    #[error("header `{header}` is malformed")]
    Malformed {
        /// Which one.
        header: HeaderName,
    },
    /// The body says otherwise, or nothing.
    #[error("header `{header}` does not match the body")]
    Differs {
        /// Which one.
        header: HeaderName,
    },
}

impl Disagreement {
    /// The HTTP status.
    pub const fn status(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }

    /// The JSON-RPC error code, `HeaderMismatch`.
    pub const fn code(&self) -> i64 {
        -32020
    }

    /// The header in question.
    pub const fn header(&self) -> &HeaderName {
        match self {
            Self::Missing { header }
            | Self::Repeated { header }
            | Self::Malformed { header }
            | Self::Differs { header } => header,
        }
    }
}

/// Compares the mirrored headers with the body. Legacy requests need none of them, but one that lies has no honest sender
/// and may mislead whoever routes on it behind us.
///
/// # Errors
/// [`Disagreement`] for the first header that is missing where it must be, malformed, repeated or untrue.
pub fn agree(
    headers: &HeaderMap,
    message: &Message,
    era: Era,
    tools: &ToolHeaders,
) -> Result<Agreed, Disagreement> {
    if !era.is_modern() {
        return truthful(headers, message);
    }
    match (one(headers, &METHOD)?, message.method()) {
        (Some(value), method) if method.is_none_or(|m| plain(&METHOD, value) != Ok(m)) => {
            return Err(Disagreement::Differs { header: METHOD });
        }
        (None, Some(_)) if message.kind() == Kind::Request => {
            return Err(Disagreement::Missing { header: METHOD });
        }
        _ => {}
    }
    if let Some(name) = mirrored_name(message) {
        match one(headers, &NAME)? {
            Some(value) if decoded(&NAME, value)? == name => {}
            Some(_) => return Err(Disagreement::Differs { header: NAME }),
            None if message.kind() == Kind::Request => {
                return Err(Disagreement::Missing { header: NAME });
            }
            None => {}
        }
    }
    if let Operation::CallTool { name, arguments } = message.operation()
        && let Some(mirrors) = tools.of(name)
    {
        arguments_agree(headers, arguments, &mirrors)?;
    }
    Ok(Agreed(()))
}

/// What `Mcp-Name` repeats for this message, if anything.
fn mirrored_name(message: &Message) -> Option<&str> {
    match message.operation() {
        Operation::CallTool { name, .. } | Operation::GetPrompt { name, .. } => Some(name),
        Operation::ReadResource { uri } => Some(uri),
        Operation::Task {
            method: "tasks/get" | "tasks/update" | "tasks/cancel",
            task_id,
        } => task_id,
        Operation::Subscribe { .. }
        | Operation::Unsubscribe { .. }
        | Operation::Complete { .. }
        | Operation::ListTools
        | Operation::ListPrompts
        | Operation::ListResources
        | Operation::ListTemplates
        | Operation::Initialize
        | Operation::Discover
        | Operation::Listen { .. }
        | Operation::Task { .. }
        | Operation::Other { .. }
        | Operation::Response => None,
    }
}

/// The legacy era: what is there must be true, in the plain or the encoded spelling.
fn truthful(headers: &HeaderMap, message: &Message) -> Result<Agreed, Disagreement> {
    for value in headers.get_all(METHOD) {
        if message.method().is_none_or(|m| trimmed(value) != Some(m)) {
            return Err(Disagreement::Differs { header: METHOD });
        }
    }
    if let Some(name) = mirrored_name(message) {
        for value in headers.get_all(NAME) {
            if trimmed(value) != Some(name) && decoded(&NAME, value)? != name {
                return Err(Disagreement::Differs { header: NAME });
            }
        }
    }
    Ok(Agreed(()))
}

fn arguments_agree(
    headers: &HeaderMap,
    arguments: Option<&str>,
    mirrors: &[Mirror],
) -> Result<(), Disagreement> {
    let arguments = arguments.and_then(|raw| check(raw.as_bytes(), Rules::REQUEST).ok());
    for mirror in mirrors {
        let header = &mirror.header;
        let argument = arguments
            .and_then(|arguments| at(arguments, &mirror.path))
            .filter(|argument| !argument.is_null());
        match (one(headers, header)?, argument) {
            (None, None) => {}
            (Some(value), Some(argument)) if same(&decoded(header, value)?, argument) => {}
            (Some(_), _) => {
                let header = header.clone();
                return Err(Disagreement::Differs { header });
            }
            (None, Some(_)) => {
                let header = header.clone();
                return Err(Disagreement::Missing { header });
            }
        }
    }
    Ok(())
}

fn at<'a>(arguments: Json<'a>, path: &[Box<str>]) -> Option<Json<'a>> {
    path.iter()
        .try_fold(arguments, |inside, name| inside.member(name))
}

/// Strings and booleans by their text, numbers by their value.
fn same(value: &str, argument: Json<'_>) -> bool {
    match argument.kind() {
        JsonKind::String => argument.text().as_deref() == Some(value),
        JsonKind::Boolean => argument.raw() == value,
        JsonKind::Number => same_number(value, argument.raw()),
        JsonKind::Object | JsonKind::Array | JsonKind::Null => false,
    }
}

/// Whole numbers exactly; other spellings of them, such as `3.0`, by the value that a double holds.
fn same_number(value: &str, argument: &str) -> bool {
    if let (Ok(value), Ok(argument)) = (value.parse::<i128>(), argument.parse::<i128>()) {
        return value == argument;
    }
    let is_number = check(value.as_bytes(), Rules::REQUEST)
        .is_ok_and(|json| json.kind() == JsonKind::Number && json.raw() == value);
    match (value.parse::<f64>(), argument.parse::<f64>()) {
        (Ok(value), Ok(argument)) => {
            is_number && value.to_bits() == argument.to_bits() && value.abs() <= SAFE
        }
        _ => false,
    }
}

/// Up to here a double holds every whole number, so that equal doubles mean equal numbers.
const SAFE: f64 = 9_007_199_254_740_991.0;

/// The only value of a header, if it is there.
fn one<'h>(
    headers: &'h HeaderMap,
    header: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Disagreement> {
    let mut values = headers.get_all(header).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Disagreement::Repeated {
            header: header.clone(),
        }),
    }
}

fn plain<'h>(header: &HeaderName, value: &'h HeaderValue) -> Result<&'h str, Disagreement> {
    trimmed(value).ok_or_else(|| Disagreement::Malformed {
        header: header.clone(),
    })
}

/// The meaning of a value: itself, or the UTF-8 text inside `=?base64?...?=`. Without either mark it is a literal.
fn decoded<'h>(header: &HeaderName, value: &'h HeaderValue) -> Result<Cow<'h, str>, Disagreement> {
    let value = plain(header, value)?;
    let encoded = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    let Some(encoded) = encoded else {
        return Ok(Cow::Borrowed(value));
    };
    STANDARD
        .decode(encoded)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(Cow::Owned)
        .ok_or_else(|| Disagreement::Malformed {
            header: header.clone(),
        })
}

#[cfg(test)]
#[path = "agreement_tests.rs"]
mod tests;
