//! What is remembered of the last exchanges with an upstream: one word that is changed at once, and the rule over it. While
//! nothing fails the word is zero, so that a success costs one look at it.

use std::time::Duration;

use super::Settings;

/// The unit in which the beginning of a window is kept.
const TICK_MILLIS: u64 = 128;

const RUN_BITS: u32 = 12;
const COUNT_BITS: u32 = 14;
const RUN_MAX: u64 = (1 << RUN_BITS) - 1;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
const BEGAN_MASK: u64 = (1 << (64 - RUN_BITS - 2 * COUNT_BITS)) - 1;

/// The failures since the first one that is remembered, and the successes since then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// When the first failure was, in ticks.
    began: u64,
    successes: u64,
    failures: u64,
    /// Failures since the last success.
    run: u64,
}

impl Counts {
    /// Out of its word.
    pub(super) const fn unpack(word: u64) -> Self {
        Self {
            run: word & RUN_MAX,
            failures: (word >> RUN_BITS) & COUNT_MAX,
            successes: (word >> (RUN_BITS + COUNT_BITS)) & COUNT_MAX,
            began: word >> (RUN_BITS + 2 * COUNT_BITS),
        }
    }

    /// Into one word; zero while there is no failure to remember.
    pub(super) const fn pack(self) -> u64 {
        if self.failures == 0 {
            return 0;
        }
        self.run
            | self.failures << RUN_BITS
            | self.successes << (RUN_BITS + COUNT_BITS)
            | self.began << (RUN_BITS + 2 * COUNT_BITS)
    }

    /// After a failure at this moment.
    pub(super) fn worse(self, at: Duration, settings: &Settings) -> Self {
        let old = self.recent(at, settings);
        Self {
            began: if old.failures == 0 {
                ticks(at)
            } else {
                old.began
            },
            successes: old.successes,
            failures: (old.failures + 1).min(COUNT_MAX),
            run: (old.run + 1).min(RUN_MAX),
        }
    }

    /// After a success at this moment.
    pub(super) fn better(self, at: Duration, settings: &Settings) -> Self {
        let old = self.recent(at, settings);
        Self {
            successes: (old.successes + 1).min(COUNT_MAX),
            run: 0,
            ..old
        }
    }

    /// Whether a failure is the first that is remembered.
    pub(super) const fn is_first(self) -> bool {
        self.failures == 1
    }

    /// Whether the upstream fails so much that it is better left alone: so many failures within the window, and either
    /// nothing but failures of late or at least as many failures as successes.
    pub(super) fn are_too_bad(self, settings: &Settings) -> bool {
        let limit = u64::from(settings.failures.max(1));
        let mostly = self.failures >= self.successes;
        self.failures >= limit && (self.run >= limit || mostly)
    }

    /// What is left of it at this moment: nothing once the window is over.
    fn recent(self, at: Duration, settings: &Settings) -> Self {
        let age = ticks(at).wrapping_sub(self.began) & BEGAN_MASK;
        let window = u64::try_from(settings.window.as_millis()).unwrap_or(u64::MAX) / TICK_MILLIS;
        if age > window { Self::default() } else { self }
    }
}

fn ticks(at: Duration) -> u64 {
    (u64::try_from(at.as_millis()).unwrap_or(u64::MAX) / TICK_MILLIS) & BEGAN_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        off: false,
        failures: 3,
        window: Duration::from_secs(10),
        wait: Duration::from_secs(1),
    };

    /// Failures and successes (`x`, `.`), one a second; after which of them it is too bad, if ever.
    fn too_bad_after(history: &str) -> Option<usize> {
        let mut counts = Counts::default();
        for (second, what) in history.chars().enumerate() {
            let at = Duration::from_secs(second as u64 + 100);
            counts = match what {
                'x' => counts.worse(at, &SETTINGS),
                '.' => counts.better(at, &SETTINGS),
                _ => counts,
            };
            counts = Counts::unpack(counts.pack());
            if what == 'x' && counts.are_too_bad(&SETTINGS) {
                return Some(second + 1);
            }
        }
        None
    }

    #[test]
    fn it_is_too_bad_after_so_many_failures_that_nothing_outweighs() {
        for (history, expected) in [
            ("xx", None),
            ("xxx", Some(3)),
            ("x.x.x", Some(5)),
            ("x..x..x", None),
            ("x.....xx", None),
            ("x....xxx", Some(8)),
            ("x           x           x", None),
            ("xx         xx", None),
            ("xx         xxx", Some(14)),
            (".........xx.", None),
        ] {
            assert_eq!(too_bad_after(history), expected, "{history}");
        }
    }

    #[test]
    fn successes_alone_leave_nothing_behind() {
        let counts = Counts::default().better(Duration::from_secs(7), &SETTINGS);
        assert_eq!(counts.pack(), 0);
    }

    #[test]
    fn counts_stop_at_what_their_word_can_hold() {
        let mut counts = Counts::default();
        for _ in 0..20_000 {
            counts = counts.worse(Duration::from_secs(1), &SETTINGS);
        }
        assert_eq!((counts.run, counts.failures), (RUN_MAX, COUNT_MAX));
        for _ in 0..20_000 {
            counts = counts.better(Duration::from_secs(1), &SETTINGS);
        }
        assert_eq!(
            Counts::unpack(counts.pack()),
            Counts {
                run: 0,
                failures: COUNT_MAX,
                successes: COUNT_MAX,
                began: ticks(Duration::from_secs(1)),
            }
        );
    }

    #[test]
    fn a_window_that_spans_the_wrap_of_the_ticks_still_ends() {
        let wrap = Duration::from_millis((BEGAN_MASK + 1) * TICK_MILLIS);
        let before = wrap.saturating_sub(Duration::from_secs(2));
        let counts = Counts::default().worse(before, &SETTINGS);
        let soon = counts.worse(wrap + Duration::from_secs(2), &SETTINGS);
        assert_eq!(soon.failures, 2);
        let later = counts.worse(wrap + Duration::from_secs(20), &SETTINGS);
        assert_eq!(later.failures, 1);
    }
}
