//! A browser that keeps cookies, and walks through a login as one would.

use std::collections::BTreeMap;

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderName, HeaderValue, Method};

use super::rig::{Rig, form, visit};
use crate::web::{Reply, Visit};

/// A browser: it keeps cookies.
#[derive(Default)]
pub(super) struct Browser {
    pub(super) cookies: BTreeMap<String, String>,
    /// `Sec-Fetch-Site` of what it asks.
    pub(super) site: Option<&'static str>,
}

impl Browser {
    pub(super) fn visit(&self, method: Method, path: &str, params: &[(&str, &str)]) -> Visit {
        let mut visit = visit(method, path, params);
        let pairs = self.cookies.iter();
        let cookies: Vec<_> = pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            let cookies = HeaderValue::try_from(cookies.join("; ")).unwrap();
            visit.headers.insert(COOKIE, cookies);
        }
        if let Some(site) = self.site {
            let name = HeaderName::from_static("sec-fetch-site");
            visit.headers.insert(name, HeaderValue::from_static(site));
        }
        visit
    }

    pub(super) fn keep(&mut self, reply: &Reply) {
        for cookie in reply.headers.get_all(SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.into(), value.into());
        }
    }

    pub(super) async fn authorize(&mut self, rig: &Rig, params: &[(&str, &str)]) -> Reply {
        let visit = self.visit(Method::GET, "/oauth/authorize", params);
        let reply = rig.server.answer(&visit).await;
        self.keep(&reply);
        reply
    }

    /// Up to the consent page, as the user 12345.
    pub(super) async fn sign_in(&mut self, rig: &Rig, params: &[(&str, &str)]) -> Reply {
        let away = self.authorize(rig, params).await;
        rig.come_back(self, &away, "12345").await
    }

    /// Answers a consent page.
    pub(super) async fn answer(&mut self, rig: &Rig, page: &Reply, decision: &str) -> Reply {
        let (request, token) = form(page);
        let params = [
            ("request", request.as_str()),
            ("token", &token),
            ("decision", decision),
        ];
        let visit = self.visit(Method::POST, "/oauth/consent", &params);
        rig.server.answer(&visit).await
    }
}
