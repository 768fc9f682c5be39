//! What a failed login answers: a page to a browser, a body to a program, and the same reason in the audit line of both.

use http::HeaderValue;
use http::header::RETRY_AFTER;

use super::error::{LoginError, StateFault};
use crate::audit::event::{Event, Severity};
use crate::routes;
use crate::web::pages::{self, ErrorPage};
use crate::web::{Reply, Visit};

impl LoginError {
    /// The answer.
    pub fn answer(&self, visit: &Visit) -> Reply {
        let mut reply = if pages::wanted(visit) {
            self.page(visit)
        } else if self.is_flat() {
            Reply::oauth_error(self.status(), self.code(), self.message())
        } else {
            Reply::error(
                self.status(),
                self.code(),
                self.message(),
                None,
                &visit.request_id,
            )
        };
        if let Self::TooMany { retry_after } = self {
            reply = reply.with(RETRY_AFTER, HeaderValue::from(*retry_after));
        }
        self.noted(reply)
    }

    fn page(&self, visit: &Visit) -> Reply {
        pages::error(&ErrorPage {
            status: self.status(),
            title: "Signing in did not work",
            message: self.message(),
            advice: self.advice(),
            retry: Some(routes::account::LOGIN),
            onward: None,
            code: self.code(),
            request_id: &visit.request_id,
        })
    }

    fn noted(&self, reply: Reply) -> Reply {
        let reply = reply.refused(self.reason());
        match self {
            // A login that one browser began and another one finishes is either an accident or an attack.
            Self::State(StateFault::OtherBrowser | StateFault::Altered) | Self::OtherIssuer => {
                reply
                    .event(Event::SuspiciousActivity)
                    .severity(Severity::High)
            }
            Self::TooMany { .. } => reply.event(Event::RateLimited),
            Self::NotAllowed => reply.event(Event::AccessDenied),
            Self::Disabled { user } => reply.event(Event::AccessDenied).user(user),
            Self::Exchange { provider, .. } => reply
                .event(Event::AuthFailure)
                .detail("provider", provider.as_str()),
            _ => reply.event(Event::AuthFailure),
        }
    }
}
