//! An authorization server, browsers and clients.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use crate::auth::settings::{OwnKey, OwnSettings};
use crate::auth::support::{Signer, secret};
use crate::auth::{self, Mint, ResourceId, Verifier};
use crate::clock::{Clock, Timestamp};
use crate::grants::{self, Grants};
use crate::login::{self, Desk, Next};
use crate::oauth::settings::{KnownClient, Proof};
use crate::oauth::{Parts, Resource, Server, Settings};
use crate::revocation::{self, Revocations};
use crate::secret::Secret;
use crate::store::{Memory, Store};
use crate::web::{Reply, Visit};

pub(super) use super::browser::Browser;

pub(super) const PUBLIC: &str = "https://gw.test";
pub(super) const MCP: &str = "https://gw.test/mcp";
pub(super) const OTHER: &str = "https://gw.test/other/mcp";
pub(super) const WEB: &str = "https://client.test/cb";
pub(super) const SECRET: &str = "canary-not-a-real-client-secret";
pub(super) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// The S256 challenge of [`VERIFIER`] (RFC 7636 appendix B).
pub(super) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(super) struct Rig {
    pub(super) server: Server,
    pub(super) grants: Arc<Grants>,
    pub(super) revocations: Arc<Revocations>,
    pub(super) verifier: Arc<Verifier>,
    pub(super) desk: Arc<Desk>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
    pub(super) signer: Arc<Signer>,
}

impl Rig {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::of(&["dev"], change).await
    }

    /// With these login providers.
    pub(super) async fn of(providers: &[&str], change: impl FnOnce(&mut Settings)) -> Self {
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let store: Arc<dyn Store> = Arc::new(Memory::new(clock.clone()));
        let settings = revocation::Settings::default();
        let revocations = Revocations::new(Arc::clone(&store), settings, clock.clone());
        let revocations = Arc::new(revocations.aged_by(Clock::manual(clock.now())));
        revocations.poll().await.unwrap();
        let grants = Arc::new(Grants::new(
            Arc::clone(&store),
            Arc::clone(&revocations),
            grants::Settings::default(),
            Secret::new([1; 32]),
            clock.clone(),
        ));
        let own = own();
        let verifier = Verifier::new(
            &auth::Settings {
                own: Some(own.clone()),
                ..auth::Settings::default()
            },
            clock.clone(),
        );
        let verifier = Arc::new(verifier.unwrap().watched_by(revocations.view()));
        let desk = Arc::new(desk(providers, &store, &clock));
        let signer = Arc::new(Signer::es256("m1"));
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys.json");
        let jwks = serde_json::json!({ "keys": [signer.jwk()] });
        std::fs::write(&keys, jwks.to_string()).unwrap();
        let mut settings = Settings {
            issuer: PUBLIC.into(),
            public_url: PUBLIC.into(),
            clients: clients(&keys),
            ..Settings::default()
        };
        change(&mut settings);
        let server = Server::new(Parts {
            settings,
            store: Arc::clone(&store),
            grants: Arc::clone(&grants),
            revocations: Arc::clone(&revocations),
            mint: Mint::new(&own, clock.clone()).unwrap(),
            verifier: Arc::clone(&verifier),
            desk: Arc::clone(&desk),
            resources: vec![resource(MCP, &["mcp:read"]), resource(OTHER, &[])],
            clock: clock.clone(),
        });
        Self {
            server: server.unwrap(),
            grants,
            revocations,
            verifier,
            desk,
            store,
            clock,
            signer,
        }
    }

    /// A server whose verifier asks this view.
    pub(super) fn with_view(&self, view: Arc<auth::Revoked>) -> Server {
        let settings = auth::Settings {
            own: Some(own()),
            ..auth::Settings::default()
        };
        let verifier = Verifier::new(&settings, self.clock.clone()).unwrap();
        let parts = Parts {
            settings: Settings {
                issuer: PUBLIC.into(),
                public_url: PUBLIC.into(),
                clients: clients(std::path::Path::new("unused"))
                    .into_iter()
                    .filter(|client| client.client_id != "signer")
                    .collect(),
                ..Settings::default()
            },
            store: Arc::clone(&self.store),
            grants: Arc::clone(&self.grants),
            revocations: Arc::clone(&self.revocations),
            mint: Mint::new(&own(), self.clock.clone()).unwrap(),
            verifier: Arc::new(verifier.watched_by(view)),
            desk: Arc::clone(&self.desk),
            resources: vec![resource(MCP, &["mcp:read"])],
            clock: self.clock.clone(),
        };
        Server::new(parts).unwrap()
    }

    pub(super) async fn get(&self, path: &str, params: &[(&str, &str)]) -> Reply {
        self.server.answer(&visit(Method::GET, path, params)).await
    }

    pub(super) async fn post(&self, path: &str, params: &[(&str, &str)]) -> Reply {
        self.server.answer(&visit(Method::POST, path, params)).await
    }

    /// A form, sent with `Basic` credentials.
    pub(super) async fn basic(&self, path: &str, id: &str, params: &[(&str, &str)]) -> Reply {
        let visit = visit(Method::POST, path, params);
        self.server.answer(&with_basic(visit, id, SECRET)).await
    }

    pub(super) async fn token(&self, params: &[(&str, &str)]) -> Reply {
        self.post("/oauth/token", params).await
    }

    /// Comes back from the login as this user.
    pub(super) async fn come_back(
        &self,
        browser: &mut Browser,
        reply: &Reply,
        user: &str,
    ) -> Reply {
        let to = location(reply);
        assert!(to.path() == "/auth/development", "{to}");
        let state = to.query_pairs().next().unwrap().1.into_owned();
        let params = [("state", state.as_str()), ("code", user)];
        let visit = browser.visit(Method::GET, "/auth/callback", &params);
        let signed_in = self.desk.finish(&visit).await.unwrap();
        let Next::Authorize(id) = signed_in.next else {
            panic!("it was an authorization")
        };
        let reply = self.server.resume(&id, signed_in.user, &visit).await;
        browser.keep(&reply);
        reply
    }

    /// Everything up to the code.
    pub(super) async fn code(&self, params: &[(&str, &str)]) -> String {
        let mut browser = Browser::default();
        let page = browser.sign_in(self, params).await;
        let reply = browser.answer(self, &page, "allow").await;
        param(&location(&reply), "code").expect("a code")
    }

    /// Everything up to the tokens.
    pub(super) async fn tokens(&self) -> Value {
        let code = self.code(&request()).await;
        json(&self.token(&exchange(&code)).await)
    }

    /// Whether an access token is good for a resource.
    pub(super) async fn is_good(&self, token: &str, resource: &str) -> bool {
        let bearer = auth::Bearer::parse(token, 8192).unwrap();
        let resource = ResourceId::parse(resource).unwrap();
        self.verifier.verify(&bearer, &resource).await.is_ok()
    }
}

fn own() -> OwnSettings {
    OwnSettings {
        issuer: PUBLIC.into(),
        keys: vec![OwnKey {
            kid: "k1".into(),
            secret: Secret::new(secret(1)),
        }],
        ..OwnSettings::default()
    }
}

fn desk(providers: &[&str], store: &Arc<dyn Store>, clock: &Clock) -> Desk {
    let provider = |name: &&str| login::ProviderSettings {
        name: (*name).to_owned(),
        label: format!("Login of {name}"),
        ..login::ProviderSettings::default()
    };
    let settings = login::Settings {
        providers: providers.iter().map(provider).collect(),
        public_url: PUBLIC.into(),
        tiers: vec!["free".into()],
        ..login::Settings::default()
    };
    let key = Secret::new([2; 32]);
    Desk::new(settings, Arc::clone(store), key, clock.clone()).unwrap()
}

fn resource(id: &str, scopes: &[&str]) -> Resource {
    Resource {
        id: ResourceId::parse(id).unwrap(),
        name: "Demo".into(),
        scopes: scopes.iter().map(ToString::to_string).collect(),
    }
}

fn clients(keys: &std::path::Path) -> Vec<KnownClient> {
    let client = |id: &str, proof: Proof, redirect_uris: &[&str]| KnownClient {
        client_id: id.to_owned(),
        name: format!("The {id} client"),
        proof,
        redirect_uris: redirect_uris.iter().map(ToString::to_string).collect(),
        scopes: Vec::new(),
        machine: false,
        introspect: false,
        tier: "premium".into(),
        team: "67890".into(),
    };
    let secret = || Proof::Secret(Secret::new(SECRET.into()));
    let machine = |id: &str, proof| KnownClient {
        scopes: vec!["mcp:read".into(), "task:write".into()],
        machine: true,
        ..client(id, proof, &[])
    };
    vec![
        client("web", Proof::None, &[WEB]),
        client("native", Proof::None, &["http://localhost:8080/callback"]),
        client("two", Proof::None, &[WEB, "https://client.test/other"]),
        client("confidential", secret(), &[WEB]),
        KnownClient {
            scopes: vec!["mcp:read".into()],
            ..client("narrow", Proof::None, &[WEB])
        },
        machine("machine", secret()),
        machine("signer", Proof::Keys(keys.to_owned())),
        machine("unproven", Proof::None),
        KnownClient {
            introspect: true,
            ..client("checker", secret(), &[])
        },
        KnownClient {
            introspect: true,
            ..client("nobody", Proof::None, &[])
        },
    ]
}

/// A good authorization request.
pub(super) fn request() -> Vec<(&'static str, &'static str)> {
    vec![
        ("response_type", "code"),
        ("client_id", "web"),
        ("redirect_uri", WEB),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("scope", "mcp:read"),
        ("resource", MCP),
        ("state", "s1"),
    ]
}

/// A good exchange of a code.
pub(super) fn exchange(code: &str) -> Vec<(&'static str, &str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("client_id", "web"),
        ("code", code),
        ("redirect_uri", WEB),
        ("code_verifier", VERIFIER),
    ]
}

/// A good exchange of a refresh token.
pub(super) fn refresh(token: &str) -> Vec<(&'static str, &str)> {
    vec![
        ("grant_type", "refresh_token"),
        ("client_id", "web"),
        ("refresh_token", token),
    ]
}

/// The same parameters with another value of one of them, or without it.
pub(super) fn but<'a>(
    params: &[(&'a str, &'a str)],
    name: &'a str,
    value: Option<&'a str>,
) -> Vec<(&'a str, &'a str)> {
    let mut out: Vec<_> = params.to_vec();
    out.retain(|(known, _)| *known != name);
    out.extend(value.map(|value| (name, value)));
    out
}

pub(super) fn visit(method: Method, path: &str, params: &[(&str, &str)]) -> Visit {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    let text = text.extend_pairs(params).finish();
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("localhost"));
    let is_form = method == Method::POST;
    if is_form {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form);
    }
    Visit {
        method,
        path: path.into(),
        query: (!is_form && !text.is_empty()).then(|| text.clone()),
        headers,
        body: if is_form { text.into() } else { Bytes::new() },
        address: IpAddr::from([127, 0, 0, 1]),
        request_id: "req_1".into(),
    }
}

pub(super) fn json_visit(path: &str, document: &Value) -> Visit {
    let mut visit = visit(Method::POST, path, &[]);
    let json = HeaderValue::from_static("application/json");
    visit.headers.insert(CONTENT_TYPE, json);
    visit.body = document.to_string().into();
    visit
}

pub(super) fn with_basic(mut visit: Visit, id: &str, secret: &str) -> Visit {
    let credentials = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let credentials = HeaderValue::try_from(credentials).unwrap();
    visit.headers.insert(AUTHORIZATION, credentials);
    visit
}

pub(super) fn json(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_default()
}

pub(super) fn text(reply: &Reply) -> String {
    String::from_utf8(reply.body.to_vec()).unwrap()
}

pub(super) fn location(reply: &Reply) -> Url {
    let to = reply.headers.get(LOCATION);
    let to = to.unwrap_or_else(|| panic!("no redirection: {}", text(reply)));
    Url::parse(PUBLIC)
        .unwrap()
        .join(to.to_str().unwrap())
        .unwrap()
}

pub(super) fn param(url: &Url, name: &str) -> Option<String> {
    let mut pairs = url.query_pairs();
    pairs
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.into_owned())
}

/// The hidden fields of a consent page.
pub(super) fn form(page: &Reply) -> (String, String) {
    let text = text(page);
    let field = |name: &str| {
        let from = text.split(&format!("name=\"{name}\" value=\"")).nth(1);
        let from = from.unwrap_or_else(|| panic!("no field {name}: {text}"));
        from.split('"').next().unwrap().to_owned()
    };
    (field("request"), field("token"))
}

/// What a JWT says.
pub(super) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

pub(super) fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

/// The error of a flat body.
pub(super) fn error(reply: &Reply) -> (u16, String) {
    let code = json(reply)["error"].as_str().unwrap_or_default().to_owned();
    (reply.status.as_u16(), code)
}

pub(super) const MINUTE: Duration = Duration::from_secs(60);
