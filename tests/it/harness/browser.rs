//! A browser without a screen: it keeps cookies, follows redirections, and fills in the forms of our pages. Where a
//! redirection leaves the gateway and the login provider, it stops and says where it was sent.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use url::Url;

use super::client::{Client, Reply};

/// The most redirections in a row.
const HOPS: usize = 10;

/// What a walk ended at.
pub(crate) enum Arrived {
    /// A page or another answer, at this address.
    At(Url, Reply),
    /// The address that a redirection outside led to.
    Left(Url),
}

impl Arrived {
    /// The answer, which it has to be.
    pub(crate) fn page(self) -> Reply {
        match self {
            Self::At(_, reply) => reply,
            Self::Left(url) => panic!("left for {url}"),
        }
    }

    /// The address outside, which it has to be.
    pub(crate) fn outside(self) -> Url {
        match self {
            Self::Left(url) => url,
            Self::At(url, reply) => panic!("stayed at {url}: {} {}", reply.status, reply.text()),
        }
    }
}

/// A browser with its own cookies.
#[derive(Clone)]
pub(crate) struct Browser {
    client: Client,
    /// By host and name.
    cookies: BTreeMap<(String, String), String>,
    /// Hosts (with ports) whose pages it opens; it stops at all others.
    inside: Vec<String>,
    /// What `Sec-Fetch-Site` says; none for browsers that do not say it.
    pub(crate) site: Option<&'static str>,
    /// What it takes; pages, unless it is a program.
    pub(crate) accept: &'static str,
}

impl Browser {
    /// A browser that opens pages of these origins only.
    pub(crate) fn new(client: Client, origins: &[&str]) -> Self {
        let inside = origins
            .iter()
            .map(|origin| authority(&Url::parse(origin).unwrap()))
            .collect();
        Self {
            client,
            cookies: BTreeMap::new(),
            inside,
            site: Some("none"),
            accept: "text/html,application/xhtml+xml,*/*;q=0.8",
        }
    }

    /// Opens an address and follows where it leads.
    pub(crate) async fn open(&mut self, url: &str) -> Arrived {
        let mut url = Url::parse(url).unwrap();
        for _ in 0..HOPS {
            if !self.inside.contains(&authority(&url)) {
                return Arrived::Left(url);
            }
            let reply = self.ask(&url, None).await;
            match next(&url, &reply) {
                Some(to) => url = to,
                None => return Arrived::At(url, reply),
            }
        }
        panic!("more than {HOPS} redirections, the last to {url}");
    }

    /// Sends a form, and follows where the answer leads.
    pub(crate) async fn submit(&mut self, url: &str, fields: &[(&str, &str)]) -> Arrived {
        let url = Url::parse(url).unwrap();
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        let reply = self.ask(&url, Some(body.finish())).await;
        match next(&url, &reply) {
            Some(to) => Box::pin(self.open(to.as_str())).await,
            None => Arrived::At(url, reply),
        }
    }

    /// Sends the one form of a page by the button of this value.
    pub(crate) async fn press(&mut self, at: &Url, page: &Reply, button: &str) -> Arrived {
        let form = Form::read(page.text());
        let action = at.join(&form.action).unwrap();
        let mut fields: Vec<(&str, &str)> = form
            .hidden
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let name = form
            .buttons
            .iter()
            .find(|(_, value)| value == button)
            .unwrap_or_else(|| panic!("no button {button} in {}", page.text()));
        fields.push((&name.0, button));
        self.submit(action.as_str(), &fields).await
    }

    /// A cookie that it keeps.
    pub(crate) fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.cookies
            .iter()
            .map(|((_, name), value)| (name.as_str(), value.as_str()))
    }

    /// Takes over another browser's cookies, as if it were the same.
    pub(crate) fn take_cookies(&mut self, other: &Self) {
        self.cookies.clone_from(&other.cookies);
    }

    /// Forgets all cookies, as another browser would have none.
    pub(crate) fn forget(&mut self) {
        self.cookies.clear();
    }

    async fn ask(&mut self, url: &Url, form: Option<String>) -> Reply {
        let host = authority(url);
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .filter(|((known, _), _)| *known == host)
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        let mut request = Request::builder()
            .uri(url.as_str())
            .method(if form.is_some() { "POST" } else { "GET" })
            .header("accept", self.accept);
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        if let Some(site) = self.site {
            let site = if form.is_some() { "same-origin" } else { site };
            request = request.header("sec-fetch-site", site);
        }
        if form.is_some() {
            request = request
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header(ORIGIN, url.origin().ascii_serialization());
        }
        let body = Full::new(Bytes::from(form.unwrap_or_default()));
        let reply = self.client.send(request.body(body).unwrap()).await;
        for cookie in reply.headers.get_all(SET_COOKIE) {
            self.keep(&host, cookie.to_str().unwrap());
        }
        reply
    }

    fn keep(&mut self, host: &str, cookie: &str) {
        let mut parts = cookie.split(';').map(str::trim);
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let key = (host.to_owned(), name.to_owned());
        if parts.any(|part| part.eq_ignore_ascii_case("max-age=0")) {
            self.cookies.remove(&key);
        } else {
            self.cookies.insert(key, value.to_owned());
        }
    }
}

fn authority(url: &Url) -> String {
    match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    }
}

fn next(at: &Url, reply: &Reply) -> Option<Url> {
    let to = reply.headers.get(LOCATION)?.to_str().unwrap();
    reply.status.is_redirection().then(|| at.join(to).unwrap())
}

/// The first form of a page.
#[derive(Debug, Default)]
pub(crate) struct Form {
    /// Where it goes.
    pub(crate) action: String,
    /// Its hidden fields.
    pub(crate) hidden: Vec<(String, String)>,
    /// Its buttons: name and value.
    pub(crate) buttons: Vec<(String, String)>,
}

impl Form {
    /// Reads our own markup, which is regular: no scripts, double quotes, escaped values.
    pub(crate) fn read(page: &str) -> Self {
        let mut form = Self::default();
        let from = page
            .find("<form")
            .unwrap_or_else(|| panic!("no form in {page}"));
        let end = page[from..]
            .find("</form")
            .map_or(page.len(), |at| from + at);
        for tag in page[from..end].split('<').skip(1) {
            let Some((tag, _)) = tag.split_once('>') else {
                continue;
            };
            let value = |name| attribute(tag, name).unwrap_or_default();
            match tag.split_whitespace().next() {
                Some("form") => form.action = value("action"),
                Some("input") if value("type") == "hidden" => {
                    form.hidden.push((value("name"), value("value")));
                }
                Some("button") => form.buttons.push((value("name"), value("value"))),
                _ => {}
            }
        }
        form
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    let rest = &tag[start..];
    let value = &rest[..rest.find('"')?];
    Some(
        value
            .replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&"),
    )
}
