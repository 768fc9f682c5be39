//! Policy files: each must be Cedar that can be read.

use std::str::FromStr;

use cedar_policy::PolicySet;

use super::Findings;
use crate::config::{Config, Mistake};

/// Reads every policy file.
pub(super) fn look(config: &Config, findings: &mut Findings) {
    for file in &config.policy.files {
        let shown = file.display();
        let wrong = match std::fs::read_to_string(file) {
            Err(error) => format!("{shown} cannot be read: {error}"),
            Ok(text) => match PolicySet::from_str(&text) {
                Ok(_) => continue,
                Err(error) => format!("{shown} is not a Cedar policy: {error}"),
            },
        };
        findings.error(
            Mistake::new("policy.files", wrong)
                .at(config.origin("policy.files"))
                .help("put it right; without it the gateway does not start"),
        );
    }
}
