//! What the upstream is shown, through the whole gateway: every kind of credential, and the client's own never.

mod canary;
mod kinds;
mod users;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sallygate::secret::Secret;
use sallygate::upstream::credential::{Keys, KeysError, Later};
use serde_json::{Value, json};

use crate::harness::client::Reply;
use crate::harness::gateway::Rig;
use crate::harness::mcp::{Mcp, set};
use crate::harness::upstream::{FakeUpstream, Seen};

/// Users' credentials in memory.
#[derive(Debug, Default)]
struct Shelf {
    kept: Mutex<HashMap<String, Arc<Secret<String>>>>,
    broken: AtomicBool,
}

impl Shelf {
    fn put(&self, user: &str, name: &str, value: &str) {
        let value = Arc::new(Secret::new(value.to_owned()));
        self.kept
            .lock()
            .unwrap()
            .insert(format!("{user}/{name}"), value);
    }

    fn break_down(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }

    fn find(&self, id: &str) -> Result<Option<Arc<Secret<String>>>, KeysError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(KeysError::because(std::io::Error::other(
                "the disk is gone",
            )));
        }
        Ok(self.kept.lock().unwrap().get(id).cloned())
    }
}

impl Keys for Shelf {
    fn open<'a>(&'a self, user: &'a str, name: &'a str) -> Later<'a, Option<Arc<Secret<String>>>> {
        Box::pin(async move { self.find(&format!("{user}/{name}")) })
    }

    fn open_now<'a>(
        &'a self,
        user: &'a str,
        name: &'a str,
    ) -> Later<'a, Option<Arc<Secret<String>>>> {
        self.open(user, name)
    }

    fn replace<'a>(
        &'a self,
        user: &'a str,
        name: &'a str,
        old: &'a Secret<String>,
        new: Secret<String>,
    ) -> Later<'a, bool> {
        Box::pin(async move {
            let id = format!("{user}/{name}");
            let kept = self.find(&id)?;
            let same = kept.is_some_and(|kept| kept.expose() == old.expose());
            if same {
                self.kept.lock().unwrap().insert(id, Arc::new(new));
            }
            Ok(same)
        })
    }
}

fn token(token: &str, expires_in: u64) -> Value {
    json!({"access_token": token, "token_type": "Bearer", "expires_in": expires_in})
}

fn result() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}})
}

/// Calls a tool, with whatever credentials a client could think of.
async fn call(caller: &Mcp) -> Reply {
    let params = json!({"name": "echo", "arguments": {}});
    let mut draft = caller.modern_draft("tools/call", params);
    set(&mut draft, "cookie", "sid=canary-not-a-real-cookie");
    set(&mut draft, "x-api-key", "canary-not-a-real-client-key");
    set(&mut draft, "proxy-authorization", "Basic canary-not-a-real");
    caller.send(draft).await
}

/// What the upstream saw, none of which is the client's.
fn upstream_saw(rig: &Rig, callers_tokens: &[&str]) -> Vec<Seen> {
    let seen = rig.upstream.seen();
    never_saw(&seen, callers_tokens);
    seen
}

fn never_saw(seen: &[Seen], callers_tokens: &[&str]) {
    for seen in seen {
        for clients in callers_tokens.iter().chain(&["canary-not-a-real"]) {
            assert!(!seen.mentions(clients), "{seen:?}");
        }
        assert!(seen.headers.get_all("authorization").iter().count() <= 1);
    }
}

/// The fields of a form that a token endpoint was sent.
fn form(seen: &Seen) -> HashMap<String, String> {
    url::form_urlencoded::parse(&seen.body)
        .into_owned()
        .collect()
}

/// A token endpoint that is not this one.
fn never_asked(endpoint: &FakeUpstream) {
    assert_eq!(endpoint.connections(), 0);
}
