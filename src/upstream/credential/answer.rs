//! What a token endpoint answered, read with suspicion: only a JSON object with a bearer token counts, and a life that was
//! not stated is never guessed to be long.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::error::EndpointError;
use super::form::is_token;
use crate::fetch::Answered;
use crate::secret::Secret;

/// The longest that a token is kept, whatever its answer says.
pub(super) const LIFE_MAX: Duration = Duration::from_secs(3600);
/// How long a token is kept whose answer says nothing about its life.
pub(super) const LIFE_UNSTATED: Duration = Duration::from_secs(300);
/// Tokens are renewed so long before their end, or in the last tenth of their life (C06).
const MARGIN_MAX: Duration = Duration::from_secs(300);
/// The longest token in bytes: two of them and the rest still fit into a request head.
pub(super) const TOKEN_MAX_BYTES: usize = 16 * 1024;

/// How long before its end a token is renewed.
pub(super) fn margin(life: Duration) -> Duration {
    MARGIN_MAX.min(life / 10)
}

/// A token as it was issued.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) token: Secret<String>,
    pub(super) refresh_token: Option<Secret<String>>,
    /// The stated life; zero where something was stated that is no life.
    pub(super) lasts: Option<Duration>,
}

impl Issued {
    /// For how long it may be kept: until it should be renewed, and until it must not be used.
    pub(super) fn kept(&self) -> (Duration, Duration) {
        let life = self.lasts.unwrap_or(LIFE_UNSTATED).min(LIFE_MAX);
        (life.saturating_sub(margin(life)), life)
    }
}

#[derive(Deserialize)]
struct Raw {
    access_token: Hidden,
    token_type: Option<String>,
    expires_in: Option<Value>,
    refresh_token: Option<Hidden>,
    issued_token_type: Option<String>,
}

/// A text that is wiped when it is dropped, also where reading fails halfway.
struct Hidden(Secret<String>);

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Secret::new).map(Self)
    }
}

/// Types of issued tokens that can be sent as a bearer token (RFC 8693 section 3).
const SENDABLE: [&str; 2] = [
    "urn:ietf:params:oauth:token-type:access_token",
    "urn:ietf:params:oauth:token-type:jwt",
];

/// Reads an answer.
///
/// # Errors
/// [`EndpointError`] when it holds no token that can be sent.
pub(super) fn read(answer: &Answered) -> Result<Issued, EndpointError> {
    let unreadable = |why| Err(EndpointError::Unreadable(why));
    if answer.status != StatusCode::OK {
        return Err(denied(answer));
    }
    if !is_json(&answer.headers) {
        return unreadable("it is no JSON");
    }
    let Ok(raw) = serde_json::from_slice::<Raw>(&answer.body) else {
        return unreadable("it has no access_token");
    };
    if raw
        .token_type
        .is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer"))
    {
        return unreadable("its token_type is not Bearer");
    }
    if raw
        .issued_token_type
        .is_some_and(|kind| !SENDABLE.contains(&kind.as_str()))
    {
        return unreadable("its issued_token_type is no access token");
    }
    let Hidden(token) = raw.access_token;
    if !is_token(token.expose()) || token.expose().len() > TOKEN_MAX_BYTES {
        return unreadable("its access_token cannot be sent");
    }
    let refresh_token = raw.refresh_token.map(|Hidden(token)| token);
    if refresh_token
        .as_ref()
        .is_some_and(|token| token.expose().len() > TOKEN_MAX_BYTES)
    {
        return unreadable("its refresh_token is too long");
    }
    Ok(Issued {
        token,
        refresh_token: refresh_token.filter(|token| !token.expose().is_empty()),
        lasts: raw.expires_in.as_ref().and_then(lasts),
    })
}

/// Whole seconds, as a number or in quotes. What is neither, or not positive, is no life at all.
fn lasts(stated: &Value) -> Option<Duration> {
    let seconds = match stated {
        Value::Null => return None,
        Value::Number(number) => number
            .as_u64()
            .or_else(|| number.as_f64().filter(|n| *n >= 1.0).map(|_| 1)),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    const YEAR: u64 = 366 * 86_400;
    Some(Duration::from_secs(seconds.unwrap_or(0).min(YEAR)))
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

/// The error codes that are repeated; everything else might hold anything.
const WORDS: [&str; 8] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
    "temporarily_unavailable",
];

fn denied(answer: &Answered) -> EndpointError {
    #[derive(Deserialize)]
    struct Error {
        error: String,
    }
    let said = serde_json::from_slice::<Error>(&answer.body).ok();
    let word = said.and_then(|said| WORDS.into_iter().find(|word| *word == said.error));
    EndpointError::Denied {
        status: answer.status.as_u16(),
        word: word.unwrap_or("without a known error code"),
    }
}
