//! What a token endpoint answers, good or bad, read strictly: what could not stand in a header is no token, and a lifetime
//! that is not named stays unnamed (C26).

use std::time::Duration;

use oauth2::basic::{BasicErrorResponse, BasicErrorResponseType, BasicTokenType};
use oauth2::{AccessToken, RefreshToken, RequestTokenError, Scope, TokenResponse};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::exchange::ExchangeError;
use crate::clock::Timestamp;
use crate::fetch::{Address, FetchError};
use crate::secret::Secret;

/// What a provider gave for a code.
#[derive(Clone, Debug)]
pub struct ProviderTokens {
    /// Its access token.
    pub access_token: Secret<String>,
    /// Its refresh token, if it gave one.
    pub refresh_token: Option<Secret<String>>,
    /// The moment from which the access token is no longer valid; none where the provider does not say (C26).
    pub expires_at: Option<Timestamp>,
}

/// Tokens, and the provider's statement about the user.
pub(super) struct Granted {
    pub(super) tokens: ProviderTokens,
    pub(super) id_token: Option<Secret<String>>,
}

/// What a token endpoint answers. The library's own type insists on a `token_type`, which ClickUp leaves out.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Answer {
    access_token: AccessToken,
    #[serde(skip, default = "bearer")]
    kind: BasicTokenType,
    #[serde(default)]
    token_type: Option<String>,
    #[serde(default, deserialize_with = "lifetime")]
    expires_in: Option<Duration>,
    #[serde(default)]
    refresh_token: Option<RefreshToken>,
    /// Of the access token's type, because that one never shows itself.
    #[serde(default)]
    id_token: Option<AccessToken>,
}

impl TokenResponse for Answer {
    type TokenType = BasicTokenType;

    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &BasicTokenType {
        &self.kind
    }

    fn expires_in(&self) -> Option<Duration> {
        self.expires_in
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

const fn bearer() -> BasicTokenType {
    BasicTokenType::Bearer
}

/// Seconds, as a number or as text (R364). Absent and null stay absent; anything else is no answer.
fn lifetime<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let seconds = match Value::deserialize(deserializer)? {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    seconds
        .map(|seconds| Some(Duration::from_secs(seconds.min(LIFETIME_MAX_SECONDS))))
        .ok_or_else(|| serde::de::Error::custom("expires_in"))
}

pub(super) fn granted(answer: Answer, now: Timestamp) -> Result<Granted, ExchangeError> {
    let kind = answer.token_type.as_deref().unwrap_or("bearer");
    let token = answer.access_token.secret();
    if !kind.eq_ignore_ascii_case("bearer") || !is_token(token) {
        return Err(ExchangeError::Unreadable("token endpoint".into()));
    }
    let refresh = answer.refresh_token.as_ref().map(RefreshToken::secret);
    Ok(Granted {
        tokens: ProviderTokens {
            access_token: Secret::new(token.clone()),
            refresh_token: refresh
                .filter(|token| is_token(token))
                .map(|token| Secret::new(token.clone())),
            expires_at: answer.expires_in.map(|lifetime| now.plus(lifetime)),
        },
        id_token: answer
            .id_token
            .map(|token| Secret::new(token.into_secret())),
    })
}

/// `VSCHAR` (RFC 6749 appendix A.12), so that it can stand in a header.
fn is_token(token: &str) -> bool {
    (1..=TOKEN_MAX_BYTES).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic())
}

pub(super) fn refusal(
    error: RequestTokenError<FetchError, BasicErrorResponse>,
    endpoint: &Address,
) -> ExchangeError {
    match error {
        RequestTokenError::Request(error) => ExchangeError::Fetch(error),
        RequestTokenError::ServerResponse(answer) => match answer.error() {
            BasicErrorResponseType::InvalidClient | BasicErrorResponseType::UnauthorizedClient => {
                ExchangeError::Client
            }
            BasicErrorResponseType::InvalidGrant => ExchangeError::Grant,
            BasicErrorResponseType::Extension(code) => by_code(code),
            _ => ExchangeError::Refused,
        },
        RequestTokenError::Parse(_, body) => {
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            // GitHub answers 200 with an error; ClickUp has codes of its own.
            let code = body.get("error").or_else(|| body.get("ECODE"));
            match code.and_then(Value::as_str) {
                Some(code) => by_code(code),
                None => ExchangeError::Unreadable(endpoint.to_string()),
            }
        }
        RequestTokenError::Other(_) => ExchangeError::Unreadable(endpoint.to_string()),
    }
}

fn by_code(code: &str) -> ExchangeError {
    match code {
        "invalid_client" | "incorrect_client_credentials" | "OAUTH_010" => ExchangeError::Client,
        "redirect_uri_mismatch" | "OAUTH_007" | "OAUTH_017" => ExchangeError::Redirect,
        "invalid_grant"
        | "bad_verification_code"
        | "bad_refresh_token"
        | "OAUTH_014"
        | "OAUTH_019"
        | "OAUTH_021"
        | "OAUTH_025"
        | "OAUTH_077" => ExchangeError::Grant,
        _ => ExchangeError::Refused,
    }
}

const TOKEN_MAX_BYTES: usize = 16 * 1024;
const LIFETIME_MAX_SECONDS: u64 = 10 * 365 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str) -> Option<Granted> {
        let answer = serde_json::from_str(document).ok()?;
        granted(answer, Timestamp::from_seconds(1000)).ok()
    }

    #[test]
    fn r364_c26_a_missing_lifetime_stays_missing() {
        let lifetime = |document| read(document).map(|granted| granted.tokens.expires_at);
        for absent in [
            r#"{"access_token":"t"}"#,
            r#"{"access_token":"t","expires_in":null}"#,
        ] {
            assert_eq!(lifetime(absent), Some(None), "{absent}");
        }
        for (document, seconds) in [
            (r#"{"access_token":"t","expires_in":0}"#, 1000),
            (r#"{"access_token":"t","expires_in":3600}"#, 4600),
            (r#"{"access_token":"t","expires_in":"3600"}"#, 4600),
        ] {
            let wanted = Some(Some(Timestamp::from_seconds(seconds)));
            assert_eq!(lifetime(document), wanted, "{document}");
        }
        for odd in ["-1", "1.5", "\"soon\"", "[]", "{}", "true"] {
            let document = format!(r#"{{"access_token":"t","expires_in":{odd}}}"#);
            assert!(read(&document).is_none(), "{document}");
        }
    }

    #[test]
    fn what_could_not_stand_in_a_header_is_no_token() {
        for document in [
            r#"{"access_token":""}"#,
            r#"{"access_token":"a b"}"#,
            r#"{"access_token":"a\r\nx: y"}"#,
            r#"{"access_token":"t","token_type":"mac"}"#,
            r#"{"access_token":1}"#,
            r#"{"token":"t"}"#,
        ] {
            assert!(read(document).is_none(), "{document}");
        }
        let good = read(r#"{"access_token":"pk_1","token_type":"BEARER","refresh_token":"r"}"#);
        assert!(good.unwrap().tokens.refresh_token.unwrap().ct_eq(b"r"));
    }

    #[test]
    fn no_answer_shows_its_tokens() {
        let answer: Answer = serde_json::from_str(
            r#"{"access_token":"canary-not-a-real-a","refresh_token":"canary-not-a-real-r","id_token":"canary-not-a-real-i"}"#,
        )
        .unwrap();
        assert!(!format!("{answer:?}").contains("canary"));
        let granted = granted(answer, Timestamp::from_seconds(0)).unwrap();
        assert!(!format!("{:?}", granted.tokens).contains("canary"));
    }
}
