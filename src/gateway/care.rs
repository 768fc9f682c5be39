//! How the MCP servers behind the routes are faring, as far as the process as a whole goes: when none of them may be asked, and
//! who looks after those that are to be looked after.

use std::sync::{Arc, Weak};

use crate::pipeline::Route;
use crate::upstream::breaker::State;

/// A gateway that can send nothing to anybody is not ready. While a wait lasts, that is: when it is over a request has to
/// come, or nobody would find out that the upstream is back.
pub(super) fn all_left_alone(routes: &[Arc<Route>]) -> Result<(), String> {
    let open = |route: &Arc<Route>| route.breaker().state() == State::Open;
    if routes.is_empty() || !routes.iter().all(open) {
        return Ok(());
    }
    let names: Vec<_> = routes.iter().map(|route| route.name()).collect();
    Err(format!("left alone after failures: {}", names.join(", ")))
}

/// Looks after the upstream of a route as long as the route is there.
pub(super) async fn look_after(route: Weak<Route>) {
    loop {
        let every = {
            let Some(route) = route.upgrade() else { return };
            let Some(checkup) = route.upstream().checkup() else {
                return;
            };
            // What follows from it the breaker knows.
            let _ = checkup.look(route.breaker()).await;
            checkup.every()
        };
        tokio::time::sleep(every).await;
    }
}
