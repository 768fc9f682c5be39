//! `/oauth/introspect` (RFC 7662): what a token is worth, for clients that the operator allows to ask, and that prove who they
//! are. Everybody else learns nothing, not even whether a token is one (section 4).

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::Server;
use super::client::{Client, Identification};
use super::error::{OauthError, Refusal};
use super::throttle::Who;
use crate::auth::Principal;
use crate::grants::{Grant, opaque};
use crate::users;
use crate::web::{Reply, Visit};

impl Server {
    /// Says what a token is worth.
    pub(super) async fn introspect(&self, visit: &Visit) -> Reply {
        let who = Who::Address(visit.address);
        if let Err(error) = self.throttle.check(&who).await {
            return Refusal::from(error).reply();
        }
        match self.introspected(visit).await {
            Ok(reply) => reply.action("token_introspected"),
            Err(error) => self.counted(&who, error.into()).await,
        }
    }

    async fn introspected(&self, visit: &Visit) -> Result<Reply, OauthError> {
        let form = visit.form()?;
        let client = self.client_of(visit, &form).await?;
        if !may_ask(&client) {
            return Err(OauthError::Client("the client may not ask about tokens"));
        }
        let token = form
            .find("token")
            .ok_or_else(|| OauthError::request("token is missing"))?;
        let members = if token.starts_with(opaque::REFRESH) {
            self.about_refresh(token).await?
        } else {
            match self.own_principal(token).await? {
                Some(principal) => Some(self.about_access(&principal, token).await),
                None => None,
            }
        };
        let mut document = Map::new();
        document.insert("active".into(), json!(members.is_some()));
        document.extend(members.unwrap_or_default());
        Ok(Reply::json(StatusCode::OK, &document).detail("client_id", client.id))
    }

    async fn about_access(&self, principal: &Principal, token: &str) -> Map<String, Value> {
        let scopes: Vec<&str> = principal.scopes().iter().map(String::as_str).collect();
        let optional = [
            ("client_id", principal.client_id()),
            ("jti", principal.token_id()),
            ("username", principal.email()),
            ("sid", principal.session()),
        ];
        let mut members = Map::new();
        members.insert("token_type".into(), json!("Bearer"));
        members.insert("iss".into(), json!(principal.issuer()));
        members.insert("sub".into(), json!(format!("user_{}", principal.user())));
        members.insert("aud".into(), json!(self.audience_of(token).await));
        members.insert("scope".into(), json!(scopes.join(" ")));
        members.insert("exp".into(), json!(principal.expires_at().seconds()));
        let issued_at = principal.issued_at().map(|at| at.seconds());
        members.extend(issued_at.map(|at| ("iat".to_owned(), json!(at))));
        for (name, value) in optional {
            members.extend(value.map(|value| (name.to_owned(), json!(value))));
        }
        members
    }

    async fn about_refresh(&self, token: &str) -> Result<Option<Map<String, Value>>, OauthError> {
        let Some((grant, true)) = self.grants.of_token(token).await? else {
            return Ok(None);
        };
        let user = users::find(&*self.store, &grant.user).await?;
        let stands = user.is_some_and(|held| {
            !held.record.disabled && held.record.generation <= grant.generation
        });
        Ok(stands.then(|| self.about_grant(&grant)))
    }

    fn about_grant(&self, grant: &Grant) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("token_type".into(), json!("refresh_token"));
        members.insert("iss".into(), json!(self.settings.issuer));
        members.insert("sub".into(), json!(format!("user_{}", grant.user)));
        members.insert("scope".into(), json!(grant.scopes.join(" ")));
        members.insert("aud".into(), json!(grant.resources));
        members.insert("sid".into(), json!(grant.id));
        let client = grant.client.as_deref();
        members.extend(client.map(|id| ("client_id".to_owned(), json!(id))));
        members
    }
}

/// Only clients that the operator named, and that prove who they are.
fn may_ask(client: &Client) -> bool {
    client.introspect && !matches!(client.secret, Identification::None)
}
