//! Why a request to the authorization server is refused: the codes of RFC 6749 section 5.2 and its companions, each with the
//! status that goes with it. What a caller is told is fixed text; what was presented is never repeated.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use crate::audit::event::{Event, Severity};
use crate::auth::mint::MintError;
use crate::grants::GrantError;
use crate::store::StoreError;
use crate::web::{ParamsError, Reply};

/// A refusal with an OAuth error code.
#[derive(Debug, thiserror::Error)]
pub enum OauthError {
    /// A parameter is missing, repeated, or makes no sense.
    #[error("{0}")]
    Request(Cow<'static, str>),
    /// The client is not known, or did not prove who it is.
    #[error("the client could not be authenticated: {0}")]
    Client(&'static str),
    /// The code or the refresh token is no good.
    #[error("{0}")]
    Grant(&'static str),
    /// The client may not do this.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// There is no such grant type.
    #[error(
        "the grant type is not one of authorization_code, refresh_token and client_credentials"
    )]
    GrantType,
    /// There is no such response type.
    #[error("the response type is not `code`")]
    ResponseType,
    /// A scope that there is not, or that may not be had.
    #[error("{0}")]
    Scope(&'static str),
    /// A resource that is not ours (RFC 8707 section 2).
    #[error("the resource is not one of this gateway, or not one that was allowed")]
    Target,
    /// `request` (OpenID Connect Core section 6).
    #[error("request objects are not supported")]
    RequestObject,
    /// `request_uri`.
    #[error("request objects are not supported")]
    RequestUri,
    /// `registration` in an authorization request.
    #[error("clients register at the registration endpoint")]
    RegistrationParameter,
    /// `prompt=none`, and nobody is signed in.
    #[error("the user has to sign in")]
    LoginRequired,
    /// The user said no, or may not come in.
    #[error("{0}")]
    Denied(&'static str),
    /// The metadata of a registration (RFC 7591 section 3.2.2).
    #[error("{0}")]
    Metadata(Cow<'static, str>),
    /// A redirect URI of a registration.
    #[error("{0}")]
    Redirect(Cow<'static, str>),
    /// Revocation of a token of another kind than ours (RFC 7009 section 2.2.1).
    #[error("tokens of this type cannot be revoked here")]
    TokenType,
    /// Too many failures.
    #[error("there were too many attempts")]
    Slow(Duration),
    /// The method is none that the endpoint answers.
    #[error("the method is not allowed here")]
    Method(&'static str),
    /// The store or the grants cannot be used now.
    #[error("the server cannot answer at the moment")]
    Unavailable,
    /// Something of ours is wrong.
    #[error("the server has met a condition that it did not expect")]
    Server,
}

impl OauthError {
    /// A refusal of the request as a whole.
    pub(in crate::oauth) fn request(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Request(why.into())
    }

    /// The `error` of the answer, and the reason in the audit line.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Request(_) | Self::Method(_) => "invalid_request",
            Self::Client(_) => "invalid_client",
            Self::Grant(_) => "invalid_grant",
            Self::Unauthorized(_) => "unauthorized_client",
            Self::GrantType => "unsupported_grant_type",
            Self::ResponseType => "unsupported_response_type",
            Self::Scope(_) => "invalid_scope",
            Self::Target => "invalid_target",
            Self::RequestObject => "request_not_supported",
            Self::RequestUri => "request_uri_not_supported",
            Self::RegistrationParameter => "registration_not_supported",
            Self::LoginRequired => "login_required",
            Self::Denied(_) => "access_denied",
            Self::Metadata(_) => "invalid_client_metadata",
            Self::Redirect(_) => "invalid_redirect_uri",
            Self::TokenType => "unsupported_token_type",
            Self::Slow(_) => "slow_down",
            Self::Unavailable => "temporarily_unavailable",
            Self::Server => "server_error",
        }
    }

    /// The status of the answer.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Client(_) => StatusCode::UNAUTHORIZED,
            Self::Slow(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Server => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// What the caller is told. Why a client was not recognised is for the audit trail.
    pub fn description(&self) -> Cow<'static, str> {
        match self {
            Self::Client(_) => "client authentication failed".into(),
            Self::Request(why) | Self::Metadata(why) | Self::Redirect(why) => why.clone(),
            other => other.to_string().into(),
        }
    }

    /// The flat answer (RFC 6749 section 5.2, C54).
    pub(in crate::oauth) fn reply(&self) -> Reply {
        let mut reply = Reply::oauth_error(self.status(), self.code(), self.description());
        match self {
            Self::Client(why) => {
                let basic = HeaderValue::from_static("Basic realm=\"oauth\"");
                reply = reply.with(WWW_AUTHENTICATE, basic).detail("why", *why);
            }
            Self::Slow(wait) => {
                let seconds = HeaderValue::from(wait.as_secs().max(1));
                reply = reply.with(RETRY_AFTER, seconds);
            }
            Self::Method(allow) => {
                reply = reply.with(http::header::ALLOW, HeaderValue::from_static(allow));
            }
            _ => {}
        }
        reply
    }
}

/// A refusal, and what the audit line says about it beside the code.
#[derive(Debug)]
pub(in crate::oauth) struct Refusal {
    error: OauthError,
    user: Option<String>,
    client: Option<String>,
    suspicious: Option<&'static str>,
}

impl From<OauthError> for Refusal {
    fn from(error: OauthError) -> Self {
        Self {
            error,
            user: None,
            client: None,
            suspicious: None,
        }
    }
}

impl Refusal {
    /// The error.
    pub(in crate::oauth) const fn error(&self) -> &OauthError {
        &self.error
    }

    /// The same, about this user.
    pub(in crate::oauth) fn of_user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    /// The same, about this client.
    pub(in crate::oauth) fn of_client(mut self, client: &str) -> Self {
        self.client = Some(client.to_owned());
        self
    }

    /// The same, as something that an honest caller does not do.
    pub(in crate::oauth) const fn suspicious(mut self, action: &'static str) -> Self {
        self.suspicious = Some(action);
        self
    }

    /// The answer.
    pub(in crate::oauth) fn reply(&self) -> Reply {
        self.note(self.error.reply())
    }

    /// An answer of another shape with the same note.
    pub(in crate::oauth) fn note(&self, mut reply: Reply) -> Reply {
        reply = match (&self.error, self.suspicious) {
            (_, Some(action)) => reply
                .event(Event::SuspiciousActivity)
                .severity(Severity::High)
                .action(action),
            (OauthError::Slow(_), None) => reply.event(Event::RateLimited),
            (OauthError::Denied(_), None) => {
                reply.event(Event::AccessDenied).action("consent_denied")
            }
            _ => reply.event(Event::AuthFailure),
        };
        if let Some(user) = &self.user {
            reply = reply.user(user);
        }
        if let Some(client) = &self.client {
            reply = reply.detail("client_id", client.as_str());
        }
        reply
    }
}

impl From<StoreError> for OauthError {
    /// Nothing may be concluded from a store that does not answer (C39).
    fn from(_: StoreError) -> Self {
        Self::Unavailable
    }
}

impl From<MintError> for OauthError {
    fn from(_: MintError) -> Self {
        Self::Server
    }
}

impl From<crate::random::NoRandomness> for OauthError {
    fn from(_: crate::random::NoRandomness) -> Self {
        Self::Server
    }
}

impl From<ParamsError> for OauthError {
    fn from(error: ParamsError) -> Self {
        Self::Request(match error {
            ParamsError::MediaType => "the content type is not the one that is read here".into(),
            ParamsError::Malformed => "the parameters are not well formed".into(),
            ParamsError::Repeated(_) => "a parameter is there more than once".into(),
            ParamsError::TooMany => "there are too many parameters".into(),
        })
    }
}

impl From<GrantError> for OauthError {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::Store(_) | GrantError::Busy => Self::Unavailable,
            GrantError::Unmade => Self::Server,
            GrantError::Unknown
            | GrantError::Reused { .. }
            | GrantError::Expired
            | GrantError::ShutOut(_)
            | GrantError::OtherClient => Self::Grant("the refresh token is not valid"),
        }
    }
}
