//! The operators' listener: probes and metrics in plain HTTP on an address of its own (by default the loopback), so that
//! none of it can be reached through the public door. It answers four paths and nothing else, and says nothing secret.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::listener::wire::{Guard, Rules};

/// Probes and one or two scrapers; whoever comes beyond that waits.
const MAX_CONNECTIONS: usize = 32;

/// A connection ends after this time, whatever it does.
const MAX_CONNECTION_TIME: Duration = Duration::from_secs(60);

/// The head of a request must be complete within this time.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// The largest head of a request.
const MAX_HEAD: usize = 16 * 1024;

/// How the octets of a connection are guarded, as they are at the public door.
const RULES: Rules = Rules {
    head_bytes: MAX_HEAD,
    field_count: 100,
    is_encrypted: false,
};

/// Where the operators' listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The address; the loopback unless somebody chose otherwise.
    pub address: SocketAddr,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 9464).into(),
        }
    }
}

type Probe = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Things of one kind, by name, and how they stand.
struct Listing {
    kind: &'static str,
    /// How they usually stand.
    usual: &'static str,
    states: Box<dyn Fn() -> Vec<(String, &'static str)> + Send + Sync>,
}

/// The named conditions under which the gateway can take requests, and what else is worth listing beside them.
#[derive(Default)]
pub struct Readiness {
    conditions: Vec<(&'static str, Probe)>,
    listings: Vec<Listing>,
    notes: Vec<(&'static str, Probe)>,
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.conditions.iter().map(|(name, _)| name))
            .finish()
    }
}

impl Readiness {
    /// Without conditions: always ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more condition, asked at each probe. The reason that it gives is shown to operators, so it holds no secret.
    #[must_use]
    pub fn when(
        mut self,
        name: &'static str,
        probe: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.conditions.push((name, Box::new(probe)));
        self
    }

    /// Things of one kind that are listed by name, whether the gateway is ready or not: each in `/health`, and in `/readyz`
    /// those that do not stand as usual.
    #[must_use]
    pub fn listing(
        mut self,
        kind: &'static str,
        usual: &'static str,
        states: impl Fn() -> Vec<(String, &'static str)> + Send + Sync + 'static,
    ) -> Self {
        self.listings.push(Listing {
            kind,
            usual,
            states: Box::new(states),
        });
        self
    }

    /// Something that is not as it should be, but no reason to send requests elsewhere.
    #[must_use]
    pub fn noting(
        mut self,
        name: &'static str,
        probe: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.notes.push((name, Box::new(probe)));
        self
    }

    /// What is to be noted now.
    pub fn notes(&self) -> Vec<(&'static str, String)> {
        self.notes
            .iter()
            .filter_map(|(name, probe)| probe().err().map(|note| (*name, note)))
            .collect()
    }

    /// One more condition that is told, not asked. It does not hold until it is told so.
    pub fn flag(&mut self, name: &'static str) -> Flag {
        let flag = Flag(Arc::new(AtomicBool::new(false)));
        let probed = flag.clone();
        self.conditions.push((
            name,
            Box::new(move || match probed.0.load(Ordering::Acquire) {
                true => Ok(()),
                false => Err("not yet".to_owned()),
            }),
        ));
        flag
    }

    /// The conditions that do not hold, with their reasons.
    pub fn missing(&self) -> Vec<(&'static str, String)> {
        self.conditions
            .iter()
            .filter_map(|(name, probe)| probe().err().map(|reason| (*name, reason)))
            .collect()
    }
}

/// A condition that is told.
#[derive(Clone, Debug)]
pub struct Flag(Arc<AtomicBool>);

impl Flag {
    /// It holds, or it no longer does.
    pub fn set(&self, holds: bool) {
        self.0.store(holds, Ordering::Release);
    }
}

/// What the listener answers with.
pub struct Ops {
    readiness: Readiness,
    metrics: Box<dyn Fn() -> String + Send + Sync>,
}

impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ops")
            .field("readiness", &self.readiness)
            .finish_non_exhaustive()
    }
}

impl Ops {
    /// With the conditions of readiness and something that renders the metrics.
    pub fn new(
        readiness: Readiness,
        metrics: impl Fn() -> String + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            readiness,
            metrics: Box::new(metrics),
        })
    }

    /// Answers one request; its body is never read.
    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let respond: fn(&Self) -> Response<Full<Bytes>> = match path {
            "/healthz" => |_| reply(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".into()),
            "/readyz" => Self::ready,
            "/health" => Self::health,
            "/metrics" => Self::scrape,
            _ => {
                return reply(
                    StatusCode::NOT_FOUND,
                    "text/plain; charset=utf-8",
                    "no such page\n".into(),
                );
            }
        };
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut refusal = reply(
                StatusCode::METHOD_NOT_ALLOWED,
                "text/plain; charset=utf-8",
                "only GET and HEAD\n".into(),
            );
            let allowed = http::HeaderValue::from_static("GET, HEAD");
            refusal.headers_mut().insert(ALLOW, allowed);
            return refusal;
        }
        respond(self)
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        let missing = self.readiness.missing();
        let names: Vec<_> = missing.iter().map(|(name, _)| *name).collect();
        let mut body = match names.is_empty() {
            true => "ready\n".to_owned(),
            false => format!("not ready: {}\n", names.join(", ")),
        };
        for listing in &self.readiness.listings {
            for (name, state) in (listing.states)() {
                if state != listing.usual {
                    body.push_str(&format!("{} {name}: {state}\n", listing.kind));
                }
            }
        }
        for (name, note) in self.readiness.notes() {
            body.push_str(&format!("{name}: {note}\n"));
        }
        reply(status(names.is_empty()), "text/plain; charset=utf-8", body)
    }

    fn health(&self) -> Response<Full<Bytes>> {
        let missing = self.readiness.missing();
        let condition = |(name, _): &(&'static str, Probe)| {
            let reason = missing.iter().find(|(failed, _)| failed == name);
            let state = reason.map_or("ok", |(_, reason)| reason.as_str());
            ((*name).to_owned(), Value::from(state))
        };
        let conditions: Map<_, _> = self.readiness.conditions.iter().map(condition).collect();
        let is_ready = missing.is_empty();
        let mut body = json!({
            "status": if is_ready { "ok" } else { "unavailable" },
            "version": env!("CARGO_PKG_VERSION"),
            "conditions": conditions,
        });
        for listing in &self.readiness.listings {
            let states = (listing.states)().into_iter();
            let states: Map<_, _> = states.map(|(name, state)| (name, state.into())).collect();
            if let Some(members) = body.as_object_mut() {
                members.insert(listing.kind.to_owned(), states.into());
            }
        }
        let note = |(name, note): (&str, String)| (name.to_owned(), Value::from(note));
        let notes: Map<_, _> = self.readiness.notes().into_iter().map(note).collect();
        if let (false, Some(members)) = (notes.is_empty(), body.as_object_mut()) {
            members.insert("notes".to_owned(), notes.into());
        }
        reply(status(is_ready), "application/json", format!("{body}\n"))
    }

    fn scrape(&self) -> Response<Full<Bytes>> {
        const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
        reply(StatusCode::OK, FORMAT, (self.metrics)())
    }
}

const fn status(is_ready: bool) -> StatusCode {
    match is_ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn reply(status: StatusCode, format: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(format));
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

/// Answers on a bound listener until `shutdown` is done. Open connections may then finish their one answer.
pub async fn serve(listener: TcpListener, ops: Arc<Ops>, shutdown: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => return,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                tokio::spawn(converse(stream, Arc::clone(&ops), place));
            }
            Err(error) => {
                tracing::warn!(%error, "the operators' listener cannot accept");
                // Without descriptors it would fail again at once.
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn converse(stream: TcpStream, ops: Arc<Ops>, place: OwnedSemaphorePermit) {
    let on_loopback = stream
        .local_addr()
        .is_ok_and(|address| address.ip().is_loopback());
    let (stream, findings) = Guard::new(stream, RULES);
    let service = service_fn(move |request: Request<Incoming>| {
        let is_foreign = on_loopback && !names_this_machine(request.headers());
        let response = match (findings.of(&request), is_foreign) {
            (Some(fault), _) => reply(
                fault.status(),
                "text/plain; charset=utf-8",
                format!("no request: {fault}\n"),
            ),
            (None, true) => reply(
                StatusCode::MISDIRECTED_REQUEST,
                "text/plain; charset=utf-8",
                "ask by address or as localhost\n".into(),
            ),
            (None, false) => ops.answer(request.method(), request.uri().path()),
        };
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    // A prober that breaks off is no event worth a line.
    let _ = timeout(MAX_CONNECTION_TIME, connection).await;
    drop(place);
}

/// Whether a request was meant for this machine: by address, or as `localhost`. A web page that had its own name point here
/// (DNS rebinding) would be let in by the browser, and is not by us.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let name = host.parse::<Authority>().ok();
    let name = name.as_ref().map_or("", |authority| authority.host());
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests;
