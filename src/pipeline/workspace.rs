//! Stage 5, its last question: does a call that names a workspace name one of the caller's (R169, C28)? The server behind us
//! often holds one credential for all users, so it would serve anybody any workspace. Which arguments name one, the operator
//! says for each route; where none do, nothing is looked at.

use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::denial::{Answer, Denial};
use super::read::Errand;
use crate::auth::Principal;
use crate::mcp::fold::fold;
use crate::mcp::{Message, Operation, errors};
use crate::stage::Stage;
use crate::users::membership::Memberships;

/// The reason of a refusal, by which the audit line gets its event and action.
pub const FOREIGN: &str = "foreign_workspace";
/// What the audit line is called then (R170).
pub const FOREIGN_ACTION: &str = "unauthorized_workspace_access_attempt";
/// Our own code for a call that is not allowed, as policy uses it.
const REFUSED: i64 = 403;
/// Our own code for "cannot be decided at the moment".
const UNDECIDED: i64 = 503;
/// The most workspaces that one call may name.
const NAMED_MAX: usize = 64;

/// What names a workspace in the calls of one route.
#[derive(Clone, Debug)]
pub struct Workspaces {
    /// The arguments, in their folded spelling and their own.
    names: Vec<(String, String)>,
    members: Arc<Memberships>,
}

/// Why arguments cannot be judged.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Unclear {
    #[error("the workspace arguments cannot be read: {0}")]
    Unreadable(String),
    #[error("more than {NAMED_MAX} workspaces are named")]
    TooMany,
}

impl Workspaces {
    /// Arguments of these names, at whatever depth, name workspaces.
    pub fn new(arguments: &[String], members: Arc<Memberships>) -> Self {
        let spelt = |name: &String| (fold(name).into_owned(), name.clone());
        Self {
            names: arguments.iter().map(spelt).collect(),
            members,
        }
    }

    /// Refuses a call that names a workspace of somebody else.
    ///
    /// # Errors
    /// A JSON-RPC error, as for other calls that policy does not allow.
    pub async fn check(&self, principal: &Principal, errand: &Errand) -> Result<(), Denial> {
        let Errand::Send { message, .. } = errand else {
            return Ok(());
        };
        let (Operation::CallTool { arguments, .. } | Operation::GetPrompt { arguments, .. }) =
            message.operation()
        else {
            return Ok(());
        };
        let named = self.named(arguments.unwrap_or("{}"));
        let named = named.map_err(|unclear| foreign(message).because(unclear))?;
        for workspace in named {
            match self.members.is_member(principal, &workspace).await {
                Ok(true) => {}
                Ok(false) => {
                    let detail = format!("workspace `{workspace}` is not one of the user's");
                    return Err(foreign(message).because(detail));
                }
                Err(error) => return Err(undecided(message).because(error)),
            }
        }
        Ok(())
    }

    /// Every workspace that the arguments name.
    fn named(&self, arguments: &str) -> Result<Vec<String>, Unclear> {
        let mut found = Vec::new();
        let mut reader = serde_json::Deserializer::from_str(arguments);
        let walk = Walk {
            names: &self.names,
            found: &mut found,
            inside: false,
        };
        walk.deserialize(&mut reader)
            .and_then(|()| reader.end())
            .map_err(|error| Unclear::Unreadable(error.to_string()))?;
        if found.len() > NAMED_MAX {
            return Err(Unclear::TooMany);
        }
        Ok(found)
    }
}

fn foreign(message: &Message) -> Denial {
    let text = "This workspace is not one of yours";
    refused(message, FOREIGN, REFUSED, text)
}

fn undecided(message: &Message) -> Denial {
    let text = "It cannot be decided at the moment whether this workspace is one of yours";
    refused(message, "workspaces_unavailable", UNDECIDED, text)
}

fn refused(message: &Message, reason: &'static str, code: i64, text: &str) -> Denial {
    let body = errors::plain(message.id().into(), code, text);
    let mut denial = Denial::rpc(Stage::Policy, reason, StatusCode::OK, body);
    if message.id().is_none() {
        denial.answer = Answer::Status(StatusCode::ACCEPTED);
    }
    denial
}

/// Walks through arguments and gathers what stands under the names. It reads the text itself: a name that is there twice is
/// looked at twice, and one that only imitates a name is taken for it, since some reader behind us may.
struct Walk<'w> {
    names: &'w [(String, String)],
    found: &'w mut Vec<String>,
    /// Whether this is what a name stands for.
    inside: bool,
}

impl Walk<'_> {
    fn deeper(&mut self, inside: bool) -> Walk<'_> {
        Walk {
            names: self.names,
            found: self.found,
            inside,
        }
    }

    fn is_one(&self, name: &str) -> bool {
        // A reader written in C would stop at a NUL.
        let seen = fold(name.split('\0').next().unwrap_or(name));
        self.names
            .iter()
            .any(|(folded, own)| name == own || seen == folded.as_str())
    }

    fn note<E: Error>(self, workspace: impl fmt::Display) -> Result<(), E> {
        if self.inside {
            self.found.push(workspace.to_string());
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.inside {
            true => "the id of a workspace, or a list of them",
            false => "arguments",
        })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.note(text)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.note(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.note(number)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        // No workspace has such an id, and what a reader makes of it nobody knows.
        match self.inside {
            true => Err(E::custom("a fraction is no id")),
            false => Ok(()),
        }
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        match self.inside {
            true => Err(E::custom("a boolean is no id")),
            false => Ok(()),
        }
    }

    /// As if it had not been sent.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let inside = self.inside;
        while items.next_element_seed(self.deeper(inside))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        if self.inside {
            return Err(A::Error::custom("an object is no id"));
        }
        while let Some(name) = members.next_key::<String>()? {
            let inside = self.is_one(&name);
            members.next_value_seed(self.deeper(inside))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::Memory;

    fn workspaces() -> Workspaces {
        let store = Arc::new(Memory::new(Clock::system()));
        let members = Memberships::new(store, false, Clock::system());
        let names = ["team_id".to_owned(), "workspaceId".to_owned()];
        Workspaces::new(&names, Arc::new(members))
    }

    #[test]
    fn r169_every_spelling_and_place_of_a_workspace_is_found() {
        for (arguments, named) in [
            ("{}", &[][..]),
            (r#"{"team":"1","id":"2","list":[{"x":"3"}]}"#, &[]),
            (r#"{"team_id":null}"#, &[]),
            (r#"{"team_id":"1"}"#, &["1"]),
            (r#"{"team_id":9001}"#, &["9001"]),
            (r#"{"team_id":""}"#, &[""]),
            (r#"{"team_id":" 1"}"#, &[" 1"]),
            (r#"{"team_id":["1",2]}"#, &["1", "2"]),
            (r#"{"a":[{"b":{"team_id":"1"}}]}"#, &["1"]),
            (r#"{"team_id":"1","team_id":"2"}"#, &["1", "2"]),
            (r#"{"team\u005fid":"1"}"#, &["1"]),
            (r#"{"TEAM_ID":"1","workspaceid":"2"}"#, &["1", "2"]),
            ("{\"wor\u{212a}\u{17f}paceId\":\"1\"}", &["1"]),
            (r#"{"team_id\u0000x":"1"}"#, &["1"]),
        ] {
            let found = workspaces().named(arguments);
            assert_eq!(found.unwrap(), named, "{arguments}");
        }
    }

    #[test]
    fn what_could_be_read_in_another_way_is_refused() {
        for arguments in [
            r#"{"team_id":true}"#,
            r#"{"team_id":{"id":"1"}}"#,
            r#"{"team_id":[["1"],{}]}"#,
            r#"{"team_id":1.0}"#,
            r#"{"team_id":1e3}"#,
            r#"{"team_id":99999999999999999999999}"#,
            r#"{"team_id":"1""#,
            r#"{} {"team_id":"1"}"#,
            "",
        ] {
            let found = workspaces().named(arguments);
            assert!(matches!(found, Err(Unclear::Unreadable(_))), "{arguments}");
        }
        let many = format!(r#"{{"team_id":[{}1]}}"#, "1,".repeat(64));
        assert_eq!(workspaces().named(&many), Err(Unclear::TooMany));
    }
}
