//! The stages as the pipeline calls them, each with the translation of its refusals, and the doors that need no token.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};

use super::body::ReplyBody;
use super::denial::{Answer, Denial};
use super::read::{Errand, not_allowed};
use super::respond::{plain, refuse, secure};
use super::route::Route;
use super::screen::Cleared;
use super::trail;
use crate::auth::{AuthError, Challenge, Principal, Verifier};
use crate::limits::failures::Failures;
use crate::limits::{Armed, cors};
use crate::listener::{Peer, Place};
use crate::mcp::Operation;
use crate::quota::shared::Shared;
use crate::quota::{Admission, Allowance, Charge, QuotaError, Quotas};
use crate::routes;
use crate::stage::Stage;

/// What an answer carries beside its own content, learnt on the way in.
#[derive(Default)]
pub(super) struct Envelope {
    /// The allowed Origin of the request.
    pub(super) origin: Option<HeaderValue>,
    /// Where the user stands against the limit.
    allowance: Option<Allowance>,
}

impl Envelope {
    /// Writes everything that every answer carries.
    pub(super) fn seal(self, headers: &mut HeaderMap, request_id: &str, encrypted: bool) {
        if let Some(allowance) = self.allowance {
            allowance.write(headers);
        }
        secure(headers, request_id, encrypted);
        // The answer to a preflight says so already, and there is nothing in it to expose.
        if let Some(origin) = &self.origin
            && !headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN)
        {
            cors::expose(headers, origin);
        }
    }
}

/// Stage 3. The fast way is a look into memory; only a token that was never seen may have to wait for keys.
pub(super) async fn authenticate(
    verifier: &Verifier,
    failures: &Failures,
    head: &Parts,
    peer: &Peer,
    route: &Route,
) -> Result<Arc<Principal>, Denial> {
    let address = peer.address.ip();
    let refused = |error: AuthError| {
        if error.blames_credential() {
            if let Some(wait) = failures.wait(address) {
                return too_many_failures(wait);
            }
            failures.count(address);
        }
        unauthenticated(&error, route)
    };
    let bearer = verifier
        .bearer(&head.headers, head.uri.query())
        .map_err(refused)?
        .over(peer.certificate.as_ref());
    if let Some(principal) = verifier.cached(&bearer, route.resource()) {
        return Ok(principal);
    }
    if let Some(wait) = failures.wait(address) {
        return Err(too_many_failures(wait));
    }
    verifier
        .verify(&bearer, route.resource())
        .await
        .map_err(refused)
}

/// The answer to an address from which too many bad credentials came of late.
fn too_many_failures(wait: Duration) -> Denial {
    let mut denial = Denial::http(
        Stage::Auth,
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_failures",
        "Too many bad credentials came from this address; try again later",
    );
    if let Answer::Http { headers, .. } = &mut denial.answer {
        let seconds = wait.as_secs().saturating_add(1);
        headers.insert(RETRY_AFTER, seconds.into());
    }
    denial
}

fn unauthenticated(error: &AuthError, route: &Route) -> Denial {
    let mut denial =
        Denial::http(Stage::Auth, error.status(), error.code(), error.message()).because(error);
    denial.reason = error.reason();
    if let Answer::Http {
        headers, details, ..
    } = &mut denial.answer
    {
        *details = error
            .details()
            .and_then(|details| serde_json::to_value(details).ok());
        let challenge = Challenge::refusing(route.resource(), error)
            .scopes(route.scopes().iter().map(String::as_str));
        headers.insert(WWW_AUTHENTICATE, challenge.header());
    }
    denial
}

/// Stage 4, first half: one request of this user, whatever it is.
pub(super) async fn admit(
    quotas: &Quotas,
    fleet: Option<&Shared>,
    principal: &Principal,
    envelope: &mut Envelope,
) -> Result<Admission, Denial> {
    let mut admission = quotas.admit(principal).map_err(over)?;
    if let Some(fleet) = fleet {
        let total = admission.total();
        settle(fleet, &mut admission, &total).await?;
    }
    envelope.allowance = Some(admission.allowance());
    Ok(admission)
}

/// Stage 4, second half: the action's own limit and the tool's weight.
pub(super) async fn charge(
    admission: &mut Admission,
    fleet: Option<&Shared>,
    errand: &Errand,
    envelope: &mut Envelope,
) -> Result<(), Denial> {
    let Errand::Send { message, .. } = errand else {
        return Ok(());
    };
    let action = match message.operation() {
        Operation::CallTool { name, .. } => name,
        _ => "default",
    };
    admission.charge(action).map_err(over)?;
    if let Some(fleet) = fleet {
        for charge in admission.charges(action) {
            settle(fleet, admission, &charge).await?;
        }
    }
    envelope.allowance = Some(admission.allowance());
    Ok(())
}

/// What this gateway admitted, the fleet has to admit as well.
async fn settle(fleet: &Shared, admission: &mut Admission, charge: &Charge) -> Result<(), Denial> {
    // Boxed, as everything that most requests have no use for.
    match Box::pin(fleet.charge(charge)).await.map_err(over)? {
        Some(verdict) => admission.settle(charge, verdict).map_err(over),
        None => Ok(()),
    }
}

/// A stream does not count among the calls, neither the user's nor the process's, but among the streams, from before it is
/// opened.
pub(super) fn place(
    admission: Admission,
    cleared: &Cleared,
    place: &Place,
) -> Result<Admission, Denial> {
    if cleared.long_lived {
        let admission = admission.into_stream().map_err(over)?;
        place.among_streams().map_err(|_| overloaded())?;
        Ok(admission)
    } else {
        Ok(admission)
    }
}

fn over(error: QuotaError) -> Denial {
    let said = error.body();
    let status = match error {
        QuotaError::Capacity { .. } | QuotaError::Unshared => StatusCode::SERVICE_UNAVAILABLE,
        QuotaError::Rate { .. } | QuotaError::Concurrency { .. } | QuotaError::Streams { .. } => {
            StatusCode::TOO_MANY_REQUESTS
        }
    };
    let mut denial =
        Denial::http(Stage::Quota, status, said.error.code, said.error.message).because(&error);
    denial.reason = error.reason();
    if let Answer::Http {
        headers, details, ..
    } = &mut denial.answer
    {
        error.write(headers);
        *details = said
            .error
            .details
            .and_then(|details| serde_json::to_value(details).ok());
    }
    denial
}

/// The origin whose page may read the answer: the allowed one that asks, unless the answer is a page for people.
pub(super) fn reader<'a>(armed: &'a Armed, head: &Parts) -> Option<&'a HeaderValue> {
    let is_page = routes::PAGES.contains(&head.uri.path());
    armed.origin().filter(|_| !is_page)
}

/// The answer to a CORS preflight. No token is asked for: a browser sends none with it (Fetch standard).
pub(super) fn preflight(head: &Parts, origin: &HeaderValue) -> Response<ReplyBody> {
    plain(
        StatusCode::NO_CONTENT,
        cors::preflight(head, origin),
        Bytes::new(),
    )
}

/// Protected resource metadata (RFC 9728 section 3.2).
pub(super) fn metadata(head: &Parts, route: &Route) -> Result<Response<ReplyBody>, Denial> {
    open_door(head, route.metadata())
}

/// Whether the process answers (R524). Says nothing about anything behind it.
pub(super) fn health(head: &Parts) -> Result<Response<ReplyBody>, Denial> {
    open_door(head, Bytes::from_static(b"{\"status\":\"ok\"}"))
}

fn open_door(head: &Parts, body: Bytes) -> Result<Response<ReplyBody>, Denial> {
    match head.method {
        Method::GET => Ok(plain(StatusCode::OK, HeaderMap::new(), body)),
        _ => Err(not_allowed("GET")),
    }
}

/// The answer to a path that is on no list.
pub(super) fn no_such_path() -> Denial {
    Denial::http(
        Stage::Limits,
        StatusCode::NOT_FOUND,
        "not_found",
        "Nothing is served at this path",
    )
}

/// The answer while no audit line can be written.
pub(super) fn unrecorded(encrypted: bool) -> Response<ReplyBody> {
    let denial = unavailable(
        "audit_unavailable",
        "The gateway cannot record requests at the moment and so serves none",
    );
    untraced(denial, encrypted)
}

/// The refusal while as many requests are being worked on, or as many streams are open, as may be.
pub(super) fn overloaded() -> Denial {
    unavailable("overloaded", "The gateway has too much to do at the moment")
}

fn unavailable(code: &'static str, message: &'static str) -> Denial {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut denial = Denial::http(Stage::Limits, status, code, message);
    if let Answer::Http { headers, .. } = &mut denial.answer {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    denial
}

/// A refusal that leaves no line. The caller gets an id all the same, since clients expect one.
pub(super) fn untraced(denial: Denial, encrypted: bool) -> Response<ReplyBody> {
    let request_id = trail::request_id().unwrap_or_default();
    let mut answer = refuse(denial.answer, &request_id);
    secure(answer.headers_mut(), &request_id, encrypted);
    answer
}
