//! The page that says what did not work, what to do about it, and under which id an operator finds the rest.

use http::StatusCode;
use maud::html;

use super::layout;
use super::text::{ADDRESS_MAX, shown};
use crate::web::Reply;

/// What the page says.
#[derive(Clone, Debug)]
pub struct ErrorPage<'a> {
    /// The status of the answer.
    pub status: StatusCode,
    /// What happened, in a few words.
    pub title: &'a str,
    /// What happened, in a sentence.
    pub message: &'a str,
    /// What to do.
    pub advice: &'a str,
    /// Where to begin again, on this gateway.
    pub retry: Option<&'a str>,
    /// The stable word for it.
    pub code: &'static str,
    /// The id of the request.
    pub request_id: &'a str,
}

/// The page; the code is the reason in the audit line.
pub fn error(page: &ErrorPage<'_>) -> Reply {
    let content = html! {
        h1 { (page.title) }
        p role="alert" { (shown(page.message, ADDRESS_MAX)) }
        p { (page.advice) }
        @if let Some(retry) = page.retry {
            a.act href=(retry) { "Start again" }
        }
        p.soft { "If you ask for help, say: " code { (page.code) } ", " code { (shown(page.request_id, ADDRESS_MAX)) } }
    };
    layout::page(page.status, page.title, &content, &[]).refused(page.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_to_do_and_how_it_is_found() {
        let reply = error(&ErrorPage {
            status: StatusCode::BAD_REQUEST,
            title: "This sign-in cannot go on",
            message: "it says <b>",
            advice: "Start again.",
            retry: Some("/auth/login"),
            code: "invalid_state",
            request_id: "req_1",
        });
        let body = std::str::from_utf8(&reply.body).unwrap();
        for wanted in [
            "<p role=\"alert\">it says &lt;b&gt;</p>",
            "<p>Start again.</p>",
            "href=\"/auth/login\"",
            "<code>invalid_state</code>, <code>req_1</code>",
        ] {
            assert!(body.contains(wanted), "{wanted} in {body}");
        }
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(reply.note.refused, Some("invalid_state"));
    }
}
