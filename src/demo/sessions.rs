//! The sessions of the legacy era. A session is a random id, the resources it has subscribed to, and whether a GET
//! stream is open for it. It proves nothing about who is calling; that is the gateway's work.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::rpc::Fault;
use crate::random;

/// Subscriptions that one session may hold.
pub(super) const MAX_SUBSCRIPTIONS: usize = 64;

/// The table of sessions.
pub(super) struct Sessions {
    table: Mutex<HashMap<Arc<str>, Arc<Session>>>,
    uses: AtomicU64,
    room: usize,
}

impl Sessions {
    /// An empty table with room for so many sessions.
    pub(super) fn with_room_for(room: usize) -> Self {
        Self {
            table: Mutex::default(),
            uses: AtomicU64::new(0),
            room: room.max(1),
        }
    }

    /// Begins a session; in a full table the one unused for longest ends.
    pub(super) fn begin(&self) -> Result<Arc<Session>, Fault> {
        let id: Arc<str> = random::hex::<16>().map_err(|_| Fault::Internal)?.into();
        let session = Arc::new(Session::new(id.clone()));
        self.touch(&session);
        let mut table = self.lock();
        if table.len() >= self.room {
            let oldest = table.values().min_by_key(|session| session.used()).cloned();
            if let Some(oldest) = oldest {
                table.remove(&oldest.id);
                oldest.end();
            }
        }
        table.insert(id, session.clone());
        Ok(session)
    }

    /// The session of this id.
    pub(super) fn find(&self, id: &str) -> Option<Arc<Session>> {
        let session = self.lock().get(id).cloned()?;
        self.touch(&session);
        Some(session)
    }

    /// Ends a session and its stream.
    pub(super) fn end(&self, session: &Session) {
        self.lock().remove(&session.id);
        session.end();
    }

    fn touch(&self, session: &Session) {
        let now = self.uses.fetch_add(1, Ordering::Relaxed);
        session.used.store(now, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Session>>> {
        // No change to the table can stop half way.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One session.
pub(super) struct Session {
    pub(super) id: Arc<str>,
    subscriptions: Mutex<HashSet<String>>,
    listening: AtomicBool,
    ended: watch::Sender<bool>,
    used: AtomicU64,
}

impl Session {
    fn new(id: Arc<str>) -> Self {
        Self {
            id,
            subscriptions: Mutex::default(),
            listening: AtomicBool::new(false),
            ended: watch::Sender::new(false),
            used: AtomicU64::new(0),
        }
    }

    /// Wants to hear of this resource from now on.
    pub(super) fn subscribe(&self, uri: String) -> Result<(), Fault> {
        let mut subscriptions = self.subscriptions();
        if subscriptions.len() >= MAX_SUBSCRIPTIONS && !subscriptions.contains(&uri) {
            return Err(Fault::Busy);
        }
        subscriptions.insert(uri);
        Ok(())
    }

    /// Wants to hear of this resource no more.
    pub(super) fn unsubscribe(&self, uri: &str) {
        self.subscriptions().remove(uri);
    }

    /// Does it want to hear of this resource?
    pub(super) fn is_subscribed(&self, uri: &str) -> bool {
        self.subscriptions().contains(uri)
    }

    /// Claims the one GET stream of the session; a message must not travel on two (MCP 2025-11-25, transports).
    pub(super) fn listen(self: &Arc<Self>) -> Option<Listening> {
        let was_listening = self.listening.swap(true, Ordering::AcqRel);
        (!was_listening).then(|| Listening(self.clone()))
    }

    /// Ready once the session has ended.
    pub(super) async fn ended(&self) {
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    fn end(&self) {
        self.ended.send_replace(true);
    }

    fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn subscriptions(&self) -> MutexGuard<'_, HashSet<String>> {
        self.subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The claim to a session's GET stream; given back on drop.
pub(super) struct Listening(Arc<Session>);

impl Listening {
    /// Whose stream it is.
    pub(super) fn session(&self) -> &Session {
        &self.0
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listening.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_table_ends_the_session_unused_for_longest() {
        let sessions = Sessions::with_room_for(2);
        let first = sessions.begin().unwrap();
        let second = sessions.begin().unwrap();
        assert!(sessions.find(&first.id).is_some());
        let third = sessions.begin().unwrap();
        second.ended().await;
        let known = |session: &Session| sessions.find(&session.id).is_some();
        assert_eq!(
            [&first, &second, &third].map(|s| known(s)),
            [true, false, true]
        );
    }

    #[test]
    fn a_session_holds_so_many_subscriptions_and_one_stream() {
        let session = Arc::new(Session::new("s".into()));
        for number in 0..MAX_SUBSCRIPTIONS {
            session.subscribe(number.to_string()).unwrap();
        }
        assert_eq!(session.subscribe("one more".into()), Err(Fault::Busy));
        assert_eq!(session.subscribe("0".into()), Ok(()));
        let stream = session.listen().unwrap();
        assert!(session.listen().is_none());
        drop(stream);
        assert!(session.listen().is_some());
    }
}
