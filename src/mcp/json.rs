//! The strict reading of one JSON document. Two readers that disagree about a body are the way around a gateway, so a
//! document passes only if every reader must see the same in it: one text, one meaning for every name, no depth or
//! number that some readers cannot hold. One pass, no recursion; the bytes themselves are never rewritten.

use smallvec::SmallVec;

use super::names::Names;
use super::view::Json;

/// How strictly a document is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Arrays and objects inside each other, the outermost counted; stacks behind us are finite.
    pub depth: usize,
    /// Whether two names of one object that differ by case alone are refused like equal ones.
    pub fold_names: bool,
}

impl Rules {
    /// For requests: everything is refused that some reader may read otherwise.
    pub const REQUEST: Self = Self {
        depth: 64,
        fold_names: true,
    };

    /// For answers: a tool may honestly have the parameters `id` and `ID`; the levels on which we decide are held to the
    /// folded rule by their readers.
    pub const ANSWER: Self = Self {
        depth: 128,
        fold_names: false,
    };
}

impl Default for Rules {
    fn default() -> Self {
        Self::REQUEST
    }
}

/// Why a text is not one document that all read alike. Offsets count bytes from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Nothing but white space.
    #[error("the body is empty")]
    Empty,
    /// A byte order mark, which RFC 8259 section 8.1 forbids to send.
    #[error("the body begins with a byte order mark")]
    ByteOrderMark,
    /// Not UTF-8.
    #[error("invalid UTF-8 at byte {offset}")]
    NotUtf8 {
        /// The first byte that is none.
        offset: usize,
    },
    /// The text ends inside a value.
    #[error("the document ends early, at byte {offset}")]
    Unfinished {
        /// The length of the text.
        offset: usize,
    },
    /// A character that the grammar does not allow here.
    #[error("unexpected character at byte {offset}")]
    Unexpected {
        /// Where it stands.
        offset: usize,
    },
    /// Something follows the document.
    #[error("more than one document: byte {offset} follows the first")]
    Trailing {
        /// Where the rest begins.
        offset: usize,
    },
    /// Nested deeper than allowed.
    #[error("nested deeper than {limit} levels at byte {offset}")]
    TooDeep {
        /// The limit.
        limit: usize,
        /// Where it was passed.
        offset: usize,
    },
    /// One object has a name twice, after unescaping and, under [`Rules::fold_names`], folding.
    #[error("the name at byte {offset} stands twice in one object")]
    EqualNames {
        /// Where the later one stands.
        offset: usize,
    },
    /// A backslash before something that is no escape.
    #[error("invalid escape at byte {offset}")]
    BadEscape {
        /// Where the backslash stands.
        offset: usize,
    },
    /// Half of a surrogate pair; readers replace, drop or keep it.
    #[error("lone surrogate at byte {offset}")]
    LoneSurrogate {
        /// Where the backslash stands.
        offset: usize,
    },
    /// An unescaped control character inside a string.
    #[error("unescaped control character at byte {offset}")]
    ControlCharacter {
        /// Where it stands.
        offset: usize,
    },
    /// Not a JSON number, such as `01`, `1.` or `+1`.
    #[error("malformed number at byte {offset}")]
    BadNumber {
        /// Where the number begins.
        offset: usize,
    },
    /// A number that a double cannot hold.
    #[error("the number at byte {offset} is out of range")]
    NumberOutOfRange {
        /// Where the number begins.
        offset: usize,
    },
}

impl JsonError {
    /// Whether the text is JSON by its grammar and was refused for how differently it may be read.
    pub const fn is_ambiguity(self) -> bool {
        matches!(
            self,
            Self::TooDeep { .. }
                | Self::EqualNames { .. }
                | Self::LoneSurrogate { .. }
                | Self::NumberOutOfRange { .. }
        )
    }
}

/// Reads `bytes` as exactly one document.
///
/// # Errors
/// [`JsonError`] for the first thing that is wrong or that two readers may read differently.
pub fn check(bytes: &[u8], rules: Rules) -> Result<Json<'_>, JsonError> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(JsonError::ByteOrderMark);
    }
    let text = std::str::from_utf8(bytes).map_err(|e| JsonError::NotUtf8 {
        offset: e.valid_up_to(),
    })?;
    let mut scanner = Scanner {
        text,
        bytes,
        at: 0,
        rules,
        open: SmallVec::new(),
        names: Names::of(bytes),
    };
    scanner.document()
}

/// One container that is still open.
#[derive(Clone, Copy)]
struct Frame {
    is_object: bool,
    /// How many names were noted when it began.
    names_before: usize,
}

/// After a value: is the next thing another value, or is this one complete?
#[derive(PartialEq)]
enum Next {
    Value,
    Done,
}

/// Where the reading of one document stands.
pub(super) struct Scanner<'a> {
    pub(super) text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    rules: Rules,
    open: SmallVec<[Frame; 8]>,
    names: Names<'a>,
}

impl<'a> Scanner<'a> {
    fn document(&mut self) -> Result<Json<'a>, JsonError> {
        self.skip_space();
        if self.peek().is_none() {
            return Err(JsonError::Empty);
        }
        let start = self.at;
        loop {
            if self.value()? == Next::Done && self.after_value()? == Next::Done {
                break;
            }
        }
        let end = self.at;
        self.skip_space();
        match self.peek() {
            None => Ok(Json::checked(self.text, start, end)),
            Some(_) => Err(JsonError::Trailing { offset: self.at }),
        }
    }

    fn value(&mut self) -> Result<Next, JsonError> {
        match self.peek() {
            Some(b'{') => self.enter(true),
            Some(b'[') => self.enter(false),
            Some(b'"') => self.string().map(|_| Next::Done),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| Next::Done),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => Err(self.surprise()),
        }
    }

    fn enter(&mut self, is_object: bool) -> Result<Next, JsonError> {
        if self.open.len() >= self.rules.depth {
            return Err(JsonError::TooDeep {
                limit: self.rules.depth,
                offset: self.at,
            });
        }
        self.open.push(Frame {
            is_object,
            names_before: self.names.len(),
        });
        self.at += 1;
        self.skip_space();
        match self.peek() {
            Some(b'}') if is_object => self.leave(),
            Some(b']') if !is_object => self.leave(),
            _ if is_object => self.name(),
            _ => Ok(Next::Value),
        }
    }

    fn leave(&mut self) -> Result<Next, JsonError> {
        self.at += 1;
        if let Some(frame) = self.open.pop()
            && frame.is_object
        {
            self.names
                .close(frame.names_before)
                .map_err(|offset| JsonError::EqualNames { offset })?;
        }
        Ok(Next::Done)
    }

    /// A value is complete: closes what closes behind it, until a further value is due or nothing is open.
    fn after_value(&mut self) -> Result<Next, JsonError> {
        while let Some(frame) = self.open.last().copied() {
            self.skip_space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.skip_space();
                    return if frame.is_object {
                        self.name()
                    } else {
                        Ok(Next::Value)
                    };
                }
                Some(b'}') if frame.is_object => self.leave()?,
                Some(b']') if !frame.is_object => self.leave()?,
                _ => return Err(self.surprise()),
            };
        }
        Ok(Next::Done)
    }

    fn name(&mut self) -> Result<Next, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.surprise());
        }
        let offset = self.at;
        let escaped = self.string()?;
        let inner = self.text.get(offset + 1..self.at - 1).unwrap_or_default();
        self.names
            .note(inner, escaped, offset, self.rules.fold_names);
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.surprise());
        }
        self.at += 1;
        self.skip_space();
        Ok(Next::Value)
    }

    fn word(&mut self, word: &str) -> Result<Next, JsonError> {
        for letter in word.bytes() {
            if self.peek() != Some(letter) {
                return Err(self.surprise());
            }
            self.at += 1;
        }
        Ok(Next::Done)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// What stands here is not what the grammar wants.
    pub(super) fn surprise(&self) -> JsonError {
        let offset = self.at;
        if offset >= self.bytes.len() {
            JsonError::Unfinished { offset }
        } else {
            JsonError::Unexpected { offset }
        }
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
