//! Why a request goes out without a credential, which is: not at all. Told apart by who has to act: the user who signs in
//! again, the operator, or whoever runs the token endpoint.

use std::sync::Arc;

use http::StatusCode;

use super::keys::KeysError;

/// Why there is no credential for a request.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CredentialError {
    /// The user has given none.
    #[error("the user has no credential of {}", .0.provider)]
    Missing(Provider),
    /// The user's credential is over and cannot be renewed.
    #[error("the user's credential of {} is over", .0.provider)]
    Expired(Provider),
    /// The upstream does not accept the user's credential.
    #[error("the upstream refused the user's credential of {}", .0.provider)]
    Rejected(Provider),
    /// What is stored for the user cannot be sent.
    #[error("what is stored of {} is no credential", .0.provider)]
    Unusable(Provider),
    /// The place where credentials are kept cannot be used. Nothing may be concluded.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The token endpoint gave no token.
    #[error("token endpoint: {0}")]
    Endpoint(#[from] EndpointError),
    /// The upstream does not accept what the gateway itself was given.
    #[error("the upstream refused the gateway's own credential")]
    Refused,
    /// Too many users' credentials are being fetched at once, or one takes too long.
    #[error("too many credentials are being fetched")]
    Busy,
}

/// Whose credential it is, and where the user signs in there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The configured name of the provider.
    pub provider: Arc<str>,
    /// The address to sign in at.
    pub sign_in: Option<Arc<str>>,
}

/// Why a token endpoint gave no token. Nothing of its answer is kept but words of a closed list: an answer may repeat
/// secrets of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No whole answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// It cannot be reached.
    #[error("cannot be reached")]
    Unreachable,
    /// The answer is larger than the limit.
    #[error("the answer is too large")]
    TooLarge,
    /// It answered with an OAuth error (RFC 6749 section 5.2).
    #[error("answered {status} {word}")]
    Denied {
        /// The status.
        status: u16,
        /// The error code.
        word: &'static str,
    },
    /// The answer is no token answer (RFC 6749 section 5.1).
    #[error("the answer is unusable: {0}")]
    Unreadable(&'static str),
    /// Nothing could be signed for it.
    #[error("the assertion cannot be signed")]
    Unsigned,
}

impl EndpointError {
    /// Whether it says that what the user gave is over (RFC 6749 section 5.2).
    pub(super) fn is_invalid_grant(self) -> bool {
        matches!(self, Self::Denied { word, .. } if word == "invalid_grant")
    }
}

impl CredentialError {
    /// The stable code of this failure, for audit lines and metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Missing(_) => "upstream_credential_missing",
            Self::Expired(_) => "upstream_credential_expired",
            Self::Rejected(_) => "upstream_credential_rejected",
            Self::Unusable(_) => "upstream_credential_unusable",
            Self::Keys(_) => "upstream_credential_unavailable",
            Self::Endpoint(EndpointError::TimedOut) => "upstream_token_timeout",
            Self::Endpoint(_) => "upstream_token_refused",
            Self::Refused => "upstream_unauthorized",
            Self::Busy => "upstream_credential_busy",
        }
    }

    /// 403 where the user has to act: 401 would send the client to sign in at the gateway again, which helps nothing.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Missing(_) | Self::Expired(_) | Self::Rejected(_) | Self::Unusable(_) => {
                StatusCode::FORBIDDEN
            }
            Self::Keys(_) | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Endpoint(EndpointError::TimedOut) => StatusCode::GATEWAY_TIMEOUT,
            Self::Endpoint(_) | Self::Refused => StatusCode::BAD_GATEWAY,
        }
    }

    /// Whose credential it is, where the user has to act.
    pub const fn provider(&self) -> Option<&Provider> {
        match self {
            Self::Missing(provider)
            | Self::Expired(provider)
            | Self::Rejected(provider)
            | Self::Unusable(provider) => Some(provider),
            Self::Keys(_) | Self::Endpoint(_) | Self::Refused | Self::Busy => None,
        }
    }

    /// What the caller learns.
    pub fn public(&self) -> String {
        let (Some(provider), what) = (self.provider(), self.what()) else {
            return self.what().to_owned();
        };
        let name = &provider.provider;
        match &provider.sign_in {
            Some(address) => format!("{what} {name}. Sign in at {address} and try again"),
            None => format!("{what} {name}. Ask the operator how to give one"),
        }
    }

    const fn what(&self) -> &'static str {
        match self {
            Self::Missing(_) => "The MCP server needs your credential of",
            Self::Expired(_) => "The MCP server needs a new credential of",
            Self::Rejected(_) => "The MCP server no longer accepts your credential of",
            Self::Unusable(_) => "The MCP server cannot be given your credential of",
            Self::Keys(_) | Self::Busy => {
                "Credentials for the MCP server are not available at the moment"
            }
            Self::Endpoint(_) => "The MCP server's token endpoint gave no token",
            Self::Refused => "The MCP server gave no usable answer",
        }
    }
}
