//! An answer that is a stream of server-sent events. It is relayed event by event as it comes; each is looked at, and only
//! one at a time is held. Silence towards the caller is broken by comments, so that load balancers keep the stream. A
//! drain ends a stream that has no end of its own between two events; the answer to a call may finish. A revocation ends
//! every stream of its principal, whatever it answers.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::unfold;
use http::Response;
use http::request::Parts;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use super::body::ReplyBody;
use super::current::{Over, Succession};
use super::exchange::Relayed;
use super::lens::{Lens, Place, Seen};
use super::screen::View;
use crate::auth::AuthError;
use crate::mcp::sse::{Event, Reader, rewrite};
use crate::revocation::Watch;
use crate::upstream::UpstreamError;

/// A comment line: it means nothing to the client and keeps the stream open (MCP transport; HTML section 9.2.7).
const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// Events that came together go on together up to this size: one record of TLS.
const PIECE_BYTES: usize = 16 * 1024;

/// So many frames go into one piece: whether the stream may go on at all is asked between pieces.
const TURNS: usize = 64;

/// How a stream is kept alive and ended.
#[derive(Clone, Debug)]
pub struct Pace {
    /// The longest silence before a comment is sent.
    pub keep_alive: Duration,
    /// How long the first event of a call's answer may keep its head back, so that an unknown tool can be recognised.
    pub first_event: Duration,
    /// Turns true when the gateway drains.
    pub draining: watch::Receiver<bool>,
    /// Tells when a principal may no longer act.
    pub revoked: Option<Watch>,
    /// Tells when the set was replaced that let the stream through.
    pub succession: Option<Succession>,
}

impl Pace {
    /// The pace of the answer to the request with this head.
    pub(super) fn of(&self, head: &Parts) -> Self {
        Self {
            keep_alive: self.keep_alive,
            first_event: self.first_event,
            draining: self.draining.clone(),
            revoked: self.revoked.clone(),
            succession: self.succession.as_ref().map(|one| one.of(head)),
        }
    }
}

/// Waits until there is another set to ask.
async fn replaced(succession: &mut Option<Succession>) {
    match succession {
        Some(succession) => succession.changed().await,
        None => std::future::pending().await,
    }
}

/// Waits until the principal of the lens may no longer act.
async fn revoked(watch: &mut Option<Watch>, lens: &Lens) -> AuthError {
    match watch {
        Some(watch) => watch.ended(lens.principal()).await,
        None => std::future::pending().await,
    }
}

/// Relays a stream.
///
/// # Errors
/// [`UpstreamError`] when the stream fails before its first event; later failures travel in the body.
pub async fn relay(body: Incoming, lens: Lens, pace: Pace) -> Result<Relayed, UpstreamError> {
    let mut relay = Relay::new(body, lens, pace);
    if matches!(relay.lens.view(), View::Named(_))
        && let Some(unknown) = relay.unknown().await?
    {
        return Ok(Relayed::Unknown(unknown));
    }
    let pieces = unfold(relay, |mut relay| async move {
        relay.next().await.map(|piece| (piece, relay))
    });
    let body = ReplyBody::pieces(Box::pin(pieces));
    Ok(Relayed::Answer(Response::new(body)))
}

/// What comes next on the way from the upstream.
enum Step {
    Data(Bytes),
    End,
    KeepAlive,
    /// Something changed that has to be looked at: another set is in force, or time has passed.
    Again,
    Over(Over),
}

struct Relay {
    body: Incoming,
    reader: Reader,
    lens: Lens,
    pace: Pace,
    idle: Duration,
    /// When the caller's token no longer allows a stream that has no end of its own.
    authority: Instant,
    heard: Instant,
    /// When the event began that is still coming in, if one is.
    half: Option<Instant>,
    /// How long one event may take.
    total: Duration,
    spoke: Instant,
    /// Rings when time may have come for something, or before: it is set again when it rang, not at every event.
    alarm: Pin<Box<Sleep>>,
    ready: VecDeque<Bytes>,
    /// Whether the response that the caller waits for has come by.
    answered: bool,
    ended: bool,
    /// What went wrong behind what is ready.
    failed: Option<UpstreamError>,
}

impl Relay {
    fn new(body: Incoming, lens: Lens, pace: Pace) -> Self {
        let now = Instant::now();
        let total = lens.route().upstream().total_timeout();
        Self {
            body,
            total,
            reader: Reader::new(lens.route().answers().event_bytes),
            idle: lens.route().upstream().idle_timeout(),
            authority: now + lens.authority(),
            lens,
            pace,
            heard: now,
            half: None,
            spoke: now,
            alarm: Box::pin(sleep_until(now)),
            ready: VecDeque::new(),
            answered: false,
            ended: false,
            failed: None,
        }
    }

    /// Waits a moment for the first event of a call's answer: the words for an unknown tool come at once.
    async fn unknown(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        let until = Instant::now() + self.pace.first_event;
        while let Ok(step) = timeout_at(until, self.step()).await {
            match step? {
                Step::Data(data) => self.reader.feed(&data),
                Step::End => {
                    self.ended = true;
                    break;
                }
                Step::Over(over) => {
                    self.cut(&over);
                    break;
                }
                Step::Again => continue,
                Step::KeepAlive => break,
            }
            // All that has arrived is looked at: what stayed in the reader would wait for bytes that may never come.
            let mut told = false;
            while let Some(event) = self.event()? {
                told |= event.data.as_ref().is_some_and(|data| !data.is_empty());
                if let Seen::Unknown(answer) = self.look(event)? {
                    return Ok(Some(answer));
                }
            }
            if told {
                break;
            }
        }
        Ok(None)
    }

    /// The next piece for the caller.
    async fn next(&mut self) -> Option<Result<Bytes, UpstreamError>> {
        loop {
            if let Some(piece) = self.take() {
                self.spoke = Instant::now();
                return Some(Ok(piece));
            }
            if self.ended {
                return None;
            }
            let advanced = match self.failed.take() {
                Some(error) => Err(error),
                None => self.advance().await,
            };
            if let Err(error) = advanced {
                self.ended = true;
                match self.lens.last_words(&error) {
                    Some(words) if !self.answered => self.ready.push_back(words),
                    _ => return Some(Err(error)),
                }
            }
        }
    }

    /// What the upstream has sent already goes on in the same piece, or each event would cost a record of TLS and a system
    /// call. The connection to the upstream hands over one frame at a time, so it gets a turn after each; when it had
    /// nothing in its turn, the piece goes. Only behind a step, and never before what is left of a piece: what a step asks would
    /// otherwise not be asked of an upstream that never pauses.
    async fn gather(&mut self) {
        for _ in 0..TURNS {
            let held: usize = self.ready.iter().map(Bytes::len).sum();
            if self.ended || self.failed.is_some() || held >= PIECE_BYTES {
                return;
            }
            a_turn_for_others().await;
            let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut self.body).poll_frame(cx)));
            let Poll::Ready(frame) = polled.await else {
                return;
            };
            if let Err(error) = self.received(frame).and_then(|step| self.read(step)) {
                self.failed = Some(error);
            }
        }
    }

    /// What is ready, in one piece where it is several short ones: what came together goes on together.
    fn take(&mut self) -> Option<Bytes> {
        let first = self.ready.pop_front()?;
        if self.ready.is_empty() || first.len() > PIECE_BYTES {
            return Some(first);
        }
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        piece.extend_from_slice(&first);
        while let Some(next) = self.ready.front()
            && piece.len() + next.len() <= PIECE_BYTES
        {
            piece.extend_from_slice(next);
            self.ready.pop_front();
        }
        Some(piece.freeze())
    }

    async fn advance(&mut self) -> Result<(), UpstreamError> {
        let step = self.step().await?;
        self.read(step)?;
        if !self.ready.is_empty() {
            self.gather().await;
        }
        Ok(())
    }

    fn read(&mut self, step: Step) -> Result<(), UpstreamError> {
        match step {
            Step::KeepAlive => self.ready.push_back(KEEP_ALIVE),
            Step::End => self.ended = true,
            Step::Over(over) => self.cut(&over),
            Step::Again => {}
            Step::Data(data) => {
                self.reader.feed(&data);
                while let Some(event) = self.event()? {
                    self.look(event)?;
                }
            }
        }
        Ok(())
    }

    /// Ends a stream that may not go on. What is still in the queue is not sent.
    fn cut(&mut self, over: &Over) {
        self.ended = true;
        self.ready.clear();
        let told = self.lens.farewell(over);
        if !self.answered {
            self.ready.extend(told);
        }
    }

    /// Waits for the upstream, for the silence to grow too long on either side, for the drain of a stream that only it can
    /// end, or for a revocation.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped: a frame is taken from the body only as the result.
    async fn step(&mut self) -> Result<Step, UpstreamError> {
        let drained = self.lens.is_long_lived();
        if drained && *self.pace.draining.borrow() {
            return Ok(Step::End);
        }
        // Asked at every step, so that an upstream that never pauses cannot outrun the signal.
        if let Some(watch) = &self.pace.revoked
            && let Err(error) = watch.check(self.lens.principal())
        {
            return Ok(Step::Over(Over::Refused(error)));
        }
        if let Some(succession) = &mut self.pace.succession
            && let Some(over) = succession.review(&self.lens).await
        {
            return Ok(Step::Over(over));
        }
        if let Some(step) = self.overdue(Instant::now())? {
            return Ok(step);
        }
        self.set_alarm();
        // The upstream is asked first: while it has something to say nobody else needs to be heard, since all that must not
        // wait was looked at above.
        tokio::select! {
            biased;
            frame = self.body.frame() => self.received(frame),
            () = self.alarm.as_mut() => self.rang(),
            _ = self.pace.draining.changed(), if drained => Ok(Step::End),
            error = revoked(&mut self.pace.revoked, &self.lens) => Ok(Step::Over(Over::Refused(error))),
            () = replaced(&mut self.pace.succession) => Ok(Step::Again),
        }
    }

    fn received(
        &mut self,
        frame: Option<Result<Frame<Bytes>, hyper::Error>>,
    ) -> Result<Step, UpstreamError> {
        match frame {
            None => Ok(Step::End),
            Some(Err(_)) => Err(UpstreamError::BodyBroken),
            Some(Ok(frame)) => {
                self.heard = Instant::now();
                Ok(Step::Data(frame.into_data().unwrap_or_default()))
            }
        }
    }

    /// When a stream has to end because its set was replaced.
    fn outlives(&self) -> Option<Instant> {
        self.pace.succession.as_ref().and_then(Succession::until)
    }

    /// What may not wait for a pause of the upstream.
    fn overdue(&self, now: Instant) -> Result<Option<Step>, UpstreamError> {
        if self.half.is_some_and(|half| now >= half + self.total) {
            return Err(UpstreamError::IdleTimeout);
        }
        if now >= self.authority {
            return Ok(Some(Step::End));
        }
        Ok(match self.outlives() {
            Some(until) if now >= until && self.lens.is_long_lived() => Some(Step::End),
            Some(until) if now >= until => Some(Step::Over(Over::TimeUp)),
            _ => None,
        })
    }

    /// Sees to it that the alarm rings when something is due, or before.
    fn set_alarm(&mut self) {
        let speak = self.spoke + self.pace.keep_alive;
        let due = speak.min(self.patience()).min(self.authority);
        let due = self.outlives().map_or(due, |until| due.min(until));
        if self.alarm.is_elapsed() || self.alarm.deadline() > due {
            self.alarm.as_mut().reset(due);
        }
    }

    /// The alarm rang while the upstream had nothing to say.
    fn rang(&self) -> Result<Step, UpstreamError> {
        let now = Instant::now();
        if now >= self.patience() {
            return Err(UpstreamError::IdleTimeout);
        }
        Ok(match now >= self.spoke + self.pace.keep_alive {
            true => Step::KeepAlive,
            false => Step::Again,
        })
    }

    /// Looks at one event and puts what the caller may see of it in the queue.
    fn look(&mut self, event: Event) -> Result<Seen, UpstreamError> {
        let seen = match &event.data {
            Some(data) if !data.is_empty() => self.lens.message(data, Place::Event)?,
            _ => Seen::Same,
        };
        self.answered |= event
            .data
            .as_ref()
            .is_some_and(|data| self.lens.is_the_response(data));
        let event = with_usable_id(event);
        self.ready.push_back(match &seen {
            Seen::Same => event.raw,
            Seen::Instead(data) | Seen::Unknown(data) => rewrite(&event, data),
            // A client that resumes behind it must still know its id; without data nothing is dispatched.
            Seen::Hidden => rewrite(&event, b""),
        });
        Ok(seen)
    }

    fn event(&mut self) -> Result<Option<Event>, UpstreamError> {
        let event = self.reader.next_event();
        let event = event.map_err(|_| UpstreamError::TooLarge)?;
        // One that comes drop by drop is never silent and never done.
        self.half = match (&event, self.reader.pending()) {
            (None, 1..) => self.half.or(Some(self.heard)),
            _ => None,
        };
        Ok(event)
    }

    /// When the upstream has been silent, or busy with one event, for too long.
    fn patience(&self) -> Instant {
        let silent = self.heard + self.idle;
        self.half
            .map_or(silent, |half| silent.min(half + self.total))
    }
}

/// Lets every task run that is ready. Unlike a yield of the runtime's own, it does not look for new events of sockets, and it is
/// over at the third poll: the HTTP library asks an answer over HTTP/1 for more twice in one turn.
async fn a_turn_for_others() {
    let mut left = 2_u8;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Longer than any honest id of an event.
const EVENT_ID: usize = 1024;

/// The event without its id, if a client could not send that back in a header (`Last-Event-ID`): too long, or with bytes
/// that no header may hold.
fn with_usable_id(mut event: Event) -> Event {
    let is_usable =
        |id: &Bytes| id.len() <= EVENT_ID && !id.iter().any(|byte| byte.is_ascii_control());
    // An id with a NUL counts as none, but not to every client.
    let has_nul = memchr::memchr(0, &event.raw).is_some();
    if has_nul || !event.id.as_ref().is_none_or(is_usable) {
        event.id = None;
        event.raw = match &event.data {
            Some(data) => rewrite(&event, data),
            None => Bytes::new(),
        };
    }
    event
}
