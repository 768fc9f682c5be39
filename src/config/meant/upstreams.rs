//! How an MCP server is reached: its address, what to trust, what to send.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue};
use rustls_pki_types::ServerName;
use url::Url;

use super::TlsVersion;
use super::credential::{self, Credential};
use super::{Review, urls};
use crate::config::raw;
use crate::secret::Secret;

/// How an MCP server is reached.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show.
    pub client_identity: Option<ClientIdentity>,
    /// Time to make a connection.
    pub connect_timeout: Duration,
    /// Time to the head of an answer.
    pub first_byte_timeout: Duration,
    /// Time a stream may be silent.
    pub idle_timeout: Duration,
    /// Time for an answer that does not stream.
    pub total_timeout: Duration,
    /// Headers to send.
    pub headers: Vec<(HeaderName, Secret<String>)>,
    /// Headers of the client to pass on.
    pub forward_headers: Vec<HeaderName>,
    /// The credential to show.
    pub credential: Option<Credential>,
    /// What is asked of its TLS.
    pub tls: UpstreamTls,
    /// When it is left alone.
    pub breaker: Breaker,
    /// How it is looked after, if at all.
    pub health: Option<Health>,
}

/// What is asked of a server's TLS beyond a certificate that verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// SHA-256 of public keys of which it must have one; none for any key.
    pub pins: Vec<[u8; 32]>,
    /// The name that the certificate is for, where it is not the host of the address.
    pub server_name: Option<String>,
    /// The oldest version.
    pub min_version: TlsVersion,
}

/// When a failing server is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Never.
    pub off: bool,
    /// After so many failures.
    pub failures: u32,
    /// How long a failure counts.
    pub window: Duration,
    /// How long it is left alone at first.
    pub wait: Duration,
}

/// How a server is looked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The path that is asked for; none for a connection alone.
    pub path: Option<String>,
    /// How often.
    pub every: Duration,
}

/// Where an MCP server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// At an `http` or `https` address.
    Http(Url),
    /// Behind a socket of this machine.
    Unix {
        /// The socket.
        socket: PathBuf,
        /// The path to ask for.
        path: String,
    },
}

/// A client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// PEM file with the chain.
    pub cert: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// Headers that belong to the connection or the gateway and are never set or passed on by name.
const OWN_HEADERS: [&str; 12] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "proxy-authorization",
    "proxy-connection",
    "content-type",
    "accept",
];

pub(super) fn one_upstream(at: &str, raw: &raw::Upstream, review: &mut Review) -> Option<Upstream> {
    let endpoint = endpoint(&format!("{at}.url"), &raw.url, review);
    let credential = credential(at, raw, review);
    let headers = raw
        .headers
        .iter()
        .filter_map(|(header, value)| {
            let at = format!("{at}.headers.{header}");
            let name = header_name(&at, header, &[], review)?;
            if HeaderValue::from_str(value.0.expose()).is_err() {
                review.mistake(
                    &at,
                    "cannot be sent in a header",
                    "use visible characters on one line",
                );
            }
            Some((name, value.0.clone()))
        })
        .collect();
    let forward_headers = raw
        .forward_headers
        .iter()
        .enumerate()
        .filter_map(|(index, header)| {
            let at = format!("{at}.forward_headers[{index}]");
            header_name(&at, header, &["authorization", "cookie"], review)
        })
        .collect();
    Some(Upstream {
        ca_file: raw
            .ca_file
            .as_ref()
            .map(|name| review.existing(&format!("{at}.ca_file"), name)),
        client_identity: client_identity(at, raw, review),
        endpoint: endpoint?,
        connect_timeout: raw.connect_timeout.0,
        first_byte_timeout: raw.first_byte_timeout.0,
        idle_timeout: raw.idle_timeout.0,
        total_timeout: raw.total_timeout.0,
        headers,
        forward_headers,
        credential,
        tls: tls(at, raw, review),
        breaker: Breaker {
            off: raw.breaker.off,
            failures: raw.breaker.failures,
            window: raw.breaker.window.0,
            wait: raw.breaker.wait.0,
        },
        health: health(at, raw, review),
    })
}

fn tls(at: &str, raw: &raw::Upstream, review: &mut Review) -> UpstreamTls {
    let Some(written) = &raw.tls else {
        return UpstreamTls {
            pins: Vec::new(),
            server_name: None,
            min_version: TlsVersion::V12,
        };
    };
    let at = format!("{at}.tls");
    if !raw.url.starts_with("https:") {
        let help = "write an https address, or remove it";
        review.mistake(
            &at,
            "is written, but this server is reached without TLS",
            help,
        );
    }
    if let Some(name) = &written.server_name
        && ServerName::try_from(name.as_str()).is_err()
    {
        let message = format!("`{name}` is no name of a server");
        let help = "write a host name as it stands in the certificate";
        review.mistake(&format!("{at}.server_name"), message, help);
    }
    let pins = written.pins.iter().enumerate().filter_map(|(index, text)| {
        let pin = pin(text);
        if pin.is_none() {
            let help = "write `sha256/` and the base64 of the 32 bytes of the key's SHA-256";
            review.mistake(
                &format!("{at}.pins[{index}]"),
                format!("`{text}` is no pin"),
                help,
            );
        }
        pin
    });
    let pins: Vec<_> = pins.collect();
    if pins.len() == 1 {
        review.warn(
            &format!("{at}.pins"),
            "names one key alone, and the server is cut off when it changes",
            "make the next key now and name it as well",
        );
    }
    UpstreamTls {
        pins,
        server_name: written.server_name.clone(),
        min_version: written.min_version.into(),
    }
}

/// The form of RFC 7469 section 2.4, as `curl` and most others write it.
fn pin(text: &str) -> Option<[u8; 32]> {
    let digest = STANDARD.decode(text.strip_prefix("sha256/")?).ok()?;
    digest.try_into().ok()
}

fn health(at: &str, raw: &raw::Upstream, review: &mut Review) -> Option<Health> {
    let written = raw.health.as_ref()?;
    if let Some(path) = &written.path
        && (!path.starts_with('/') || path.parse::<PathAndQuery>().is_err())
    {
        let message = format!("`{path}` is no path");
        let help = "begin with a slash, such as `/health`";
        review.mistake(&format!("{at}.health.path"), message, help);
    }
    Some(Health {
        path: written.path.clone(),
        every: written.every.0,
    })
}

fn credential(at: &str, raw: &raw::Upstream, review: &mut Review) -> Option<Credential> {
    let written = raw.credential.as_ref()?;
    let at = format!("{at}.credential");
    let header_at = format!("{at}.header");
    let header = header_name(&header_at, &written.header, &["cookie"], review);
    if let Some(header) = &header {
        let is_it = |name: &String| name.eq_ignore_ascii_case(header.as_str());
        let of_client = raw.forward_headers.iter().any(is_it);
        if of_client || raw.headers.keys().any(is_it) {
            let message = format!("`{header}` is sent by `headers` or `forward_headers` as well");
            let help = "keep one: the server must not see two credentials";
            review.mistake(&header_at, message, help);
        }
    }
    credential::mean(&at, written, header, review)
}

fn endpoint(at: &str, text: &str, review: &mut Review) -> Option<Endpoint> {
    if let Some(rest) = text.strip_prefix("unix:") {
        let (socket, path) = rest.rsplit_once(":/").map_or((rest, "/"), |(socket, _)| {
            (socket, rest.get(socket.len() + 1..).unwrap_or("/"))
        });
        if !socket.starts_with('/') {
            let help = "write `unix:/run/server.sock:/mcp`";
            review.mistake(at, "a socket needs an absolute path", help);
            return None;
        }
        return Some(Endpoint::Unix {
            socket: socket.into(),
            path: path.into(),
        });
    }
    match urls::web(text) {
        Err(error) => {
            review.mistake(at, error.to_string(), error.help());
            None
        }
        Ok(url) => {
            if urls::exposed(&url) {
                review.warn(
                    at,
                    format!(
                        "speaks plain HTTP to {}",
                        url.host_str().unwrap_or_default()
                    ),
                    "use https, or a server on this machine",
                );
            }
            Some(Endpoint::Http(url))
        }
    }
}

fn header_name(at: &str, text: &str, never: &[&str], review: &mut Review) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        review.mistake(
            at,
            format!("`{text}` is not the name of a header"),
            "such as `X-Api-Key`",
        );
        return None;
    };
    let mcp = name.as_str().starts_with("mcp-");
    if mcp || OWN_HEADERS.contains(&name.as_str()) {
        review.mistake(
            at,
            "belongs to the gateway",
            "remove it; the gateway sets it itself",
        );
    } else if never.contains(&name.as_str()) {
        review.mistake(
            at,
            "carries the client's credentials, which never travel upstream",
            "write the server's own credential under `headers`",
        );
    }
    Some(name)
}

fn client_identity(at: &str, raw: &raw::Upstream, review: &mut Review) -> Option<ClientIdentity> {
    let (cert, key) = match (&raw.client_cert_file, &raw.client_key_file) {
        (None, None) => return None,
        (Some(cert), Some(key)) => (cert, key),
        (cert, _) => {
            let missing = if cert.is_some() {
                "client_key_file"
            } else {
                "client_cert_file"
            };
            let help = "certificate and key go together";
            review.mistake(&format!("{at}.{missing}"), "is missing", help);
            return None;
        }
    };
    let key_at = format!("{at}.client_key_file");
    let identity = ClientIdentity {
        cert: review.existing(&format!("{at}.client_cert_file"), cert),
        key: review.existing(&key_at, key),
    };
    review.secret_files.push((key_at, identity.key.clone()));
    Some(identity)
}
