//! The page that asks whom to sign in with.

use http::StatusCode;
use maud::html;

use super::layout;
use super::text::{NAME_MAX, shown};
use crate::web::Reply;

/// What the page says.
#[derive(Clone, Debug, Default)]
pub struct Chooser<'a> {
    /// The client that waits, if one does.
    pub client: Option<&'a str>,
    /// The ways to sign in, in the operator's order.
    pub choices: Vec<Choice<'a>>,
}

/// One way to sign in.
#[derive(Clone, Debug)]
pub struct Choice<'a> {
    /// Where it begins, on this gateway.
    pub href: String,
    /// What it is called.
    pub label: &'a str,
}

/// The page.
pub fn chooser(page: &Chooser<'_>) -> Reply {
    let content = html! {
        h1 { "Sign in" }
        @if let Some(client) = page.client {
            p { bdi { (shown(client, NAME_MAX)) } " wants to connect. First sign in with:" }
        } @else {
            p { "Sign in with:" }
        }
        nav aria-label="Ways to sign in" {
            @for choice in &page.choices {
                a.act href=(choice.href) { (shown(choice.label, NAME_MAX)) }
            }
        }
    };
    layout::page(StatusCode::OK, "Sign in", &content, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_never_becomes_markup() {
        let reply = chooser(&Chooser {
            client: Some("<script>alert(1)</script>\u{202e}"),
            choices: vec![Choice {
                href: "/oauth/login?request=\"><img>&provider=a".into(),
                label: "A & <b>",
            }],
        });
        let body = std::str::from_utf8(&reply.body).unwrap();
        for wanted in [
            "<bdi>&lt;script&gt;alert(1)&lt;/script&gt;[U+202E]</bdi>",
            "href=\"/oauth/login?request=&quot;&gt;&lt;img&gt;&amp;provider=a\"",
            ">A &amp; &lt;b&gt;</a>",
        ] {
            assert!(body.contains(wanted), "{wanted} in {body}");
        }
    }
}
