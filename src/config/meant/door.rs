//! What is meant by who may connect: networks, and which counts apply where addresses can be told apart.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::Review;
use super::listen::{Listen, Transport};
use crate::config::raw;

/// Who may connect.
#[derive(Clone, Debug)]
pub struct Door {
    /// Handshakes under way at once.
    pub handshakes: usize,
    /// What one address may do; none where connections cannot be told apart.
    pub per_address: Option<PerAddress>,
    /// Bad tokens of one address in a minute; none where requests cannot be told apart.
    pub bad_tokens_per_minute: Option<u32>,
    /// Addresses that none of this applies to.
    pub exempt: Vec<IpNet>,
    /// Proxies that say for whom they connect.
    pub proxies: Vec<IpNet>,
}

/// What one address may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerAddress {
    /// Connections at once.
    pub connections: u32,
    /// New connections in a second.
    pub connections_per_second: u32,
    /// Handshakes at once.
    pub handshakes: u32,
}

/// Certificates of callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutual {
    /// Whether everybody needs one.
    pub required: bool,
    /// The authorities.
    pub ca_file: PathBuf,
    /// Lists of revoked certificates.
    pub crl_files: Vec<PathBuf>,
    /// Whether certificates are refused that no list speaks of.
    pub deny_unknown_revocation: bool,
}

pub(super) fn door(
    raw: &raw::Config,
    listen: Option<&Listen>,
    review: &mut Review,
) -> Option<Door> {
    let path = "listen.proxy_protocol";
    let proxies = networks(path, &raw.listen.proxy_protocol, review);
    if proxies.iter().any(|net| net.prefix_len() == 0) {
        let help = "write the addresses of the proxies";
        review.warn(path, "everybody can claim any address", help);
    }
    let given = &raw.limits.per_address;
    let mut exempt = networks("limits.per_address.exempt", &given.exempt, review);
    let listen = listen?;
    // What a proxy does for itself, such as to see whether we are well, is not held against it.
    exempt.extend(&proxies);
    let is_hidden = listen.transport == Transport::BehindTlsProxy && proxies.is_empty();
    let has_hops = listen.trusted_hops > 0;
    let per_address = PerAddress {
        connections: given.connections,
        connections_per_second: given.connections_per_second,
        handshakes: given.handshakes,
    };
    Some(Door {
        handshakes: raw.limits.handshakes as usize,
        per_address: (!is_hidden && !has_hops).then_some(per_address),
        bad_tokens_per_minute: (!is_hidden || has_hops).then_some(given.bad_tokens_per_minute),
        exempt,
        proxies,
    })
}

fn networks(path: &str, texts: &[String], review: &mut Review) -> Vec<IpNet> {
    let mut found = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match network(text) {
            Some(network) => found.push(network),
            None => review.mistake(
                &format!("{path}[{index}]"),
                format!("`{text}` is no address and no network"),
                "write it as `192.0.2.1`, `10.0.0.0/8` or `2001:db8::/32`",
            ),
        }
    }
    found
}

/// An address, or a network whose address has nothing beyond its length.
fn network(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical().into());
    }
    let network: IpNet = text.parse().ok()?;
    (network.addr() == network.network()).then_some(network)
}

pub(super) fn mutual(raw: &raw::Mutual, review: &mut Review) -> Mutual {
    let path = "listen.tls.client_auth";
    let lists = raw.crl_files.iter().enumerate();
    Mutual {
        required: raw.mode == raw::MutualMode::Required,
        ca_file: review.existing(&format!("{path}.ca_file"), &raw.ca_file),
        crl_files: lists
            .map(|(index, file)| review.existing(&format!("{path}.crl_files[{index}]"), file))
            .collect(),
        deny_unknown_revocation: raw.deny_unknown_revocation,
    }
}
