//! Why somebody could not sign in. One value answers for the audit line, the status, the bodies of the seeds and the page.

use http::StatusCode;

use crate::auth::AuthError;
use crate::random::NoRandomness;
use crate::store::StoreError;
use crate::users::UserError;
use crate::web::ParamsError;

use super::attempt::Next;
use super::exchange::ExchangeError;

/// A login that does not happen.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// There is no provider of that name.
    #[error("there is no login provider of that name")]
    UnknownProvider,
    /// One address began too many logins.
    #[error("too many logins were begun from one address")]
    TooMany {
        /// After how many seconds it may try again.
        retry_after: u64,
    },
    /// The parameters cannot be read in one way only.
    #[error(transparent)]
    Parameters(#[from] ParamsError),
    /// The `state` is not one that this browser was sent away with, or no longer (S2).
    #[error("the state parameter is not valid: {0}")]
    State(StateFault),
    /// The answer is another provider's (RFC 9207 section 2.4).
    #[error("the answer comes from another provider")]
    OtherIssuer,
    /// The provider, or the user at it, said no.
    #[error("the provider refused: {denial}")]
    Denied {
        /// What it said.
        denial: Denial,
        /// What waits, and now waits in vain.
        next: Next,
    },
    /// The provider sent neither a code nor an error.
    #[error("the provider sent no code")]
    NoCode,
    /// The provider cannot be asked, or does not answer as it must.
    #[error("the provider `{provider}` could not be asked")]
    Exchange {
        /// Its name.
        provider: String,
        /// What went wrong.
        source: ExchangeError,
    },
    /// The provider's statement about the user does not prove itself.
    #[error("the id token is not acceptable")]
    IdToken(#[source] AuthError),
    /// The provider's statements contradict each other, or lack what must be there.
    #[error("the provider's statement about the user cannot be used: {0}")]
    Profile(&'static str),
    /// The operator did not let this user in.
    #[error("the user may not sign in here")]
    NotAllowed,
    /// The user is shut out.
    #[error("the user is disabled")]
    Disabled {
        /// Who.
        user: String,
    },
    /// The development login was reached from elsewhere.
    #[error("the development login works on the loopback only")]
    NotLocal,
    /// Nothing can be kept or looked up.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user's record is written by too many at once.
    #[error("the user's record is busy")]
    Busy,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// What is wrong with a `state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateFault {
    /// There is none.
    #[error("missing")]
    Missing,
    /// It is not one of ours, or was altered.
    #[error("altered")]
    Altered,
    /// The browser does not carry the cookie that it was sent away with.
    #[error("other browser")]
    OtherBrowser,
    /// It was used before, or its time is over.
    #[error("used or expired")]
    Spent,
}

/// What a provider says instead of sending a code (RFC 6749 section 4.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The user said no (R425).
    #[error("access_denied")]
    AccessDenied,
    /// The provider cannot answer at the moment.
    #[error("temporarily_unavailable")]
    Unavailable,
    /// Anything else: the gateway is not set up at the provider as it should be.
    #[error("other")]
    Other,
}

impl Denial {
    pub(super) fn parse(code: &str) -> Self {
        match code {
            "access_denied" => Self::AccessDenied,
            "temporarily_unavailable" | "server_error" => Self::Unavailable,
            _ => Self::Other,
        }
    }
}

impl From<UserError> for LoginError {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Store(error) => Self::Store(error),
            UserError::Disabled => Self::Disabled {
                user: String::new(),
            },
            UserError::Busy => Self::Busy,
        }
    }
}

impl LoginError {
    /// The stable word for audit lines and metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::UnknownProvider => "unknown_provider",
            Self::TooMany { .. } => "rate_limited",
            Self::Parameters(_) => "invalid_request",
            Self::State(StateFault::Missing) => "state_missing",
            Self::State(StateFault::Altered) => "state_altered",
            Self::State(StateFault::OtherBrowser) => "state_other_browser",
            Self::State(StateFault::Spent) => "state_spent",
            Self::OtherIssuer => "other_issuer",
            Self::Denied {
                denial: Denial::AccessDenied,
                ..
            } => "access_denied",
            Self::Denied {
                denial: Denial::Unavailable,
                ..
            } => "provider_unavailable",
            Self::Denied {
                denial: Denial::Other,
                ..
            } => "provider_refused",
            Self::NoCode => "code_missing",
            Self::Exchange { source, .. } => source.reason(),
            Self::IdToken(_) => "id_token_refused",
            Self::Profile(_) => "profile_refused",
            Self::NotAllowed => "user_not_allowed",
            Self::Disabled { .. } => "user_disabled",
            Self::NotLocal => "not_local",
            Self::Store(_) | Self::Busy => "store_unavailable",
            Self::Random(_) => "no_randomness",
        }
    }

    /// The `error.code` of the body.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownProvider | Self::Parameters(_) | Self::NoCode | Self::OtherIssuer => {
                "invalid_request"
            }
            Self::TooMany { .. } => "rate_limited",
            Self::State(_) => "invalid_state",
            Self::Denied {
                denial: Denial::AccessDenied,
                ..
            } => "access_denied",
            Self::Denied { .. } | Self::IdToken(_) | Self::Profile(_) => "provider_error",
            Self::Exchange { source, .. } => source.code(),
            Self::NotAllowed | Self::NotLocal => "access_denied",
            Self::Disabled { .. } => "user_disabled",
            Self::Store(_) | Self::Busy | Self::Random(_) => "service_unavailable",
        }
    }

    /// The status of the answer.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::UnknownProvider
            | Self::Parameters(_)
            | Self::State(_)
            | Self::OtherIssuer
            | Self::NoCode => StatusCode::BAD_REQUEST,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Denied {
                denial: Denial::AccessDenied,
                ..
            }
            | Self::NotAllowed
            | Self::Disabled { .. }
            | Self::NotLocal => StatusCode::FORBIDDEN,
            Self::Denied { .. } | Self::IdToken(_) | Self::Profile(_) => StatusCode::BAD_GATEWAY,
            Self::Exchange { source, .. } => source.status(),
            Self::Store(_) | Self::Busy | Self::Random(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The public sentence. What a provider wrote is never repeated.
    pub const fn message(&self) -> &'static str {
        match self {
            Self::UnknownProvider => "There is no login provider of that name",
            Self::TooMany { .. } => "Rate limit exceeded",
            Self::Parameters(_) => "The parameters are not valid",
            Self::State(_) => "State parameter validation failed",
            Self::OtherIssuer => "The answer does not come from the provider that was asked",
            Self::Denied {
                denial: Denial::AccessDenied,
                ..
            } => "User denied authorization",
            Self::Denied { .. } => "The login provider refused",
            Self::NoCode => "The login provider sent no code",
            Self::Exchange { source, .. } => source.message(),
            Self::IdToken(_) | Self::Profile(_) => {
                "What the login provider says about you cannot be verified"
            }
            Self::NotAllowed => "You may not sign in here",
            Self::Disabled { .. } => "Your access was withdrawn",
            Self::NotLocal => "The development login works on this computer only",
            Self::Store(_) | Self::Busy | Self::Random(_) => {
                "Signing in is not possible at the moment"
            }
        }
    }

    /// What a person can do about it.
    pub(super) const fn advice(&self) -> &'static str {
        match self {
            Self::UnknownProvider | Self::Parameters(_) | Self::NoCode | Self::OtherIssuer => {
                "Start again from your client, or from the sign-in page."
            }
            Self::TooMany { .. } => "Wait a few minutes, then start again.",
            Self::State(_) => {
                "This happens when signing in took too long, was done twice, or was begun in another browser. Start \
                 again, and finish in the same browser."
            }
            Self::Denied {
                denial: Denial::AccessDenied,
                ..
            } => "Nothing was changed. Start again if you did not mean to refuse.",
            Self::NotAllowed | Self::Disabled { .. } => {
                "Ask whoever operates this gateway to let you in."
            }
            Self::NotLocal => "Open it on the computer that runs the gateway.",
            Self::Denied {
                denial: Denial::Unavailable,
                ..
            }
            | Self::Store(_)
            | Self::Busy
            | Self::Random(_) => "Try again in a minute.",
            Self::Denied {
                denial: Denial::Other,
                ..
            }
            | Self::Exchange { .. }
            | Self::IdToken(_)
            | Self::Profile(_) => {
                "Try again. If it happens every time, tell whoever operates this gateway."
            }
        }
    }

    /// Whether the body is the flat one of OAuth: what the provider said is (C54), what we found is not.
    pub(super) const fn is_flat(&self) -> bool {
        match self {
            Self::Denied {
                denial: Denial::AccessDenied,
                ..
            } => true,
            Self::Exchange { source, .. } => source.is_flat(),
            _ => false,
        }
    }
}
