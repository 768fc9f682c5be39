//! `/oauth/authorize`: a client sends a user's browser here (RFC 6749 section 4.1.1). Until client and redirect address are
//! known to belong together, a refusal is a page: to redirect would be to send users wherever an attacker likes. From then on
//! it goes to the client, with `iss` (RFC 9207); where anybody could have named the site, its user decides about that.

use http::{HeaderName, Method, StatusCode};

use super::client::Client;
use super::client::redirect;
use super::error::{OauthError, Refusal};
use super::pending::Pending;
use super::throttle::Who;
use super::{Server, scopes};
use crate::grants::opaque;
use crate::login::Next;
use crate::routes;
use crate::web::pages::{self, Choice, Chooser, ErrorPage, Onward};
use crate::web::{Params, Reply, Visit};

/// The longest `state` that is carried.
const STATE_MAX_BYTES: usize = 2048;
/// The length of an S256 challenge: 32 bytes in base64url (RFC 7636 section 4.2).
const CHALLENGE_LENGTH: usize = 43;

/// Where an answer may go, once that is known.
struct Back {
    client: Client,
    redirect_uri: String,
    redirect_named: bool,
    state: Option<String>,
}

impl Server {
    /// Begins an authorization.
    pub(super) async fn authorize(&self, visit: &Visit) -> Reply {
        let params = match visit.method {
            Method::POST => visit.form(),
            _ => visit.params(),
        };
        let known = match params.map_err(OauthError::from) {
            Ok(params) => self.back(visit, &params).await.map(|back| (params, back)),
            Err(error) => Err(error.into()),
        };
        let (params, back) = match known {
            Ok(known) => known,
            Err(refusal) => return self.refuse_on_page(visit, &refusal).await,
        };
        match self.wait(visit, &params, &back).await {
            Ok(reply) => reply.detail("client_id", back.client.id.as_str()),
            Err(error) => {
                let refusal = Refusal::from(error).of_client(&back.client.id);
                let (to, state) = (&back.redirect_uri, back.state.as_deref());
                if back.client.is_anybodys(to) {
                    let href = self.with_refusal(to, state, refusal.error());
                    let host = &redirect::host(to);
                    let href = &href;
                    return refusal_page(visit, &refusal, Some(Onward { host, href }));
                }
                self.refuse_to_client(to, state, &refusal)
            }
        }
    }

    /// Goes on with the login that was chosen from the page of several.
    pub(super) async fn choose(&self, visit: &Visit) -> Reply {
        let chosen = async {
            let params = visit.params().map_err(OauthError::from)?;
            let missing = || OauthError::request("the request is not known");
            let id = params.find("request").ok_or_else(missing)?;
            let provider = params.find("provider").ok_or_else(missing)?;
            let held = self.pending(id).await?.ok_or_else(missing)?;
            if !held.record.is_of(self.browser_of(visit)) {
                let error = OauthError::request("the request was made by another browser");
                return Err(Refusal::from(error).suspicious("foreign_browser"));
            }
            Ok((id.to_owned(), provider.to_owned()))
        };
        match chosen.await {
            Ok((id, provider)) => self.send_to_login(visit, &provider, id).await,
            Err(refusal) => self.refuse_on_page(visit, &refusal).await,
        }
    }

    /// The client and where its answers go. Everything that is wrong up to here is shown, not sent.
    async fn back(&self, visit: &Visit, params: &Params) -> Result<Back, Refusal> {
        self.throttle.check(&Who::Address(visit.address)).await?;
        let id = params
            .find("client_id")
            .ok_or_else(|| OauthError::request("client_id is missing"))?;
        let known = self.clients.find(id, visit.address).await?;
        let client = known.ok_or(OauthError::Client("there is no such client"))?;
        let named = params.find("redirect_uri");
        let Some(redirect_uri) = client.redirect(named) else {
            let error = match named {
                Some(_) => OauthError::request("redirect_uri is not one of the client's"),
                None => OauthError::request("redirect_uri is missing"),
            };
            return Err(Refusal::from(error).of_client(id));
        };
        let state = params.find("state");
        Ok(Back {
            redirect_uri,
            redirect_named: named.is_some(),
            state: state
                .filter(|state| state.len() <= STATE_MAX_BYTES)
                .map(str::to_owned),
            client,
        })
    }

    /// Checks the rest of a request, keeps it, and sends the browser to sign in.
    async fn wait(&self, visit: &Visit, params: &Params, back: &Back) -> Result<Reply, OauthError> {
        self.throttle.request(visit.address).await?;
        check_kind(params)?;
        let challenge = challenge(params)?;
        let resources = self.asked_resources(params)?;
        let scopes = self.asked_scopes(params, &back.client, &resources)?;
        let prompt = Prompt::read(params.find("prompt"))?;
        let browser = self.browser_or_new(visit)?;
        let at_home = back.client.is_at_home(&back.redirect_uri);
        let pending = Pending {
            client: back.client.id.clone(),
            client_name: back.client.name.clone(),
            client_host: back.client.host().map(str::to_owned),
            redirect_uri: back.redirect_uri.clone(),
            redirect_named: back.redirect_named,
            state: back.state.clone(),
            challenge,
            scopes,
            resources,
            // Silent only where the user themselves came here: a page of another site could begin this for them.
            ask: prompt.ask || !at_home || !came_by_themselves(visit),
            remember: at_home,
            browser: opaque::hash(&browser),
            signed_in: None,
        };
        let id = self.keep(&pending).await?;
        let reply = match self.desk.providers() {
            [only] if !prompt.choose => {
                let name = only.name.clone();
                self.send_to_login(visit, &name, id).await
            }
            _ => self.chooser(&pending, &id),
        };
        Ok(reply.cookie(self.set_browser(&browser)))
    }

    async fn send_to_login(&self, visit: &Visit, provider: &str, id: String) -> Reply {
        match self.desk.begin(provider, Next::Authorize(id), visit).await {
            Ok(reply) => reply,
            Err(error) => error.answer(visit),
        }
    }

    fn chooser(&self, pending: &Pending, id: &str) -> Reply {
        let choices = self.desk.providers().iter().map(|offer| {
            let params = [("request", id), ("provider", offer.name.as_str())];
            Choice {
                href: redirect::with_params(routes::oauth::LOGIN, &params),
                label: &offer.label,
            }
        });
        pages::chooser(&Chooser {
            client: Some(&pending.client_name),
            choices: choices.collect(),
        })
    }

    /// The resources that tokens are to be for (RFC 8707 section 2.1); the first one where none is named.
    fn asked_resources(&self, params: &Params) -> Result<Vec<String>, OauthError> {
        let mut resources = Vec::new();
        for named in params.all("resource") {
            let id = self.resource(named).ok_or(OauthError::Target)?.id.as_str();
            if !resources.iter().any(|known| known == id) {
                resources.push(id.to_owned());
            }
        }
        if resources.is_empty() {
            resources.push(self.default_resource.as_str().to_owned());
        }
        Ok(resources)
    }

    /// The scopes to ask the user for: those that are named and that the client may have, or those of the resources.
    fn asked_scopes(
        &self,
        params: &Params,
        client: &Client,
        resources: &[String],
    ) -> Result<Vec<String>, OauthError> {
        let named = self.scopes.read(params.find("scope"))?;
        let asked = match named {
            Some(named) if !named.is_empty() => named,
            _ => self.default_scopes(resources),
        };
        let may_have = |name: &String| client.scopes.is_empty() || client.scopes.contains(name);
        let narrowed: Vec<String> = asked
            .iter()
            .filter(|name| may_have(name))
            .cloned()
            .collect();
        if narrowed.is_empty() && !asked.is_empty() {
            return Err(OauthError::Scope(
                "the client may have none of these scopes",
            ));
        }
        Ok(self.scopes.with_included(&narrowed))
    }

    fn default_scopes(&self, resources: &[String]) -> Vec<String> {
        let mut names = Vec::new();
        let chosen = self
            .resources
            .iter()
            .filter(|resource| resources.iter().any(|id| id == resource.id.as_str()));
        for name in chosen.flat_map(|resource| &resource.scopes) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let list = names.join(" ");
        let known = self.scopes.read(Some(&list)).ok().flatten();
        known.unwrap_or_default()
    }

    /// A refusal that goes to the client (RFC 6749 section 4.1.2.1, RFC 9207 section 2).
    pub(super) fn refuse_to_client(
        &self,
        redirect_uri: &str,
        state: Option<&str>,
        refusal: &Refusal,
    ) -> Reply {
        let error = refusal.error();
        let reply = Reply::redirect(&self.with_refusal(redirect_uri, state, error));
        refusal.note(reply.refused(error.code()))
    }

    /// The client's address, with a refusal.
    fn with_refusal(&self, redirect_uri: &str, state: Option<&str>, error: &OauthError) -> String {
        let description = error.description();
        // The closest of the codes that clients expect here (RFC 6749 section 4.1.2.1).
        let code = match error {
            OauthError::Slow(_) => OauthError::Unavailable.code(),
            other => other.code(),
        };
        let mut params = vec![("error", code), ("error_description", description.as_ref())];
        params.extend(state.map(|state| ("state", state)));
        params.push(("iss", self.settings.issuer.as_str()));
        redirect::with_params(redirect_uri, &params)
    }

    /// A refusal that is shown, since nobody is known whom to send it to.
    pub(super) async fn refuse_on_page(&self, visit: &Visit, refusal: &Refusal) -> Reply {
        let error = refusal.error();
        if matches!(error, OauthError::Client(_)) {
            // Guessing at clients, and making us read documents, is counted. A store that is down has refused already.
            let _ = self.throttle.failed(&Who::Address(visit.address)).await;
        }
        refusal_page(visit, refusal, None)
    }
}

fn refusal_page(visit: &Visit, refusal: &Refusal, onward: Option<Onward<'_>>) -> Reply {
    let error = refusal.error();
    let status = match error.status() {
        StatusCode::UNAUTHORIZED => StatusCode::BAD_REQUEST,
        other => other,
    };
    let message = match error {
        OauthError::Client(_) => "The program that sent you here is not known.".into(),
        other => other.description(),
    };
    let reply = pages::error(&ErrorPage {
        status,
        title: "This cannot go on",
        message: &message,
        advice: "Go back to the program that sent you here, and start again from there.",
        retry: None,
        onward,
        code: error.code(),
        request_id: &visit.request_id,
    });
    let why = match error {
        OauthError::Client(why) => reply.detail("why", *why),
        _ => reply,
    };
    refusal.note(why)
}

/// What is asked for must be a code, in the query of a redirection, by parameters in the clear.
fn check_kind(params: &Params) -> Result<(), OauthError> {
    if params.find("request").is_some() {
        return Err(OauthError::RequestObject);
    }
    if params.find("request_uri").is_some() {
        return Err(OauthError::RequestUri);
    }
    if params.find("registration").is_some() {
        return Err(OauthError::RegistrationParameter);
    }
    if params
        .find("state")
        .is_some_and(|state| state.len() > STATE_MAX_BYTES)
    {
        return Err(OauthError::request("state is longer than 2048 bytes"));
    }
    match params.find("response_type") {
        Some("code") => {}
        Some(_) => return Err(OauthError::ResponseType),
        None => return Err(OauthError::request("response_type is missing")),
    }
    match params.find("response_mode") {
        None | Some("query") => Ok(()),
        Some(_) => Err(OauthError::request("response_mode is not `query`")),
    }
}

/// The S256 challenge, without which nobody gets a code (RFC 7636 section 4.4.1, C02, R539, R540).
fn challenge(params: &Params) -> Result<String, OauthError> {
    let Some(challenge) = params.find("code_challenge") else {
        return Err(OauthError::request("code_challenge is missing"));
    };
    if params.find("code_challenge_method") != Some("S256") {
        return Err(OauthError::request("code_challenge_method is not S256"));
    }
    let fits = challenge.len() == CHALLENGE_LENGTH
        && challenge
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if fits {
        Ok(challenge.to_owned())
    } else {
        Err(OauthError::request("code_challenge is no S256 challenge"))
    }
}

/// How the user is to be asked (OpenID Connect Core section 3.1.2.1).
struct Prompt {
    ask: bool,
    choose: bool,
}

impl Prompt {
    fn read(text: Option<&str>) -> Result<Self, OauthError> {
        let words: Vec<&str> = text.unwrap_or_default().split_ascii_whitespace().collect();
        match words.as_slice() {
            // There is no session here that could answer without the user.
            ["none"] => return Err(OauthError::LoginRequired),
            words if words.contains(&"none") => {
                return Err(OauthError::request("prompt has `none` beside others"));
            }
            _ => {}
        }
        Ok(Self {
            ask: words
                .iter()
                .any(|word| matches!(*word, "login" | "consent")),
            choose: words.contains(&"select_account"),
        })
    }
}

/// Whether a browser says that no other site had a part in this (Fetch metadata). What says nothing may be anything.
fn came_by_themselves(visit: &Visit) -> bool {
    const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    visit.header(&FETCH_SITE).is_some() && !visit.is_cross_site()
}

/// Whether what is asked for is part of what was allowed.
pub(super) fn covers(allowed: &Allowed<'_>, asked: &Allowed<'_>) -> bool {
    scopes::within(asked.scopes, allowed.scopes)
        && scopes::within(asked.resources, allowed.resources)
}

/// Scopes at resources.
pub(super) struct Allowed<'a> {
    pub(super) scopes: &'a [String],
    pub(super) resources: &'a [String],
}
