//! An account whose users sign in with fake providers, at a time that stands still.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method};
use serde_json::{Value, json};

use crate::account::{Account, Parts, Settings};
use crate::audit::Sink;
use crate::audit::sink::Captured;
use crate::auth::settings::{OwnKey, OwnSettings};
use crate::auth::support::secret;
use crate::auth::{self, Mint, ResourceId, Verifier};
use crate::clock::{Clock, Timestamp};
use crate::grants::{self, Grants};
use crate::login::tests::fake::Fake;
use crate::login::tests::rig::{self as login, NOW, PUBLIC_URL, away, providers};
use crate::login::{self as login_parts, Desk};
use crate::oauth;
use crate::revocation::{self, Revocations};
use crate::secret::Secret;
use crate::store::{Memory, Store, Table};
use crate::vault::{self, Keeping, Vault};
use crate::web::{Reply, Visit};

pub(super) struct Rig {
    pub(super) account: Account,
    pub(super) server: Arc<oauth::Server>,
    pub(super) fake: Fake,
    pub(super) clock: Clock,
    pub(super) store: Arc<dyn Store>,
    pub(super) grants: Arc<Grants>,
    pub(super) revocations: Arc<Revocations>,
    pub(super) vault: Arc<Vault>,
    pub(super) mint: Mint,
    pub(super) audit: Captured,
}

/// A session as its holder knows it.
pub(super) struct Session {
    pub(super) token: String,
    pub(super) refresh_token: String,
    pub(super) body: Value,
}

pub(super) fn resource() -> ResourceId {
    ResourceId::parse("https://gw.test/mcp").unwrap()
}

fn own() -> OwnSettings {
    OwnSettings {
        issuer: PUBLIC_URL.into(),
        keys: vec![OwnKey {
            kid: "k1".into(),
            secret: Secret::new(secret(1)),
        }],
        ..OwnSettings::default()
    }
}

fn settings() -> Settings {
    Settings {
        scopes: vec!["mcp:read".into(), "mcp:write".into()],
        key_providers: vec!["clickup".into(), "okta".into()],
        ..Settings::default()
    }
}

fn client() -> oauth::settings::KnownClient {
    oauth::settings::KnownClient {
        client_id: "reports".into(),
        name: "Reports <b>".into(),
        proof: oauth::settings::Proof::None,
        redirect_uris: vec!["https://reports.test/back".into()],
        scopes: Vec::new(),
        machine: false,
        introspect: false,
        tier: "free".into(),
        team: "default".into(),
    }
}

impl Rig {
    pub(super) async fn start() -> Self {
        Self::with(settings(), |_| {}).await
    }

    /// With these providers alone.
    pub(super) async fn of(names: &[&str]) -> Self {
        let keep = |desk: &mut login_parts::Settings| {
            let named = |name: &str| names.contains(&name);
            desk.providers.retain(|provider| named(&provider.name));
        };
        Self::with(settings(), keep).await
    }

    pub(super) async fn with(
        settings: Settings,
        change: impl FnOnce(&mut login_parts::Settings),
    ) -> Self {
        let (fake, other) = (Fake::start().await, Fake::start().await);
        let clock = Clock::manual(Timestamp::from_seconds(NOW));
        let store: Arc<dyn Store> = Arc::new(Memory::new(clock.clone()));
        let (sink, audit) = Sink::capture(clock.clone());
        let mut desk = login_parts::Settings {
            providers: providers(&fake, &other),
            public_url: PUBLIC_URL.into(),
            timeout: Duration::from_millis(500),
            ..login_parts::Settings::default()
        };
        change(&mut desk);
        let key = Secret::new([7; 32]);
        let desk = Arc::new(Desk::new(desk, Arc::clone(&store), key, clock.clone()).unwrap());
        // How old the view is goes by real time, so that a test may let a day pass.
        let revocations = Revocations::new(
            Arc::clone(&store),
            revocation::Settings {
                stale_after: Duration::from_secs(600),
                ..revocation::Settings::default()
            },
            clock.clone(),
        );
        let revocations = Arc::new(revocations.aged_by(Clock::system()));
        revocations.poll().await.unwrap();
        let auth = auth::Settings {
            own: Some(own()),
            ..auth::Settings::default()
        };
        let verifier = Verifier::new(&auth, clock.clone()).unwrap();
        let verifier = Arc::new(verifier.watched_by(revocations.view()));
        let mint = Mint::new(&own(), clock.clone()).unwrap();
        let grants = Arc::new(Grants::new(
            Arc::clone(&store),
            Arc::clone(&revocations),
            grants::Settings::default(),
            Secret::new([1; 32]),
            clock.clone(),
        ));
        let sealed = vault::Settings {
            keeping: Keeping::Vault,
            key: Some(Secret::new(secret(9))),
            ..vault::Settings::default()
        };
        let vault = Vault::open(Arc::clone(&store), &sealed, clock.clone(), sink.clone());
        let vault = Arc::new(vault.await.unwrap());
        let server = oauth::Server::new(oauth::Parts {
            settings: oauth::Settings {
                issuer: PUBLIC_URL.into(),
                public_url: PUBLIC_URL.into(),
                documents: None,
                clients: vec![client()],
                ..oauth::Settings::default()
            },
            store: Arc::clone(&store),
            grants: Arc::clone(&grants),
            revocations: Arc::clone(&revocations),
            mint: mint.clone(),
            verifier: Arc::clone(&verifier),
            desk: Arc::clone(&desk),
            resources: vec![oauth::Resource {
                id: resource(),
                name: "mcp".into(),
                scopes: vec!["mcp:read".into()],
            }],
            clock: clock.clone(),
        });
        let server = Arc::new(server.unwrap());
        let account = Account::new(Parts {
            settings,
            desk,
            oauth: Some(Arc::clone(&server)),
            grants: Arc::clone(&grants),
            mint: mint.clone(),
            verifier,
            vault: Some(Arc::clone(&vault)),
            revocations: Arc::clone(&revocations),
            store: Arc::clone(&store),
            resources: vec![resource()],
            audit: sink,
            clock: clock.clone(),
        });
        let rig = Self {
            account: account.unwrap(),
            server,
            fake,
            clock,
            store,
            grants,
            revocations,
            vault,
            mint,
            audit,
        };
        rig.serve_clickup(&json!({"access_token": TOKEN}));
        rig
    }

    /// A ClickUp whose token endpoint answers this.
    pub(super) fn serve_clickup(&self, tokens: &Value) {
        self.fake.serve("/api/v2/oauth/token", tokens);
        let user =
            json!({"user": {"id": 12345, "username": "john_doe", "email": "user@example.com"}});
        self.fake.serve("/api/v2/user", &user);
        let teams = json!({"teams": [{"id": "67890", "name": "My Workspace"}]});
        self.fake.serve("/api/v2/team", &teams);
    }

    pub(super) async fn get(&self, path: &str, query: &str) -> Reply {
        self.account.answer(&login::visit(path, query)).await
    }

    /// The visit of a browser that comes back from ClickUp.
    pub(super) async fn back(&self) -> Visit {
        let sent = self.get("/auth/login", "provider=clickup").await;
        away(&sent).back("code=c1")
    }

    /// A session of the ClickUp user.
    pub(super) async fn sign_in(&self) -> Session {
        let reply = self.account.answer(&self.back().await).await;
        Session::of(&reply)
    }

    /// A call with a token.
    pub(super) async fn call(&self, method: Method, path: &str, token: &str) -> Reply {
        self.account.answer(&called(method, path, token)).await
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: &Value,
    ) -> Reply {
        let mut visit = called(method, path, token);
        let json = HeaderValue::from_static("application/json");
        visit.headers.insert(CONTENT_TYPE, json);
        visit.body = Bytes::from(body.to_string());
        self.account.answer(&visit).await
    }

    /// Everything that the store holds, as text.
    pub(super) async fn dump(&self) -> String {
        let mut dump = String::new();
        for table in Table::ALL {
            for (id, entry) in self.store.scan(table, "", None, 1000).await.unwrap() {
                dump.push_str(&id);
                dump.push_str(&String::from_utf8_lossy(&entry.value));
            }
        }
        dump
    }
}

impl Session {
    pub(super) fn of(reply: &Reply) -> Self {
        let body = json_of(reply);
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        Self {
            token: text("token"),
            refresh_token: text("refresh_token"),
            body,
        }
    }

    /// The claims of the token, unverified.
    pub(super) fn claims(&self) -> Value {
        claims(&self.token)
    }
}

pub(super) fn claims(token: &str) -> Value {
    use base64::Engine;
    let payload = token.split('.').nth(1).unwrap();
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload);
    serde_json::from_slice(&json.unwrap()).unwrap()
}

pub(super) fn called(method: Method, path: &str, token: &str) -> Visit {
    let mut visit = login::visit(path, "");
    visit.method = method;
    if !token.is_empty() {
        let line = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        visit.headers.insert(AUTHORIZATION, line);
    }
    visit
}

pub(super) fn by_browser(mut visit: Visit) -> Visit {
    let accept = "text/html,application/xhtml+xml,*/*;q=0.8";
    visit
        .headers
        .insert(ACCEPT, HeaderValue::from_static(accept));
    visit
}

pub(super) fn json_of(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body)
        .unwrap_or_else(|_| panic!("{} {:?}", reply.status, reply.body))
}

pub(super) fn text_of(reply: &Reply) -> &str {
    std::str::from_utf8(&reply.body).unwrap()
}

pub(super) const TOKEN: &str = "pk_12345_CANARY_NOT_A_REAL_TOKEN";
