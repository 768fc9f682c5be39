//! The closed sets of label values. A metric's size is the product of its labels, so each set is an enum or a list that
//! only configuration can lengthen; what callers choose (methods, tools) is looked up in a list or counted as `other`.

/// The value for everything that is not in a list.
pub const OTHER: &str = "other";

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word in the label.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

labels! {
    /// How a request ended.
    RequestOutcome {
        /// It was answered, be it with a result or with the upstream's own error.
        Answered = "answered",
        /// One of our stages refused it.
        Denied = "denied",
        /// The upstream failed to answer.
        UpstreamFailed = "upstream_failed",
        /// The downstream went away first.
        DownstreamGone = "downstream_gone",
        /// We failed.
        Internal = "internal",
    }
}

labels! {
    /// How a tool call ended.
    ToolOutcome {
        /// With a result.
        Success = "success",
        /// With a result that says that it is an error, or with a JSON-RPC error.
        Error = "error",
        /// It was refused.
        Denied = "denied",
        /// Without an answer.
        Failed = "failed",
    }
}

labels! {
    /// How the exchange with an upstream ended.
    UpstreamOutcome {
        /// With an answer.
        Answered = "answered",
        /// No connection could be made.
        Unreachable = "unreachable",
        /// The deadline passed.
        Timeout = "timeout",
        /// The answer was cut short or broke a limit or the protocol.
        Broken = "broken",
        /// The answer was a server error.
        ServerError = "server_error",
    }
}

labels! {
    /// What became of a configuration that was read again.
    ReloadResult {
        /// It is in force.
        Applied = "applied",
        /// It says what the one in force says.
        Unchanged = "unchanged",
        /// It is not; the one before it is.
        Refused = "refused",
    }
}

labels! {
    /// What became of a credential (R212).
    AuthResult {
        /// It was accepted.
        Valid = "valid",
        /// There was none.
        Missing = "missing",
        /// It is no credential that we understand.
        Malformed = "malformed",
        /// Its signature does not match, or its key is unknown.
        BadSignature = "bad_signature",
        /// Its time has not come, or has passed.
        OutOfTime = "out_of_time",
        /// It was issued by another issuer or for another audience.
        WrongParty = "wrong_party",
        /// It was revoked.
        Revoked = "revoked",
        /// It lacks a scope.
        InsufficientScope = "insufficient_scope",
        /// It could not be judged: keys or store were not at hand.
        Unavailable = "unavailable",
    }
}

/// The methods of the protocol, in both of its eras; the last one stands for all others.
pub const METHODS: [&str; 29] = [
    "initialize",
    "ping",
    "server/discover",
    "tools/list",
    "tools/call",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "logging/setLevel",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tasks/update",
    "tasks/cancel",
    "subscriptions/listen",
    "notifications/initialized",
    "notifications/cancelled",
    "notifications/progress",
    "notifications/roots/list_changed",
    "GET",
    "DELETE",
    "response",
    "none",
    OTHER,
];

/// The place of a method in [`METHODS`].
pub(in crate::telemetry) fn method_index(method: &str) -> usize {
    METHODS
        .iter()
        .position(|known| *known == method)
        .unwrap_or(METHODS.len() - 1)
}
