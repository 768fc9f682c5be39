//! Policies: compiled for every route exactly as the gateway compiles them, so that whatever would keep it from starting,
//! or is odd, is found with its file and line.

use super::Findings;
use crate::cli::run::explained;
use crate::config::{Config, Mistake, Route};
use crate::gateway::route_policies;
use crate::policy::{Policies, PolicyMistake};

/// Compiles the policies of every route.
pub(super) fn look(config: &Config, findings: &mut Findings) {
    for route in &config.routes {
        let settings = match route_policies(config, route) {
            Ok(settings) => settings,
            Err(error) => {
                // The files are the same for all routes.
                return findings.error(finding(config, "policy.files", explained(&error)));
            }
        };
        match Policies::compile(&settings) {
            Ok(policies) => {
                for odd in policies.warnings() {
                    findings.warning_once(placed(config, route, odd));
                }
            }
            Err(mistakes) => {
                for mistake in &mistakes {
                    findings.error_once(placed(config, route, mistake));
                }
            }
        }
    }
}

/// What a policy file says wrongly is wrong for all routes; what the lists and switches amount to is a route's own matter.
fn placed(config: &Config, route: &Route, mistake: &PolicyMistake) -> Mistake {
    if mistake.is_of_configuration() {
        let message = format!("route {}: {}", route.name, mistake.message);
        return finding(config, "policy", message);
    }
    finding(config, "policy.files", mistake.to_string())
}

fn finding(config: &Config, path: &str, message: String) -> Mistake {
    Mistake::new(path, message).at(config.origin(path))
}
