//! `/auth/login`: straight to the only provider, or a page that asks which; programs get the choice as JSON.

use http::StatusCode;
use serde_json::json;
use url::form_urlencoded::byte_serialize;

use super::Account;
use crate::audit::event::Event;
use crate::login::{LoginError, Next, Offer};
use crate::routes::account as paths;
use crate::web::pages::{self, Choice, Chooser};
use crate::web::{Reply, Visit};

impl Account {
    pub(super) async fn enter(&self, visit: &Visit) -> Reply {
        let params = match visit.params() {
            Ok(params) => params,
            Err(error) => return LoginError::from(error).answer(visit),
        };
        let offers = self.parts.desk.providers();
        let chosen = match (params.find("provider"), offers) {
            (Some(named), _) => named,
            (None, [only]) => &only.name,
            (None, []) => return LoginError::UnknownProvider.answer(visit),
            (None, several) => return choose(several, visit),
        };
        match self.parts.desk.begin(chosen, Next::Session, visit).await {
            Ok(reply) => reply,
            Err(error) => error.answer(visit),
        }
    }

    pub(super) fn development(&self, visit: &Visit) -> Reply {
        match self.parts.desk.development(visit) {
            Ok(reply) => reply,
            Err(error) => error.answer(visit),
        }
    }
}

fn choose(offers: &[Offer], visit: &Visit) -> Reply {
    let href = |offer: &Offer| {
        let name: String = byte_serialize(offer.name.as_bytes()).collect();
        format!("{}?provider={name}", paths::LOGIN)
    };
    let reply = if pages::wanted(visit) {
        let choices = offers.iter().map(|offer| Choice {
            href: href(offer),
            label: &offer.label,
        });
        pages::chooser(&Chooser {
            client: None,
            choices: choices.collect(),
        })
    } else {
        let providers: Vec<_> = offers
            .iter()
            .map(|offer| {
                json!({ "name": offer.name, "label": offer.label, "kind": offer.kind,
                    "login_url": href(offer) })
            })
            .collect();
        Reply::json(StatusCode::OK, &json!({ "providers": providers }))
    };
    reply.event(Event::LoginInitiated)
}
