//! What an answer is looked at with on its way out: who asks, on which route, and for what. Lists lose the entries that
//! policy hides, and an upstream's own words for "unknown tool" become ours, so that hidden and unknown cannot be told
//! apart.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::current::Over;
use super::memo::{Reader, Recalled};
use super::route::Route;
use super::screen::{Cleared, View};
use super::tally::{Failed, Tally};
use crate::auth::Principal;
use crate::clock::Timestamp;
use crate::mcp::{self, Filtered, Id, Item, Kind, Limits, ListError, ListShape, Message};
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
    /// The upstream does not know the tool. The caller gets this, and nothing of how the upstream put it.
    UnknownTool(Bytes),
}

/// The eyes with which one answer is read.
#[derive(Clone)]
pub struct Lens {
    route: Arc<Route>,
    principal: Arc<Principal>,
    view: View,
    id: Option<Id>,
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
            id: cleared.id.clone(),
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

    /// Whether the caller speaks the stateless era.
    pub const fn is_modern(&self) -> bool {
        self.modern
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
    /// [`UpstreamError::Unreadable`] when it could hide a list from us.
    pub fn message(&self, message: &Bytes) -> Result<Seen, UpstreamError> {
        let seen = mcp::glance(message);
        if let View::Call(name) = &self.view
            && message.len() <= SMALL
        {
            if seen.task
                && let Some(task_id) = mcp::tasks::created(message)
            {
                self.route.tasks().note(task_id, &self.principal);
            }
            if seen.failure && errors::is_unknown_tool(message, name) {
                self.failed.mark();
                return Ok(Seen::UnknownTool(errors::unknown_tool(
                    self.id.as_ref().into(),
                    name,
                )));
            }
            if seen.failure && errors::is_failure(message) {
                self.failed.mark();
            }
        }
        if self.view != View::List && !seen.list {
            return Ok(Seen::Same);
        }
        self.filter(message)
            .map_err(|error| UpstreamError::Unreadable(error.to_string()))
    }

    fn filter(&self, message: &Bytes) -> Result<Seen, ListError> {
        if let Some(recalled) = self.recall(message) {
            return Ok(match recalled {
                Recalled::Same => Seen::Same,
                Recalled::Instead(body) => Seen::Instead(body),
            });
        }
        let answer = mcp::Answer::read(message)?;
        self.route.catalogue().learn(&answer);
        self.learn_tools(&answer);
        let filtered = answer.filter(&mut |item| self.keeps(item), self.modern)?;
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

    /// What a caller hears whose request may not go on, and what the trail notes about it. There is nothing to resume, so
    /// callers of both eras are told.
    pub(super) fn farewell(&self, over: &Over) -> Option<Bytes> {
        let (reason, status, message) = over.words();
        match over {
            Over::Refused(_) | Over::NotAllowed => self.failed.cut(reason),
            Over::TimeUp => self.failed.broke(reason),
        }
        let id = self.id.as_ref()?;
        let code = i64::from(status.as_u16());
        let body = errors::plain(ReplyTo::Id(id), code, message);
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
