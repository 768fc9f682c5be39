//! A gateway with a ClickUp to sign in with, a client that does everything right, and what attackers bend of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use crate::harness::audit;
use crate::harness::browser::{Arrived, Browser};
use crate::harness::client::{Client, Http, Reply};
use crate::harness::gateway::{PUBLIC, Plan, Rig};
use crate::harness::mcp::Mcp;
use crate::harness::provider::FakeClickUp;

/// The verifier of the honest client.
pub(crate) const VERIFIER: &str = "honest-verifier-0123456789-abcdefghijklmnopqrstuvwxyz";
/// Where the honest client waits.
pub(crate) const REDIRECT: &str = "http://127.0.0.1:7777/callback";
/// A key that seals nothing of worth.
pub(crate) const SEALING: &str = "canary-not-a-real-sealing-key-0a1b2c3d4e5f";

/// What `code_challenge` is for a verifier (RFC 7636 section 4.2).
pub(crate) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

/// Parameters by name, in order; a name may be there twice.
pub(crate) type Fields = Vec<(String, String)>;

/// Changes of fields, as attackers make them.
pub(crate) trait Bend {
    /// Another value for a field.
    fn set(&mut self, name: &str, value: &str);
    /// Without the field.
    fn without(&mut self, name: &str);
    /// The field once more.
    fn again(&mut self, name: &str, value: &str);
}

impl Bend for Fields {
    fn set(&mut self, name: &str, value: &str) {
        self.without(name);
        self.again(name, value);
    }

    fn without(&mut self, name: &str) {
        self.retain(|(known, _)| known != name);
    }

    fn again(&mut self, name: &str, value: &str) {
        self.push((name.to_owned(), value.to_owned()));
    }
}

pub(crate) fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub(crate) fn encoded(fields: &Fields) -> String {
    let mut out = url::form_urlencoded::Serializer::new(String::new());
    out.extend_pairs(fields);
    out.finish()
}

/// The gateway, its provider, and a registered client.
pub(crate) struct Town {
    pub(crate) clickup: Arc<FakeClickUp>,
    pub(crate) rig: Rig,
    pub(crate) client: Client,
    /// The honest client's id.
    pub(crate) client_id: String,
}

impl Town {
    pub(crate) async fn start() -> Self {
        Self::with(|plan| plan).await
    }

    /// The same with other settings.
    pub(crate) async fn with(plan: impl FnOnce(Plan) -> Plan) -> Self {
        let clickup = Arc::new(FakeClickUp::start().await);
        let mut town = Self::at(clickup, plan).await;
        town.client_id = town.registered(&[REDIRECT]).await;
        town
    }

    /// Another gateway with the same provider, where the same client comes.
    pub(crate) async fn twin(&self, plan: impl FnOnce(Plan) -> Plan) -> Self {
        let mut twin = Self::at(Arc::clone(&self.clickup), plan).await;
        twin.client_id.clone_from(&self.client_id);
        twin
    }

    async fn at(clickup: Arc<FakeClickUp>, plan: impl FnOnce(Plan) -> Plan) -> Self {
        let settings = format!("login: {{ providers: [ {} ] }}", clickup.settings());
        let standard = Plan::new()
            .settings(&settings)
            .env("ENCRYPTION_KEY", SEALING);
        let rig = plan(standard).start().await;
        let client = rig.client(Http::One);
        Self {
            clickup,
            rig,
            client,
            client_id: String::new(),
        }
    }

    /// A browser that opens the pages of the gateway and of the provider.
    pub(crate) fn browser(&self) -> Browser {
        let provider = format!("http://{}", self.clickup.address);
        Browser::new(self.client.clone(), &[PUBLIC, &provider])
    }

    /// Registers a public client and yields its id.
    pub(crate) async fn registered(&self, redirects: &[&str]) -> String {
        let reply = self
            .register(&json!({"client_name": "Honest", "redirect_uris": redirects,
                "token_endpoint_auth_method": "none"}))
            .await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
        reply.json()["client_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn register(&self, metadata: &Value) -> Reply {
        let request = Request::post(format!("{PUBLIC}/oauth/register"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(metadata.to_string())))
            .unwrap();
        self.client.send(request).await
    }

    /// What the honest client asks for.
    pub(crate) fn honest(&self) -> Fields {
        fields(&[
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", REDIRECT),
            ("state", "state-of-the-client"),
            ("code_challenge", &challenge(VERIFIER)),
            ("code_challenge_method", "S256"),
            ("resource", &format!("{PUBLIC}/mcp")),
            ("scope", "mcp:read mcp:write"),
        ])
    }

    pub(crate) fn authorize_url(asked: &Fields) -> String {
        format!("{PUBLIC}/oauth/authorize?{}", encoded(asked))
    }

    /// The consent page that an authorization request leads to.
    pub(crate) async fn to_consent(&self, browser: &mut Browser, asked: &Fields) -> (Url, Reply) {
        match browser.open(&Self::authorize_url(asked)).await {
            Arrived::At(url, page) => {
                assert_eq!(page.status, StatusCode::OK, "{}", page.text());
                assert!(page.text().contains("<form"), "{}", page.text());
                (url, page)
            }
            Arrived::Left(url) => panic!("left for {url}"),
        }
    }

    /// The whole way of a user who agrees: the address that the client is called back at.
    pub(crate) async fn agreed(&self, browser: &mut Browser, asked: &Fields) -> Url {
        let (at, page) = self.to_consent(browser, asked).await;
        browser.press(&at, &page, "allow").await.outside()
    }

    /// An authorization code for the honest client.
    pub(crate) async fn code(&self) -> String {
        self.code_for(&self.honest()).await
    }

    pub(crate) async fn code_for(&self, asked: &Fields) -> String {
        let back = self.agreed(&mut self.browser(), asked).await;
        of_query(&back, "code").unwrap_or_else(|| panic!("no code in {back}"))
    }

    /// What the honest client sends to the token endpoint.
    pub(crate) fn exchange(&self, code: &str) -> Fields {
        fields(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("client_id", &self.client_id),
            ("code_verifier", VERIFIER),
            ("resource", &format!("{PUBLIC}/mcp")),
        ])
    }

    /// What it sends to get a fresh token.
    pub(crate) fn refreshing(&self, token: &str) -> Fields {
        fields(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", &self.client_id),
        ])
    }

    /// Signs in at the account's own door: the answer of `/auth/callback`.
    pub(crate) async fn session(&self) -> Reply {
        let mut browser = self.browser();
        browser.accept = "application/json";
        let url = format!("{PUBLIC}/auth/login?provider=clickup");
        browser.open(&url).await.page()
    }

    pub(crate) async fn post(&self, path: &str, form: &Fields) -> Reply {
        self.post_with(path, form, &[]).await
    }

    pub(crate) async fn post_with(
        &self,
        path: &str,
        form: &Fields,
        headers: &[(&str, &str)],
    ) -> Reply {
        let mut request = Request::post(format!("{PUBLIC}{path}"))
            .header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(Bytes::from(encoded(form)));
        self.client.send(request.body(body).unwrap()).await
    }

    pub(crate) async fn token(&self, form: &Fields) -> Reply {
        self.post("/oauth/token", form).await
    }

    /// Access and refresh token of the honest client.
    pub(crate) async fn tokens(&self) -> (String, String) {
        let code = self.code().await;
        pair(&self.token(&self.exchange(&code)).await)
    }

    /// Whether the MCP endpoint lets a token in: 401, or 200 whatever the server behind it says.
    pub(crate) async fn knock(&self, token: &str) -> StatusCode {
        knock(&self.rig.stranger(Http::One).with_token(token)).await
    }

    /// The audit line of an answer, which has to say that it was refused, and why.
    pub(crate) async fn told(&self, what: &str, reply: &Reply) -> Value {
        let id = reply
            .header("x-request-id")
            .unwrap_or_else(|| panic!("{what}: no request id"))
            .to_owned();
        let line = audit::line_of(self.rig.audit_dir(), |line| {
            line["request_id"] == id.as_str()
        })
        .await;
        assert_eq!(line["status"], "error", "{what}: {line}");
        let reason = line["reason"].as_str().unwrap_or_default();
        assert!(!reason.is_empty(), "{what}: {line}");
        line
    }
}

/// Whether an MCP endpoint lets its caller in: 401, or 200 whatever the server behind it says.
pub(crate) async fn knock(caller: &Mcp) -> StatusCode {
    match caller.modern("tools/list", json!({})).await.status {
        StatusCode::UNAUTHORIZED => StatusCode::UNAUTHORIZED,
        _ => StatusCode::OK,
    }
}

/// A parameter of an address.
pub(crate) fn of_query(url: &Url, name: &str) -> Option<String> {
    let found: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    found.get(name).cloned()
}

/// Access and refresh token of a good answer.
pub(crate) fn pair(reply: &Reply) -> (String, String) {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let body = reply.json();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    (text("access_token"), text("refresh_token"))
}
