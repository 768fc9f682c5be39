//! What a client says about itself, in a registration (RFC 7591 section 2) or in a document at its own address. Everything is
//! a stranger's word: it is checked, cut down to what is used, and shown to people as unproven.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::redirect::{self, RedirectError};
use crate::auth::assertion;
use crate::oauth::error::OauthError;
use crate::oauth::guarded::Guarded;

/// The most redirect URIs of a registration.
pub(in crate::oauth) const REDIRECTS_MAX: usize = 10;
/// The longest name, in characters.
const NAME_MAX: usize = 200;
/// The longest address that is kept to be shown again.
const LINK_MAX: usize = 512;
/// The largest key set that a registration may hold.
const JWKS_MAX: usize = 16 * 1024;

/// The members that are read. Others are ignored (RFC 7591 section 2).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::oauth) struct Raw {
    pub(in crate::oauth) client_id: Option<String>,
    pub(in crate::oauth) client_name: Option<String>,
    pub(in crate::oauth) redirect_uris: Option<Vec<String>>,
    pub(in crate::oauth) token_endpoint_auth_method: Option<String>,
    pub(in crate::oauth) grant_types: Option<Vec<String>>,
    pub(in crate::oauth) response_types: Option<Vec<String>>,
    pub(in crate::oauth) application_type: Option<String>,
    pub(in crate::oauth) client_uri: Option<String>,
    pub(in crate::oauth) logo_uri: Option<String>,
    pub(in crate::oauth) tos_uri: Option<String>,
    pub(in crate::oauth) policy_uri: Option<String>,
    pub(in crate::oauth) jwks: Option<Value>,
    pub(in crate::oauth) jwks_uri: Option<String>,
    pub(in crate::oauth) client_secret: Option<Value>,
}

impl Raw {
    /// Reads a JSON object. A list would be read as the members in their order, which nobody means.
    pub(in crate::oauth) fn parse(json: &[u8]) -> Option<Self> {
        let first = json.iter().find(|byte| !byte.is_ascii_whitespace());
        first.filter(|byte| **byte == b'{')?;
        serde_json::from_slice(json).ok()
    }
}

/// How a client proves who it is at the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::oauth) enum Method {
    /// It cannot: it is a program in its users' hands.
    None,
    /// By a secret, in the header.
    ClientSecretBasic,
    /// By a secret, in the form.
    ClientSecretPost,
    /// By a signature.
    PrivateKeyJwt,
}

impl Method {
    pub(in crate::oauth) const fn has_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }

    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::None,
            "client_secret_basic" => Self::ClientSecretBasic,
            "client_secret_post" => Self::ClientSecretPost,
            "private_key_jwt" => Self::PrivateKeyJwt,
            _ => return None,
        })
    }
}

/// What is kept of it. As a record it is part of the format of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::oauth) struct About {
    /// The name; an unnamed one is called by its id.
    pub(in crate::oauth) name: Option<String>,
    /// Where its users are sent back to.
    pub(in crate::oauth) redirect_uris: Vec<String>,
    /// How it proves who it is.
    pub(in crate::oauth) method: Method,
    /// Whether it wants to stay signed in.
    pub(in crate::oauth) refresh: bool,
    /// Its public keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::oauth) jwks: Option<Value>,
    /// Where its public keys are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::oauth) jwks_uri: Option<String>,
    /// Addresses that it wants to be known by. They are said back and never asked.
    #[serde(default)]
    pub(in crate::oauth) links: Vec<(String, String)>,
}

/// The rules that differ between a registration and a document.
#[derive(Clone, Copy, Debug)]
pub(in crate::oauth) struct Rules<'a> {
    /// The way to prove who one is where none is said (RFC 7591 section 2).
    pub(in crate::oauth) default_method: Method,
    /// Whether secrets are given out. Nobody can keep one in a document.
    pub(in crate::oauth) secrets: bool,
    /// What may be asked for keys; `None` where nothing is.
    pub(in crate::oauth) guarded: Option<&'a Guarded>,
}

impl Rules<'_> {
    /// Checks what a client says.
    pub(in crate::oauth) fn check(&self, raw: &Raw) -> Result<About, OauthError> {
        let method = self.method(raw)?;
        Ok(About {
            name: raw.client_name.as_deref().map(name).transpose()?,
            redirect_uris: redirects(raw.redirect_uris.as_deref().unwrap_or_default())?,
            refresh: grants(raw)?,
            jwks: self.keys(raw, method)?,
            jwks_uri: raw.jwks_uri.clone(),
            links: links(raw),
            method,
        })
    }

    fn method(&self, raw: &Raw) -> Result<Method, OauthError> {
        let method = match raw.token_endpoint_auth_method.as_deref() {
            None => self.default_method,
            Some(name) => Method::parse(name).ok_or_else(|| {
                wrong("the token endpoint authentication method is not supported")
            })?,
        };
        if !self.secrets && (method.has_secret() || raw.client_secret.is_some()) {
            return Err(wrong(
                "a client that is described by a document has no secret",
            ));
        }
        Ok(method)
    }

    fn keys(&self, raw: &Raw, method: Method) -> Result<Option<Value>, OauthError> {
        if raw.jwks.is_some() && raw.jwks_uri.is_some() {
            return Err(wrong("there are both jwks and jwks_uri"));
        }
        if let Some(uri) = &raw.jwks_uri {
            let may_be_asked = self
                .guarded
                .is_some_and(|guarded| guarded.target(uri).is_ok());
            if !may_be_asked {
                return Err(wrong("jwks_uri is no public https address"));
            }
        }
        let Some(jwks) = &raw.jwks else {
            return match (method, &raw.jwks_uri) {
                (Method::PrivateKeyJwt, None) => Err(wrong("private_key_jwt needs keys")),
                _ => Ok(None),
            };
        };
        let document = jwks.to_string();
        if document.len() > JWKS_MAX || assertion::keys(document.as_bytes()).is_err() {
            return Err(wrong("jwks holds no usable public keys, or too many"));
        }
        Ok(Some(jwks.clone()))
    }
}

fn wrong(why: &'static str) -> OauthError {
    OauthError::Metadata(why.into())
}

/// A name without characters that nobody sees, or that turn the text around them.
fn name(text: &str) -> Result<String, OauthError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > NAME_MAX {
        return Err(wrong("client_name is empty or longer than 200 characters"));
    }
    if text.chars().any(is_hidden) {
        return Err(wrong("client_name has control or direction characters"));
    }
    Ok(text.to_owned())
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn redirects(uris: &[String]) -> Result<Vec<String>, OauthError> {
    if uris.is_empty() {
        return Err(OauthError::Redirect("there is no redirect URI".into()));
    }
    if uris.len() > REDIRECTS_MAX {
        return Err(OauthError::Redirect(
            "there are more than 10 redirect URIs".into(),
        ));
    }
    for uri in uris {
        let checked: Result<_, RedirectError> = redirect::check(uri);
        checked.map_err(|error| OauthError::Redirect(error.to_string().into()))?;
    }
    Ok(uris.to_vec())
}

/// Whether refresh tokens are wanted. Grant types that we do not have are left out, as RFC 7591 section 3.2.1 allows; a client
/// that says nothing gets them, since people complain of nothing more than of signing in every day.
fn grants(raw: &Raw) -> Result<bool, OauthError> {
    if let Some(types) = &raw.response_types
        && !types.iter().any(|name| name == "code")
    {
        return Err(wrong(
            "the response type `code` is not among response_types",
        ));
    }
    let Some(types) = &raw.grant_types else {
        return Ok(true);
    };
    if !types.iter().any(|name| name == "authorization_code") {
        return Err(wrong("authorization_code is not among grant_types"));
    }
    Ok(types.iter().any(|name| name == "refresh_token"))
}

/// Addresses of pages, where they are public https ones. Others are dropped: nobody is sent there.
fn links(raw: &Raw) -> Vec<(String, String)> {
    [
        ("client_uri", &raw.client_uri),
        ("logo_uri", &raw.logo_uri),
        ("tos_uri", &raw.tos_uri),
        ("policy_uri", &raw.policy_uri),
    ]
    .into_iter()
    .filter_map(|(name, link)| Some((name.to_owned(), link.clone()?)))
    .filter(|(_, link)| is_public_link(link))
    .collect()
}

fn is_public_link(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    let named = matches!(url.host(), Some(url::Host::Domain(name)) if name.contains('.'));
    text.len() <= LINK_MAX
        && url.scheme() == "https"
        && named
        && url.username().is_empty()
        && url.password().is_none()
}
