//! How a credential stands in a header: which header, and what comes before the secret. Personal tokens go bare, others as
//! a bearer token, chosen by their prefix unless the operator says otherwise (C27).

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::answer::TOKEN_MAX_BYTES;

/// What comes before the secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// In `Authorization`, nothing before a personal token (`pk_`) and `Bearer` before any other; nothing in another header.
    #[default]
    Auto,
    /// Nothing.
    Bare,
    /// This word and a space.
    Word(String),
}

/// Where a credential stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The header.
    pub header: HeaderName,
    /// What comes before the secret.
    pub scheme: Scheme,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            header: AUTHORIZATION,
            scheme: Scheme::Auto,
        }
    }
}

/// What personal tokens of ClickUp begin with.
const PERSONAL: &str = "pk_";

impl Form {
    /// The value of the header; `None` when the secret cannot stand in one.
    pub(super) fn value(&self, secret: &str) -> Option<HeaderValue> {
        if !is_token(secret) || secret.len() > TOKEN_MAX_BYTES {
            return None;
        }
        let word = match &self.scheme {
            Scheme::Word(word) => Some(word.as_str()),
            Scheme::Auto if self.header == AUTHORIZATION && !secret.starts_with(PERSONAL) => {
                Some("Bearer")
            }
            Scheme::Auto | Scheme::Bare => None,
        };
        let value = match word {
            Some(word) => HeaderValue::try_from(format!("{word} {secret}")),
            None => HeaderValue::from_str(secret),
        };
        let mut value = value.ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Visible ASCII without spaces: nothing that could end a header or part it in two.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}
