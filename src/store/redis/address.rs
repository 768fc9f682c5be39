//! Where a Redis is: `redis://user:password@host:port/database`, or `rediss:` over TLS. The password goes to the connection
//! and nowhere else: what is shown has none, and no mistake in an address repeats it.

use std::fmt;

use ::redis::{IntoConnectionInfo, RedisConnectionInfo};
use url::{Host, Url};

use crate::secret::Secret;
use crate::store::StoreError;

const PORT: u16 = 6379;

#[derive(Clone)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) is_tls: bool,
    pub(super) is_loopback: bool,
    pub(super) login: RedisConnectionInfo,
}

impl Address {
    pub(super) fn parse(text: &Secret<String>) -> Result<Self, StoreError> {
        let url = Url::parse(text.expose()).map_err(|error| unusable(&error.to_string()))?;
        let is_tls = match url.scheme() {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err(unusable("its scheme is neither redis: nor rediss:")),
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(unusable("it may not have a query or a fragment"));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        // The authority of this scheme is kept as it was written, so an address has to be recognised here.
        let host = host.ok_or_else(|| unusable("it names no host"))?;
        let host = Host::parse(host).map_err(|_| unusable("it names no host"))?;
        let (host, is_loopback) = match host {
            Host::Domain(name) => {
                let is_loopback = name == "localhost";
                (name, is_loopback)
            }
            Host::Ipv4(ip) => (ip.to_string(), ip.is_loopback()),
            Host::Ipv6(ip) => (ip.to_string(), ip.is_loopback()),
        };
        let port = url.port().unwrap_or(PORT);
        let info = url
            .into_connection_info()
            .map_err(|_| unusable("the database is no number, or the login is no text"))?;
        Ok(Self {
            host,
            port,
            is_tls,
            is_loopback,
            login: info.redis_settings().clone(),
        })
    }
}

fn unusable(why: &str) -> StoreError {
    StoreError::Unusable(format!("the address of the store cannot be used: {why}"))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.is_tls { " over TLS" } else { "" };
        let (host, port, database) = (&self.host, self.port, self.login.db());
        write!(f, "redis at {host} port {port}, database {database}{how}")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, StoreError> {
        Address::parse(&Secret::new(text.to_owned()))
    }

    #[test]
    fn what_is_no_address_of_a_redis_is_refused_without_repeating_it() {
        for text in [
            "",
            "redis",
            "redis:",
            "redis://",
            "http://:canary@host/",
            "redis://:canary@host/one",
            "redis://:canary@host/1?insecure",
            "rediss://:canary@host/1#insecure",
            "redis://:canary@host:99999/",
            "redis+unix:///canary",
            "redis://:%ff%fecanary@host/",
        ] {
            let refused = parse(text).expect_err(text).to_string();
            assert!(!refused.contains("canary"), "{refused}");
        }
    }

    #[test]
    fn addresses_are_read_in_every_form() {
        for (text, shown) in [
            ("redis://h", "redis at h port 6379, database 0"),
            (
                "rediss://u:canary@cache.example:7000/3",
                "redis at cache.example port 7000, database 3 over TLS",
            ),
            (
                "redis://:canary%2F@[::1]:7000/",
                "redis at ::1 port 7000, database 0",
            ),
            (
                "valkeys://:canary@10.1.2.3",
                "redis at 10.1.2.3 port 6379, database 0 over TLS",
            ),
        ] {
            let address = parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert!(!format!("{address:?}").contains("canary"), "{address:?}");
        }
        let address = parse("redis://u%40x:canary%2F@[::1]:7000/2").unwrap();
        assert_eq!(address.login.username(), Some("u@x"));
        assert_eq!(address.login.password(), Some("canary/"));
        assert!(address.is_loopback);
    }
}
