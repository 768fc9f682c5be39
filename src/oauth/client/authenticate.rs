//! Which client is asking, and whether it is that one (RFC 6749 section 2.3): by a secret in the header or in the form, by a
//! signed assertion, or, for programs in their users' hands, by nothing but its name.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use super::{Client, Identification, digest};
use crate::oauth::Server;
use crate::oauth::error::OauthError;
use crate::oauth::throttle::Who;
use crate::secret::Secret;
use crate::web::{Params, Visit};

/// The only kind of assertion that there is (RFC 7523 section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a request shows for itself.
struct Shown {
    id: String,
    proof: Shows,
}

enum Shows {
    Nothing,
    Secret(Secret<String>),
    Assertion(String),
}

impl Server {
    /// The client that sent a request, if it is that one.
    pub(in crate::oauth) async fn client_of(
        &self,
        visit: &Visit,
        form: &Params,
    ) -> Result<Client, OauthError> {
        let shown = shown(visit, form)?;
        let proves = !matches!(shown.proof, Shows::Nothing);
        if !proves {
            return self.recognise(&shown, visit.address).await;
        }
        let who = Who::Client(&shown.id);
        if let Err(refusal) = self.throttle.check(&who).await
            && !self.throttle.is_known(&shown.id, visit.address).await?
        {
            return Err(refusal);
        }
        let recognised = self.recognise(&shown, visit.address).await;
        match &recognised {
            Ok(client) => self.throttle.proven(&client.id, visit.address).await?,
            Err(OauthError::Client(_)) => self.throttle.failed(&who).await?,
            Err(_) => {}
        }
        recognised
    }

    async fn recognise(&self, shown: &Shown, asker: IpAddr) -> Result<Client, OauthError> {
        let unknown = OauthError::Client("there is no such client");
        let client = self.clients.find(&shown.id, asker).await?.ok_or(unknown)?;
        match (&client.secret, &shown.proof) {
            (Identification::None, Shows::Nothing) => Ok(()),
            (Identification::Secret(known), Shows::Secret(secret)) => {
                let same: bool = known.ct_eq(&digest(secret.expose())).into();
                same.then_some(())
                    .ok_or(OauthError::Client("the secret is not the client's"))
            }
            (Identification::Keys(keys), Shows::Assertion(text)) => {
                self.assertions.accept(&client.id, text, keys).await
            }
            (Identification::KeysAt(uri), Shows::Assertion(text)) => {
                let no_keys = OauthError::Client("its keys cannot be had");
                let documents = self.clients.documents().ok_or(no_keys)?;
                let keys = documents.keys_at(uri, asker).await?;
                self.assertions.accept(&client.id, text, &keys).await
            }
            // One way to prove who one is never stands in for another.
            (Identification::None, _) => Err(OauthError::Client("the client has no secret")),
            (Identification::Secret(_), _) => Err(OauthError::Client("the secret is missing")),
            (Identification::Keys(_) | Identification::KeysAt(_), _) => {
                Err(OauthError::Client("the assertion is missing"))
            }
        }?;
        Ok(client)
    }
}

/// What is shown, in exactly one way (RFC 6749 section 2.3).
fn shown(visit: &Visit, form: &Params) -> Result<Shown, OauthError> {
    let basic = basic(visit)?;
    let named = form.find("client_id");
    let secret = form.find("client_secret");
    let assertion = form.find("client_assertion");
    let ways = [basic.is_some(), secret.is_some(), assertion.is_some()];
    if ways.iter().filter(|way| **way).count() > 1 {
        return Err(OauthError::request(
            "the client authenticates in several ways",
        ));
    }
    if let Some((id, secret)) = basic {
        if named.is_some_and(|named| named != id) {
            return Err(OauthError::request("the request names two clients"));
        }
        let proof = Shows::Secret(secret);
        return Ok(Shown { id, proof });
    }
    if let Some(text) = assertion {
        if form.find("client_assertion_type") != Some(ASSERTION_TYPE) {
            return Err(OauthError::request(
                "the client assertion is of no known type",
            ));
        }
        let id = named
            .map(str::to_owned)
            .or_else(|| subject(text))
            .ok_or(OauthError::Client("the assertion names no client"))?;
        let proof = Shows::Assertion(text.to_owned());
        return Ok(Shown { id, proof });
    }
    let Some(id) = named else {
        return Err(OauthError::Client("the request names no client"));
    };
    let proof = match secret {
        Some(secret) => Shows::Secret(Secret::new(secret.to_owned())),
        None => Shows::Nothing,
    };
    let id = id.to_owned();
    Ok(Shown { id, proof })
}

/// `Basic` credentials, each form-encoded before they were joined (RFC 6749 section 2.3.1).
fn basic(visit: &Visit) -> Result<Option<(String, Secret<String>)>, OauthError> {
    if !visit.headers.contains_key(AUTHORIZATION) {
        return Ok(None);
    }
    let odd = OauthError::Client("the Authorization header is no Basic credential");
    let read = || {
        let (scheme, rest) = visit.header(&AUTHORIZATION)?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = Secret::new(STANDARD.decode(rest.trim()).ok()?);
        let text = std::str::from_utf8(decoded.expose()).ok()?;
        let (id, secret) = text.split_once(':')?;
        Some((unescape(id), Secret::new(unescape(secret))))
    };
    match read() {
        Some((id, secret)) if !id.is_empty() => Ok(Some((id, secret))),
        _ => Err(odd),
    }
}

fn unescape(text: &str) -> String {
    // Read as the value of a parameter: what could end the value is data here.
    let quoted = text.replace('&', "%26");
    form_urlencoded::parse(format!("v={quoted}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// The client that an assertion claims to be about, by which its keys are found. Nothing of it is believed.
fn subject(text: &str) -> Option<String> {
    let payload = text.split('.').nth(1)?;
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(payload)
        .ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&json).ok()?;
    claims.get("sub")?.as_str().map(str::to_owned)
}
