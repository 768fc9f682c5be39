//! Any text is either a configuration or a list of mistakes, each with a place that exists.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sallygate::config::{self, Environment, Origin};

/// The key of the seeds.
const WRITTEN: &str = "canary-not-a-real-key-7Q2mXv9LzR4tKb8WcY3s";

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // Files that it names are opened; nothing outside of the empty folder is any of our business.
    if text.contains("/dev")
        || text.contains("/proc")
        || text.contains("/sys")
        || text.contains("..")
    {
        return;
    }
    let env: Environment = [
        ("NAME", "value"),
        ("JWT_SECRET", "canary-of-the-environment-0123456789"),
    ]
    .into_iter()
    .collect();
    // To YAML a carriage return ends a line too.
    let lines = text.split(['\r', '\n']).count();
    match config::read(text, &env, Path::new("/nonexistent")) {
        Ok((config, _)) => {
            // What is no secret is shown, and whoever names a route after a secret has shown it. A report knows which
            // texts came from variables and shows none of them.
            let shown = format!("{config:?}");
            assert!(
                text.contains("JWT_SECRET") || !shown.contains("canary-of-the"),
                "a secret in a log line"
            );
            // Written once and read as a key, it is nothing else.
            let is_key = |key: &config::Key| key.secret.expose().as_slice() == WRITTEN.as_bytes();
            let once = text.matches(WRITTEN).count() == 1;
            assert!(
                !(once && config.auth.keys.iter().any(is_key)) || !shown.contains(WRITTEN),
                "a written secret in a log line"
            );
        }
        Err(mistakes) => {
            assert!(!mistakes.list.is_empty());
            for mistake in &mistakes.list {
                if let Origin::Line(line) = mistake.origin {
                    assert!((1..=lines).contains(&line), "line {line} of {lines}");
                }
            }
            assert!(
                !mistakes.to_string().contains("canary-of-the"),
                "a secret in a report"
            );
        }
    }
});
