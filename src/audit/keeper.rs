//! The second thread of the trail: it compresses closed hours and removes old ones, apart from the writer because a large
//! file takes its time and a disk that hangs here must stop no line.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use tokio::sync::oneshot;

use super::files::{self, Hour, Tidying};
use super::sink::{Settings, Shared};
use crate::clock::Timestamp;

/// What the keeper of closed files is asked to do.
pub(in crate::audit) enum Chore {
    /// Every hour before this one is closed; this is the time that is believed.
    Tidy(Hour, Timestamp),
    Answer(oneshot::Sender<bool>),
    Close(oneshot::Sender<bool>, bool),
}

/// Works until it is told to close. Then it leaves what it is at for the next start.
pub(in crate::audit) fn keep(
    settings: &Settings,
    lock: Arc<File>,
    shared: &Shared,
    chores: &Receiver<Chore>,
) {
    while let Ok(chore) = chores.recv() {
        match chore {
            Chore::Tidy(current, now) => tidy(settings, shared, (current, now)),
            Chore::Answer(reply) => {
                let _ = reply.send(true);
            }
            Chore::Close(reply, written) => {
                drop(lock);
                let _ = reply.send(written);
                return;
            }
        }
    }
}

fn tidy(settings: &Settings, shared: &Shared, (current, now): (Hour, Timestamp)) {
    let work = Tidying {
        current,
        now,
        retention: settings.retention,
        stop: &|| shared.is_closed(),
    };
    if let Err(error) = files::tidy(&settings.directory, &work)
        && !shared.is_closed()
    {
        shared.untidy.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%error, "closed audit files could not be tidied; the next hour tries again");
    }
}
