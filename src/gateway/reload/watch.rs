//! Looks at the files of the configuration from time to time. A change is acted on when two looks in a row agree, so that a
//! file which is being written, or a certificate whose key follows a moment later, is left alone until it is complete.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::{Cause, Reloader};

/// How many looks pass before a set that was refused is tried again, though its files look as before: what was missing may
/// be there now.
const LOOKS_BEFORE_RETRY: u32 = 30;

impl Reloader {
    /// Looks for ever.
    pub(in crate::gateway) async fn watch(self: Arc<Self>, every: Duration) {
        let mut attention = Attention::default();
        loop {
            sleep(every).await;
            let known = self.turn.lock().await.look.clone();
            let looked = known.clone();
            let Ok(now) = spawn_blocking(move || looked.again()).await else {
                return;
            };
            if let Some(cause) = attention.weigh(&known, now, self.refused().is_some()) {
                // Refusals are logged, recorded and counted where they are found.
                let _ = self.reload(cause).await;
            }
        }
    }
}

/// What was seen at the last looks.
#[derive(Debug, Default)]
struct Attention<L> {
    last: Option<L>,
    since_refusal: u32,
}

impl<L: PartialEq> Attention<L> {
    /// What to do after another look at files that were last read when they looked as `known`.
    fn weigh(&mut self, known: &L, now: L, is_refused: bool) -> Option<Cause> {
        self.since_refusal = match is_refused {
            true => self.since_refusal + 1,
            false => 0,
        };
        let cause = if now == *known {
            self.last = None;
            (self.since_refusal >= LOOKS_BEFORE_RETRY).then_some(Cause::Retry)
        } else if self.last.as_ref() == Some(&now) {
            Some(Cause::Files)
        } else {
            self.last = Some(now);
            None
        };
        if cause.is_some() {
            (self.last, self.since_refusal) = (None, 0);
        }
        cause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_when_two_looks_in_a_row_agree() {
        let mut attention = Attention::default();
        // 1 is what was read; 2 is half written, 3 is complete.
        for (now, cause) in [
            (1, None),
            (2, None),
            (1, None),
            (2, None),
            (3, None),
            (3, Some(Cause::Files)),
        ] {
            assert_eq!(attention.weigh(&1, now, false), cause, "{now}");
        }
        assert_eq!(attention.weigh(&3, 3, false), None);
    }

    #[test]
    fn a_refused_set_is_tried_again_though_its_files_look_the_same() {
        let mut attention = Attention::default();
        for round in 0..2 {
            for look in 1..LOOKS_BEFORE_RETRY {
                assert_eq!(attention.weigh(&1, 1, true), None, "{round} {look}");
            }
            assert_eq!(attention.weigh(&1, 1, true), Some(Cause::Retry));
        }
        for _ in 0..2 * LOOKS_BEFORE_RETRY {
            assert_eq!(attention.weigh(&1, 1, false), None);
        }
    }
}
