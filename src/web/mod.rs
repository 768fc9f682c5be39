//! What the gateway's own pages and endpoints (`/oauth/*`, `/auth/*`) are asked and what they answer: a whole request, a whole
//! answer, and what the audit trail says about it. The pipeline reads the one and writes the other, so that every rule about
//! sizes, headers and lines is kept in one place.
//!
//! **Protects** against parameters that are read in two ways: repeated ones, and ones in a body of another type.
//! **Assumes** that the limits stage has bounded head and body.
//! **Hands on** a [`Visit`] to an endpoint, a [`Reply`] to the pipeline.
//! **Refuses** forms and queries that are not what they claim to be.

pub mod address;
pub mod cookie;
pub mod pages;
pub mod params;
pub mod reply;

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, HOST, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::de::DeserializeOwned;

pub use params::{Params, ParamsError};
pub use reply::{Note, Reply};

/// A whole request to one of the gateway's own endpoints.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The method.
    pub method: Method,
    /// The path, byte for byte.
    pub path: String,
    /// The query, without its question mark.
    pub query: Option<String>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Who connected.
    pub address: IpAddr,
    /// The id by which answer, audit line and log lines are found together.
    pub request_id: String,
}

impl Visit {
    /// From a head and a body that were read.
    pub fn new(head: &Parts, body: Bytes, address: IpAddr, request_id: &str) -> Self {
        let mut headers = head.headers.clone();
        // HTTP/2 says the host in another place (RFC 9113 section 8.3.1); the limits stage has seen that there is one.
        if let Some(authority) = head.uri.authority()
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            headers.entry(HOST).or_insert(host);
        }
        Self {
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().map(str::to_owned),
            headers,
            body,
            address,
            request_id: request_id.to_owned(),
        }
    }

    /// The parameters of the query.
    ///
    /// # Errors
    /// [`ParamsError`] when they cannot be read in one way only.
    pub fn params(&self) -> Result<Params, ParamsError> {
        Params::parse(self.query.as_deref().unwrap_or_default().as_bytes())
    }

    /// The parameters of the body, which must be `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    /// [`ParamsError`] when it is of another type, or cannot be read in one way only.
    pub fn form(&self) -> Result<Params, ParamsError> {
        if !self.is_of("application/x-www-form-urlencoded") {
            return Err(ParamsError::MediaType);
        }
        Params::parse(&self.body)
    }

    /// The body as JSON, which must say that it is.
    ///
    /// # Errors
    /// [`ParamsError`] when it is of another type or shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ParamsError> {
        if !self.is_of("application/json") {
            return Err(ParamsError::MediaType);
        }
        serde_json::from_slice(&self.body).map_err(|_| ParamsError::Malformed)
    }

    fn is_of(&self, media_type: &str) -> bool {
        self.header(&CONTENT_TYPE)
            .and_then(|value| value.split(';').next())
            .is_some_and(|value| value.trim().eq_ignore_ascii_case(media_type))
    }

    /// A header that is there exactly once and is text.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }

    /// A cookie; none if there are two of the name, since nobody can say which is ours.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let fields = self.headers.get_all(COOKIE).iter();
        cookie::find(fields.filter_map(|field| field.to_str().ok()), name)
    }

    /// What the caller's program calls itself.
    pub fn user_agent(&self) -> Option<&str> {
        self.header(&USER_AGENT)
    }

    /// Whether a browser says that another site caused the request (Fetch metadata). Programs say nothing.
    pub fn is_cross_site(&self) -> bool {
        const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
        match self.header(&FETCH_SITE) {
            None => self.headers.contains_key(&FETCH_SITE),
            Some(site) => !matches!(site, "none" | "same-origin"),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn rfc9113_s8_3_1_the_host_of_http_2_is_a_host_like_any_other() {
        let of = |request: Request<()>| {
            let (head, ()) = request.into_parts();
            let visit = Visit::new(&head, Bytes::new(), IpAddr::from([127, 0, 0, 1]), "req_1");
            visit.header(&HOST).map(str::to_owned)
        };
        let two = Request::get("https://gw.test:8443/auth/login");
        assert_eq!(of(two.body(()).unwrap()).as_deref(), Some("gw.test:8443"));
        let one = Request::get("/auth/login").header(HOST, "gw.test");
        assert_eq!(of(one.body(()).unwrap()).as_deref(), Some("gw.test"));
    }
}
