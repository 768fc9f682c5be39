//! Why a credential was refused. One value answers four questions: the stable reason code for logs and metrics, the
//! nested error body of the seeds, the HTTP status, and the `error` of the challenge (RFC 6750 section 3.1).

use http::StatusCode;
use serde::Serialize;

use crate::clock::Timestamp;

/// A credential that this stage does not accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No `Authorization` line.
    #[error("no credential was sent")]
    Missing,
    /// More than one credential, or a list of them.
    #[error("more than one credential was sent")]
    Multiple,
    /// A credential of another scheme than Bearer.
    #[error("the credential is not of the Bearer scheme")]
    WrongScheme,
    /// `access_token` in the query string (R400).
    #[error("a token was sent in the query string")]
    InQuery,
    /// Longer than the limit; nothing of it was decoded.
    #[error("the token is longer than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// Not three base64url parts of which the first two are JSON objects.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// A header member that is not acceptable.
    #[error("the token's header member `{0}` is not acceptable")]
    InvalidHeader(&'static str),
    /// No key has the token's `kid`.
    #[error("no key has the token's key id")]
    UnknownKey,
    /// The token's algorithm is not the one that the key is pinned to.
    #[error("the token's algorithm is not the key's")]
    WrongAlgorithm,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    InvalidSignature,
    /// `exp` has passed, leeway included.
    #[error("the token expired at {}", .expired_at.rfc3339_seconds())]
    Expired {
        /// The moment that `exp` names.
        expired_at: Timestamp,
    },
    /// `nbf` or `iat` lies in the future, leeway included.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iss` names nobody whom we trust.
    #[error("the token's issuer is not trusted here")]
    WrongIssuer,
    /// `aud` does not name this resource.
    #[error("the token is not meant for this resource")]
    WrongAudience,
    /// A required claim is absent.
    #[error("the claim `{0}` is missing")]
    MissingClaim(&'static str),
    /// A claim has a type or value that it cannot have.
    #[error("the claim `{0}` is not valid")]
    InvalidClaim(&'static str),
    /// The token is bound to a certificate, and the caller showed another one or none (RFC 8705 section 3).
    #[error("the token is bound to another certificate than the caller's")]
    WrongCertificate,
    /// The token was revoked.
    #[error("the token was revoked")]
    Revoked,
    /// The user was shut out, with whatever token.
    #[error("the user is disabled")]
    UserDisabled,
    /// It is not known what was revoked, so nothing can be decided (C39).
    #[error("it is not known what was revoked")]
    RevocationUnknown,
    /// The issuer's keys could not be loaded, so nothing can be decided.
    #[error("the issuer's keys are not available")]
    KeysUnavailable,
}

/// The `details` member of the error body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Details {
    /// Why the token is invalid (R427).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The claim or header member concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<&'static str>,
    /// When the token expired, RFC 3339 in UTC (R428).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expired_at: Option<String>,
}

impl AuthError {
    /// The stable code of this refusal, for audit lines and metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing_credential",
            Self::Multiple => "multiple_credentials",
            Self::WrongScheme => "wrong_scheme",
            Self::InQuery => "token_in_query",
            Self::TooLarge { .. } => "token_too_large",
            Self::Malformed(_) => "token_malformed",
            Self::InvalidHeader(_) => "invalid_header",
            Self::UnknownKey => "unknown_key",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::InvalidSignature => "invalid_signature",
            Self::Expired { .. } => "token_expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::MissingClaim(_) => "missing_claim",
            Self::InvalidClaim(_) => "invalid_claim",
            Self::WrongCertificate => "wrong_certificate",
            Self::Revoked => "token_revoked",
            Self::UserDisabled => "user_disabled",
            Self::RevocationUnknown => "revocation_unknown",
            Self::KeysUnavailable => "keys_unavailable",
        }
    }

    /// Whether a credential was shown and was bad, as when somebody guesses.
    pub fn blames_credential(&self) -> bool {
        self.challenge_error() == Some("invalid_token")
    }

    /// The `error.code` of the body.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing | Self::WrongScheme => "unauthorized",
            Self::Multiple | Self::InQuery => "invalid_request",
            Self::TooLarge { .. } | Self::Malformed(_) => "token_malformed",
            Self::Expired { .. } => "token_expired",
            Self::Revoked | Self::UserDisabled => "token_revoked",
            Self::KeysUnavailable | Self::RevocationUnknown => "service_unavailable",
            Self::InvalidHeader(_)
            | Self::UnknownKey
            | Self::WrongAlgorithm
            | Self::InvalidSignature
            | Self::NotYetValid
            | Self::WrongIssuer
            | Self::WrongAudience
            | Self::WrongCertificate
            | Self::MissingClaim(_)
            | Self::InvalidClaim(_) => "invalid_token",
        }
    }

    /// The `error.message` of the body. The texts about tokens are those of the seeds.
    pub fn message(&self) -> &'static str {
        match self.code() {
            "unauthorized" => "Authentication required",
            "invalid_request" => {
                "Send exactly one credential, in the Authorization header of the request"
            }
            "token_malformed" => "JWT token format is invalid",
            "token_expired" => "JWT token has expired",
            "token_revoked" => "JWT token has been revoked",
            "service_unavailable" => "Tokens cannot be verified at the moment",
            _ => "JWT token is invalid",
        }
    }

    /// The `error.details` of the body, where it has any.
    pub fn details(&self) -> Option<Details> {
        let claim = match self {
            Self::MissingClaim(name) | Self::InvalidClaim(name) | Self::InvalidHeader(name) => {
                Some(*name)
            }
            _ => None,
        };
        match self {
            Self::Expired { expired_at } => Some(Details {
                expired_at: Some(expired_at.rfc3339_seconds()),
                ..Details::default()
            }),
            _ if self.code() == "invalid_token" => Some(Details {
                reason: Some(self.reason()),
                claim,
                expired_at: None,
            }),
            _ => None,
        }
    }

    /// The HTTP status of the answer.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Multiple | Self::InQuery => StatusCode::BAD_REQUEST,
            Self::KeysUnavailable | Self::RevocationUnknown => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    /// The `error` of the challenge; none where the request carried no bearer credential at all, or where the fault is
    /// not the token's (RFC 6750 section 3.1).
    pub const fn challenge_error(&self) -> Option<&'static str> {
        match self {
            Self::Missing | Self::WrongScheme | Self::KeysUnavailable | Self::RevocationUnknown => {
                None
            }
            Self::Multiple | Self::InQuery => Some("invalid_request"),
            _ => Some("invalid_token"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r427_r428_r429_bodies_are_those_of_the_seeds() {
        let expired = AuthError::Expired {
            expired_at: Timestamp::from_seconds(1_730_116_800),
        };
        let body = |e: &AuthError| serde_json::json!({"code": e.code(), "message": e.message(), "details": e.details()});
        assert_eq!(
            body(&AuthError::InvalidSignature),
            serde_json::json!({"code": "invalid_token", "message": "JWT token is invalid",
                "details": {"reason": "invalid_signature"}})
        );
        assert_eq!(
            body(&expired),
            serde_json::json!({"code": "token_expired", "message": "JWT token has expired",
                "details": {"expired_at": "2024-10-28T12:00:00Z"}})
        );
        let malformed = AuthError::Malformed("parts");
        assert_eq!(
            (malformed.code(), malformed.message(), malformed.details()),
            ("token_malformed", "JWT token format is invalid", None)
        );
    }

    #[test]
    fn r120_expired_invalid_and_revoked_are_told_apart() {
        let expired = AuthError::Expired {
            expired_at: Timestamp::from_seconds(0),
        };
        let codes = [
            expired.code(),
            AuthError::MissingClaim("sub").code(),
            AuthError::Revoked.code(),
        ];
        assert_eq!(codes, ["token_expired", "invalid_token", "token_revoked"]);
    }

    #[test]
    fn statuses_say_whose_fault_it_is() {
        assert_eq!(AuthError::Missing.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(AuthError::InQuery.status(), StatusCode::BAD_REQUEST);
        assert_eq!(AuthError::Multiple.status(), StatusCode::BAD_REQUEST);
        assert_eq!(
            AuthError::KeysUnavailable.status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
}
