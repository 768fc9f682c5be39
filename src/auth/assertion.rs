//! Client assertions: a client's signed statement that it is itself (RFC 7523 section 3). Read as strictly as access tokens and
//! verified under the client's own keys; what its claims must say is for the authorization server.

use serde_json::{Map, Value};

use super::bearer::Bearer;
use super::error::AuthError;
use super::header::{Algorithm, Header, decode};
use super::keys::{KeyError, KeySet};
use super::settings::FetchSettings;
use super::strict;

/// The keys in a client's JWKS that can verify its assertions. None of them is symmetric.
///
/// # Errors
/// [`KeyError`] when it is no JWKS, or holds too many keys or none that can be used.
pub fn keys(document: &[u8]) -> Result<KeySet, KeyError> {
    KeySet::parse(document, &Algorithm::ASYMMETRIC, &FetchSettings::default())
}

/// The claims of an assertion that one of these keys signed.
///
/// # Errors
/// [`AuthError`] when it is malformed or its signature does not verify.
pub fn verify(
    text: &str,
    keys: &KeySet,
    max_bytes: usize,
) -> Result<Map<String, Value>, AuthError> {
    let token = Bearer::parse(text, max_bytes)?;
    let header = Header::read(&token)?;
    let payload = decode(token.payload())?;
    let claims = strict::object(&payload).ok_or(AuthError::Malformed("payload"))?;
    keys.find(&header)?.verify(&token)?;
    Ok(claims)
}
