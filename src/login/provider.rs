//! The providers that a desk knows, made ready: each with its addresses checked and its own way of doing things.

use arc_swap::ArcSwapOption;

use super::clickup::Clickup;
use super::development;
use super::discovery::Discovery;
use super::error::LoginError;
use super::exchange::{ExchangeError, Party};
use super::github::Github;
use super::oidc::Oidc;
use super::settings::{Kind, ProviderSettings, Settings};
use crate::clock::Clock;
use crate::fetch::{FetchError, Fetcher};
use crate::trust::TrustError;

/// Settings that no desk can be made of.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Two providers of one name, or one without.
    #[error("the login provider `{0}` is not the only one of its name")]
    Name(String),
    /// An address that may not be asked.
    #[error("the login provider `{name}` has an address that cannot be used")]
    Address {
        /// The provider.
        name: String,
        /// Which address.
        source: FetchError,
    },
    /// The OpenID provider's issuer cannot be used.
    #[error("the issuer of the login provider `{name}` cannot be used")]
    Issuer {
        /// The provider.
        name: String,
        /// Why not.
        source: ExchangeError,
    },
    /// It is not known whom to trust.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The public address of the gateway is no address.
    #[error("`{0}` is no address to send browsers back to")]
    PublicUrl(String),
    /// A state that would live too long.
    #[error("a login may take at most {} s", Settings::STATE_LIFETIME_MAX.as_secs())]
    StateLifetime,
}

/// One provider: what the operator wrote, us as it knows us, and its own way.
pub(super) struct Provider {
    pub(super) settings: ProviderSettings,
    pub(super) party: Party,
    pub(super) via: Via,
}

/// The ways of the kinds.
pub(super) enum Via {
    Clickup(Clickup),
    Github(Github),
    Oidc(Box<Oidc>),
    Development,
}

impl Provider {
    pub(super) fn new(
        given: &ProviderSettings,
        settings: &Settings,
        redirect_uri: &str,
        clock: &Clock,
    ) -> Result<Self, SetupError> {
        let fetcher = Fetcher::new(
            given.ca_file.as_deref(),
            settings.extra_ca_file.as_deref(),
            settings.timeout,
            settings.answer_max,
        )?;
        let mut given = given.clone();
        if given.kind == Kind::Development {
            given.claims.tier_claim = Some(development::TIER.into());
            given.claims.team_claim = Some(development::TEAM.into());
        }
        Ok(Self {
            via: Via::new(&given, settings, clock)?,
            party: Party::new(
                given.client_id.clone(),
                given.client_secret.clone(),
                redirect_uri.to_owned(),
                fetcher,
            ),
            settings: given,
        })
    }

    pub(super) fn failed(&self, source: ExchangeError) -> LoginError {
        LoginError::Exchange {
            provider: self.settings.name.clone(),
            source,
        }
    }
}

impl Via {
    fn new(
        given: &ProviderSettings,
        settings: &Settings,
        clock: &Clock,
    ) -> Result<Self, SetupError> {
        let name = || given.name.clone();
        let scopes = |standard: Vec<String>| match given.scopes.as_slice() {
            [] => standard,
            named => named.to_vec(),
        };
        let address = |source| SetupError::Address {
            name: name(),
            source,
        };
        let clock = clock.clone();
        Ok(match &given.kind {
            Kind::Clickup(endpoints) => Self::Clickup(
                Clickup::new(endpoints, given.scopes.clone(), clock).map_err(address)?,
            ),
            Kind::Github(endpoints) => Self::Github(
                Github::new(endpoints, scopes(Github::standard_scopes()), clock)
                    .map_err(address)?,
            ),
            Kind::Oidc { issuer } => Self::Oidc(Box::new(Oidc {
                name: name(),
                issuer: issuer.clone(),
                scopes: scopes(Oidc::standard_scopes()),
                discovery: Discovery::new(issuer, settings.discovery_keep, clock.clone()).map_err(
                    |source| SetupError::Issuer {
                        name: name(),
                        source,
                    },
                )?,
                ca_file: given.ca_file.clone(),
                extra_ca_file: settings.extra_ca_file.clone(),
                leeway: settings.leeway,
                clock,
                id_tokens: ArcSwapOption::empty(),
            })),
            Kind::Development => Self::Development,
        })
    }
}
