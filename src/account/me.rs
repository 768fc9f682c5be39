//! `/auth/me`: what the gateway knows about whoever asks. Names of kept credentials, never values.

use http::StatusCode;
use serde_json::{Value, json};

use super::session::about;
use super::{Account, refusal};
use crate::auth::Principal;
use crate::users;
use crate::vault::Stored;
use crate::web::{Reply, Visit};

impl Account {
    pub(super) async fn me(&self, visit: &Visit) -> Reply {
        let principal = match self.caller(visit).await {
            Ok(principal) => principal,
            Err(refusal) => return refusal,
        };
        match self.known(&principal, visit).await {
            Ok(known) => Reply::json(StatusCode::OK, &known).user(principal.user().as_str()),
            Err(refusal) => refusal,
        }
    }

    async fn known(&self, principal: &Principal, visit: &Visit) -> Result<Value, Reply> {
        let id = principal.user().as_str();
        let held = users::find(&*self.parts.store, id).await;
        let held = held.map_err(|_| refusal::unavailable(visit))?;
        let user = held.map_or_else(
            || json!({ "id": id, "email": principal.email(), "team_id": principal.team() }),
            |held| {
                let mut shown = about(&held.record);
                if let Some(members) = shown.as_object_mut() {
                    members.insert("teams".into(), json!(held.record.teams));
                    members.insert("provider".into(), held.record.provider.into());
                }
                shown
            },
        );
        let credentials: Vec<Value> = self.stored(id, visit).await?.iter().map(shown).collect();
        Ok(json!({
            "user": user,
            "tier": principal.tier(),
            "roles": principal.roles(),
            "scopes": principal.scopes(),
            "client_id": principal.client_id(),
            "expires_at": principal.expires_at().rfc3339_seconds(),
            "credentials": credentials,
        }))
    }

    /// What is kept for a user, by name.
    pub(super) async fn stored(&self, user: &str, visit: &Visit) -> Result<Vec<Stored>, Reply> {
        let Some(vault) = &self.parts.vault else {
            return Ok(Vec::new());
        };
        let stored = vault.list(user).await;
        stored.map_err(|error| refusal::of_vault(&error, visit))
    }
}

/// What is shown of a credential: that it is there, and how it is sealed (R066-R069, R085).
pub(super) fn shown(stored: &Stored) -> Value {
    let (provider, kind) = stored.name.split_once('/').unwrap_or((&stored.name, ""));
    json!({
        "provider": provider,
        "kind": kind,
        "value": HIDDEN,
        "encrypted": stored.encrypted,
        "algorithm": stored.algorithm,
        "key_version": stored.key_version,
        "created_at": stored.created_at,
    })
}

/// Not even a part of a key is shown: the first digits of a ClickUp key are the user's number (C32).
const HIDDEN: &str = "[REDACTED]";
