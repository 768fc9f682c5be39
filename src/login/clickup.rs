//! ClickUp, as it is (C26): its own login address, no PKCE, no scopes, no refresh, no expiry; who the user is and which
//! workspaces they opened is asked for afterwards.

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

/// ClickUp, or what stands in for it.
pub(super) struct Clickup {
    authorize: Address,
    token: Address,
    user: Address,
    teams: Address,
    /// Sent only where the operator names some; ClickUp itself knows none.
    scopes: Vec<String>,
    clock: Clock,
}

impl Clickup {
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
            user: Address::parse(&format!("{api}/v2/user"))?,
            teams: Address::parse(&format!("{api}/v2/team"))?,
            scopes,
            clock,
        })
    }

    pub(super) fn authorize(&self, party: &Party, state: &str) -> Result<Url, ExchangeError> {
        let departure = Departure {
            state,
            scopes: &self.scopes,
            verifier: None,
            extra: &[],
        };
        party.authorize(&self.authorize, &departure)
    }

    pub(super) async fn identify(
        &self,
        party: &Party,
        code: &str,
    ) -> Result<(Facts, ProviderTokens), ExchangeError> {
        let now = self.clock.now();
        let granted = party
            .exchange(&self.token, AuthType::RequestBody, code, None, now)
            .await?;
        let facts = self.whose(party, &granted.tokens.access_token).await?;
        Ok((facts, granted.tokens))
    }

    /// Whose token it is.
    pub(super) async fn whose(
        &self,
        party: &Party,
        token: &Secret<String>,
    ) -> Result<Facts, ExchangeError> {
        let line = Secret::new(header(token.expose()));
        let user: About = self.read(party, &self.user, &line).await?;
        let teams: Teams = self.read(party, &self.teams, &line).await?;
        Ok(facts(user.user, teams.teams))
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

    async fn read<T: for<'de> Deserialize<'de>>(
        &self,
        party: &Party,
        address: &Address,
        line: &Secret<String>,
    ) -> Result<T, ExchangeError> {
        let document = party
            .read(address, line.expose(), "application/json")
            .await?;
        serde_json::from_value(document).map_err(|_| ExchangeError::Unreadable(address.to_string()))
    }
}

/// C27: a personal token goes bare, one of OAuth as a bearer.
fn header(token: &str) -> String {
    if token.starts_with("pk_") {
        token.to_owned()
    } else {
        format!("Bearer {token}")
    }
}

fn facts(user: Person, teams: Vec<Workspace>) -> Facts {
    let ids: Vec<String> = teams.iter().map(|team| team.id.clone()).collect();
    let mut claims = Map::new();
    claims.insert("sub".into(), user.id.to_string().into());
    claims.insert("email".into(), user.email.clone().into());
    claims.insert("teams".into(), json!(ids));
    claims.insert("role".into(), user.role.unwrap_or_default());
    Facts {
        subject: user.id.to_string(),
        name: user.username,
        email: user.email,
        // ClickUp does not say whether it ever checked the address.
        email_verified: false,
        teams: teams
            .into_iter()
            .map(|team| Team {
                id: team.id,
                name: team.name,
            })
            .collect(),
        claims,
    }
}

#[derive(Deserialize)]
struct About {
    user: Person,
}

#[derive(Deserialize)]
struct Person {
    id: u64,
    username: Option<String>,
    email: Option<String>,
    role: Option<Value>,
}

#[derive(Deserialize)]
struct Teams {
    teams: Vec<Workspace>,
}

#[derive(Deserialize)]
struct Workspace {
    id: String,
    #[serde(default)]
    name: String,
}

const AUTHORIZE: &str = "https://app.clickup.com/api";
const TOKEN: &str = "https://api.clickup.com/api/v2/oauth/token";
const API: &str = "https://api.clickup.com/api";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c27_the_header_follows_from_the_prefix() {
        assert_eq!(header("pk_1_canary"), "pk_1_canary");
        assert_eq!(header("1_canary"), "Bearer 1_canary");
    }

    #[test]
    fn c26_the_shipped_addresses_are_the_documented_ones() {
        let clickup = Clickup::new(&Endpoints::default(), Vec::new(), Clock::system()).unwrap();
        assert_eq!(clickup.authorize.to_string(), "https://app.clickup.com/api");
        assert_eq!(
            clickup.user.to_string(),
            "https://api.clickup.com/api/v2/user"
        );
    }
}
