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
    /// Where the answer would have gone.
    pub onward: Option<Onward<'a>>,
    /// The stable word for it.
    pub code: &'static str,
    /// The id of the request.
    pub request_id: &'a str,
}

/// A place outside, for which nobody here vouches: people go there by themselves, or not at all.
#[derive(Clone, Copy, Debug)]
pub struct Onward<'a> {
    /// Its host.
    pub host: &'a str,
    /// Its address, with the answer.
    pub href: &'a str,
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
        @if let Some(Onward { host, href }) = page.onward {
            p.warn { "Whoever sent you here wants the answer at " strong { (shown(host, ADDRESS_MAX)) } ". Nobody here knows \
                that place: go there only if you came from it." }
            a.act href=(href) rel="noreferrer" { "Go to " (shown(host, ADDRESS_MAX)) }
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
            onward: Some(Onward {
                host: "client.test",
                href: "https://client.test/cb?a=1&b=\"<",
            }),
            code: "invalid_state",
            request_id: "req_1",
        });
        let body = std::str::from_utf8(&reply.body).unwrap();
        for wanted in [
            "<p role=\"alert\">it says &lt;b&gt;</p>",
            "<p>Start again.</p>",
            "href=\"/auth/login\"",
            "href=\"https://client.test/cb?a=1&amp;b=&quot;&lt;\"",
            "<strong>client.test</strong>",
            "<code>invalid_state</code>, <code>req_1</code>",
        ] {
            assert!(body.contains(wanted), "{wanted} in {body}");
        }
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(reply.note.refused, Some("invalid_state"));
    }
}
