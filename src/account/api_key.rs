//! `/auth/api-key`: a key of the user's own for the server behind the gateway, left here sealed. It goes in and never comes
//! out: what is shown of it is that it is there.

use std::sync::Arc;

use hmac::Mac;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::me::shown;
use super::{Account, refusal};
use crate::audit::event::{Event, Severity};
use crate::auth::Principal;
use crate::login::ExchangeError;
use crate::login::error::LoginError;
use crate::random;
use crate::secret::Secret;
use crate::users;
use crate::web::{Reply, Visit};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    api_key: String,
    provider: Option<String>,
}

impl Account {
    /// What is kept, without any value.
    pub(super) async fn show_keys(&self, visit: &Visit) -> Reply {
        let principal = match self.holder(visit).await {
            Ok(principal) => principal,
            Err(refusal) => return refusal,
        };
        let user = principal.user().as_str();
        match self.stored(user, visit).await {
            Ok(stored) => {
                let keys: Vec<Value> = stored
                    .iter()
                    .filter(|stored| stored.name.ends_with(SUFFIX))
                    .map(shown)
                    .collect();
                Reply::json(StatusCode::OK, &json!({ "api_keys": keys })).user(user)
            }
            Err(refusal) => refusal.user(user),
        }
    }

    /// Keeps a key, in place of an older one.
    pub(super) async fn keep_key(&self, visit: &Visit) -> Reply {
        let principal = match self.holder(visit).await {
            Ok(principal) => principal,
            Err(refusal) => return refusal,
        };
        let body: Body = match visit.json() {
            Ok(body) => body,
            Err(error) => return refusal::unreadable(&error, visit),
        };
        let key = Secret::new(body.api_key);
        let kept = self.kept(&principal, body.provider.as_deref(), key, visit);
        match kept.await {
            Ok(reply) | Err(reply) => reply.user(principal.user().as_str()),
        }
    }

    /// Removes a key; it need not be there.
    pub(super) async fn remove_key(&self, visit: &Visit) -> Reply {
        let principal = match self.holder(visit).await {
            Ok(principal) => principal,
            Err(refusal) => return refusal,
        };
        let user = principal.user().as_str();
        let params = match visit.params() {
            Ok(params) => params,
            Err(error) => return refusal::unreadable(&error, visit),
        };
        let removed = match (
            self.provider(params.find("provider"), visit),
            &self.parts.vault,
        ) {
            (Err(refusal), _) => return refusal.user(user),
            (Ok(provider), Some(vault)) => vault.remove(user, &place(provider)).await,
            (Ok(_), None) => Ok(false),
        };
        let reply = match removed {
            Ok(_) => Reply::empty(StatusCode::NO_CONTENT),
            Err(error) => refusal::of_vault(&error, visit),
        };
        reply
            .event(Event::KeyRotated)
            .action("api_key_removed")
            .user(user)
    }

    /// Who may see and change keys: the user, but no client that acts for them. Its token says what it may do with them,
    /// and nothing about whose they are.
    async fn holder(&self, visit: &Visit) -> Result<Arc<Principal>, Reply> {
        let principal = self.caller(visit).await?;
        // Foreign issuers name a client in every token; only tokens of ours know a generation.
        if principal.client_id().is_none() || principal.generation().is_none() {
            return Ok(principal);
        }
        let reply = Reply::error(
            StatusCode::FORBIDDEN,
            "access_denied",
            "Keys are the user's own: sign in at /auth/login",
            None,
            &visit.request_id,
        );
        Err(reply
            .refused("token_of_client")
            .event(Event::UnauthorizedAccess)
            .user(principal.user().as_str()))
    }

    async fn kept(
        &self,
        principal: &Principal,
        provider: Option<&str>,
        key: Secret<String>,
        visit: &Visit,
    ) -> Result<Reply, Reply> {
        let provider = self.provider(provider, visit)?;
        if !is_key(key.expose()) {
            return Err(invalid("The key is not one", visit));
        }
        let vault = self.parts.vault.as_ref().ok_or_else(|| {
            let message = "This gateway keeps no keys";
            Reply::error(
                StatusCode::NOT_FOUND,
                "not_found",
                message,
                None,
                &visit.request_id,
            )
        })?;
        let user = principal.user().as_str();
        self.check_owner(user, provider, &key, visit).await?;
        let fingerprint = self.fingerprint(key.expose());
        let sealed = vault.seal(user, &place(provider), key, None).await;
        sealed.map_err(|error| refusal::of_vault(&error, visit))?;
        let stored = self.stored(user, visit).await?;
        let stored = stored.iter().find(|stored| stored.name == place(provider));
        let shown = stored.map(shown);
        Ok(Reply::json(StatusCode::OK, &json!({ "api_key": shown }))
            .event(Event::KeyRotated)
            .action("api_key_kept")
            .severity(Severity::Info)
            .detail("provider", provider)
            .detail("fingerprint", fingerprint))
    }

    /// Where the provider can be asked, the key must be this user's own, and opens no workspace that the user does not have
    /// (R171).
    async fn check_owner(
        &self,
        user: &str,
        provider: &str,
        key: &Secret<String>,
        visit: &Visit,
    ) -> Result<(), Reply> {
        let owner = match self.parts.desk.whose(provider, key).await {
            Ok(Some(owner)) => owner,
            Ok(None) | Err(LoginError::UnknownProvider) => return Ok(()),
            Err(LoginError::Exchange {
                source: ExchangeError::Grant | ExchangeError::Refused,
                ..
            }) => return Err(invalid("The provider does not know the key", visit)),
            Err(error) => return Err(error.answer(visit)),
        };
        let known = users::find(&*self.parts.store, user).await;
        let known = known.map_err(|_| refusal::unavailable(visit))?;
        let signed_in_there = known.is_some_and(|held| held.record.provider == provider);
        if signed_in_there && owner.0 != user {
            return Err(Reply::error(
                StatusCode::FORBIDDEN,
                "access_denied",
                "The key belongs to somebody else",
                None,
                &visit.request_id,
            )
            .refused("key_of_another_user")
            .event(Event::UnauthorizedAccess));
        }
        Ok(())
    }

    /// The provider that is meant.
    fn provider<'a>(&'a self, named: Option<&str>, visit: &Visit) -> Result<&'a str, Reply> {
        let known = &self.parts.settings.key_providers;
        let found = match named {
            Some(named) => known.iter().find(|provider| *provider == named),
            None => known.first(),
        };
        found
            .map(String::as_str)
            .ok_or_else(|| invalid("There are no keys for that provider", visit))
    }

    /// `key_` and 8 hex digits of a keyed hash, so that lines about one key can be told from those about another (R200).
    fn fingerprint(&self, key: &str) -> String {
        let mut mac = self.fingerprints.clone();
        mac.update(key.as_bytes());
        let digest = mac.finalize().into_bytes();
        let (head, _) = digest.split_at(4);
        format!("key_{}", random::to_hex(head))
    }
}

fn place(provider: &str) -> String {
    format!("{provider}{SUFFIX}")
}

/// Something that can stand in a header.
fn is_key(key: &str) -> bool {
    (KEY_MIN_BYTES..=KEY_MAX_BYTES).contains(&key.len())
        && key.bytes().all(|b| b.is_ascii_graphic())
}

fn invalid(message: &str, visit: &Visit) -> Reply {
    let status = StatusCode::BAD_REQUEST;
    Reply::error(status, "invalid_request", message, None, &visit.request_id)
}

const SUFFIX: &str = "/api_key";
const KEY_MIN_BYTES: usize = 8;
const KEY_MAX_BYTES: usize = 4096;
