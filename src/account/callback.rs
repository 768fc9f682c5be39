//! `/auth/callback`: a browser comes back from a provider. Either a session begins, or the request of a client goes on.

use http::StatusCode;

use super::session::{about, body, seconds};
use super::{Account, refusal};
use crate::audit::event::Event;
use crate::login::error::Denial;
use crate::login::{LoginError, Next, SignedIn};
use crate::users::User;
use crate::web::pages::{self, SignedIn as Page};
use crate::web::{Reply, Visit};

impl Account {
    pub(super) async fn callback(&self, visit: &Visit) -> Reply {
        let signed_in = match self.parts.desk.finish(visit).await {
            Ok(signed_in) => signed_in,
            Err(error) => return self.not_signed_in(&error, visit).await,
        };
        let SignedIn {
            user,
            next,
            provider,
            tokens,
        } = signed_in;
        if let Some(tokens) = tokens
            && let Err(error) = self.keep_tokens(&user.id, &provider, &tokens).await
        {
            return refusal::of_vault(&error, visit).user(&user.id);
        }
        let reply = match next {
            Next::Session => self.begin_session(&user, visit).await,
            Next::Authorize(pending) => match &self.parts.oauth {
                Some(oauth) => oauth.resume(&pending, user.clone(), visit).await,
                None => refusal::unavailable(visit),
            },
        };
        noted(reply, &user, &provider)
    }

    /// A client that waits for a user who said no is told so; everybody else is shown what went wrong.
    async fn not_signed_in(&self, error: &LoginError, visit: &Visit) -> Reply {
        match (error, &self.parts.oauth) {
            (
                LoginError::Denied {
                    denial: Denial::AccessDenied,
                    next: Next::Authorize(pending),
                },
                Some(oauth),
            ) => oauth.decline(pending, visit).await,
            _ => error.answer(visit),
        }
    }

    async fn begin_session(&self, user: &User, visit: &Visit) -> Reply {
        let opened = match self.open_session(user, visit).await {
            Ok(opened) => opened,
            Err(refusal) => return refusal,
        };
        if !pages::wanted(visit) {
            let mut body = body(&opened.minted, Some(&opened.refresh_token));
            if let Some(members) = body.as_object_mut() {
                members.insert("user".into(), about(user));
            }
            return Reply::json(StatusCode::OK, &body);
        }
        let name = |team: &crate::users::Team| match team.name.as_str() {
            "" => team.id.clone(),
            name => name.to_owned(),
        };
        pages::signed_in(&Page {
            user_label: label(user),
            team: user.team().map(name).as_deref(),
            token: Some(opened.minted.token.expose()),
            hours: seconds(opened.minted.expires_in) / 3600,
        })
    }
}

/// How a page calls a user.
fn label(user: &User) -> &str {
    let named = user.name.as_deref().or(user.email.as_deref());
    named.unwrap_or(&user.id)
}

fn noted(mut reply: Reply, user: &User, provider: &str) -> Reply {
    reply.note.event.get_or_insert(Event::OauthCallback);
    reply.note.user.get_or_insert_with(|| user.id.clone());
    reply.note.team = reply
        .note
        .team
        .or_else(|| user.team().map(|t| t.id.clone()));
    reply
        .detail("provider", provider)
        .detail("tier", user.tier.as_str())
}
