//! Refusals of the account's endpoints: nested bodies, challenges, and the audit line that each deserves.

use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::json;

use super::Account;
use crate::audit::event::{Event, Severity};
use crate::auth::{AuthError, Challenge};
use crate::vault::VaultError;
use crate::web::{ParamsError, Reply, Visit};

/// Why a session cannot be renewed: the `details.reason` of the seeds' body (R410), each with what the trail says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lapse {
    /// Token or session are too old (R410).
    Expired,
    /// It was renewed by this token before.
    Repeated,
    /// The refresh token was used before; its session has been ended.
    Reused,
    /// It is not ours, or its session has ended.
    Unknown,
    /// The token is an OAuth client's, which refreshes at `/oauth/token`.
    OfClient,
    /// The user is shut out or signed out.
    ShutOut,
    /// The provider wants the user to sign in again (R417).
    Upstream,
}

impl Lapse {
    const fn reason(self) -> &'static str {
        match self {
            Self::Expired => "refresh_token_expired",
            Self::Repeated => "token_already_refreshed",
            Self::Reused => "refresh_token_reused",
            Self::Unknown => "refresh_token_invalid",
            Self::OfClient => "token_of_client",
            Self::ShutOut => "session_revoked",
            Self::Upstream => "upstream_refused",
        }
    }
}

impl Account {
    /// A credential that was refused (RFC 6750 section 3).
    pub(super) fn refused(&self, error: &AuthError, visit: &Visit) -> Reply {
        let details = error.details().and_then(|d| serde_json::to_value(d).ok());
        let reply = Reply::error(
            error.status(),
            error.code(),
            error.message(),
            details,
            &visit.request_id,
        );
        let reply = reply.refused(error.reason()).event(Event::AuthFailure);
        match self.parts.resources.first() {
            Some(resource) if error.status() == StatusCode::UNAUTHORIZED => {
                let challenge = Challenge::refusing(resource, error).header();
                reply.with(WWW_AUTHENTICATE, challenge)
            }
            _ => reply,
        }
    }

    /// A session that cannot be renewed (R409-R411).
    pub(super) fn lapsed(&self, lapse: Lapse, visit: &Visit) -> Reply {
        let reply = Reply::error(
            StatusCode::UNAUTHORIZED,
            "refresh_failed",
            "Unable to refresh token. Please re-authenticate.",
            Some(json!({ "reason": lapse.reason() })),
            &visit.request_id,
        );
        let reply = reply.refused(lapse.reason());
        let reply = match lapse {
            Lapse::Reused => reply
                .event(Event::SuspiciousActivity)
                .severity(Severity::High),
            _ => reply.event(Event::AuthFailure),
        };
        match self.parts.resources.first() {
            Some(resource) => {
                let challenge = Challenge::refusing(resource, &AuthError::Revoked).header();
                reply.with(WWW_AUTHENTICATE, challenge)
            }
            None => reply,
        }
    }
}

/// Nothing can be decided at the moment (C39).
pub(super) fn unavailable(visit: &Visit) -> Reply {
    Reply::error(
        StatusCode::SERVICE_UNAVAILABLE,
        "service_unavailable",
        "This is not possible at the moment",
        None,
        &visit.request_id,
    )
    .refused("store_unavailable")
}

/// The vault did not do what it was asked for.
pub(super) fn of_vault(error: &VaultError, visit: &Visit) -> Reply {
    let (reason, severity) = error.audit();
    unavailable(visit).refused(reason).severity(severity)
}

/// Parameters or a body that cannot be read.
pub(super) fn unreadable(error: &ParamsError, visit: &Visit) -> Reply {
    let status = match error {
        ParamsError::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::BAD_REQUEST,
    };
    let message = error.to_string();
    Reply::error(status, "invalid_request", &message, None, &visit.request_id)
}

/// Too many refused credentials from one address.
pub(super) fn too_many(retry_after: u64, visit: &Visit) -> Reply {
    Reply::error(
        StatusCode::TOO_MANY_REQUESTS,
        "rate_limited",
        "Rate limit exceeded",
        Some(json!({ "reset_in_seconds": retry_after })),
        &visit.request_id,
    )
    .event(Event::RateLimited)
    .with(RETRY_AFTER, HeaderValue::from(retry_after))
}
