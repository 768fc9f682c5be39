//! Whether the user allows it. The page is shown to the browser that brought the request, after somebody has signed in there;
//! its form is good once, in that browser, for that user. An answer is remembered for exactly this client at exactly this
//! address, and never taken for granted where another program or another site could stand behind the request.

use http::header::ORIGIN;
use serde::{Deserialize, Serialize};

use super::Server;
use super::authorize::{Allowed, covers};
use super::client::redirect;
use super::error::{OauthError, Refusal};
use super::pending::{Pending, SignedIn};
use crate::grants::opaque;
use crate::random;
use crate::store::{Held, Key, Record, Store, StoreError, Table, record};
use crate::users::{self, User};
use crate::web::pages::{self, Consent};
use crate::web::{Reply, Visit};

/// What a user has allowed a client at one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    client: String,
    redirect_uri: String,
    scopes: Vec<String>,
    resources: Vec<String>,
}

impl Record for Remembered {
    const TABLE: Table = Table::Consent;
    const VERSION: u16 = 1;
}

/// What is said about a request that nobody waits for any more.
const EXPIRED: &str = "the request is over: it took too long, or was answered before";

impl Server {
    /// Goes on with the request that a login was begun for: the page that asks, or the answer where it is known.
    pub async fn resume(&self, pending_id: &str, user: User, visit: &Visit) -> Reply {
        match self.ask(pending_id, &user, visit).await {
            Ok(reply) => reply.user(&user.id),
            Err(refusal) => {
                let refusal = refusal.of_user(&user.id);
                self.refuse_on_page(visit, &refusal).await
            }
        }
    }

    /// Ends the request whose user said no at the login provider: the client is told (RFC 6749 section 4.1.2.1).
    pub async fn decline(&self, pending_id: &str, visit: &Visit) -> Reply {
        match self.declined(pending_id, visit).await {
            Ok(reply) => reply,
            Err(refusal) => self.refuse_on_page(visit, &refusal).await,
        }
    }

    async fn declined(&self, id: &str, visit: &Visit) -> Result<Reply, Refusal> {
        let missing = || OauthError::request(EXPIRED);
        let held = self.pending(id).await?.ok_or_else(missing)?;
        self.check_browser(&held.record, visit)?;
        let pending = self.take_pending(id).await?.ok_or_else(missing)?;
        let error = OauthError::Denied("the user did not sign in");
        let refusal = Refusal::from(error).of_client(&pending.client);
        let state = pending.state.as_deref();
        Ok(self.refuse_to_client(&pending.redirect_uri, state, &refusal))
    }

    async fn ask(&self, id: &str, user: &User, visit: &Visit) -> Result<Reply, Refusal> {
        let held = self.pending(id).await?;
        let held = held.ok_or_else(|| OauthError::request(EXPIRED))?;
        self.check_browser(&held.record, visit)?;
        if !held.record.ask && self.is_remembered(&held.record, user).await? {
            let taken = self.take_pending(id).await?;
            let pending = taken.ok_or_else(|| OauthError::request(EXPIRED))?;
            let now = self.clock.now().millis();
            return Ok(self.allow(&pending, user, now).await?);
        }
        Ok(self.show(id, held, user).await?)
    }

    async fn show(&self, id: &str, held: Held<Pending>, user: &User) -> Result<Reply, OauthError> {
        let token = random::hex::<32>()?;
        let mut pending = held.record;
        pending.signed_in = Some(SignedIn {
            user: user.id.clone(),
            generation: user.generation,
            at: self.clock.now().millis(),
            form: opaque::hash(&token),
        });
        let place = opaque::hash(id);
        let end = held.expires_at;
        record::replace(&*self.store, &place, held.revision, &pending, end)
            .await?
            .ok_or_else(|| OauthError::request(EXPIRED))?;
        Ok(self.page(id, &pending, user, &token))
    }

    fn page(&self, id: &str, pending: &Pending, user: &User, token: &str) -> Reply {
        let names: Vec<&str> = pending
            .resources
            .iter()
            .map(|uri| {
                self.resource(uri)
                    .map_or(uri.as_str(), |known| known.id.as_str())
            })
            .collect();
        let label = user.email.as_deref().or(user.name.as_deref());
        let kind = redirect::check(&pending.redirect_uri);
        pages::consent(&Consent {
            client_name: &pending.client_name,
            client_id: &pending.client,
            client_host: pending.client_host.as_deref(),
            scopes: &self.scopes.explained(&pending.scopes),
            resource: &names.join(", "),
            redirect_host: &redirect::host(&pending.redirect_uri),
            loopback_only: kind != Ok(redirect::Kind::Web),
            user_label: label.unwrap_or(&user.id),
            request: id,
            token,
            form_targets: &[redirect::form_target(&pending.redirect_uri)],
        })
    }

    /// `POST /oauth/consent`: the user's answer.
    pub(super) async fn decide(&self, visit: &Visit) -> Reply {
        let decided = self.decision(visit).await;
        match decided {
            Ok(reply) => reply,
            Err(refusal) => self.refuse_on_page(visit, &refusal).await,
        }
    }

    async fn decision(&self, visit: &Visit) -> Result<Reply, Refusal> {
        self.check_origin(visit)?;
        let form = visit.form().map_err(OauthError::from)?;
        let missing = || OauthError::request(EXPIRED);
        let id = form.find("request").ok_or_else(missing)?;
        let token = form.find("token").ok_or_else(missing)?;
        let held = self.pending(id).await?.ok_or_else(missing)?;
        self.check_browser(&held.record, visit)?;
        self.check_form(&held.record, token)?;
        let allowed = match form.find("decision") {
            Some("allow") => true,
            Some("deny") => false,
            _ => return Err(OauthError::request("the decision is neither allow nor deny").into()),
        };
        // From here on it is answered: of two answers, or of a form and a newer one, one counts.
        let pending = self.take_pending(id).await?.ok_or_else(missing)?;
        self.check_form(&pending, token)?;
        let signed_in = pending.signed_in.clone().ok_or_else(missing)?;
        let outcome = if allowed {
            self.allowed(&pending, &signed_in).await
        } else {
            Err(OauthError::Denied("the user did not allow it"))
        };
        Ok(match outcome {
            Ok(reply) => reply.user(&signed_in.user),
            Err(error) => {
                let refusal = Refusal::from(error)
                    .of_client(&pending.client)
                    .of_user(&signed_in.user);
                let state = pending.state.as_deref();
                self.refuse_to_client(&pending.redirect_uri, state, &refusal)
            }
        })
    }

    async fn allowed(&self, pending: &Pending, by: &SignedIn) -> Result<Reply, OauthError> {
        // They may have been shut out or signed out while they were reading.
        let user = users::find(&*self.store, &by.user).await?;
        let user = user
            .map(|held| held.record)
            .filter(|user| !user.disabled && user.generation == by.generation)
            .ok_or(OauthError::Denied("the user may not come in"))?;
        if pending.remember {
            self.remember(pending, &user.id).await?;
        }
        self.allow(pending, &user, by.at).await
    }

    /// The code, on its way to the client (RFC 6749 section 4.1.2, RFC 9207 section 2).
    async fn allow(&self, pending: &Pending, user: &User, at: i64) -> Result<Reply, OauthError> {
        let code = self.issue_code(pending, user, at).await?;
        let mut params = vec![("code", code.expose().as_str())];
        params.extend(pending.state.as_deref().map(|state| ("state", state)));
        params.push(("iss", self.settings.issuer.as_str()));
        let to = redirect::with_params(&pending.redirect_uri, &params);
        Ok(Reply::redirect(&to)
            .action("consent_granted")
            .detail("client_id", pending.client.as_str())
            .detail("redirect_host", redirect::host(&pending.redirect_uri))
            .detail("scopes", pending.scopes.join(" "))
            .detail("resources", pending.resources.join(" ")))
    }

    fn check_browser(&self, pending: &Pending, visit: &Visit) -> Result<(), Refusal> {
        if pending.is_of(self.browser_of(visit)) {
            return Ok(());
        }
        let error = OauthError::request("the request was made by another browser");
        Err(Refusal::from(error)
            .of_client(&pending.client)
            .suspicious("foreign_browser"))
    }

    fn check_form(&self, pending: &Pending, token: &str) -> Result<(), Refusal> {
        if pending.was_shown(token) {
            return Ok(());
        }
        let error = OauthError::request("the form is not the one that was shown last");
        Err(Refusal::from(error)
            .of_client(&pending.client)
            .suspicious("foreign_form"))
    }

    /// The form of our own page, and no other site's.
    fn check_origin(&self, visit: &Visit) -> Result<(), Refusal> {
        let foreign = visit.headers.contains_key(ORIGIN)
            && visit.header(&ORIGIN) != Some(self.origin.as_str());
        if !foreign && !visit.is_cross_site() {
            return Ok(());
        }
        let error = OauthError::request("the form was sent by another site");
        Err(Refusal::from(error).suspicious("foreign_origin"))
    }

    async fn is_remembered(&self, pending: &Pending, user: &User) -> Result<bool, OauthError> {
        let place = place(pending, &user.id);
        let held = record::get::<Remembered>(&*self.store, &place).await?;
        Ok(held.is_some_and(|held| {
            let known = held.record;
            let allowed = Allowed {
                scopes: &known.scopes,
                resources: &known.resources,
            };
            let asked = Allowed {
                scopes: &pending.scopes,
                resources: &pending.resources,
            };
            known.client == pending.client
                && known.redirect_uri == pending.redirect_uri
                && covers(&allowed, &asked)
        }))
    }

    async fn remember(&self, pending: &Pending, user: &str) -> Result<(), OauthError> {
        let remembered = Remembered {
            client: pending.client.clone(),
            redirect_uri: pending.redirect_uri.clone(),
            scopes: pending.scopes.clone(),
            resources: pending.resources.clone(),
        };
        let end = self.clock.now().plus(self.settings.consent_lifetime);
        let place = place(pending, user);
        record::put(&*self.store, &place, &remembered, Some(end)).await?;
        Ok(())
    }
}

/// Forgets what a user has allowed: they are asked again. Says how much there was.
///
/// # Errors
/// [`StoreError`]; what was not reached is still there.
pub async fn forget_consents(store: &dyn Store, user: &str) -> Result<usize, StoreError> {
    let prefix = format!("{user}/");
    let mut forgotten = 0;
    loop {
        let page = store.scan(Table::Consent, &prefix, None, PAGE).await?;
        if page.is_empty() {
            return Ok(forgotten);
        }
        for (id, _) in page {
            store.delete(&Key::new(Table::Consent, id)).await?;
            forgotten += 1;
        }
    }
}

/// How many are forgotten at once.
const PAGE: usize = 200;

/// Where the consent of a user to a client at an address is kept.
fn place(pending: &Pending, user: &str) -> String {
    let client = opaque::hash(&pending.client);
    let redirect_uri = opaque::hash(&pending.redirect_uri);
    format!("{user}/{client}/{redirect_uri}")
}
