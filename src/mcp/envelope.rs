//! The outside of a message that an upstream sends back: whether it is the answer that was asked for. A server that mixes
//! its answers up would otherwise hand one caller what another asked for.

use super::message::Id;
use super::view::Json;

/// The members of a message on which it depends whose it is, read in one pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Envelope<'a> {
    version: Option<Json<'a>>,
    id: Option<Json<'a>>,
    method: Option<Json<'a>>,
    result: Option<Json<'a>>,
    error: Option<Json<'a>>,
    is_object: bool,
}

/// What a message that may come back to a caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// The answer to this caller's request.
    Answer,
    /// A notification.
    Notification,
    /// A question of the server's own.
    Question,
}

/// Why a message cannot be handed to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Not an object.
    #[error("not one message")]
    NotAMessage,
    /// `jsonrpc` is missing or not `"2.0"` (JSON-RPC 2.0 section 5).
    #[error("`jsonrpc` is not \"2.0\"")]
    Version,
    /// Neither or more than one of `method`, `result` and `error` (JSON-RPC 2.0 section 5).
    #[error("not exactly one of `method`, `result` and `error`")]
    Outcome,
    /// A result without the id that it belongs to.
    #[error("a result without an id")]
    NoId,
    /// The id of a request that this caller did not make.
    #[error("an answer to another request")]
    Foreign,
}

impl<'a> Envelope<'a> {
    /// Of a checked document.
    pub fn of(body: Json<'a>) -> Self {
        let mut envelope = Self {
            is_object: body.is_object(),
            ..Self::default()
        };
        for member in body.members() {
            let place = match member.name.as_ref() {
                "jsonrpc" => &mut envelope.version,
                "id" => &mut envelope.id,
                "method" => &mut envelope.method,
                "result" => &mut envelope.result,
                "error" => &mut envelope.error,
                _ => continue,
            };
            *place = Some(member.value);
        }
        envelope
    }

    /// The result, if it is one.
    pub const fn result(&self) -> Option<Json<'a>> {
        self.result
    }

    /// Whether it may come back to whoever made the request with this id.
    ///
    /// # Errors
    /// [`Misfit`] when it is no message, or an answer that somebody else is owed.
    pub fn sort(&self, asked: &Id) -> Result<Sort, Misfit> {
        if !self.is_object {
            return Err(Misfit::NotAMessage);
        }
        if self.version.map(Json::raw) != Some("\"2.0\"") {
            return Err(Misfit::Version);
        }
        match (self.method, self.result, self.error) {
            (Some(_), None, None) if self.id.is_some() => Ok(Sort::Question),
            (Some(_), None, None) => Ok(Sort::Notification),
            (None, Some(_), None) => match self.id.filter(|id| !id.is_null()) {
                None => Err(Misfit::NoId),
                Some(id) if asked.is(id) => Ok(Sort::Answer),
                Some(_) => Err(Misfit::Foreign),
            },
            // A server that could not read the request answers without its id (JSON-RPC 2.0 section 5).
            (None, None, Some(_)) => match self.id.filter(|id| !id.is_null()) {
                Some(id) if !asked.is(id) => Err(Misfit::Foreign),
                _ => Ok(Sort::Answer),
            },
            _ => Err(Misfit::Outcome),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::json::{Rules, check};
    use super::*;

    fn sort(message: &str, asked: &str) -> Result<Sort, Misfit> {
        let asked = Id::read(check(asked.as_bytes(), Rules::REQUEST).unwrap()).unwrap();
        Envelope::of(check(message.as_bytes(), Rules::ANSWER).unwrap()).sort(&asked)
    }

    #[test]
    fn jsonrpc_s5_what_is_no_answer_to_the_request_is_told_by_what_is_wrong() {
        for (message, misfit) in [
            (
                r#"[{"jsonrpc":"2.0","id":1,"result":{}}]"#,
                Misfit::NotAMessage,
            ),
            ("7", Misfit::NotAMessage),
            (r#"{"id":1,"result":{}}"#, Misfit::Version),
            (r#"{"jsonrpc":"1.0","id":1,"result":{}}"#, Misfit::Version),
            (r#"{"jsonrpc":2.0,"id":1,"result":{}}"#, Misfit::Version),
            (r#"{"jsonrpc":"2.0","id":1}"#, Misfit::Outcome),
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
                Misfit::Outcome,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#,
                Misfit::Outcome,
            ),
            (r#"{"jsonrpc":"2.0","result":{}}"#, Misfit::NoId),
            (r#"{"jsonrpc":"2.0","id":null,"result":{}}"#, Misfit::NoId),
            (r#"{"jsonrpc":"2.0","id":2,"result":{}}"#, Misfit::Foreign),
            (r#"{"jsonrpc":"2.0","id":"1","result":{}}"#, Misfit::Foreign),
            (r#"{"jsonrpc":"2.0","id":[1],"result":{}}"#, Misfit::Foreign),
            (r#"{"jsonrpc":"2.0","id":2,"error":{}}"#, Misfit::Foreign),
        ] {
            assert_eq!(sort(message, "1"), Err(misfit), "{message}");
        }
    }

    #[test]
    fn an_answer_is_known_by_its_id_however_that_is_spelt() {
        for (message, asked) in [
            (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, "1"),
            (r#"{"result":{},"id":1.0,"jsonrpc":"2.0"}"#, "1"),
            (r#"{"jsonrpc":"2.0","id":0,"result":null}"#, "-0"),
            (
                r#"{"jsonrpc":"2.0","id":9007199254740992,"result":{}}"#,
                "9007199254740993",
            ),
            (r#"{"jsonrpc":"2.0","id":"ab","result":{}}"#, r#""\u0061b""#),
            (r#"{"jsonrpc":"2.0","error":{"code":1}}"#, "1"),
            (r#"{"jsonrpc":"2.0","id":null,"error":{"code":1}}"#, "1"),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#, "1"),
        ] {
            assert_eq!(sort(message, asked), Ok(Sort::Answer), "{message}");
        }
        let note = r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#;
        assert_eq!(sort(note, "1"), Ok(Sort::Notification));
        let question = r#"{"jsonrpc":"2.0","id":"q","method":"elicitation/create"}"#;
        assert_eq!(sort(question, "1"), Ok(Sort::Question));
    }
}
