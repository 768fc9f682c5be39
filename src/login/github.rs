//! GitHub, or a GitHub Enterprise server: OAuth without ID tokens, refusals that come with status 200, and addresses that
//! count only where they are the user's main one and verified.

use oauth2::AuthType;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::exchange::{Departure, ExchangeError, Party};
use super::facts::Facts;
use super::settings::Endpoints;
use super::tokens::ProviderTokens;
use crate::clock::Clock;
use crate::fetch::{Address, FetchError};
use crate::secret::Secret;
use crate::users::Team;

/// GitHub, or what stands in for it.
pub(super) struct Github {
    authorize: Address,
    token: Address,
    user: Address,
    emails: Address,
    organisations: Address,
    scopes: Vec<String>,
    clock: Clock,
}

impl Github {
    pub(super) fn new(
        given: &Endpoints,
        scopes: Vec<String>,
        clock: Clock,
    ) -> Result<Self, FetchError> {
        let or =
            |given: &Option<String>, usual: &str| Address::parse(given.as_deref().unwrap_or(usual));
        let api = given.api.as_deref().unwrap_or(API).trim_end_matches('/');
        Ok(Self {
            authorize: or(&given.authorize, AUTHORIZE)?,
            token: or(&given.token, TOKEN)?,
            user: Address::parse(&format!("{api}/user"))?,
            emails: Address::parse(&format!("{api}/user/emails"))?,
            organisations: Address::parse(&format!("{api}/user/orgs?per_page=100"))?,
            scopes,
            clock,
        })
    }

    /// What is asked for where the operator names nothing.
    pub(super) fn standard_scopes() -> Vec<String> {
        ["read:user", "user:email"].map(str::to_owned).to_vec()
    }

    pub(super) fn authorize(
        &self,
        party: &Party,
        state: &str,
        verifier: &str,
    ) -> Result<Url, ExchangeError> {
        let departure = Departure {
            state,
            scopes: &self.scopes,
            verifier: Some(verifier),
            extra: &[],
        };
        party.authorize(&self.authorize, &departure)
    }

    pub(super) async fn identify(
        &self,
        party: &Party,
        code: &str,
        verifier: &str,
    ) -> Result<(Facts, ProviderTokens), ExchangeError> {
        let (style, now) = (AuthType::RequestBody, self.clock.now());
        let granted = party
            .exchange(&self.token, style, code, Some(verifier), now)
            .await?;
        let line = Secret::new(format!("Bearer {}", granted.tokens.access_token.expose()));
        let user: Person = self.read(party, &self.user, &line).await?;
        let email = self.email(party, &line).await?;
        let teams = if self.has_scope("read:org") {
            self.read::<Vec<Organisation>>(party, &self.organisations, &line)
                .await?
        } else {
            Vec::new()
        };
        Ok((facts(user, email, teams), granted.tokens))
    }

    pub(super) async fn renew(
        &self,
        party: &Party,
        refresh_token: &Secret<String>,
    ) -> Result<ProviderTokens, ExchangeError> {
        let (style, now) = (AuthType::RequestBody, self.clock.now());
        let renewed = party.renew(&self.token, style, refresh_token, now).await?;
        Ok(renewed.tokens)
    }

    fn has_scope(&self, name: &str) -> bool {
        self.scopes.iter().any(|scope| scope == name)
    }

    /// The main address, if GitHub has verified it and the user lets us see it.
    async fn email(
        &self,
        party: &Party,
        line: &Secret<String>,
    ) -> Result<Option<String>, ExchangeError> {
        if !self.has_scope("user:email") && !self.has_scope("user") {
            return Ok(None);
        }
        match self.read::<Vec<Email>>(party, &self.emails, line).await {
            Ok(emails) => Ok(emails
                .into_iter()
                .find(|email| email.primary && email.verified)
                .map(|email| email.email)),
            Err(ExchangeError::Refused) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn read<T: for<'de> Deserialize<'de>>(
        &self,
        party: &Party,
        address: &Address,
        line: &Secret<String>,
    ) -> Result<T, ExchangeError> {
        let document = party
            .read(address, line.expose(), "application/vnd.github+json")
            .await?;
        serde_json::from_value(document).map_err(|_| ExchangeError::Unreadable(address.to_string()))
    }
}

fn facts(user: Person, email: Option<String>, teams: Vec<Organisation>) -> Facts {
    let names: Vec<&str> = teams.iter().map(|team| team.login.as_str()).collect();
    let mut claims = Map::new();
    claims.insert("sub".into(), user.id.to_string().into());
    claims.insert("login".into(), user.login.clone().into());
    claims.insert("orgs".into(), json!(names));
    claims.insert(
        "email".into(),
        email.clone().map_or(Value::Null, Value::from),
    );
    Facts {
        subject: user.id.to_string(),
        name: Some(user.login),
        email_verified: email.is_some(),
        email,
        teams: teams
            .into_iter()
            .map(|team| Team {
                id: team.login,
                name: String::new(),
            })
            .collect(),
        claims,
    }
}

/// The number stays when the login is renamed, and is never given to another person.
#[derive(Deserialize)]
struct Person {
    id: u64,
    login: String,
}

#[derive(Deserialize)]
struct Email {
    email: String,
    #[serde(default)]
    primary: bool,
    #[serde(default)]
    verified: bool,
}

#[derive(Deserialize)]
struct Organisation {
    login: String,
}

const AUTHORIZE: &str = "https://github.com/login/oauth/authorize";
const TOKEN: &str = "https://github.com/login/oauth/access_token";
const API: &str = "https://api.github.com";
