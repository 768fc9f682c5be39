//! What a peer may cost beyond its requests. HTTP/2 lets it send frames that ask for work and carry nothing: pings, settings,
//! priorities, window updates, empty data, resets (RFC 9113 section 10.5). The HTTP library bounds what they hold in memory;
//! how many of them there may be is bounded here. Work that is done for the peer earns it such frames, time does so slowly.

use tokio::time::{Duration, Instant};

use super::walker::{Frame, flag, kind};

/// Frames without a request that a peer may send at once.
const OVERHEAD: u32 = 1_000;
/// How many of them each second gives back.
const OVERHEAD_A_SECOND: u32 = 20;
/// How many of them each frame of an answer gives back: clients widen two windows for each, and may ping.
const OVERHEAD_AN_ANSWER: u32 = 4;
/// What SETTINGS cost: they may change the windows of all streams.
const SETTINGS_COST: u32 = 10;
/// Requests that a peer may cancel at once; more where it may have more streams open.
const RESETS: u32 = 100;
/// How many of them each second gives back.
const RESETS_A_SECOND: u32 = 10;
/// Header blocks that are read before the peer has acknowledged our settings, under which they stand.
const UNACKNOWLEDGED_BLOCKS: u32 = 100;
/// Frames that one header block may be cut into beyond those that its size needs.
const SPARE_CONTINUATIONS: u32 = 8;

/// How a peer misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Abuse {
    /// Frames that ask for work and carry no request.
    #[error("frame_flood")]
    Overhead,
    /// Requests that are cancelled as soon as they are made (CVE-2023-44487).
    #[error("reset_flood")]
    Resets,
    /// A header block larger, or in more pieces, than any request needs (CVE-2024-27316).
    #[error("header_block_flood")]
    Block,
    /// Request after request under settings that were never acknowledged.
    #[error("settings_ignored")]
    Settings,
}

impl Abuse {
    /// The reason in metrics and audit lines.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Overhead => "http2_frame_flood",
            Self::Resets => "http2_reset_flood",
            Self::Block => "http2_header_flood",
            Self::Settings => "http2_settings_ignored",
        }
    }
}

/// What one peer has left.
#[derive(Debug)]
pub struct Budget {
    overhead: Bucket,
    resets: Bucket,
    block_bytes: u32,
    /// The header block under way: its octets and frames so far.
    block: (u32, u32),
    /// Blocks since the start, until our settings are acknowledged.
    unacknowledged: Option<u32>,
}

impl Budget {
    /// For a connection with so many streams at once and header blocks of at most so many octets.
    pub fn new(streams: u32, block_bytes: u32) -> Self {
        Self {
            overhead: Bucket::full(OVERHEAD, OVERHEAD_A_SECOND),
            resets: Bucket::full(RESETS.max(streams), RESETS_A_SECOND),
            block_bytes,
            block: (0, 0),
            unacknowledged: Some(0),
        }
    }

    /// The peer sent this.
    ///
    /// # Errors
    /// [`Abuse`] when it is too much.
    pub fn incoming(&mut self, frame: &Frame) -> Result<(), Abuse> {
        let is_ack = frame.flags & flag::ACK != 0;
        match frame.kind {
            kind::HEADERS => {
                self.block = (0, 0);
                self.count_block()?;
                self.block(frame)
            }
            kind::CONTINUATION => self.block(frame),
            kind::DATA if frame.length > 0 || frame.flags & flag::END_STREAM != 0 => Ok(()),
            kind::SETTINGS if is_ack => {
                self.unacknowledged = None;
                self.overhead.spend(1, Abuse::Overhead)
            }
            kind::SETTINGS => self.overhead.spend(SETTINGS_COST, Abuse::Overhead),
            kind::RST_STREAM => self.resets.spend(1, Abuse::Resets),
            _ => self.overhead.spend(1, Abuse::Overhead),
        }
    }

    /// We sent this.
    pub fn outgoing(&mut self, frame: &Frame) {
        match frame.kind {
            kind::HEADERS => {
                self.overhead.earn(OVERHEAD_AN_ANSWER);
                self.resets.earn(1);
            }
            kind::DATA => self.overhead.earn(OVERHEAD_AN_ANSWER),
            _ => {}
        }
    }

    fn block(&mut self, frame: &Frame) -> Result<(), Abuse> {
        let (bytes, frames) = (self.block.0.saturating_add(frame.length), self.block.1 + 1);
        self.block = (bytes, frames);
        let most = SPARE_CONTINUATIONS + self.block_bytes / SMALLEST_MAX_FRAME;
        match bytes > self.block_bytes || frames > most {
            true => Err(Abuse::Block),
            false => Ok(()),
        }
    }

    fn count_block(&mut self) -> Result<(), Abuse> {
        if let Some(blocks) = &mut self.unacknowledged {
            *blocks += 1;
            if *blocks > UNACKNOWLEDGED_BLOCKS {
                return Err(Abuse::Settings);
            }
        }
        Ok(())
    }
}

/// The frame size that every peer may use (RFC 9113 section 4.2).
const SMALLEST_MAX_FRAME: u32 = 16_384;

/// A supply that time refills. The clock is read only when it runs out.
#[derive(Debug)]
struct Bucket {
    left: u32,
    full: u32,
    a_second: u32,
    refilled: Instant,
}

impl Bucket {
    fn full(full: u32, a_second: u32) -> Self {
        Self {
            left: full,
            full,
            a_second,
            refilled: Instant::now(),
        }
    }

    fn spend(&mut self, cost: u32, or: Abuse) -> Result<(), Abuse> {
        if self.left < cost {
            self.refill();
        }
        self.left = self.left.checked_sub(cost).ok_or(or)?;
        Ok(())
    }

    fn earn(&mut self, more: u32) {
        self.left = self.left.saturating_add(more).min(self.full);
    }

    fn refill(&mut self) {
        let passed = self.refilled.elapsed();
        let millis = u32::try_from(passed.as_millis()).unwrap_or(u32::MAX);
        let more = u64::from(millis) * u64::from(self.a_second) / 1000;
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if more > 0 {
            self.refilled +=
                Duration::from_millis(u64::from(more) * 1000 / u64::from(self.a_second));
            self.earn(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u32) -> Frame {
        Frame {
            length,
            kind,
            flags,
            stream: 1,
            code: 0,
        }
    }

    fn budget() -> Budget {
        Budget::new(100, 80 * 1024)
    }

    /// How many such frames pass, and what is said about the one more.
    fn passed(budget: &mut Budget, frame: Frame) -> (u32, Abuse) {
        let mut count = 0;
        loop {
            match budget.incoming(&frame) {
                Ok(()) => count += 1,
                Err(abuse) => return (count, abuse),
            }
            assert!(count < 100_000, "there is no end to {frame:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rfc9113_s10_5_every_kind_that_carries_no_request_runs_out() {
        for (kind, flags, length, count, abuse) in [
            (kind::PING, 0, 8, 1000, Abuse::Overhead),
            (kind::PING, flag::ACK, 8, 1000, Abuse::Overhead),
            (kind::SETTINGS, 0, 6, 100, Abuse::Overhead),
            (kind::SETTINGS, flag::ACK, 0, 1000, Abuse::Overhead),
            (kind::PRIORITY, 0, 5, 1000, Abuse::Overhead),
            (8, 0, 4, 1000, Abuse::Overhead),
            (kind::DATA, 0, 0, 1000, Abuse::Overhead),
            (0x10, 0, 5, 1000, Abuse::Overhead),
            (0xfa, 0, 900, 1000, Abuse::Overhead),
            (kind::RST_STREAM, 0, 4, 100, Abuse::Resets),
            (kind::HEADERS, flag::END_HEADERS, 40, 100, Abuse::Settings),
            (kind::CONTINUATION, 0, 0, 13, Abuse::Block),
            (kind::CONTINUATION, 0, 16_384, 5, Abuse::Block),
            (kind::HEADERS, 0, 80 * 1024 + 1, 0, Abuse::Block),
        ] {
            let passed = passed(&mut budget(), frame(kind, flags, length));
            assert_eq!(passed, (count, abuse), "kind {kind}, flags {flags}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_and_time_earn_more() {
        let mut budget = budget();
        let ping = frame(kind::PING, 0, 8);
        passed(&mut budget, ping);
        budget.outgoing(&frame(kind::DATA, 0, 16_384));
        assert_eq!(passed(&mut budget, ping).0, OVERHEAD_AN_ANSWER);
        budget.outgoing(&ping);
        assert_eq!(
            passed(&mut budget, ping).0,
            0,
            "an answered ping earns none"
        );
        tokio::time::advance(Duration::from_millis(2_040)).await;
        assert_eq!(passed(&mut budget, ping).0, 2 * OVERHEAD_A_SECOND);
        tokio::time::advance(Duration::from_millis(10)).await;
        assert_eq!(passed(&mut budget, ping).0, 1, "what was over is not lost");
        tokio::time::advance(Duration::from_secs(86_400)).await;
        assert_eq!(
            passed(&mut budget, ping).0,
            OVERHEAD,
            "never more than full"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_what_was_answered_costs_nothing_in_the_long_run() {
        let mut budget = budget();
        for _ in 0..10_000 {
            budget.outgoing(&frame(kind::HEADERS, flag::END_HEADERS, 40));
            assert_eq!(budget.incoming(&frame(kind::RST_STREAM, 0, 4)), Ok(()));
        }
        let wide = &mut Budget::new(5_000, 80 * 1024);
        assert_eq!(passed(wide, frame(kind::RST_STREAM, 0, 4)).0, 5_000);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_and_data_are_free_once_our_settings_are_acknowledged() {
        let mut budget = budget();
        budget
            .incoming(&frame(kind::SETTINGS, flag::ACK, 0))
            .unwrap();
        for _ in 0..10_000 {
            let head = frame(kind::HEADERS, 0, 16_384);
            let rest = frame(kind::CONTINUATION, flag::END_HEADERS, 16_384);
            for free in [
                head,
                rest,
                frame(kind::DATA, 0, 1),
                frame(kind::DATA, flag::END_STREAM, 0),
            ] {
                assert_eq!(budget.incoming(&free), Ok(()));
            }
        }
    }
}
