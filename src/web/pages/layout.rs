//! What all pages have in common: the frame, the one style sheet, and the policy that names its hash.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::X_FRAME_OPTIONS;
use http::{HeaderValue, StatusCode};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::web::Reply;

/// The only style sheet. Its contrast is that of WCAG 2.2 AA in both colour schemes.
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1d23;--soft:#50545e;--paper:#f4f5f7;--card:#fff;--line:#8b909c;--act:#0b57b7;--on:#fff;--warn:#8a2b06}\
@media(prefers-color-scheme:dark){:root{--ink:#eceef2;--soft:#b4b9c4;--paper:#14161a;--card:#1e2127;--line:#7a808d;--act:#8ab8ff;--on:#0c1420;--warn:#ffb59a}}\
*{box-sizing:border-box}\
body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}\
main{max-width:34rem;margin:6vh auto;padding:1.5rem;background:var(--card);border:1px solid var(--line);border-radius:.5rem;overflow-wrap:anywhere}\
h1{font-size:1.375rem;line-height:1.3;margin:0 0 1rem}\
h2{font-size:1rem;margin:1.25rem 0 .25rem}\
p,ul,dl{margin:.5rem 0}ul{padding-left:1.25rem}\
dt{color:var(--soft)}dd{margin:0 0 .5rem}\
code,textarea{font:.9375rem/1.4 ui-monospace,monospace}\
.warn{border-left:.25rem solid var(--warn);padding-left:.75rem;color:var(--warn);font-weight:600}\
.soft{color:var(--soft);font-size:.875rem}\
label{display:block;margin:.75rem 0 .25rem}\
input,textarea{width:100%;padding:.5rem;color:inherit;background:var(--card);border:1px solid var(--line);border-radius:.25rem;font-size:1rem}\
button,.act{display:block;width:100%;margin:.75rem 0 0;padding:.625rem 1rem;font:inherit;font-weight:600;text-align:center;text-decoration:none;border:1px solid var(--act);border-radius:.25rem;background:var(--act);color:var(--on);cursor:pointer}\
button.other{background:var(--card);color:var(--act)}\
a{color:var(--act)}a.act{color:var(--on)}\
:focus-visible{outline:.1875rem solid var(--act);outline-offset:.125rem}";

static STYLE_HASH: LazyLock<String> =
    LazyLock::new(|| STANDARD.encode(Sha256::digest(STYLE.as_bytes())));

/// A whole page. Its forms may be sent to us, and redirected by us to `targets`.
pub(super) fn page(status: StatusCode, title: &str, content: &Markup, targets: &[&str]) -> Reply {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) " · Sallygate" }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (content) } }
        }
    };
    Reply::page(status, document.into_string(), &policy(targets))
        .with(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"))
}

fn policy(targets: &[&str]) -> String {
    let mut policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
        *STYLE_HASH
    );
    for target in targets.iter().filter_map(|target| source(target)) {
        policy.push(' ');
        policy.push_str(target);
    }
    policy
}

/// The target as a policy can name it. Policies know no literal addresses of version 6 (CSP3 section 2.3.1); of those the
/// scheme alone is named, which is no loss where the only form is ours and goes to us.
fn source<'a>(target: &&'a str) -> Option<&'a str> {
    if let Some(literal) = target.strip_prefix("http://[") {
        let fits = |b: u8| b.is_ascii_hexdigit() || matches!(b, b':' | b']' | b'*');
        return literal.bytes().all(fits).then_some("http:");
    }
    Some(*target).filter(|target| is_source(target))
}

/// An origin or a scheme, as a policy may name it: nothing that ends the directive or widens it. The port of a loopback
/// address may be any.
fn is_source(text: &str) -> bool {
    let named = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
    };
    match text.split_once("://") {
        None => text.strip_suffix(':').is_some_and(|scheme| {
            let first = scheme.bytes().next();
            first.is_some_and(|b| b.is_ascii_alphabetic())
                && scheme
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+'))
        }),
        Some((scheme, rest)) => {
            let (host, port) = match rest.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            };
            matches!(scheme, "https" | "http")
                && named(host)
                && port.is_none_or(|port| port == "*" || port.parse::<u16>().is_ok())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_names_only_places_that_cannot_widen_it() {
        let targets = [
            "https://good.test",
            "http://127.0.0.1:8080",
            "http://[::1]:*",
            "http://[::1]:1; script-src *",
            "cursor:",
            "*",
            "https:; script-src *",
            "https://evil.test;",
            "https://*",
            "https://a.test/ b",
            "javascript",
            "'unsafe-inline'",
            "http://a.test:99999",
            "://",
            ":",
            "",
        ];
        let policy = policy(&targets);
        assert!(
            policy.ends_with(
                "form-action 'self' https://good.test http://127.0.0.1:8080 http: cursor:"
            )
        );
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
        assert!(!policy.contains("script") && !policy.contains("unsafe"));
    }

    #[test]
    fn every_page_has_a_language_and_no_script_and_cannot_be_framed() {
        let reply = page(StatusCode::OK, "T", &html! { h1 { "T" } }, &[]);
        let body = std::str::from_utf8(&reply.body).unwrap();
        assert!(
            body.starts_with("<!DOCTYPE html><html lang=\"en\">"),
            "{body}"
        );
        assert!(!body.contains("<script") && !body.contains("style="));
        let policy = reply.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"));
        assert_eq!(reply.headers["x-frame-options"], "DENY");
        // The hash is that of the text between the tags, or the browser would show no style at all.
        let style = body
            .split("<style>")
            .nth(1)
            .unwrap()
            .split("</style>")
            .next()
            .unwrap();
        let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
        assert!(policy.contains(&format!("'sha256-{hash}'")));
    }
}
