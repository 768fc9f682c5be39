//! A session: a grant without a client, and the token that stands for it. Its body is the one of the seeds, with the team
//! in both of their forms (C17).

use std::time::Duration;

use serde_json::{Value, json};

use super::{Account, refusal};
use crate::audit::Record;
use crate::audit::event::Event;
use crate::auth::ResourceId;
use crate::auth::mint::{self, Minted};
use crate::grants::{Grant, New};
use crate::secret::Secret;
use crate::users::User;
use crate::web::{Reply, Visit};

/// What a session's holder gets.
pub(super) struct Opened {
    pub(super) minted: Minted,
    pub(super) refresh_token: Secret<String>,
}

impl Account {
    /// Opens a session for a user who has just signed in.
    ///
    /// # Errors
    /// The refusal; there is no session then, or nobody knows its token.
    pub(super) async fn open_session(&self, user: &User, visit: &Visit) -> Result<Opened, Reply> {
        // The line is promised first: no token without one (R189).
        let slot = self.parts.audit.reserve();
        let slot = slot.map_err(|_| refusal::unavailable(visit).refused("audit_unavailable"))?;
        let new = New {
            user: user.id.clone(),
            generation: user.generation,
            scopes: self.parts.settings.scopes.clone(),
            resources: self.resource_names(),
            ..New::default()
        };
        let opened = self.parts.grants.open(new).await;
        let (grant, refresh_token) = opened.map_err(|_| refusal::unavailable(visit))?;
        let minted = self.mint_session(user, &grant, visit)?;
        let mut record = Record::new(
            Event::TokenIssued,
            self.parts.clock.now(),
            &visit.request_id,
        );
        record
            .user(&user.id)
            .token_id(&minted.token_id)
            .address(visit.address)
            .detail("tier", user.tier.as_str())
            .detail("scopes", json!(self.parts.settings.scopes));
        if let Some(team) = user.team() {
            record.team(&team.id).detail("team_id", team.id.as_str());
        }
        slot.write(record);
        Ok(Opened {
            minted,
            refresh_token,
        })
    }

    /// A token for a session.
    ///
    /// # Errors
    /// The refusal, for a user whose record no token can carry.
    pub(super) fn mint_session(
        &self,
        user: &User,
        grant: &Grant,
        visit: &Visit,
    ) -> Result<Minted, Reply> {
        let team = user.team().map(|team| team.id.clone());
        let minted = self.parts.mint.mint(&mint::Grant {
            user: user.id.clone(),
            team: team.unwrap_or_default(),
            tier: user.tier.clone(),
            email: user.email.clone(),
            scopes: self.parts.settings.scopes.clone(),
            audiences: self.parts.resources.clone(),
            lifetime: Some(self.parts.settings.session_lifetime),
            client: None,
            session: Some(grant.id.clone()),
            generation: Some(user.generation),
        });
        minted.map_err(|error| {
            tracing::error!(%error, "a session's token could not be made");
            refusal::unavailable(visit).refused("token_unmade")
        })
    }

    pub(super) fn resource_names(&self) -> Vec<String> {
        let names = self.parts.resources.iter().map(ResourceId::as_str);
        names.map(str::to_owned).collect()
    }
}

/// The `token`, `expires_in` and `token_type` of every answer with a session (C16, R376-R378, R408).
pub(super) fn body(minted: &Minted, refresh_token: Option<&Secret<String>>) -> Value {
    let mut body = json!({
        "token": minted.token.expose(),
        "expires_in": seconds(minted.expires_in),
        "token_type": "Bearer",
    });
    if let (Some(token), Some(members)) = (refresh_token, body.as_object_mut()) {
        members.insert("refresh_token".into(), token.expose().as_str().into());
    }
    body
}

/// The user as the seeds show them (R379-R381).
pub(super) fn about(user: &User) -> Value {
    let mut about = json!({
        "id": user.id,
        "email": user.email,
        "username": user.name,
    });
    if let (Some(team), Some(members)) = (user.team(), about.as_object_mut()) {
        members.insert("team_id".into(), team.id.as_str().into());
        let named = json!({ "id": team.id, "name": team.name });
        members.insert("team".into(), named);
    }
    about
}

/// Whole seconds.
pub(super) const fn seconds(lifetime: Duration) -> u64 {
    lifetime.as_secs()
}
