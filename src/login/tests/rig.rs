//! A desk with one provider of each kind, at a time that stands still, and a browser that goes there and back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{COOKIE, HOST, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use url::Url;

use super::fake::Fake;
use crate::auth::support::{Signer, b64};
use crate::clock::{Clock, Timestamp};
use crate::login::{Desk, Endpoints, Kind, LoginError, Next, ProviderSettings, Settings, SignedIn};
use crate::secret::Secret;
use crate::store::{Memory, Store};
use crate::web::{Reply, Visit};

pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const PUBLIC_URL: &str = "https://gw.test";

pub(crate) struct Rig {
    pub(crate) desk: Desk,
    pub(crate) fake: Fake,
    pub(crate) other: Fake,
    pub(crate) clock: Clock,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) signer: Signer,
}

/// A browser that was sent away.
pub(crate) struct Away {
    pub(crate) to: Url,
    pub(crate) cookie: String,
    pub(crate) state: String,
}

impl Away {
    pub(crate) fn param(&self, name: &str) -> Option<String> {
        let mut pairs = self.to.query_pairs();
        pairs
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The browser on its way back, with these parameters beside the state.
    pub(crate) fn back(&self, params: &str) -> Visit {
        let mut back = visit("/auth/callback", &format!("state={}&{params}", self.state));
        let cookie = HeaderValue::from_str(&self.cookie).unwrap();
        back.headers.insert(COOKIE, cookie);
        back
    }
}

/// A visit from the loopback.
pub(crate) fn visit(path: &str, query: &str) -> Visit {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("localhost:8443"));
    Visit {
        method: Method::GET,
        path: path.to_owned(),
        query: Some(query.to_owned()),
        headers,
        body: Bytes::new(),
        address: "127.0.0.1".parse().unwrap(),
        request_id: "req_test".into(),
    }
}

pub(crate) fn providers(fake: &Fake, other: &Fake) -> Vec<ProviderSettings> {
    let provider = |name: &str, kind| ProviderSettings {
        name: name.into(),
        label: name.to_uppercase(),
        kind,
        client_id: format!("gw-at-{name}"),
        client_secret: Some(Secret::new("canary-not-a-real-client-secret".into())),
        keep_tokens: true,
        ..ProviderSettings::default()
    };
    let endpoints = |authorize: &str, token: &str, api: &str| Endpoints {
        authorize: Some(format!("{}{authorize}", fake.url)),
        token: Some(format!("{}{token}", fake.url)),
        api: Some(format!("{}{api}", fake.url)),
    };
    vec![
        provider(
            "clickup",
            Kind::Clickup(endpoints("/api", "/api/v2/oauth/token", "/api")),
        ),
        provider(
            "github",
            Kind::Github(endpoints("/login", "/access_token", "")),
        ),
        provider(
            "okta",
            Kind::Oidc {
                issuer: fake.url.clone(),
            },
        ),
        provider(
            "other",
            Kind::Oidc {
                issuer: other.url.clone(),
            },
        ),
        provider("development", Kind::Development),
    ]
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let (fake, other) = (Fake::start().await, Fake::start().await);
        let clock = Clock::manual(Timestamp::from_seconds(NOW));
        let store: Arc<dyn Store> = Arc::new(Memory::new(clock.clone()));
        let mut settings = Settings {
            providers: providers(&fake, &other),
            public_url: PUBLIC_URL.into(),
            timeout: Duration::from_millis(500),
            ..Settings::default()
        };
        change(&mut settings);
        let key = Secret::new([7; 32]);
        let desk = Desk::new(settings, Arc::clone(&store), key, clock.clone()).unwrap();
        let rig = Self {
            desk,
            fake,
            other,
            clock,
            store,
            signer: Signer::es256("k1"),
        };
        rig.publish(&rig.fake, json!({}));
        rig.publish(&rig.other, json!({}));
        rig
    }

    /// Serves an issuer's metadata and keys.
    pub(crate) fn publish(&self, at: &Fake, more: Value) {
        let url = &at.url;
        let mut document = json!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"),
            "jwks_uri": format!("{url}/keys"),
        });
        for (name, value) in more.as_object().unwrap() {
            document[name] = value.clone();
        }
        at.serve("/.well-known/openid-configuration", &document);
        at.serve("/keys", &json!({ "keys": [self.signer.jwk()] }));
    }

    /// Sends a browser away.
    pub(crate) async fn away(&self, provider: &str, next: Next) -> Away {
        let reply = self.begin(provider, next, None).await.unwrap();
        away(&reply)
    }

    pub(crate) async fn begin(
        &self,
        provider: &str,
        next: Next,
        cookie: Option<&str>,
    ) -> Result<Reply, LoginError> {
        let mut begin = visit("/auth/login", "");
        if let Some(cookie) = cookie {
            let cookie = HeaderValue::from_str(cookie).unwrap();
            begin.headers.insert(COOKIE, cookie);
        }
        self.desk.begin(provider, next, &begin).await
    }

    /// The claims of a good ID token for this login.
    pub(crate) fn claims(&self, away: &Away) -> Value {
        json!({
            "iss": self.fake.url,
            "aud": "gw-at-okta",
            "sub": "alice",
            "nonce": away.param("nonce"),
            "iat": NOW,
            "exp": NOW + 300,
        })
    }

    /// Lets the token endpoint answer with this ID token.
    pub(crate) fn hand_out(&self, id_token: &str) {
        let document = json!({"access_token": ACCESS_TOKEN, "token_type": "Bearer",
            "refresh_token": "canary-not-a-real-refresh", "expires_in": 3600, "id_token": id_token});
        self.fake.serve("/token", &document);
    }

    /// A whole login with the OpenID provider, which says this about the user.
    pub(crate) async fn login_with(
        &self,
        change: impl FnOnce(&mut Value),
    ) -> Result<SignedIn, LoginError> {
        let away = self.away("okta", Next::Session).await;
        let mut claims = self.claims(&away);
        change(&mut claims);
        self.hand_out(&self.signer.token(&claims));
        self.desk.finish(&away.back("code=c1")).await
    }
}

/// Where a browser was sent.
pub(crate) fn away(reply: &Reply) -> Away {
    let location = reply.headers[LOCATION].to_str().unwrap();
    let to = Url::parse(PUBLIC_URL).unwrap().join(location).unwrap();
    let cookie = reply.headers[SET_COOKIE].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let state = to.query_pairs().find(|(name, _)| name == "state");
    let state = state.unwrap().1.into_owned();
    Away { to, cookie, state }
}

/// The same text as base64url, for tokens that no signer makes.
pub(crate) fn part(value: &Value) -> String {
    b64(value.to_string().as_bytes())
}

pub(crate) const ACCESS_TOKEN: &str = "canary-not-a-real-access-token";
