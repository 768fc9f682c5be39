//! How an MCP server is reached: its address, what to trust, what to send.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use url::Url;

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
