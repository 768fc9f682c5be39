//! What operators do about the vault: look into it, change its keys while everything goes on, and fill it from another store.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::timeout;

use super::people::{People, on};
use super::verbs::{Call, Outcome, Refusal, Verbs};
use crate::secret::Secret;
use crate::vault::v1::V1Key;
use crate::vault::{DUMP_MAX_BYTES, Dump, Keeping, KeyStatus, Progress, Rotation, Status, Vault};

/// How long whoever asks after a rotation is kept waiting for its end.
const LOOK: Duration = Duration::from_secs(5);

pub(super) fn add(verbs: Verbs, people: &People) -> Verbs {
    let turns = Arc::new(Turns::default());
    let (begun, seen, known) = (Arc::clone(&turns), Arc::clone(&turns), turns);
    let rotate = on(people, move |people, call| {
        rotate(people, call, Arc::clone(&begun))
    });
    let look = on(people, move |_, _| look(Arc::clone(&seen)));
    let status = on(people, move |people, _| status(people, Arc::clone(&known)));
    let (get, post) = (Method::GET, Method::POST);
    verbs
        .on(get.clone(), "/vault/status", "vault_status", status)
        .on(post.clone(), "/vault/rotate", "vault_rotate", rotate)
        .on(get, "/vault/rotation", "vault_rotation", look)
        .on(post, "/vault/import", "vault_import", on(people, import))
}

async fn rotate(people: People, call: Call, turns: Arc<Turns>) -> Outcome {
    turns.begin(&vault(&people)?, &call.said::<Wish>()?)
}

fn vault(people: &People) -> Result<Arc<Vault>, Refusal> {
    let vault = people.vault.clone();
    vault.ok_or_else(|| Refusal::unknown("this gateway keeps no credentials"))
}

/// What a rotation is to do.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wish {
    pub(super) data_keys: bool,
    pub(super) retire: bool,
}

/// The rotation that runs, or the last one. There is one at a time; it ends with the gateway, and the next one goes on.
#[derive(Default)]
pub(super) struct Turns(Mutex<Option<Turn>>);

struct Turn {
    what: Rotation,
    state: watch::Receiver<State>,
    task: AbortHandle,
}

#[derive(Clone, Debug, Default)]
struct State {
    progress: Progress,
    ended: Option<Result<(), String>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Turns {
    /// Begins a rotation, or joins the one that does the same.
    pub(super) fn begin(&self, vault: &Arc<Vault>, wish: &Wish) -> Outcome {
        let what = Rotation {
            data_keys: wish.data_keys,
            retire: wish.retire,
        };
        let mut turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = turn.as_ref().filter(|turn| turn.is_running()) {
            if running.what != what {
                let message = "another rotation is under way; wait for its end";
                return Err(Refusal::new(StatusCode::CONFLICT, "conflict", message));
            }
        } else {
            *turn = Some(Turn::start(Arc::clone(vault), what));
        }
        Ok(json!({ "running": true }))
    }

    fn state(&self) -> Option<watch::Receiver<State>> {
        let turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turn.as_ref().map(|turn| turn.state.clone())
    }

    fn is_running(&self) -> bool {
        let turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turn.as_ref().is_some_and(Turn::is_running)
    }
}

impl Turn {
    fn start(vault: Arc<Vault>, what: Rotation) -> Self {
        let (tell, state) = watch::channel(State::default());
        let task = tokio::spawn(async move {
            let report = |progress: &Progress| {
                tell.send_modify(|state| state.progress = progress.clone());
                ControlFlow::Continue(())
            };
            let done = vault.rotate(what, report).await;
            tell.send_modify(|state| {
                state.ended = Some(done.map_or_else(
                    |error| Err(error.to_string()),
                    |progress| {
                        state.progress = progress;
                        Ok(())
                    },
                ));
            });
        });
        Self {
            what,
            state,
            task: task.abort_handle(),
        }
    }

    fn is_running(&self) -> bool {
        !self.task.is_finished() && self.state.borrow().ended.is_none()
    }
}

/// Waits a while for the end of the rotation, and says how far it is.
async fn look(turns: Arc<Turns>) -> Outcome {
    let state = turns.state();
    let mut state = state.ok_or_else(|| Refusal::unknown("no rotation was begun"))?;
    let ended = async { state.wait_for(|state| state.ended.is_some()).await.is_ok() };
    let broken = timeout(LOOK, ended).await == Ok(false);
    let State { progress, ended } = state.borrow().clone();
    match &ended {
        Some(Err(problem)) => Err(Refusal::failed(problem)),
        None if broken => Err(Refusal::failed("the rotation was broken off")),
        _ => Ok(json!({
            "running": ended.is_none(),
            "done": progress.is_done,
            "users": progress.users,
            "secrets": progress.secrets,
            "damaged": progress.damaged,
            "retired": progress.retired,
        })),
    }
}

async fn status(people: People, turns: Arc<Turns>) -> Outcome {
    let vault = vault(&people)?;
    let status = vault.status().await.map_err(Refusal::failed)?;
    Ok(described(&status, turns.is_running()))
}

fn described(status: &Status, is_running: bool) -> Value {
    let rotation = status.rotation.as_ref();
    json!({
        "keeping": status.keeping.name(),
        "users": status.users,
        "secrets": status.secrets,
        "half_renewed": status.half_renewed,
        "damaged": status.damaged,
        "keys": status.keys.iter().map(key).collect::<Vec<_>>(),
        "rotation": rotation.map(|progress| json!({
            "running": is_running,
            "users": progress.users,
            "secrets": progress.secrets,
        })),
    })
}

fn key(key: &KeyStatus) -> Value {
    let state = match (&key.retired_at, key.is_current, key.is_given) {
        (Some(_), ..) => "retired",
        (None, true, _) => "current",
        (None, false, true) => "previous",
        (None, false, false) => "not given",
    };
    json!({
        "name": key.name,
        "state": state,
        "derivation": key.derivation,
        "created_at": key.created_at,
        "retired_at": key.retired_at,
        "users": key.users,
        "secrets": key.secrets,
        "may_be_removed": key.may_be_removed(),
    })
}

/// Which files a vault is filled given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    dump: PathBuf,
    key_file: PathBuf,
    #[serde(default)]
    replace: bool,
}

async fn import(people: People, call: Call) -> Outcome {
    let vault = vault(&people)?;
    if vault.keeping() == Keeping::Memory {
        return Err(Refusal::invalid(
            "what is kept in memory ends with the gateway",
        ));
    }
    let given: Given = call.said()?;
    // Files are waited for, and a key of the seed takes a moment.
    let read = spawn_blocking(move || {
        let text = read(&given.key_file)?;
        let key = V1Key::derive(&Secret::new(text.expose().trim().to_owned()));
        let dump = Dump::parse(read(&given.dump)?.expose()).map_err(Refusal::invalid)?;
        Ok::<_, Refusal>((dump, key, given.replace))
    });
    let (dump, key, replace) = read.await.map_err(Refusal::failed)??;
    let imported = vault.import(&dump, &key, replace).await;
    Ok(json!({ "secrets": imported.map_err(Refusal::failed)?.secrets }))
}

fn read(file: &Path) -> Result<Secret<String>, Refusal> {
    let unreadable =
        |error| Refusal::invalid(format!("{} cannot be read: {error}", file.display()));
    if !file.is_absolute() {
        return Err(unreadable(std::io::Error::other(
            "the path has to be absolute",
        )));
    }
    if fs::metadata(file).map_err(unreadable)?.len() > DUMP_MAX_BYTES {
        let message = format!("{} has more than {DUMP_MAX_BYTES} bytes", file.display());
        return Err(Refusal::invalid(message));
    }
    fs::read_to_string(file)
        .map(Secret::new)
        .map_err(unreadable)
}
