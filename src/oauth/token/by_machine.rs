//! A machine's own token (RFC 6749 section 4.4): for clients that the operator set up to act for themselves, and that prove who
//! they are. There is no user and no refresh token.

use super::Granted;
use crate::audit::event::Event;
use crate::auth::mint;
use crate::oauth::Server;
use crate::oauth::client::{Client, Identification, Machine};
use crate::oauth::error::{OauthError, Refusal};
use crate::users;
use crate::web::Params;

/// The provider of machines in user ids: no login provider can be called that.
const PROVIDER: &str = "~client";

impl Server {
    pub(super) async fn by_machine<'a>(
        &self,
        client: &'a Client,
        form: &Params,
    ) -> Result<Granted<'a>, Refusal> {
        let machine = machine(client)?;
        let allowed = self.scopes.with_included(&client.scopes);
        let scopes = self.narrowed(form, &allowed)?;
        let audiences = match form.find("resource") {
            Some(_) => {
                let all = self
                    .resources
                    .iter()
                    .map(|resource| resource.id.to_string());
                self.audiences(form, &all.collect::<Vec<_>>())?
            }
            None => vec![self.default_resource.clone()],
        };
        let id = users::id_of(PROVIDER, &client.id, false);
        let known = users::find(&*self.store, &id)
            .await
            .map_err(OauthError::from)?;
        let known = known.map(|held| held.record);
        if known.as_ref().is_some_and(|user| user.disabled) {
            let error = OauthError::Unauthorized("the client was shut out");
            return Err(Refusal::from(error).of_user(&id));
        }
        Ok(Granted {
            event: Event::TokenIssued,
            client,
            token: mint::Grant {
                user: id,
                team: machine.team.clone(),
                tier: machine.tier.clone(),
                email: None,
                scopes,
                audiences,
                lifetime: Some(self.settings.access_token_lifetime),
                client: Some(client.id.clone()),
                session: None,
                generation: Some(known.map_or(0, |user| user.generation)),
            },
            refresh_token: None,
        })
    }
}

/// What a client is when it acts for itself: only one that the operator set up so, and that proves who it is.
fn machine(client: &Client) -> Result<&Machine, OauthError> {
    let proves = !matches!(client.secret, Identification::None);
    client
        .machine
        .as_ref()
        .filter(|_| proves)
        .ok_or(OauthError::Unauthorized(
            "the client may not act on its own behalf",
        ))
}
