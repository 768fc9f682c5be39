//! A login provider's own token as it lies in the vault under `{provider}/token`: written when a user signs in, read when an
//! MCP server is called, renewed by either.

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::clock::Timestamp;
use crate::secret::Secret;

/// A provider's token as it is kept.
#[derive(Debug)]
pub struct SavedToken {
    /// What the provider's API takes.
    pub access_token: Secret<String>,
    /// What a new one is got with.
    pub refresh_token: Option<Secret<String>>,
    /// When it ends; absent where the provider did not say, which means nothing at all (C26).
    pub expires_at: Option<Timestamp>,
    /// When it was got.
    pub issued_at: Option<Timestamp>,
}

/// The stored form. Times are seconds since the epoch.
#[derive(Serialize, Deserialize)]
struct Written {
    access_token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_at: Option<i64>,
}

impl Drop for Written {
    fn drop(&mut self) {
        self.access_token.zeroize();
        self.refresh_token.zeroize();
    }
}

impl SavedToken {
    /// Its name in the vault.
    pub fn name(provider: &str) -> String {
        format!("{provider}/token")
    }

    /// Reads the stored form; `None` when it is another.
    pub fn parse(text: &str) -> Option<Self> {
        let mut written: Written = serde_json::from_str(text).ok()?;
        Some(Self {
            access_token: Secret::new(std::mem::take(&mut written.access_token)),
            refresh_token: written.refresh_token.take().map(Secret::new),
            expires_at: written.expires_at.map(Timestamp::from_seconds),
            issued_at: written.issued_at.map(Timestamp::from_seconds),
        })
    }

    /// The stored form.
    pub fn write(&self) -> Secret<String> {
        let refresh = self.refresh_token.as_ref();
        let written = Written {
            access_token: self.access_token.expose().clone(),
            refresh_token: refresh.map(|token| token.expose().clone()),
            expires_at: self.expires_at.map(Timestamp::seconds),
            issued_at: self.issued_at.map(Timestamp::seconds),
        };
        Secret::new(serde_json::to_string(&written).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c26_an_end_that_the_provider_did_not_name_is_not_written() {
        let token = SavedToken {
            access_token: Secret::new("canary-not-a-real-token".into()),
            refresh_token: None,
            expires_at: None,
            issued_at: Some(Timestamp::from_seconds(7)),
        };
        let text = token.write();
        assert_eq!(
            text.expose(),
            r#"{"access_token":"canary-not-a-real-token","issued_at":7}"#
        );
        let read = SavedToken::parse(text.expose()).unwrap();
        assert_eq!(read.expires_at, None);
        assert_eq!(read.issued_at, Some(Timestamp::from_seconds(7)));
        assert!(SavedToken::parse("pk_1_canary").is_none());
        assert!(!format!("{token:?}").contains("canary"));
    }
}
