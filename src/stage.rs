//! The seven stages by name. Every refusal, audit line and histogram names the stage it belongs to, always by this type.

/// One door of the sally port, in the order in which a request passes them (R033).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// 1: the TLS handshake, once per connection.
    Tls,
    /// 2: Host, Origin, framing, sizes and counts.
    Limits,
    /// 3: exactly one bearer credential becomes a principal.
    Auth,
    /// 4: per-user quota and concurrency.
    Quota,
    /// 4b: the body is read under the armed limits and decoded to one JSON-RPC message.
    Read,
    /// 5: may this principal use this method, tool or resource?
    Policy,
    /// 6: the message's own consistency and content.
    Screen,
    /// 7: the exchange with the upstream.
    Upstream,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 8] = [
        Self::Tls,
        Self::Limits,
        Self::Auth,
        Self::Quota,
        Self::Read,
        Self::Policy,
        Self::Screen,
        Self::Upstream,
    ];

    /// The word used in logs, audit lines and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Limits => "limits",
            Self::Auth => "auth",
            Self::Quota => "quota",
            Self::Read => "read",
            Self::Policy => "policy",
            Self::Screen => "screen",
            Self::Upstream => "upstream",
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
