//! The page that says that signing in worked, and holds the session's token for those who need to carry it by hand.

use http::StatusCode;
use maud::html;

use super::layout;
use super::text::{NAME_MAX, shown};
use crate::web::Reply;

/// What the page says.
#[derive(Clone, Debug, Default)]
pub struct SignedIn<'a> {
    /// Who is signed in.
    pub user_label: &'a str,
    /// Their workspace.
    pub team: Option<&'a str>,
    /// The session's token.
    pub token: Option<&'a str>,
    /// How long it is good for, in hours.
    pub hours: u64,
}

/// The page.
pub fn signed_in(page: &SignedIn<'_>) -> Reply {
    let content = html! {
        h1 { "You are signed in" }
        p {
            "You are " strong { bdi { (shown(page.user_label, NAME_MAX)) } }
            @if let Some(team) = page.team { ", workspace " bdi { (shown(team, NAME_MAX)) } }
            "."
        }
        @if let Some(token) = page.token {
            details {
                summary { "Show the token for a script" }
                label for="token" { "Whoever holds it can act for you for " (page.hours) " hours:" }
                textarea id="token" rows="6" readonly spellcheck="false" { (token) }
            }
        }
        p.soft { "You can close this window." }
    };
    layout::page(StatusCode::OK, "Signed in", &content, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_never_becomes_markup() {
        let reply = signed_in(&SignedIn {
            user_label: "<i>\u{2067}",
            team: Some("A&B"),
            token: Some("canary-not-a-real-token"),
            hours: 24,
        });
        let body = std::str::from_utf8(&reply.body).unwrap();
        assert!(body.contains("<bdi>&lt;i&gt;[U+2067]</bdi>"), "{body}");
        assert!(body.contains("<bdi>A&amp;B</bdi>") && body.contains("for=\"token\""));
    }
}
