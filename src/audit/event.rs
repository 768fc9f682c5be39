//! The closed lists of words that lines are sorted by: kinds of files, severities, outcomes and events.

/// The kind of file that a line belongs to (R203).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Logins, tokens and their ends.
    Auth,
    /// What users did through the gateway.
    Tools,
    /// What was refused, what operators did, and the chain's own checkpoints.
    Security,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Auth, Self::Tools, Self::Security];

    /// The word in file names and lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth-events",
            Self::Tools => "tool-invocations",
            Self::Security => "security-events",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How much attention a line deserves; every line says it (R283).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Info,
    /// Worth counting.
    Low,
    /// Worth looking at.
    Medium,
    /// Worth looking at today (R304).
    High,
    /// Worth waking somebody.
    Critical,
}

impl Severity {
    /// Every severity, rising.
    pub const ALL: [Self; 5] = [
        Self::Info,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::Critical,
    ];

    /// The word in lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The severity of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.name() == name)
    }
}

/// Whether what was attempted came about (R183).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did.
    Success,
    /// It did not.
    Error,
}

impl Outcome {
    /// The word in lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
        }
    }
}

/// Everything that leaves a line. A new event is a new variant, never a free text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A browser was sent to log in (R187).
    LoginInitiated,
    /// It came back (R188).
    OauthCallback,
    /// A token was issued (R189).
    TokenIssued,
    /// A token was exchanged for its successor (R190).
    TokenRefreshed,
    /// A token or session was ended (R191).
    TokenRevoked,
    /// A user logged out (R191).
    Logout,
    /// A client registered itself.
    ClientRegistered,
    /// A tool was called (R192, R193).
    ToolInvocation,
    /// Another message of the protocol passed through.
    McpRequest,
    /// A path that is no MCP endpoint was answered.
    HttpRequest,
    /// A credential was missing or refused (R195).
    AuthFailure,
    /// A quota or flood guard refused (R196).
    RateLimited,
    /// Policy refused.
    AccessDenied,
    /// Somebody reached for another user's or team's data (R197).
    UnauthorizedAccess,
    /// Limits, framing or content refused the request.
    RequestRefused,
    /// A rule about behaviour was triggered (R198).
    SuspiciousActivity,
    /// A tier was changed (R199).
    TierChanged,
    /// A key was replaced (R200).
    KeyRotated,
    /// The configuration was changed (R201).
    ConfigurationChanged,
    /// A stored credential was opened (R296).
    ApiKeyDecrypted,
    /// A user's data was exported or erased.
    UserData,
    /// An operator did something else.
    AdminAction,
    /// The gateway started or stopped.
    Lifecycle,
    /// Lines were rewritten for a stated reason (C34, R312).
    Redaction,
    /// The chain's own count and head.
    Checkpoint,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 25] = [
        Self::LoginInitiated,
        Self::OauthCallback,
        Self::TokenIssued,
        Self::TokenRefreshed,
        Self::TokenRevoked,
        Self::Logout,
        Self::ClientRegistered,
        Self::ToolInvocation,
        Self::McpRequest,
        Self::HttpRequest,
        Self::AuthFailure,
        Self::RateLimited,
        Self::AccessDenied,
        Self::UnauthorizedAccess,
        Self::RequestRefused,
        Self::SuspiciousActivity,
        Self::TierChanged,
        Self::KeyRotated,
        Self::ConfigurationChanged,
        Self::ApiKeyDecrypted,
        Self::UserData,
        Self::AdminAction,
        Self::Lifecycle,
        Self::Redaction,
        Self::Checkpoint,
    ];

    /// The `event_type` of its lines, and their `action` unless a record names a finer one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LoginInitiated => "oauth_login_initiated",
            Self::OauthCallback => "oauth_callback",
            Self::TokenIssued => "token_issued",
            Self::TokenRefreshed => "token_refreshed",
            Self::TokenRevoked => "token_revoked",
            Self::Logout => "logout",
            Self::ClientRegistered => "client_registered",
            Self::ToolInvocation => "tool_invocation",
            Self::McpRequest => "mcp_request",
            Self::HttpRequest => "http_request",
            Self::AuthFailure => "auth_failure",
            Self::RateLimited => "rate_limit_exceeded",
            Self::AccessDenied => "access_denied",
            Self::UnauthorizedAccess => "unauthorized_access",
            Self::RequestRefused => "request_refused",
            Self::SuspiciousActivity => "suspicious_activity",
            Self::TierChanged => "tier_changed",
            Self::KeyRotated => "key_rotated",
            Self::ConfigurationChanged => "configuration_changed",
            Self::ApiKeyDecrypted => "api_key_decrypted",
            Self::UserData => "user_data",
            Self::AdminAction => "admin_action",
            Self::Lifecycle => "lifecycle",
            Self::Redaction => "redaction",
            Self::Checkpoint => "checkpoint",
        }
    }

    /// The files that its lines go to.
    pub const fn kind(self) -> Kind {
        match self {
            Self::LoginInitiated
            | Self::OauthCallback
            | Self::TokenIssued
            | Self::TokenRefreshed
            | Self::TokenRevoked
            | Self::Logout
            | Self::ClientRegistered => Kind::Auth,
            Self::ToolInvocation | Self::McpRequest | Self::HttpRequest => Kind::Tools,
            Self::AuthFailure
            | Self::RateLimited
            | Self::AccessDenied
            | Self::UnauthorizedAccess
            | Self::RequestRefused
            | Self::SuspiciousActivity
            | Self::TierChanged
            | Self::KeyRotated
            | Self::ConfigurationChanged
            | Self::ApiKeyDecrypted
            | Self::UserData
            | Self::AdminAction
            | Self::Lifecycle
            | Self::Redaction
            | Self::Checkpoint => Kind::Security,
        }
    }

    /// The severity of its lines unless a record names another one.
    pub const fn severity(self) -> Severity {
        match self {
            Self::UnauthorizedAccess | Self::SuspiciousActivity => Severity::High,
            Self::AuthFailure
            | Self::AccessDenied
            | Self::KeyRotated
            | Self::ConfigurationChanged
            | Self::UserData
            | Self::Redaction
            | Self::AdminAction => Severity::Medium,
            Self::RateLimited | Self::RequestRefused | Self::TierChanged => Severity::Low,
            _ => Severity::Info,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r203_every_event_has_its_file_and_a_name_of_its_own() {
        let mut names: Vec<_> = Event::ALL.iter().map(|event| event.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Event::ALL.len());
        for (event, kind) in [
            (Event::TokenIssued, Kind::Auth),
            (Event::ToolInvocation, Kind::Tools),
            (Event::RateLimited, Kind::Security),
            (Event::ConfigurationChanged, Kind::Security),
        ] {
            assert_eq!(event.kind(), kind);
        }
    }
}
