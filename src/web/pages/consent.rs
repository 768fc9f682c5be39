//! The page that asks whether a client may act for whoever is signed in. It says who asks and how far that is known, what is
//! asked for, and where the answer goes.

use http::StatusCode;
use maud::{Markup, html};

use super::layout;
use super::text::{ADDRESS_MAX, NAME_MAX, shown};
use crate::routes;
use crate::web::Reply;

/// What the page says.
#[derive(Clone, Debug, Default)]
pub struct Consent<'a> {
    /// What the client calls itself.
    pub client_name: &'a str,
    /// Its id.
    pub client_id: &'a str,
    /// The host whose document describes it, which is the one thing about a client that is proven.
    pub client_host: Option<&'a str>,
    /// What it asks for: scopes and what they mean.
    pub scopes: &'a [(&'a str, &'a str)],
    /// What it wants to reach.
    pub resource: &'a str,
    /// Where the answer goes.
    pub redirect_host: &'a str,
    /// Whether the answer goes to this computer, where any program may wait for it.
    pub loopback_only: bool,
    /// Who is signed in.
    pub user_label: &'a str,
    /// The request that waits.
    pub request: &'a str,
    /// What proves that the form came from this page.
    pub token: &'a str,
    /// Where the form may be redirected to: origins, or schemes with their colon.
    pub form_targets: &'a [String],
}

/// The page.
pub fn consent(page: &Consent<'_>) -> Reply {
    let name = shown(page.client_name, NAME_MAX);
    let content = html! {
        h1 { "Allow " bdi { (name) } " to act for you?" }
        (identity(page))
        h2 { "It asks for" }
        @if page.scopes.is_empty() {
            p { "Nothing beyond knowing that you are signed in." }
        } @else {
            ul {
                @for (scope, meaning) in page.scopes {
                    li { (shown(meaning, NAME_MAX)) " " code.soft { (shown(scope, NAME_MAX)) } }
                }
            }
        }
        (form(page))
        p.soft { "Allow only if you have just started this yourself. You can take it back at any time by signing out." }
    };
    let targets: Vec<&str> = page.form_targets.iter().map(String::as_str).collect();
    layout::page(StatusCode::OK, "Allow access?", &content, &targets)
}

fn identity(page: &Consent<'_>) -> Markup {
    html! {
        dl {
            dt { "Client" }
            dd {
                @match page.client_host {
                    Some(host) => { "described by " strong { (shown(host, ADDRESS_MAX)) } }
                    None => { "unverified name: anybody can call a client this" }
                }
                br; code.soft { (shown(page.client_id, ADDRESS_MAX)) }
            }
            dt { "Wants to reach" }
            dd { code { (shown(page.resource, ADDRESS_MAX)) } }
            dt { "The answer goes to" }
            dd { strong { (shown(page.redirect_host, ADDRESS_MAX)) } }
            dt { "You are signed in as" }
            dd { strong { bdi { (shown(page.user_label, NAME_MAX)) } } }
        }
        @if page.loopback_only {
            p.warn { "The answer goes to a program on this computer. Any program here can claim to be this client: go on \
                only if you have just started it." }
        }
    }
}

fn form(page: &Consent<'_>) -> Markup {
    html! {
        form method="post" action=(routes::oauth::CONSENT) {
            input type="hidden" name="request" value=(page.request);
            input type="hidden" name="token" value=(page.token);
            button type="submit" name="decision" value="allow" { "Allow" }
            button.other type="submit" name="decision" value="deny" { "Do not allow" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Consent<'static> {
        Consent {
            client_name: "Claude\u{202e}<b>",
            client_id: "mcp_client_1",
            scopes: &[("mcp:read", "Read <everything>")],
            resource: "https://gw.test/mcp",
            redirect_host: "127.0.0.1",
            user_label: "john_doe",
            request: "r1",
            token: "t\"1",
            ..Consent::default()
        }
    }

    fn body(page: &Consent<'_>) -> String {
        String::from_utf8(consent(page).body.to_vec()).unwrap()
    }

    #[test]
    fn a_client_that_nobody_vouches_for_is_called_unverified() {
        let text = body(&page());
        assert!(text.contains("unverified name"), "{text}");
        assert!(!text.contains("described by"));
        let host = Consent {
            client_host: Some("claude.ai"),
            ..page()
        };
        let text = body(&host);
        assert!(text.contains("described by <strong>claude.ai</strong>"));
        assert!(!text.contains("unverified"));
    }

    #[test]
    fn a_client_on_this_computer_is_warned_about() {
        assert!(!body(&page()).contains("Any program here"));
        let local = Consent {
            loopback_only: true,
            ..page()
        };
        assert!(body(&local).contains("Any program here can claim to be this client"));
    }

    #[test]
    fn text_of_others_never_becomes_markup() {
        let text = body(&page());
        for wanted in [
            "<h1>Allow <bdi>Claude[U+202E]&lt;b&gt;</bdi> to act for you?</h1>",
            "<li>Read &lt;everything&gt; <code class=\"soft\">mcp:read</code></li>",
            "value=\"t&quot;1\"",
            "<code>https://gw.test/mcp</code>",
            "<strong>127.0.0.1</strong>",
            "<bdi>john_doe</bdi>",
            "<form method=\"post\" action=\"/oauth/consent\">",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }

    #[test]
    fn the_form_may_be_redirected_to_the_client_and_nowhere_else() {
        let targets = ["http://127.0.0.1:33418".to_owned(), "*".to_owned()];
        let page = Consent {
            form_targets: &targets,
            ..page()
        };
        let reply = consent(&page);
        let policy = reply.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.ends_with("form-action 'self' http://127.0.0.1:33418"));
    }
}
