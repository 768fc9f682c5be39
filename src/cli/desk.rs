//! Where verbs about what is kept take their orders: to the gateway that runs, through its socket, or, where none does, to the
//! same functions in this process. Either way there is a line in the audit trail.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::run::explained;
use crate::audit::Sink;
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{self, Call, People, Verbs};
use crate::gateway;
use crate::revocation::{Revocations, Settings};

/// An order in the words of the socket.
#[derive(Clone, Debug)]
pub(super) struct Order {
    method: Method,
    path: String,
    query: String,
    body: Bytes,
}

impl Order {
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            query: String::new(),
            body: Bytes::new(),
        }
    }

    pub(super) fn post(path: impl Into<String>) -> Self {
        Self {
            method: Method::POST,
            ..Self::get(path)
        }
    }

    pub(super) fn with(self, body: &Value) -> Self {
        let body = Bytes::from(body.to_string());
        Self { body, ..self }
    }

    pub(super) fn asking(&self, query: String) -> Self {
        Self {
            query,
            ..self.clone()
        }
    }
}

/// What an order needs where no gateway runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// The store alone, without any key.
    Store,
    /// The vault too, where credentials are kept.
    People,
    /// The vault, in any case.
    Vault,
}

/// Who takes the orders.
pub(super) enum Desk {
    /// The gateway that runs with this state folder.
    Gateway(PathBuf),
    /// Nobody runs; the records are ours.
    Here(Box<Here>),
}

pub(super) struct Here {
    verbs: Verbs,
    audit: Sink,
    uid: u32,
}

/// Gives orders at the desk of a configuration.
pub(super) fn at_desk<T>(
    config: &Config,
    needs: Needs,
    act: impl AsyncFnOnce(&Desk) -> Result<T, String>,
) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime cannot be started: {error}"))?;
    runtime.block_on(async {
        let desk = Desk::of(config, needs).await?;
        let done = act(&desk).await;
        // Also after a failure: its line is written, and the next order finds the trail free.
        let closed = desk.close().await;
        done.and_then(|done| closed.map(|()| done))
    })
}

impl Desk {
    async fn of(config: &Config, needs: Needs) -> Result<Self, String> {
        match control::is_served(&config.state_dir).await {
            Ok(true) => Ok(Self::Gateway(config.state_dir.clone())),
            Ok(false) => Here::open(config, needs)
                .await
                .map(Box::new)
                .map(Self::Here),
            Err(error) => Err(explained(&error)),
        }
    }

    pub(super) async fn order(&self, order: &Order) -> Result<Value, String> {
        match self {
            Self::Gateway(state_dir) => {
                let path = match order.query.as_str() {
                    "" => order.path.clone(),
                    query => format!("{}?{query}", order.path),
                };
                let (method, body) = (order.method.clone(), order.body.clone());
                let answer = control::ask(state_dir, method, &path, body).await;
                told(answer.map_err(|error| explained(&error))?)
            }
            Self::Here(here) => here.act(order).await,
        }
    }

    async fn close(self) -> Result<(), String> {
        let closed = match self {
            Self::Gateway(_) => true,
            Self::Here(here) => here.audit.close().await,
        };
        match closed {
            true => Ok(()),
            false => Err("the audit trail could not be closed".into()),
        }
    }
}

/// What the gateway that runs says.
fn told(answer: Option<control::Answer>) -> Result<Value, String> {
    let answer = answer.ok_or("the gateway has stopped")?;
    if answer.status.is_success() {
        return Ok(answer.document);
    }
    let said = answer.document.pointer("/error/message");
    let said = said.and_then(Value::as_str).unwrap_or("no reason given");
    Err(said.to_owned())
}

impl Here {
    async fn open(config: &Config, needs: Needs) -> Result<Self, String> {
        let clock = Clock::system();
        let store = gateway::open_store(config, &clock).map_err(|error| explained(&error))?;
        let revocations = Revocations::new(Arc::clone(&store), Settings::default(), clock.clone());
        revocations
            .poll()
            .await
            .map_err(|error| explained(&error))?;
        let (audit, _) =
            gateway::trail(config, clock.clone()).map_err(|error| explained(&error))?;
        let vault = match needs {
            Needs::Store => Ok(None),
            Needs::People => gateway::open_vault(config, &store, &audit, &clock).await,
            Needs::Vault => {
                let vault = gateway::vault_itself(config, &store, &audit, &clock);
                vault.await.map(Some)
            }
        };
        let vault = vault.map_err(|error| explained(&error))?;
        let people = People {
            store,
            revocations: Arc::new(revocations),
            // A new generation ends sessions too; their records go when they are next asked for.
            grants: None,
            vault,
            clock,
        };
        let verbs = control::verbs(&people, audit.clone());
        Ok(Self {
            verbs: control::also_restore(verbs, &people),
            audit,
            uid: own_uid(),
        })
    }

    async fn act(&self, order: &Order) -> Result<Value, String> {
        let call = Call {
            names: Vec::new(),
            query: order.query.clone(),
            body: order.body.clone(),
            uid: self.uid,
        };
        let outcome = self.verbs.act(&order.method, &order.path, call).await;
        outcome.map_err(|refusal| refusal.message)
    }
}

/// As whom this process acts; nobody's number where the system does not say.
fn own_uid() -> u32 {
    std::fs::metadata("/proc/self").map_or(u32::MAX, |own| own.uid())
}

/// A file as a gateway finds it, whose working folder is another.
pub(super) fn absolute(file: &Path) -> Result<PathBuf, String> {
    std::path::absolute(file).map_err(|error| format!("{}: {error}", file.display()))
}
