//! The slow calls that are running: how many there may be, and how `notifications/cancelled` finds the one it means.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use super::rpc::Fault;

/// What names one running call.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    /// A session and the JSON text of a request id.
    Legacy(Arc<str>, String),
    /// A number of ours: request ids of different modern callers may be equal, and nothing refers to them.
    Modern(u64),
}

/// The table of running calls.
#[derive(Clone)]
pub(super) struct Running {
    calls: Arc<Mutex<HashMap<Key, watch::Sender<bool>>>>,
    serial: Arc<AtomicU64>,
    room: usize,
}

impl Running {
    /// An empty table with room for so many calls.
    pub(super) fn with_room_for(room: usize) -> Self {
        Self {
            calls: Arc::default(),
            serial: Arc::default(),
            room,
        }
    }

    /// Enters a call that `notifications/cancelled` can find.
    pub(super) fn begin_legacy(&self, session: Arc<str>, id: &Value) -> Result<Call, Fault> {
        self.begin(Key::Legacy(session, id.to_string()))
    }

    /// Enters a call that ends early only with its connection.
    pub(super) fn begin_modern(&self) -> Result<Call, Fault> {
        self.begin(Key::Modern(self.serial.fetch_add(1, Ordering::Relaxed)))
    }

    fn begin(&self, key: Key) -> Result<Call, Fault> {
        let mut calls = self.lock();
        if calls.len() >= self.room {
            return Err(Fault::Busy);
        }
        match calls.entry(key.clone()) {
            Entry::Occupied(_) => Err(Fault::InvalidRequest("a request with this `id` is running")),
            Entry::Vacant(place) => {
                let cancel = place.insert(watch::Sender::new(false)).subscribe();
                let running = self.clone();
                Ok(Call {
                    running,
                    key,
                    cancel,
                })
            }
        }
    }

    /// Cancels a call, if it is still running; a cancellation that comes too late is no fault.
    pub(super) fn cancel(&self, session: &Arc<str>, id: &Value) {
        let key = Key::Legacy(session.clone(), id.to_string());
        if let Some(call) = self.lock().get(&key) {
            call.send_replace(true);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, watch::Sender<bool>>> {
        // No change to the table can stop half way.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call's place in the table; given back on drop.
pub(super) struct Call {
    running: Running,
    key: Key,
    cancel: watch::Receiver<bool>,
}

impl Call {
    /// Ready once the call is cancelled.
    pub(super) async fn cancelled(&self) {
        let _ = self.cancel.clone().wait_for(|cancelled| *cancelled).await;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.running.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_full_table_and_a_repeated_id_are_refused() {
        let running = Running::with_room_for(2);
        let session: Arc<str> = "s".into();
        let first = running.begin_legacy(session.clone(), &json!(1)).unwrap();
        let again = running.begin_legacy(session.clone(), &json!(1)).err();
        assert!(matches!(again, Some(Fault::InvalidRequest(_))));
        let second = running.begin_modern().unwrap();
        assert_eq!(running.begin_modern().err(), Some(Fault::Busy));
        drop((first, second));
        assert!(running.begin_legacy(session, &json!(1)).is_ok());
    }

    #[tokio::test]
    async fn only_the_named_call_is_cancelled() {
        let running = Running::with_room_for(9);
        let (mine, other): (Arc<str>, Arc<str>) = ("mine".into(), "other".into());
        let text = running.begin_legacy(mine.clone(), &json!("1")).unwrap();
        let number = running.begin_legacy(mine.clone(), &json!(1)).unwrap();
        let foreign = running.begin_legacy(other, &json!(1)).unwrap();
        running.cancel(&mine, &json!(1));
        running.cancel(&mine, &json!(99));
        number.cancelled().await;
        assert!(!*text.cancel.borrow() && !*foreign.cancel.borrow());
    }
}
