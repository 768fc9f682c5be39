//! What an answer is looked at with on its way out: who asks, on which route, and for what. Lists lose the entries that
//! policy hides, and an upstream's own words for an unknown tool, prompt or resource become ours, so that hidden and unknown cannot be told
//! apart.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::memo::{Reader, Recalled};
use super::route::Route;
use super::screen::{Cleared, Named, View};
use super::tally::{Failed, Tally};
use crate::auth::{AuthError, Principal};
use crate::clock::Timestamp;
use crate::mcp::json::check;
use crate::mcp::{self, Filtered, Id, Item, Kind, Limits, ListShape, Message, Rules};
use crate::mcp::{Envelope, Era, Glance, Misfit, Sort};
use crate::mcp::{errors, errors::ReplyTo};
use crate::policy::Ask;
use crate::session::{SessionError, SessionSeal};
use crate::telemetry::Metrics;
use crate::upstream::UpstreamError;

/// Longer than any process lives, and still addable to a clock.
const FOR_EVER: Duration = Duration::from_secs(86_400 * 365);
/// As generous as the check of tokens.
const LEEWAY: Duration = Duration::from_secs(60);

/// Answers up to this size are looked at for an unknown tool and for a failure. An upstream says that much shorter.
const SMALL: usize = 4096;

/// What became of a message of the upstream.
#[derive(Clone, Debug)]
pub enum Seen {
    /// It may pass as it is.
    Same,
    /// The caller gets this instead.
    Instead(Bytes),
    /// The upstream does not know the thing that was asked for. The caller gets this, and nothing of how the upstream put it.
    Unknown(Bytes),
    /// It is not for this caller, who gets nothing.
    Hidden,
}

/// Where a message of the upstream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is all that the upstream answers.
    Whole,
    /// It is one event of a stream.
    Event,
}

/// The eyes with which one answer is read.
#[derive(Clone)]
pub struct Lens {
    route: Arc<Route>,
    principal: Arc<Principal>,
    view: View,
    id: Option<Id>,
    era: Era,
    modern: bool,
    long_lived: bool,
    now: Timestamp,
    metrics: Arc<Metrics>,
    failed: Failed,
}

impl Lens {
    /// The lens for the answer to what was cleared.
    pub fn new(
        route: &Arc<Route>,
        principal: &Arc<Principal>,
        cleared: &Cleared,
        now: Timestamp,
        tally: &Tally,
    ) -> Self {
        Self {
            route: Arc::clone(route),
            principal: Arc::clone(principal),
            view: cleared.view.clone(),
            id: cleared.id.clone().filter(|_| cleared.is_request),
            era: cleared.era,
            modern: cleared.era.is_modern(),
            long_lived: cleared.long_lived,
            now,
            metrics: Arc::clone(tally.metrics()),
            failed: tally.failed().clone(),
        }
    }

    /// The route of the exchange.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Who asks.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// How long the answer may go on: one that ends by itself may outlive the caller's token, a stream without an end may
    /// not. The caller opens it again with a fresh token.
    pub fn authority(&self) -> Duration {
        if !self.long_lived {
            return FOR_EVER;
        }
        let left = self
            .principal
            .expires_at()
            .millis()
            .saturating_sub(self.now.millis());
        Duration::from_millis(u64::try_from(left).unwrap_or(0)) + LEEWAY
    }

    /// What the answer is looked at for.
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// Whether the answer is a stream without an end of its own, so that a drain has to end it.
    pub const fn is_long_lived(&self) -> bool {
        self.long_lived
    }

    /// Whether a message is the response that the caller waits for.
    pub fn is_the_response(&self, message: &Bytes) -> bool {
        let outcome = |mark: &[u8]| memchr::memmem::find(message, mark).is_some();
        let id = self.id.as_ref();
        id.is_some()
            && (outcome(b"\"result\"") || outcome(b"\"error\""))
            && Message::decode(message.clone(), &Limits::ANSWER)
                .is_ok_and(|message| message.kind() == Kind::Response && message.id() == id)
    }

    /// Seals an upstream's session id for this principal and route.
    ///
    /// # Errors
    /// [`SessionError::Unsealable`] when it is no session id.
    pub fn seal(&self, seal: &SessionSeal, id: &[u8]) -> Result<String, SessionError> {
        seal.seal(id, &self.principal, self.route.name(), self.now)
    }

    /// One message of the upstream as this caller may see it.
    ///
    /// # Errors
    /// [`UpstreamError::Unreadable`] when it could hide a list from us or is no message, [`UpstreamError::Foreign`] when it
    /// answers another request. What is larger than any such mistake needs to be is not looked at so closely.
    pub fn message(&self, message: &Bytes, place: Place) -> Result<Seen, UpstreamError> {
        if self.view == View::List {
            return self.filter(message, place);
        }
        let seen = mcp::glance(message);
        if let Some(id) = &self.id
            && message.len() <= SMALL
        {
            let body = check(message, Rules::ANSWER).map_err(unreadable)?;
            self.fits(&Envelope::of(body), id, place)?;
            if let Some(unknown) = self.named(message, seen) {
                return Ok(unknown);
            }
        }
        if seen.task && place == Place::Event && self.is_of_a_foreign_task(message) {
            return Ok(Seen::Hidden);
        }
        if !seen.list {
            return Ok(Seen::Same);
        }
        self.filter(message, place)
    }

    /// Looks at the answer about a named thing: whether the upstream does not know it, and what is to be remembered of a
    /// call.
    fn named(&self, message: &[u8], seen: Glance) -> Option<Seen> {
        let View::Named(thing) = &self.view else {
            return None;
        };
        let is_call = matches!(thing, Named::Tool(_));
        if is_call
            && seen.task
            && let Some(task_id) = mcp::tasks::created(message)
        {
            self.route.tasks().note(&task_id, &self.principal);
        }
        if seen.failure
            && let Some(ours) = self.unknown(message, thing)
        {
            self.failed.mark();
            return Some(Seen::Unknown(ours));
        }
        if is_call && seen.failure && errors::is_failure(message) {
            self.failed.mark();
        }
        None
    }

    /// What a caller hears of a thing that the upstream does not know: the same as of one that policy hides.
    fn unknown(&self, message: &[u8], thing: &Named) -> Option<Bytes> {
        let id = ReplyTo::from(self.id.as_ref());
        match thing {
            Named::Tool(name) => {
                errors::is_unknown_tool(message, name).then(|| errors::unknown_tool(id, name))
            }
            Named::Prompt(name) => {
                errors::is_unknown_prompt(message, name).then(|| errors::unknown_prompt(id, name))
            }
            Named::Resource(uri) => errors::is_unknown_resource(message, uri)
                .then(|| errors::resource_not_found(id, uri, self.era)),
        }
    }

    /// The upstream's own words with which it refuses a request (400 to 499), as far as they may pass: a JSON-RPC error that
    /// answers this request or none in particular. Web pages and the like tell of its insides.
    pub fn refusal(&self, message: &[u8]) -> Seen {
        let Some(id) = &self.id else {
            return Seen::Hidden;
        };
        let body = check(message, Rules::ANSWER).ok();
        let answer = body.filter(|body| Envelope::of(*body).sort(id) == Ok(Sort::Answer));
        let Some(answer) = answer else {
            self.failed.mark();
            return Seen::Hidden;
        };
        // Some servers say it in a result, and with a status that is no success.
        if let Some(unknown) = self.named(message, mcp::glance(message)) {
            return unknown;
        }
        if answer.member("error").is_none() {
            self.failed.mark();
            return Seen::Hidden;
        }
        Seen::Same
    }

    /// The request's id, if an answer is due.
    pub const fn id(&self) -> Option<&Id> {
        self.id.as_ref()
    }

    /// Whether a message may come back to the request with this id, there.
    fn fits(&self, envelope: &Envelope<'_>, id: &Id, place: Place) -> Result<(), UpstreamError> {
        match envelope.sort(id) {
            Ok(Sort::Answer) => Ok(()),
            Ok(Sort::Notification) if place == Place::Event => Ok(()),
            // Only servers up to 2025-11-25 ask questions of their own, and only on streams.
            Ok(Sort::Question) if place == Place::Event && !self.modern => Ok(()),
            Ok(Sort::Notification) => Err(unreadable("a notification and no answer")),
            Ok(Sort::Question) => Err(unreadable("a request of the server")),
            Err(Misfit::Foreign) => Err(UpstreamError::Foreign),
            Err(misfit) => Err(unreadable(misfit)),
        }
    }

    /// Whether a message of the server tells of somebody else's task.
    fn is_of_a_foreign_task(&self, message: &[u8]) -> bool {
        mcp::tasks::spoken_of(message)
            .is_some_and(|task_id| self.route.tasks().is_foreign(&task_id, &self.principal))
    }

    fn filter(&self, message: &Bytes, place: Place) -> Result<Seen, UpstreamError> {
        if let Some(recalled) = self.recall(message) {
            return Ok(match recalled {
                Recalled::Same => Seen::Same,
                Recalled::Instead(body) => Seen::Instead(body),
            });
        }
        let answer = mcp::Answer::read(message).map_err(unreadable)?;
        if let Some(id) = &self.id {
            self.fits(answer.envelope(), id, place)?;
        }
        self.route.catalogue().learn(&answer);
        self.learn_tools(&answer);
        let filtered = answer.filter(&mut |item| self.keeps(item), self.modern);
        let filtered = filtered.map_err(unreadable)?;
        self.remember(message, &answer, &filtered);
        Ok(match filtered {
            Filtered::Unchanged => Seen::Same,
            Filtered::Rewritten { body, .. } => Seen::Instead(body),
        })
    }

    /// For whom this lens looks, if others of the same class would see the same.
    fn reader(&self) -> Option<(Reader, &str)> {
        let reader = Reader {
            class: self.principal.class(),
            modern: self.modern,
            learnt: self.route.catalogue().learnt(),
        };
        let alike = self.view == View::List && !self.route.policies().tells_users_apart();
        alike.then_some((reader, self.id.as_ref()?.raw()))
    }

    fn recall(&self, message: &[u8]) -> Option<Recalled> {
        let (reader, id) = self.reader()?;
        self.route.lists().recall(&reader, message, id)
    }

    fn remember(&self, message: &Bytes, answer: &mcp::Answer<'_>, filtered: &Filtered) {
        let Some((reader, id)) = self.reader().filter(|_| !answer.has_tasks()) else {
            return;
        };
        let Some(place) = answer.id().filter(|sent| sent.raw() == id) else {
            return;
        };
        let became = match filtered {
            Filtered::Unchanged => None,
            Filtered::Rewritten { body, .. } => match answer.id_in(body) {
                Some(at) => Some((body, at)),
                None => return,
            },
        };
        let lists = self.route.lists();
        lists.note(reader, id, (message, place.range().start), became);
    }

    /// What a modern caller hears when its stream breaks: the request is lost, for nothing can be resumed in that era. A
    /// legacy caller hears nothing, because it may resume.
    pub fn last_words(&self, error: &UpstreamError) -> Option<Bytes> {
        let id = self.id.as_ref().filter(|_| self.modern)?;
        self.failed.broke(error.reason());
        let body = errors::plain(
            ReplyTo::Id(id),
            i64::from(error.status().as_u16()),
            error.public(),
        );
        Some([b"data: ", body.as_ref(), b"\n\n"].concat().into())
    }

    /// What a caller hears whose principal may no longer act, and what the trail notes about it. There is nothing to
    /// resume, so callers of both eras are told.
    pub fn farewell(&self, error: &AuthError) -> Option<Bytes> {
        self.failed.cut(error.reason());
        let id = self.id.as_ref()?;
        let code = i64::from(error.status().as_u16());
        let body = errors::plain(ReplyTo::Id(id), code, error.message());
        Some([b"data: ", body.as_ref(), b"\n\n"].concat().into())
    }

    /// Tools that the upstream lists get metric labels of their own; names that only callers use never do.
    fn learn_tools(&self, answer: &mcp::Answer<'_>) {
        let names: Vec<_> = answer.tools().map(|tool| tool.name).collect();
        self.metrics.learn_tools(names.iter().map(AsRef::as_ref));
    }

    fn keeps(&self, item: &Item<'_>) -> bool {
        let name = item.name.as_ref();
        let ask = match item.shape {
            ListShape::Tools => Ask::Tool {
                name,
                arguments: None,
            },
            ListShape::Prompts => Ask::Prompt { name },
            ListShape::Resources | ListShape::Templates => Ask::Resource { uri: name },
            ListShape::Tasks => return !self.route.tasks().is_foreign(name, &self.principal),
        };
        self.route.policies().lists(&self.principal, ask)
    }
}

fn unreadable(why: impl ToString) -> UpstreamError {
    UpstreamError::Unreadable(why.to_string())
}
