//! `sallygate demo`: the real pipeline in front of the sample MCP server that lives in the binary, on loopback, with two
//! users and with commands to try. Nothing here is a short cut: what the demo shows is what `run` does.

use std::net::{Ipv4Addr, SocketAddr, TcpListener as Probe};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::serving::{ordered_to_stop, runtime};
use super::start::with_key;
use super::{Exit, Output, run, token};
use crate::auth::{Grant, ResourceId};
use crate::clock::Clock;
use crate::config::{self, Allow, Claims, Config, Environment, Provider, ProviderKind, ToolRules};
use crate::demo;
use crate::gateway::{Gateway, log_settings};
use crate::telemetry::logs;

/// Shows the gateway at work, with nothing to install
///
/// Starts a small MCP server that lives in this binary, puts the gateway in front of it with TLS on this machine alone,
/// makes tokens for a free and a premium user, and prints commands to try. Keys, certificates and the audit trail are kept
/// in .sallygate/demo. Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Demo {
    /// Listen on this loopback address
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Print the facts as one line of JSON, for scripts
    #[arg(long)]
    json: bool,
    /// Keep keys, certificates and the audit trail here
    #[arg(long, value_name = "DIR", default_value = ".sallygate/demo")]
    state_dir: PathBuf,
}

/// What the demo tells.
struct Facts {
    url: String,
    base: String,
    ca_file: PathBuf,
    free: String,
    premium: String,
    metrics_url: String,
    audit_dir: PathBuf,
    state_dir: PathBuf,
}

impl Demo {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Exit {
        if !self.listen.ip().is_loopback() {
            out.trouble("the demo listens on loopback only: its tokens are on your screen");
            return Exit::Usage;
        }
        let outcome = runtime()
            .map_err(|error| error.to_string())
            .and_then(|runtime| runtime.block_on(self.serve(out)));
        match outcome {
            Ok(()) => Exit::Done,
            Err(problem) => {
                out.trouble(problem);
                Exit::Failed
            }
        }
    }

    async fn serve(&self, out: &mut Output<'_>) -> Result<(), String> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(|error| error.to_string())?;
        let sample = socket.local_addr().map_err(|error| error.to_string())?;
        let (end, ended) = oneshot::channel::<()>();
        let sample_server = tokio::spawn(demo::serve(socket, demo::Settings::default(), async {
            let _ = ended.await;
        }));
        let config = self.config(sample)?;
        if let Err(error) = logs::start(&log_settings(&config), Clock::system()) {
            out.trouble(error);
        }
        let gateway = Gateway::start(&config, Clock::system())
            .await
            .map_err(|error| run::explained(&error))?;
        let facts = facts(&config, &gateway)?;
        if self.json {
            out.line(facts.json())
        } else {
            out.line(facts.text())
        }
        ordered_to_stop().await.map_err(|error| error.to_string())?;
        let in_time = gateway.drain().await;
        let _ = end.send(());
        let _ = sample_server.await;
        if in_time {
            Ok(())
        } else {
            Err("some connections had to be cut".into())
        }
    }

    /// The configuration that `run --upstream` would make, with what the demo wants to show.
    fn config(&self, sample: SocketAddr) -> Result<Config, String> {
        let listen = free_or_any(self.listen)
            .map_err(|error| format!("cannot listen on {}: {error}", self.listen))?;
        // Whoever leaves the port to the system may start many demos at once.
        let metrics = match self.listen.port() {
            0 => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            _ => free_or_any(SocketAddr::from((Ipv4Addr::LOCALHOST, 9464))),
        }
        .map_err(|error| error.to_string())?;
        // The environment of whoever tries the demo is left out: it must show the same everywhere.
        let env: Environment = [
            ("SALLYGATE_LISTEN__ADDRESS", listen.to_string()),
            ("SALLYGATE_METRICS__ADDRESS", metrics.to_string()),
            ("SALLYGATE_STATE_DIR", self.state_dir.display().to_string()),
            ("SALLYGATE_LOGS__LEVEL", "warn".into()),
        ]
        .into_iter()
        .collect();
        let upstream = format!("http://{sample}{}", demo::PATH);
        let (mut config, _) =
            config::from_upstream(&upstream, &env).map_err(|mistakes| mistakes.to_string())?;
        let hidden = [demo::TOOL_FOR_PREMIUM, demo::TOOL_DESTRUCTIVE]
            .map(ToOwned::to_owned)
            .to_vec();
        config.policy.tiers.insert(
            "free".into(),
            ToolRules {
                enabled: None,
                disabled: hidden,
            },
        );
        with_key(&mut config).map_err(|error| error.to_string())?;
        sign_in_without_proof(&mut config);
        Ok(config)
    }
}

/// A login that asks for a name and nothing else, so that the whole way of a browser can be seen on one machine. No file
/// can name it, and it answers on the loopback only.
fn sign_in_without_proof(config: &mut Config) {
    let name = "demo";
    config.providers.push(Provider {
        name: name.into(),
        label: "Development login".into(),
        kind: ProviderKind::Development,
        client_id: String::new(),
        client_secret: None,
        scopes: Vec::new(),
        claims: Claims::default(),
        default_tier: config.quotas.default_tier.clone(),
        tier_map: Vec::new(),
        default_team: name.into(),
        allow: Allow::default(),
        keep_tokens: false,
        ca_file: None,
    });
    let issuer = config.auth.issuer.clone();
    for route in &mut config.routes {
        route.authorization_servers.insert(0, issuer.clone());
    }
}

/// The asked address if it is free; another port of the same address if somebody else has it.
fn free_or_any(asked: SocketAddr) -> std::io::Result<SocketAddr> {
    Probe::bind(asked)
        .or_else(|_| Probe::bind(SocketAddr::new(asked.ip(), 0)))?
        .local_addr()
}

fn facts(config: &Config, gateway: &Gateway) -> Result<Facts, String> {
    let route = config.routes.first().ok_or("there is no route")?;
    let resource = ResourceId::parse(&route.resource).map_err(|error| error.to_string())?;
    let token = |user: &str, tier: &str| {
        let grant = Grant {
            user: user.into(),
            team: "1".into(),
            tier: tier.into(),
            email: None,
            scopes: route.scopes_supported.clone(),
            audiences: vec![resource.clone()],
            ..Grant::default()
        };
        token::mint(config, &grant)
    };
    Ok(Facts {
        url: resource.to_string(),
        base: config.listen.public_url.clone(),
        ca_file: absolute(gateway.ca_file.clone().unwrap_or_default()),
        free: token("demo_free", "free")?,
        premium: token("demo_premium", "premium")?,
        metrics_url: format!("http://{}/metrics", gateway.ops_address),
        audit_dir: absolute(config.audit.dir.clone()),
        state_dir: absolute(config.state_dir.clone()),
    })
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

impl Facts {
    fn json(&self) -> serde_json::Value {
        let hidden = [demo::TOOL_FOR_PREMIUM, demo::TOOL_DESTRUCTIVE];
        let allowed: Vec<_> = demo::TOOLS
            .into_iter()
            .filter(|tool| !hidden.contains(tool))
            .collect();
        json!({
            "url": self.url,
            "login_url": format!("{}/auth/login", self.base),
            "ca_file": self.ca_file,
            "tokens": { "free": self.free, "premium": self.premium },
            "metrics_url": self.metrics_url,
            "audit_dir": self.audit_dir,
            "tools": { "allowed": allowed, "hidden_from_free": hidden },
        })
    }

    fn text(&self) -> String {
        TEXT.replace("{URL}", &self.url)
            .replace("{BASE}", &self.base)
            .replace("{CA}", &self.ca_file.display().to_string())
            .replace("{FREE}", &self.free)
            .replace("{PREMIUM}", &self.premium)
            .replace("{METRICS}", &self.metrics_url)
            .replace(
                "{EXE}",
                &std::env::current_exe()
                    .unwrap_or_else(|_| "sallygate".into())
                    .display()
                    .to_string(),
            )
            .replace("{STATE}", &self.state_dir.display().to_string())
            .replace("{AUDIT}", &self.audit_dir.display().to_string())
            .replace("{HIDDEN}", demo::TOOL_FOR_PREMIUM)
            .replace("{DESTRUCTIVE}", demo::TOOL_DESTRUCTIVE)
    }
}

const TEXT: &str = include_str!("demo.txt");
