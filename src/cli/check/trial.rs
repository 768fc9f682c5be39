//! Small trials of what the gateway will rely on: keys of issuers are read, a line goes into an audit trail and comes back
//! whole (R321), and a planted secret is hidden (R322). Nothing is listened on, nobody is called, and what is written is
//! removed again.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::Findings;
use crate::audit::query::{Filter, View, query};
use crate::audit::sink::Settings as TrailSettings;
use crate::audit::verify::verify;
use crate::audit::{ChainKey, Event, KeyRing, Record, Sink};
use crate::auth::Verifier;
use crate::auth::jwks::Jwks;
use crate::auth::settings::KeySource;
use crate::cli::run::explained;
use crate::clock::Clock;
use crate::config::{Config, Mistake};
use crate::gateway::{auth_settings, route_credential, route_upstream};
use crate::random;
use crate::redact;
use crate::secret::Secret;
use crate::upstream::Upstream;
use crate::upstream::credential::{Credentials, PrepareError};

/// What is planted, in the form of a token; it opens nothing.
const CANARY: &str = "sk-canary-not-a-real-secret-0123456789";
const REQUEST: &str = "check";

/// Tries everything.
pub(super) async fn everything(config: &Config, clock: &Clock, findings: &mut Findings) {
    key_files(config, clock, findings).await;
    if let Err(leak) = redaction() {
        findings.error(Mistake::new("", leak).help("do not start this program; report it"));
    }
    if config.audit.enabled
        && let Err(problem) = audit(&config.audit.dir, clock).await
    {
        let message = format!("a line cannot be written and read back: {problem}");
        findings.error(
            Mistake::new("audit.dir", message)
                .at(config.origin("audit.dir"))
                .help("name a folder that the gateway may write to"),
        );
    }
    if findings.errors.is_empty() {
        parts(config, clock, findings);
    }
}

/// Keys of issuers that lie in files. Others are fetched when the gateway runs.
async fn key_files(config: &Config, clock: &Clock, findings: &mut Findings) {
    for (index, issuer) in auth_settings(config).issuers.iter().enumerate() {
        if !matches!(issuer.jwks, KeySource::File(_)) {
            continue;
        }
        let read = match Jwks::new(issuer, clock.clone()) {
            Ok(keys) => keys.refresh().await,
            Err(error) => Err(error),
        };
        if let Err(error) = read {
            let path = format!("auth.issuers[{index}].jwks_file");
            findings.error(
                Mistake::new(&path, explained(&error))
                    .at(config.origin(&path))
                    .help("without its keys no token of the issuer is accepted"),
            );
        }
    }
}

/// Everything that is made before a socket is bound, made once, for what only the parts themselves can find.
fn parts(config: &Config, clock: &Clock, findings: &mut Findings) {
    if let Err(error) = Verifier::new(&auth_settings(config), clock.clone()) {
        findings.error(Mistake::new("auth", explained(&error)).at(config.origin("auth")));
    }
    for (index, route) in config.routes.iter().enumerate() {
        if let Err(error) = Upstream::new(route_upstream(config, &route.upstream)) {
            let path = format!("routes[{index}].upstream");
            findings.error(Mistake::new(&path, explained(&error)).at(config.origin(&path)));
        }
        let Some(settings) = route_credential(config, &route.upstream) else {
            continue;
        };
        // Users' own credentials are not looked at, and that none are at hand is no finding.
        match Credentials::new(&settings, None, clock) {
            Ok(_) | Err(PrepareError::NoKeys(_)) => {}
            Err(error) => {
                let path = format!("routes[{index}].upstream.credential");
                findings.error(Mistake::new(&path, explained(&error)).at(config.origin(&path)));
            }
        }
    }
}

/// A secret in a text, under a telling name and deep in a message must not be seen again.
fn redaction() -> Result<(), &'static str> {
    let message = json!({"params": {"arguments": [{"api_key": CANARY}], "note": CANARY}});
    let seen = [
        redact::text(&format!("Authorization: Bearer {CANARY}")).into_owned(),
        redact::field("password", CANARY).into_owned(),
        redact::json(&message).to_string(),
    ];
    hidden(&seen)
}

fn hidden(seen: &[impl AsRef<str>]) -> Result<(), &'static str> {
    match seen.iter().any(|text| text.as_ref().contains(CANARY)) {
        true => Err("a planted secret was not redacted"),
        false => Ok(()),
    }
}

/// A trail of one line in a folder of its own, written, verified and read back.
async fn audit(dir: &Path, clock: &Clock) -> Result<(), String> {
    let scratch = Scratch::beside(dir)?;
    let secret = random::bytes::<32>().map_err(|error| error.to_string())?;
    let key = || ChainKey::new(Secret::new(secret.to_vec())).map_err(|error| error.to_string());
    let settings = TrailSettings {
        directory: scratch.0.clone(),
        ..TrailSettings::default()
    };
    let sink = Sink::open(&settings, key()?, clock.clone()).map_err(|error| explained(&error))?;
    let slot = sink.reserve().map_err(|error| error.to_string())?;
    let mut record = Record::new(Event::Lifecycle, clock.now(), REQUEST);
    record.user_agent(CANARY);
    slot.write(record);
    if !sink.close().await {
        return Err("the line did not reach its file".to_owned());
    }
    let unreadable = |error: std::io::Error| error.to_string();
    let report = verify(&scratch.0, &KeyRing::new(vec![key()?]), &[]).map_err(unreadable)?;
    if let Some(finding) = report.findings.first() {
        return Err(finding.to_string());
    }
    let (filter, mut lines) = (
        Filter {
            request_id: Some(REQUEST.to_owned()),
            ..Filter::default()
        },
        Vec::new(),
    );
    let found = query(&scratch.0, &filter, View::Lines, &mut lines).map_err(unreadable)?;
    hidden(&[String::from_utf8_lossy(&lines)])?;
    match found {
        1 => Ok(()),
        other => Err(format!("{other} lines came back, not one")),
    }
}

/// A folder for a trial, gone afterwards. It lies in the folder that the trail would be written to or made in, so that it
/// meets the same rights and the same disk, under a name that no reader of trails looks at.
struct Scratch(PathBuf);

impl Scratch {
    fn beside(dir: &Path) -> Result<Self, String> {
        let place = dir
            .ancestors()
            .map(|place| match place.as_os_str().is_empty() {
                true => Path::new("."),
                false => place,
            })
            .find(|place| place.exists())
            .unwrap_or(Path::new("."));
        let name = random::hex::<8>().map_err(|error| error.to_string())?;
        let scratch = place.join(format!(".sallygate-check-{name}"));
        DirBuilder::new()
            .mode(0o700)
            .create(&scratch)
            .map_err(|error| format!("{}: {error}", place.display()))?;
        Ok(Self(scratch))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r322_a_planted_secret_is_hidden_and_would_be_noticed() {
        assert_eq!(redaction(), Ok(()));
        for seen in [CANARY.to_owned(), format!("key={CANARY}&a=b")] {
            assert!(hidden(&["fine".to_owned(), seen]).is_err());
        }
    }
}
