//! The desk: sends a browser away with a state that only it can bring back, and says who came back.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use url::Url;

use super::attempt::{Attempt, Bound, Next, State, States};
use super::development;
use super::error::{Denial, LoginError, StateFault};
use super::facts::{self, Facts};
use super::oidc::Return;
use super::provider::{Provider, SetupError, Via};
use super::settings::Settings;
use super::tokens::ProviderTokens;
use crate::audit::event::Event;
use crate::clock::Clock;
use crate::routes;
use crate::secret::Secret;
use crate::store::{Store, record};
use crate::users::{self, Profile, User};
use crate::web::address::neighbourhood;
use crate::web::pages::{self, Development};
use crate::web::{Params, Reply, Visit};

/// One way to sign in, as pages offer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The provider's name, for [`Desk::begin`].
    pub name: String,
    /// What it is called.
    pub label: String,
    /// What kind it is: `clickup`, `github`, `oidc` or `development`.
    pub kind: &'static str,
}

/// A person who has just proven who they are.
#[derive(Debug)]
pub struct SignedIn {
    /// Their record.
    pub user: User,
    /// What waits for them.
    pub next: Next,
    /// The provider that knows them.
    pub provider: String,
    /// The provider's own tokens, where they are to be kept.
    pub tokens: Option<ProviderTokens>,
}

/// Signs users in.
pub struct Desk {
    providers: Vec<Provider>,
    offers: Vec<Offer>,
    states: States,
    store: Arc<dyn Store>,
    clock: Clock,
    redirect_uri: String,
    state_lifetime: Duration,
    attempts_per_address: u64,
    tiers: Vec<String>,
}

impl Desk {
    /// A desk for these providers. `state_key` must be the same in every process that answers for this gateway.
    ///
    /// # Errors
    /// [`SetupError`] for the first setting that cannot be used.
    pub fn new(
        settings: Settings,
        store: Arc<dyn Store>,
        state_key: Secret<[u8; 32]>,
        clock: Clock,
    ) -> Result<Self, SetupError> {
        let url = Url::parse(&settings.public_url)
            .map_err(|_| SetupError::PublicUrl(settings.public_url.clone()))?;
        if settings.state_lifetime > Settings::STATE_LIFETIME_MAX {
            return Err(SetupError::StateLifetime);
        }
        let redirect_uri = format!("{}{}", settings.public_url, routes::account::CALLBACK);
        let mut providers: Vec<Provider> = Vec::new();
        for given in &settings.providers {
            let taken = |known: &Provider| known.settings.name == given.name;
            if given.name.is_empty() || providers.iter().any(taken) {
                return Err(SetupError::Name(given.name.clone()));
            }
            providers.push(Provider::new(given, &settings, &redirect_uri, &clock)?);
        }
        let offer = |provider: &Provider| Offer {
            name: provider.settings.name.clone(),
            label: provider.settings.label.clone(),
            kind: provider.settings.kind.name(),
        };
        Ok(Self {
            offers: providers.iter().map(offer).collect(),
            providers,
            states: States::new(&state_key, url.scheme() == "https"),
            store,
            clock,
            redirect_uri,
            state_lifetime: settings.state_lifetime,
            attempts_per_address: settings.attempts_per_address,
            tiers: settings.tiers,
        })
    }

    /// The ways to sign in, in the operator's order.
    pub fn providers(&self) -> &[Offer] {
        &self.offers
    }

    /// Whether users may still sign in there. Whoever came through a provider that the operator removed is to come back by
    /// another one.
    pub fn knows(&self, provider: &str) -> bool {
        self.offers.iter().any(|offer| offer.name == provider)
    }

    /// Sends a browser to a provider: status 302 (R335), and a cookie that binds the browser (R018).
    ///
    /// # Errors
    /// [`LoginError`]; nothing is kept then.
    pub async fn begin(
        &self,
        provider: &str,
        next: Next,
        visit: &Visit,
    ) -> Result<Reply, LoginError> {
        let provider = self.provider(provider)?;
        if matches!(provider.via, Via::Development) {
            development::check_local(visit)?;
        }
        self.count(visit.address).await?;
        let attempt = Attempt {
            provider: provider.settings.name.clone(),
            next,
        };
        let browser = self
            .states
            .browser(visit.cookie(self.states.cookie_name()))?;
        let (text, state) = self
            .states
            .seal(&self.bound(&attempt, provider), &browser)?;
        let to = self.away(provider, &text, &state).await?;
        let until = self.clock.now().plus(self.state_lifetime);
        let id = state.record_id();
        record::put(&*self.store, &id, &attempt, Some(until)).await?;
        let mut reply = Reply::redirect(&to);
        if reply.status.is_redirection() {
            reply.status = StatusCode::FOUND;
        }
        Ok(reply
            .cookie(self.states.set_cookie(&browser, self.state_lifetime))
            .event(Event::LoginInitiated)
            .detail("provider", provider.settings.name.as_str()))
    }

    /// Says who came back.
    ///
    /// # Errors
    /// [`LoginError`]. A state that was ours is spent in any case, whatever else is wrong.
    ///
    /// # Cancel safety
    /// A browser that goes away in the middle has spent its state; nobody is signed in.
    pub async fn finish(&self, visit: &Visit) -> Result<SignedIn, LoginError> {
        let params = visit.params()?;
        let state = self.shown_state(&params, visit)?;
        let attempt = self.take(&state).await?;
        let provider = self
            .provider(&attempt.provider)
            .map_err(|_| LoginError::State(StateFault::Spent))?;
        if !state.is_bound_to(&self.bound(&attempt, provider)) {
            return Err(LoginError::State(StateFault::Altered));
        }
        self.check_issuer(provider, &params).await?;
        if let Some(error) = params.find("error") {
            return Err(LoginError::Denied {
                denial: Denial::parse(error),
                next: attempt.next,
            });
        }
        let code = params
            .find("code")
            .filter(|code| code.len() <= CODE_MAX_BYTES)
            .ok_or(LoginError::NoCode)?;
        let (facts, tokens) = self
            .identify(provider, &params, &state, code, visit)
            .await?;
        let profile = facts::profile(&facts, &provider.settings)?;
        let user = self.admit(&profile).await?;
        Ok(SignedIn {
            user,
            next: attempt.next,
            provider: attempt.provider,
            tokens: tokens.filter(|_| provider.settings.keep_tokens),
        })
    }

    /// The page of the development login.
    ///
    /// # Errors
    /// [`LoginError`] where there is no such login, or the browser is elsewhere, or came without a state of its own.
    pub fn development(&self, visit: &Visit) -> Result<Reply, LoginError> {
        let offered = |provider: &Provider| matches!(provider.via, Via::Development);
        if !self.providers.iter().any(offered) {
            return Err(LoginError::UnknownProvider);
        }
        development::check_local(visit)?;
        let params = visit.params()?;
        self.shown_state(&params, visit)?;
        Ok(pages::development(&Development {
            state: params.find("state").unwrap_or_default(),
            tiers: self.tiers.iter().map(String::as_str).collect(),
        }))
    }

    /// New tokens for a provider's refresh token (R414).
    ///
    /// # Errors
    /// [`LoginError`]; [`super::ExchangeError::Grant`] in it means that the user must sign in again.
    pub async fn renew(
        &self,
        provider: &str,
        refresh_token: &Secret<String>,
    ) -> Result<ProviderTokens, LoginError> {
        let provider = self.provider(provider)?;
        let party = &provider.party;
        let renewed = match &provider.via {
            Via::Clickup(clickup) => clickup.renew(party, refresh_token).await,
            Via::Github(github) => github.renew(party, refresh_token).await,
            Via::Oidc(oidc) => oidc.renew(party, refresh_token).await,
            Via::Development => return Err(LoginError::UnknownProvider),
        };
        renewed.map_err(|source| provider.failed(source))
    }

    /// Whose personal key this is, where the provider can be asked: the id of the user, and their workspaces (R171).
    ///
    /// # Errors
    /// [`LoginError`]; [`super::ExchangeError::Grant`] in it means that the key is good for nothing.
    pub async fn whose(
        &self,
        provider: &str,
        key: &Secret<String>,
    ) -> Result<Option<(String, Vec<users::Team>)>, LoginError> {
        let provider = self.provider(provider)?;
        let Via::Clickup(clickup) = &provider.via else {
            return Ok(None);
        };
        let facts = clickup
            .whose(&provider.party, key)
            .await
            .map_err(|source| provider.failed(source))?;
        let id = users::id_of(&provider.settings.name, &facts.subject, true);
        Ok(Some((id, facts.teams)))
    }

    fn provider(&self, name: &str) -> Result<&Provider, LoginError> {
        self.providers
            .iter()
            .find(|provider| provider.settings.name == name)
            .ok_or(LoginError::UnknownProvider)
    }

    fn bound<'a>(&'a self, attempt: &'a Attempt, provider: &'a Provider) -> Bound<'a> {
        Bound {
            attempt,
            client_id: provider.party.client_id(),
            redirect_uri: &self.redirect_uri,
        }
    }

    /// Counts one more attempt of an address within the life of a state.
    async fn count(&self, address: IpAddr) -> Result<(), LoginError> {
        let until = self.clock.now().plus(self.state_lifetime);
        let id = format!("login/{}", neighbourhood(address));
        if self.store.bump(&id, Some(until)).await? > self.attempts_per_address {
            let retry_after = self.state_lifetime.as_secs();
            return Err(LoginError::TooMany { retry_after });
        }
        Ok(())
    }

    async fn away(
        &self,
        provider: &Provider,
        text: &str,
        state: &State,
    ) -> Result<String, LoginError> {
        let party = &provider.party;
        let verifier = self.states.verifier(state);
        let url = match &provider.via {
            Via::Clickup(clickup) => clickup.authorize(party, text),
            Via::Github(github) => github.authorize(party, text, &verifier),
            Via::Oidc(oidc) => {
                let nonce = self.states.nonce(state);
                oidc.authorize(party, text, &verifier, &nonce).await
            }
            Via::Development => {
                return Ok(format!("{}?state={text}", routes::account::DEVELOPMENT));
            }
        };
        url.map(String::from)
            .map_err(|source| provider.failed(source))
    }

    fn shown_state(&self, params: &Params, visit: &Visit) -> Result<State, LoginError> {
        let text = params
            .find("state")
            .ok_or(LoginError::State(StateFault::Missing))?;
        let browser = visit.cookie(self.states.cookie_name());
        self.states.open(text, browser).map_err(LoginError::State)
    }

    /// The record of an attempt, once.
    async fn take(&self, state: &State) -> Result<Attempt, LoginError> {
        record::take::<Attempt>(&*self.store, &state.record_id())
            .await?
            .map(|held| held.record)
            .ok_or(LoginError::State(StateFault::Spent))
    }

    /// Refuses an answer that names another issuer than the one asked (RFC 9207 section 2.4). Providers without a known
    /// issuer may name any that is not another provider's.
    async fn check_issuer(&self, provider: &Provider, params: &Params) -> Result<(), LoginError> {
        let named = params.find("iss");
        let fits = match &provider.via {
            Via::Oidc(oidc) => {
                let from_here = oidc.is_from_here(&provider.party, named).await;
                from_here.map_err(|source| provider.failed(source))?
            }
            Via::Clickup(_) | Via::Github(_) | Via::Development => {
                !self.providers.iter().any(|other| match &other.via {
                    Via::Oidc(oidc) => named == Some(oidc.issuer.as_str()),
                    _ => false,
                })
            }
        };
        if fits {
            Ok(())
        } else {
            Err(LoginError::OtherIssuer)
        }
    }

    async fn identify(
        &self,
        provider: &Provider,
        params: &Params,
        state: &State,
        code: &str,
        visit: &Visit,
    ) -> Result<(Facts, Option<ProviderTokens>), LoginError> {
        let party = &provider.party;
        let verifier = self.states.verifier(state);
        let identified = match &provider.via {
            Via::Clickup(clickup) => clickup.identify(party, code).await,
            Via::Github(github) => github.identify(party, code, &verifier).await,
            Via::Oidc(oidc) => {
                let back = Return {
                    code,
                    verifier: &verifier,
                    nonce: &self.states.nonce(state),
                };
                let (facts, tokens) = oidc.identify(party, &back).await?;
                return Ok((facts, Some(tokens)));
            }
            Via::Development => {
                development::check_local(visit)?;
                return Ok((development::identify(params, code)?, None));
            }
        };
        let (facts, tokens) = identified.map_err(|source| provider.failed(source))?;
        Ok((facts, Some(tokens)))
    }

    async fn admit(&self, profile: &Profile) -> Result<User, LoginError> {
        let signed_in = users::signed_in(&*self.store, profile, self.clock.now()).await;
        signed_in.map_err(|error| match LoginError::from(error) {
            LoginError::Disabled { .. } => LoginError::Disabled {
                user: profile.id.clone(),
            },
            other => other,
        })
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk")
            .field("offers", &self.offers)
            .finish_non_exhaustive()
    }
}

/// The longest code that is passed on.
const CODE_MAX_BYTES: usize = 4096;
