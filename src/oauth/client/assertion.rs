//! What a client's signed statement about itself must say (RFC 7523 section 3): that it is the client, that it speaks to us,
//! that it does so now, and that it was not heard before.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::auth::assertion;
use crate::auth::keys::KeySet;
use crate::clock::{Clock, Timestamp};
use crate::grants::opaque;
use crate::oauth::error::OauthError;
use crate::store::{Record, Store, Table, record};

/// The longest assertion that is read.
const MAX_BYTES: usize = 8 * 1024;
/// The longest `jti`.
const ID_MAX_BYTES: usize = 256;
/// How far in the future an assertion may end.
const LIFETIME_MAX: Duration = Duration::from_secs(300);
/// How far clocks may differ.
const LEEWAY: Duration = Duration::from_secs(30);

/// That an assertion was heard.
#[derive(Serialize, Deserialize)]
struct Heard {}

impl Record for Heard {
    const TABLE: Table = Table::Seen;
    const VERSION: u16 = 1;
}

/// Hears each assertion once.
pub(in crate::oauth) struct Assertions {
    pub(in crate::oauth) store: Arc<dyn Store>,
    pub(in crate::oauth) clock: Clock,
    /// Whom an assertion may be addressed to: the issuer and the token endpoint.
    pub(in crate::oauth) audiences: Vec<String>,
}

impl Assertions {
    /// Accepts an assertion of this client, once.
    pub(in crate::oauth) async fn accept(
        &self,
        client: &str,
        text: &str,
        keys: &KeySet,
    ) -> Result<(), OauthError> {
        let claims = assertion::verify(text, keys, MAX_BYTES)
            .map_err(|_| OauthError::Client("the assertion does not verify"))?;
        let end = self.check(client, &claims)?;
        let id = claims
            .get("jti")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if id.is_empty() || id.len() > ID_MAX_BYTES {
            return Err(OauthError::Client("the assertion has no usable jti"));
        }
        // The pair, so that no client can use up another one's ids.
        let place = format!("assertion/{}/{}", opaque::hash(client), opaque::hash(id));
        let until = Some(end.plus(LEEWAY).plus(LEEWAY));
        if record::create(&*self.store, &place, &Heard {}, until).await? {
            Ok(())
        } else {
            Err(OauthError::Client("the assertion was used before"))
        }
    }

    fn check(&self, client: &str, claims: &Map<String, Value>) -> Result<Timestamp, OauthError> {
        let is_client = |name| claims.get(name).and_then(Value::as_str) == Some(client);
        if !is_client("iss") || !is_client("sub") {
            return Err(OauthError::Client("the assertion is not about the client"));
        }
        if !claims.get("aud").is_some_and(|aud| self.is_us(aud)) {
            return Err(OauthError::Client("the assertion is not for this server"));
        }
        let now = self.clock.now();
        let end = moment(claims, "exp")?.ok_or(OauthError::Client("the assertion has no end"))?;
        if end.plus(LEEWAY) <= now {
            return Err(OauthError::Client("the assertion has expired"));
        }
        if end > now.plus(LIFETIME_MAX).plus(LEEWAY) {
            return Err(OauthError::Client("the assertion lives for too long"));
        }
        for name in ["nbf", "iat"] {
            if moment(claims, name)?.is_some_and(|start| start > now.plus(LEEWAY)) {
                return Err(OauthError::Client("the assertion is not valid yet"));
            }
        }
        Ok(end)
    }

    /// One audience, and that is us: an assertion for several could be used at the others.
    fn is_us(&self, audience: &Value) -> bool {
        let known = |name: &str| self.audiences.iter().any(|ours| ours == name);
        match audience {
            Value::String(name) => known(name),
            Value::Array(names) => {
                !names.is_empty() && names.iter().all(|name| name.as_str().is_some_and(known))
            }
            _ => false,
        }
    }
}

fn moment(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, OauthError> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => {
            let seconds = value.as_f64().filter(|seconds| seconds.abs() < 1e12);
            let seconds = seconds.ok_or(OauthError::Client("a date of the assertion is none"))?;
            #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
            let millis = (seconds * 1000.0) as i64;
            Ok(Some(Timestamp::from_millis(millis)))
        }
    }
}
