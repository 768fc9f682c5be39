//! A code for an access token (RFC 6749 section 4.1.3), shown with the verifier that only the program which asked for it has
//! (RFC 7636 section 4.5).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Granted;
use crate::audit::event::Event;
use crate::auth::{ResourceId, mint};
use crate::grants::Grant;
use crate::oauth::Server;
use crate::oauth::client::Client;
use crate::oauth::code::Code;
use crate::oauth::error::{OauthError, Refusal};
use crate::users::{self, User};
use crate::web::Params;

/// The team of a user whose login provider names none: a token has to name one.
const NO_TEAM: &str = "default";

impl Server {
    pub(super) async fn by_code<'a>(
        &self,
        client: &'a Client,
        form: &Params,
    ) -> Result<Granted<'a>, Refusal> {
        let missing = |name: &'static str| OauthError::request(format!("{name} is missing"));
        let text = form.find("code").ok_or_else(|| missing("code"))?;
        let verifier = form.find("code_verifier");
        let verifier = verifier.ok_or_else(|| missing("code_verifier"))?;
        check_verifier(verifier)?;
        let redirect_uri = form.find("redirect_uri");
        let claimed = self
            .claim_code(text, |code| {
                fits(code, client, redirect_uri, verifier)?;
                self.audiences(form, &code.resources).map(drop)
            })
            .await?;
        let audiences = self.audiences(form, &claimed.code.resources)?;
        let id = claimed.code.user.clone();
        let user = self.let_in(&id, claimed.code.generation).await?;
        let opened = self.open_grant(claimed, &user).await;
        let (grant, refresh_token) = opened.map_err(|refusal| refusal.of_user(&id))?;
        Ok(Granted {
            event: Event::TokenIssued,
            client,
            token: self.token_of(&grant, &user, grant.scopes.clone(), audiences),
            refresh_token: client.refresh.then_some(refresh_token),
        })
    }

    /// The user of a code, who may have been shut out or signed out since.
    async fn let_in(&self, id: &str, generation: u64) -> Result<User, Refusal> {
        let user = users::find(&*self.store, id)
            .await
            .map_err(OauthError::from)?;
        match user.map(|held| held.record) {
            Some(user) if !user.disabled && user.generation == generation => Ok(user),
            _ => {
                let error = OauthError::Grant("the user may not come in");
                Err(Refusal::from(error).of_user(id))
            }
        }
    }

    /// An access token under a grant.
    pub(super) fn token_of(
        &self,
        grant: &Grant,
        user: &User,
        scopes: Vec<String>,
        audiences: Vec<ResourceId>,
    ) -> mint::Grant {
        mint::Grant {
            user: user.id.clone(),
            team: user
                .team()
                .map_or_else(|| NO_TEAM.to_owned(), |team| team.id.clone()),
            tier: user.tier.clone(),
            email: user.email.clone(),
            scopes,
            audiences,
            lifetime: Some(self.settings.access_token_lifetime),
            client: grant.client.clone(),
            session: Some(grant.id.clone()),
            generation: Some(grant.generation),
        }
    }
}

/// Whether a code may be exchanged by this client, for this address, with this verifier.
fn fits(
    code: &Code,
    client: &Client,
    redirect_uri: Option<&str>,
    verifier: &str,
) -> Result<(), OauthError> {
    if code.client != client.id {
        return Err(OauthError::Grant("the authorization code is not valid"));
    }
    // Named then, named now, and the same (RFC 6749 section 4.1.3, C37).
    let same = match redirect_uri {
        Some(named) => named == code.redirect_uri,
        None => !code.redirect_named,
    };
    if !same {
        let why = "redirect_uri is not that of the authorization request";
        return Err(OauthError::Grant(why));
    }
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    let proven: bool = challenge.as_bytes().ct_eq(code.challenge.as_bytes()).into();
    if proven {
        Ok(())
    } else {
        Err(OauthError::Grant("code_verifier does not fit"))
    }
}

/// `43*128unreserved` (RFC 7636 section 4.1).
fn check_verifier(verifier: &str) -> Result<(), OauthError> {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if (43..=128).contains(&verifier.len()) && verifier.bytes().all(unreserved) {
        Ok(())
    } else {
        Err(OauthError::request("code_verifier is no code verifier"))
    }
}
