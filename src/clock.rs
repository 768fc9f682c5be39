//! Time comes from here, so that tests can hold it still. Wall time decides about tokens and stamps audit lines; the
//! monotonic reading measures durations and never steps back.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const RFC3339_MILLIS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const RFC3339_SECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// A moment of wall time: milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From whole seconds since the Unix epoch, the unit of JWT claims.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This moment plus a duration, saturating.
    pub fn plus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// As the calendar sees it, in UTC. A moment outside the calendar becomes the epoch.
    pub fn utc(self) -> OffsetDateTime {
        let millis = time::Duration::milliseconds(self.0.rem_euclid(1000));
        OffsetDateTime::from_unix_timestamp(self.seconds())
            .ok()
            .and_then(|whole| whole.checked_add(millis))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// `2026-11-20T12:34:56.789Z`, the form of audit lines (R172).
    pub fn rfc3339_millis(self) -> String {
        let utc = self.utc();
        let Some(year) = u32::try_from(utc.year()).ok().filter(|year| *year < 10_000) else {
            return utc.format(RFC3339_MILLIS).unwrap_or_default();
        };
        // Written by hand: every audit line has one, and the general way costs as much as the rest of the line.
        let mut out = String::with_capacity(24);
        for (number, places, mark) in [
            (year, 4, '-'),
            (u8::from(utc.month()).into(), 2, '-'),
            (utc.day().into(), 2, 'T'),
            (utc.hour().into(), 2, ':'),
            (utc.minute().into(), 2, ':'),
            (utc.second().into(), 2, '.'),
            (utc.millisecond().into(), 3, 'Z'),
        ] {
            for place in (0..places).rev() {
                let digit = number / 10_u32.pow(place) % 10;
                out.push(char::from_digit(digit, 10).unwrap_or('0'));
            }
            out.push(mark);
        }
        out
    }

    /// `2026-11-20T12:34:56Z`, the form of error bodies (R428).
    pub fn rfc3339_seconds(self) -> String {
        self.utc().format(RFC3339_SECONDS).unwrap_or_default()
    }
}

/// Where the time comes from: the machine, or a hand that a test moves.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<Hand>>);

/// The hand of a manual clock.
#[derive(Debug)]
struct Hand {
    wall_millis: AtomicI64,
    /// What the wall time at no passed time would be; it moves when the wall clock alone is set.
    started: AtomicI64,
    zero: Instant,
}

impl Clock {
    /// The machine's own clocks.
    pub const fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still at `now` until [`Clock::advance`] moves it.
    pub fn manual(now: Timestamp) -> Self {
        let millis = now.millis();
        Self(Some(Arc::new(Hand {
            wall_millis: AtomicI64::new(millis),
            started: AtomicI64::new(millis),
            zero: Instant::now(),
        })))
    }

    /// Moves a manual clock forward; the machine's clock is not ours to move, so there it does nothing.
    pub fn advance(&self, by: Duration) {
        if let Some(hand) = &self.0 {
            hand.wall_millis.fetch_add(
                i64::try_from(by.as_millis()).unwrap_or(i64::MAX),
                Ordering::SeqCst,
            );
        }
    }

    /// Sets the wall time of a manual clock forward, as an operator or a bad time server would: no time passes.
    pub fn set_forward(&self, by: Duration) {
        self.step(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
    }

    /// The same in the other direction.
    pub fn set_back(&self, by: Duration) {
        self.step(i64::try_from(by.as_millis()).map_or(i64::MIN, |by| -by));
    }

    fn step(&self, millis: i64) {
        if let Some(hand) = &self.0 {
            hand.started.fetch_add(millis, Ordering::SeqCst);
            hand.wall_millis.fetch_add(millis, Ordering::SeqCst);
        }
    }

    /// Wall time, now.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Some(hand) => Timestamp(hand.wall_millis.load(Ordering::SeqCst)),
            None => Timestamp(
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |since| {
                        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
                    }),
            ),
        }
    }

    /// A reading that only moves forward, for durations.
    pub fn monotonic(&self) -> Instant {
        match &self.0 {
            Some(hand) => {
                let passed = hand
                    .wall_millis
                    .load(Ordering::SeqCst)
                    .saturating_sub(hand.started.load(Ordering::SeqCst));
                hand.zero + Duration::from_millis(u64::try_from(passed).unwrap_or(0))
            }
            None => Instant::now(),
        }
    }
}

/// How far the wall clock may run ahead of the time that has passed before it is doubted.
const MAX_JUMP: Duration = Duration::from_secs(2 * 3600);

/// The wall time as far as it is believed, for whatever cannot be undone: removing what is over. A clock that leaps ahead
/// is believed only after it has held for a while; until then time goes on as it passes. A clock that is set back is
/// believed at once, since nothing is over too early by it.
#[derive(Debug)]
pub struct Calendar {
    clock: Clock,
    patience: Duration,
    /// Both readings when they were last believed.
    known: (Timestamp, Instant),
    doubted_since: Option<Instant>,
}

impl Calendar {
    /// Believes what the clock says now, and later leaps when they have held for `patience`.
    pub fn new(clock: Clock, patience: Duration) -> Self {
        let known = (clock.now(), clock.monotonic());
        Self {
            clock,
            patience,
            known,
            doubted_since: None,
        }
    }

    /// The same where something shows that it was `last` not long ago. A clock that is far ahead of that is doubted from
    /// the start.
    #[must_use]
    pub fn after(mut self, last: Timestamp) -> Self {
        self.known.0 = self.known.0.min(last);
        self
    }

    /// The time that is believed now, never later than the wall clock's. To be asked often: what happens between two
    /// questions is not seen.
    pub fn now(&mut self) -> Timestamp {
        let (wall, moment) = (self.clock.now(), self.clock.monotonic());
        let due = self.due(moment);
        let is_near = wall <= due.plus(MAX_JUMP) && due <= wall.plus(MAX_JUMP);
        if is_near {
            self.doubted_since = None;
            return wall;
        }
        let since = *self.doubted_since.get_or_insert(moment);
        if moment.saturating_duration_since(since) >= self.patience {
            (self.known, self.doubted_since) = ((wall, moment), None);
            return wall;
        }
        wall.min(due)
    }

    /// Whether the wall clock is too far from where it should be.
    pub const fn is_doubted(&self) -> bool {
        self.doubted_since.is_some()
    }

    fn due(&self, moment: Instant) -> Timestamp {
        let (wall, then) = self.known;
        wall.plus(moment.saturating_duration_since(then))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r172_timestamps_are_utc_with_milliseconds() {
        assert_eq!(
            Timestamp::from_millis(1_732_190_400_123).rfc3339_millis(),
            "2024-11-21T12:00:00.123Z"
        );
        assert_eq!(
            Timestamp::from_seconds(1_732_190_400).rfc3339_seconds(),
            "2024-11-21T12:00:00Z"
        );
    }

    #[test]
    fn r172_the_quick_form_is_the_general_one_at_every_moment() {
        for millis in [
            0,
            -1,
            -62_167_219_200_000,
            -62_167_219_200_001,
            951_782_399_999,
            1_732_190_400_009,
            4_102_444_800_000,
            253_402_300_799_999,
            253_402_300_800_000,
            i64::MAX,
            i64::MIN,
        ] {
            let at = Timestamp::from_millis(millis);
            let general = at.utc().format(RFC3339_MILLIS).unwrap_or_default();
            assert_eq!(at.rfc3339_millis(), general, "{millis}");
        }
    }

    #[test]
    fn a_manual_clock_moves_both_hands_together() {
        let clock = Clock::manual(Timestamp::from_seconds(1_000));
        let before = clock.monotonic();
        clock.advance(Duration::from_secs(61));
        assert_eq!(clock.now(), Timestamp::from_seconds(1_061));
        assert_eq!(clock.monotonic() - before, Duration::from_secs(61));
    }

    #[test]
    fn a_leap_ahead_is_believed_when_it_has_held_and_a_step_back_at_once() {
        const HOUR: Duration = Duration::from_secs(3_600);
        let clock = Clock::manual(Timestamp::from_seconds(1_000_000));
        let mut calendar = Calendar::new(clock.clone(), HOUR);
        clock.set_forward(HOUR);
        assert_eq!(calendar.now(), clock.now(), "a small step");
        clock.set_back(HOUR);
        clock.set_forward(HOUR * 5000);
        assert_eq!(calendar.now(), Timestamp::from_seconds(1_000_000));
        clock.advance(HOUR / 2);
        assert_eq!(calendar.now(), Timestamp::from_seconds(1_001_800));
        assert!(calendar.is_doubted());
        clock.set_back(HOUR * 5000);
        assert_eq!(calendar.now(), clock.now());
        assert!(!calendar.is_doubted());
        clock.set_forward(HOUR * 5000);
        calendar.now();
        clock.advance(HOUR);
        assert_eq!(calendar.now(), clock.now(), "it has held");
        clock.set_back(HOUR * 5000);
        assert_eq!(calendar.now(), clock.now(), "set back");
    }

    #[test]
    fn a_clock_far_ahead_of_what_is_known_is_doubted_from_the_start() {
        const DAY: Duration = Duration::from_secs(86_400);
        let clock = Clock::manual(Timestamp::from_seconds(100_000_000));
        let last = Timestamp::from_seconds(1_000_000);
        let mut calendar = Calendar::new(clock.clone(), DAY).after(last);
        assert_eq!(calendar.now(), last);
        clock.advance(DAY / 2);
        assert_eq!(calendar.now(), last.plus(DAY / 2));
        clock.advance(DAY / 2);
        assert_eq!(calendar.now(), clock.now());
        let mut behind = Calendar::new(clock.clone(), DAY).after(clock.now().plus(DAY));
        assert_eq!(behind.now(), clock.now());
    }
}
