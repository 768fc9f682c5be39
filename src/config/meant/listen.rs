//! What `listen`, `cors` and `limits` mean: one address, one way of speaking, one public name.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::Review;
use super::door::{self, Mutual};
use super::urls;
use crate::config::raw;
use crate::units::ByteSize;

/// How strict the gateway is about its surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Nothing unsafe beyond one machine.
    Production,
    /// Plain HTTP beyond loopback, if insisted on.
    Development,
}

impl From<raw::Profile> for Profile {
    fn from(raw: raw::Profile) -> Self {
        match raw {
            raw::Profile::Production => Self::Production,
            raw::Profile::Development => Self::Development,
        }
    }
}

/// Where the gateway is reached.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Address and port to listen on.
    pub address: SocketAddr,
    /// `https://host[:port]`, without a slash at the end: how clients name the gateway.
    pub public_url: String,
    /// What is spoken on the socket.
    pub transport: Transport,
    /// Values of `Host` that are answered, in lowercase.
    pub allowed_hosts: BTreeSet<String>,
    /// Proxies of the operator's own in front, whose word about the caller's address is taken.
    pub trusted_hops: usize,
    /// How long open requests may go on after the order to stop.
    pub drain_timeout: Duration,
}

/// What is spoken on the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TLS.
    Tls(Tls),
    /// HTTP, on loopback or because development insists.
    Plain,
    /// HTTP, from a proxy that ends TLS.
    BehindTlsProxy,
}

/// How TLS is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate.
    pub certificate: Certificate,
    /// The oldest version.
    pub min_version: TlsVersion,
    /// Time for the handshake.
    pub handshake_timeout: Duration,
    /// Certificates of callers.
    pub client_auth: Option<Mutual>,
}

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// From PEM files.
    Files {
        /// The chain, the server's own certificate first.
        cert: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// Made for development in this folder; on loopback only.
    Development {
        /// The folder.
        dir: PathBuf,
    },
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

impl From<raw::TlsVersion> for TlsVersion {
    fn from(written: raw::TlsVersion) -> Self {
        match written {
            raw::TlsVersion::V12 => Self::V12,
            raw::TlsVersion::V13 => Self::V13,
        }
    }
}

/// Which web pages may call.
#[derive(Clone, Debug, Default)]
pub struct Cors {
    /// Origins in the form that browsers send, compared exactly.
    pub allowed_origins: BTreeSet<String>,
}

/// Bounds on what comes from outside; see the reference for each.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the reference and the raw twin say it")]
pub struct Limits {
    pub header_count: usize,
    pub header_bytes: ByteSize,
    pub uri_bytes: ByteSize,
    pub body_bytes: ByteSize,
    pub head_timeout: Duration,
    pub body_timeout: Duration,
    pub write_timeout: Duration,
    pub connections: usize,
    pub requests: usize,
    pub streams: usize,
    pub json_depth: usize,
    pub sse_event_bytes: ByteSize,
    pub list_bytes: ByteSize,
    pub concurrent_streams: u32,
}

impl From<&raw::Limits> for Limits {
    fn from(raw: &raw::Limits) -> Self {
        Self {
            header_count: raw.header_count as usize,
            header_bytes: raw.header_bytes.0,
            uri_bytes: raw.uri_bytes.0,
            body_bytes: raw.body_bytes.0,
            head_timeout: raw.head_timeout.0,
            body_timeout: raw.body_timeout.0,
            write_timeout: raw.write_timeout.0,
            connections: raw.connections as usize,
            requests: raw.requests as usize,
            streams: raw.streams as usize,
            json_depth: raw.json_depth as usize,
            sse_event_bytes: raw.sse_event_bytes.0,
            list_bytes: raw.list_bytes.0,
            concurrent_streams: raw.concurrent_streams,
        }
    }
}

pub(super) fn mean(
    raw: &raw::Listen,
    profile: Profile,
    state_dir: &Path,
    review: &mut Review,
) -> Option<Listen> {
    let address = address("listen.address", &raw.address, review);
    let transport = address.map(|address| transport(raw, address, profile, state_dir, review));
    let (address, transport) = (address?, transport?);
    let hops = raw.trusted_hops.unwrap_or(0);
    if hops > 0 && matches!(transport, Transport::Tls(_)) {
        review.warn(
            "listen.trusted_hops",
            "whoever reaches the gateway past the proxies can claim any address",
            "make sure that only they reach it",
        );
    }
    let is_hidden = raw.proxy_protocol.is_empty() && raw.trusted_hops.is_none();
    if is_hidden && transport == Transport::BehindTlsProxy {
        review.warn(
            "listen.trusted_hops",
            "all callers will seem to come from the proxy",
            "write how many proxies stand in front, mostly 1; 0 if they add no X-Forwarded-For",
        );
    }
    let public_url = public_url(raw, address, &transport, review)?;
    Some(Listen {
        allowed_hosts: allowed_hosts(raw, address, &public_url, review),
        public_url: public_url.origin().ascii_serialization(),
        transport,
        address,
        trusted_hops: usize::from(hops),
        drain_timeout: raw.drain_timeout.0,
    })
}

/// An IP address and a port.
pub(super) fn address(path: &str, text: &str, review: &mut Review) -> Option<SocketAddr> {
    let parsed = text.parse().ok();
    if parsed.is_none() {
        review.mistake(
            path,
            format!("`{text}` is not an IP address and a port"),
            "write it as `127.0.0.1:8443` or `[::]:8443`",
        );
    }
    parsed
}

fn transport(
    raw: &raw::Listen,
    address: SocketAddr,
    profile: Profile,
    state_dir: &Path,
    review: &mut Review,
) -> Transport {
    let beyond = !address.ip().is_loopback();
    let plain = "listen.plain_http";
    match raw.plain_http {
        raw::PlainHttp::OnLoopback if beyond && !raw.behind_tls_proxy => review.mistake(
            plain,
            format!("plain HTTP at {address} can be read and changed on its way"),
            "use listen.tls, or behind_tls_proxy if a proxy in front ends TLS",
        ),
        raw::PlainHttp::Anywhere if profile == Profile::Production => review.mistake(
            plain,
            "insecure HTTP is refused in the production profile",
            "use listen.tls or behind_tls_proxy, or write `profile: development`",
        ),
        raw::PlainHttp::Anywhere if beyond => review.warn(
            plain,
            format!("plain HTTP at {address} can be read and changed on its way"),
            "never do this where others share the network",
        ),
        raw::PlainHttp::No | raw::PlainHttp::OnLoopback | raw::PlainHttp::Anywhere => {}
    }
    let no_tls = raw.behind_tls_proxy || raw.plain_http != raw::PlainHttp::No;
    let files = raw.tls.as_ref().filter(|tls| {
        tls.cert_file.is_some() || tls.key_file.is_some() || tls.client_auth.is_some()
    });
    match (no_tls, files) {
        (true, Some(_)) => {
            let help = "remove it, or plain_http and behind_tls_proxy";
            review.mistake("listen.tls", "is written, but TLS is switched off", help);
            Transport::Plain
        }
        (true, None) if raw.behind_tls_proxy => Transport::BehindTlsProxy,
        (true, None) => Transport::Plain,
        (false, _) => Transport::Tls(tls(raw, beyond, state_dir, review)),
    }
}

fn tls(raw: &raw::Listen, beyond: bool, state_dir: &Path, review: &mut Review) -> Tls {
    let defaults = raw::Tls::default();
    let tls = raw.tls.as_ref().unwrap_or(&defaults);
    let development = Certificate::Development {
        dir: state_dir.to_owned(),
    };
    let certificate = match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => files(cert, key, review),
        (Some(_), None) => {
            review.mistake(
                "listen.tls.key_file",
                "is missing",
                "name the private key's file",
            );
            development
        }
        (None, Some(_)) => {
            review.mistake(
                "listen.tls.cert_file",
                "is missing",
                "name the certificate's file",
            );
            development
        }
        (None, None) if beyond => {
            review.mistake(
                "listen.tls",
                format!("a certificate is needed to listen at {}", raw.address),
                "write cert_file and key_file, or behind_tls_proxy if a proxy in front ends TLS",
            );
            development
        }
        (None, None) => development,
    };
    Tls {
        certificate,
        min_version: tls.min_version.into(),
        handshake_timeout: tls.handshake_timeout.0,
        client_auth: tls.client_auth.as_ref().map(|it| door::mutual(it, review)),
    }
}

fn files(cert: &str, key: &str, review: &mut Review) -> Certificate {
    let cert = review.existing("listen.tls.cert_file", cert);
    let key = review.existing("listen.tls.key_file", key);
    review
        .secret_files
        .push(("listen.tls.key_file".into(), key.clone()));
    Certificate::Files { cert, key }
}

fn public_url(
    raw: &raw::Listen,
    address: SocketAddr,
    transport: &Transport,
    review: &mut Review,
) -> Option<Url> {
    let path = "listen.public_url";
    let Some(text) = &raw.public_url else {
        if !address.ip().is_loopback() || *transport == Transport::BehindTlsProxy {
            let help = "write how clients reach the gateway, such as `https://mcp.example.com`";
            review.mistake(path, "is missing", help);
            return None;
        }
        let scheme = if *transport == Transport::Plain {
            "http"
        } else {
            "https"
        };
        return Url::parse(&format!("{scheme}://{address}")).ok();
    };
    let url = match urls::origin(text) {
        Ok(url) => url,
        Err(error) => {
            review.mistake(path, error.to_string(), error.help());
            return None;
        }
    };
    let insisted = raw.plain_http == raw::PlainHttp::Anywhere;
    if urls::exposed(&url) && !insisted {
        review.mistake(
            path,
            "must be https",
            "MCP clients send tokens to this address",
        );
    } else if (url.scheme() == "http") != (*transport == Transport::Plain) {
        let spoken = if url.scheme() == "http" {
            "TLS is spoken"
        } else {
            "plain HTTP is spoken"
        };
        review.mistake(
            path,
            format!("is {}, but {spoken}", url.scheme()),
            "write the scheme that clients use; behind_tls_proxy says that a proxy in front ends TLS",
        );
    }
    Some(url)
}

fn allowed_hosts(
    raw: &raw::Listen,
    address: SocketAddr,
    public_url: &Url,
    review: &mut Review,
) -> BTreeSet<String> {
    if raw.allowed_hosts.is_empty() {
        return default_hosts(address, public_url);
    }
    let mut hosts = BTreeSet::new();
    for (index, host) in raw.allowed_hosts.iter().enumerate() {
        let authority = host.parse::<http::uri::Authority>();
        match authority {
            Ok(_) if !host.contains(['*', '@']) => {
                hosts.insert(host.to_ascii_lowercase());
            }
            Ok(_) | Err(_) => review.mistake(
                &format!("listen.allowed_hosts[{index}]"),
                format!("`{host}` is not a host"),
                "write `host` or `host:port`; patterns are not read",
            ),
        }
    }
    hosts
}

fn default_hosts(address: SocketAddr, public_url: &Url) -> BTreeSet<String> {
    let host = public_url
        .host_str()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let port = public_url.port_or_known_default().unwrap_or_default();
    let mut hosts = BTreeSet::from([format!("{host}:{port}")]);
    if public_url.port().is_none() {
        hosts.insert(host);
    }
    if address.ip().is_loopback() {
        let names = ["localhost", "127.0.0.1", "[::1]"];
        hosts.extend(names.map(|name| format!("{name}:{}", address.port())));
    }
    hosts
}

pub(super) fn cors(raw: &raw::Cors, review: &mut Review) -> Cors {
    let mut allowed_origins = BTreeSet::new();
    for preset in &raw.presets {
        let origins = match preset {
            raw::Preset::Claude => ["https://claude.ai", "https://claude.com"],
            raw::Preset::Chatgpt => ["https://chatgpt.com", "https://chat.openai.com"],
        };
        allowed_origins.extend(origins.map(str::to_owned));
    }
    for (index, text) in raw.allowed_origins.iter().enumerate() {
        let path = format!("cors.allowed_origins[{index}]");
        match urls::origin(text) {
            _ if text.contains('*') => review.mistake(
                &path,
                "patterns would let pages call that nobody named",
                "name each origin, such as `https://app.example.com`",
            ),
            Err(error) => review.mistake(&path, error.to_string(), error.help()),
            Ok(url) if urls::exposed(&url) => review.mistake(
                &path,
                "is a page without TLS, which anybody on its way can change",
                "use https",
            ),
            Ok(url) => {
                allowed_origins.insert(url.origin().ascii_serialization());
            }
        }
    }
    Cors { allowed_origins }
}
