//! `sallygate token`: tokens of our own, made with the key that the gateway checks them with. The key comes from the
//! configuration, a file or the environment, never from the command line, where the process list would show it (C56).

use clap::{Args, Subcommand};

use super::start::Source;
use super::{Exit, Output};
use crate::auth::{Grant, Mint, ResourceId};
use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::gateway::own_tokens;
use crate::units::parse_duration;

/// Makes tokens
#[derive(Debug, Subcommand)]
pub enum Token {
    Mint(MintToken),
}

/// Makes a token for one user
///
/// Prints the token alone, so that it can be piped. The signing key is the first of auth.keys (JWT_SECRET,
/// JWT_SECRET_FILE); without a configuration it is the one that `run --upstream` uses.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  sallygate token mint --user alice\n  sallygate token mint --user alice --tier premium --scope mcp:read --scope mcp:write --lifetime 1h"
)]
pub struct MintToken {
    #[command(flatten)]
    source: Source,
    /// The user's id
    #[arg(long, value_name = "ID")]
    user: String,
    /// The tier that sets the user's limits; the configured default if absent
    #[arg(long)]
    tier: Option<String>,
    /// The default workspace of the user
    #[arg(long, default_value = "0")]
    team: String,
    /// The user's e-mail address
    #[arg(long)]
    email: Option<String>,
    /// A scope to grant; repeat for more. All that the routes know if absent
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// How long the token is good for, at most 24h; the configured lifetime if absent
    #[arg(long, value_name = "DURATION")]
    lifetime: Option<String>,
    /// The route that the token is for, by name; repeat for more. All routes if absent
    #[arg(long = "route", value_name = "NAME")]
    routes: Vec<String>,
}

impl Token {
    pub(super) fn run(&self, env: &Environment, out: &mut Output<'_>) -> Exit {
        let Self::Mint(mint) = self;
        let Some(config) = mint.source.config_without_upstream(env, out) else {
            return Exit::Failed;
        };
        match mint.token(&config) {
            Ok(token) => {
                out.line(token);
                Exit::Done
            }
            Err(problem) => {
                out.trouble(problem);
                Exit::Failed
            }
        }
    }
}

impl MintToken {
    fn token(&self, config: &Config) -> Result<String, String> {
        let routes: Vec<_> = config
            .routes
            .iter()
            .filter(|route| self.routes.is_empty() || self.routes.contains(&route.name))
            .collect();
        if let Some(unknown) = self
            .routes
            .iter()
            .find(|name| !routes.iter().any(|route| route.name == **name))
        {
            return Err(format!("there is no route called `{unknown}`"));
        }
        let scopes = match self.scopes.as_slice() {
            [] => routes
                .iter()
                .flat_map(|route| route.scopes_supported.iter().cloned())
                .collect(),
            asked => asked.to_vec(),
        };
        let audiences = routes
            .iter()
            .map(|route| ResourceId::parse(&route.resource))
            .collect::<Result<_, _>>();
        let grant = Grant {
            user: self.user.clone(),
            team: self.team.clone(),
            tier: self
                .tier
                .clone()
                .unwrap_or_else(|| config.quotas.default_tier.clone()),
            email: self.email.clone(),
            scopes: unique(scopes),
            audiences: audiences.map_err(|error| error.to_string())?,
            lifetime: self
                .lifetime
                .as_deref()
                .map(parse_duration)
                .transpose()
                .map_err(|error| error.to_string())?,
            ..Grant::default()
        };
        mint(config, &grant)
    }
}

/// Signs a grant with the configuration's own key.
pub(super) fn mint(config: &Config, grant: &Grant) -> Result<String, String> {
    let own = own_tokens(config)
        .ok_or("there is no signing key; write auth.keys or set JWT_SECRET (`sallygate keys generate` makes one)")?;
    let mint = Mint::new(&own, Clock::system()).map_err(|error| error.to_string())?;
    let minted = mint.mint(grant).map_err(|error| error.to_string())?;
    Ok(minted.token.expose().clone())
}

fn unique(mut scopes: Vec<String>) -> Vec<String> {
    scopes.sort();
    scopes.dedup();
    scopes
}
