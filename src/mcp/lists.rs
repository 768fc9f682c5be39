//! Lists on their way back: which tools, prompts, resources and templates an answer names, and the same answer without
//! those that its reader may not see. Items stay as they were sent, byte for byte, and so does everything around them.
//! An answer in which a name could hide from us, behind a repeated or imitated member, is refused as a whole.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::envelope::Envelope;
use super::fold::imitated;
use super::json::{JsonError, Rules, check};
use super::view::Json;

/// The lists of MCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListShape {
    /// `tools/list`
    Tools,
    /// `prompts/list`
    Prompts,
    /// `resources/list`
    Resources,
    /// `resources/templates/list`
    Templates,
    /// `tasks/list` (2025-11-25)
    Tasks,
}

impl ListShape {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Tools,
        Self::Prompts,
        Self::Resources,
        Self::Templates,
        Self::Tasks,
    ];

    /// The member of the result that holds the list.
    pub const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
            Self::Tasks => "tasks",
        }
    }

    /// The member of an item by which it is called.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
            Self::Tasks => "taskId",
        }
    }
}

/// One entry of a list.
#[derive(Clone, Debug)]
pub struct Item<'a> {
    /// The list it stands in.
    pub shape: ListShape,
    /// Its name, URI or URI template.
    pub name: Cow<'a, str>,
    /// The whole entry.
    pub json: Json<'a>,
}

/// An answer that hides or may hide something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// Not one document that all read alike.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Not one JSON-RPC message.
    #[error("the answer is not a JSON-RPC message")]
    NotAMessage,
    /// A member whose name only looks like `known`.
    #[error("a member imitates `{known}`")]
    Imitation {
        /// The protocol's own member.
        known: &'static str,
    },
    /// A list member that is no array.
    #[error("`{member}` is not an array")]
    NotAList {
        /// Which one.
        member: &'static str,
    },
    /// An entry without a readable name.
    #[error("an entry of `{member}` has no readable name")]
    Nameless {
        /// The list it stands in.
        member: &'static str,
    },
}

/// What filtering made of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filtered {
    /// Nothing to change: forward the bytes that came.
    Unchanged,
    /// The body to send instead.
    Rewritten {
        /// The new body.
        body: Bytes,
        /// How many entries were taken out.
        hidden: usize,
    },
}

/// An answer of the upstream, read for the lists in it.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    body: &'a [u8],
    envelope: Envelope<'a>,
    id: Option<Json<'a>>,
    result: Option<Json<'a>>,
    cache_scope: Option<Json<'a>>,
    lists: Vec<(ListShape, Json<'a>)>,
}

/// Takes out of a response what `keep` refuses. Every list in it is filtered, whatever was asked for, so that an answer
/// of the wrong shape shows nothing. An answer of the modern era is also marked as not to be shared between users.
///
/// # Errors
/// [`ListError`] when the answer could hide a name.
pub fn filter(
    body: &[u8],
    keep: &mut dyn FnMut(&Item<'_>) -> bool,
    modern: bool,
) -> Result<Filtered, ListError> {
    Answer::read(body)?.filter(keep, modern)
}

impl<'a> Answer<'a> {
    /// Reads a body as one message and finds the lists in its result.
    ///
    /// # Errors
    /// [`ListError`] when the body is no message or could hide a list.
    pub fn read(body: &'a [u8]) -> Result<Self, ListError> {
        let message = check(body, Rules::ANSWER)?;
        if !message.is_object() {
            return Err(ListError::NotAMessage);
        }
        let mut answer = Self {
            body,
            envelope: Envelope::of(message),
            id: None,
            result: None,
            cache_scope: None,
            lists: Vec::new(),
        };
        for member in message.members() {
            refuse_imitation(&member.name, &["result", "error", "method", "id"])?;
            match &*member.name {
                "result" => answer.result = Some(member.value),
                "id" => answer.id = Some(member.value),
                _ => {}
            }
        }
        answer.find_lists()?;
        Ok(answer)
    }

    fn find_lists(&mut self) -> Result<(), ListError> {
        const KNOWN: [&str; 7] = [
            "tools",
            "prompts",
            "resources",
            "resourceTemplates",
            "tasks",
            "cacheScope",
            "nextCursor",
        ];
        for member in self.result.into_iter().flat_map(Json::members) {
            refuse_imitation(&member.name, &KNOWN)?;
            if member.name == "cacheScope" {
                self.cache_scope = Some(member.value);
            }
            let shape = ListShape::ALL
                .into_iter()
                .find(|s| s.member() == member.name);
            let Some(shape) = shape else { continue };
            if !member.value.is_array() {
                return Err(ListError::NotAList {
                    member: shape.member(),
                });
            }
            self.lists.push((shape, member.value));
        }
        Ok(())
    }

    /// Its outside: whose answer it is.
    pub const fn envelope(&self) -> &Envelope<'a> {
        &self.envelope
    }

    /// The id of the request that this answers.
    pub const fn id(&self) -> Option<Json<'a>> {
        self.id
    }

    /// Where the id stands in a rewritten body: edits are made inside the result alone.
    pub fn id_in(&self, rewritten: &[u8]) -> Option<usize> {
        let (id, result) = (self.id?.range().start, self.result?.range().start);
        match id < result {
            true => Some(id),
            false => (id + rewritten.len()).checked_sub(self.body.len()),
        }
    }

    /// Whether what is hidden in it depends on more than policy: tasks belong to users.
    pub fn has_tasks(&self) -> bool {
        self.lists
            .iter()
            .any(|(shape, _)| *shape == ListShape::Tasks)
    }

    /// Which list this answer is, if any. On a stream whose requests are unknown to us only the shape tells.
    pub fn shape(&self) -> Option<ListShape> {
        self.lists.first().map(|(shape, _)| *shape)
    }

    /// Every entry of every list.
    pub fn items(&self) -> impl Iterator<Item = Result<Item<'a>, ListError>> + '_ {
        self.lists
            .iter()
            .flat_map(|(shape, list)| list.elements().map(|json| item(*shape, json)))
    }

    /// The tools that have a readable name.
    pub fn tools(&self) -> impl Iterator<Item = Item<'a>> + '_ {
        self.items()
            .filter_map(Result::ok)
            .filter(|item| item.shape == ListShape::Tools)
    }

    /// Takes out what `keep` refuses; see [`filter`].
    ///
    /// # Errors
    /// [`ListError`] when an entry has no name or one that could be read in two ways.
    pub fn filter(
        &self,
        keep: &mut dyn FnMut(&Item<'_>) -> bool,
        modern: bool,
    ) -> Result<Filtered, ListError> {
        let mut edits = Vec::new();
        let mut hidden = 0;
        for (shape, list) in &self.lists {
            if let Some((edit, count)) = without_hidden(*shape, *list, keep)? {
                edits.push(edit);
                hidden += count;
            }
        }
        edits.extend(self.private_scope(modern));
        if edits.is_empty() {
            return Ok(Filtered::Unchanged);
        }
        Ok(Filtered::Rewritten {
            body: apply(self.body, edits),
            hidden,
        })
    }

    /// A list that differs between users must not be shared by a cache (MCP 2026-07-28, caching), and all pages of it
    /// must say the same, filtered or not.
    fn private_scope(&self, modern: bool) -> Option<Edit> {
        const PRIVATE: &str = r#""private""#;
        self.shape()?;
        match self.cache_scope {
            Some(scope) if scope.text().as_deref() == Some("private") => None,
            Some(scope) => Some(Edit {
                at: scope.range(),
                new: PRIVATE.into(),
            }),
            None if modern => {
                let inside = self.result?.range().start + 1;
                Some(Edit {
                    at: inside..inside,
                    new: format!(r#""cacheScope":{PRIVATE},"#),
                })
            }
            None => None,
        }
    }
}

/// Which list a response body is, if any.
///
/// # Errors
/// [`ListError`] when the answer could hide a list.
pub fn shape_of(body: &[u8]) -> Result<Option<ListShape>, ListError> {
    Answer::read(body).map(|answer| answer.shape())
}

fn item(shape: ListShape, json: Json<'_>) -> Result<Item<'_>, ListError> {
    let mut name = None;
    for member in json.members() {
        refuse_imitation(&member.name, &[shape.key()])?;
        if member.name == shape.key() {
            name = member.value.text();
        }
    }
    let member = shape.member();
    let name = name.ok_or(ListError::Nameless { member })?;
    Ok(Item { shape, name, json })
}

/// Replaces a part of the body.
struct Edit {
    at: Range<usize>,
    new: String,
}

/// The list anew without the entries that `keep` refuses, and their number; none if all may stay.
fn without_hidden(
    shape: ListShape,
    list: Json<'_>,
    keep: &mut dyn FnMut(&Item<'_>) -> bool,
) -> Result<Option<(Edit, usize)>, ListError> {
    let mut kept = Vec::new();
    let mut hidden = 0;
    for json in list.elements() {
        if keep(&item(shape, json)?) {
            kept.push(json.raw());
        } else {
            hidden += 1;
        }
    }
    let edit = || Edit {
        at: list.range(),
        new: format!("[{}]", kept.join(",")),
    };
    Ok((hidden > 0).then(|| (edit(), hidden)))
}

fn apply(body: &[u8], mut edits: Vec<Edit>) -> Bytes {
    edits.sort_by_key(|edit| edit.at.start);
    let mut out = Vec::with_capacity(body.len() + 32);
    let mut done = 0;
    for edit in edits {
        out.extend_from_slice(body.get(done..edit.at.start).unwrap_or_default());
        out.extend_from_slice(edit.new.as_bytes());
        done = edit.at.end;
    }
    out.extend_from_slice(body.get(done..).unwrap_or_default());
    out.into()
}

fn refuse_imitation(name: &str, known: &[&'static str]) -> Result<(), ListError> {
    match imitated(name, known) {
        Some(known) => Err(ListError::Imitation { known }),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "lists_tests.rs"]
mod tests;
