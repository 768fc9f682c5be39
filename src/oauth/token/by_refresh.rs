//! A refresh token for its successor and a new access token (RFC 6749 section 6). What is asked for is checked before the token
//! is exchanged, so that a mistake of the client's does not cost its user a login.

use super::Granted;
use crate::audit::event::Event;
use crate::grants::{GrantError, Rotation};
use crate::oauth::Server;
use crate::oauth::client::Client;
use crate::oauth::error::{OauthError, Refusal};
use crate::web::Params;

impl Server {
    pub(super) async fn by_refresh<'a>(
        &self,
        client: &'a Client,
        form: &Params,
    ) -> Result<Granted<'a>, Refusal> {
        let token = form
            .find("refresh_token")
            .ok_or_else(|| OauthError::request("refresh_token is missing"))?;
        let id = Some(client.id.as_str());
        let grant = self.grants.consider(token, id).await.map_err(refused)?;
        let scopes = self.narrowed(form, &self.scopes_now(client, &grant.scopes))?;
        let audiences = self.audiences(form, &grant.resources)?;
        let rotated = self.grants.rotate(token, id).await.map_err(refused)?;
        let (Rotation::Fresh { grant, user, token } | Rotation::Repeated { grant, user, token }) =
            rotated;
        if !self.desk.knows(&user.provider) {
            let ended = self.grants.revoke(&grant.id).await;
            ended.map_err(GrantError::from).map_err(refused)?;
            return Err(refused(GrantError::ShutOut(user.id)));
        }
        Ok(Granted {
            event: Event::TokenRefreshed,
            client,
            token: self.token_of(&grant, &user, scopes, audiences),
            refresh_token: Some(token),
        })
    }
}

impl Server {
    /// The granted scopes that the client may still have: the operator may have taken some from it since.
    fn scopes_now(&self, client: &Client, granted: &[String]) -> Vec<String> {
        let may_have = self.scopes.with_included(&client.scopes);
        let kept = granted
            .iter()
            .filter(|name| client.scopes.is_empty() || may_have.contains(name));
        kept.cloned().collect()
    }
}

fn refused(error: GrantError) -> Refusal {
    let (user, suspicious) = match &error {
        GrantError::Reused { user, .. } => (Some(user.clone()), Some("refresh_token_reused")),
        GrantError::ShutOut(user) => (Some(user.clone()), None),
        GrantError::OtherClient => (None, Some("refresh_token_of_another_client")),
        GrantError::Unknown
        | GrantError::Expired
        | GrantError::Busy
        | GrantError::Unmade
        | GrantError::Store(_) => (None, None),
    };
    let mut refusal = Refusal::from(OauthError::from(error));
    if let Some(user) = user {
        refusal = refusal.of_user(&user);
    }
    match suspicious {
        Some(action) => refusal.suspicious(action),
        None => refusal,
    }
}
