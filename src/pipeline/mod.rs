//! The order in which every request is checked. It is the product, so it stands in one place: `Pipeline::pass` has one
//! line a stage, and each line needs the value that the line before yielded.
//!
//! Two subtleties. The body is read only after token and quota were checked, or strangers could make us buffer; the limits
//! stage arms the limits under which that happens. And the quota is charged twice: once per user before the read, and once per
//! action when policy has allowed it, because only the body says what the action is, and a weight charged for a hidden tool
//! would tell that it exists.

pub mod body;
pub mod denial;
pub mod exchange;
pub mod front;
pub mod gates;
pub mod lens;
mod memo;
pub mod permit;
pub mod read;
pub mod reply;
pub mod respond;
pub mod route;
pub mod screen;
pub mod stream;
pub mod tally;
pub mod tasks;
pub mod trail;
pub mod workspace;

use std::sync::Arc;

use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::audit::details::Summary;
use crate::audit::{Refused, Sink};
use crate::auth::Verifier;
use crate::clock::Clock;
use crate::limits::failures::Failures;
use crate::limits::{self, cors, forwarded};
use crate::listener::wire::Fault;
use crate::listener::{Peer, Place, Serve};
use crate::mcp;
use crate::quota::Quotas;
use crate::quota::shared::Shared;
use crate::routes::{self, Door};
use crate::session::SessionSeal;
use crate::stage::Stage;
use crate::telemetry::Metrics;
pub use body::ReplyBody;
use denial::Denial;
use front::Site;
use gates::Envelope;
pub use route::{Answers, Route, RouteParts};
pub use stream::Pace;
use trail::{End, Trail};

/// Everything that the stages decide by. One value serves all connections; nothing in it is locked on the way of a request.
pub struct Pipeline {
    /// The protected endpoints.
    pub routes: Vec<Arc<Route>>,
    /// What bounds a request.
    pub limits: limits::Settings,
    /// How often credentials may be bad.
    pub failures: Failures,
    /// Who may call.
    pub verifier: Arc<Verifier>,
    /// How often.
    pub quotas: Quotas,
    /// The gateway's own endpoints, where users sign in.
    pub site: Option<Site>,
    /// How often over all gateways, where there are several.
    pub fleet: Option<Shared>,
    /// The key of legacy sessions.
    pub sessions: SessionSeal,
    /// Where the trail is kept.
    pub audit: Sink,
    /// What of a call's arguments the trail keeps.
    pub summary: Summary,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
    /// How much of a message is looked at.
    pub messages: mcp::Limits,
    /// How streams are kept alive and ended.
    pub pace: Pace,
}

impl Pipeline {
    /// The order. Every `?` is a door that closed: what comes after it has not happened.
    async fn pass(
        &self,
        head: &Parts,
        body: &mut Incoming,
        (peer, place): (&Peer, &Place),
        envelope: &mut Envelope,
        trail: &mut Trail,
    ) -> Result<Response<ReplyBody>, Denial> {
        let armed = limits::arm(head, peer.encrypted, &self.limits)?;
        trail.passed(Stage::Limits);
        envelope.origin = gates::reader(&armed, head).cloned();
        if let (Some(origin), true) = (&envelope.origin, cors::is_preflight(head)) {
            return Ok(gates::preflight(head, origin));
        }
        let door = routes::door(&self.routes, head.uri.path(), |route| route.path());
        let route = match door.ok_or_else(gates::no_such_path)? {
            Door::Mcp(route) => route,
            Door::Metadata(route) => return gates::metadata(head, route),
            Door::Health => return gates::health(head),
            own @ (Door::Oauth | Door::Account) => {
                let site = self.site.as_ref().ok_or_else(gates::no_such_path)?;
                place.among_visits().map_err(|_| gates::overloaded())?;
                let is_account = matches!(own, Door::Account);
                // Boxed: all requests would otherwise carry the room that only signing in needs.
                let request = (head, body);
                return Box::pin(front::visited(
                    site, is_account, request, &armed, peer, trail,
                ))
                .await;
            }
        };
        trail.route(route);
        let principal =
            gates::authenticate(&self.verifier, &self.failures, head, peer, route).await?;
        trail.principal(&principal);
        trail.passed(Stage::Auth);
        let fleet = self.fleet.as_ref();
        let mut admission = gates::admit(&self.quotas, fleet, &principal, envelope).await?;
        trail.passed(Stage::Quota);
        let errand = read::errand(head, body, &armed, &admission, &self.messages).await?;
        trail.passed(Stage::Read);
        trail.errand(&errand, &self.summary);
        let now = self.clock.now();
        let sessions = (&self.sessions, now);
        let permit = permit::permit(route, &principal, &errand)
            .map_err(|denial| screen::cover(denial, &errand, head, &principal, route, sessions))?;
        trail.allowed_by(permit.rule().as_str());
        if let Some(workspaces) = route.workspaces() {
            Box::pin(workspaces.check(&principal, &errand)).await?;
        }
        trail.passed(Stage::Policy);
        gates::charge(&mut admission, fleet, &errand, envelope).await?;
        let cleared = screen::clear(&permit, errand, head, &principal, route, sessions)?;
        trail.passed(Stage::Screen);
        trail.keep(gates::place(admission, &cleared, place)?);
        let lens = lens::Lens::new(route, &principal, &cleared, now, trail.tally());
        let answer = exchange::exchange(
            (route, &principal),
            cleared,
            lens,
            &self.sessions,
            self.pace.clone(),
        )
        .await?;
        trail.passed(Stage::Upstream);
        if exchange::is_stream(answer.headers()) {
            trail.tally().streams();
        }
        Ok(answer)
    }

    /// The other end as our own proxies saw it, where there are any.
    fn caller(&self, mut peer: Peer, head: &Parts) -> Peer {
        let hops = self.limits.trusted_hops;
        let address = forwarded::caller(peer.address.ip(), &head.headers, hops);
        peer.address.set_ip(address);
        peer
    }

    /// The trail of a request, while requests can be recorded.
    fn begin(&self, head: &Parts, peer: &Peer) -> Result<Trail, &'static str> {
        let slot = self.audit.reserve().map_err(Refused::code)?;
        Trail::begin(head, peer, slot, &self.clock, Arc::clone(&self.metrics))
            .map_err(|_| "no_randomness")
    }

    /// Turns a request away for which there is no room. It costs no more than its line.
    fn shed(&self, request: Request<Incoming>, peer: Peer) -> Response<ReplyBody> {
        let (head, body) = request.into_parts();
        let peer = self.caller(peer, &head);
        let denial = gates::overloaded();
        let mut answer = match self.begin(&head, &peer) {
            Ok(mut trail) => {
                trail.refused(&denial);
                let mut answer = respond::refuse(denial.answer, trail.request_id());
                respond::secure(answer.headers_mut(), trail.request_id(), peer.encrypted);
                trail.answered(answer.status());
                answer.body_mut().carry(trail);
                answer
            }
            Err(_) => {
                self.metrics.denied(denial.stage, denial.reason);
                gates::untraced(denial, peer.encrypted)
            }
        };
        answer.body_mut().hold(body);
        answer
    }

    /// One request from its head to an answer that carries its trail.
    async fn handle(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        place: &Place,
    ) -> Response<ReplyBody> {
        let (head, mut body) = request.into_parts();
        let peer = self.caller(peer, &head);
        let begun = self.begin(&head, &peer);
        // No line, no service (fail closed): an act that cannot be recorded must not happen.
        let Ok(mut trail) = begun.inspect_err(|why| self.metrics.denied(Stage::Limits, why)) else {
            let mut answer = gates::unrecorded(peer.encrypted);
            answer.body_mut().hold(body);
            return answer;
        };
        let mut envelope = Envelope::default();
        let mut answer = match self
            .pass(&head, &mut body, (&peer, place), &mut envelope, &mut trail)
            .await
        {
            Ok(answer) => answer,
            Err(denial) => {
                place.vacate();
                let begun = denial.stage == Stage::Read;
                if !limits::body::is_unasked(&body, &head.headers, begun) {
                    limits::body::discard(&mut body, &self.limits).await;
                }
                trail.refused(&denial);
                respond::refuse(denial.answer, trail.request_id())
            }
        };
        envelope.seal(answer.headers_mut(), trail.request_id(), peer.encrypted);
        trail.answered(answer.status());
        answer.body_mut().carry(trail);
        answer.body_mut().hold(body);
        answer
    }
}

impl Pipeline {
    /// The trail of octets that are no request.
    fn begin_unread(&self, peer: &Peer) -> Option<Trail> {
        let slot = self.audit.reserve().ok()?;
        let metrics = Arc::clone(&self.metrics);
        Trail::begin_unread(peer, slot, &self.clock, metrics, "none").ok()
    }

    /// Octets that are no request get a line and an answer like any refused request: no line, no service.
    fn malformed(&self, peer: &Peer, fault: Fault) -> Response<ReplyBody> {
        let Some(mut trail) = self.begin_unread(peer) else {
            self.metrics.denied(Stage::Limits, "audit_unavailable");
            return gates::unrecorded(peer.encrypted);
        };
        let denial = Denial::from(fault);
        trail.refused(&denial);
        let mut answer = respond::refuse(denial.answer, trail.request_id());
        respond::secure(answer.headers_mut(), trail.request_id(), peer.encrypted);
        trail.answered(answer.status());
        answer.body_mut().carry(trail);
        answer
    }

    /// What a connection refused by itself gets a line; there is nobody to answer.
    fn misbehaved(&self, peer: &Peer, reason: &'static str) {
        let denial = Denial::http(Stage::Limits, StatusCode::BAD_REQUEST, reason, "");
        match self.begin_unread(peer) {
            Some(mut trail) => {
                trail.refused(&denial);
                trail.finish(End::Complete);
            }
            None => self.metrics.denied(denial.stage, denial.reason),
        }
    }
}

/// A handle on the pipeline, as the listener wants it.
#[derive(Clone)]
pub struct Gatehouse(pub Arc<Pipeline>);

impl Serve for Gatehouse {
    type Body = ReplyBody;

    async fn serve(
        self,
        request: Request<Incoming>,
        peer: Peer,
        place: &Place,
    ) -> Response<ReplyBody> {
        self.0.handle(request, peer, place).await
    }

    fn overloaded(&self, request: Request<Incoming>, peer: Peer) -> Response<ReplyBody> {
        self.0.shed(request, peer)
    }

    fn malformed(&self, peer: Peer, fault: Fault) -> Response<ReplyBody> {
        self.0.malformed(&peer, fault)
    }

    fn misbehaved(&self, peer: Peer, reason: &'static str) {
        self.0.misbehaved(&peer, reason);
    }
}
