//! The login of the demo, which asks for no proof. It works on the loopback only, judged by who connected and by the name
//! that the browser called, and not through any proxy.

use std::net::IpAddr;

use http::header::{FORWARDED, HOST};
use serde_json::Map;
use url::Url;

use super::error::LoginError;
use super::facts::Facts;
use crate::fetch::is_loopback;
use crate::web::{Params, Visit};

/// Refuses whoever is not on this computer.
pub(super) fn check_local(visit: &Visit) -> Result<(), LoginError> {
    let address = match visit.address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback())
        }
    };
    let named = visit
        .header(&HOST)
        .and_then(|host| Url::parse(&format!("http://{host}/")).ok())
        .is_some_and(|url| is_loopback(&url));
    let relayed = PROXY_HEADERS
        .iter()
        .any(|name| visit.headers.contains_key(*name))
        || visit.headers.contains_key(FORWARDED);
    if address && named && !relayed {
        Ok(())
    } else {
        Err(LoginError::NotLocal)
    }
}

/// The person that the form names.
pub(super) fn identify(params: &Params, code: &str) -> Result<Facts, LoginError> {
    let fits = (1..=SUBJECT_MAX_BYTES).contains(&code.len())
        && code
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.@-".contains(&b));
    if !fits {
        return Err(LoginError::Profile("the user id is not one"));
    }
    let mut claims = Map::new();
    for name in [TIER, TEAM] {
        if let Some(value) = params.find(name) {
            claims.insert(name.into(), value.into());
        }
    }
    Ok(Facts {
        subject: code.to_owned(),
        name: Some(code.to_owned()),
        claims,
        ..Facts::default()
    })
}

/// The claim that holds the chosen tier.
pub(super) const TIER: &str = "tier";
/// The claim that holds the chosen workspace.
pub(super) const TEAM: &str = "team";
const SUBJECT_MAX_BYTES: usize = 64;
const PROXY_HEADERS: [&str; 4] = ["x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];
