//! A gateway in front of a scripted upstream, started as an operator would: from a YAML file. A test writes down only what
//! it is about; everything else is as generous as the settings allow, so that it gets in nobody's way.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sallygate::audit::disk::{Disk, Machine};
use sallygate::auth::ResourceId;
use sallygate::auth::mint::{Grant, Mint, Minted};
use sallygate::clock::Clock;
use sallygate::config::{self, Config, Environment};
use sallygate::gateway::{self, Gateway, Waits};
use sallygate::revocation::Revocations;
use sallygate::upstream::credential::Keys;
use tempfile::TempDir;

use super::client::{Client, Http};
use super::mcp::Mcp;
use super::upstream::FakeUpstream;

/// The public address. It names no port, since the port is known only once the gateway listens.
pub(crate) const PUBLIC: &str = "https://localhost";
/// The key of the gateway's own tokens, in the forms that forgers want. It protects nothing.
pub(crate) const KEY: &str = "canary-not-a-real-key-7Q2mXv9LzR4tKb8WcY3s";

/// Quotas that no test reaches unless it is about them.
const GENEROUS: &str = "quotas:
  concurrency: 1000
  streams: 1000
  tiers:
    free: { per_minute: 1000000 }
    premium: { per_minute: 1000000 }
    enterprise: { per_minute: 1000000 }
";

/// Tests about failures make many of them in a row; only those about the breaker want one.
const NO_BREAKER: &str = "      breaker: { off: true }\n";

/// What a test wants of its gateway.
pub(crate) struct Plan {
    dir: TempDir,
    settings: String,
    listen: String,
    quotas: String,
    route: String,
    upstream: String,
    routes: Option<String>,
    url: Option<String>,
    environment: Environment,
    waits: Waits,
    clock: Clock,
    keys: Option<Arc<dyn Keys>>,
    disk: Arc<dyn Disk>,
}

impl Plan {
    /// One route at `/mcp`, no policy, hardly any quota.
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            settings: String::new(),
            listen: String::new(),
            quotas: GENEROUS.into(),
            route: String::new(),
            upstream: String::new(),
            routes: None,
            url: None,
            environment: Environment::default(),
            waits: Waits {
                // No test waits for a comment by chance, and a busy machine makes no call's answer late.
                keep_alive: Duration::from_secs(3600),
                first_event: Duration::from_secs(5),
            },
            clock: Clock::system(),
            keys: None,
            disk: Arc::new(Machine),
        }
    }

    /// The folder of the configuration, for files that it names.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file into the folder of the configuration.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.dir.path().join(name), text).unwrap();
        self
    }

    /// Adds settings at the top of the file.
    pub(crate) fn settings(mut self, yaml: &str) -> Self {
        writeln!(self.settings, "{yaml}").unwrap();
        self
    }

    /// Adds one line to the settings of the listener.
    pub(crate) fn listen(mut self, yaml: &str) -> Self {
        writeln!(self.listen, "  {yaml}").unwrap();
        self
    }

    /// Takes the place of the generous quotas.
    pub(crate) fn quotas(mut self, yaml: &str) -> Self {
        self.quotas = format!("{yaml}\n");
        self
    }

    /// Adds one line to the route.
    pub(crate) fn route(mut self, yaml: &str) -> Self {
        writeln!(self.route, "    {yaml}").unwrap();
        self
    }

    /// Adds one line to the route's upstream.
    pub(crate) fn upstream(mut self, yaml: &str) -> Self {
        writeln!(self.upstream, "      {yaml}").unwrap();
        self
    }

    /// Takes the place of the one route.
    pub(crate) fn routes(mut self, yaml: &str) -> Self {
        self.routes = Some(format!("{yaml}\n"));
        self
    }

    /// Another upstream than the fake, which then stays unused.
    pub(crate) fn url(mut self, url: &str) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment = self.environment.with(name, value);
        self
    }

    /// How long a stream may be silent before the gateway sends a comment.
    pub(crate) fn keep_alive(mut self, after: Duration) -> Self {
        self.waits.keep_alive = after;
        self
    }

    /// How long the head of a call's answer waits for its first event.
    pub(crate) fn first_event(mut self, within: Duration) -> Self {
        self.waits.first_event = within;
        self
    }

    /// The time that gateway and tokens go by.
    pub(crate) fn clock(mut self, clock: &Clock) -> Self {
        self.clock = clock.clone();
        self
    }

    /// Where users' own credentials come from.
    pub(crate) fn keys(mut self, keys: Arc<dyn Keys>) -> Self {
        self.keys = Some(keys);
        self
    }

    /// The disk under the audit trail.
    pub(crate) fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// Starts the fake and the gateway.
    pub(crate) async fn start(self) -> Rig {
        let upstream = FakeUpstream::start().await;
        self.before(upstream).await
    }

    /// Starts the gateway in front of this fake.
    pub(crate) async fn before(self, upstream: FakeUpstream) -> Rig {
        let url = self.url.clone().unwrap_or_else(|| upstream.url());
        let file = self.dir.path().join("sallygate.yaml");
        std::fs::write(&file, self.yaml(&url)).unwrap();
        let (config, _) = config::load(&file, &self.environment)
            .unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        let parts = (self.keys, self.disk);
        let gateway = Gateway::start_on(&config, self.clock.clone(), self.waits, parts)
            .await
            .unwrap_or_else(|error| panic!("{error:?}"));
        Rig {
            mint: Mint::new(&gateway::own_tokens(&config).unwrap(), self.clock).unwrap(),
            address: gateway.address,
            ops_address: gateway.ops_address,
            ca_file: gateway.ca_file.clone().unwrap_or_default(),
            gateway: Some(gateway),
            config,
            upstream,
            _dir: self.dir,
        }
    }

    fn yaml(&self, url: &str) -> String {
        let routes = self.routes.clone().unwrap_or_else(|| {
            format!(
                "routes:\n  - name: default\n    path: /mcp\n{}    upstream:\n      url: {url}\n{}{}",
                self.route,
                self.upstream,
                if self.upstream.contains("breaker:") { "" } else { NO_BREAKER }
            )
        });
        format!(
            "listen:
  address: \"127.0.0.1:0\"
  public_url: \"{PUBLIC}\"
{}metrics: {{ address: \"127.0.0.1:0\" }}
state_dir: state
auth: {{ keys: [ {{ kid: proof, secret: \"{KEY}\" }} ] }}
{}{}{routes}",
            self.listen, self.quotas, self.settings
        )
    }
}

/// A running gateway and what stands around it. It ends with the value.
pub(crate) struct Rig {
    /// The fake behind the first route.
    pub(crate) upstream: FakeUpstream,
    /// Where the gateway listens, for raw connections.
    pub(crate) address: SocketAddr,
    /// Where the operator's listener answers.
    pub(crate) ops_address: SocketAddr,
    /// The authority to trust.
    pub(crate) ca_file: PathBuf,
    /// The configuration in force.
    pub(crate) config: Config,
    gateway: Option<Gateway>,
    mint: Mint,
    _dir: TempDir,
}

impl Rig {
    /// The gateway without any wish.
    pub(crate) async fn start() -> Self {
        Plan::new().start().await
    }

    /// A client that reaches the gateway under its public name.
    pub(crate) fn client(&self, http: Http) -> Client {
        Client::toward(self.address, &self.ca_file, http)
    }

    /// A caller of `/mcp` without a token.
    pub(crate) fn stranger(&self, http: Http) -> Mcp {
        Mcp::at(&self.client(http), &format!("{PUBLIC}/mcp"))
    }

    /// A caller of `/mcp` over HTTP/1.1 of the free tier with both scopes.
    pub(crate) fn caller(&self, user: &str) -> Mcp {
        self.caller_by(Http::One, &Who::new(user))
    }

    /// A caller of `/mcp` with the token of this user.
    pub(crate) fn caller_by(&self, http: Http, who: &Who) -> Mcp {
        self.stranger(http).with_token(&self.token(who))
    }

    /// A caller of another path, with a token for it.
    pub(crate) fn caller_at(&self, path: &str, who: &Who) -> Mcp {
        let url = format!("{PUBLIC}{path}");
        Mcp::at(&self.client(Http::One), &url).with_token(&self.token(&who.clone().of(path)))
    }

    /// A token for this user.
    pub(crate) fn token(&self, who: &Who) -> String {
        self.minted(who).token.expose().clone()
    }

    /// The same, with what is known about it.
    pub(crate) fn minted(&self, who: &Who) -> Minted {
        let grant = Grant {
            user: who.user.clone(),
            team: who.team.clone(),
            tier: who.tier.clone(),
            email: None,
            scopes: who.scopes.clone(),
            audiences: vec![ResourceId::parse(&format!("{PUBLIC}{}", who.path)).unwrap()],
            session: who.session.clone(),
            client: who.client.clone(),
            generation: who.generation,
            ..Grant::default()
        };
        self.mint.mint(&grant).unwrap()
    }

    /// What ends things before their time.
    pub(crate) fn revocations(&self) -> &Revocations {
        &self.gateway.as_ref().expect("not drained yet").revocations
    }

    /// The folder of the audit trail.
    pub(crate) fn audit_dir(&self) -> &Path {
        &self.config.audit.dir
    }

    /// The metrics as they are scraped.
    pub(crate) async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.ops_address);
        Client::plain().get(&url).await.text().to_owned()
    }

    /// The order to stop, as a signal gives it. Says whether all ended in time.
    pub(crate) fn drain(&mut self) -> impl Future<Output = bool> + Send + 'static {
        self.gateway.take().expect("drained once").drain()
    }
}

/// Whom a token is for.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    user: String,
    tier: String,
    scopes: Vec<String>,
    path: String,
    team: String,
    session: Option<String>,
    client: Option<String>,
    generation: Option<u64>,
}

impl Who {
    /// A user of the free tier with both scopes, for `/mcp`.
    pub(crate) fn new(user: &str) -> Self {
        Self {
            user: user.into(),
            tier: "free".into(),
            scopes: vec!["mcp:read".into(), "mcp:write".into()],
            path: "/mcp".into(),
            team: "team-1".into(),
            session: None,
            client: None,
            generation: None,
        }
    }

    /// The same with this default workspace.
    pub(crate) fn team(mut self, team: &str) -> Self {
        self.team = team.into();
        self
    }

    /// The same in a session of a client, as logins have them.
    pub(crate) fn signed_in(mut self, session: &str, client: &str, generation: u64) -> Self {
        self.session = Some(session.into());
        self.client = Some(client.into());
        self.generation = Some(generation);
        self
    }

    /// The same in this tier.
    pub(crate) fn tier(mut self, tier: &str) -> Self {
        self.tier = tier.into();
        self
    }

    /// The same with only these scopes.
    pub(crate) fn scopes(mut self, scopes: &[&str]) -> Self {
        self.scopes = scopes.iter().map(|scope| (*scope).into()).collect();
        self
    }

    /// The same for another path of the gateway.
    pub(crate) fn of(mut self, path: &str) -> Self {
        self.path = path.into();
        self
    }
}
