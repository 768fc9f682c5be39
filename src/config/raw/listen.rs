//! `listen`, `cors` and `limits` as they may be written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

use super::door::{Mutual, PerAddress};
use super::values::{Size, Span};
use crate::units::ByteSize;

/// Where the gateway is reached.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Listen {
    /// Address and port to listen on.
    pub(in crate::config) address: String,
    /// How clients reach the gateway: scheme, host and port, without a path. By default made from `address` if that is
    /// on loopback, required otherwise. Tokens are issued for and checked against it.
    pub(in crate::config) public_url: Option<String>,
    /// The certificate. On loopback a development certificate is made if there is none.
    pub(in crate::config) tls: Option<Tls>,
    /// `true` speaks HTTP without TLS, on loopback only. `i-know-this-is-insecure` does so anywhere, in the
    /// `development` profile only.
    pub(in crate::config) plain_http: PlainHttp,
    /// A proxy in front of the gateway ends TLS; the gateway itself then speaks plain HTTP at any address.
    pub(in crate::config) behind_tls_proxy: bool,
    /// How many proxies of your own stand in front. Each adds the address that it saw to the end of `X-Forwarded-For`; the
    /// one that the outermost of them added counts as the caller's, in limits on failed attempts and in the audit trail. By default none.
    #[schemars(range(min = 0, max = 10))]
    pub(in crate::config) trusted_hops: Option<u8>,
    /// Addresses and networks of proxies that pass TCP on and say by the PROXY protocol (version 1 or 2) for whom. From them
    /// every connection must begin with its header; anybody else's may not.
    pub(in crate::config) proxy_protocol: Vec<String>,
    /// Values of the `Host` header that are answered. By default the host of `public_url`, and the names of loopback
    /// with the listening port when `address` is on loopback.
    pub(in crate::config) allowed_hosts: Vec<String>,
    /// How long open requests and streams may go on after the order to stop.
    #[schemars(extend("x-min" = "0s", "x-max" = "10m"))]
    pub(in crate::config) drain_timeout: Span,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:8443".into(),
            public_url: None,
            tls: None,
            plain_http: PlainHttp::No,
            behind_tls_proxy: false,
            trusted_hops: None,
            proxy_protocol: Vec::new(),
            allowed_hosts: Vec::new(),
            drain_timeout: Span::seconds(20),
        }
    }
}

/// The certificate and how it is used.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Tls {
    /// PEM file with the certificate chain, the server's own certificate first.
    pub(in crate::config) cert_file: Option<String>,
    /// PEM file with the private key; readable by its owner only.
    pub(in crate::config) key_file: Option<String>,
    /// The oldest TLS version that is spoken.
    pub(in crate::config) min_version: TlsVersion,
    /// A client that has not finished its handshake by then is dropped.
    #[schemars(extend("x-min" = "1s", "x-max" = "1m"))]
    pub(in crate::config) handshake_timeout: Span,
    /// Certificates of callers. By default none are asked for.
    pub(in crate::config) client_auth: Option<Mutual>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            cert_file: None,
            key_file: None,
            min_version: TlsVersion::V13,
            handshake_timeout: Span::seconds(10),
            client_auth: None,
        }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub(in crate::config) enum TlsVersion {
    #[serde(rename = "1.3")]
    V13,
    #[serde(rename = "1.2")]
    V12,
}

/// Whether HTTP without TLS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(in crate::config) enum PlainHttp {
    #[serde(rename = "false")]
    No,
    #[serde(rename = "true")]
    OnLoopback,
    #[serde(rename = "i-know-this-is-insecure")]
    Anywhere,
}

impl Serialize for PlainHttp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::No => to.serialize_bool(false),
            Self::OnLoopback => to.serialize_bool(true),
            Self::Anywhere => to.serialize_str("i-know-this-is-insecure"),
        }
    }
}

impl JsonSchema for PlainHttp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PlainHttp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"enum": [false, true, "i-know-this-is-insecure"]})
    }
}

/// Which web pages may call the gateway from a browser.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Cors {
    /// Origins such as `https://app.example.com`, compared exactly. `*` is refused.
    pub(in crate::config) allowed_origins: Vec<String>,
    /// Well-known origins by name: `claude` is `https://claude.ai` and `https://claude.com`; `chatgpt` is
    /// `https://chatgpt.com` and `https://chat.openai.com`.
    pub(in crate::config) presets: Vec<Preset>,
}

/// Origins of a well-known web client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum Preset {
    Claude,
    Chatgpt,
}

/// Bounds on everything that comes from outside.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Limits {
    /// Most header fields in a request.
    #[schemars(range(min = 16, max = 1000))]
    pub(in crate::config) header_count: u32,
    /// Most bytes in all header fields of a request together.
    #[schemars(extend("x-min" = "4KiB", "x-max" = "256KiB"))]
    pub(in crate::config) header_bytes: Size,
    /// Most bytes in the path and query of a request.
    #[schemars(extend("x-min" = "256", "x-max" = "64KiB"))]
    pub(in crate::config) uri_bytes: Size,
    /// Most bytes in the body of a request; one more is answered with 413.
    #[schemars(extend("x-min" = "1KiB", "x-max" = "64MiB"))]
    pub(in crate::config) body_bytes: Size,
    /// A request head that has not arrived by then ends the connection.
    #[schemars(extend("x-min" = "1s", "x-max" = "2m"))]
    pub(in crate::config) head_timeout: Span,
    /// A request body that has not arrived by then is answered with 408.
    #[schemars(extend("x-min" = "1s", "x-max" = "10m"))]
    pub(in crate::config) body_timeout: Span,
    /// A client that takes nothing of its answer for so long is dropped.
    #[schemars(extend("x-min" = "1s", "x-max" = "10m"))]
    pub(in crate::config) write_timeout: Span,
    /// Most connections at one time.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) connections: u32,
    /// Most requests that are worked on at one time; more are answered with 503 at once. A request counts until its answer has ended.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) requests: u32,
    /// Most event streams that clients hold open at one time; they do not count among the requests.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) streams: u32,
    /// Most TLS handshakes under way at one time; one more is hung up on.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) handshakes: u32,
    /// What one address may do.
    pub(in crate::config) per_address: PerAddress,
    /// Deepest nesting of a JSON message.
    #[schemars(range(min = 8, max = 256))]
    pub(in crate::config) json_depth: u32,
    /// Most bytes in one event of an answer that streams.
    #[schemars(extend("x-min" = "64KiB", "x-max" = "256MiB"))]
    pub(in crate::config) sse_event_bytes: Size,
    /// Most bytes in an answer that lists tools, prompts or resources, which is read whole to be filtered.
    #[schemars(extend("x-min" = "64KiB", "x-max" = "256MiB"))]
    pub(in crate::config) list_bytes: Size,
    /// Most requests at one time in one HTTP/2 connection.
    #[schemars(range(min = 1, max = 10_000))]
    pub(in crate::config) concurrent_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_count: 100,
            header_bytes: Size(ByteSize::kib(32)),
            uri_bytes: Size(ByteSize::kib(8)),
            body_bytes: Size(ByteSize::mib(1)),
            head_timeout: Span::seconds(10),
            body_timeout: Span::seconds(10),
            write_timeout: Span::seconds(30),
            connections: 10_000,
            requests: 2_000,
            streams: 10_000,
            handshakes: 2000,
            per_address: PerAddress::default(),
            json_depth: 64,
            sse_event_bytes: Size(ByteSize::mib(8)),
            list_bytes: Size(ByteSize::mib(16)),
            concurrent_streams: 100,
        }
    }
}
