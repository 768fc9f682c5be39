//! The page of the login that asks for no proof. It is served by the demo on the loopback and says loudly what it is.

use http::StatusCode;
use maud::html;

use super::layout;
use crate::routes;
use crate::web::Reply;

/// What the page says.
#[derive(Clone, Debug, Default)]
pub struct Development<'a> {
    /// The state of this attempt.
    pub state: &'a str,
    /// Tiers that are offered.
    pub tiers: Vec<&'a str>,
}

/// The page.
pub fn development(page: &Development<'_>) -> Reply {
    let content = html! {
        h1 { "DEVELOPMENT LOGIN" }
        p.warn role="alert" { "This login asks for no proof: whoever can open it can be anybody. It is here to try the \
            gateway on this computer, and nowhere else." }
        form method="get" action=(routes::account::CALLBACK) {
            input type="hidden" name="state" value=(page.state);
            label for="user" { "User id" }
            input id="user" name="code" value="alice" required maxlength="64" pattern="[A-Za-z0-9_.@\\-]+" autocomplete="off";
            label for="tier" { "Tier" }
            input id="tier" name="tier" value=(page.tiers.first().copied().unwrap_or("free")) maxlength="64" autocomplete="off"
                list="tiers";
            datalist id="tiers" { @for tier in &page.tiers { option value=(tier) {} } }
            button type="submit" { "Sign in without proof" }
        }
    };
    layout::page(StatusCode::OK, "DEVELOPMENT LOGIN", &content, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_loudly_what_it_is() {
        let reply = development(&Development {
            state: "s\">",
            tiers: vec!["free", "premium"],
        });
        let body = std::str::from_utf8(&reply.body).unwrap();
        assert!(body.contains("<h1>DEVELOPMENT LOGIN</h1>"));
        assert!(body.contains("asks for no proof"));
        assert!(body.contains("value=\"s&quot;&gt;\""), "{body}");
    }
}
