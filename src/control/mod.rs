//! The operator's way into a running gateway: a socket in the state folder, on which the same verbs are spoken as on the command
//! line, HTTP with JSON. There is no such way over the network.
//!
//! **Protects** what operators may do from everybody who is not the user that the gateway runs as.
//! **Assumes** that the kernel says truly who is at the other end, and that the state folder is nobody else's to write to.
//! **Hands on** orders to the verbs of other parts, and their answers back.
//! **Refuses** other users, what is too large or too slow, and every order that the audit trail cannot record.
//!
//! | order | what it does |
//! | --- | --- |
//! | `GET /users`, `GET /users/{id}` | who is known, and what they hold |
//! | `POST /users/{id}/disable`, `/enable`, `/logout`, `/erase` | ends what they hold; until when, says the verb |
//! | `POST /sessions/{id}/revoke`, `/clients/{id}/revoke`, `/tokens/{jti}/revoke` | ends one of these |
//! | `GET /vault/status`, `POST /vault/import` | what is sealed under which key; secrets from another store |
//! | `POST /vault/rotate`, `GET /vault/rotation` | begins to seal everything anew; waits for it, and says how far it is |
//! | `POST /reload` | reads the configuration again and puts it in force, or says what is wrong with it |
//! | `GET /store/status`, `POST /store/backup` | what is kept where, and a copy of it in a file |

mod ask;
mod people;
mod records;
mod secrets;
mod socket;
#[cfg(test)]
mod tests;
mod verbs;

pub use ask::{Answer, AskError, ask, escaped, is_served};
pub use people::{People, verbs};
pub use records::{also_restore, refill, save, status_of};
pub use socket::{Control, ControlError};
pub use verbs::{Acting, Call, Outcome, Refusal, Verb, Verbs};

/// The name of the socket in the state folder.
pub const SOCKET: &str = "control.sock";
