//! The few pages that a person sees: whom to sign in with, what a client may do, that it worked, that it did not. They work
//! without scripts, say what they are about in words, and hold nothing that a page of another site could use.
//!
//! **Protects** against text of clients and providers that becomes markup or imitates ours, against framing, and against
//! forms that are sent elsewhere.
//! **Assumes** that whoever shows a page has decided that it may be shown.
//! **Hands on** a [`super::Reply`] with a policy under which no script can run.
//! **Refuses** nothing: what cannot be shown is made visible as such.

mod chooser;
mod consent;
mod development;
mod error;
mod layout;
mod signed_in;
mod text;

use http::header::ACCEPT;

use super::Visit;

pub use chooser::{Choice, Chooser, chooser};
pub use consent::{Consent, consent};
pub use development::{Development, development};
pub use error::{ErrorPage, Onward, error};
pub use signed_in::{SignedIn, signed_in};

/// Whether the caller is a browser that wants a page, rather than a program that wants JSON.
pub fn wanted(visit: &Visit) -> bool {
    let mut lines = visit.headers.get_all(ACCEPT).iter();
    lines.any(|line| {
        line.to_str()
            .is_ok_and(|line| line.to_ascii_lowercase().contains("text/html"))
    })
}
